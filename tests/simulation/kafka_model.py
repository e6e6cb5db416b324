"""A model of Kafka: partitions, claims that fence, batches that stand whole, compaction; and what its clients may see of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from livepromo.streaming.errors import FencedError, UnavailableError, UnknownOutcomeError
from livepromo.streaming.log import Appended, LogRecord
from livepromo.streaming.offsets import Partition, Slice
from livepromo.worker.ports import OutRecord
from simulation.faults import Faults
from simulation.scheduler import Call, Fate, Process, Scheduler, Sleep, Together

NAME_FORGOTTEN_MS = 7 * 24 * 3_600_000


class Ever(NamedTuple):
    """A record as it was appended, whatever became of it; `sequence` orders the appends of all partitions, `by` names the writer."""

    sequence: int
    by: str
    record: LogRecord


class PartitionLog:
    """One partition: what it holds, and everything that it ever held."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.records: list[LogRecord] = []
        self.ever: list[Ever] = []
        self.begin = self.end = 0
        self.readers = 0
        self.producer = self.epoch = 0  # the newest claim
        self.claimed_ms = -NAME_FORGOTTEN_MS
        self.appended: dict[int, int] = {}  # producer id: highest epoch that has appended

    def read(self, start: int, end: int, most: int) -> list[LogRecord]:
        """Return records of these offsets, not more than `most`."""
        at = bisect_left(self.offsets, start)
        stop = bisect_left(self.offsets, end, at, min(len(self.offsets), at + most))
        return self.records[at:stop]

    def compact(self, until: int) -> int:
        """Keep the last record of each key below `until`, and tombstones one round longer; return how many records went."""
        last: dict[bytes | None, int] = {record.key: record.offset for record in self.records}
        kept = []
        for record in self.records:
            if record.offset < until and last[record.key] != record.offset:
                continue
            if record.offset < until and record.value is None and not self.readers and record.offset in self._old_tombstones:
                continue
            kept.append(record)
        gone = len(self.records) - len(kept)
        self._old_tombstones = {record.offset for record in kept if record.value is None}
        self.records, self.offsets = kept, [record.offset for record in kept]
        return gone

    _old_tombstones: set[int] = set()  # noqa: RUF012 - replaced, never changed

    def retire(self, until: int) -> None:
        """Delete what lies below `until`."""
        at = bisect_left(self.offsets, until)
        self.records, self.offsets, self.begin = self.records[at:], self.offsets[at:], until


