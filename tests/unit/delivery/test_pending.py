"""Pending calls: packed, taken by time, and the lowest place that is not finished."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.delivery.pending import Pending, Place, Places, Waiting, pack, unpack
from livepromo.delivery.retries import Tries, Why

NOW = 1_764_547_200_000

pendings = st.builds(
    Pending,
    st.builds(Place, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)),
    st.integers(0, 2**32 - 1),
    st.builds(
        Tries,
        st.integers(0, 65_535),
        st.integers(0, 3),
        st.none() | st.integers(0, 2**53),
        st.integers(0, 2**53),
        st.none() | st.integers(100, 999),
        st.sampled_from(Why),
    ),
)


@given(pendings)
def test_a_row_holds_all_of_a_pending_call(pending: Pending) -> None:
    assert unpack(pack(pending)) == pending


def test_rows_are_read_by_every_release() -> None:
    tried = Pending(Place(3, 1 << 40), 1_764_547_200, Tries(7, 2, NOW, NOW + 60_000, 503, Why.STATUS))
    row = bytes.fromhex("0000019ad7366e600000000300000100000000000000019ad7358400692cda8000070201f701")
    assert (pack(tried).hex(), unpack(row)) == (row.hex(), tried)
    whys = ["", "status", "connect", "name", "tls", "reset", "protocol", "timeout", "blocked", "secret", "circuit", "gone"]
    assert [str(why) for why in Why] == whys, "a new one comes last: rows have their numbers"


@given(st.lists(pendings, max_size=30))
def test_calls_are_taken_by_when_they_are_due(some: list[Pending]) -> None:
    waiting = Waiting()
    for pending in some:
        waiting.push(pending)
    taken = []
    while (next_ms := waiting.next_ms) is not None:
        assert waiting.first().tries.next_ms == next_ms
        taken.append(waiting.pop())
    assert [one.tries.next_ms for one in taken] == sorted(one.tries.next_ms for one in some)
    assert sorted(taken, key=pack) == sorted(some, key=pack)


@given(st.lists(pendings, max_size=30), st.data())
def test_a_partition_that_is_dropped_is_gone_and_no_other(some: list[Pending], data: st.DataObject) -> None:
    waiting = Waiting()
    for pending in some:
        waiting.push(pending)
    dropped = data.draw(st.sampled_from([one.place.partition for one in some])) if some else 0
    gone = waiting.drop(dropped)
    assert sorted(gone) == sorted(one.owed_s for one in some if one.place.partition == dropped)
    left = [waiting.pop() for _ in range(len(waiting))]
    assert sorted(left, key=pack) == sorted((one for one in some if one.place.partition != dropped), key=pack)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3000), st.randoms(use_true_random=False), st.integers(0, 100))
def test_the_lowest_place_is_the_least_of_those_not_finished(steps: list[int], luck: object, percent: int) -> None:
    places, owed, offset = Places(), list[int](), 0
    for step in steps:
        offset += step
        places.add(offset)
        owed.append(offset)
        while owed and luck.randrange(100) < percent:  # type: ignore[attr-defined]
            places.finish(owed.pop(luck.randrange(len(owed))))  # type: ignore[attr-defined]
        assert places.lowest == min(owed, default=None)
        assert len(places) == len(owed)
    assert list(places.unfinished()) == sorted(owed)


def test_finished_places_behind_one_that_is_not_take_no_memory() -> None:
    places = Places()
    places.add(0)
    for offset in range(1, 200_000):
        places.add(offset)
        places.finish(offset)
    assert places.lowest == 0
    assert len(places._offsets) < 5_000


def test_a_place_finishes_once() -> None:
    places = Places()
    places.add(7)
    places.finish(7)
    with pytest.raises(AssertionError, match="place 7 is not owed"):
        places.finish(7)
    with pytest.raises(AssertionError, match="place 8 is not owed"):
        places.finish(8)
