"""From an event to its grant, as somebody outside sees it, at half the rate that one worker sustains, and at a gentle one.

`python -m benchmarks.latency`; see `--help`. Open loop: a process of its own sends each event at its instant `start + i / rate`, never
waits for anybody, and writes that intended instant into the event, so what queues anywhere counts. A consumer of `reward-granted` that
knows nothing of livepromo measures when it has the grant. A run in which the sender itself falls behind is void.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.load import CAMPAIGNS, FIRST_MS, Rules, VoidError, documents, events, rules_for
from benchmarks.running import GRANTED, PARTITIONS, STAGES, Installation, Servers, machine, say, servers, until, written
from confluent_kafka import Consumer, Producer, TopicPartition

WARM_UP_S = 10.0  # of the worker and of the broker, which compiles what it runs often
GENTLE = 2_000
_SENT_AT = b'"ts":'


def main() -> int:
    """Measure and print; 1 where no run counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rate", type=int, action="append", help=f"events a second; default: {GENTLE}, and half of what is sustained")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, after a warm-up")
    parser.add_argument("--late-ms", type=float, default=10.0, help="a run is void if the sender's own 99th percentile is later")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--send", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.send is not None:
        return send(asked.send[0], asked.send[1], int(asked.send[2]), float(asked.send[3]))
    runs: list[dict[str, Any]] = []
    with servers() as both:
        rates = asked.rate or [GENTLE, sustained(both) // 2]
        for number, rate in enumerate(rates):
            try:
                runs.append(measure(both, rate, asked.seconds, f"latency{number}", asked.late_ms))
            except VoidError as error:
                say(f"{rate} events/s: void: {error}")
        result = {"machine": machine(both), "runs": runs}
    print(f"{'events/s':>10}{'grants':>9}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>9}  ms   sender p99  worker CPU")
    for one in runs:
        figures = "".join(f"{one[name]:8.1f}" for name in ("p50", "p90", "p99"))
        print(f"{one['rate']:>10}{one['grants']:>9}{figures}{one['max']:9.1f}{one['sender_p99']:16.1f}{one['worker_share']:11.0%}")
    print(json.dumps(result["machine"]))
    if asked.json is not None:
        written(result, asked.json)
    return 0 if runs else 1


def sustained(both: Servers, count: int = 300_000) -> int:
    """Return how many events a second one worker with all stages takes from a backlog."""
    installation = Installation(both, "sustained", "sustained.events")
    try:
        worker = installation.worker("match,decide,deliver")
        installation.wait_ready()
        installation.apply(documents(rules_for(one.cause for one in events(count) if one.cause is not None)))
        worker.freeze()
        both.client.send(installation.events, events(count))
        started = time.monotonic()
        worker.thaw()
        until(lambda: all(installation.done(stage) for stage, _ in STAGES), 200, "the backlog is taken")
        rate = int(count / (time.monotonic() - started))
    finally:
        installation.close()
    say(f"one worker takes {rate} events/s from a backlog")
    return rate


def measure(both: Servers, rate: int, seconds: float, name: str, late_ms: float) -> dict[str, Any]:
    """Measure one rate. Raises VoidError where the sender was late, or grants are missing."""
    topic = f"{name}.events"
    installation = Installation(both, name, topic, lateness="3660d", session="10s")
    count = int(rate * (WARM_UP_S + seconds))
    try:
        worker = installation.worker("match,decide,deliver")
        installation.wait_ready()
        # No budget binds and every user may be rewarded as often as may be: what is granted is known.
        installation.apply(documents(Rules({}), a_day=1_000_000))
        consumer = Consumer({"bootstrap.servers": both.kafka.bootstrap, "group.id": name, "fetch.wait.max.ms": 5, "log_level": 0})
        consumer.assign([TopicPartition(GRANTED, number, end) for number, end in enumerate(both.client.ends(GRANTED))])
        words = [sys.executable, "-m", "benchmarks.latency", "--send", both.kafka.bootstrap, topic, str(count), str(rate)]
        cpu_s, started = worker.cpu_s(), time.monotonic()
        sender = subprocess.Popen(words, stdout=subprocess.PIPE)
        arrived: list[tuple[int, bytes]] = []
        end = time.monotonic() + WARM_UP_S + seconds + 30
        quiet_since = time.monotonic()
        while time.monotonic() < end and not (sender.poll() is not None and time.monotonic() - quiet_since > 3):
            for message in consumer.consume(500, 0.002):
                if message.error() is None:
                    arrived.append((time.time_ns(), message.value()))
                    quiet_since = time.monotonic()
        share = (worker.cpu_s() - cpu_s) / (time.monotonic() - started)
        consumer.close()
        said = json.loads(sender.communicate(timeout=30)[0])
    finally:
        installation.close()
    if said["late_p99_ms"] > late_ms:
        raise VoidError(f"the sender was {said['late_p99_ms']:.1f} ms late at its 99th percentile: the machine is too busy")
    expected = said["decided"]
    grants = {json.loads(value)["cause"]["event_id"] for _, value in arrived}
    if len(grants) != expected or len(arrived) != expected:
        raise VoidError(f"{len(arrived)} grants of {len(grants)} events, {expected} were expected")
    intended = said["intended_ns"]
    warm = said["start_ns"] + int(WARM_UP_S * 1e9)
    waits = []
    for at, value in arrived:
        due = intended + int(json.loads(value)["cause"]["event_id"][1:]) * 1_000_000_000 // rate
        if due >= warm:
            waits.append((at - due) / 1e6)
    waits.sort()
    if waits[0] < 0:
        raise VoidError(f"a grant {-waits[0]:.1f} ms before its event")

    def quantile(share: float) -> float:
        return round(waits[min(len(waits) - 1, int(share * len(waits)))], 2)

    result = {
        "rate": rate,
        "grants": len(waits),
        "p50": quantile(0.5),
        "p90": quantile(0.9),
        "p99": quantile(0.99),
        "max": round(waits[-1], 2),
        "sender_p99": round(said["late_p99_ms"], 2),
        "worker_share": round(share, 3),
    }
    say(str(result))
    return result


def send(bootstrap: str, topic: str, count: int, rate: float) -> int:
    """Send events at their instants, whatever becomes of them; say how late we were."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 1, "queue.buffering.max.messages": 2_000_000}
        | {"compression.type": "lz4", "log_level": 0}
    )
    made = list(events(count))
    late: list[float] = []
    start_ns = time.time_ns() + 500_000_000
    shift_ms = start_ns // 1_000_000 - FIRST_MS
    at = 0
    while at < count:
        now = time.time_ns()
        due = min(count, int((now - start_ns) * rate / 1e9) + 1) if now >= start_ns else 0
        if at >= due:
            producer.poll(0.0005)
            continue
        late.append((now - start_ns - at * 1e9 / rate) / 1e6)
        for event in made[at:due]:
            producer.produce(topic, value=_moved(event.value, shift_ms, at, rate), key=event.user)
            at += 1
        producer.poll(0)
    left = producer.flush(30)
    late.sort()
    decided = sum(event.cause is not None for event in made)
    said = {"start_ns": start_ns, "intended_ns": start_ns, "decided": decided, "late_p99_ms": late[int(0.99 * len(late))], "left": left}
    print(json.dumps(said))
    return 0


def _moved(value: bytes, shift_ms: int, at: int, rate: float) -> bytes:
    """Return an event whose time is the instant at which it is meant to be sent."""
    head, _, tail = value.partition(_SENT_AT)
    intended_ms = FIRST_MS + shift_ms + int(at * 1000 / rate)
    return b"%b%b%d%b" % (head, _SENT_AT, intended_ms, tail[13:])


if __name__ == "__main__":
    assert len(CAMPAIGNS) == PARTITIONS + 2
    sys.exit(main())
