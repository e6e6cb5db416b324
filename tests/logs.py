"""A log in memory that many claim under names of their own, for tests: it fences by name, as Kafka does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from livepromo.streaming.errors import FencedError, UnavailableError
from livepromo.streaming.log import Appended, LogRecord


class MemoryWriter:
    """What a claim gives; before each append the next of the log's `strikes` does what happens meanwhile."""

    def __init__(self, log: MemoryLog, name: str, epoch: int) -> None:
        self.log, self.name, self.epoch = log, name, epoch

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        """See `Writer.append`."""
        strikes, self.log.strikes = self.log.strikes[:1], self.log.strikes[1:]
        for strike in strikes:
            await strike()
        if self.log.appended.get(self.name, -1) > self.epoch:
            raise FencedError(self.name)
        self.log.appended[self.name] = self.epoch
        return self.log.write(records)

    async def close(self) -> None:
        """See `Writer.close`."""


class MemoryLog:
    """One partition, whatever its number. `away` as often as it says."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.claims: dict[str, int] = {}
        self.appended: dict[str, int] = {}
        self.strikes: list[Callable[[], Awaitable[object]]] = []  # each before one append, in order
        self.reads: list[tuple[int, int]] = []
        self.away = 0

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        """Append by nobody."""
        first = len(self.records)
        self.records += [LogRecord(first + at, 1, key, value) for at, (key, value) in enumerate(records)]
        return Appended(first, 1)

    async def claim(self, topic: str, partition: int, name: str | None = None) -> MemoryWriter:
        """See `Log.claim`."""
        name = name or f"{topic}-{partition}"
        self.claims[name] = self.claims.get(name, -1) + 1
        return MemoryWriter(self, name, self.claims[name])

    async def read(self, _topic: str, _partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """See `Log.read`; three records at a time."""
        assert end <= len(self.records)
        self.reads.append((start, end))
        for at in range(start, end, 3):
            yield self.records[at : min(at + 3, end)]

    async def begin(self, _topic: str, _partition: int) -> int:
        """See `Log.begin`."""
        return 0

    async def at_time(self, _topic: str, _partition: int, instant_ms: int) -> int:
        """See `Log.at_time`."""
        return next((record.offset for record in self.records if record.timestamp_ms >= instant_ms), len(self.records))

    async def end(self, _topic: str, _partition: int) -> int:
        """See `Log.end`."""
        if self.away:
            self.away -= 1
            raise UnavailableError("away")
        return len(self.records)
