"""`livepromo preview` of campaigns that reward what is not done, that are sent, and that have an audience."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from livepromo.cli import main

Run = Callable[..., int]

BASE = """
{kind: wallet, id: grocery}
---
{kind: list, id: vip}
---
{kind: endpoint, id: api, url: "https://gifts.example.org"}
---
{kind: item, id: watch}
---
"""
POINTS = "reward: {points: {wallet: grocery, earn: {flat: 5}, metadata: [{key: plan, from: user.plan}, {system: event_id}]}}\n"
RESCUE = (
    "{kind: campaign, id: rescue, qualify: {live: {event: Cart, unless: {event: Paid, within: 30m}, same: [Item]}}, "
    "reward: {points: {wallet: grocery, earn: {percent: 10, of: Amount}}}, when: {end: 2026-01-02T00:00}}"
)
PAST = "kind: campaign\nid: past\nqualify: {past: {}}\nwho: {property: plan, op: eq, value: gold}\n" + POINTS
LISTED = (
    "{kind: campaign, id: listed, qualify: {list: vip}, who: {did_not: {event: Paid}}, reward: {custom: {endpoint: api, item: watch}}, "
    "when: {send: 2030-01-01T00:00}}"
)
THIRD = "kind: campaign\nid: third\nqualify: {live: {event: Paid}}\nwho: {did: {event: Paid, count: {eq: 3}}}\n" + POINTS


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(campaign: str, *words: str) -> int:
        (tmp_path / "c.yaml").write_text(BASE + campaign)
        return main(["preview", str(tmp_path / "c.yaml"), *words])

    return run


CART = '{"ts": "2026-01-01T00:00:00Z", "properties": {"Item": "p1", "Amount": 70}}'


def test_what_is_not_done_is_rewarded_when_nothing_follows_the_event(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(RESCUE, "--event", CART) == 0
    reward = json.loads(capsys.readouterr().out)["reward"]
    assert (reward["points"], reward["active_at"]) == (7, 1_767_225_600_000 + 30 * 60_000)


def test_what_is_sent_needs_no_event_and_has_none_to_refer_to(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PAST, "--profile", '{"plan": "gold"}') == 0
    assert json.loads(capsys.readouterr().out)["reward"]["metadata"] == {"plan": "gold"}


def test_a_list_is_sent_as_if_the_user_stood_on_it_with_its_payload(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(LISTED, "--profile", '{"email": "a@example.org"}') == 0
    said = json.loads(capsys.readouterr().out)
    assert said["reward"]["item"] == "watch"
    assert said["payload"]["user"] == {"userId": "preview-user", "email": "a@example.org"}


@pytest.mark.parametrize(
    ("campaign", "words", "code", "said"),
    [
        (RESCUE, (), 2, "--event must be given: rescue is a live campaign"),
        (RESCUE, ("--event", CART.replace('"Item": "p1", ', "")), 1, "the event has no Item, by which rescue tells windows apart"),
        (RESCUE, ("--event", CART.replace("T00:00", "T23:30")), 1, "the deadline, 2026-01-02T00:00:00Z, is not before the end"),
        (RESCUE, ("--event", '{"event": "Paid"}'), 1, 'rescue waits for "Cart"'),
        (PAST, ("--profile", '{"plan": "silver"}'), 1, "is not in $.who: nothing is known here of the user but the profile"),
        (THIRD, ("--event", "{}"), 1, "nothing is known here of the user but the profile, and that this event happened"),
    ],
    ids=["no event", "no constant property", "ends before", "another event", "not gold", "the first time"],
)
def test_it_is_said_why_there_is_no_reward(
    run: Run,
    campaign: str,
    words: tuple[str, ...],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(campaign, *words) == code
    assert said in capsys.readouterr().err
