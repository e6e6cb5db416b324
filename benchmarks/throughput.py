"""Processor time per event of each stage, beside a plain Faust agent that does the same work, on the same servers, in the same run.

`python -m benchmarks.throughput`; see `--help`. The workers stand ready and frozen while the backlog is made, and are then let go one
after the other, so that their processor time is that between the first record and the last. Nothing counts unless all grants are right.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from benchmarks.load import Cause, Given, Rules, VoidError, documents, events, recount, rules_for
from benchmarks.peers.plain_faust import Outcome, Task
from benchmarks.running import (
    GRANTED,
    STAGES,
    Installation,
    Process,
    Servers,
    granted_since,
    machine,
    measured,
    say,
    servers,
    written,
)

PLAIN_SHARE = 20  # plain Faust gets one event in so many, or it would take minutes
RESULTS = Path(__file__).with_name("results")
EVENTS, PLAIN_EVENTS, PLAIN_GRANTED = "bench.events", "plain.events", "plain.granted"


def main() -> int:
    """Run it as often as asked for and print the figures; 1 where a run does not count."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="how many events livepromo gets")
    parser.add_argument("--repeat", type=int, default=1, help="runs, each on new topics; the median is shown, and the least")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--record", action="store_true", help=f"keep the result in {RESULTS.name}/, under today's date")
    asked = parser.parse_args()
    try:
        with servers() as both:
            runs = [run(both, asked.events, str(number)) for number in range(asked.repeat)]
            result: dict[str, Any] = {"machine": machine(both), "runs": runs}
    except VoidError as error:
        say(f"void: {error}")
        return 1
    print(table(result))
    if asked.json is not None:
        written(result, asked.json)
    if asked.record:
        written(result, RESULTS / f"{datetime.now(UTC).date()}.json")
    return 0