class Kafka:
    """The brokers. Every method is what happens there, at once; clients reach them by calls."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._partitions: dict[tuple[str, int], PartitionLog] = {}
        self._sequence = 0
        self.ahead_ms: dict[str, int] = {}  # by how much the clock of the broker that leads a topic is ahead of the others
        self.refused = 0  # appends of older owners

    def of(self, topic: str, partition: int) -> PartitionLog:
        """Return a partition; made when first asked for."""
        found = self._partitions.get((topic, partition))
        if found is None:
            found = self._partitions[topic, partition] = PartitionLog()
        return found

    def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]], by: str
    ) -> Appended:
        """Append a batch."""
        held, now_ms = self.of(topic, partition), self._scheduler.now_ms + self.ahead_ms.get(topic, 0)
        first = held.end
        for key, value, headers in records:
            self._sequence += 1
            record = LogRecord(held.end, now_ms, key, value, headers)
            held.records.append(record)
            held.offsets.append(held.end)
            held.ever.append(Ever(self._sequence, by, record))
            held.end += 1
        return Appended(first, now_ms)

    def claim(self, topic: str, partition: int) -> tuple[int, int]:
        """Return producer id and epoch of a new claim; the name of one that rested for a week is forgotten, and fences nobody."""
        held, now_ms = self.of(topic, partition), self._scheduler.now_ms
        if now_ms - held.claimed_ms >= NAME_FORGOTTEN_MS:
            held.producer, held.epoch = held.producer + 1, -1
        held.claimed_ms = now_ms
        held.epoch += 1
        return held.producer, held.epoch

    def fences(self, held: PartitionLog, producer: int, epoch: int) -> bool:
        """Say whether a newer claim of this producer id has appended."""
        return held.appended.get(producer, -1) > epoch

    def append_claimed(
        self, topic: str, partition: int, claim: tuple[int, int], records: Sequence[tuple[bytes, bytes | None]], by: str
    ) -> Appended:
        """Append a batch under a claim."""
        held = self.of(topic, partition)
        if self.fences(held, *claim):
            self.refused += 1
            raise FencedError(f"{topic}[{partition}]: {by} has claim {claim}, a newer one has appended")
        held.appended[claim[0]] = max(claim[1], held.appended.get(claim[0], -1))
        return self.append(topic, partition, [(key, value, ()) for key, value in records], by)


class ModelWriter:
    """`Writer` of one process."""

    def __init__(self, log: ModelLog, topic: str, partition: int, claim: tuple[int, int]) -> None:
        self._log, self._topic, self._partition, self._claim = log, topic, partition, claim

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        log = self._log
        await log.about_to(f"{self._topic}.append")
        topic, partition, claim, batch, by = self._topic, self._partition, self._claim, tuple(records), log.process.name
        fate = Fate.NORMAL
        for kind, meant in (
            ("append_request_lost", Fate.REQUEST_LOST),
            ("append_reply_lost", Fate.REPLY_LOST),
            ("append_late", Fate.LATE),
        ):
            if log.faults.strikes(kind):
                fate = meant
                break
        appended: Appended = await Call(
            lambda: log.kafka.append_claimed(topic, partition, claim, batch, by),
            fate,
            lambda: UnknownOutcomeError(f"{topic}[{partition}]: no reply"),
            log.delay_ms(topic),
        )
        return appended

    async def close(self) -> None:
        """Nothing is held."""


class ModelLog:
    """`Log` of one process. `reach` is told of every step; appends to the topic `slow` take their time."""

    def __init__(
        self, kafka: Kafka, faults: Faults, scheduler: Scheduler, process: Process, reach: Callable[[str], None], slow: str
    ) -> None:
        self.kafka, self.faults, self.process = kafka, faults, process
        self.rnd, self._reach, self._slow = scheduler.rnd, reach, slow

    async def about_to(self, step: str) -> None:
        """Say what comes next; a process that was frozen by that, or shortly before, does it when it wakes up."""
        self._reach(step)
        if self.process.frozen:
            await Sleep(0)

    def delay_ms(self, topic: str) -> int:
        if topic == self._slow and self.rnd.random() < 0.7:
            return self.rnd.randrange(20, 300)
        return self.rnd.randrange(50, 2_000) if self.faults.strikes("delayed") else 0

    def _fate(self) -> Fate:
        return Fate.REQUEST_LOST if self.faults.strikes("log_away") else Fate.NORMAL

    async def claim(self, topic: str, partition: int, name: str | None = None) -> ModelWriter:
        assert name is None, f"{topic}[{partition}] is shared by nobody"
        await self.about_to(f"{topic}.claim")
        claim = await Call(lambda: self.kafka.claim(topic, partition), delay_ms=self.delay_ms(topic))
        return ModelWriter(self, topic, partition, claim)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        held = self.kafka.of(topic, partition)
        assert end <= held.end, f"{topic}[{partition}] is read to {end}, and ends at {held.end}"
        held.readers += 1
        try:
            while True:
                most = self.rnd.choice((1, 3, 20, 500))
                records = await Call(partial(held.read, start, end, most), self._fate(), lambda: UnavailableError("no answer"))
                if not records:
                    return
                start = records[-1].offset + 1
                yield records
        finally:
            held.readers -= 1

    async def begin(self, topic: str, partition: int) -> int:
        held = self.kafka.of(topic, partition)
        begin: int = await Call(lambda: held.begin, self._fate(), lambda: UnavailableError("no answer"))
        return begin

    async def at_time(self, topic: str, partition: int, instant_ms: int) -> int:
        held = self.kafka.of(topic, partition)

        def first() -> int:
            return next((record.offset for record in held.records if record.timestamp_ms >= instant_ms), held.end)

        offset: int = await Call(first, self._fate(), lambda: UnavailableError("no answer"))
        return offset

    async def end(self, topic: str, partition: int) -> int:
        held = self.kafka.of(topic, partition)
        end: int = await Call(lambda: held.end, self._fate(), lambda: UnavailableError("no answer"))
        return end

    async def fetch(self, topic: str, partition: int, start: int, most: int, span: int) -> Slice | None:
        """Return a slice as a feed cuts them, or None where there is nothing yet."""
        held = self.kafka.of(topic, partition)
        records, end = await Call(lambda: (held.read(start, start + span, most), held.end))
        if not records:
            return None
        return Slice(
            Partition(topic, partition),
            start,
            records[-1].offset + 1,
            offsets=[record.offset for record in records],
            timestamps_ms=[record.timestamp_ms for record in records],
            keys=[record.key for record in records],
            values=[record.value for record in records],
            headers=[record.headers for record in records],
            end_offset=end,
        )


class ModelOutbox:
    """`Outbox` of one process: many writers, nothing fenced; repeats, and outcomes that nobody knows."""

    def __init__(self, log: ModelLog) -> None:
        self._log = log

    async def send_many(self, batches: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        log, calls = self._log, []
        await log.about_to("outbox.send")
        for (topic, partition), records in batches.items():
            fate = Fate.NORMAL
            if log.faults.strikes("outbox_repeated"):
                fate = Fate.REPEATED
            elif log.faults.strikes("outbox_failed"):
                fate = log.rnd.choice((Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.LATE))
            calls.append(
                Call(
                    partial(log.kafka.append, topic, partition, tuple(records), log.process.name),
                    fate,
                    lambda: UnavailableError("kafka refuses"),
                    log.delay_ms(topic),
                )
            )
        await Together(calls)

    async def place(self, topic: str, partition: int, records: Sequence[OutRecord]) -> list[int]:
        log = self._log
        await log.about_to("outbox.place")
        fate = Fate.NORMAL
        if log.faults.strikes("outbox_repeated"):
            fate = Fate.REPEATED
        elif log.faults.strikes("outbox_failed"):
            fate = log.rnd.choice((Fate.REQUEST_LOST, Fate.REPLY_LOST, Fate.LATE))
        append = partial(log.kafka.append, topic, partition, tuple(records), log.process.name)
        appended: Appended = await Call(append, fate, lambda: UnavailableError("kafka refuses"), log.delay_ms(topic))
        return list(range(appended.offset, appended.offset + len(records)))
