"""The port to a partitioned log: claim a partition, append as its only writer, read it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol


class LogRecord(NamedTuple):
    """One record as the log holds it; `value` None is a tombstone."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Appended(NamedTuple):
    """Where a batch stands: the offset of its first record; the others follow without a gap."""

    offset: int
    timestamp_ms: int | None  # the instant at which the log says it took the batch; None where it does not say


class Writer(Protocol):
    """The right to append to one partition, until somebody claims it anew."""

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        """Append the records (key, value) as one batch: all of them, next to one another, or none. Returns when they are durable.

        One append at a time. While the log is away this waits.

        Raises:
            FencedError: a newer claim has appended; none of the records is in the log, nor will be.
            UnknownOutcomeError: anything else. The records may be in the log, now or later: the process must end.
        """
        ...

    async def close(self) -> None:
        """Give back what the writer holds of this process; the claim itself stays as it is. Twice is the same as once."""
        ...


class Reader(Protocol):
    """Reads one partition again and again; going on where the last read ended costs nothing more. One read at a time."""

    def read(self, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """Yield what `Log.read` does. Records that the log does not keep any more are left out."""
        ...

    async def close(self) -> None:
        """Give back the connection; a later read opens another."""
        ...


class Log(Protocol):
    """Partitions of records, each with offsets that only grow; some offsets may be missing (compaction)."""

    async def claim(self, topic: str, partition: int, name: str | None = None) -> Writer:
        """Return a writer newer than every writer of the partition before it, by whichever process.

        With a `name`, only newer than those that claimed under that name; others go on: several writers share the partition.

        An older writer is refused *from the first append of the new one on*; what it appends between the claim and that is taken.
        Waits while the log is away.
        """
        ...

    def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """Yield the records of offsets from `start` up to, not including, `end`, in order, in lists of any length.

        `start` may be before the beginning. `end` must not be beyond the end of the log; its last offsets may hold no record.

        Raises:
            UnavailableError: the log did not answer; what was yielded stays true.
        """
        ...

    def reader(self, topic: str, partition: int) -> Reader:
        """Return a reader of a partition."""
        ...

    async def begin(self, topic: str, partition: int) -> int:
        """Return the offset of the oldest record that is kept, or the end if there is none. May raise UnavailableError."""
        ...

    async def at_time(self, topic: str, partition: int, instant_ms: int) -> int:
        """Return the offset of the first record whose timestamp is `instant_ms` or later, or the end if there is none.

        A log that cannot tell returns its begin. May raise UnavailableError.
        """
        ...

    async def end(self, topic: str, partition: int) -> int:
        """Return the offset behind the newest record, asked for after this call began. May raise UnavailableError."""
        ...
