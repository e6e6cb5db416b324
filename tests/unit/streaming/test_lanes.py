"""Nothing runs beside anything else in a lane, in order, and an error stops it for good."""

from __future__ import annotations

import asyncio

import pytest

from livepromo.streaming.lanes import Lane, Lanes
from livepromo.streaming.offsets import OffsetTracker, Partition, Slice

HERE = Partition("events", 3)


class _Bench:
    """A lane whose handlers write down what they were given and wait until they are let on."""

    def __init__(self, span_offsets: int = 10_000) -> None:
        self.tracker = OffsetTracker()
        self.tracker.begin(HERE, 0)
        self.seen: list[object] = []
        self.errors: list[BaseException] = []
        self.go = asyncio.Event()
        self.go.set()
        self.fails: Exception | None = None
        self.may_look = True
        self.inside = 0
        self.lane = Lane(
            HERE,
            on_slices=self.on_slices,
            on_look=self.on_look,
            on_error=self.errors.append,
            may_look=lambda: self.may_look,
            span_offsets=span_offsets,
        )

    async def on_slices(self, piece: Slice) -> None:
        await self._one((piece.first_offset, piece.next_offset))

    async def on_look(self) -> None:
        await self._one("look")

    async def _one(self, what: object) -> None:
        self.inside += 1
        assert self.inside == 1, "two at once"
        self.seen.append(what)
        await self.go.wait()
        self.inside -= 1
        if self.fails is not None:
            raise self.fails

    def put(self, count: int, size: int = 10) -> None:
        for _ in range(count):
            first = self.tracker.position(HERE)
            assert first is not None
            piece = Slice(HERE, first, first + size, offsets=[], timestamps_ms=[], keys=[], values=[], headers=[])
            self.tracker.opened(piece)
            self.lane.put(piece)


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_slices_that_wait_are_taken_together_and_a_look_keeps_its_place() -> None:
    bench = _Bench()
    bench.go.clear()
    bench.put(1)
    await turn()
    bench.put(3)
    bench.lane.look()
    bench.put(2)
    bench.go.set()
    await turn()
    assert bench.seen == [(0, 10), (10, 40), "look", (40, 60)]
    assert bench.tracker.committable() == {HERE: 60}
    await bench.lane.close()


async def test_slices_taken_together_span_no_more_offsets_than_allowed() -> None:
    bench = _Bench(span_offsets=25)
    bench.put(5)
    await turn()
    assert bench.seen == [(0, 20), (20, 40), (40, 50)]
    await bench.lane.close()


async def test_a_look_asked_for_twice_runs_once_and_again_when_asked_for_while_it_runs() -> None:
    bench = _Bench()
    bench.go.clear()
    bench.lane.look()
    bench.lane.look()
    await turn()
    bench.lane.look()
    bench.lane.look()
    bench.go.set()
    await turn()
    assert bench.seen == ["look", "look"]
    await bench.lane.close()


async def test_while_a_partition_is_revoked_neither_slice_nor_look_begins_and_what_runs_ends() -> None:
    bench = _Bench()
    bench.go.clear()
    bench.put(1)
    await turn()
    bench.put(2)
    bench.lane.look()
    bench.tracker.draining = True
    bench.may_look = False
    bench.go.set()
    await asyncio.wait_for(bench.lane.at_rest(), 5)
    await turn()
    assert bench.seen == [(0, 10)]
    assert bench.tracker.begun(HERE) == 0
    await bench.lane.close()


async def test_the_first_error_ends_the_lane_and_its_slice_is_never_acknowledged() -> None:
    bench = _Bench()
    bench.fails = ValueError("broken")
    bench.put(2)
    await turn()
    bench.fails = None
    bench.put(1)
    bench.lane.look()
    await turn()
    assert bench.seen == [(0, 20)]
    assert [str(error) for error in bench.errors] == ["broken"]
    assert bench.tracker.committable() == {}
    assert bench.tracker.begun(HERE) == 0
    await bench.lane.close()


async def test_closing_cancels_what_runs_and_leaves_it_unacknowledged() -> None:
    bench = _Bench()
    bench.go.clear()
    bench.put(1)
    await turn()
    await bench.lane.close()
    assert bench.errors == []
    assert bench.tracker.committable() == {}
    assert bench.tracker.begun(HERE) == 0


async def test_a_slice_without_a_lane_is_dropped_and_a_partition_has_one_lane() -> None:
    lanes = Lanes()
    lanes.put(Slice(HERE, 0, 1, offsets=[], timestamps_ms=[], keys=[], values=[], headers=[]))
    bench = _Bench()
    lanes.open(bench.lane)
    with pytest.raises(AssertionError, match="has a lane already"):
        lanes.open(bench.lane)
    lanes.look()
    await turn()
    assert bench.seen == ["look"]
    assert HERE in lanes
    await lanes.close()
    assert len(lanes) == 0


async def test_a_lane_says_since_when_it_has_had_work_and_finished_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("livepromo.streaming.lanes.monotonic_s", lambda: now_s)
    bench = _Bench(span_offsets=10)
    assert bench.lane.unfinished_since_s is None
    bench.go.clear()
    bench.put(2)
    await turn()
    now_s = 200.0
    bench.lane.look()
    assert bench.lane.unfinished_since_s == 100.0
    bench.go.set()
    await turn()
    assert bench.seen == [(0, 10), (10, 20), "look"]
    assert bench.lane.unfinished_since_s is None, "an idle lane waits for nothing"
    bench.put(1)
    bench.go.clear()
    await turn()
    assert bench.lane.unfinished_since_s == 200.0
    await bench.lane.close()


async def test_whatever_a_lane_finishes_is_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("livepromo.streaming.lanes.monotonic_s", lambda: now_s)
    bench = _Bench(span_offsets=10)
    bench.go.clear()
    bench.put(3)
    await turn()
    now_s = 150.0
    bench.go.set()
    bench.go.clear()  # lets on whoever waits now, and nobody after
    await turn()
    assert bench.seen == [(0, 10), (10, 20)]
    assert bench.lane.unfinished_since_s == 150.0
    await bench.lane.close()
