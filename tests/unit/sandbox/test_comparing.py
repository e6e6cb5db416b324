"""What was granted is compared cause by cause, but for what the order of partitions decides."""

from __future__ import annotations

import json
from decimal import Decimal

from livepromo.model.documents import Budget, Campaign, CouponReward, CouponType, Document, Flat, Live, OnInsufficient, Points
from livepromo.model.ids import CampaignId
from livepromo.sandbox.comparing import Decisions, differences, judged, missing
from livepromo.settings import load


def _campaign(budget: int | None, *, partial: bool = False) -> list[Document]:
    points = Points(
        "shop",
        Flat(1000),
        budget=Budget(None if budget is None else budget * 1000),
        on_insufficient=OnInsufficient.PARTIAL if partial else OnInsufficient.REJECT,
    )
    return [Campaign(CampaignId("c"), "UTC", Live("Charged", ()), points)]


def _granted(event: int, points: float, requested: float | None = None) -> bytes:
    reward = {"type": "points", "wallet": "shop", "points": points}
    if requested is not None:
        reward["requested"] = requested
    cause = {"kind": "did", "event_id": f"e-{event}"}
    return json.dumps(
        {"grant_id": f"gr_{event}", "campaign": "c", "revision": 1, "user": f"u{event}", "granted_at": 1, "cause": cause, "reward": reward}
    ).encode()


def _denied(event: int, reason: str, requested: float | None = None) -> bytes:
    cause = {"kind": "did", "event_id": f"e-{event}"}
    said = {"campaign": "c", "revision": 1, "user": f"u{event}", "decided_at": 1, "cause": cause, "reason": reason}
    return json.dumps(said if requested is None else said | {"requested": requested}).encode()


def _decisions(grants: list[bytes], denials: list[bytes] = []) -> Decisions:  # noqa: B006 - nobody changes it
    decisions = Decisions()
    for grant in grants:
        decisions.add_grant(grant)
    for denial in denials:
        decisions.add_denial(denial)
    return decisions


def test_the_same_in_another_order_and_delivered_twice_is_the_same() -> None:
    ours = _decisions([_granted(2, 5), _granted(1, 5), _granted(2, 5)], [_denied(3, "user_day")])
    assert differences(ours, _decisions([_granted(1, 5), _granted(2, 5)], [_denied(3, "user_day")]), _campaign(None)) == []


def test_a_grant_too_many_and_one_that_is_missing_are_named() -> None:
    (line,) = differences(_decisions([_granted(1, 5)]), _decisions([_granted(2, 5)]), _campaign(100))
    assert line.startswith("c: 1 grants that are not simulated, 1 simulated that are missing")
    assert differences(_decisions([]), _decisions([_granted(2, 5)]), _campaign(100)) != []


def test_the_same_cause_with_another_amount_is_a_difference() -> None:
    assert differences(_decisions([_granted(1, 5)]), _decisions([_granted(1, 6)]), _campaign(None)) != []


def test_a_denial_that_is_missing_is_a_difference() -> None:
    assert differences(_decisions([_granted(1, 5)]), _decisions([_granted(1, 5)], [_denied(2, "user_day")]), _campaign(None)) != []


def test_who_gets_the_last_of_a_budget_may_differ() -> None:
    ours = _decisions([_granted(1, 5), _granted(2, 5)], [_denied(3, "campaign_budget", 5)])
    theirs = _decisions([_granted(1, 5), _granted(3, 5)], [_denied(2, "campaign_budget", 5)])
    assert differences(ours, theirs, _campaign(10)) == []


def test_how_much_of_a_budget_is_given_may_not_differ() -> None:
    ours = _decisions([_granted(1, 5)], [_denied(2, "campaign_budget", 5), _denied(3, "campaign_budget", 5)])
    theirs = _decisions([_granted(1, 5), _granted(3, 5)], [_denied(2, "campaign_budget", 5)])
    assert differences(ours, theirs, _campaign(10)) == ["c: 5 were granted, simulated are 10"]


