"""What stands in a journal makes the same state again, whatever happened before, and what was forgotten gets a tombstone."""

from __future__ import annotations

from random import Random

import pytest

from livepromo.behaviour.keeping import unpack
from livepromo.behaviour.occurrences import Remembered
from livepromo.engine.entries import CatalogueTaken
from livepromo.engine.journalling import (
    FORGOTTEN_IN_A_BATCH,
    IDS_IN_A_PART,
    POSITION_KEY,
    Part,
    Surroundings,
    entry_key,
    id_key,
    merge_ids,
    parts_of,
    position_part,
    read_position,
    restore_part,
    take_entry,
)
from livepromo.engine.partition import advance
from livepromo.engine.parts import memory_key, versioned
from livepromo.engine.plan import Plan
from livepromo.engine.state import Changes, State, merge
from livepromo.model.ids import UserId
from livepromo.model.records import Membership, Position, Profile, Record
from livepromo.streaming.journal import BATCH_BYTES, batch_bytes
from unit.engine.builders import DAY, HORIZONS, HOUR, MINUTE, T0, a_batch, a_campaign, a_plan, charged, profile

PLAN = a_plan(a_campaign(when={"start": "2020-01-01T00:00Z"}))
AROUND = Surroundings(8, "2025b")


class Written:
    """A state and everything that was appended to its journal."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.plan, self.state = plan, State(HORIZONS)
        self.journal: list[Part] = []

    def take(self, *records: Record) -> Changes:
        first = self.state.position.offset
        changes = advance(self.state, self.plan, HORIZONS, a_batch(records, first=first))
        assert changes.took == len(records)
        changes.position = Position(first + len(records), 0)
        self.journal += parts_of(self.state, changes, AROUND)
        merge_ids(self.state, changes, merge(self.state, changes))
        return changes

    def enter(self, catalogue: int) -> None:
        parts, taken = take_entry(self.state, CatalogueTaken(catalogue), AROUND)
        self.journal += parts
        taken()

    def compacted(self) -> list[Part]:
        """Return the newest record of each key, in order; Kafka may drop any of the older ones."""
        newest = {key: at for at, (key, _) in enumerate(self.journal)}
        return [part for at, part in enumerate(self.journal) if newest[part[0]] == at]


def restored(parts: list[Part]) -> State:
    state = State(HORIZONS)
    for key, payload in parts:
        restore_part(state, key, payload)
    merge_ids(state, Changes(state, HORIZONS), state.ids.expire(state.stream_ms))
    return state


def whole(state: State) -> tuple[object, ...]:
    ids = {hour: sorted(state.ids.bucket(hour)) for hour in state.ids.hours()}
    return (
        state.position,
        state.stream_ms,
        state.catalogue,
        {user: state.user(user) for user in state.users},
        state.entries,
        ids,
        {hour: set(keys) for hour, keys in state.id_parts.items()},
    )


def a_history(random: Random) -> Written:
    written = Written()
    clock = T0
    for _ in range(random.randint(1, 40)):
        if random.random() < 0.15:
            written.enter(written.state.catalogue + random.randint(1, 3))
            continue
        records: list[Record] = []
        for _ in range(random.randint(1, 6)):
            clock += random.choice((0, 0, MINUTE, HOUR, 9 * HOUR, 2 * DAY))
            ts, user = clock - random.choice((0, 0, 3 * HOUR, DAY)), random.choice(("u1", "ü", "u:/2"))
            records.append(
                random.choice(
                    (
                        charged(ts, random.choice((None, "a", "b", "c")), user=user),
                        charged(ts, user=user),
                        profile(ts, user=user, plan=random.choice(("gold", None, 2**70, 0.1)), age=random.choice((1, None))),
                        Membership(UserId(user), ts, "loyal", random.random() < 0.5),
                    )
                )
            )
        written.take(*records)
    return written


@pytest.mark.parametrize("seed", range(40))
def test_a_journal_compacted_or_not_makes_the_state_again(seed: int) -> None:
    written = a_history(Random(seed))
    for parts in (written.journal, written.compacted()):
        assert whole(restored(parts)) == whole(written.state)


@pytest.mark.parametrize("seed", range(10))
def test_a_journal_that_ends_with_any_of_its_batches_makes_the_state_of_that_moment(seed: int) -> None:
    written = a_history(Random(seed))
    ends = [at + 1 for at, (key, _) in enumerate(written.journal) if key == POSITION_KEY]
    for end in ends:
        state = restored(written.journal[:end])
        assert state.position == read_position(written.journal[end - 1][1] or b"").position


def test_a_restored_state_goes_on_as_the_one_that_was_written() -> None:
    for seed in range(20):
        written = a_history(Random(seed))
        again = Written()
        again.state = restored(written.compacted())
        later: list[Record] = [
            charged(written.state.stream_ms - n * HOUR, name, user=user)
            for n in (0, 5, 24)
            for name in ("a", "b", None)
            for user in ("u1", "ü")
        ]
        ours, theirs = written.take(*later), again.take(*later)
        assert (ours.outcomes, ours.repeats, ours.dead) == (theirs.outcomes, theirs.repeats, theirs.dead)
        assert whole(written.state) == whole(again.state)


def test_the_position_is_the_last_record_of_every_batch() -> None:
    written = Written()
    written.take(charged(T0, "a"), profile(plan="gold"))
    key, payload = written.journal[-1]
    assert key == POSITION_KEY
    assert payload is not None
    part = read_position(payload)
    assert (part.position, part.stream_ms, part.catalogue, part.partitions, part.tzdata) == (Position(2, 0), T0, 0, 8, "2025b")


def test_a_position_written_again_says_the_same() -> None:
    written = Written()
    written.take(charged(T0, "a"))
    again = position_part(written.state, written.state.position, written.state.stream_ms, AROUND)
    assert again == written.journal[-1]


def test_everyone_of_whom_any_record_was_read_is_known_after_a_restart() -> None:
    written = Written()
    written.take(profile(plan="gold"), charged(user="u2", event="Something else"), charged(user="u3"))
    written.take(profile(plan=None))
    assert (b"u:u1", b"\x01") in written.journal
    assert restored(written.compacted()).users.keys() == {"u1", "u2", "u3"}


def test_ids_whose_hour_is_over_get_a_tombstone_with_the_next_batch_once() -> None:
    written = Written()
    written.take(charged(T0, "a"))
    [key] = written.state.id_parts[T0 // HOUR]
    written.take(charged(T0 + 2 * DAY + HOUR, "b"))
    assert written.state.forgotten == [key]
    assert (key, None) not in written.journal
    written.take(charged(T0 + 2 * DAY + HOUR, "c"))
    written.take(charged(T0 + 2 * DAY + HOUR, "d"))
    assert written.journal.count((key, None)) == 1
    assert T0 // HOUR not in restored(written.journal).id_parts


def test_ids_made_and_forgotten_in_one_batch_get_a_tombstone_too() -> None:
    written = Written()
    written.take(charged(T0, "a"), charged(T0 + 9 * DAY, "b"))
    [key] = written.state.forgotten
    assert key.startswith(b"i:%d:" % (T0 // HOUR))
    assert set(written.state.id_parts) == {(T0 + 9 * DAY) // HOUR}


def test_a_tombstone_that_the_older_owner_had_not_written_is_written_by_the_new_one() -> None:
    written = Written()
    written.take(charged(T0, "a"))
    written.take(charged(T0 + 9 * DAY, "b"))
    state = restored(written.journal)
    assert state.forgotten == written.state.forgotten != []


def test_no_key_of_ids_is_written_twice_and_each_part_is_of_a_bounded_size() -> None:
    written = Written(a_plan(a_campaign(when={"start": "2030-01-01T00:00Z"})))
    for batch in range(3):
        written.take(*(charged(T0 + n % 3, f"{batch}-{n}") for n in range(2 * IDS_IN_A_PART + 5)))
    keys = [key for key, _ in written.journal if key.startswith(b"i:")]
    assert len(keys) == len(set(keys)) == 9
    assert all(len(payload or b"") <= 12 * IDS_IN_A_PART for key, payload in written.journal if key in keys)
    assert id_key(T0 // HOUR, Position(2 * IDS_IN_A_PART + 5, 0), 0) == keys[0]


def test_a_control_entry_moves_the_step_on_and_is_found_where_it_was_taken() -> None:
    written = Written()
    written.take(charged(T0, "a"))
    written.enter(3)
    written.enter(4)
    state = restored(written.journal)
    assert (state.position, state.catalogue) == (Position(1, 2), 4)
    assert state.entries == {Position(1, 0): CatalogueTaken(3), Position(1, 1): CatalogueTaken(4)}
    restore_part(state, entry_key(Position(1, 0)), None)
    assert state.entries == {Position(1, 1): CatalogueTaken(4)}


def test_a_part_of_no_known_kind_is_refused() -> None:
    with pytest.raises(AssertionError):
        restore_part(State(HORIZONS), b"@window:1", b"")


@pytest.mark.parametrize("records", [
    [Profile(UserId(f"user-{number:05d}"), T0, {"plan": "gold"}) for number in range(10_000)],
    [Profile(UserId(f"{number:0255d}"), T0, {"plan": "gold"}) for number in range(10_000)],
    [charged(T0 + number * HOUR, f"e{number}") for number in range(10_000)],
], ids=["small profiles", "long names", "an event an hour"])  # fmt: skip
def test_a_batch_of_many_small_parts_is_one_that_the_journal_takes(records: list[Record]) -> None:
    state = State(HORIZONS)
    while state.position.offset < len(records):
        first = state.position.offset
        changes = advance(state, PLAN, HORIZONS, a_batch(records, first=0).behind(first))
        changes.position = Position(first + changes.took, 0)
        parts = parts_of(state, changes, AROUND)
        assert batch_bytes(parts) < BATCH_BYTES
        merge_ids(state, changes, merge(state, changes))
    assert state.position.offset == len(records)


def test_an_hour_of_many_parts_is_forgotten_over_several_batches() -> None:
    written = Written()
    slices = 3 * FORGOTTEN_IN_A_BATCH
    for number in range(slices):
        written.take(charged(T0 + number, f"e{number}"))
    for number in range(5):
        before = len(written.journal)
        written.take(charged(T0 + 3 * DAY + number, f"late{number}"))
        assert sum(payload is None for _, payload in written.journal[before:]) == (FORGOTTEN_IN_A_BATCH if 0 < number < 4 else 0)
        assert whole(restored(written.compacted())) == whole(written.state)
    assert written.state.forgotten == []


def test_chunks_of_occurrences_are_restored_in_whatever_order_compaction_leaves_them() -> None:
    state, user, rule = State(HORIZONS), UserId("u1"), b"8 bytes."
    for number, chunk in ((0, b"a"), (2, b"c"), (0, None), (3, b"d"), (1, None)):
        restore_part(state, memory_key(user, rule, number), None if chunk is None else versioned(chunk))
    assert unpack(state.users[user]).remembered == {rule: Remembered(2, (b"c", b"d"))}


@pytest.mark.parametrize(("campaigns", "sizes"), [(5, [250_000]), (1, [225_000, 255_000, 255_000, 255_000]), (3, [90_000] * 30)])
def test_a_batch_of_windows_that_large_events_open_and_close_is_one_that_the_journal_takes(campaigns: int, sizes: list[int]) -> None:
    unless = {"unless": {"event": "Charged", "within": "1m"}, "same": ["product"]}
    plan = a_plan(*(a_campaign(f"c{number}", "Added", qualify=unless) for number in range(campaigns)))
    records: list[Record] = [
        charged(T0 + place, f"e{place}", event="Added", user=f"u{place % 3}", product=place, text="x" * size)
        for place, size in enumerate(sizes)
    ]
    records += [charged(T0 + 1_000, f"d{place}", user=f"u{place % 3}", product=place) for place in range(len(sizes))]
    state = State(HORIZONS)
    while (first := state.position.offset) < len(records):
        changes = advance(state, plan, HORIZONS, a_batch(records, first=0).behind(first))
        assert batch_bytes(parts_of(state, changes, AROUND)) < BATCH_BYTES
        merge(state, changes)
    assert state.open_windows.total() > 0
