"""Documents against one another, and against what is published."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue, Intervention, Verb, publication_of, take
from livepromo.documents.references import check_documents
from livepromo.model.ids import CampaignId
from unit.documents.builders import CAMPAIGN, GONE, WALLET, P, a_campaign, changed, found, problems_of, read_all

PUBLISHED_MS = 1_767_225_600_000  # 2026-01-01T00:00Z


def published(*documents: Any, stop: str = "") -> Catalogue:
    read, problems = read_all(*documents)
    assert not problems
    publication = publication_of(read, Catalogue(), "ann")
    assert publication is not None
    catalogue, _ = take(Catalogue(), 0, PUBLISHED_MS, publication)
    if stop:
        catalogue, _ = take(catalogue, 1, PUBLISHED_MS, Intervention("ann", Verb.STOP, CampaignId(stop)))
    return catalogue


def against(catalogue: Catalogue | None, *documents: Any, now_ms: int | None = None, zone: str = "UTC") -> set[tuple[str, str]]:
    read, problems = read_all(*documents, zone=zone)
    problems += check_documents(read, catalogue, now_ms=now_ms, strict=False)
    return {(problem.path, problem.rule) for problem in problems if problem.severity == "error"}


WALLET_PATH = (f"$.{P}.wallet", "R19")


def test_the_wallet_must_exist_among_the_files_or_be_published() -> None:
    assert against(None, CAMPAIGN) == {WALLET_PATH}
    assert against(Catalogue(), CAMPAIGN) == {WALLET_PATH}
    assert against(None, CAMPAIGN, WALLET) == set()
    assert against(published(WALLET), CAMPAIGN) == set()


def test_the_wallet_must_be_active() -> None:
    inactive = changed(WALLET, {"active": False})
    assert against(None, CAMPAIGN, inactive) == {WALLET_PATH}
    assert against(published(inactive), CAMPAIGN) == {WALLET_PATH}
    assert against(published(inactive), WALLET, CAMPAIGN) == set()
    assert against(published(WALLET), inactive, CAMPAIGN) == {WALLET_PATH}


def test_a_wallet_may_become_inactive_while_published_campaigns_use_it() -> None:
    assert against(published(WALLET, CAMPAIGN), changed(WALLET, {"active": False})) == set()


def test_a_wallet_with_problems_of_its_own_is_not_said_to_be_missing() -> None:
    assert found(changed(WALLET, {"rounding": "x"}), CAMPAIGN) == {("$.rounding", "R26")}
    assert found(changed(WALLET, {"decimals": 7}), a_campaign({f"{P}.earn": {"flat": 0.001}})) == {("$.decimals", "R19")}


def test_a_campaign_with_problems_of_its_own_is_judged_as_far_as_it_can_be_read() -> None:
    assert found(a_campaign({"who": {}, f"{P}.wallet": "other"}), WALLET) == {("$.who", ""), WALLET_PATH}


AMOUNTS = [
    ({f"{P}.earn": {"flat": 0.125}}, f"$.{P}.earn.flat", "R20"),
    ({f"{P}.earn": {"points": 0.125, "per": 1, "of": "A"}}, f"$.{P}.earn.points", "R22"),
    ({f"{P}.earn": {"random": {"min": 0.125, "max": 2, "favor": "min"}}}, f"$.{P}.earn.random.min", "R23"),
    ({f"{P}.earn": {"random": {"min": 1, "max": 1.125, "favor": "min"}}}, f"$.{P}.earn.random.max", "R23"),
    ({f"{P}.max_per_reward": 0.125}, f"$.{P}.max_per_reward", "R26"),
    ({f"{P}.budget.campaign": 0.125}, f"$.{P}.budget.campaign", "R30"),
    ({f"{P}.budget.user": 0.125}, f"$.{P}.budget.user", "R31"),
]


@pytest.mark.parametrize(("changes", "path", "rule"), AMOUNTS)
@pytest.mark.parametrize("decimals", [0, 1, 2, 3])
def test_amounts_of_points_have_at_most_the_wallets_decimals(changes: dict[str, Any], path: str, rule: str, decimals: int) -> None:
    wallet = changed(WALLET, {"decimals": decimals})
    expected = {(path, rule)} if decimals < 3 else set()
    assert against(None, wallet, a_campaign(changes)) == expected
    assert against(published(wallet), a_campaign(changes)) == expected


def test_percent_and_per_may_have_more_decimals_than_the_wallet_and_trailing_zeros_are_none() -> None:
    whole = changed(WALLET, {"decimals": 0})
    assert against(None, whole, a_campaign({f"{P}.earn.percent": 0.125})) == set()
    assert against(None, whole, a_campaign({f"{P}.earn": {"points": 1, "per": 0.125, "of": "A"}})) == set()
    assert against(None, whole, a_campaign({f"{P}.max_per_reward": 10.0})) == set()


def test_one_kind_and_id_stands_once_among_the_files() -> None:
    assert found(WALLET, CAMPAIGN, WALLET) == {("$.id", "")}
    assert found(WALLET, CAMPAIGN, a_campaign({"id": "c2"}), a_campaign({"name": "other"})) == {("$.id", "")}
    assert found(WALLET, changed(WALLET, {"id": "c"}), CAMPAIGN) == set()
    (problem,) = [one for one in problems_of(WALLET, WALLET) if one.path == "$.id"]
    assert "f.json" in problem.message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"qualify.live.event": "Paid"}, ("$.qualify.live.event", "R18")),
        ({"timezone": "Asia/Kolkata"}, ("$.timezone", "R18")),
        ({f"{P}.wallet": "other"}, (f"$.{P}.wallet", "R18")),
    ],
)
def test_what_a_campaign_keeps_from_one_revision_to_the_next(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    catalogue = published(WALLET, changed(WALLET, {"id": "other"}), CAMPAIGN)
    assert against(catalogue, a_campaign(changes)) == {expected}
    assert against(catalogue, a_campaign({**changes, f"{P}.recurrence.day": -1})) == {expected, (f"$.{P}.recurrence.day", "R27")}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "New"}, {"qualify.live.where": [{"property": "A", "op": "exists"}]}, {"who": {"sample": 5}},
        {f"{P}.earn": {"flat": 5}}, {"timezone": "UTC"},
        {f"{P}.budget.campaign": 1}, {f"{P}.recurrence": GONE}, {"when": {"end": "2027-01-01T00:00"}},
        {f"{P}.metadata": [{"system": "grant_id"}]},
    ],
)  # fmt: skip
def test_everything_else_may_change(changes: dict[str, Any]) -> None:
    assert against(published(WALLET, CAMPAIGN), a_campaign(changes), now_ms=PUBLISHED_MS + 1) == set()


def test_the_default_zone_counts_as_what_it_was_when_published() -> None:
    assert against(published(WALLET, CAMPAIGN), CAMPAIGN, zone="Asia/Kolkata") == {("$.timezone", "R18")}


def test_a_wallet_keeps_its_decimals() -> None:
    catalogue = published(WALLET)
    assert against(catalogue, changed(WALLET, {"decimals": 3})) == {("$.decimals", "R18")}
    assert against(catalogue, changed(WALLET, {"decimals": GONE})) == {("$.decimals", "R18")}
    assert against(catalogue, changed(WALLET, {"rounding": "up", "active": False, "name": "N"})) == set()


def test_the_id_of_a_stopped_campaign_is_used_up() -> None:
    catalogue = published(WALLET, CAMPAIGN, stop="c")
    assert against(catalogue, a_campaign({"name": "again"})) == {("$.id", "R16")}
    assert against(catalogue, a_campaign({"id": "c2"})) == set()
    assert against(catalogue, CAMPAIGN) == set()  # the same again changes nothing


def test_the_end_is_after_the_instant_of_the_first_publication() -> None:
    ends = a_campaign({"when": {"end": "2026-01-01T00:00"}})
    assert against(None, WALLET, ends) == set()
    assert against(Catalogue(), WALLET, ends, now_ms=PUBLISHED_MS - 1) == set()
    assert against(Catalogue(), WALLET, ends, now_ms=PUBLISHED_MS) == {("$.when.end", "R17")}
    started = changed(ends, {"when": {"start": "2025-01-01T00:00", "end": "2025-02-01T00:00"}})
    assert against(Catalogue(), WALLET, started, now_ms=PUBLISHED_MS) == set()
    later = PUBLISHED_MS + 10**10
    assert against(published(WALLET, CAMPAIGN), a_campaign({"when": {"end": "2026-01-02T00:00"}}), now_ms=later) == set()
    assert against(published(WALLET, CAMPAIGN), ends, now_ms=later) == {("$.when.end", "R17")}


NO_USER = (f"$.{P}.recurrence", "there is no limit per user: give recurrence or budget.user")
NO_CAMPAIGN = (f"$.{P}.budget.campaign", "there is no limit per campaign: give budget.campaign")


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, set()),
        ({f"{P}.recurrence": GONE}, {NO_USER}),
        ({f"{P}.recurrence": GONE, f"{P}.budget.user": 5}, set()),
        ({f"{P}.recurrence": {"week": 1}}, set()),
        ({f"{P}.budget": GONE}, {NO_CAMPAIGN}),
        ({f"{P}.budget": {"user": 5}}, {NO_CAMPAIGN}),
        ({f"{P}.recurrence": GONE, f"{P}.budget": {"user": 5}}, {NO_CAMPAIGN}),
        ({f"{P}.recurrence": GONE, f"{P}.budget": GONE}, {NO_USER, NO_CAMPAIGN}),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_limit_per_user_and_one_per_campaign_are_advised_and_strictly_demanded(
    changes: dict[str, Any], advice: set[tuple[str, str]], strict: bool
) -> None:
    problems = problems_of(WALLET, a_campaign(changes), strict=strict)
    assert {(one.path, one.message) for one in problems} == advice
    assert {one.rule for one in problems} <= {"R71"}
    assert {one.severity for one in problems} <= {"error" if strict else "warning"}
    assert all(one.line for one in problems)
