"""What a line of a file of codes is, what a record of codes holds, and which place a code has."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livepromo.ledger.codes import CodeProblem, Places, Seen, Whence, count_in, normalised, packed, unpacked
from livepromo.model.formats import FormatError

codes = st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"SPRING-10", "SPRING-10"),
        (b"SPRING-10\r\n", "SPRING-10"),
        (b"\t SPRING 10 \n", "SPRING 10"),
        (b"\xef\xbb\xbfSPRING", "SPRING"),
        (b"\xef\xbb\xbf \xc2\xa0SPRING\xe3\x80\x80", "SPRING"),
        ("straße-İ".encode(), "straße-İ"),
        (b"spring", "spring"),
        (b'"A,1"', '"A,1"'),
        (b"\x00A\x7f", "\x00A\x7f"),
        ("é".encode() * 255, "é" * 255),
    ],
)
def test_a_code_is_the_line_without_blanks_mark_and_line_end_around_it_and_nothing_else_is_changed(line: bytes, code: str) -> None:
    assert normalised(line) == code


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", CodeProblem.EMPTY),
        (b" \t\r\n", CodeProblem.EMPTY),
        (b"\xef\xbb\xbf", CodeProblem.EMPTY),
        (b"A" * 256, CodeProblem.TOO_LONG),
        (b"\xff\xfeS\x00", CodeProblem.NOT_UTF8),
        (b"\xed\xa0\x80", CodeProblem.NOT_UTF8),
    ],
)
def test_a_line_without_a_code_says_why(line: bytes, problem: CodeProblem) -> None:
    assert normalised(line) is problem


@given(codes)
def test_a_record_holds_its_codes_in_order(some: list[str]) -> None:
    assert unpacked(packed(some)) == tuple(some)
    assert count_in(packed(some)) == len(some)


@given(codes, st.data())
def test_a_record_that_was_changed_anywhere_is_refused_without_a_code_in_the_message(some: list[str], data: st.DataObject) -> None:
    some = [f"§§{code}" for code in some]  # which no message says for another reason
    payload = bytearray(packed(some))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FormatError) as refused:
        unpacked(bytes(payload))
    assert "§§" not in str(refused.value)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x02" + bytes(20)])
def test_a_record_of_another_format_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError):
        unpacked(payload)


# -- places: against a plain list of codes -----------------------------------------------------------------------------


def spread(sizes: list[int], start: int, count: int) -> list[tuple[int, int]]:
    """Return (offset, index in its record) of each of the places, one by one."""
    everything = [(offset * 10, at) for offset, size in enumerate(sizes) for at in range(size)]
    return everything[start : start + count]


@given(st.lists(st.integers(1, 7), max_size=12), st.integers(0, 40), st.integers(0, 40))
def test_a_place_is_the_index_in_all_valid_records(sizes: list[int], start: int, count: int) -> None:
    places = Places()
    for at, size in enumerate(sizes):
        assert places.take(at * 10, 0, packed(["x"] * size))
    assert places.size == sum(sizes)
    found = [(piece.offset, at) for piece in places.pieces(start, count) for at in range(piece.first, piece.end)]
    assert found == spread(sizes, start, count)


def test_what_an_importer_appends_behind_the_marker_of_the_next_one_has_no_place() -> None:
    places = Places()
    assert not places.take(0, 0, b"")
    assert places.take(1, 0, packed(["a", "b"]))
    assert not places.take(2, 0, b"")
    assert not places.take(3, 0, packed(["void"]))
    assert places.take(4, 2, packed(["c"]))
    assert not places.take(5, 0, packed(["void"]))
    assert (places.size, places.void) == (3, 2)
    assert [piece.offset for piece in places.pieces(0, 9)] == [1, 4]


def test_the_records_that_follow_one_are_of_the_pool_and_bounded() -> None:
    places = Places()
    for offset in (1, 4, 6, 9):
        places.take(offset, 0, packed(["a"]))
    assert places.following(4, 2) == {4, 6}
    assert places.following(9, 100) == {9}


# -- what was there before -----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(max_size=2), st.sampled_from(Whence))))
def test_a_code_that_was_there_is_known_by_where_it_was_first(adds: list[tuple[str, Whence]]) -> None:
    seen, first = Seen(), dict[str, Whence]()
    for code, whence in adds:
        assert seen.add(code, whence) == first.get(code)
        first.setdefault(code, whence)
    assert len(seen) == len(first)


def test_a_hundred_thousand_codes_are_told_apart_in_24_bytes_each() -> None:
    draw = random.Random(7)
    drawn = [f"{draw.randrange(60_000):05d}" for _ in range(120_000)]
    seen, known = Seen(), set[str]()
    for code in drawn:
        assert (seen.add(code, Whence.FILE) is None) == (code not in known)
        known.add(code)
    assert len(seen) == len(known)
    assert sys.getsizeof(seen._slots) <= 24 * len(known)
