"""What `livepromo check` writes, and how it ends."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from cyclopts import App, CycloptsError

from livepromo.cli.check import check

UNLIMITED = """
kind: wallet
id: grocery
---
kind: campaign
id: c
qualify: {live: {event: Charged}}
reward: {points: {wallet: grocery, earn: {flat: 5}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.yaml"
    path.write_text(UNLIMITED)
    return str(path)


def test_warnings_are_said_and_no_failure(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check([file]) == 0
    out, err = capsys.readouterr()
    assert [line.split(": ")[:3] for line in out.splitlines()] == [
        [file, "$.reward.points.recurrence", "warning"], [file, "$.reward.points.budget.campaign", "warning"],
    ]  # fmt: skip
    assert all(line.endswith("(R71)") for line in out.splitlines())
    assert err == "2 documents: 0 errors, 2 warnings\n"


def test_strictly_advice_is_an_error(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check([file], strict=True) == 1
    assert "warning" not in capsys.readouterr().out


def test_json_is_an_array_on_standard_output(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: wallet\nid: w\ndecimals: 4\n")
    assert check([file, str(bad)], json=True) == 1
    problems = json.loads(capsys.readouterr().out)
    assert [list(problem) for problem in problems] == [["file", "document", "path", "rule", "severity", "message"]] * 3
    assert (problems[0]["file"], problems[0]["document"], problems[0]["path"], problems[0]["severity"]) == (
        str(bad),
        "wallet/w",
        "$.decimals",
        "error",
    )
    assert {problem["severity"] for problem in problems[1:]} == {"warning"}


def test_nothing_wrong_is_an_empty_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"kind": "wallet", "id": "w"}')
    assert check([str(path)], json=True) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_hyphen_is_a_file_and_what_looks_like_an_option_is_none(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(result_action="return_value", exit_on_error=False)
    app.command(check)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(UNLIMITED.encode())))
    assert app(["check", "-", "--json"]) == 0
    assert {problem["file"] for problem in json.loads(capsys.readouterr().out)} == {"-"}
    assert app(["check", file, "--strict"]) == 1
    with pytest.raises(CycloptsError):
        app(["check", file, "--stirct"])
    capsys.readouterr()


def test_the_accounts_zone_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(UNLIMITED + "when: {start: 2026-01-01T02:00, end: 2026-01-01T00:00Z}\n")
    assert check([str(path)]) == 1
    monkeypatch.setenv("LIVEPROMO_TIMEZONE", "Asia/Kolkata")
    assert check([str(path)]) == 0
    capsys.readouterr()
