"""What a text says, and where."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from livepromo.documents.reading import read_text


def values(text: str) -> list[Any]:
    read, problems = read_text(text.encode(), "f")
    assert not problems, [problem.text for problem in problems]
    return [document.value for document in read]


def value(text: str) -> Any:
    (only,) = values("a: " + text)
    return only["a"]


def refusals(content: bytes | str) -> list[tuple[str, int, int, str]]:
    content = content.encode() if isinstance(content, str) else content
    return [(one.path, one.line, one.column, one.message) for one in read_text(content, "f")[1]]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1", 1), ("-7", -7), ("+3", 3), ("007", 7), ("0o17", 15), ("0x1F", 31), ("1.5", Decimal("1.5")), (".5", Decimal("0.5")),
        ("5.", Decimal(5)), ("1e3", Decimal(1000)), ("-1.50", Decimal("-1.5")), ("0.1", Decimal("0.1")),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("2026-01-01", "2026-01-01"), ("12:30:45", "12:30:45"), ("1_000",
        "1_000"),
        ("0b1", "0b1"), ("1e", "1e"), ("+", "+"), ("<<", "<<"), ("=", "="), ("0o8", "0o8"), ("-0x1", "-0x1"), ("1.2.3", "1.2.3"),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ("NULL", None), ("nuLL", "nuLL"),
        ('"1"', "1"), ("'true'", "true"), ('"\\u00e9"', "é"), ("|\n  1\n", "1\n"),
    ],
)  # fmt: skip
def test_a_plain_scalar_means_what_the_core_schema_of_yaml_1_2_says(text: str, meant: Any) -> None:
    read = value(text)
    assert read == meant
    assert type(read) is type(meant)


def test_no_number_becomes_a_binary_float() -> None:
    assert value("[0.1, 0.30000000000000004, 1e-7, 123456789012345678901234567890]") == [
        Decimal("0.1"), Decimal("0.30000000000000004"), Decimal("1e-7"), 123456789012345678901234567890,
    ]  # fmt: skip
    assert values('{"a": 0.1}')[0]["a"] == Decimal("0.1")


@pytest.mark.parametrize(
    "text",
    [
        "1e999999999",
        "-1e999999999",
        "1e99999999999999999999999",
        "1e-99999999999999999999999",
        "9" * 1_000_000,
        "0." + "1" * 1_000_000,
        "0x" + "f" * 100_000,
    ],
)
def test_a_huge_number_costs_no_more_than_its_text(text: str) -> None:
    began = time.perf_counter()
    value(text)
    assert time.perf_counter() - began < 2


def test_infinities_and_nan_are_no_finite_numbers() -> None:
    assert [value(text).is_finite() for text in (".inf", "-.INF", "+.Inf", ".nan")] == [False] * 4
    assert value(".infinity") == ".infinity"


def test_several_documents_stand_in_one_file() -> None:
    assert values("a: 1\n---\nb: 2\n---\n") == [{"a": 1}, {"b": 2}]
    assert values("- a: 1\n- b: 2\n---\nc: 3") == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert values('[{"a": 1}, {"b": 2}]') == [{"a": 1}, {"b": 2}]
    assert values("{a: 1}") == [{"a": 1}]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":\t"tab",\t"b"\t:\t1}',
        '{"a": "\\ud83d\\ude00", "b": "\\u00e9\\/\\n\\"\\\\"}',
        ' \r\n {"a": [true, false, null, -1, {}, []], "b": {"c": ""}} \n',
        '{"a b": 1, "": 2, "é": 3}',
        '{"a":{"b":[[[]]]}}',
    ],
)
def test_json_means_what_json_means(text: str) -> None:
    assert values(text) == [json.loads(text)]


def test_what_starts_like_json_and_is_none_is_yaml() -> None:
    assert values("{kind: wallet, id: a} # not JSON") == [{"kind": "wallet", "id": "a"}]
    assert values("{a: NaN}") == [{"a": "NaN"}]


@pytest.mark.parametrize("template", ['{{"x": 1, "a": {}}}', "x: 1\na: {}\n"])
def test_places_are_lines_and_columns(template: str) -> None:
    read, _ = read_text(template.format('{"b": [10, {"c d": 2}]}').encode(), "f")
    line, start = (1, 15) if template.startswith("{") else (2, 4)
    assert read[0].places["$.a"] == (line, start)
    assert read[0].places["$.a.b"] == (line, start + 6)
    assert read[0].places["$.a.b[0]"] == (line, start + 7)
    assert read[0].places['$.a.b[1]["c d"]'] == (line, start + 19)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    for text in ("a: 1", '{"a": 1}'):
        read, problems = read_text(b"\xef\xbb\xbf" + text.encode(), "f")
        assert (read[0].value, problems) == ({"a": 1}, [])


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"---\n---\n", b"[]", b"null", b" \n\n"])
def test_a_file_without_a_document_is_a_problem(content: bytes) -> None:
    ((path, _, _, message),) = refusals(content)
    assert path == "$"
    assert "document" in message


@pytest.mark.parametrize(
    ("text", "path", "line", "column"),
    [
        ("a: 1\nb: 2\na: 3\n", "$.a", 3, 1),
        ('{"a": 1,\n "b": {"c": 1, "c": 1}}', "$.b.c", 2, 16),
        ("a: 1\n'a': 2", "$.a", 2, 1),
        ("a: &x [1]\nb: *x", "$.b", 2, 4),
        ("a: !!int '1'", "$.a", 1, 4),
        ("a: !python/object:os.system x", "$.a", 1, 4),
        ("a: !!binary aGk=", "$.a", 1, 4),
        ("a: !!map {}", "$.a", 1, 4),
        ("!!str a: 1", "$.a", 1, 1),
        ("!!seq [a: 1]", "$", 1, 1),
        ('{"a": "\\ud800"}', "$.a", 1, 7),
        ('{"\\udc00": 1}', "$", 1, 2),
    ],
)
def test_duplicates_aliases_tags_and_half_surrogates_are_refused_at_their_place(text: str, path: str, line: int, column: int) -> None:
    assert [refusal[:3] for refusal in refusals(text)] == [(path, line, column)]


def test_reading_goes_on_after_a_refusal() -> None:
    assert [refusal[0] for refusal in refusals("a: &x 1\nb: *x\na: 2\nc: !t 3\nd: *x")] == ["$.b", "$.a", "$.c", "$.d"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: 1\nb: [1, 2\nc: 3", 3), (b"a: 1\n b: 2", 2), (b"a: \xff", 1), (b"a: 1\nb: \xed\xa0\x80", 2), (b"a: 1\nb: \x00", 2),
        (b"a: \x1b[0m", 1),
        (b"? [a]\n: 1", 1), (b"a: *nowhere", 1), (b'{"a": 1', 2), (b'{"a": "\\ud800', 1), (b"[1, 2]]", 1), (b"%YAML 3.0\n---\na: 1", 1),
        ("a: 1".encode("utf-16"), 1),
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_a_problem_of_the_file_with_its_line(content: bytes, line: int) -> None:
    assert [(path, at) for path, at, _, message in refusals(content) if message][:1] == [("$" if b"*" not in content else "$.a", line)]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a: b: c", (1, 5), "a colon and a blank"),
        ("a: 1\n b: 2", (2, 3), "a colon and a blank"),
        ("a: 1\nb\nc: 2", (3, 1), "no colon"),
        ("a:\n  b: 1\n c: 2", (3, 2), "indentation"),
        ("a:\n  - 1\n  b: 2", (3, 3), "indentation"),
        ("a: [1, 2\nb: 3", (2, 2), "a comma or a ] is missing"),
        ("{a: 1 b: 2}", (1, 8), "a comma or a } is missing"),
        ("a: - 1", (1, 4), "a line of its own"),
        ("a: @b", (1, 4), "in quotes"),
        ("a:\n\tb: 1", (2, 1), "with blanks, not with tabs"),
        ('a: "b\nc: 1', (2, 5), "closing quote"),
        ('a: "b" c', (1, 8), "mend"),
        (r'a: "\d"', (1, 5), "single quotes"),
        ("[1, 2]]", (1, 7), "---"),
    ],
)
def test_what_is_no_yaml_is_said_in_a_plain_sentence_that_says_what_to_do(text: str, place: tuple[int, int], said: str) -> None:
    ((path, line, column, message),) = refusals(text)[-1:]
    assert (path, line, column) == ("$", *place)
    assert said in message
    assert not any(word in message for word in ("token", "context", "expected", "stream"))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "- " * 100_000, '{"a":' * 100_000, "[" * 900 + "]" * 900, '{"a":' * 200 + "1" + "}" * 200, "{" * 5000]
)
def test_deep_nesting_is_refused(text: str) -> None:
    ((path, *_),) = refusals(text)
    assert path == "$"


def test_documents_before_an_error_of_syntax_are_read() -> None:
    read, problems = read_text(b"kind: wallet\nid: a\n---\n[", "f")
    assert [document.key for document in read] == ["wallet/a"]
    assert [(problem.document, problem.path) for problem in problems] == [("", "$")]


def test_the_line_for_people_and_the_json_form() -> None:
    (problem,) = read_text(b"kind: wallet\nid: a\nid: b", "dir/f.yaml")[1]
    assert problem.text == 'dir/f.yaml: $.id: "id" is given twice [line 3, column 1]'
    assert problem.as_json() == {
        "file": "dir/f.yaml", "document": "wallet/a", "path": "$.id", "rule": "", "severity": "error", "message": '"id" is given twice',
    }  # fmt: skip


def test_a_message_is_one_line_and_no_command_for_a_terminal() -> None:
    for problem in read_text(b'{"\\u001b[31m\\n\\u009b": 1, "\\u001b[31m\\n\\u009b": 2}', "f")[1]:
        assert problem.text.isprintable()
