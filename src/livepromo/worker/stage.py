"""One stage of a worker: a feed, a Faust agent, and an owner with a lane for every partition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import faust

from livepromo.streaming.connecting import Connection
from livepromo.streaming.errors import FencedError
from livepromo.streaming.feed import Lag, SliceFeed
from livepromo.streaming.lanes import Lane, Lanes
from livepromo.streaming.offsets import Partition, Slice
from livepromo.telemetry import clock
from livepromo.telemetry.cpu import Measured
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.shared import log


class Owner(Protocol):
    """What owns a partition of a stage; its methods are called one at a time."""

    async def take_over(self, committed: int | None) -> int | None:
        """Become the owner; return the offset to start from, None for where the group stands (`committed`)."""
        ...

    async def keep(self) -> int | None:
        """Go on after a rebalance that gave the partition back."""
        ...

    async def take_slice(self, piece: Slice) -> None:
        """Make every effect of a slice durable."""
        ...

    async def look(self) -> bool | None:
        """Do what is due without a slice; where there is more of it than fits between two slices, say so: true."""
        ...

    async def leave(self) -> None:
        """Prepare a clean end, as the owner."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Stage:
    """Wires one stage to a Faust app. The agent stands on a channel that the feed fills; its body only hands slices to their lanes."""

    def __init__(  # noqa: PLR0913 - the parts of a stage
        self,
        name: str,
        app: faust.App,
        topic: str,
        *,
        group: str,
        kafka: Connection,
        make_owner: Callable[[int], Owner],
        prepare: Callable[[], Awaitable[None]],
        release: Callable[[], Awaitable[None]],
        end: Callable[[BaseException], None],
        metrics: Metrics,
        feed_settings: dict[str, Any],
    ) -> None:
        self.name, self.lanes, self.owners = name, Lanes(), dict[int, Owner]()
        self._make_owner, self._end, self._metrics = make_owner, end, metrics
        self._cpu = metrics.stage_cpu_seconds_total.labels(stage=name)
        self._taking_since: dict[int, float] = {}
        self._newest_ms: dict[int, int] = {}  # when the newest record taken had been received
        self._behind_since_ms: dict[int, int] = {}  # when a report first found unread records, and ever since
        stage = self
        slices = app.channel(maxsize=4096)  # bounded by the slices in flight

        class Feed(SliceFeed):
            async def on_start(self) -> None:
                stage.feed = self
                await prepare()
                await super().on_start()

            async def on_stop(self) -> None:
                await super().on_stop()
                await release()

            async def crash(self, reason: BaseException) -> None:
                end(reason)

            def __init__(self, **_: Any) -> None:  # noqa: ANN401 - what Faust hands to services
                super().__init__(
                    app, slices, [topic], group=group, kafka=kafka, on_taken=stage.taken, on_lost=stage.lost, on_kept=stage.kept,
                    **feed_settings,
                )  # fmt: skip

        self.feed: Feed | None = None
        app.service(Feed)

        async def ingest(stream: Any) -> None:  # noqa: ANN401 - a Faust stream
            async for piece in stream:
                self.lanes.put(piece)  # never waits, never raises: the lane does the work, in order

        app.agent(slices, name=f"{name}-slices")(ingest)

    async def taken(self, partition: Partition) -> int | None:
        """Take a partition over and open its lane."""
        number = partition.number
        self._taking_since[number] = clock.monotonic_s()
        self._metrics.rebalances_total.labels(stage=self.name).inc()
        owner = self.owners[number] = self._make_owner(number)
        assert self.feed is not None
        offset = await owner.take_over(await self.feed.committed(partition))
        if self.owners.get(number) is owner:  # else it was lost meanwhile: a cancelled take-over may run to its end
            self._open_lane(partition, owner)
        self._metrics.partitions_assigned.labels(stage=self.name).set(len(self.owners))
        return offset

    def _open_lane(self, partition: Partition, owner: Owner) -> None:
        feed = self.feed
        assert feed is not None

        async def on_slices(piece: Slice) -> None:
            await Measured(self._take(owner, piece), self._cpu)

        async def on_look() -> None:
            if await Measured(owner.look(), self._cpu):
                lane.look()  # behind the slices that wait

        lane = Lane(partition, on_slices=on_slices, on_look=on_look, on_error=self._end, may_look=lambda: feed.owns(partition))
        self.lanes.open(lane)

    async def _take(self, owner: Owner, piece: Slice) -> None:
        started = clock.monotonic_s()
        number = piece.partition.number
        if (since := self._taking_since.pop(number, None)) is not None:
            self._metrics.takeover_seconds.labels(stage=self.name).observe(started - since)
        await owner.take_slice(piece)
        self._metrics.slice_records.labels(stage=self.name).observe(len(piece))
        self._metrics.slice_seconds.labels(stage=self.name).observe(clock.monotonic_s() - started)
        if piece.timestamps_ms:
            self._newest_ms[number] = piece.timestamps_ms[-1]

    async def kept(self, partition: Partition) -> int | None:
        """Go on with a partition that came back; its lane is still there, and what it was doing ends first."""
        self._metrics.rebalances_total.labels(stage=self.name).inc()
        if (lane := self.lanes.get(partition)) is not None:
            await lane.at_rest()
        return await self.owners[partition.number].keep()

    async def lost(self, partition: Partition) -> None:
        """Close the lane and let go; at a clean end, say first how far we are."""
        await self.lanes.close([partition])
        owner = self.owners.pop(partition.number, None)
        self._metrics.partitions_assigned.labels(stage=self.name).set(len(self.owners))
        self._forget_lag(partition.number)
        if owner is None:
            return
        if self.feed is not None and self.feed.should_stop:
            try:
                await owner.leave()
            except FencedError as error:
                log.info("%s: not left in order, somebody else has taken over: %s", partition, error)
        await owner.close()

    def standing_still(self, since_s: float) -> list[str]:
        """Name the partitions whose lanes have had work since then, or for longer, and have finished nothing."""
        lanes = [lane for lane in self.lanes if lane.unfinished_since_s is not None and lane.unfinished_since_s < since_s]
        return [f"{self.name} of {lane.partition} stands still with work to do" for lane in lanes]

    def not_ready(self) -> str:
        """Say what the stage still waits for before it does its share of the work; nothing where it does."""
        if self.feed is None or not self.feed.joined:
            return "is joining its group"
        return "is taking partitions over" if len(self.owners) != len(self.lanes) else ""

    def report_lag(self) -> None:
        """Set the gauges of what is unread."""
        if self.feed is None:
            return
        now_ms = clock.wall_ms()
        for number in self.owners:
            lag = self.feed.lag(Partition(self.feed.topics[0], number))
            if lag is None:
                continue
            if not lag.records:
                self._behind_since_ms.pop(number, None)
            labels = {"stage": self.name, "partition": str(number)}
            self._metrics.lag_records.labels(**labels).set(lag.records)
            self._metrics.lag_seconds.labels(**labels).set(self._age_ms(number, lag, now_ms) / 1000)

    def _age_ms(self, number: int, lag: Lag, now_ms: int) -> int:
        """Return the age of the oldest unread record; of one that is not fetched, as far as that is known."""
        if not lag.records:
            return 0
        behind_ms = self._behind_since_ms.setdefault(number, now_ms)
        oldest_ms = max(behind_ms, self._newest_ms.get(number, 0)) if lag.oldest_ms is None else lag.oldest_ms
        return max(0, now_ms - oldest_ms)

    def _forget_lag(self, number: int) -> None:
        """Remove the gauges of a partition that somebody else reads now: an old value would stand beside the true one."""
        self._newest_ms.pop(number, None)
        self._behind_since_ms.pop(number, None)
        labels = {"stage": self.name, "partition": str(number)}
        self._metrics.lag_records.remove_by_labels(labels)
        self._metrics.lag_seconds.remove_by_labels(labels)
