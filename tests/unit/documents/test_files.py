"""Files, directories, standard input."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

from livepromo.documents.files import check_content, read_files
from livepromo.documents.reading import documents_of
from livepromo.documents.references import check_documents

EXAMPLES = Path(__file__).parents[3] / "examples"
GOOD = b"kind: wallet\nid: a\n"


def test_the_examples_are_sound_even_strictly() -> None:
    read, problems = read_files([EXAMPLES], "UTC")
    assert [problem.text for problem in problems + check_documents(read, None, now_ms=None, strict=True)] == []
    assert len(documents_of(read)) >= 6


def test_of_a_directory_the_yaml_and_json_files_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.json", "c.yml", "d.txt", "e"):
        (tmp_path / name).write_text(f'{{"kind": "wallet", "id": "{name[0]}"}}')
    (tmp_path / "f.yaml").mkdir()
    read, problems = read_files([tmp_path], "UTC")
    assert not problems
    assert [(document.key, document.file) for document in read] == [
        ("wallet/a", str(tmp_path / "a.json")), ("wallet/b", str(tmp_path / "b.yaml")), ("wallet/c", str(tmp_path / "c.yml")),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["missing.yaml", "empty", "x\x00y"])
def test_what_cannot_be_read_is_a_problem_of_the_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.yaml").write_bytes(GOOD)
    read, problems = read_files([str(tmp_path / name), tmp_path / "good.yaml"], "UTC")
    assert [document.key for document in read] == ["wallet/a"]
    assert [(problem.file, problem.path, problem.document) for problem in problems] == [(str(tmp_path / name), "$", "")]


def test_a_hyphen_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD)))
    read, problems = read_files(["-"], "UTC")
    assert [(document.file, document.key) for document in read] == [("-", "wallet/a")]
    assert not problems


def test_a_document_whose_text_was_refused_has_no_meaning() -> None:
    read, problems = check_content(GOOD + b"id: a\n---\nkind: wallet\nid: b", "f", "UTC")
    assert [(document.key, document.document is None) for document in read] == [("wallet/a", True), ("wallet/b", False)]
    assert [problem.document for problem in problems] == ["wallet/a"]


def test_problems_stand_in_the_order_of_their_places() -> None:
    _, problems = check_content(b"when: 1\nid: A\nkind: campaign\nqualify: 1\nreward: 1\nwho: 1\nid: b\n", "f", "UTC")
    assert [problem.line for problem in problems] == [1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize(("text", "said"), [("*A", "the alias"), ("[*A]", "the alias"), ("!!seq [{kind: wallet, id: a}]", "the tag")])
def test_a_whole_document_that_was_refused_while_reading_is_refused_once(text: str, said: str) -> None:
    read, problems = check_content(text.encode(), "f", "UTC")
    assert [(problem.path, said in problem.message) for problem in problems + check_documents(read, None, now_ms=None, strict=False)] == [
        ("$", True)
    ]


@pytest.mark.parametrize(("example", "rules"), [("cashback", {"R19"}), ("travel-credits", {"R46", "R52"}), ("spring-sale", {"R34"})])
def test_ten_thousand_documents_take_seconds(example: str, rules: set[str]) -> None:
    text = (EXAMPLES / f"{example}.yaml").read_text()
    content = "\n---\n".join(text.replace(f"id: {example}", f"id: c{number}") for number in range(10_000)).encode()
    began = time.process_time()
    read, problems = check_content(content, "f", "UTC")
    problems += check_documents(read, None, now_ms=None, strict=False)
    taken_s = time.process_time() - began
    print(f"{example}: {taken_s:.1f} s of CPU")
    assert taken_s < 10
    assert (len(documents_of(read)), {problem.rule for problem in problems}) == (10_000, rules)


def test_ten_thousand_names_that_nothing_has_are_said_in_seconds() -> None:
    text = (EXAMPLES / "welcome.yaml").read_text().split("\n", 2)[2]
    one = "{}\n---\nkind: wallet\nid: wallet-number-{}"
    content = "\n---\n".join(
        one.format(text.replace("id: welcome", f"id: c{n}").replace("grocery", f"walet-number-{n}"), n) for n in range(10_000)
    )
    began = time.process_time()
    read, problems = check_content(content.encode(), "f", "UTC")
    problems += check_documents(read, None, now_ms=None, strict=False)
    assert time.process_time() - began < 20
    assert len(problems) == 10_000
