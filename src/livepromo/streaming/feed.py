"""Slices of a group's partitions for a Faust agent, from a consumer of our own: fetched, bounded, committed, handed over whole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from mode import Service

from livepromo.streaming import columns, private_names
from livepromo.streaming.connecting import Connection, failure, not_allowed, open_client
from livepromo.streaming.errors import PositionLostError, RefusedError
from livepromo.streaming.offsets import OffsetTracker, Partition, Slice
from livepromo.telemetry import clock

WEEK_MS = 7 * 24 * 3_600_000
START_RETRY_S = 1.0
IDLE_S = 0.1
BUSY_S = 0.02  # while a partition is at its bound, the others are asked often, so that it is asked again soon


class Lag(NamedTuple):
    """How many offsets are not acknowledged, and when the oldest of their records was received: known once it is fetched."""

    records: int
    oldest_ms: int | None


class SliceFeed(Service, ConsumerRebalanceListener):  # type: ignore[misc]  # mode has no types
    """Fetches slices of the topics into a channel; commits what is acknowledged, and only the contiguous prefix of it.

    What becomes of a partition is said to its owner in this order, never two of them at once:

    - `on_taken(partition)` returns the offset to start from; None: the group's committed offset, or the beginning if there is none.
    - Slices go to the channel; each begins where the one before ended.
    - At a rebalance, which revokes everything, nothing new begins and what has begun finishes (bounded, then committed).
    - Given back: `on_kept(partition)` returns the offset to go on from. Not given back: `on_lost(partition)`, perhaps while somebody
      else takes it already. `on_lost` is also called for a partition whose `on_taken` did not end, and at a clean stop.

    Without `on_kept` a partition that comes back is lost and taken. Heartbeats go on while these run. Whatever one of them raises
    crashes the service, and with it the app. Nothing is paused: a partition with `slices_in_flight` slices is not asked
    for more, unless all of them together hold fewer than `slice_records` records.

    `settings` go to the consumer (`isolation_level`, sizes).
    """

    def __init__(  # noqa: PLR0913  # a bound each
        self,
        app: Any,  # noqa: ANN401  # faust.App has no types
        channel: Any,  # noqa: ANN401
        topics: Iterable[str],
        *,
        group: str,
        kafka: Connection,
        on_taken: Callable[[Partition], Awaitable[int | None]],
        on_lost: Callable[[Partition], Awaitable[None]],
        on_kept: Callable[[Partition], Awaitable[int | None]] | None = None,
        slice_records: int = 2000,
        slices_in_flight: int = 3,
        commit_s: float = 0.5,
        drain_s: float = 10.0,
        session_s: float = 10.0,
        as_columns: bool = True,
        **settings: Any,  # noqa: ANN401
    ) -> None:
        self.app = app
        self._channel = channel
        self.topics = list(topics)
        self._on_taken = on_taken
        self._on_lost = on_lost
        self._on_kept = on_kept
        self._slice_records = slice_records
        self._slices_in_flight = slices_in_flight
        self._commit_s = commit_s
        self._drain_s = drain_s
        self._as_columns = as_columns
        self._kafka = kafka
        self._settings = {
            **kafka.options(),
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # a position that is gone is an error, never a jump
            "partition_assignment_strategy": [StickyPartitionAssignor],
            "session_timeout_ms": int(session_s * 1000),
            "heartbeat_interval_ms": int(session_s * 1000 / 4),
            "rebalance_timeout_ms": 15_000,  # above the drain; a member that died while joining holds the group up for so long
            "max_poll_interval_ms": WEEK_MS,  # waiting in place for Redis is no reason to leave the group
            "fetch_max_wait_ms": 100,
            "max_partition_fetch_bytes": 1 << 20,
            "fetch_max_bytes": 16 << 20,
        } | settings
        self._consumer: AIOKafkaConsumer | None = None
        self._offsets = OffsetTracker()
        self._ready: set[Partition] = set()  # may be fetched
        self._waiting: dict[Partition, deque[Slice]] = {}  # fetched, and not handed over: as much as one record batch may be cut into
        self._held: set[Partition] = set()  # taken, and neither kept nor lost since the last rebalance began
        self._begun: set[Partition] = set()  # told to take, and not told to lose
        self._answers: dict[Partition, deque[tuple[int | None, float]]] = {}  # the last three answers seen, and when they were
        self._taking: asyncio.Task[None] | None = None
        self._revoking = False
        self.joined = False  # whether the group has ever said which partitions are ours, be it none
        self._generation = 0
        self._committing = asyncio.Lock()
        super().__init__(loop=app.loop, beacon=app.beacon)

    # -- the life of the service

    async def on_start(self) -> None:
        """Join the group, as soon as Kafka is there."""
        self.app.flow_control.resume()  # Faust's streams wait for this; its own consumer, which is off, would do it
        while not self.should_stop:
            consumer = AIOKafkaConsumer(**self._settings)
            try:
                await open_client(consumer, self._kafka)
            except RefusedError:
                await consumer.stop()
                raise
            except KafkaError as error:
                await consumer.stop()
                if not error.retriable:
                    raise failure(error, f"kafka refuses the group {self._settings['group_id']}", self._right) from error
                self.log.warning("waiting for kafka: %r", error)
                await self.sleep(START_RETRY_S)
                continue
            self._consumer = consumer
            consumer.subscribe(self.topics, listener=self)
            return

    async def on_stop(self) -> None:
        """Finish what has begun, commit it, give every partition up, and leave the group."""
        if self._consumer is None:
            return
        await self._let_go()
        try:
            if self._taking is not None:
                await asyncio.wait([self._taking], timeout=self._drain_s)
            await self._lose(self._begun)
        finally:
            await self._consumer.stop()

    # -- fetching

    @Service.task  # type: ignore[untyped-decorator]
    async def _fetch(self) -> None:
        while not self.should_stop:
            await self._hand_over()
            wanted = [p for p in self._ready if p not in self._waiting and self._has_room(p)]
            if not wanted or self._revoking or self._consumer is None:
                if self._consumer is not None:
                    with self._refused():
                        private_names.check_membership(self._consumer)
                await self._offsets.wait_for_change(IDLE_S)
                continue
            timeout_s = IDLE_S if len(wanted) == len(self._ready) else BUSY_S
            try:
                with self._refused():
                    pieces = await columns.fetch(
                        self._consumer, wanted, records=self._slice_records, timeout_s=timeout_s, as_columns=self._as_columns
                    )
            except NoOffsetForPartitionError:
                continue  # said of the time before the partition was given its position
            except OffsetOutOfRangeError as error:
                self._check_out_of_range(error)
                continue
            for piece in pieces:
                if piece.partition in self._ready:  # else revoked: whoever owns it fetches it again
                    self._waiting[piece.partition] = deque(piece.cut(self._slice_records))
            await self._hand_over()
            self._observe()

    @property
    def _right(self) -> str:
        return f"Read on topic {', '.join(self.topics)} and on group {self._settings['group_id']}"

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Say what Kafka does not allow in our words; leave every other error as it is."""
        try:
            yield
        except KafkaError as error:
            if (refused := not_allowed(error, f"{', '.join(self.topics)} cannot be read", self._right)) is not None:
                raise refused from error
            raise

    def _has_room(self, partition: Partition) -> bool:
        # What is left in the client's buffer holds up the next fetch from that broker, for all partitions: so only a real backlog is.
        return self._offsets.has_room(partition, self._slices_in_flight, self._slice_records)

    async def _hand_over(self) -> None:
        for partition, parts in list(self._waiting.items()):
            while parts and self._waiting.get(partition) is parts and self._has_room(partition):
                part = parts.popleft()
                self._offsets.opened(part)
                await self._channel.put(part)
            if not parts:
                self._waiting.pop(partition, None)

    def _check_out_of_range(self, error: OffsetOutOfRangeError) -> None:
        for tp, offset in error.args[0].items():
            partition = Partition(*tp)
            if partition in self._ready and self._offsets.position(partition) == offset:
                raise PositionLostError(
                    f"{partition}: the log does not hold offset {offset} any more: records were deleted before they were read; "
                    "keep them for longer; to go on without them stop all workers and run livepromo state rebuild"
                ) from error

    def _observe(self) -> None:
        assert self._consumer is not None
        for partition in self._ready:
            try:
                answer = self._consumer.last_poll_timestamp(TopicPartition(*partition))
            except IllegalStateError:  # the assignment is being replaced
                return
            answers = self._answers.setdefault(partition, deque(maxlen=3))
            if answer is not None and (not answers or answers[-1][0] != answer):
                answers.append((answer, clock.monotonic_s()))

    def owns(self, partition: Partition) -> bool:
        """Say whether work on the partition may begin now: it is taken, and not being revoked."""
        return partition in self._ready and not self._revoking

    def read_to_end(self, partition: Partition) -> bool:
        """Say whether everything that the broker had at its last answer is delivered and acknowledged.

        Compared with the high watermark: records of a transaction that is open become visible later, with old timestamps.
        """
        if not self.owns(partition) or self._consumer is None or self._offsets.in_flight(partition):
            return False
        try:
            end = self._consumer.highwater(TopicPartition(*partition))  # None until the first answer
        except IllegalStateError:
            return False
        position = self._offsets.position(partition)
        return end is not None and position is not None and position >= end

    def complete_until_s(self, partition: Partition) -> float | None:
        """Return the instant, in monotonic seconds, before which nothing was appended that is not processed; None in a backlog.

        That is when the answer two before the newest was seen. The newest was asked for after the one before it had arrived, and that one
        arrived after the one before it was seen. Its arrival itself would be too late, by however long this process was frozen between the
        broker's answer and now; and no wall clock is asked.
        """
        answers = self._answers.get(partition)
        return answers[0][1] if answers is not None and len(answers) == answers.maxlen and self.read_to_end(partition) else None

    async def committed(self, partition: Partition) -> int | None:
        """Return the group's committed offset; None if it never committed one. Waits while Kafka is away."""
        offset: int | None = await self._answered(partition, lambda consumer: consumer.committed(TopicPartition(*partition)))
        return offset

    async def _answered(self, partition: Partition, ask: Callable[[AIOKafkaConsumer], Awaitable[Any]]) -> Any:  # noqa: ANN401
        while True:
            assert self._consumer is not None
            try:
                return await ask(self._consumer)
            except KafkaError as error:
                if not error.retriable and not isinstance(error, KafkaTimeoutError):
                    raise failure(error, f"{partition}: kafka does not say where it stands", self._right) from error
                self.log.warning("%s: waiting for kafka to say where it stands: %r", partition, error)
            await asyncio.sleep(START_RETRY_S)

    def lag(self, partition: Partition) -> Lag | None:
        """Return how much of the partition, as of the broker's last answer, is not acknowledged; None where that is not known."""
        position, oldest = self._offsets.position(partition), self._offsets.oldest(partition)
        if self._consumer is None or position is None:
            return None
        try:
            end = self._consumer.highwater(TopicPartition(*partition))
        except IllegalStateError:
            return None
        if end is None:
            return None
        if oldest is None:
            return Lag(max(0, end - position), None)
        return Lag(max(0, end - oldest.first_offset), oldest.timestamps_ms[0] if oldest.timestamps_ms else None)

    # -- committing

    @Service.task  # type: ignore[untyped-decorator]
    async def _commit_regularly(self) -> None:
        while not self.should_stop:
            await self.sleep(self._commit_s)
            if self._consumer is not None:
                await self.commit()

    async def commit(self) -> None:
        """Commit the acknowledged prefix of each partition. Not being able to is no error: what counts is in the journals."""
        async with self._committing:
            offsets = self._offsets.committable()
            if not offsets or self._consumer is None:
                return
            try:
                await self._consumer.commit({TopicPartition(*p): offset for p, offset in offsets.items()})
            except (CommitFailedError, IllegalStateError):
                self.log.info("not committed, the group has moved on: %r", offsets)
            except KafkaError as error:
                if not error.retriable:
                    raise not_allowed(error, "nothing is committed", self._right) or error from error
                self.log.warning("not committed yet: %r", error)
            else:
                self._offsets.committed(offsets)

    # -- membership: aiokafka logs and drops what these two raise, so they crash the service themselves

    async def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        """Finish what has begun and commit it: everything is revoked at every rebalance. Heartbeats go on meanwhile."""
        try:
            await self._let_go()
        except Exception as error:  # noqa: BLE001  # the boundary to aiokafka
            await self.crash(error)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start to take; aiokafka sends no heartbeat until this returns, so it must not wait for a restore."""
        if self.should_stop:  # the last rebalance of a member that is leaving
            return
        before, self._taking = self._taking, None
        partitions = {Partition(*tp) for tp in assigned}
        self._offsets.draining = self._revoking = False
        self.joined = True
        self._taking = asyncio.get_running_loop().create_task(self._take_all(partitions, self._generation, before), name="feed takes")

    async def _let_go(self) -> None:
        self._revoking = self._offsets.draining = True
        self._generation += 1
        if self._taking is not None:
            self._taking.cancel()
        ready, self._ready = self._ready, set()
        self._waiting.clear()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_s
        while any(map(self._offsets.begun, ready)) and loop.time() < deadline:
            await self._offsets.wait_for_change(IDLE_S)
        try:
            await asyncio.wait_for(self.commit(), max(1.0, deadline - loop.time()))  # aiokafka repeats it for ever without a broker
        except (TimeoutError, KafkaError) as error:
            self.log.warning("not committed before letting go, the next owner repeats some: %r", error)
        self._offsets.forget(ready)
        self._answers.clear()

    async def _take_all(self, partitions: set[Partition], generation: int, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:  # aiokafka may swallow a cancellation: what was being taken may go on for a while
                await asyncio.wait([before])
            kept = self._held & partitions if self._on_kept is not None else set()
            await self._lose(self._begun - kept)
            await asyncio.gather(*(self._take(partition, generation, kept=partition in kept) for partition in sorted(partitions)))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, it crashes the service
            if generation == self._generation:  # what is taken away while it is being taken may fail as it likes
                await self.crash(error)
            else:
                self.log.info("taking ended, after a rebalance, with %r", error)

    async def _lose(self, partitions: set[Partition]) -> None:
        lost = sorted(partitions)
        self._begun.difference_update(lost)
        self._held.difference_update(lost)
        await asyncio.gather(*map(self._on_lost, lost))

    async def _take(self, partition: Partition, generation: int, *, kept: bool) -> None:
        if kept:
            while self._offsets.begun(partition):  # what outlived the bound of the drain: nothing may run beside on_kept
                await self._offsets.wait_for_change(IDLE_S)
            self._held.discard(partition)
            assert self._on_kept is not None
            position = await self._on_kept(partition)
        else:
            self._begun.add(partition)
            position = await self._on_taken(partition)
        if generation != self._generation:
            return
        position, uncommitted = await self._checked(partition, position)
        if generation != self._generation:
            return
        assert self._consumer is not None
        self._consumer.seek(TopicPartition(*partition), position)
        self._offsets.begin(partition, position, uncommitted=uncommitted)
        self._held.add(partition)
        self._ready.add(partition)
        self._offsets.changed.set()
        self.log.info("%s %s from offset %d", "goes on with" if kept else "takes", partition, position)

    async def _checked(self, partition: Partition, position: int | None) -> tuple[int, bool]:
        """Return a position that lies within the log, and whether it is beyond what the group has committed."""
        tp = TopicPartition(*partition)
        begin = (await self._answered(partition, lambda consumer: consumer.beginning_offsets([tp])))[tp]
        end = (await self._answered(partition, lambda consumer: consumer.end_offsets([tp])))[tp]
        committed = await self.committed(partition)
        if position is None:
            position = int(begin) if committed is None else committed
        if not begin <= position <= end:
            raise PositionLostError(
                f"{partition}: to go on from offset {position}, but the log holds {begin} to {end}: records were deleted before they were "
                "read, or the topic was made anew; to go on without them stop all workers and run livepromo state rebuild"
            )
        return position, position > (begin if committed is None else committed)
