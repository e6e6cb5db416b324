"""Tables are drawn for people at a terminal and plain for everybody else; progress is for people alone."""

from __future__ import annotations

import io
import sys

import pytest

from livepromo.cli.output import progress, put, say, table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_data_and_what_is_for_people_go_different_ways(capsys: pytest.CaptureFixture[str]) -> None:
    put("data")
    say("for you")
    assert capsys.readouterr() == ("data\n", "for you\n")


def test_a_table_for_a_pipe_is_aligned_columns_without_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table(["campaign", "left"], [["cart-rescue", 5], ["x", None]])
    assert capsys.readouterr().out == "campaign     left\ncart-rescue  5\nx\n"


def test_a_table_for_a_terminal_shows_names_as_they_are() -> None:
    out = Terminal()
    table(["campaign"], [["[bold]odd"]], out)
    assert "[bold]odd" in out.getvalue()
    assert "campaign" in out.getvalue()


def test_progress_is_silent_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("reading", 10) as advance:
        advance(5)
    assert capsys.readouterr() == ("", "")


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("TERM", "xterm")
    with progress("reading", 10) as advance:
        advance(5)
    assert "reading" in out.getvalue()