def test_a_budget_that_is_passed_is_a_difference_even_if_both_pass_it() -> None:
    both = [_granted(1, 5), _granted(2, 5), _granted(3, 5)], [_denied(4, "campaign_budget", 5)]
    assert differences(_decisions(*both), _decisions(*both), _campaign(10)) == ["c: 15 were granted of a budget of 10"]


def test_every_cause_must_be_decided_where_a_budget_binds() -> None:
    ours = _decisions([_granted(1, 5), _granted(2, 5)], [])
    theirs = _decisions([_granted(1, 5), _granted(2, 5)], [_denied(3, "campaign_budget", 5)])
    assert differences(ours, theirs, _campaign(10)) == ["c: 1 causes were decided on one side alone"]


def test_the_remainder_of_a_budget_may_go_to_another_cause_in_other_parts() -> None:
    ours = _decisions([_granted(1, 6), _granted(2, 4, requested=6)], [_denied(3, "campaign_budget", 3)])
    theirs = _decisions([_granted(3, 3), _granted(1, 6), _granted(2, 1, requested=6)], [])
    assert differences(ours, theirs, _campaign(10, partial=True)) == []
    less = _decisions([_granted(1, 6), _granted(2, 3, requested=6)], [_denied(3, "campaign_budget", 3)])
    assert differences(less, theirs, _campaign(10, partial=True)) == ["c: 9 were granted, simulated are 10"]


def test_of_amounts_that_differ_only_what_fits_is_asked_of_a_budget() -> None:
    ours = _decisions([_granted(1, 7)], [_denied(2, "campaign_budget", 6)])
    theirs = _decisions([_granted(2, 6)], [_denied(1, "campaign_budget", 7)])
    assert differences(ours, theirs, _campaign(10)) == []
    wrong = _decisions([_granted(1, 3)], [_denied(2, "campaign_budget", 6)])
    assert differences(wrong, _decisions([_granted(1, 3), _granted(2, 6)]), _campaign(10)) == ["c: 6 were denied with 7 left"]


def test_amounts_are_exact() -> None:
    many = _decisions([_granted(n, 0.1) for n in range(30)])
    assert many.campaigns["c"].given == Decimal("3.0")


def test_a_campaign_that_nobody_published_is_a_difference() -> None:
    assert differences(_decisions([_granted(1, 5)]), Decisions(), []) == ["c is none of the documents"]


def test_who_got_the_last_code_depends_on_the_order_but_every_cause_must_be_decided() -> None:
    documents: list[Document] = [Campaign(CampaignId("c"), "UTC", Live("Charged", ()), CouponReward("spring", CouponType.BULK))]
    ours, theirs = (
        _decisions([_granted(1, 1)], [_denied(2, "codes_exhausted")]),
        _decisions([_granted(2, 1)], [_denied(1, "codes_exhausted")]),
    )
    assert differences(ours, theirs, documents) == []
    assert differences(_decisions([_granted(1, 1)]), theirs, documents) == ["c: 1 causes were decided on one side alone"]
    assert differences(_decisions([_granted(1, 1)]), _decisions([_granted(2, 1)]), documents) != []


def _rescued(event: int, deadline_ms: int) -> bytes:
    said = json.loads(_granted(event, 5))
    return json.dumps(said | {"cause": {"kind": "did_not", "event_id": f"e-{event}", "deadline": deadline_ms}}).encode()


def test_a_window_that_may_still_be_open_need_not_have_been_judged() -> None:
    documents, settings = _campaign(None), load({})
    theirs = _decisions([_granted(1, 5), _rescued(2, 1_000), _rescued(3, 2_000), _rescued(4, 3_000)])
    ours = _decisions([_granted(1, 5), _rescued(2, 1_000), _rescued(4, 3_000)])
    until_ms = 2_000 + settings.grace_ms
    assert differences(ours, judged(ours, theirs, documents, settings, until_ms), documents) == []
    assert not missing(ours, judged(ours, theirs, documents, settings, until_ms))
    due = judged(ours, theirs, documents, settings, until_ms + 1)
    assert missing(ours, due)
    assert differences(ours, due, documents) != []
    false = _decisions([_granted(1, 5), _rescued(2, 1_000), _rescued(5, 1_000)])
    assert differences(false, judged(false, theirs, documents, settings, until_ms), documents) != []
