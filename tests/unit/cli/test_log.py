"""What `livepromo log` writes: every record's bytes, and control entries where they were taken."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from livepromo.cli import _with_standard_streams
from livepromo.cli.errors import UsageError
from livepromo.cli.log import _Entries, _write_records
from livepromo.cli.output import writing
from livepromo.engine.entries import CatalogueTaken
from livepromo.model.records import Position
from livepromo.simulation.files import EntryLine, LogHeader, RecordLine, read_log, write_line
from livepromo.streaming.log import LogRecord


def written(tmp_path: Path, entries: dict[Position, int], *slices: list[LogRecord]) -> list[EntryLine | RecordLine]:
    """Return the lines behind the header as they are read back."""
    file = io.BytesIO()
    write_line(file, LogHeader(1, "events", 3))
    waiting = _Entries({at: CatalogueTaken(position) for at, position in entries.items()})
    for records in slices:
        _write_records(file, records, waiting, None)
    waiting.write_before(file, None)
    (tmp_path / "log.jsonl").write_bytes(file.getvalue())
    _, *lines = read_log(str(tmp_path / "log.jsonl"))
    return lines  # type: ignore[return-value]


def record(offset: int, value: bytes | None = b"{}") -> LogRecord:
    return LogRecord(offset, 1000 + offset, b"u", value)


def test_an_entry_stands_before_the_record_of_its_offset_and_behind_the_one_before_it(tmp_path: Path) -> None:
    entries = {Position(5, 1): 9, Position(0, 0): 1, Position(5, 0): 8, Position(8, 0): 10}
    lines = written(tmp_path, entries, [record(3), record(4)], [record(5), record(7)])
    assert [(line.offset, line.entry) if isinstance(line, EntryLine) else line.offset for line in lines] == [
        (0, CatalogueTaken(1)), 3, 4, (5, CatalogueTaken(8)), (5, CatalogueTaken(9)), 5, 7, (8, CatalogueTaken(10)),
    ]  # fmt: skip


def test_an_entry_in_a_gap_of_offsets_stands_before_the_next_record(tmp_path: Path) -> None:
    lines = written(tmp_path, {Position(4, 0): 1}, [record(3), record(9)])
    assert [type(line).__name__ for line in lines] == ["RecordLine", "EntryLine", "RecordLine"]


@pytest.mark.parametrize("value", [None, b"", b'{"a":"\\ud800"}', b"\xff\x00\n\r", "é\u2028🎁".encode(), b"\x1f\x8b"])
def test_the_bytes_of_a_record_come_back(tmp_path: Path, value: bytes | None) -> None:
    (line,) = written(tmp_path, {}, [record(3, value)])
    assert isinstance(line, RecordLine)
    assert (line.as_bytes(), line.received_ms) == (value, 1003)


def test_a_file_whose_name_ends_with_gz_is_compressed_and_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        with writing(str(tmp_path / name)) as file:
            file.write(json.dumps({"n": 1}).encode())
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == b'{"n": 1}'
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_a_place_that_cannot_be_written_is_an_argument_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"), writing(str(tmp_path)):
        pass


@pytest.mark.parametrize(
    ("words", "joined"),
    [
        (["simulate", "--events", "-"], ["simulate", "--events=-"]),
        (["simulate", "--events", "a", "-", "--out", "-"], ["simulate", "--events", "a", "--events=-", "--out=-"]),
        (["simulate", "--out=-", "--documents", "-", "d"], ["simulate", "--out=-", "--documents=-", "d"]),
        (["check", "--strict", "-"], ["check", "--strict", "-"]),
        (["check", "-"], ["check", "-"]),
    ],
)
def test_a_dash_behind_an_option_for_files_is_a_file(words: list[str], joined: list[str]) -> None:
    assert _with_standard_streams(words) == joined
