"""What recorded files say: records as they come in, and the log of a partition as `livepromo log` writes it."""

from __future__ import annotations

import base64
import gzip
import stat
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, NamedTuple

import msgspec

from livepromo.engine.entries import ControlEntry
from livepromo.ledger.codes import CodeProblem, lines_of, normalised

LOG_VERSION = 1
STANDARD_INPUT = "-"
_BYTES_AT_ONCE = 1 << 20  # lines may be long, so they are not counted
_encode = msgspec.json.Encoder().encode


class InputError(ValueError):
    """A file that cannot be used; the message names it and says why."""


class LogHeader(msgspec.Struct, frozen=True, tag="log"):
    """The first line of a log file."""

    version: int
    topic: str
    partition: int


class PublicationLine(msgspec.Struct, frozen=True, tag="publication"):
    """A record of the catalogue, as it stands there."""

    offset: int
    published_ms: int
    value: str


class EntryLine(msgspec.Struct, frozen=True, tag="entry"):
    """A control entry, and the position at which the partition took it."""

    offset: int
    step: int
    entry: ControlEntry


class RecordLine(msgspec.Struct, frozen=True, tag="record"):
    """A record of the events topic; bytes that are no UTF-8 stand in base64."""

    offset: int
    received_ms: int
    value: str | None
    encoding: Literal["utf-8", "base64"] = "utf-8"

    def as_bytes(self) -> bytes | None:
        """Return the record's value, byte for byte."""
        if self.value is None:
            return None
        return base64.b64decode(self.value, validate=True) if self.encoding == "base64" else self.value.encode()


LogLine = LogHeader | PublicationLine | EntryLine | RecordLine
_decode_line = msgspec.json.Decoder(LogLine).decode


def record_line(offset: int, received_ms: int, value: bytes | None) -> RecordLine:
    """Return the line of a record."""
    if value is None:
        return RecordLine(offset, received_ms, None)
    try:
        return RecordLine(offset, received_ms, value.decode())
    except UnicodeDecodeError:
        return RecordLine(offset, received_ms, base64.b64encode(value).decode(), "base64")


def write_line(out: IO[bytes], line: LogLine) -> None:
    """Write one line of a log file."""
    out.write(_encode(line) + b"\n")


def read_log(path: str, moved: Callable[[int], None] = lambda _: None) -> Iterator[LogLine]:
    """Yield the lines of a log file, its header first; `moved` is told of bytes as they are read. Raises InputError."""
    number = 0
    for number, text in enumerate(read_lines([path], moved), 1):
        try:
            line = _decode_line(text)
            if isinstance(line, RecordLine) and line.encoding == "base64":
                line.as_bytes()  # raises where it is none
        except (msgspec.DecodeError, ValueError):
            raise InputError(f"{path}: line {number} is none that `livepromo log` writes") from None
        if (number == 1) != isinstance(line, LogHeader) or (isinstance(line, LogHeader) and line.version != LOG_VERSION):
            raise InputError(f"{path}: not a log file of format {LOG_VERSION}: write it anew with this version's `livepromo log`")
        yield line
    if not number:
        raise InputError(f"{path} is empty: `livepromo log PARTITION --out {path}` writes one")


def read_lines(paths: Iterable[str], moved: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    """Yield the lines of files, one after another: plain, `.gz`, or `-` for standard input.

    `moved` is told now and then how many more bytes were read, compressed ones where they are. Raises InputError.
    """
    for path in paths:
        try:
            if path == STANDARD_INPUT:
                yield from _without_ends(sys.stdin.buffer)
                continue
            with Path(path).open("rb") as raw:
                lines = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
                told = 0
                while some := lines.readlines(_BYTES_AT_ONCE):
                    now = raw.tell()
                    moved(now - told)
                    told = now
                    yield from _without_ends(some)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


class TextsRead(NamedTuple):
    """The codes or users of a file, in its order, each once; and how many other lines it has, by what they are."""

    texts: tuple[str, ...]
    left_out: dict[str, int]


def read_texts(path: str) -> TextsRead:
    """Read a file of codes or users, one a line, as an import does. Raises InputError."""
    texts: dict[str, None] = {}
    left_out: Counter[str] = Counter()
    for line in lines_of(read_lines([path])):
        text = normalised(line)
        if isinstance(text, CodeProblem):
            left_out[text.value] += 1
        elif text in texts:
            left_out["repeated"] += 1
        else:
            texts[text] = None
    return TextsRead(tuple(texts), dict(left_out))


def _without_ends(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line.rstrip(b"\r\n") for line in lines)


def size_bytes(paths: Iterable[str]) -> int | None:
    """Return how many bytes the files have that `moved` will tell of; None where one of them has no size."""
    try:
        found = [Path(path).stat() for path in paths]
    except (OSError, ValueError):
        return None
    return sum(one.st_size for one in found) if all(stat.S_ISREG(one.st_mode) for one in found) else None
