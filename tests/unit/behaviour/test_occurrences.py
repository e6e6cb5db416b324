"""What is remembered of a user's events, and what is forgotten (R6-R10; memory of events)."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.behaviour.occurrences import ROWS_IN_A_CHUNK, Remembered, Rule, noted, rule_for, times_by_value, times_done, value_of
from livepromo.model.audiences import Back, Span, Within
from livepromo.model.conditions import Condition, Op
from livepromo.model.time import DAY_MS

T = 1_764_547_200_000
LATE = DAY_MS
BIG = Condition("Amount", Op.GTE, (20,))


def a_rule(within: Within | None = None, most: int | None = 3, *, apart: tuple[str, ...] = (), where: tuple[Condition, ...] = ()) -> Rule:
    return rule_for(("Charged",), where, within, apart=apart, most=most)


def after(rule: Rule, *times_ms: int, stream_ms: int | None = None, kept: Remembered | None = None, **properties: Any) -> Remembered | None:
    """What is remembered after events at these times, in this order."""
    for time_ms in times_ms:
        kept = noted(kept, rule, time_ms, properties, time_ms if stream_ms is None else stream_ms, LATE)
    return kept


def size_of(kept: Remembered | None) -> int:
    return 0 if kept is None else sum(map(len, kept.chunks))


def test_both_ends_of_a_look_back_are_inside() -> None:
    rule = a_rule(Back(1_000))
    kept = after(rule, T)
    assert [times_done(rule, kept, T + later) for later in (-1, 0, 1_000, 1_001)] == [0, 1, 1, 0]


def test_a_span_holds_its_first_instant_and_not_its_last() -> None:
    rule = a_rule(Span(T, T + 10))
    assert [times_done(rule, after(rule, T + at), T + 100) for at in (-1, 0, 9, 10)] == [0, 1, 1, 0]


def test_times_after_the_decision_never_count() -> None:
    for within in (None, Span(T, T + 1_000), Back(DAY_MS)):
        rule = a_rule(within)
        kept = after(rule, T + 5, T + 6)
        assert [times_done(rule, kept, T + at) for at in (4, 5, 6)] == [0, 1, 2]


def test_an_event_for_which_where_does_not_hold_is_no_occurrence() -> None:
    rule = a_rule(where=(BIG,))
    before = after(rule, T, Amount=20)
    assert noted(before, rule, T + 1, {"Amount": 19}, T + 1, LATE) is before
    assert noted(None, rule, T + 1, {}, T + 1, LATE) is None
    assert times_done(rule, before, T) == 1


def test_what_no_decision_to_come_can_see_is_not_remembered() -> None:
    rule = a_rule(Back(1_000))
    edge = T - LATE - 1_000
    assert after(rule, edge - 1, stream_ms=T) is None
    kept = after(rule, edge, stream_ms=T)
    assert times_done(rule, kept, T - LATE) == 1


def test_an_older_occurrence_goes_when_no_decision_to_come_can_see_it() -> None:
    rule = a_rule(Back(1_000))
    kept = after(rule, T, T + LATE + 1_000)
    assert size_of(kept) == 2 * 8
    assert size_of(after(rule, T + LATE + 1_001, kept=kept)) == 2 * 8


def test_of_what_every_decision_to_come_sees_as_many_are_kept_as_make_a_difference() -> None:
    rule = a_rule(Back(10 * DAY_MS), most=2)
    hours = [T + hour * DAY_MS // 24 for hour in range(24)]
    late = T + 3 * DAY_MS
    kept = after(rule, *hours, late)
    assert size_of(kept) == 3 * 8
    assert times_done(rule, kept, late - 1) == 2
    assert times_done(rule, kept, hours[-1] + 10 * DAY_MS + 1) == 1  # the newest ones have been kept


def test_an_occurrence_just_behind_the_horizon_leaves_the_older_ones_to_a_decision_at_it() -> None:
    rule = a_rule(Back(5 * DAY_MS), most=1)
    stream = T + 2 * LATE
    kept = after(rule, T, T + LATE + 1, stream_ms=stream)
    assert times_done(rule, kept, T + LATE) == 1
    kept = after(rule, T + LATE, stream_ms=stream, kept=kept)
    assert size_of(kept) == 2 * 8


def test_occurrences_between_others_within_a_look_back_are_not_kept() -> None:
    rule = a_rule(Back(100), most=1)
    assert size_of(after(rule, T, T + 50, T + 101)) == 2 * 8
    kept = after(rule, T, T + 50, T + 102)
    assert size_of(kept) == 3 * 8
    assert times_done(rule, kept, T + 101) == 1  # it begins after the first, ends before the last, and sees the one between
    busy = after(a_rule(Back(DAY_MS), most=3), *range(T, T + 50_000, 10))
    assert busy is not None
    assert size_of(busy) <= 2 * 3 * 8 + 8


def test_someone_who_has_done_it_often_enough_needs_no_more_room_and_no_more_writing() -> None:
    rule = a_rule(most=3)
    kept = after(rule, T, T + 1, T + 2, T + 3)
    assert size_of(kept) == 3 * 8
    aged = after(rule, T + 2 * DAY_MS, kept=kept)
    assert size_of(aged) == 8
    assert after(rule, *range(T + 3 * DAY_MS, T + 3 * DAY_MS + 100), kept=aged) is aged


def test_how_often_it_was_done_long_ago_is_one_number() -> None:
    rule = a_rule(most=1_000_000)
    kept = after(rule, *range(T, T + 2_000), stream_ms=T + 2 * DAY_MS)
    assert size_of(kept) == 8
    assert times_done(rule, kept, T + 2 * DAY_MS) == 2_000


def test_an_earlier_event_that_is_read_later_is_seen_by_earlier_decisions() -> None:
    rule = a_rule(most=1)
    kept = after(rule, T + 100, T + 50, T + 70, stream_ms=T + 100)
    assert [times_done(rule, kept, T + at) for at in (49, 50)] == [0, 1]
    assert size_of(kept) == 8


def test_more_than_one_row_can_say_is_said_by_several() -> None:
    rule = a_rule(most=None, apart=("p",))
    many = (1 << 22) - 1
    one = noted(None, rule, T, {"p": "x"}, T, LATE)
    assert one is not None
    packed = bytearray(one.chunks[0])
    packed[-8:] = (many - 1).to_bytes(8, "little")  # as if it had been done so often long ago
    kept: Remembered | None = Remembered(0, (bytes(packed),))
    for n in range(4):
        kept = noted(kept, rule, T + n, {"p": "x"}, T + 2 * DAY_MS, LATE)
    assert sum(times_by_value(rule, kept, T + 2 * DAY_MS).values()) == many + 4


def test_values_are_told_apart_by_type_and_content() -> None:
    values = ["1", 1, True, "true", 0, False, 0.5, "", 2**70, 2**70 + 1]
    assert len({value_of((value,)) for value in values}) == len(values)
    assert value_of((1,)) == value_of((1.0,))
    assert value_of((10**23,)) == value_of((1e23,))
    assert value_of(("a", "b")) != value_of(("b", "a"))
    assert value_of(("ab", "")) != value_of(("a", "b"))
    assert [value_of(one) for one in ((None,), ([],), ({},), ("a", None))] == [None] * 4


def test_an_event_without_the_value_is_no_occurrence_where_values_are_compared_and_one_where_shares_are() -> None:
    compared, shared = a_rule(most=1, apart=("p",)), a_rule(most=None, apart=("p",))
    for properties in ({}, {"p": ["nested"]}, {"q": 1}):
        assert noted(None, compared, T, properties, T, LATE) is None
        assert times_by_value(shared, noted(None, shared, T, properties, T, LATE), T) == {0: 1}
    both = a_rule(most=1, apart=("p", "q"))
    assert noted(None, both, T, {"p": 1}, T, LATE) is None


def test_each_value_is_remembered_as_often_as_makes_a_difference() -> None:
    rule = a_rule(Back(100 * DAY_MS), most=1, apart=("p",))
    kept = None
    for n in range(500):
        kept = noted(kept, rule, T + n * DAY_MS // 10, {"p": f"v{n % 5}"}, T + n * DAY_MS // 10, LATE)
    assert size_of(kept) <= 1 + 5 * (9 + 2 * 8)
    assert len(times_by_value(rule, kept, T + 50 * DAY_MS)) == 5


@pytest.mark.parametrize("within", [None, Back(30 * DAY_MS)], ids=["since ever", "look-back"])
@pytest.mark.parametrize("most", [1, 100, None], ids=["once", "a hundred times", "every one"])
@pytest.mark.parametrize("values", [1, 20, 300])
def test_chunks_stay_small_and_few_are_touched(within: Within | None, most: int | None, values: int) -> None:
    rule = a_rule(within, most=most, apart=("p",))
    kept: Remembered | None = None
    for n in range(3_000):
        at = T + n * 300_000  # ten days in all
        before, kept = kept, noted(kept, rule, at, {"p": n * 7919 % values}, at, LATE)
        assert kept is not None
        known = set() if before is None else set(map(id, before.chunks))
        assert sum(id(chunk) not in known for chunk in kept.chunks) <= 3
    assert kept is not None
    assert max(map(len, kept.chunks)) <= 1 + ROWS_IN_A_CHUNK * 17
    a_day, all_of_it = 288, 3_000
    rows = all_of_it if within and most != 1 else min(all_of_it, 2 * values + a_day)
    assert sum(map(len, kept.chunks)) <= 2 * 17 * rows + 17 * ROWS_IN_A_CHUNK


def test_old_chunks_go_as_time_passes_and_the_others_keep_their_numbers() -> None:
    rule = a_rule(Back(DAY_MS), most=None, apart=("p",))
    kept: Remembered | None = None
    numbers: dict[int, int] = {}
    for n in range(2_000):
        at = T + n * 600_000  # 144 a day
        kept = noted(kept, rule, at, {"p": "x"}, at, LATE)
        assert kept is not None
        assert len(kept.chunks) <= 2 * 144 // ROWS_IN_A_CHUNK + 2
        for number, chunk in list(enumerate(kept.chunks, kept.first))[:-1]:
            assert numbers.setdefault(number, hash(chunk)) == hash(chunk)
    assert kept is not None
    assert kept.first + len(kept.chunks) == -(-2_000 // ROWS_IN_A_CHUNK)


def test_a_chunk_whose_newest_occurrence_a_decision_can_still_see_stays() -> None:
    rule = a_rule(Back(1_000), most=None, apart=("p",))
    kept = after(rule, *[T] * (ROWS_IN_A_CHUNK + 1), p="x")
    edge = after(rule, T + LATE + 1_000, p="x", kept=kept)
    assert sum(times_by_value(rule, edge, T + 1_000).values()) == ROWS_IN_A_CHUNK + 1
    later = after(rule, T + LATE + 1_001, p="x", kept=kept)
    assert later is not None
    assert (later.first, len(later.chunks)) == (1, 1)


def test_a_hundred_times_in_a_look_back_take_the_room_of_about_a_hundred() -> None:
    rule = a_rule(Back(3_000 * DAY_MS), most=100)
    kept: Remembered | None = None
    for n in range(2_000):
        kept = after(rule, T + n * DAY_MS // 2, kept=kept)
        assert size_of(kept) < 8 * (100 + 2 * ROWS_IN_A_CHUNK)
        assert times_done(rule, kept, T + n * DAY_MS // 2 - LATE) >= min(100, n - 1)


def test_the_same_content_is_the_same_rule_and_any_other_is_another() -> None:
    same = [
        rule_for(("A", "B"), (BIG, Condition("p", Op.EQ, (1,))), Back(5), most=2),
        rule_for(("B", "A", "A"), (Condition("p", Op.EQ, (1.0,)), BIG), Back(5), most=2),
    ]
    assert len(set(same)) == 1
    assert same[0].key == same[1].key
    assert len(same[0].key) == 8
    others = [
        rule_for(("A",), (), None, most=1),
        rule_for(("A", "B"), (), None, most=1),
        rule_for(("B",), (), None, most=1),
        rule_for(("A",), (), None, most=2),
        rule_for(("A",), (), Back(5), most=1),
        rule_for(("A",), (), Back(6), most=1),
        rule_for(("A",), (), Span(5, 6), most=1),
        rule_for(("A",), (), Span(4, 6), most=1),
        rule_for(("A",), (), Span(5, 7), most=1),
        rule_for(("A",), (), None, most=1, apart=("p",)),
        rule_for(("A",), (), None, most=None, apart=("p",)),
        rule_for(("A",), (), None, most=1, sent_ms=5),
        rule_for(("A",), (Condition("p", Op.EQ, (1,)),), None, most=1),
        rule_for(("A",), (Condition("p", Op.EQ, (True,)),), None, most=1),
        rule_for(("A",), (Condition("p", Op.EQ, ("1",)),), None, most=1),
        rule_for(("A",), (Condition("p", Op.NE, (1,)),), None, most=1),
        rule_for(("A",), (Condition("q", Op.EQ, (1,)),), None, most=1),
    ]
    assert len(set(others)) == len(others)


def test_the_name_of_a_rule_does_not_change() -> None:
    assert rule_for(("Charged",), (BIG,), Back(5), most=2).key.hex() == "d25b17477875d95f"


def test_a_rule_says_how_far_back_it_looks() -> None:
    assert a_rule(Back(1_000)).reach_ms(T) == T - 1_000
    assert a_rule(Span(5, 6)).reach_ms(T) == 5
    assert a_rule().reach_ms(T) is None
    assert rule_for(("A",), (), Back(1_000), most=1, sent_ms=T + 5_000).reach_ms(T) == T + 4_000
    assert rule_for(("A",), (), None, most=1, sent_ms=T).reach_ms(T) is None


def test_what_counts_for_a_send_is_never_forgotten() -> None:
    rule = rule_for(("Charged",), (), Back(1_000), most=5, sent_ms=T)
    kept = after(rule, T - 1_001, T - 1_000, T, T + 1)
    kept = after(rule, T - 500, stream_ms=T + 1_000 * DAY_MS, kept=kept)
    assert times_done(rule, kept, T) == 3
