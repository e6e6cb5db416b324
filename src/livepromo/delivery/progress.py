"""What the owner of a partition writes down among its calls, so that the next owner goes on where it stood.

A *mark* says how far ledger and calls were taken, and what has changed since the mark before it. A *snapshot* is a run of marks that
says it anew from nothing; every mark names where the last one begins. What holds is the last snapshot and all marks from its first part
on, those of other owners among them: a mark is true whoever wrote it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from livepromo.delivery.kept import ROW_BYTES, Entry
from livepromo.delivery.pending import pack, unpack
from livepromo.ledger.formats import unversioned, versioned

FORMAT = 1
KEY = b"@calls"
NO_SNAPSHOT = -1


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How far an owner has come: every grant of the ledger below `ledger` is looked at, its call stands below `calls`.

    Calls that are to be sent again, which no grant names, are taken below `replays`.
    """

    ledger: int = 0
    calls: int = 0
    replays: int = 0


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """One record of an owner. `part`: of a snapshot, counted from 0; -1 in any other. `is_last`: the snapshot stands whole with it.

    `snapshot` is the offset at which the last snapshot begins that stood whole before, `NO_SNAPSHOT` where there was none.
    """

    standing: Standing
    snapshot: int
    part: int
    is_last: bool
    endpoints: tuple[str, ...]
    numbers: tuple[int, ...]
    rows: bytes
    settled: tuple[int, ...]

    def entries(self) -> Iterator[Entry]:
        """Yield the calls that it speaks of."""
        for at, number in enumerate(self.numbers):
            yield Entry(self.endpoints[number], unpack(self.rows[at * ROW_BYTES : (at + 1) * ROW_BYTES]))


_marks = msgspec.msgpack.Decoder(Mark)


def mark_of(  # noqa: PLR0913 - all that a mark says
    standing: Standing, entries: Iterable[Entry], settled: Sequence[int] = (), *, snapshot: int, part: int = -1, is_last: bool = False
) -> Mark:
    """Return a mark."""
    names: dict[str, int] = {}
    numbers, rows = array("H"), bytearray()
    for endpoint, pending in entries:
        numbers.append(names.setdefault(endpoint, len(names)))
        rows += pack(pending)
    return Mark(standing, snapshot, part, is_last, tuple(names), tuple(numbers), bytes(rows), tuple(settled))


def encode_mark(mark: Mark) -> bytes:
    """Return the payload of a record."""
    return versioned(FORMAT, mark)


def decode_mark(payload: bytes) -> Mark:
    """Return what `encode_mark` wrote. Raises FormatError."""
    return unversioned(payload, FORMAT, _marks, "a mark among the calls")
