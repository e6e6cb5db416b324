"""A rule that is asked for in the middle of a log, and its past read in pieces, against one that was asked for before the first record."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from livepromo.behaviour.keeping import unpack
from livepromo.documents.catalogue import Catalogue
from livepromo.engine.boundary import scan_all
from livepromo.engine.entries import CatalogueTaken, HistoryRead
from livepromo.engine.histories import (
    Reading,
    asked_by,
    made_ready,
    met_more,
    new_rules,
    next_scan,
    nothing_scanned,
    reach_ms,
    read_rules,
    unread_of,
)
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import Surroundings, merge_ids, parts_of, restore_part, restored, take_entry
from livepromo.engine.partition import Batch, advance, advance_time
from livepromo.engine.plan import EMPTY_PLAN, Plan, compile_plan
from livepromo.engine.state import Changes, Part, State, merge
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.ids import UserId
from livepromo.model.records import DeadReason, Event, Malformed, Position, Profile, Record
from livepromo.model.time import HOUR_MS, SECOND_MS
from unit.engine.builders import GROCERY, T0, a_campaign, publish

HORIZONS = Horizons(lateness_ms=20 * SECOND_MS, repeats_ms=15 * SECOND_MS, ahead_ms=2 * SECOND_MS, grace_ms=SECOND_MS)
SURROUNDINGS = Surroundings(1, "2026a")
Drawn = list[tuple[Record, int]]


class Kept:
    """A partition as its owner keeps it: its state, and the journal from which the next owner restores it."""

    def __init__(self, log: Drawn) -> None:
        self.log, self.plan, self.state = log, EMPTY_PLAN, State(HORIZONS)
        self.journal: dict[bytes, bytes | None] = {}
        self.outcomes: list[tuple[int, list[Candidate | Denial]]] = []
        self.forget_reading()

    def forget_reading(self) -> None:
        self.met, self.at, self.name = nothing_scanned(HORIZONS), 0, -1

    def append(self, parts: Sequence[Part]) -> None:
        for key, payload in parts:
            self.journal[key] = payload

    def keep(self, changes: Changes) -> None:
        self.append(parts_of(self.state, changes, SURROUNDINGS))
        merge_ids(self.state, changes, merge(self.state, changes))

    def batch(self, start: int, stop: int) -> Batch:
        some = self.log[start:stop]
        return Batch(range(start, start + len(some)), [record for record, _ in some], [received for _, received in some])

    def live(self, count: int) -> None:
        """Take the next records."""
        start = self.state.position.offset
        stop = min(start + count, len(self.log))
        while (at := self.state.position.offset) < stop:
            changes = advance(self.state, self.plan, HORIZONS, self.batch(at, at + 1))
            self.outcomes.append((at, changes.outcomes))
            if changes.took:
                changes.position = Position(at + 1, 0)
            self.keep(changes)

    def finish(self) -> None:
        """Let all windows fire."""
        done = False
        while not done:
            changes, done = advance_time(self.state, self.plan, HORIZONS, T0 + HOUR_MS)
            self.outcomes.append((len(self.log), changes.outcomes))
            self.keep(changes)

    def publish(self, plan: Plan) -> None:
        """Take a catalogue."""
        firsts = {rule.key: self.first(reach_ms(self.state, plan, HORIZONS, rule)) for rule in new_rules(self.state, plan)}
        asked = asked_by(self.state, self.plan, plan, firsts)
        parts, taken = take_entry(self.state, CatalogueTaken(plan.position, unread_of(asked)), SURROUNDINGS, asked)
        self.append(parts)
        taken()
        self.plan = plan

    def first(self, from_ms: int | None) -> int:
        if from_ms is None:
            return 0
        return next((at for at, (_, received) in enumerate(self.log) if received >= from_ms), len(self.log))

    def read(self, count: int) -> None:
        """Read some of the past, as an owner that may have restarted since."""
        name = next_scan(self.state)
        if name is None:
            return
        scan = self.state.scans[name]
        if name != self.name:
            self.forget_reading()
            self.name, self.at = name, scan.first
            if scan.next > scan.first:
                self.at = min(scan.next, max(scan.first, self.first(scan.stream_ms - HORIZONS.lateness_ms - HORIZONS.repeats_ms)))
        batch = self.batch(self.at, min(self.at + count, scan.end))
        reading = Reading(self.state, self.plan, HORIZONS, name)
        changes, more, bugs = scan_all(reading, self.met, batch, to=self.at + len(batch.records))
        assert not bugs
        assert changes.took == len(batch.records)
        self.keep(changes)
        self.met, self.at = met_more(self.met, more), self.at + len(batch.records)

    def make_ready(self) -> None:
        """Take the control entry of what has been read."""
        if rules := read_rules(self.state):
            parts, taken = take_entry(self.state, HistoryRead(rules), SURROUNDINGS, made_ready(self.state, rules))
            self.append(parts)
            taken()

    def restart(self) -> None:
        """Be restored by another owner."""
        old, self.state = self.state, State(HORIZONS)
        for key, payload in self.journal.items():
            restore_part(self.state, key, payload)
        restored(self.state)
        merge_ids(self.state, Changes(self.state, HORIZONS), self.state.ids.expire(self.state.stream_ms))
        assert (self.state.position, self.state.histories, self.state.scans) == (old.position, old.histories, old.scans)
        assert self.state.unready == old.unready
        assert remembered(self.state) == remembered(old)
        self.forget_reading()


def remembered(state: State) -> dict[UserId, object]:
    return {user: unpack(packed).remembered for user, packed in state.users.items()}


def who(random: Random) -> dict[str, Any]:
    def leaf(kind: str = "") -> dict[str, Any]:
        kind = kind or random.choice(("did", "did", "did_not", "interest"))
        body: dict[str, Any] = {"event": random.choice(("A", "A", "B"))}
        within = random.choice((None, "1s", "5s", "30s", "60s", "300s", "span"))
        if within == "span":
            body["within"] = {"from": "2025-12-01T00:00:20Z", "to": f"2025-12-01T00:0{random.randint(1, 4)}:00Z"}
        elif within:
            body["within"] = within
        if kind == "did":
            body["count"] = {random.choice(("gte", "eq")): random.randint(1, 5)}
        if kind == "interest":
            body |= {"property": "p", "value": "x", "share": random.choice(("predominantly", 40))}
        elif random.random() < 0.3:
            body["where"] = [{"property": "q", "op": "eq", "value": "x"}]
        return {kind: body}

    shape = random.random()
    if shape < 0.5:
        return leaf()
    if shape < 0.75:
        return {random.choice(("all", "any", "none")): [leaf(), leaf()]}
    return {"all": [leaf("did"), leaf("did"), leaf()], "same": ["p"]}


def a_log(random: Random) -> Drawn:
    """Draw records with repeats, some of them late, some dead."""
    now_ms, log = T0, list[tuple[Record, int]]()
    events: list[tuple[Event, int]] = []
    for number in range(random.randint(5, 80)):
        now_ms += random.choice((0, 100, 1000, 1000, 3000, 8000))
        kind = random.random()
        record: Record
        if events and kind < 0.2:
            record = random.choice(events[-12:])[0]
        elif kind < 0.25:
            record = Malformed(DeadReason.NOT_JSON)
        elif kind < 0.3:
            record = Profile(UserId("u1"), now_ms, {"plan": number})
        else:
            late_ms = random.choice((0, 0, 0, 500, 3000, 19_000, 20_000, 20_001, 25_000, -1_000, -2_001))
            properties = {"p": random.choice("xxy"), "q": random.choice("xy")}
            name = None if random.random() < 0.1 else f"e{number}"
            record = Event(
                UserId(random.choice(("u1", "u1", "u2"))), random.choice(("A", "A", "B", "Go", "Go")), now_ms - late_ms, name, properties
            )
            events.append((record, now_ms))
        log.append((record, now_ms))
    return log


def campaigns(random: Random, from_ms: int) -> list[dict[str, Any]]:
    found = []
    for name in "ab"[: random.randint(1, 2)]:
        absence = {"unless": {"event": "B", "within": "4s", "grace": random.choice(("1s", "30s"))}} if random.random() < 0.3 else None
        start = f"2025-12-01T00:{from_ms // 60_000 % 60:02}:{from_ms // 1000 % 60:02}.{from_ms % 1000:03}Z"
        found.append(a_campaign(name, "Go", who=who(random), qualify=absence, when={"start": start}))
    return found


def check(random: Random) -> None:
    """Object unless a partition that reads the past in pieces decides as one that noted it when it came."""
    log = a_log(random)
    asked_at = random.randrange(len(log) + 1)
    starts_ms = max([T0 + 1, *(max(received, getattr(record, "ts_ms", 0)) + 1 for record, received in log[:asked_at])]) - T0
    documents = campaigns(random, starts_ms)
    empty = publish(Catalogue(), GROCERY, at=T0)
    asking = compile_plan(publish(empty, *documents, at=T0), HORIZONS)
    early = Kept(log)
    early.publish(asking)
    early.make_ready()
    late = Kept(log)
    if random.random() < 0.3:  # asked for, dropped, and asked for again
        late.live(random.randrange(asked_at + 1))
        late.publish(asking)
        late.read(random.randint(0, 50))
        late.make_ready()
        late.live(random.randint(0, max(0, asked_at - late.state.position.offset)))
        late.publish(replace(EMPTY_PLAN, position=asking.position + 1))
    late.live(max(0, asked_at - late.state.position.offset))
    late.publish(replace(asking, position=asking.position + 2))
    while next_scan(late.state) is not None:
        step = random.random()
        if step < 0.5:
            late.read(random.choice((1, 3, 7, 20)))
        elif step < 0.7:
            late.restart()
        elif late.state.position.offset < len(log):
            late.live(random.randint(1, 5))
    late.live(random.randint(0, 5))
    ready_at = late.state.position.offset
    late.make_ready()
    assert not late.state.unready
    if random.random() < 0.3:
        late.restart()
    ready_ms = late.state.stream_ms
    for partition in (early, late):
        partition.live(len(log))
        partition.finish()
    expected = decided(early, ready_at, ready_ms)
    note("somebody is rewarded" if expected else "nobody is rewarded")
    assert decided(late, ready_at, ready_ms) == expected


def decided(partition: Kept, ready_at: int, ready_ms: int) -> list[Candidate | Denial]:
    """Return what is decided with records from one on, but for windows that were held until then: they are judged by more."""

    def was_held(one: Candidate | Denial) -> bool:
        absence = partition.plan.absences.get(one.campaign)
        return absence is not None and one.decided_at_ms + absence.rules.terms[0].grace_ms < ready_ms

    found = [one for at, outcomes in partition.outcomes if at >= ready_at for one in outcomes if not was_held(one)]
    placeless = [replace(one, position=Position(0, 0)) if isinstance(one, Candidate) else one for one in found]
    return sorted(placeless, key=lambda one: (one.campaign, one.decided_at_ms, one.cause))


# The same examples every time: about one history in ten thousand (240482 is one) repeats an id at the very edge of what a scan reads.
@settings(max_examples=1_500, deadline=None, derandomize=True)
@given(st.integers(0, 1 << 32))
def test_decisions_are_those_of_a_partition_that_noted_from_the_beginning(seed: int) -> None:
    check(Random(seed))


@pytest.mark.nightly
@settings(max_examples=30_000, deadline=None)
@given(st.integers(0, 1 << 32))
def test_decisions_are_those_of_one_that_noted_from_the_beginning_in_thirty_thousand_histories(seed: int) -> None:
    check(Random(seed))
