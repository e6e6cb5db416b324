"""What audiences cost: bytes of a user's profile and history, and processor time of an event whose campaigns ask who it is.

`python -m benchmarks.audiences`. One partition without Kafka: a million users with a profile each, and what three rules remember of them;
then events that ten campaigns watch, which ask nothing or have a `who` of five leaves. Before a figure counts, who was meant has been
recounted.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice

import psutil
from benchmarks.core import plan_of
from benchmarks.load import FIRST_MS, VoidError

from livepromo.behaviour.decoding import decode
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import restore_part
from livepromo.engine.partition import Batch, advance
from livepromo.engine.plan import Plan
from livepromo.engine.state import Part, State, merge
from livepromo.model.records import Position

CAMPAIGNS = 10
SLICE = 2_000
AT_ONCE = 10_000
CITIES = ("Berlin", "Mumbai")
HORIZONS = Horizons()
WHO = (
    "who: {all: [{property: city, op: eq, value: Berlin}, {property: age, op: gte, value: 30}, "
    "{did: {event: View, within: 30d}}, {did: {event: Charged, count: {gte: 2}, within: 30d}}, {did_not: {event: Removed, within: 30d}}]}\n"
)


def documents(who: str) -> str:
    """Return ten campaigns that watch the same event."""
    parts = ["kind: wallet\nid: bench\n"]
    parts += [
        f"kind: campaign\nid: camp-{number}\nqualify: {{live: {{event: Added To Cart}}}}\n{who}"
        'reward: {points: {wallet: bench, earn: {flat: 10}}}\nwhen: {start: "2026-01-01T00:00:00Z"}\n'
        for number in range(CAMPAIGNS)
    ]
    return "---\n".join(parts)


def is_meant(user: int) -> bool:
    """Say whether a user is in that audience: but for four of sixteen, of whom each lacks something, everyone is."""
    return user % 16 not in {1, 2, 3, 4}


def records(user: int, offset: int) -> Iterator[bytes]:
    """Yield the profile of a user and what they did: four events."""
    head = f'"user":"u{user:07d}","ts":{FIRST_MS}'
    lacks = user % 16
    properties = f'{{"city":"{CITIES[lacks == 1]}","age":{18 if lacks == 2 else 30 + user % 50},"plan":"gold"}}'
    yield f'{{"type":"profile",{head},"properties":{properties}}}'.encode()
    for number, event in enumerate(("View", "Charged", "View" if lacks == 3 else "Charged", "Removed" if lacks == 4 else "Shared")):
        yield f'{{"id":"e{offset + number:012d}",{head},"event":"{event}","properties":{{"Amount":100.5}}}}'.encode()


def parts(plan: Plan, users: int) -> Iterator[Part]:
    """Yield the records of the journal for so many users, as `advance` makes them."""
    for first in range(0, users, 200):
        values = [value for user in range(first, min(first + 200, users)) for value in records(user, 5 * user)]
        batch = Batch(range(len(values)), list(map(decode, values)), [None] * len(values))
        changes = advance(State(HORIZONS), plan, HORIZONS, batch)
        assert changes.took == len(values)
        yield from changes.parts.items()


def filled(plan: Plan, users: int) -> tuple[State, float, float]:
    """Return a partition that knows so many users, bytes of each, and the processor seconds of restoring them."""
    process, state, restore_s = psutil.Process(), State(HORIZONS), 0.0
    gc.collect()
    rss, every = process.memory_info().rss, parts(plan, users)
    while some := list(islice(every, AT_ONCE)):
        before = time.process_time()
        for key, payload in some:
            restore_part(state, key, payload)
        restore_s += time.process_time() - before
    gc.collect()
    state.stream_ms, state.position = FIRST_MS, Position(0, 0)
    return state, (process.memory_info().rss - rss) / users, restore_s


def take(state: State, plan: Plan, asked: Sequence[int], number: int) -> tuple[float, set[int]]:
    """Take the event that all campaigns watch from these users; return microseconds an event, and whom all campaigns owe something."""
    values = [
        f'{{"id":"c{number}-{at}","user":"u{user:07d}","ts":{FIRST_MS + 60_000 + number},'
        f'"event":"Added To Cart","properties":{{"Amount":100.5}}}}'.encode()
        for at, user in enumerate(asked)
    ]
    before, taken, met = time.process_time_ns(), 0, dict[int, int]()
    outcomes = []
    read = list(map(decode, values))
    while taken < SLICE:
        start = state.position.offset
        changes = advance(state, plan, HORIZONS, Batch(range(start, start + SLICE - taken), read[taken:], [None] * (SLICE - taken)))
        outcomes += changes.outcomes
        taken += changes.took
        merge(state, changes)
    us = (time.process_time_ns() - before) / 1000 / SLICE
    for outcome in outcomes:
        user = int(outcome.user[1:])
        met[user] = met.get(user, 0) + 1
    if any(count % CAMPAIGNS for count in met.values()):
        raise VoidError("some campaigns owe a user what others do not")
    return us, set(met)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audiences", description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--slices", type=int, default=20, help="of 2,000 events, for each")
    asked = parser.parse_args()
    plans = {"who of 5 leaves": plan_of(documents(WHO)), "no who": plan_of(documents(""))}
    plan = plans["who of 5 leaves"]
    state, bytes_each, restore_s = filled(plan, asked.users)
    print(f"{asked.users:,} users with a profile and 3 rules: {bytes_each:.0f} bytes each, restored in {restore_s:.1f} CPU-s")
    everyone = [number * 7_919 % asked.users for number in range(2 * SLICE * asked.slices)]
    meant = list(filter(is_meant, everyone))  # so that all campaigns owe as much, whatever they ask
    taken: dict[str, list[float]] = {name: [] for name in plans}
    for number in range(asked.slices):
        for at, (name, one) in enumerate(plans.items()):
            us, met = take(state, one, meant[number * SLICE : (number + 1) * SLICE], 2 * number + at)
            taken[name].append(us)
            if met != set(meant[number * SLICE : (number + 1) * SLICE]):
                raise VoidError(f"{name}: not everyone was met who was meant")
    _, met = take(state, plan, everyone[:SLICE], 2 * asked.slices)
    if met != set(filter(is_meant, everyone[:SLICE])):
        raise VoidError("others were met than those who were meant")
    print(f"{'10 campaigns':<20}{'CPU-µs an event: median':>26}{'least':>8}")
    for name, each in taken.items():
        print(f"{name:<20}{statistics.median(each):>26.2f}{min(each):>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