def run(both: Servers, count: int, number: str) -> dict[str, Any]:
    """Run everything once; return the figures. Raises VoidError where a grant is wrong, missing or too many."""
    topic, started = f"{EVENTS}.{number}", time.monotonic()
    causes = [event.cause for event in events(count) if event.cause is not None]
    rules = rules_for(causes)
    staged, whole = (Installation(both, f"{name}{number}", topic, repeats="24h") for name in ("staged", "whole"))
    try:
        workers = {"all": whole.worker("match,decide,deliver")} | {stage: staged.worker(stage) for stage, _ in STAGES}
        for installation in (staged, whole):
            installation.wait_ready()
            installation.apply(documents(rules))
        for worker in workers.values():
            worker.freeze()
        begun = both.client.ends(GRANTED)
        say(f"{count} events, of which {len(causes)} are decided; workers ready after {time.monotonic() - started:.0f} s")
        both.client.send(topic, events(count))
        result: dict[str, Any] = {"events": count, "decided": len(causes), "stages": {}}
        for stage, _ in STAGES:
            result["stages"][stage] = figures(both, staged, workers[stage], [stage], count)
            workers[stage].end()
        grants = checked(both, staged, causes, rules, begun)
        since = both.client.ends(GRANTED)
        result["stages"]["all"] = figures(both, whole, workers["all"], [stage for stage, _ in STAGES], count)
        workers["all"].end()
        again = checked(both, whole, causes, rules, since)
    finally:
        staged.close()
        whole.close()
    binding = set(rules.budgets)
    if {g for g in grants if g.campaign not in binding} != {g for g in again if g.campaign not in binding}:
        raise VoidError("one process and three have not granted the same")
    result["grants"], result["denials"] = len(grants), len(causes) - len(grants)
    result["plain"] = plain(both, max(1000, count // PLAIN_SHARE), number, grants, rules)
    result["ratio"] = round(result["plain"]["us_per_event"] / result["stages"]["all"]["us_per_event"], 1)
    result["recount"] = f"{len(grants)} + {len(again)} + {result['plain']['grants']} grants recounted: all right, none missing, none twice"
    say(result["recount"])
    return result


def figures(both: Servers, installation: Installation, worker: Process, stages: Sequence[str], count: int) -> dict[str, Any]:
    """Let a worker take its whole backlog and return what that cost."""
    before = both.redis_cost()
    cpu_s, wall_s = measured(worker, lambda: all(installation.done(stage) for stage in stages), 300)
    after = both.redis_cost()
    say(f"{'+'.join(stages)}: {cpu_s / count * 1e6:.2f} µs an event, {wall_s:.1f} s")
    return {
        "us_per_event": round(cpu_s / count * 1e6, 3),
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(wall_s, 2),
        "rss_mb": round(worker.rss_mb()),
        "redis_cpu_s": round(after.cpu_s - before.cpu_s, 3),
        "redis_calls": after.calls - before.calls,
    }


def checked(both: Servers, installation: Installation, causes: Sequence[Cause], rules: Rules, since: Sequence[int]) -> list[Given]:
    """Return the grants of the ledger, recounted, if what was delivered is the same."""
    grants = list(installation.ledger())
    recount(causes, rules, grants)
    delivered = granted_since(both, since)
    if sorted(delivered) != sorted(grants):
        raise VoidError(f"{len(grants)} grants in the ledger, but {len(delivered)} delivered, or others")
    return grants


def plain(both: Servers, count: int, number: str, grants: Sequence[Given], rules: Rules) -> dict[str, Any]:
    """Let plain Faust take the first `count` events, under the same limits; return what that cost.

    Budgets are smaller by as much as there are fewer events, so that some run out here too; where none binds the grants must be those
    that livepromo made of the same events.
    """
    slice_, kafka = list(islice(events(count), count)), both.client
    causes = [event.cause for event in slice_ if event.cause is not None]
    scaled = rules_for(causes)
    source, target = f"{PLAIN_EVENTS}.{number}", f"{PLAIN_GRANTED}.{number}"
    kafka.make(source, target)
    kafka.send(source, slice_)
    said = both.home / f"plain-{number}.json"
    task = Task(kafka.bootstrap, f"{both.redis.url[:-1]}{int(number) + 1}", source, target, count, scaled, str(said))
    before = both.redis_cost()
    worker = Process(
        [sys.executable, "-m", "benchmarks.peers.plain_faust", msgspec.json.encode(task).decode()],
        dict(os.environ),
        both.home / f"plain-{number}.log",
    )
    try:
        if worker.wait(240):
            raise RuntimeError(f"plain Faust ended with {worker.code}: {worker.said()}")
    finally:
        worker.end()
    after = both.redis_cost()
    outcome = msgspec.json.decode(said.read_bytes(), type=Outcome)
    found = granted_since(both, [0] * 8, target)
    recount(causes, scaled, found)
    theirs = {g for g in found if g.campaign not in scaled.budgets}
    of_these = {cause.event_id for cause in causes}
    ours = {g for g in grants if g.campaign not in rules.budgets and g.event_id in of_these}
    if theirs != ours:
        raise VoidError(f"plain Faust and livepromo have not granted the same of the same events: {sorted(theirs ^ ours)[:3]}")
    say(f"plain Faust: {outcome.cpu_s / count * 1e6:.1f} µs an event, {outcome.wall_s:.1f} s")
    return {
        "events": count,
        "decided": len(causes),
        "grants": len(found),
        "us_per_event": round(outcome.cpu_s / count * 1e6, 2),
        "cpu_s": round(outcome.cpu_s, 2),
        "wall_s": round(outcome.wall_s, 2),
        "redis_cpu_s": round(after.cpu_s - before.cpu_s, 3),
        "redis_calls": after.calls - before.calls,
    }


def table(result: dict[str, Any]) -> str:
    """Return the figures as a table: the median of the runs, and the least."""
    runs = result["runs"]

    def of(*path: str) -> list[float]:
        found = []
        for one in runs:
            for name in path:
                one = one[name]  # noqa: PLW2901 - down the path
            found.append(float(one))
        return found

    def cell(values: list[float]) -> str:
        return f"{statistics.median(values):8.2f}{min(values):8.2f}"

    last = runs[-1]
    lines = [
        f"{last['events']} events, {last['decided']} decided: {last['grants']} grants, {last['denials']} denials",
        last["recount"],
        "",
        f"{'CPU-µs per event':<28}{'median':>8}{'least':>8}{'events/s':>12}{'Redis CPU-µs/decided':>24}",
    ]
    for stage in ("match", "decide", "deliver", "all"):
        each = last["stages"][stage]
        redis = f"{each['redis_cpu_s'] / last['decided'] * 1e6:24.2f}" if stage in {"decide", "all"} else ""
        lines.append(f"{stage:<28}{cell(of('stages', stage, 'us_per_event'))}{last['events'] / each['wall_s']:12,.0f}{redis}")
    each = last["plain"]
    lines.append(
        f"{'plain Faust':<28}{cell(of('plain', 'us_per_event'))}{each['events'] / each['wall_s']:12,.0f}"
        f"{each['redis_cpu_s'] / each['decided'] * 1e6:24.2f}"
    )
    ratios = of("ratio")
    lines += ["", f"plain Faust : livepromo (all) = {statistics.median(ratios):.1f} (runs: {', '.join(f'{one:.1f}' for one in ratios)})"]
    lines.append(json.dumps(result["machine"]))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
