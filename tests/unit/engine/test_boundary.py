"""A record that meets a bug of ours becomes a dead letter, and all others are as if it had not been there."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.engine.boundary import advance_all, decode_all
from livepromo.engine.partition import advance
from livepromo.engine.state import Changes, State
from livepromo.model.ids import UserId
from livepromo.model.records import DeadReason, Event, Malformed, Record
from unit.engine.builders import HORIZONS, T0, a_batch, a_campaign, a_plan, profile


class Poisoned(dict[str, Any]):
    """Properties that raise when a campaign looks at them."""

    def get(self, name: str, default: Any = None) -> Any:
        raise ZeroDivisionError(name, default)


PLAN = a_plan(a_campaign(earn={"percent": 10, "of": "Amount"}))


def an_event(number: int, name: str | None = None, *, poisoned: bool = False, text: str = "") -> Event:
    properties = {"Amount": 500, "text": text}
    return Event(UserId("u1"), "Charged", T0 + number, name or f"e{number}", Poisoned(properties) if poisoned else properties)


def said(changes: Changes) -> tuple[object, ...]:
    ids = {hour: changes.ids.bucket(hour) for hour in changes.ids.hours()}
    return changes.outcomes, changes.parts, changes.stream_ms, changes.taken, changes.repeats, changes.took, ids


@pytest.mark.parametrize("poisoned", [{0}, {3}, {7}, {2, 3}, {0, 4, 7}, set(range(8)), set()])
def test_a_record_that_raises_is_put_aside_and_all_others_are_unaffected(poisoned: set[int]) -> None:
    records: list[Record] = [an_event(n, poisoned=n in poisoned) for n in range(8)]
    records[5:5] = [profile(T0 + 99, plan="gold"), an_event(1)]
    changes, bugs = advance_all(State(HORIZONS), PLAN, HORIZONS, a_batch(records))
    places = [at for at, record in enumerate(records) if isinstance(record, Event) and isinstance(record.properties, Poisoned)]
    assert changes.dead == [(at, DeadReason.BUG) for at in places]
    assert sorted(bugs) == places
    assert all("ZeroDivisionError" in text for text in bugs.values())
    without: list[Record] = [Malformed(DeadReason.BUG) if at in places else record for at, record in enumerate(records)]
    assert said(changes) == said(advance(State(HORIZONS), PLAN, HORIZONS, a_batch(without)))


def test_a_record_that_raised_is_not_remembered_so_that_it_can_be_sent_again() -> None:
    records = [an_event(0, "a", poisoned=True), an_event(0, "a")]
    changes, _ = advance_all(State(HORIZONS), PLAN, HORIZONS, a_batch(records))
    assert (len(changes.outcomes), changes.repeats) == (1, 0)


def test_the_place_is_found_in_a_batch_that_stops_early_too() -> None:
    records = [an_event(n, text="x" * 1000, poisoned=n == 3) for n in range(3000)]
    changes, bugs = advance_all(State(HORIZONS), PLAN, HORIZONS, a_batch(records))
    assert list(bugs) == [3]
    assert 3 < changes.took < 3000
    assert len(changes.outcomes) == changes.took - 1


def test_a_value_whose_decoding_raises_counts_as_a_bug_and_no_other_does() -> None:
    def decode(value: bytes | None) -> str:
        if value is None:
            raise AttributeError("none")
        return value.decode()

    assert decode_all([b"a", b"b"], decode, "bug") == (["a", "b"], {})
    decoded, bugs = decode_all([b"a", None, b"b", b"\xff"], decode, "bug")
    assert decoded == ["a", "bug", "b", "bug"]
    assert {at: text.splitlines()[-1].partition(":")[0] for at, text in bugs.items()} == {1: "AttributeError", 3: "UnicodeDecodeError"}


def test_a_bug_that_no_record_causes_is_raised() -> None:
    nobody: Any = None
    with pytest.raises(AttributeError):
        advance_all(State(HORIZONS), nobody, HORIZONS, a_batch([an_event(0), an_event(1)]))
