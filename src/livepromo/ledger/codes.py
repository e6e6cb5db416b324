"""What a line of a file of codes is, how codes stand in their topic, and which places they have in their pool."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple
from zlib import crc32

from livepromo.model.formats import FormatError

MOST_CHARACTERS = 255
MOST_CODES = 1_000
MOST_BYTES = 128 << 10  # of a record's codes; that many codes are 1,000 unless they are very long
FORMAT = 1
_HEAD = struct.Struct(">BII")
_BETWEEN = "\n"  # no code has it: a code is a line
_BLANKS = "".join(c for c in map(chr, range(0x3001)) if c.isspace()) + "\ufeff"  # the last one is the mark at the begin of some files


class CodeProblem(Enum):
    """Why a line holds no code. None of the texts shows it."""

    NOT_UTF8 = "not UTF-8 text"
    EMPTY = "empty"
    TOO_LONG = f"longer than {MOST_CHARACTERS} characters"


def lines_of(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of lines: a lone carriage return is a line end, too."""
    for line in lines:
        if b"\r" in line:
            yield from line.splitlines() or [b""]
        else:
            yield line


def normalised(line: bytes) -> str | CodeProblem:
    """Return the code that a line of a file holds, without blanks, byte order mark and line end around it, else as it is written."""
    try:
        code = line.decode().strip(_BLANKS)
    except UnicodeDecodeError:
        return CodeProblem.NOT_UTF8
    if not code:
        return CodeProblem.EMPTY
    return code if len(code) <= MOST_CHARACTERS else CodeProblem.TOO_LONG


# -- records of the topic: the payload of a journal's record, under the pool as its key; an empty payload is the marker of a claim ------


def packed(codes: Sequence[str]) -> bytes:
    """Return the payload of a record: the format's version, how many codes, a checksum of them, and the codes."""
    text = _BETWEEN.join(codes).encode()
    return _HEAD.pack(FORMAT, len(codes), crc32(text)) + text


def _head(payload: bytes) -> tuple[int, int]:
    """Return how many codes a payload has, and their checksum."""
    if len(payload) < _HEAD.size:
        raise FormatError(f"a record of codes has {len(payload)} bytes: restore the topic from a backup")
    version, count, checksum = _HEAD.unpack_from(payload)
    if version != FORMAT:
        raise FormatError(f"a record of codes has format version {version}, this release of livepromo reads {FORMAT}: upgrade livepromo")
    return count, checksum


def count_in(payload: bytes) -> int:
    """Return how many codes a payload has. Raises FormatError."""
    return _head(payload)[0]


def unpacked(payload: bytes) -> tuple[str, ...]:
    """Return the codes of a payload. Raises FormatError, which shows none of them, for anything but what `packed` made."""
    count, checksum = _head(payload)
    text = payload[_HEAD.size :]
    if crc32(text) != checksum or count != text.count(b"\n") + 1:
        raise FormatError(f"a record of {count} codes is damaged: restore the topic from a backup")
    return tuple(text.decode().split(_BETWEEN))


class Piece(NamedTuple):
    """Codes of one record: those from `first` up to, not including, `end` of the record at `offset`."""

    offset: int
    first: int
    end: int


class Places:
    """Where the codes of one pool stand: the valid records of its partition, in order. A code's place is its index in them.

    16 bytes a record, and no code.
    """

    def __init__(self) -> None:
        self.size = 0  # how many codes the pool has
        self.void = 0  # records of an importer that somebody else had followed by then
        self._epoch = -1
        self._offsets = array("q")
        self._starts = array("q")

    def take(self, offset: int, epoch: int, payload: bytes) -> bool:
        """Take the next record of the pool, in the topic's order, each once; return whether it holds codes that count.

        Raises FormatError.
        """
        if not payload:
            self._epoch = offset
            return False
        if epoch < self._epoch:
            self.void += 1
            return False
        count = count_in(payload)
        self._epoch = epoch
        self._offsets.append(offset)
        self._starts.append(self.size)
        self.size += count
        return True

    def pieces(self, start: int, count: int) -> Iterator[Piece]:
        """Yield where the codes of `count` places from `start` on stand, in order; fewer where the pool has no more."""
        end = min(start + count, self.size)
        at = bisect_right(self._starts, start) - 1
        while start < end:
            first, last = self._starts[at], self._starts[at + 1] if at + 1 < len(self._starts) else self.size
            yield Piece(self._offsets[at], start - first, min(end, last) - first)
            start, at = last, at + 1

    def following(self, offset: int, most: int) -> frozenset[int]:
        """Return the offsets of the record at `offset` and the ones behind it, `most` of them."""
        at = bisect_right(self._offsets, offset) - 1
        return frozenset(self._offsets[at : at + most])


# -- which codes were there before ----------------------------------------------------------------------------------------------------


class Whence(Enum):
    """Where a code was seen first."""

    FILE = 0
    POOL = 1


class Seen:
    """Codes that were there, by 63 bits of a hash of this process's own: 12 to 24 bytes a code.

    So a code that is new passes for one that was there about once in six million imports of a million codes into a million.
    """

    def __init__(self) -> None:
        self._count = 0
        self._make(1 << 12)

    def _make(self, slots: int) -> None:
        self._slots, self._mask, self._most = array("q", bytes(8 * slots)), slots - 1, slots * 2 // 3

    def __len__(self) -> int:
        return self._count

    def add(self, code: str, whence: Whence) -> Whence | None:
        """Add a code; return where it was seen first, or None if it was not there."""
        entry = (hash(code) & ~1) or 2
        slots, mask = self._slots, self._mask
        at = (entry >> 1) & mask
        while held := slots[at]:
            if held & ~1 == entry:
                return Whence(held & 1)
            at = (at + 1) & mask
        slots[at] = entry | whence.value
        self._count += 1
        if self._count > self._most:
            self._grow()
        return None

    def _grow(self) -> None:
        old = self._slots
        self._make(2 * len(old))
        slots, mask = self._slots, self._mask
        for entry in old:
            if entry:
                at = (entry >> 1) & mask
                while slots[at]:
                    at = (at + 1) & mask
                slots[at] = entry
