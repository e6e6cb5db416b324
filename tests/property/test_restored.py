"""Whoever takes a partition over, at whatever batch the owner before ended, knows what that one knew, and decides the same from there on.

Windows, occurrences, ids, who users are, how far campaigns have been sent: whatever compaction has left of the journal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import settings

from livepromo.behaviour import keeping, occurrences
from livepromo.behaviour.decoding import decode_recorded
from livepromo.documents.catalogue import Catalogue, Publication, take
from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine import partition, sends, sweeping
from livepromo.engine.entries import Tick, Visit
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import Surroundings, merge_ids, parts_of, restore_part, take_entry
from livepromo.engine.offers import Send
from livepromo.engine.partition import Batch, advance, advance_time
from livepromo.engine.plan import Plan, compile_plan
from livepromo.engine.sends import next_send, users_of, visit
from livepromo.engine.state import Changes, Part, State, merge
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.documents import key_of
from livepromo.model.records import Position
from property.drawn import BEGINNINGS, HOUR, begins_of
from property.drawn_behaviour import SCALES, AudienceAuthor, AudienceWorld
from property.judging import drawn
from property.restated_values import DAY, Document

AROUND = Surroundings(8, "2025b")


class Owner:
    """Takes a partition's log as a worker does. One with a `random` ends after some batches, and another takes over in its place."""

    def __init__(self, plan: Plan, horizons: Horizons, users_at_once: int, random: Random | None = None) -> None:
        self.plan, self.horizons, self.users_at_once, self._random = plan, horizons, users_at_once, random
        self.state = State(horizons)
        self.journal: list[list[Part]] = []
        self.decided: list[Candidate | Denial] = []

    def take(self, batch: Batch) -> None:
        """Take records."""
        while (start := next((at for at, offset in enumerate(batch.offsets) if offset >= self.state.position.offset), None)) is not None:
            changes = advance(self.state, self.plan, self.horizons, batch.behind(start))
            self._append(changes)
            if changes.send is not None:
                self._send(changes.send)

    def tick(self, at_ms: int) -> None:
        """Take a tick."""
        if at_ms > self.state.stream_ms:
            parts, taken = take_entry(self.state, Tick(at_ms), AROUND)
            taken()
            self._durable(parts)
            self._take_what_is_due()

    def _take_what_is_due(self) -> None:
        while True:
            changes, done = advance_time(self.state, self.plan, self.horizons, self.state.stream_ms)
            self._append(changes)
            if changes.send is not None:
                self._send(changes.send)
            elif done:
                return

    def _send(self, send: Send) -> None:
        while (now := next_send(self.state, self.plan)) is not None and now.offer.campaign == send.offer.campaign:
            at, users = self.state.position, users_of(self.state, send)
            entered = self.state.entries.get(Position(at.offset, at.step - 1))
            if isinstance(entered, Visit):
                changes, _ = visit(self.state, self.horizons, send, users[: entered.users], at, left=len(users))
                self._append(changes)
                continue
            place = Position(at.offset, at.step + 1)
            changes, count = visit(self.state, self.horizons, send, users[: self.users_at_once], place, left=len(users))
            parts, taken = take_entry(self.state, Visit(send.offer.campaign, count, changes.sent[send.offer.campaign].done), AROUND)
            taken()
            self._durable(parts)

    def _append(self, changes: Changes) -> None:
        parts = parts_of(self.state, changes, AROUND)
        self.decided += changes.outcomes
        forgotten = merge(self.state, changes)
        merge_ids(self.state, changes, forgotten)
        self._durable(parts)

    def _durable(self, parts: list[Part]) -> None:
        self.journal.append(parts)
        if self._random is not None and self._random.random() < 0.3:
            before = known(self.state)
            self.state = restored(self.horizons, left_of(self._random, self.journal))
            assert known(self.state) == before


