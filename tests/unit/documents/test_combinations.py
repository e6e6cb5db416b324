"""What may be combined: every earning scheme with every set of options, against the table of the rules."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from livepromo.model.documents import Campaign, Favor, Random
from unit.documents.builders import GONE, WALLET, P, a_campaign, changed, found, meaning


def errors(document: Any) -> set[tuple[str, str]]:
    return found(WALLET, document)


SCHEMES: dict[str, dict[str, Any]] = {
    "flat": {"flat": 100},
    "percent": {"percent": 10, "of": "Amount"},
    "per": {"points": 10, "per": 100, "of": "Amount"},
    "random": {"random": {"min": 10, "max": 50, "favor": "avg"}},
}
ADDED: dict[str, tuple[str, Any]] = {
    "favor": (f"{P}.earn.favor", "min"),
    "max_per_reward": (f"{P}.max_per_reward", 50),
    "recurrence": (f"{P}.recurrence", {"day": 1}),
    "budget": (f"{P}.budget", {"campaign": 100}),
    "on_insufficient": (f"{P}.on_insufficient", "partial"),
    "validity": (f"{P}.validity", {"expire_after": "1d"}),
    "metadata": (f"{P}.metadata", [{"key": "a", "value": 1}]),
    "redeem_after": (f"{P}.redeem_after", "48h"),
    "max_per_user": (f"{P}.max_per_user", 1),
    "who": ("who", {"sample": 5}),
    "send": ("when.send", "now"),
    "start": ("when.start", "2026-01-01T00:00"),
}


def forbidden(scheme: str, options: frozenset[str]) -> set[str]:
    """Restate the table: which of the options may not stand there in a live campaign that gives points."""
    wrong = options & {"redeem_after", "max_per_user", "send"}  # of coupons and vouchers; of past campaigns
    if "favor" in options:
        wrong |= {"favor"}  # only inside random
    if "max_per_reward" in options and scheme not in {"percent", "per"}:
        wrong |= {"max_per_reward"}
    if "on_insufficient" in options and "budget" not in options:
        wrong |= {"on_insufficient"}
    return set(wrong)


def test_what_may_be_combined_is_what_the_table_says() -> None:
    combinations_tried = 0
    base = a_campaign({f"{P}.recurrence": GONE, f"{P}.budget": GONE})
    for count in range(len(ADDED) + 1):
        for options in map(frozenset, combinations(ADDED, count)):
            for scheme, earn in SCHEMES.items():
                changes = {f"{P}.earn": dict(earn)} | dict(ADDED[option] for option in sorted(options))
                document = changed(base, changes)
                assert {path for path, _ in errors(document)} == {f"$.{ADDED[option][0]}" for option in forbidden(scheme, options)}, (
                    scheme,
                    options,
                )
                combinations_tried += 1
    print(f"{combinations_tried} combinations")
    assert combinations_tried == 4 * 2 ** len(ADDED)


@pytest.mark.parametrize("pair", [*combinations(SCHEMES, 2), *combinations(SCHEMES, 3), tuple(SCHEMES)])
def test_exactly_one_earning_scheme(pair: tuple[str, ...]) -> None:
    earn: dict[str, Any] = {}
    for scheme in pair:
        earn |= SCHEMES[scheme]
    assert errors(a_campaign({f"{P}.earn": earn})) == {(f"$.{P}.earn", "R20")}


@pytest.mark.parametrize("scheme", ["flat", "random"])
def test_of_belongs_to_percent_and_per(scheme: str) -> None:
    rule = {"flat": "R20", "random": "R23"}[scheme]
    assert errors(a_campaign({f"{P}.earn": {**SCHEMES[scheme], "of": "Amount"}})) == {(f"$.{P}.earn.of", rule)}


@pytest.mark.parametrize("favor", Favor)
def test_random_has_a_favor(favor: Favor) -> None:
    campaign = meaning(a_campaign({f"{P}.earn": {"random": {"min": 1, "max": 2.5, "favor": favor.value}}}))
    assert isinstance(campaign, Campaign)
    assert campaign.reward.earn == Random(1_000, 2_500, favor)
