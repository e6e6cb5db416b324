"""What a command shows: data on standard output, what is for people on standard error; tables, and progress on a terminal."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from livepromo.cli.errors import UsageError


def say(text: str) -> None:
    """Say something to whoever runs the command."""
    print(text, file=sys.stderr)  # noqa: T201 - this is the place


def put(text: str) -> None:
    """Write data, a line or several."""
    print(text)  # noqa: T201 - this is the place


@contextmanager
def writing(path: str) -> Iterator[IO[bytes]]:
    """Open a file for data: `-` is standard output, and a name that ends with .gz is compressed. Raises UsageError."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        # No time and no name in the header: the same data is the same file, byte for byte.
        raw = Path(path).open("wb")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    with raw:
        if not path.endswith(".gz"):
            yield raw
            return
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
            yield cast("IO[bytes]", packed)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], file: TextIO | None = None) -> None:
    """Write a table to standard output, or to `file`: drawn on a terminal, else columns with blanks between them, headed by their names."""
    out = sys.stdout if file is None else file
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if out.isatty():
        _drawn(columns, cells, out)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), file=out)


def _drawn(columns: Sequence[str], cells: Sequence[Sequence[str]], out: TextIO) -> None:
    from rich import box  # noqa: PLC0415 - a tenth of a second that a pipe need not pay
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell) for cell in row))  # Text: a name with brackets in it is no markup
    Console(file=out).print(drawn)


@contextmanager
def progress(what: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Show on a terminal how far something is; yields a function that moves it on by so much, and does nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second that a pipe need not pay
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)
