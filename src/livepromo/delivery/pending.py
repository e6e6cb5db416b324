"""Which calls are still owed: where each lies, when it is tried next, and which place of a partition is the lowest unfinished one."""

from __future__ import annotations

import heapq
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from livepromo.delivery.retries import Tries, Why

_ROW: Final = struct.Struct(">QIQqIHBhB")  # next_ms leads, big-endian: rows compare as their times do
_NEXT: Final = struct.Struct(">Q")
_MARK: Final = slice(8, 12)  # the partition
_OWED: Final = struct.Struct(">I")
_OWED_AT: Final = 28
_WHYS: Final = list(Why)  # by number; rows are also kept in Kafka, so a new one comes last
_WHY_NUMBERS: Final = {why: number for number, why in enumerate(_WHYS)}
_NONE: Final = -1
_MOST_ATTEMPTS: Final = 65_535
_FEW: Final = 1024  # finished places that are not worth moving the others for


class Place(NamedTuple):
    """Where a call's body lies: a partition of the topic of calls, and an offset there."""

    partition: int
    offset: int


class Pending(NamedTuple):
    """A call that is owed since a second, and its tries so far."""

    place: Place
    owed_s: int
    tries: Tries


def pack(pending: Pending) -> bytes:
    """Return a pending call as a row of 38 bytes, which sort by when they are tried next."""
    tries = pending.tries
    return _ROW.pack(
        tries.next_ms,
        *pending.place,
        _NONE if tries.first_ms is None else tries.first_ms,
        pending.owed_s,
        min(tries.attempts, _MOST_ATTEMPTS),
        tries.refusals,
        _NONE if tries.status is None else tries.status,
        _WHY_NUMBERS[tries.why],
    )


def unpack(row: bytes) -> Pending:
    """Return the pending call of a row."""
    next_ms, partition, offset, first_ms, owed_s, attempts, refusals, status, why = _ROW.unpack(row)
    tries = Tries(
        attempts,
        refusals,
        None if first_ms == _NONE else first_ms,
        next_ms,
        None if status == _NONE else status,
        _WHYS[why],
    )
    return Pending(Place(partition, offset), owed_s, tries)


class Waiting:
    """The calls to one endpoint that wait, by when they are tried next: 80 bytes and a pointer each."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []

    def __len__(self) -> int:
        return len(self._rows)

    def push(self, pending: Pending) -> None:
        """Let a call wait for its time."""
        heapq.heappush(self._rows, pack(pending))

    @property
    def next_ms(self) -> int | None:
        """When the first of them is tried next; None where none waits."""
        return int(_NEXT.unpack_from(self._rows[0])[0]) if self._rows else None

    def first(self) -> Pending:
        """Return the call that is tried next; it goes on waiting."""
        return unpack(self._rows[0])

    def pop(self) -> Pending:
        """Take out the call that is tried next."""
        return unpack(heapq.heappop(self._rows))

    def drop(self, partition: int) -> list[int]:
        """Take out all calls of a partition; return since which second each was owed."""
        mark = partition.to_bytes(_MARK.stop - _MARK.start, "big")
        gone = [int(_OWED.unpack_from(row, _OWED_AT)[0]) for row in self._rows if row[_MARK] == mark]
        if gone:
            self._rows[:] = [row for row in self._rows if row[_MARK] != mark]
            heapq.heapify(self._rows)
        return gone


class Places:
    """The places of one partition that are not finished. They come in order of their offsets, and finish in any order."""

    def __init__(self) -> None:
        self._offsets = array("q")
        self._done = bytearray()
        self._head = 0  # those before it are finished
        self._finished = 0  # of those from there on, and before it

    def __len__(self) -> int:
        return len(self._offsets) - self._finished

    def add(self, offset: int) -> None:
        """Owe a place; it is behind all others that were added."""
        assert not self._offsets or offset > self._offsets[-1], f"place {offset} is added behind {self._offsets[-1]}"
        self._offsets.append(offset)
        self._done.append(0)

    def finish(self, offset: int) -> None:
        """Owe a place no more; each finishes once."""
        at = bisect_left(self._offsets, offset, self._head)
        assert at < len(self._offsets) and self._offsets[at] == offset and not self._done[at], f"place {offset} is not owed"  # noqa: PT018
        self._done[at] = 1
        self._finished += 1
        if at == self._head:
            head = self._done.find(0, at)
            self._head = len(self._offsets) if head < 0 else head
        if self._finished > _FEW and 2 * self._finished > len(self._offsets):
            self._offsets = array("q", self.unfinished())
            self._done = bytearray(len(self._offsets))
            self._head = self._finished = 0

    @property
    def lowest(self) -> int | None:
        """The lowest place that is not finished; None where all are."""
        return self._offsets[self._head] if self._head < len(self._offsets) else None

    def unfinished(self) -> Iterator[int]:
        """Yield the places that are not finished, in order."""
        offsets, done = self._offsets, self._done
        return (offsets[at] for at in range(self._head, len(offsets)) if not done[at])
