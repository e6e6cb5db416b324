"""What open windows cost: processor time of an event with a thousand to a million of them open, bytes of each, and restoring them.

`python -m benchmarks.absence`. One partition without Kafka. The windows are restored from records of a journal; then a steady mix of
events is taken, in which one in five opens a window, one in twenty closes one, and as many fire as others open. The partitions with few and
with many windows take their slices in turn, so that what else the machine does disturbs all alike. Before a figure counts, every window
that fired has been recounted.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
from benchmarks.core import plan_of
from benchmarks.load import FIRST_MS, Sent, VoidError
from benchmarks.running import PARTITIONS, Kafka, say, servers

from livepromo.behaviour.decoding import decode
from livepromo.engine.boundary import decode_all
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import Surroundings, merge_ids, parts_of, restore_part
from livepromo.engine.partition import Batch, advance
from livepromo.engine.plan import Plan
from livepromo.engine.state import Part, State, merge
from livepromo.ledger.sources import CandidateBatch, encode_batch
from livepromo.model.decisions import Candidate
from livepromo.model.ids import CampaignId, partition_of
from livepromo.model.records import DeadReason, Malformed, Position, Record

SLICE = 2_000
GRACE_MS = 5_000
STEP_MS = 6  # of event time between two events: 167 a second
TRIGGER_EVERY = 5
TRIGGER_MS = TRIGGER_EVERY * STEP_MS
CLOSED_EVERY = 4  # of the windows, one in four, half-way
CAMPAIGN = CampaignId("cart-reminder")
_BUG: Record = Malformed(DeadReason.BUG)
_WHOLE_SECONDS = 200  # this many triggers take whole seconds, and can be halved and quartered
AT_ONCE = 10_000
SURROUNDINGS = Surroundings(1, "2026a")
HORIZONS = Horizons(grace_ms=GRACE_MS)


PACKAGES = ("bytewax==0.21.1", "quixstreams==3.28.1", "orjson")
BYTEWAX_RATE = 4_000  # events a second, which it can take
LARGEST_OF_PEERS = 10_000


class Steady(NamedTuple):
    """A stream in which about `windows` are open at any time; event n is at `FIRST_MS + n * STEP_MS`, and the nth trigger is event 5 n.

    `within` is counted in triggers. One in four windows is closed, half-way.
    """

    within: int

    @classmethod
    def of(cls, windows: int) -> Steady:
        """Return the stream with so many windows, about: as long as a window is open, 8 of them are opened for 7 that are open."""
        return cls(max(round(windows * 8 / 7 / _WHOLE_SECONDS), 1) * _WHOLE_SECONDS)

    @property
    def begins(self) -> int:
        """Return which trigger is the first one that is not restored."""
        return self.within + _WHOLE_SECONDS

    def documents(self) -> str:
        """Return the campaign, as documents."""
        return (
            "kind: wallet\nid: bench\ndecimals: 2\n---\n"
            f"kind: campaign\nid: {CAMPAIGN}\n"
            "qualify: {live: {event: Added To Cart, same: [Product ID], "
            f"unless: {{event: Charged, within: {self.within * TRIGGER_MS // 1000}s, grace: {GRACE_MS // 1000}s}}}}}}\n"
            "reward: {points: {wallet: bench, earn: {percent: 10, of: Amount}, metadata: [{key: product, from: event.Product ID}]}}\n"
            'when: {start: "2026-01-01T00:00:00Z"}\n'
        )

    def value(self, n: int) -> bytes:
        """Return the nth event."""
        trigger, place = divmod(n, TRIGGER_EVERY)
        name = "View"
        if place == 0:
            name = "Added To Cart"
        elif n % (TRIGGER_EVERY * CLOSED_EVERY) == 1:
            name, trigger = "Charged", trigger - self.within // 2
        else:
            trigger -= n * 7_919 % self.within  # somebody of whom a window is or was open
        return (
            f'{{"id":"e{n:012d}","user":"u{trigger:07d}","event":"{name}","ts":{FIRST_MS + n * STEP_MS},'
            f'"properties":{{"Amount":{trigger % 9_000 + 100.5},"Product ID":"p{trigger * 7 % 100_000:05d}"}}}}'
        ).encode()

    def open_at_first(self) -> Iterator[int]:
        """Yield the triggers whose windows are restored: those that are neither closed nor due when the first event is taken."""
        first = self.begins * TRIGGER_EVERY
        for trigger in range(self.begins - self.within - GRACE_MS // TRIGGER_MS, self.begins):
            if trigger % CLOSED_EVERY or (trigger + self.within // 2) * TRIGGER_EVERY + 1 >= first:
                yield trigger

    def parts(self, plan: Plan) -> Iterator[Part]:
        """Yield the records of the journal for their users, as `advance` makes them."""
        for trigger in self.open_at_first():
            n = trigger * TRIGGER_EVERY
            batch = Batch([n], [decode(self.value(n))], [None])
            yield from advance(State(HORIZONS), plan, HORIZONS, batch).parts.items()

    @property
    def open_ms(self) -> int:
        """Return how long after its trigger a window fires: at the first event later than that."""
        return self.within * TRIGGER_MS + GRACE_MS

    def fired_by(self, n: int, first: int) -> set[str]:
        """Return the ids of the triggers, from the `first`th on, whose windows have fired when event n has been taken."""
        before = n * STEP_MS - self.open_ms
        return {f"e{one * TRIGGER_EVERY:012d}" for one in range(first, -(-before // TRIGGER_MS)) if one % CLOSED_EVERY}


class Running:
    """A partition with so many windows open, which takes slices."""

    def __init__(self, windows: int) -> None:
        self.steady = Steady.of(windows)
        self.plan = plan_of(self.steady.documents())
        self.state = State(HORIZONS)
        self.at = self.steady.begins * TRIGGER_EVERY
        self.first = self.at
        self.fired: set[str] = set()
        self.events_us: list[float] = []
        process = psutil.Process()
        gc.collect()
        rss, self.restore_s, parts = process.memory_info().rss, 0.0, self.steady.parts(self.plan)
        while some := list(islice(parts, AT_ONCE)):
            before = time.process_time()
            for key, payload in some:
                restore_part(self.state, key, payload)
            self.restore_s += time.process_time() - before
        gc.collect()
        self.open = self.state.open_windows[CAMPAIGN]
        self.bytes_each = (process.memory_info().rss - rss) / self.open
        self.state.position = Position(self.at, 0)
        self.state.stream_ms = FIRST_MS + (self.at - 1) * STEP_MS

    def take(self) -> None:
        """Take a slice, as a worker does: from records' bytes to parts of a journal."""
        values = [self.steady.value(n) for n in range(self.at, self.at + SLICE)]
        state, causes = self.state, list[bytes]()
        before = time.process_time_ns()
        start = 0
        records, _ = decode_all(values, decode, _BUG)
        while start < SLICE:
            batch = Batch(range(self.at + start, self.at + SLICE), records[start:], [None] * (SLICE - start))
            changes = advance(state, self.plan, HORIZONS, batch)
            made = tuple(one for one in changes.outcomes if isinstance(one, Candidate))
            encode_batch(CandidateBatch(0, 0, changes.position, made))
            parts_of(state, changes, SURROUNDINGS)
            merge_ids(state, changes, merge(state, changes))
            causes += [one.cause for one in made]
            start += changes.took
        self.events_us.append((time.process_time_ns() - before) / 1000 / SLICE)
        self.at += SLICE
        self.fired.update(json.loads(cause)["event_id"] for cause in causes)

    def check(self) -> None:
        """Object unless exactly those windows have fired that should have. Raises VoidError."""
        expected = self.steady.fired_by(self.at - 1, next(self.steady.open_at_first()))
        if self.fired != expected:
            raise VoidError(f"{len(expected - self.fired)} windows did not fire, {len(self.fired - expected)} should not have")


