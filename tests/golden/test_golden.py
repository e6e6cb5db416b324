"""Recorded histories are decided as they always were, byte for byte: a change here is a breaking change, and stands in the changelog."""

from __future__ import annotations

from pathlib import Path

import pytest

from livepromo.cli import main

HISTORIES = sorted(path for path in Path(__file__).parent.iterdir() if (path / "events.jsonl").exists())


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.name)
def test_a_recorded_history_is_decided_as_it_always_was(history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "decisions.jsonl"
    words = ["--documents", str(history / "documents.yaml"), "--events", str(history / "events.jsonl"), "--out", str(out)]
    assert main(["simulate", *words]) == 0
    assert out.read_bytes() == (history / "decisions.jsonl").read_bytes()
    assert capsys.readouterr().err == (history / "summary.txt").read_text()


def test_there_are_histories() -> None:
    assert [path.name for path in HISTORIES] == ["disorder", "limits"]
