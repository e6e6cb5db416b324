"""Which records a slice holds, and which offset of a partition may be committed: the end of its contiguous acknowledged prefix."""

# ruff: noqa: SLF001  # a slice and its tracker are one idea

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

SMALL_SLICES = 100  # the most in flight of a partition, however few records they hold
SPAN_OFFSETS = 10_000  # no slice covers more offsets than this, joined ones neither


class Partition(NamedTuple):
    """A partition of a topic, by number."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class Slice:
    """Consecutive records of one partition, as columns of equal length.

    A slice covers the offsets from `first_offset` up to, not including, `next_offset`, those without a record (compaction, transaction
    markers) included; the slice after it begins exactly there. It may hold no record at all. `end_offset` is the end of the partition
    as the broker gave it with these records.
    """

    __slots__ = (
        "_tracker",
        "acknowledged",
        "end_offset",
        "first_offset",
        "headers",
        "keys",
        "next_offset",
        "offsets",
        "partition",
        "parts",
        "started",
        "timestamps_ms",
        "values",
    )

    def __init__(  # noqa: PLR0913  # one argument a column
        self,
        partition: Partition,
        first_offset: int,
        next_offset: int,
        *,
        offsets: list[int],
        timestamps_ms: list[int],
        keys: list[bytes | None],
        values: list[bytes | None],
        headers: list[Sequence[tuple[str, bytes]]],
        end_offset: int | None = None,
        parts: tuple[Slice, ...] = (),
    ) -> None:
        self.partition = partition
        self.first_offset = first_offset
        self.next_offset = next_offset
        self.offsets = offsets
        self.timestamps_ms = timestamps_ms
        self.keys = keys
        self.values = values
        self.headers = headers
        self.end_offset = end_offset
        self.parts = parts
        self.started = False
        self.acknowledged = False
        self._tracker: OffsetTracker | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def __repr__(self) -> str:
        return f"<Slice {self.partition} {self.first_offset}..{self.next_offset}, {len(self)} records>"

    @property
    def at_end(self) -> bool:
        """Whether the slice reached the end of the partition, as the broker knew it when it answered."""
        return self.end_offset is not None and self.next_offset >= self.end_offset

    def start(self) -> bool:
        """Claim the slice for processing; False if its partition was revoked in the meantime: then leave it alone."""
        if self._tracker is None or self._tracker.draining:
            return False
        self.started = True
        return True

    def acknowledge(self) -> None:
        """Say that every effect of the slice is durable. Twice is the same as once; after a revocation it frees nothing but the wait."""
        self.acknowledged = True
        for part in self.parts or (self,):
            part.acknowledged = True
            if part._tracker is not None:
                part._tracker.changed.set()

    def abandon(self) -> None:
        """Say that the slice will never be acknowledged: nobody need wait for it, and it is never committed."""
        for part in self.parts or (self,):
            part.started = False
            if part._tracker is not None:
                part._tracker.changed.set()

    def cut(self, records: int, span_offsets: int = SPAN_OFFSETS) -> Iterator[Slice]:
        """Yield slices of at most so many records and so many offsets that cover the same, in order."""
        if len(self) <= records and self.next_offset - self.first_offset <= span_offsets:
            yield self
            return
        first, at, count = self.first_offset, 0, len(self)
        while first < self.next_offset:
            limit = first + span_offsets
            stop = at
            while stop < count and stop - at < records and self.offsets[stop] < limit:
                stop += 1
            following = self.next_offset if stop == count else self.offsets[stop]
            next_offset = min(limit, following)
            yield Slice(
                self.partition,
                first,
                next_offset,
                offsets=self.offsets[at:stop],
                timestamps_ms=self.timestamps_ms[at:stop],
                keys=self.keys[at:stop],
                values=self.values[at:stop],
                headers=self.headers[at:stop],
                end_offset=self.end_offset,
            )
            first, at = next_offset, stop


def join(slices: Sequence[Slice]) -> Slice:
    """Return one slice that covers what these cover, each beginning where the one before ends; acknowledging it acknowledges them."""
    first, last = slices[0], slices[-1]
    if first is last:
        return first
    for before, after in pairwise(slices):
        assert before.partition == after.partition, f"{before!r} and {after!r} are of two partitions"
        assert before.next_offset == after.first_offset, f"{after!r} does not begin where {before!r} ends"
    return Slice(
        first.partition,
        first.first_offset,
        last.next_offset,
        offsets=list(chain.from_iterable(piece.offsets for piece in slices)),
        timestamps_ms=list(chain.from_iterable(piece.timestamps_ms for piece in slices)),
        keys=list(chain.from_iterable(piece.keys for piece in slices)),
        values=list(chain.from_iterable(piece.values for piece in slices)),
        headers=list(chain.from_iterable(piece.headers for piece in slices)),
        end_offset=last.end_offset,
        parts=tuple(slices),
    )


class OffsetTracker:
    """The slices in flight, per partition, in the order of the log."""

    def __init__(self) -> None:
        self._in_flight: dict[Partition, deque[Slice]] = {}
        self._abandoned: dict[Partition, list[Slice]] = {}  # of a revoked partition, still being processed
        self._committable: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._position: dict[Partition, int] = {}
        self.changed = asyncio.Event()
        self.draining = False  # what has begun may finish, nothing may begin

    def begin(self, partition: Partition, position: int, *, uncommitted: bool = False) -> None:
        """Say from which offset the partition is fetched; `uncommitted`: whoever came up to there did not live to commit it."""
        assert partition not in self._position, f"{partition} is tracked already"
        self._position[partition] = position
        if uncommitted:
            self._committable[partition] = position
        self._in_flight[partition] = deque()

    def position(self, partition: Partition) -> int | None:
        """Return the offset up to which the partition was fetched; None if it is not tracked."""
        return self._position.get(partition)

    def opened(self, piece: Slice) -> None:
        """Take note of a fetched slice before anything else may see it; nothing may have been left out before it."""
        position = self._position[piece.partition]
        assert piece.first_offset == position, f"{piece.partition}: fetched from {piece.first_offset}, expected {position}"
        self._position[piece.partition] = piece.next_offset
        piece._tracker = self
        self._in_flight[piece.partition].append(piece)

    def in_flight(self, partition: Partition) -> int:
        """Return how many slices of the partition are not acknowledged with all before them."""
        self._settle(partition)
        return len(self._in_flight.get(partition, ()))

    def oldest(self, partition: Partition) -> Slice | None:
        """Return the first slice of the partition that is not acknowledged; None if none is in flight."""
        self._settle(partition)
        pieces = self._in_flight.get(partition)
        return pieces[0] if pieces else None

    def has_room(self, partition: Partition, slices: int, records: int) -> bool:
        """Say whether the partition may be fetched from: fewer than so many slices are in flight, or so few records in so many slices."""
        count = self.in_flight(partition)
        return count < slices or (count < SMALL_SLICES and sum(map(len, self._in_flight[partition])) < records)

    def begun(self, partition: Partition) -> int:
        """Return how many slices of the partition are being processed, of an earlier ownership too; what only waits does not count."""
        pieces = chain(self._in_flight.get(partition, ()), self._abandoned.get(partition, ()))
        return sum(piece.started and not piece.acknowledged for piece in pieces)

    def committable(self) -> dict[Partition, int]:
        """Return the offsets that may be committed and are not yet."""
        for partition in self._in_flight:
            self._settle(partition)
        return {p: offset for p, offset in self._committable.items() if offset != self._committed.get(p)}

    def committed(self, offsets: Mapping[Partition, int]) -> None:
        """Say that these were committed."""
        self._committed.update({p: offset for p, offset in offsets.items() if p in self._position})

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Let go of partitions: slices of them that anybody still holds can neither begin nor be committed."""
        for partition in partitions:
            pieces = self._in_flight.pop(partition, deque())
            old = [piece for piece in chain(self._abandoned.pop(partition, ()), pieces) if piece.started and not piece.acknowledged]
            for piece in pieces:
                if not piece.started or piece.acknowledged:
                    piece._tracker = None
            if old:
                self._abandoned[partition] = old
            for table in (self._committable, self._committed, self._position):
                table.pop(partition, None)
        self.changed.set()

    async def wait_for_change(self, timeout_s: float) -> None:
        """Wait until something was acknowledged or let go, or the time is over."""
        self.changed.clear()
        try:
            await asyncio.wait_for(self.changed.wait(), timeout_s)
        except TimeoutError:
            return

    def _settle(self, partition: Partition) -> None:
        pieces = self._in_flight.get(partition)
        while pieces and pieces[0].acknowledged:
            self._committable[partition] = pieces.popleft().next_offset
