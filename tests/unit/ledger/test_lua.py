"""Each script's header says what its body does, and Python knows its answers."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest

import livepromo.ledger
from livepromo.ledger.redis_table import ForgetAnswer, WriteAnswer

FOLDER = Path(livepromo.ledger.__file__).parent / "lua"
ANSWERS: dict[str, type[StrEnum]] = {"write": WriteAnswer, "forget": ForgetAnswer}


def header_and_body(name: str) -> tuple[str, str]:
    lines = (FOLDER / f"{name}.lua").read_text().splitlines()
    end = next(n for n, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(lines[:end]), "\n".join(line.partition("--")[0] for line in lines[end:])


def test_every_script_is_known_here() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_header_says_what_the_verb_does_and_costs(name: str) -> None:
    header, _ = header_and_body(name)
    assert header.startswith(f"-- {name}: ")
    assert re.search(r"^-- cost +\S", header, re.MULTILINE)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_header_names_the_keys_and_arguments_that_the_body_reads(name: str) -> None:
    header, body = header_and_body(name)
    for kind in ("KEYS", "ARGV"):
        named = re.findall(rf"^-- {kind}\[(\d+)(\.\.)?\]", header, re.MULTILINE)
        assert [int(number) for number, _ in named] == list(range(1, len(named) + 1))
        fixed = {int(number) for number, many in named if not many}
        many = [int(number) for number, dots in named if dots]
        assert {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", body)} == fixed
        loops = re.findall(r"^for at = (\d+),[^\n]*do\n(.*?)^end", body, re.MULTILINE | re.DOTALL)
        assert set(many) <= {int(first) for first, lines in loops if f"{kind}[at]" in lines}
        assert bool(many) == bool(re.search(rf"{kind}\[at\]", body))


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_of_header_body_and_python_are_the_same_words(name: str) -> None:
    header, body = header_and_body(name)
    said = re.search(r"^-- returns +(.*)$", header, re.MULTILINE)
    assert said
    words = {str(word) for word in ANSWERS[name]}
    assert set(re.findall(r'"(\w+)"', said[1])) == words
    assert set(re.findall(r"return '(\w+)'", body)) == words
    assert "return" not in re.sub(r"return '\w+'", "", body)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_script_is_a_function_of_its_keys_and_arguments(name: str) -> None:
    _, body = header_and_body(name)
    calls = re.findall(r"redis\.call\('(\w+)', (\S+?)[,)]", body)
    assert calls
    assert all(key.startswith("KEYS[") for _, key in calls)
    assert {command for command, _ in calls} <= {"GET", "SET", "HSET", "DEL", "UNLINK"}
    assert len(calls) == body.count("redis.")
    assert not re.search(r"math\.random|os\.|TIME|unpack", body)