def left_of(random: Random, journal: Sequence[list[Part]]) -> list[Part]:
    """Return what compaction has left: up to some place the last record of each key, and tombstones for a while; behind it everything."""
    parts = [part for batch in journal for part in batch]
    clean = random.choice((0, len(parts), random.randint(0, len(parts))))
    last = {key: at for at, (key, _) in enumerate(parts[:clean])}
    old = [parts[at] for at in sorted(last.values()) if parts[at][1] is not None or random.random() < 0.5]
    return old + parts[clean:]


def restored(horizons: Horizons, parts: Sequence[Part]) -> State:
    state = State(horizons)
    for key, payload in parts:
        restore_part(state, key, payload)
    merge_ids(state, Changes(state, horizons), state.ids.expire(state.stream_ms))
    return state


def known(state: State) -> dict[str, object]:
    """Return everything that a decision may depend on."""
    users = {user: keeping.unpack(packed) for user, packed in state.users.items()}
    for user, kept in users.items():
        assert kept.filed_ms <= kept.due_ms(), f"{user} is not looked at when something is due"
    over = (state.stream_ms - 2 * DAY) // HOUR  # ids of earlier hours are forgotten, with the next records or before
    return {
        "position": state.position,
        "stream": state.stream_ms,
        "users": {user: (kept.who, kept.remembered, kept.windows) for user, kept in users.items()},
        "windows": {campaign: count for campaign, count in state.open_windows.items() if count},
        "sent": state.sent,
        "entries": state.entries,
        "ids": {hour: sorted(state.ids.bucket(hour)) for hour in state.ids.hours() if hour >= over},
        "parts of ids": {hour: set(keys) for hour, keys in state.id_parts.items() if hour >= over},
    }


def plan_of(documents: list[Document], published_ms: int, horizons: Horizons) -> Plan:
    read, _ = check_content(json.dumps(documents).encode(), "drawn.json", "UTC")
    meant = documents_of(read)
    publication = Publication("author", {key_of(document): 0 for document in meant}, tuple(meant))
    catalogue, valid = take(Catalogue(), 0, published_ms, publication)
    assert valid
    return compile_plan(catalogue, horizons, now_start_ms=0)


def check(random: Random, slice_records: int, batch_bytes: int) -> None:
    """Object unless owners who follow one another know and decide what one who lives on does."""
    begins = begins_of(random.choice(BEGINNINGS))
    author = AudienceAuthor(random, begins, random.choice(SCALES), sends=True)
    horizons = Horizons(open_windows=random.choice((1, 2, 1_000)))
    plan = plan_of(author.documents(), begins, horizons)
    world = AudienceWorld(random, begins, author.spans)
    lines = [world.line() for _ in range(random.randint(1, 60))]
    users_at_once = random.choice((1, 2, 2_000))
    one, others = Owner(plan, horizons, users_at_once), Owner(plan, horizons, users_at_once, random)
    with (
        patch.object(partition, "BATCH_BYTES", batch_bytes),
        patch.object(sweeping, "BATCH_BYTES", batch_bytes),
        patch.object(sends, "BATCH_BYTES", batch_bytes),
        patch.object(occurrences, "ROWS_IN_A_CHUNK", random.choice((2, 3, 64))),
    ):
        for start in range(0, len(lines), slice_records):
            decoded = [decode_recorded(sent.line) for sent in lines[start : start + slice_records]]
            offsets = range(start, start + len(decoded))
            batch = Batch(offsets, [record for record, _ in decoded], [received_ms for _, received_ms in decoded])
            at_ms = world.clock + random.choice(author.spans) if random.random() < 0.2 else None
            for owner in (one, others):
                owner.take(batch)
                if at_ms is not None:
                    owner.tick(at_ms)
        for owner in (one, others):
            owner.tick(world.clock + 10 * max(author.spans))
    assert others.decided == one.decided
    assert known(others.state) == known(one.state)


@settings(max_examples=300, deadline=None)
@drawn
def test_an_owner_knows_and_decides_what_the_one_before_would_have(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@drawn
def test_an_owner_knows_and_decides_what_the_one_before_would_have_in_ten_thousand_histories(
    random: Random, slice_records: int, batch_bytes: int
) -> None:
    check(random, slice_records, batch_bytes)
