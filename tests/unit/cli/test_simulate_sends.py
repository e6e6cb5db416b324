"""`livepromo simulate` with lists of users, campaigns that are sent, windows, and an end of time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from livepromo.cli import main
from unit.cli.test_simulate import event

DOCUMENTS = """
{kind: wallet, id: grocery}
---
{kind: list, id: vip}
---
kind: campaign
id: gift
qualify: {list: vip}
reward: {points: {wallet: grocery, earn: {flat: 5}}}
when: {send: 2026-01-01T01:00}
---
kind: campaign
id: missed
qualify: {past: {}}
who: {did_not: {event: Bought}}
reward: {points: {wallet: grocery, earn: {flat: 3}}}
---
kind: campaign
id: rescue
qualify: {live: {event: Bought, unless: {event: Returned, within: 30m}}}
reward: {points: {wallet: grocery, earn: {flat: 1}, recurrence: {total: 1}, budget: {campaign: 100}}}
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "documents.yaml").write_text(DOCUMENTS)
    (tmp_path / "events.jsonl").write_text("\n".join([event("u1", 0), event("u2", 1), event("u1", 2, event="Returned")]))
    (tmp_path / "vip.txt").write_text("\ufeffu1\r\n\nu9 \nu9\n")
    return ["simulate", "--documents", str(tmp_path / "documents.yaml"), "--events", str(tmp_path / "events.jsonl"), "--out", "-"]


def decided(out: str) -> list[tuple[str, str]]:
    found = []
    for line in out.splitlines():
        [body] = json.loads(line).values()
        found.append((body["campaign"], body["user"]))
    return found


def test_users_are_on_their_lists_before_the_first_record_and_are_known(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--users", f"list/vip={tmp_path / 'vip.txt'}"]) == 0
    said = capsys.readouterr()
    assert decided(said.out) == [("missed", "u9"), ("rescue", "u2"), ("gift", "u1"), ("gift", "u9")]
    assert "2 users of list/vip; lines left out: 1 empty, 1 repeated" in said.err


def test_a_list_that_is_not_named_has_nobody(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert decided(capsys.readouterr().out) == [("rescue", "u2")]


def test_time_goes_on_to_the_instant_of_until_and_no_further_but_what_is_sent_now_is_sent(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words += ["--users", f"list/vip={tmp_path / 'vip.txt'}"]
    for until, campaigns in (
        ("2026-01-01T00:30", ["missed"]),
        ("2026-01-01T00:30:05.002Z", ["missed", "rescue"]),
        ("2026-01-01T01:00:05.001", ["missed", "rescue", "gift", "gift"]),
    ):
        assert main([*words, "--until", until]) == 0
        assert [campaign for campaign, _ in decided(capsys.readouterr().out)] == campaigns


def test_the_summary_says_what_became_of_windows_and_whom_was_sent_what(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--users", f"list/vip={tmp_path / 'vip.txt'}"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().err.splitlines()]
    at = next(n for n, line in enumerate(lines) if line.startswith("windows of"))
    assert lines[at : at + 2] == [
        "windows of opened moved done fired stopped late trigger over limit still open",
        "rescue 2 0 1 1 0 0 0 0",
    ]
    assert lines[at + 2 : at + 5] == ["sent users in the audience grants denials", "gift 3 2 2 0", "missed 3 1 1 0"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--users", "vip.txt"], "write list/ID=FILE"),
        (["--users", "segment/vip=a.txt"], "write list/ID=FILE"),
        (["--users", "list/other=/dev/null"], "none of the documents is list/other: there are list/vip"),
        (["--users", "list/vip=/dev/null", "list/vip=/dev/null"], "list/vip is named twice"),
    ],
    ids=["no list", "a segment", "of another name", "twice"],
)
def test_users_that_belong_to_no_list_are_refused(words: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, *more]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--users", "list/vip=/dev/null"], ["--until", "2026-01-01T00:00"]], ids=["users", "until"])
def test_what_a_log_has_in_it_cannot_be_given_beside_it(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--log", "l", *more]) == 2
    assert f"{more[0]} does not go with --log" in capsys.readouterr().err
