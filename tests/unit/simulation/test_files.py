"""Files of records and logs of partitions are read byte for byte, and what cannot be used is named."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepromo.engine.entries import CatalogueTaken, HistoryRead, Tick, Visit
from livepromo.model.ids import CampaignId
from livepromo.simulation.files import (
    LOG_VERSION,
    EntryLine,
    InputError,
    LogHeader,
    PublicationLine,
    RecordLine,
    read_lines,
    read_log,
    read_texts,
    record_line,
    size_bytes,
    write_line,
)

HEADER = LogHeader(LOG_VERSION, "events", 3)


def a_log(path: Path, *lines: LogHeader | PublicationLine | EntryLine | RecordLine) -> str:
    with path.open("wb") as file:
        for line in lines:
            write_line(file, line)
    return str(path)


# -- lines ------------------------------------------------------------------------------------------------------------


def test_files_are_read_one_after_another_plain_and_compressed_without_their_line_ends(tmp_path: Path) -> None:
    first, second, third = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c"
    first.write_bytes(b"one\ntwo\r\n\nthree")
    second.write_bytes(gzip.compress(b"four\n") + gzip.compress(b"five"))
    third.write_bytes(b"")
    assert list(read_lines(map(str, (first, third, second)))) == [b"one", b"two", b"", b"three", b"four", b"five"]


def test_standard_input_is_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"zero\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\xff\r\ntwo")))
    assert list(read_lines([str(path), "-"])) == [b"zero", b"one", b"\xff", b"two"]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_progress_is_told_in_bytes_of_the_file_and_adds_up_to_its_size(tmp_path: Path, suffix: str) -> None:
    content = b"".join(os.urandom(300).hex().encode() + b"\n" for _ in range(9000))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    told: list[int] = []
    assert len(list(read_lines([str(path)], told.append))) == 9000
    assert len(told) > 2
    assert sum(told) == path.stat().st_size == size_bytes([str(path)])


@pytest.mark.parametrize("paths", [["-"], ["/dev/null"], ["missing"], ["\0"]])
def test_what_is_no_file_has_no_size(paths: list[str]) -> None:
    assert size_bytes(paths) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.gz", gzip.compress(b"a line\n" * 500, mtime=0)[:-9]),
        ("none.gz", b"this is no gzip\n"),
        ("bent.gz", gzip.compress(random.Random(7).randbytes(5000), mtime=0)[:200] + b"\0" * 5000),
        ("missing", None),
        ("nul\0", None),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as raised:
        list(read_lines([str(path)]))
    assert str(raised.value).startswith(str(path))


def test_a_folder_is_no_file_of_records(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        list(read_lines([str(tmp_path)]))


# -- logs -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.none() | st.binary(max_size=50) | st.text(max_size=30).map(lambda text: text.encode(errors="replace"))))
def test_records_of_a_log_come_back_byte_for_byte(values: list[bytes | None]) -> None:
    file = io.BytesIO()
    for offset, value in enumerate(values):
        write_line(file, record_line(offset, 1000 + offset, value))
    lines = file.getvalue().splitlines(keepends=True)
    assert len(lines) == len(values)
    assert [record_line(offset, 1000 + offset, value).as_bytes() for offset, value in enumerate(values)] == values
    for offset, (line, value) in enumerate(zip(lines, values, strict=True)):
        written = json.loads(line)
        assert (written["type"], written["offset"], written["received_ms"]) == ("record", offset, 1000 + offset)
        if value is not None:
            assert (base64.b64decode(written["value"]) if written.get("encoding") == "base64" else written["value"].encode()) == value


def test_a_log_comes_back_as_it_was_written(tmp_path: Path) -> None:
    lines = [
        HEADER,
        PublicationLine(0, 5, '\1{"a":"ü"}'),
        record_line(7, 10, b'{"user":"u1"}'),
        EntryLine(8, 0, CatalogueTaken(1)),
        EntryLine(8, 1, Tick(5)),
        EntryLine(8, 2, HistoryRead((b"12345678",))),
        EntryLine(8, 3, Visit(CampaignId("c"), 3, done=True)),
        record_line(8, 11, b"\xff\n"),
        record_line(9, 12, None),
    ]
    assert list(read_log(a_log(tmp_path / "log", *lines))) == lines


def test_a_log_may_be_compressed(tmp_path: Path) -> None:
    plain = Path(a_log(tmp_path / "log", HEADER, record_line(7, 10, b"{}")))
    packed = tmp_path / "log.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_log(str(packed))) == list(read_log(str(plain)))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"7",
        b'{"type":"strange"}',
        b'{"type":"record","offset":1}',
        b'{"type":"record","offset":"1","received_ms":1,"value":"{}"}',
        b'{"type":"record","offset":1,"received_ms":1,"value":"{}","encoding":"rot13"}',
        b'{"type":"record","offset":1,"received_ms":1,"value":"!!!","encoding":"base64"}',
        b'{"type":"record","offset":1,"received_ms":1,"value":"\xff"}',
    ],
)
def test_a_line_that_no_log_has_is_named_by_its_number(tmp_path: Path, bad: bytes) -> None:
    path = Path(a_log(tmp_path / "log", HEADER, record_line(7, 10, b"{}")))
    path.write_bytes(path.read_bytes() + bad + b"\n")
    with pytest.raises(InputError, match="line 3") as raised:
        list(read_log(str(path)))
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "lines",
    [
        (LogHeader(LOG_VERSION + 1, "events", 3),),
        (record_line(7, 10, b"{}"),),
        (HEADER, record_line(7, 10, b"{}"), HEADER),
    ],
)
def test_a_log_of_another_version_without_a_header_or_with_two_is_refused(
    tmp_path: Path, lines: tuple[LogHeader | RecordLine, ...]
) -> None:
    with pytest.raises(InputError, match=f"not a log file of format {LOG_VERSION}: write it anew"):
        list(read_log(a_log(tmp_path / "log", *lines)))


def test_an_empty_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        list(read_log(a_log(tmp_path / "log")))


def test_codes_are_read_as_an_import_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "codes.txt"
    path.write_bytes(b"\xef\xbb\xbfA\r\n B\rC\r\rA\n\n" + b"x" * 256)
    assert read_texts(str(path)) == (("A", "B", "C"), {"empty": 2, "repeated": 1, "longer than 255 characters": 1})