class Peer(NamedTuple):
    """Another system: what runs it, and how far behind the last event it may be with firing, in events."""

    name: str
    module: str
    needs_kafka: bool
    keyed_by_partition: bool
    behind: int


PEERS = (
    Peer("Bytewax, notify_at, no Kafka", "absence_bytewax", needs_kafka=False, keyed_by_partition=False, behind=BYTEWAX_RATE),
    Peer("Quix Streams", "absence_quix", needs_kafka=True, keyed_by_partition=True, behind=1_000),
    Peer("plain Faust, table", "absence_faust", needs_kafka=True, keyed_by_partition=False, behind=1_000),
)


def peer_us(  # noqa: PLR0917 - what, by what, how much and where
    peer: Peer, python: Path, windows: int, events: int, kafka: Kafka | None, home: Path
) -> tuple[float, int]:
    """Return microseconds an event of a peer that takes the same stream from its beginning, without those until windows are open.

    And how many windows fired. Raises VoidError where that are not those that should have.
    """
    steady = Steady.of(windows)
    first, count = steady.begins * TRIGGER_EVERY, steady.begins * TRIGGER_EVERY + events
    values = [steady.value(n) for n in range(count)]
    folder = home / f"{peer.module}-{windows}"
    folder.mkdir()
    task = {
        "name": folder.name,
        "topic": folder.name,
        "home": str(folder),
        "result": str(folder / "result.json"),
        "values": str(folder / "values"),
        "first": first,
        "count": count,
        "open_ms": steady.open_ms,
        "open_events": steady.open_ms // STEP_MS,
        "rate": BYTEWAX_RATE,
        "partitions": PARTITIONS,
    }
    if kafka is None:
        (folder / "values").write_bytes(b"\n".join(values))
    else:
        task["bootstrap"] = kafka.bootstrap
        kafka.make(folder.name)
        users = (json.loads(value)["user"] for value in values)
        keys = (str(partition_of(user, PARTITIONS)) if peer.keyed_by_partition else user for user in users)
        kafka.send(folder.name, map(Sent, keys, values, repeat(None)))
    words = [python, Path(__file__).with_name("peers") / f"{peer.module}.py", json.dumps(task)]
    done = subprocess.run(words, capture_output=True, timeout=600, check=False)
    if not (folder / "result.json").exists():
        raise VoidError(f"{peer.name} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    result = json.loads((folder / "result.json").read_text())
    fired = set(result["fired"])
    missing = steady.fired_by(count - 1 - peer.behind, 0) - fired
    wrong = fired - steady.fired_by(count - 1 + peer.behind, 0)
    if missing or wrong or len(fired) < len(result["fired"]):
        raise VoidError(f"{peer.name}: {len(missing)} windows did not fire, {len(wrong)} should not have")
    return result["cpu_s"] * 1e6 / events, len(fired)


def python_of(folder: Path) -> Path:
    """Return the Python of an environment with the peers, which is made if it is not there; livepromo's own never has them."""
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"installing {' '.join(PACKAGES)} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
    return python


def compare(folder: Path, sizes: Sequence[int], events: int) -> None:
    """Print what the peers take, each with the sizes that it comes to in reasonable time."""
    python = python_of(folder)
    print(f"\n{'beside it':<32}{'open windows':>12}{'fired':>8}{'CPU-µs an event':>18}")
    with TemporaryDirectory(prefix="livepromo-bench-", ignore_cleanup_errors=True) as name, servers() as both:
        for peer in PEERS:
            for windows in sizes:
                own = Path(sys.executable) if peer.module == "absence_faust" else python
                try:
                    taken_us, fired = peer_us(peer, own, windows, events, both.client if peer.needs_kafka else None, Path(name))
                except VoidError as error:
                    print(f"{peer.name:<32}{windows:>12,}  does not count: {error}")
                else:
                    print(f"{peer.name:<32}{windows:>12,}{fired:>8,}{taken_us:>18.1f}", flush=True)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.absence", description=__doc__)
    parser.add_argument("--windows", type=int, nargs="+", default=[1_000_000, 100_000, 10_000, 1_000], help="the largest first")
    parser.add_argument("--slices", type=int, default=20, help="of 2,000 events, for each")
    parser.add_argument("--peers", type=Path, help="an environment with Bytewax and Quix Streams, made there if it is not: run them too")
    asked = parser.parse_args()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # as a worker does
    partitions = [Running(windows) for windows in asked.windows]
    for _ in range(asked.slices):
        for one in partitions:
            one.take()
    print(f"{'open windows':>12}{'fired':>8}{'CPU-µs an event: median':>26}{'least':>8}{'restoring, CPU-s':>18}{'bytes each':>12}")
    for one in partitions:
        one.check()
        median, least = statistics.median(one.events_us), min(one.events_us)
        print(f"{one.open:>12,}{len(one.fired):>8,}{median:>26.2f}{least:>8.2f}{one.restore_s:>18.2f}{one.bytes_each:>12.0f}")
    if asked.peers is not None:
        compare(asked.peers, [windows for windows in sorted(asked.windows) if windows <= LARGEST_OF_PEERS], asked.slices * SLICE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
