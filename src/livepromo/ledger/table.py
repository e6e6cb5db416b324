"""The table that decisions are checked against: a port, and the table in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from livepromo.ledger.deciding import Row
from livepromo.ledger.folding import Progress
from livepromo.ledger.sources import Source


class Away(StrEnum):
    """Why the table cannot answer."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    READONLY = "readonly"
    OOM = "oom"
    LOADING = "loading"
    OTHER = "other"


class RefusedError(Exception):
    """The table does not know us, or does not allow what we ask for, and will not until an operator has changed that."""


class UnavailableError(Exception):
    """The table is away, or what became of a call is unknown: ask the same again later."""

    def __init__(self, kind: Away, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Applied(NamedTuple):
    """Rows of `generation` hold the ledger up to `offset`, exclusive."""

    generation: int
    offset: int


def next_generation(found: Applied | None, epoch: int) -> int:
    """Return the generation in which the owner of `epoch` folds from the start: its epoch, unless the table has reached further."""
    return epoch if found is None else max(epoch, found.generation + 1)


def begins_generation(expected: Applied | None, applied: Applied) -> bool:
    """Say whether a write moves to another generation. Within one the offset does not go back, and a later one is greater."""
    if expected is None or applied.generation > expected.generation:
        return True
    assert applied.generation == expected.generation, f"generation {applied.generation} after {expected.generation}"
    assert applied.offset >= expected.offset, f"offset {applied.offset} after {expected.offset} in one generation"
    return False


class Table(Protocol):
    """Rows of every ledger partition, and how far into the ledger they reach.

    It may lose everything, or go back to what it held earlier, but always as a whole: rows, `applied` and progress are of one moment.
    A partition has one writer at a time; one that is none any more is found out by its writes, which then change nothing.
    Every method raises UnavailableError; after that a write may or may not have happened.
    """

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        """Return how far the rows reach, and those of `rows` that exist in `generation`: both of the same moment."""

    async def progress(self, partition: int) -> tuple[Applied | None, Progress | None]:
        """Return how far the rows reach, and the progress that belongs to it: both of the same moment."""

    async def write(  # noqa: PLR0913, PLR0917 - all that one guarded write holds
        self,
        partition: int,
        expected: Applied | None,
        applied: Applied,
        rows: Mapping[str, Row],
        sources: Mapping[int, Source],
        candidates_offset: int,
    ) -> bool:
        """Replace rows and sources by those given, and move on to `applied`, all or nothing; others of the generation stay as they are.

        A row that is empty is removed.

        Return False, and change nothing, where the table does not stand at `expected`. A write that begins a generation (a greater one,
        or the first) starts without rows and sources. Written twice, the second is refused.
        """

    async def forget(self, partition: int, generation: int) -> bool:
        """Drop the rows of other generations, a bounded number at a time.

        Return False, and stop, where `generation` is not, or is no longer, the one that the table stands at.
        """

    def row_names(self, partition: int, generation: int) -> AsyncIterator[list[str]]:
        """Yield the names of the rows of a generation, some at a time, in any order, some perhaps twice.

        One that was there all the while is among them; one that was written meanwhile may be.
        """


class MemoryTable:
    """The table of one process."""

    def __init__(self) -> None:
        self._partitions: dict[int, tuple[Applied, Progress]] = {}
        self._rows: dict[tuple[int, int], dict[str, Row]] = {}  # partition, generation

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        """See Table."""
        held = self._rows.get((partition, generation), {})
        found = self._partitions.get(partition)
        return found and found[0], {name: dict(held[name]) for name in rows if name in held}

    async def progress(self, partition: int) -> tuple[Applied | None, Progress | None]:
        """See Table."""
        return self._partitions.get(partition, (None, None))

    async def write(  # noqa: PLR0913, PLR0917 - all that one guarded write holds
        self,
        partition: int,
        expected: Applied | None,
        applied: Applied,
        rows: Mapping[str, Row],
        sources: Mapping[int, Source],
        candidates_offset: int,
    ) -> bool:
        """See Table."""
        fresh = begins_generation(expected, applied)
        found, progress = self._partitions.get(partition, (None, None))
        if found != expected:
            return False
        known = {} if fresh or progress is None else progress.sources
        self._partitions[partition] = applied, Progress(candidates_offset, {**known, **sources})
        held = {} if fresh else self._rows[partition, applied.generation]
        after = held | {name: dict(row) for name, row in rows.items()}
        self._rows[partition, applied.generation] = {name: row for name, row in after.items() if row}
        return True

    async def forget(self, partition: int, generation: int) -> bool:
        """See Table."""
        found = self._partitions.get(partition)
        if found is None or found[0].generation != generation:
            return False
        for key in [key for key in self._rows if key[0] == partition and key[1] != generation]:
            del self._rows[key]
        return True

    async def row_names(self, partition: int, generation: int) -> AsyncIterator[list[str]]:
        """See Table."""
        yield list(self._rows.get((partition, generation), ()))
