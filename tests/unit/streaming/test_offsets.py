"""Slices cover the log without a gap, and only what is acknowledged without a gap is committed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepromo.streaming.offsets import SMALL_SLICES, OffsetTracker, Partition, Slice, join

HERE = Partition("events", 0)


def a_slice(first: int, following: int, offsets: list[int] | None = None, partition: Partition = HERE) -> Slice:
    offsets = list(range(first, following)) if offsets is None else offsets
    return Slice(
        partition,
        first,
        following,
        offsets=offsets,
        timestamps_ms=[10 * offset for offset in offsets],
        keys=[b"k%d" % offset for offset in offsets],
        values=[b"v%d" % offset for offset in offsets],
        headers=[[] for _ in offsets],
        end_offset=following,
    )


def a_tracker(position: int) -> OffsetTracker:
    tracker = OffsetTracker()
    tracker.begin(HERE, position)
    return tracker


def opened(tracker: OffsetTracker, *pieces: Slice) -> None:
    for piece in pieces:
        tracker.opened(piece)
        assert piece.start()


async def test_only_the_contiguous_acknowledged_prefix_is_committable() -> None:
    tracker = a_tracker(5)
    first, second, third = a_slice(5, 7), a_slice(7, 9), a_slice(9, 12)
    opened(tracker, first, second, third)
    third.acknowledge()
    assert tracker.committable() == {}
    first.acknowledge()
    assert tracker.committable() == {HERE: 7}
    tracker.committed({HERE: 7})
    assert tracker.committable() == {}
    second.acknowledge()
    assert tracker.committable() == {HERE: 12}


@given(st.permutations(range(8)), st.integers(0, 8))
async def test_whatever_the_order_of_acknowledgements_what_is_committable_is_the_unbroken_prefix(order: list[int], count: int) -> None:
    tracker = a_tracker(0)
    pieces = [a_slice(3 * i, 3 * i + 3) for i in range(8)]
    opened(tracker, *pieces)
    for i in order[:count]:
        pieces[i].acknowledge()
        pieces[i].acknowledge()
    done = set(order[:count])
    prefix = next((i for i in range(9) if i not in done), 8)
    assert tracker.committable() == ({HERE: 3 * prefix} if prefix else {})
    assert tracker.in_flight(HERE) == 8 - prefix


async def test_a_slice_of_a_revoked_partition_can_neither_begin_nor_be_committed() -> None:
    tracker = a_tracker(0)
    waiting, begun = a_slice(3, 6), a_slice(0, 3)
    tracker.opened(begun)
    assert begun.start()
    tracker.opened(waiting)
    tracker.forget([HERE])
    assert not waiting.start()
    assert tracker.begun(HERE) == 1
    begun.acknowledge()
    assert tracker.begun(HERE) == 0
    assert tracker.committable() == {}
    tracker.begin(HERE, 0)
    assert tracker.committable() == {}


async def test_nothing_begins_while_partitions_are_drained() -> None:
    tracker = a_tracker(0)
    piece = a_slice(0, 3)
    tracker.opened(piece)
    tracker.draining = True
    assert not piece.start()
    assert tracker.begun(HERE) == 0


async def test_an_abandoned_slice_is_not_waited_for_and_never_committed() -> None:
    tracker = a_tracker(0)
    first, second = a_slice(0, 3), a_slice(3, 6)
    opened(tracker, first, second)
    second.acknowledge()
    first.abandon()
    assert tracker.begun(HERE) == 0
    assert tracker.committable() == {}


async def test_a_gap_between_slices_is_an_error() -> None:
    tracker = a_tracker(0)
    tracker.opened(a_slice(0, 3))
    with pytest.raises(AssertionError, match="fetched from 4, expected 3"):
        tracker.opened(a_slice(4, 6))


@given(
    st.lists(st.integers(1, 40), max_size=30),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(1, 7),
    st.integers(1, 60),
)
def test_the_cuts_of_a_slice_cover_it_in_order_within_both_bounds(gaps: list[int], lead: int, trail: int, records: int, span: int) -> None:
    offsets, at = [], 100 + lead
    for gap in gaps:
        offsets.append(at)
        at += gap
    piece = a_slice(100, (offsets[-1] + 1 if offsets else at) + trail, offsets)
    parts = list(piece.cut(records, span))
    assert [o for part in parts for o in part.offsets] == offsets
    assert [v for part in parts for v in part.values] == piece.values
    assert [part.first_offset for part in parts][1:] == [part.next_offset for part in parts][:-1]
    assert not parts or (parts[0].first_offset, parts[-1].next_offset) == (100, piece.next_offset)
    for part in parts:
        assert len(part) <= records
        assert part.next_offset - part.first_offset <= span
        assert all(part.first_offset <= o < part.next_offset for o in part.offsets)
        assert part.keys == [b"k%d" % o for o in part.offsets]
        assert part.timestamps_ms == [10 * o for o in part.offsets]
        assert len(part.headers) == len(part)


async def test_acknowledging_joined_slices_acknowledges_each() -> None:
    tracker = a_tracker(0)
    pieces = [a_slice(0, 3), a_slice(3, 3 + 50, []), a_slice(53, 60)]
    opened(tracker, *pieces)
    joined = join(pieces)
    assert (joined.first_offset, joined.next_offset, joined.end_offset) == (0, 60, 60)
    assert joined.offsets == [0, 1, 2, *range(53, 60)]
    assert joined.values == [b"v%d" % o for o in joined.offsets]
    joined.acknowledge()
    assert tracker.committable() == {HERE: 60}


def test_slices_that_do_not_follow_one_another_are_not_joined() -> None:
    with pytest.raises(AssertionError, match="does not begin where"):
        join([a_slice(0, 3), a_slice(4, 5)])
    with pytest.raises(AssertionError, match="two partitions"):
        join([a_slice(0, 3), a_slice(3, 5, partition=Partition("events", 1))])


async def test_small_slices_leave_room_for_more_until_they_hold_a_full_slice_together_or_are_too_many() -> None:
    tracker = a_tracker(0)
    opened(tracker, *(a_slice(at, at + 1) for at in range(5)))
    assert tracker.has_room(HERE, slices=3, records=6), "five slices, but of one record each"
    opened(tracker, a_slice(5, 6))
    assert not tracker.has_room(HERE, slices=3, records=6)
    assert tracker.has_room(HERE, slices=7, records=6), "few slices have room, whatever they hold"
    opened(tracker, *(a_slice(at, at + 1) for at in range(6, SMALL_SLICES)))
    assert not tracker.has_room(HERE, slices=3, records=10_000)
