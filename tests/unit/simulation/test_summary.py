"""The summary says what became of every record and campaign."""

from __future__ import annotations

import json
from typing import Any

from livepromo.engine.horizons import Horizons
from livepromo.simulation.run import Simulation, run_recorded
from livepromo.simulation.summary import Summary
from unit.engine.builders import DAY, GROCERY, T0, a_campaign
from unit.simulation.test_run import line, meant


def summary_of(lines: list[bytes], *documents: dict[str, Any]) -> Summary:
    simulation = Simulation(Horizons())
    for _ in run_recorded(simulation, meant(GROCERY, *documents), lines):
        pass
    return simulation.summary


def test_every_record_is_counted_once() -> None:
    lines = [line(id="a"), line(id="a"), line(ts=T0 + 2 * DAY), line(ts=T0), line(ts=T0 + DAY - 1), b"{", b"", b'{"type":"strange"}']
    lines.append(json.dumps({"type": "profile", "user": "u1", "ts": T0}).encode())
    text = summary_of(lines, a_campaign()).records_text()
    assert text == "9 records: 3 taken, 1 repeats, 2 ignored, 3 dead letters (too_old 2, not_json 1)"


def test_without_dead_letters_no_reasons_are_said() -> None:
    assert summary_of([line()], a_campaign()).records_text() == "1 records: 1 taken, 0 repeats, 0 ignored, 0 dead letters"


def test_a_campaign_has_its_counts_amounts_budget_left_and_top_reasons() -> None:
    campaign = a_campaign(
        "b", earn={"percent": 10, "of": "Amount"}, recurrence={"total": 2}, budget={"campaign": 20}, on_insufficient="partial"
    )
    amounts: list[tuple[str, Any]] = [
        ("u1", 52.5),
        ("u1", 100),
        ("u1", 1),
        ("u2", None),
        ("u2", "x"),
        ("u2", "y"),
        ("u2", -1),
        ("u2", 90),
        ("u2", 1),
    ]
    lines = [line(user, T0 + n, properties={"Amount": amount}) for n, (user, amount) in enumerate(amounts)]
    head, rows = summary_of(lines, campaign, a_campaign("a", "Nothing", budget={"user": 5})).table()
    assert head == ["campaign", "grants", "users", "amount", "budget left", "denials", "top reasons"]
    assert rows == [
        ["a", "0", "0", "0", "", "0", ""],
        ["b", "3", "2", "20", "0", "6", "property_not_numeric 2, user_total 1, property_missing 1"],
    ]


def test_amounts_have_at_most_the_wallets_decimals() -> None:
    _, rows = summary_of([line(), line(ts=T0 + 1)], a_campaign(earn={"flat": 1.25}, budget={"campaign": 5.5})).table()
    assert rows == [["c", "2", "1", "2.5", "3", "0", ""]]
