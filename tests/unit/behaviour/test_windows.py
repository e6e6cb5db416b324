"""The limits of what is kept of windows, and that what is forgotten decides nothing; what windows do is held by the rules restated."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.behaviour.windows import (
    MOST_WAITING,
    PART_BYTES,
    Done,
    Groups,
    Rules,
    Tally,
    Terms,
    Trigger,
    Watched,
    due_of,
    head_of,
    open_in,
    packed_properties,
    properties_of,
    unpack,
)

pytestmark = pytest.mark.timeout(300)  # a thousand histories, on a machine that has other things to do

T = 1_764_547_200_000
WITHIN, GRACE = 30_000, 5_000
RULES = Rules((Terms(WITHIN, GRACE, restart=False, where=0, wheres=1),), most_open=1_000, kept_ms=WITHIN + GRACE)


class Kept:
    """The windows of one user in one campaign, from event to event; `stream_ms` moves as records come."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules, self.groups, self.tally, self.stream_ms, self.offset = rules, Groups(), Tally(), T, 0

    def take(self, *, done: int | None = None, trigger: int | None = None, value: str = "", properties: Any = None) -> None:
        self.offset += 1
        self.stream_ms = max(self.stream_ms, done or 0, trigger or 0)
        closing = None if done is None else (value, Done(done, self.offset, 1, 1))
        opening = None if trigger is None else (value, a_trigger(trigger, self.offset, properties))
        changed = Watched(self.rules, "c", self.groups, self.tally).take(self.stream_ms, done=closing, trigger=opening)
        self.groups = {key: packed for key, packed in (self.groups | changed).items() if packed is not None}


def a_trigger(time_ms: int, offset: int = 0, properties: Any = None) -> Trigger:
    return Trigger(time_ms, offset, 1, f"e{offset}", 0, packed_properties(properties or {}))


@pytest.mark.parametrize(
    "value", [0, 1, -1, 1.5, 2**63, 2**64, -(2**63) - 1, 10**300, True, False, "", "ü", "{", [1, [2**70]], {"a": {"b": 1e-300}}], ids=repr
)
def test_properties_come_back_as_they_were(value: Any) -> None:
    properties = {"a": 0.1, "x": value, "ü": "z"}
    found = properties_of(a_trigger(T, properties=properties))
    assert found == properties
    assert type(found["x"]) is type(value)
    assert list(found) == list(properties)


def test_an_event_without_properties_has_none() -> None:
    assert properties_of(a_trigger(T)) == {}


def test_a_trigger_that_does_not_fit_opens_no_window_and_is_counted() -> None:
    kept = Kept()
    many = "x" * (PART_BYTES // 8)
    for number in range(20):
        kept.take(trigger=T + number * 60_000, properties={"a": many})
    assert kept.tally["over_limit"] > 10
    [packed] = kept.groups.values()
    assert PART_BYTES - len(many) < len(packed) <= PART_BYTES
    assert open_in(packed) + kept.tally["over_limit"] == 20


def test_of_more_events_than_may_wait_the_oldest_is_taken_as_if_nothing_came_before_it() -> None:
    kept = Kept()
    kept.take(trigger=T)
    for number in range(MOST_WAITING - 1):
        kept.take(done=T + 1 + number % 1_000)
    kept.take(done=T + 1_000)
    assert kept.tally["opened"] == 0
    kept.take(done=T + 1_000)
    [packed] = kept.groups.values()
    assert kept.tally["opened"] == 1
    assert len(unpack(packed).dones) == MOST_WAITING + 1


def test_a_group_says_when_it_is_to_be_looked_at_and_how_many_windows_are_open() -> None:
    kept = Kept()
    kept.take(trigger=T)
    kept.take(trigger=T + WITHIN + 1)
    kept.take(done=T - 10)
    [packed] = kept.groups.values()
    assert (due_of(packed), open_in(packed)) == head_of(packed) == (T + WITHIN + GRACE, 2)


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_unless_event_is_forgotten_that_closes_a_trigger_still_to_come(random: Random) -> None:
    """A5, beside a list of every `unless` event ever read."""
    kept, read = Kept(), list[int]()
    clock = T
    for _ in range(random.randint(1, 50)):
        clock += random.choice((1, 10, 500, 3_000))
        event = clock - random.choice((0, 0, 0, 100, 20_000))
        kept.take(done=event)
        read.append(event)
        if not kept.groups:
            continue
        late = [t for t in range(clock - WITHIN - GRACE, clock - GRACE, 997) if t + GRACE < kept.stream_ms <= t + WITHIN + GRACE]
        for trigger in random.sample(late, min(3, len(late))):
            tally: Tally = Counter()
            Watched(RULES, "c", kept.groups, tally).take(kept.stream_ms, trigger=("", a_trigger(trigger, 1 << 30)))
            closed = any(trigger < one <= trigger + WITHIN for one in read)
            assert tally == Counter(opened=1, done=1) if closed else tally == Counter(opened=1)


def test_what_is_remembered_of_unless_events_does_not_grow_with_their_number() -> None:
    kept = Kept()
    for number in range(5_000):
        kept.take(done=T + number * 10)
    [packed] = kept.groups.values()
    assert len(unpack(packed).done) < 20
