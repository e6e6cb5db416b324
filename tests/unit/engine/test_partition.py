"""Time, disorder, repeats, and what moves a partition on (rules: Periods, time and disorder)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from livepromo.behaviour.users import User
from livepromo.engine import partition as room
from livepromo.engine.horizons import Horizons
from livepromo.engine.partition import advance
from livepromo.engine.state import Changes, State, merge
from livepromo.engine.sweeping import BATCH_BYTES
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.ids import UserId
from livepromo.model.records import DeadReason, Event, Ignored, Malformed, Membership, Position, Record
from unit.engine.builders import DAY, HORIZONS, HOUR, MINUTE, T0, Partition, a_batch, a_campaign, a_plan, charged, profile

PLAN = a_plan(a_campaign())


def dead(partition: Partition) -> list[str]:
    return [reason.value for _, reason in partition.last.dead]


def member(ts: int = T0, *, member: bool = True) -> Membership:
    return Membership(UserId("u1"), ts, "loyal", member)


# -- lateness ---------------------------------------------------------------------------------------------------------


def test_an_event_a_day_older_than_stream_time_is_taken_and_one_a_millisecond_older_is_a_dead_letter() -> None:
    partition = Partition(a_plan(a_campaign(), at=T0 - 9 * DAY))
    found = partition.take(charged(T0), charged(T0 - DAY), charged(T0 - DAY - 1))
    assert [one.decided_at_ms for one in found] == [T0, T0 - DAY]
    assert partition.last.dead == [(2, DeadReason.TOO_OLD)]


def test_events_that_nobody_asks_for_are_too_old_as_well_and_move_stream_time_on_as_well() -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0 + 2 * DAY, event="Viewed"), charged(T0), charged(T0, event="Viewed"))
    assert dead(partition) == ["too_old", "too_old"]


@pytest.mark.parametrize("late", [profile(T0 - 900 * DAY, plan="gold"), member(T0 - 900 * DAY)])
def test_profiles_and_memberships_are_never_too_late(late: Record) -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0), late)
    assert partition.last.taken == 2
    assert set(partition.state.users) == {"u1"}


def test_a_profile_moves_stream_time_on_like_any_record() -> None:
    partition = Partition(PLAN)
    partition.take(profile(T0 + 2 * DAY), charged(T0))
    assert dead(partition) == ["too_old"]


@pytest.mark.parametrize("record", [charged(T0), charged(T0, event="Viewed"), profile(T0, plan="gold"), member(T0)])
def test_what_claims_a_time_more_than_five_minutes_ahead_of_its_receipt_is_a_dead_letter(record: Record) -> None:
    partition = Partition(PLAN)
    partition.take(record, received=[T0 - 5 * MINUTE])
    assert partition.last.taken == 1
    partition = Partition(PLAN)
    partition.take(record, received=[T0 - 5 * MINUTE - 1])
    assert dead(partition) == ["in_the_future"]
    assert not partition.state.has_begun
    assert not partition.state.users


def test_the_time_of_a_record_is_never_later_than_its_receipt() -> None:
    partition = Partition(PLAN)
    [candidate] = partition.take(charged(T0 + MINUTE, "e"), received=[T0])
    assert partition.state.stream_ms == T0
    assert candidate.decided_at_ms == T0
    assert b'"ts":%d' % (T0 + MINUTE) in candidate.cause


def test_a_record_that_was_received_later_than_its_time_keeps_its_time() -> None:
    partition = Partition(PLAN)
    [candidate] = partition.take(charged(T0), received=[T0 + HOUR])
    assert isinstance(candidate, Candidate)
    assert (candidate.decided_at_ms, candidate.received_ms, partition.state.stream_ms) == (T0, T0 + HOUR, T0)


def test_lateness_is_judged_by_the_time_of_the_record_not_by_what_it_claims() -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0 + DAY, "a"), charged(T0 + 2 * MINUTE, "b"), received=[None, T0 - 1])
    assert dead(partition) == ["too_old"]


def test_stream_time_never_goes_back() -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0 + HOUR), charged(T0))
    assert partition.state.stream_ms == T0 + HOUR
    partition.take(charged(T0 + 1))
    assert partition.state.stream_ms == T0 + HOUR


# -- what moves nothing on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        Malformed(DeadReason.NOT_JSON),
        Ignored(),
        charged(T0 - DAY - 1, "old"),
        charged(T0 + 3 * HOUR, "a"),  # a repeat, whatever it now contains
    ],
)
def test_dead_letters_ignored_records_and_repeats_move_nothing_on(record: Record) -> None:
    partition = Partition(a_plan(a_campaign(), at=T0 - 9 * DAY))
    partition.take(charged(T0, "a"))
    assert partition.take(record) == []
    last = partition.last
    assert (last.taken, last.stream_ms, len(last.ids), last.parts) == (0, T0, 0, {})
    assert last.repeats + last.ignored + len(last.dead) == 1


def test_an_event_that_is_a_dead_letter_is_not_remembered() -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0 + HOUR, "a"), received=[T0])
    assert len(partition.take(charged(T0 + HOUR, "a"), received=[T0 + HOUR])) == 1


# -- repeats ----------------------------------------------------------------------------------------------------------


def test_the_same_id_of_the_same_user_is_ignored_whatever_it_now_contains() -> None:
    partition = Partition(a_plan(a_campaign(), a_campaign("d", "Viewed")))
    assert len(partition.take(charged(T0, "a", Amount=1), charged(T0 + 1, "a", Amount=2), charged(T0, "a", event="Viewed"))) == 1
    assert len(partition.take(charged(T0, "a", Amount=1), charged(T0, "a", user="u2"))) == 1


@pytest.mark.parametrize("apart", [DAY, -DAY])
def test_an_id_is_remembered_for_a_day_of_its_events_time_both_ends_included(apart: int) -> None:
    for more, candidates in ((0, 0), (1 if apart > 0 else -1, 1)):
        partition = Partition(a_plan(a_campaign(), at=T0 - 9 * DAY), Horizons(lateness_ms=9 * DAY))
        partition.take(charged(T0, "a"))
        assert len(partition.take(charged(T0 + apart + more, "a"))) == candidates


def test_the_day_counts_from_the_one_that_was_taken_not_from_its_repeats() -> None:
    partition = Partition(PLAN)
    found = partition.take(charged(T0, "a"), charged(T0 + 20 * HOUR, "a"), charged(T0 + 30 * HOUR, "a"))
    assert [one.decided_at_ms for one in found] == [T0, T0 + 30 * HOUR]


def test_ids_are_remembered_only_of_events_that_a_document_names() -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0, "a", event="Viewed"), charged(T0, "a", event="Viewed"))
    assert (partition.last.taken, len(partition.state.ids)) == (2, 0)
    assert len(partition.take(charged(T0, "a"))) == 1


def test_an_event_that_matches_no_condition_is_remembered_all_the_same() -> None:
    partition = Partition(a_plan(a_campaign(qualify={"where": [{"property": "Amount", "op": "gt", "value": 10}]})))
    assert partition.take(charged(T0, "a", Amount=1), charged(T0, "a", Amount=100)) == []


def test_without_an_id_the_content_is_the_id_by_value() -> None:
    first = Event(UserId("u1"), "Charged", T0, None, {"Amount": 10, "at": {"x": 1, "y": [0.5]}})
    again = Event(UserId("u1"), "Charged", T0, None, {"at": {"y": [0.5], "x": 1}, "Amount": 10})
    others: list[dict[str, Any]] = [{"Amount": 10, "at": {"x": 1, "y": ["0.5"]}}, {"Amount": "10"}, {"Amount": True}, {"Amount": 1}, {}]
    partition = Partition(PLAN)
    assert len(partition.take(first, again)) == 1
    assert len(partition.take(*(Event(UserId("u1"), "Charged", T0, None, other) for other in others))) == len(others)
    assert len(partition.take(charged(T0 + 1), charged(T0, user="u2"))) == 2


def test_the_name_of_an_event_without_id_stands_in_its_cause() -> None:
    [candidate] = Partition(PLAN).take(charged())
    assert b'"event_id":"h-' in candidate.cause


def test_a_repeat_is_found_in_the_same_batch_and_in_a_later_one() -> None:
    partition = Partition(PLAN)
    assert len(partition.take(charged(T0, "a"), charged(T0, "a"))) == 1
    assert partition.take(charged(T0, "a")) == []


def test_ids_are_forgotten_when_no_event_that_is_still_taken_could_repeat_them() -> None:
    partition = Partition(PLAN)
    partition.take(charged(T0, "a"))
    partition.take(charged(T0 + 2 * DAY, "b"))
    assert (len(partition.state.ids), partition.forgotten) == (2, [])
    assert partition.take(charged(T0 + DAY, "a")) == []
    partition.take(charged(T0 + 2 * DAY + HOUR, "c"))
    assert partition.forgotten == [T0 // HOUR]
    assert len(partition.state.ids) == 2


# -- users ------------------------------------------------------------------------------------------------------------


def test_profiles_and_memberships_are_kept_in_the_order_read_asked_for_or_not() -> None:
    partition = Partition(a_plan())
    partition.take(profile(T0, plan="gold", age=4), member(), profile(T0 - DAY, age=None))
    assert partition.state.user(UserId("u1")) == User({"plan": "gold"}, frozenset({"loyal"}))
    partition.take(profile(plan=None), member(member=False))
    assert partition.state.user(UserId("u1")) == User()


def test_what_changes_nothing_of_a_user_is_not_written_again() -> None:
    partition = Partition(PLAN)
    partition.take(profile(plan="gold"))
    partition.take(profile(T0 + 1, plan="gold"), member(T0 + 2, member=False))
    assert (partition.last.parts, partition.last.taken) == ({}, 2)


def test_a_profile_that_would_make_too_much_of_a_user_is_a_dead_letter_and_changes_nothing() -> None:
    partition = Partition(PLAN)
    partition.take(profile(a="x" * 200_000))
    partition.take(profile(T0 + HOUR, b="x" * 200_000), profile(T0 + 1, plan="gold"))
    assert (dead(partition), partition.state.stream_ms) == (["too_large"], T0 + 1)
    assert set(partition.state.user(UserId("u1")).properties) == {"a", "plan"}


# -- batches ----------------------------------------------------------------------------------------------------------


def large(number: int) -> Event:
    return charged(T0 + number, f"e{number}", user=f"u{number % 7}", text="x" * 20_000)


def run(records: Sequence[Record], batch: int) -> tuple[list[Candidate | Denial], list[tuple[int, DeadReason]], State, int]:
    """Take records, so many at a time, going on where a batch stopped; return what they make, and how many batches it took."""
    plan = a_plan(a_campaign(metadata=[{"key": "text", "from": "event.text"}, {"key": "plan", "from": "user.plan"}]))
    state, outcomes, dead_places, batches, at = State(HORIZONS), [], [], 0, 0
    while at < len(records):
        some = a_batch(records[at : at + batch], first=at)
        changes = advance(state, plan, HORIZONS, some)
        assert changes.took
        outcomes += changes.outcomes
        dead_places += [(at + place, reason) for place, reason in changes.dead]
        at += changes.took
        changes.position = Position(at, 0)
        merge(state, changes)
        batches += 1
    return outcomes, dead_places, state, batches


def whole(state: State) -> tuple[object, ...]:
    return state.position, state.stream_ms, state.users, {hour: state.ids.bucket(hour) for hour in state.ids.hours()}


def test_a_batch_stops_before_it_grows_too_large_and_going_on_gives_the_same() -> None:
    records: list[Record] = []
    for number in range(120):
        records += [large(number), Malformed(DeadReason.NOT_JSON), large(number // 2), profile(T0, user=f"u{number % 7}", plan=number)]
    outcomes, dead_places, state, batches = run(records, 10_000)
    assert batches > 3
    for size in (1, 7, 100):
        others, other_dead, other_state, _ = run(records, size)
        assert (others, other_dead, whole(other_state)) == (outcomes, dead_places, whole(state))


def test_no_batch_is_much_larger_than_its_bound() -> None:
    plan = a_plan(a_campaign(metadata=[{"key": "text", "from": "event.text"}]))
    changes = advance(State(HORIZONS), plan, HORIZONS, a_batch([large(number) for number in range(100)]))
    made = sum(len(one.reward_pieces[-1]) for one in changes.outcomes if isinstance(one, Candidate))
    assert BATCH_BYTES / 2 < made < BATCH_BYTES + room.CANDIDATE_BYTES


def test_an_event_whose_rewards_would_not_fit_into_a_record_is_a_dead_letter_and_moves_nothing_on() -> None:
    rows = [{"key": f"k{n}", "from": "event.numbers"} for n in range(4)]
    partition = Partition(a_plan(a_campaign(metadata=rows)))
    found = partition.take(charged(T0 + HOUR, "a", numbers=[10**300] * 1000), charged(T0, "b", numbers=[1]))
    assert (len(found), dead(partition), partition.state.stream_ms) == (1, ["too_large"], T0)


def test_advancing_touches_nothing_and_twice_gives_the_same() -> None:
    state = State(HORIZONS)
    merge(state, advance(state, PLAN, HORIZONS, a_batch([profile(plan="gold"), charged(T0, "a")])))
    before = whole(state)
    batch = a_batch([charged(T0 + 5, "b"), profile(plan=None), charged(T0, "a"), member()], first=2)
    first, second = (advance(state, PLAN, HORIZONS, batch) for _ in range(2))
    assert whole(state) == before
    names = [name for name in Changes.__slots__ if name != "ids"]
    assert [getattr(first, name) for name in names] == [getattr(second, name) for name in names]


def test_a_partition_that_has_taken_nothing_has_not_begun_and_finds_nothing_too_old() -> None:
    partition = Partition(a_plan(a_campaign(when={"start": "2000-01-01T00:00Z"})))
    assert not partition.state.has_begun
    assert len(partition.take(charged(1_000_000_000_000))) == 1
    assert partition.state.has_begun


def test_one_event_may_trigger_any_number_of_campaigns() -> None:
    rows = [{"key": "text", "from": "event.text"}]
    partition = Partition(a_plan(*(a_campaign(f"c{n:04}", metadata=rows) for n in range(1000))))
    found = partition.take(charged(T0, "a", text="x" * 2000))
    assert [one.campaign for one in found] == [f"c{n:04}" for n in range(1000)]


def test_what_one_event_makes_is_bounded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "EVENT_BYTES", 1000)
    partition = Partition(a_plan(a_campaign("c"), a_campaign("d")))
    partition.take(charged())
    assert dead(partition) == ["too_large"]
