"""One lane per partition: whatever touches the state of a partition stands in its queue, so nothing ever runs beside it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator

from livepromo.streaming.offsets import SPAN_OFFSETS, Partition, Slice, join
from livepromo.telemetry.clock import monotonic_s

CLOSE_S = 10.0


class Lane:
    """Slices and looks of one partition, one at a time, in order.

    Slices that wait next to one another are handed over joined, up to `span_offsets`. A slice is acknowledged when `on_slices` returns.
    `may_look` is asked right before a look begins: while a partition is revoked nothing new may begin.
    The first error ends the lane: its slices stay unacknowledged, and `on_error`, called once, has to end the process.
    """

    def __init__(  # noqa: PLR0913  # three handlers and two limits
        self,
        partition: Partition,
        *,
        on_slices: Callable[[Slice], Awaitable[None]],
        on_look: Callable[[], Awaitable[None]],
        on_error: Callable[[BaseException], None],
        may_look: Callable[[], bool] = lambda: True,
        span_offsets: int = SPAN_OFFSETS,
    ) -> None:
        self.partition = partition
        self._on_slices = on_slices
        self._on_look = on_look
        self._on_error = on_error
        self._may_look = may_look
        self._span_offsets = span_offsets
        self._queue: deque[Slice | None] = deque()  # None: a look
        self._look_waits = False
        self._something = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self.unfinished_since_s: float | None = None  # since when something waits or is under way and nothing was finished; None: idle
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lane {partition}")

    def put(self, piece: Slice) -> None:
        """Queue a slice; never waits: the feed bounds what is in flight."""
        self._queue.append(piece)
        self._wake()

    def look(self) -> None:
        """Ask for a look; asked twice before it runs, it runs once."""
        if not self._look_waits:
            self._look_waits = True
            self._queue.append(None)
            self._wake()

    def _wake(self) -> None:
        if self.unfinished_since_s is None:
            self.unfinished_since_s = monotonic_s()
        self._something.set()

    async def at_rest(self) -> None:
        """Wait until nothing is being processed; what is queued may begin after."""
        await self._at_rest.wait()

    async def close(self) -> None:
        """End the lane, in the middle of what it does if need be; it has ended when this returns, or was told so for 10 seconds."""
        self._queue.clear()
        if self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_S)

    async def _run(self) -> None:
        piece: Slice | None = None
        try:
            while True:
                while not self._queue:
                    self._something.clear()
                    await self._something.wait()
                self._at_rest.clear()
                piece = self._next()
                if piece is not None:
                    await self._on_slices(piece)
                    piece.acknowledge()
                elif self._look_due():
                    await self._on_look()
                self._at_rest.set()
                self.unfinished_since_s = monotonic_s() if self._queue else None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the process
            self._on_error(error)
        finally:
            if piece is not None and not piece.acknowledged:
                piece.abandon()
            self._at_rest.set()

    def _look_due(self) -> bool:
        if not self._queue or self._queue[0] is not None:
            return False
        self._queue.popleft()
        self._look_waits = False
        return self._may_look()

    def _next(self) -> Slice | None:
        """Take the slices at the head of the queue that may begin and fit together; None if a look stands there, or nothing."""
        taken: list[Slice] = []
        while self._queue:
            piece = self._queue[0]
            if piece is None or (taken and piece.next_offset - taken[0].first_offset > self._span_offsets):
                break
            self._queue.popleft()
            if piece.start():
                taken.append(piece)
        return join(taken) if taken else None


class Lanes:
    """The lanes of a process, by partition."""

    def __init__(self) -> None:
        self._lanes: dict[Partition, Lane] = {}

    def open(self, lane: Lane) -> None:
        """Add a lane; there is at most one for a partition."""
        assert lane.partition not in self._lanes, f"{lane.partition} has a lane already"
        self._lanes[lane.partition] = lane

    def put(self, piece: Slice) -> None:
        """Queue a slice with its partition's lane; one whose partition was lost on the way is dropped, its owner fetches it again."""
        if (lane := self._lanes.get(piece.partition)) is not None:
            lane.put(piece)

    def look(self) -> None:
        """Ask every lane for a look; touches no state, so a timer may call it at any time."""
        for lane in self:
            lane.look()

    async def close(self, partitions: Iterable[Partition] | None = None) -> None:
        """Close the lanes of these partitions, or all of them."""
        closing = [self._lanes.pop(p, None) for p in (list(self._lanes) if partitions is None else partitions)]
        await asyncio.gather(*(lane.close() for lane in closing if lane is not None))

    def get(self, partition: Partition) -> Lane | None:
        """Return the partition's lane, if it has one."""
        return self._lanes.get(partition)

    def __contains__(self, partition: object) -> bool:
        return partition in self._lanes

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))
