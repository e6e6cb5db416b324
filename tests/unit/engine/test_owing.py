"""What a campaign owes of every type of reward, as it is published, and why it does not (R34-R67)."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.limits import most_of
from livepromo.engine.owing import home_of, own_pool, pool_of
from livepromo.engine.plan import compile_plan
from livepromo.ledger.deciding import Stock
from livepromo.model.decisions import Candidate, Grant, Reason
from livepromo.model.documents import Campaign
from unit.engine.builders import (
    DAY,
    GROCERY,
    HOUR,
    T0,
    Partition,
    a_campaign,
    a_coupon,
    a_voucher,
    an_item,
    body,
    charged,
    profile,
    publish,
    said,
    some_credits,
    supplies,
)

PERCENT = {"percent": 10, "of": "Amount"}
CODES = {"spring": ["S-1", "S-2", "S-3"], "holiday": ["H-1"]}


def a_catalogue(*rewards: dict[str, Any], at: int = T0 - DAY, **changed: dict[str, Any]) -> Catalogue:
    """Return a catalogue with campaigns `c0`, `c1`, … of these rewards, and what they refer to."""
    campaigns = [a_campaign(f"c{number}", reward=reward) for number, reward in enumerate(rewards)]
    return publish(Catalogue(), GROCERY, *supplies(**changed), *campaigns, at=at)


def a_partition(*rewards: dict[str, Any], **changed: dict[str, Any]) -> Partition:
    return Partition(compile_plan(a_catalogue(*rewards, **changed)), **CODES)


def reward_text(grant: object) -> str:
    """Return the text of a grant's reward, as published."""
    assert isinstance(grant, Grant)
    text = grant.as_json().decode()
    return text[text.index('"reward":') + len('"reward":') : -1]


# -- to the letter ----------------------------------------------------------------------------------------------------


def test_a_bulk_coupon_is_written_to_the_letter() -> None:
    [grant] = a_partition(a_coupon(redeem_after="48h")).decide(charged())
    assert reward_text(grant) == (
        '{"type":"coupon","coupon":"spring","kind":"bulk","code":"S-1","redeemable_at":1764720000000,"redemption_allowance":2}'
    )


def test_a_single_coupon_is_the_same_code_for_all_redeemable_at_once() -> None:
    partition = a_partition({"coupon": {"type": "single", "coupon": "ten"}})
    first, second = partition.decide(charged(), charged(user="u2"))
    assert reward_text(first) == (
        '{"type":"coupon","coupon":"ten","kind":"single","code":"SAVE10","redeemable_at":1764547200000,"redemption_allowance":1}'
    )
    assert reward_text(second) == reward_text(first)


def test_a_voucher_is_written_to_the_letter() -> None:
    [grant] = a_partition(a_voucher()).decide(charged())
    assert reward_text(grant) == ('{"type":"voucher","partner":"amazon","list_tag":"Holiday","code":"H-1","redemption_allowance":3}')


def test_an_item_is_written_to_the_letter_without_email_and_phone() -> None:
    rows = [{"key": "order", "from": "event.Order"}, {"key": "plan", "from": "user.plan"}]
    partition = a_partition(an_item(metadata=rows, identifiers={"user_id": "customerId"}))
    [grant] = partition.decide(profile(plan="gold", email="a@example.org", phone="1"), charged(Order=7))
    assert reward_text(grant) == (
        '{"type":"custom","endpoint":"gifts","item":"watch","value":1,'
        '"payload":{"user":{"customerId":"u1"},"reward":{"type":"custom","value":1,"metadata":{"order":7,"plan":"gold"}}}}'
    )


def test_credits_say_their_value_twice_and_metadata_is_there_when_empty() -> None:
    [grant] = a_partition(some_credits(PERCENT)).decide(charged(Amount=33.3))
    assert reward_text(grant) == (
        '{"type":"custom","endpoint":"gifts","wallet":"cash","value":3.33,'
        '"payload":{"user":{"userId":"u1"},"reward":{"type":"custom","value":3.33,"metadata":{}}}}'
    )


def test_credits_of_which_only_a_part_fits_say_the_part_twice_and_what_was_requested_last() -> None:
    partition = a_partition(some_credits({"flat": 10.5}, budget={"campaign": 14.25}, on_insufficient="partial"))
    _, part, none = partition.decide(charged(), charged(T0 + 1), charged(T0 + 2))
    assert reward_text(part).endswith(',"value":3.75,"metadata":{}}},"requested":10.5}')
    assert body(part)["reward"]["value"] == body(part)["reward"]["payload"]["reward"]["value"] == 3.75
    assert none.as_json().endswith(b'"reason":"campaign_budget","limit":14.25,"used":14.25,"requested":10.5}')


def test_a_code_that_json_must_quote_is_quoted() -> None:
    partition = a_partition(a_coupon())
    partition.stocks["coupon/spring"] = Stock(0, ('a"b\\ü',), 1)
    assert said(partition.decide(charged())) == ['a"b\\ü']


def test_a_code_stands_in_no_repr() -> None:
    partition = a_partition(a_coupon(), {"coupon": {"type": "single", "coupon": "ten"}})
    decisions = partition.decide(charged())
    assert said(decisions) == ["S-1", "SAVE10"]
    text = repr((decisions, partition.last.outcomes, partition.stocks))
    assert "c1" in text
    text += repr(a_catalogue(a_coupon(), {"coupon": {"type": "single", "coupon": "ten"}}))
    assert "Coupon(ten" in text
    assert not [code for code in ("S-1", "S-2", "SAVE10") if code in text]


def test_the_allowance_and_the_delay_are_those_of_the_revision_in_force() -> None:
    catalogue = a_catalogue(a_coupon())
    partition = Partition(compile_plan(catalogue), **CODES)
    partition.take(charged())
    again = publish(catalogue, {"kind": "coupon", "id": "spring", "type": "bulk", "user_redemption_limit": 5})
    partition.plan = compile_plan(publish(again, a_campaign("c0", reward=a_coupon(redeem_after="1s"))))
    [grant] = partition.decide(charged(T0 + 1))
    assert (body(grant)["reward"]["redemption_allowance"], body(grant)["reward"]["redeemable_at"]) == (5, T0 + 1001)


# -- codes --------------------------------------------------------------------------------------------------------------


def test_each_grant_takes_the_next_code_and_without_one_it_is_denied_and_uses_nothing_up() -> None:
    partition = a_partition(a_coupon(max_per_user=4))
    assert said(partition.decide(*(charged(T0 + n) for n in range(4)))) == ["S-1", "S-2", "S-3", "codes_exhausted"]
    assert partition.rows["c0/u1"] == {"total": 3}
    assert partition.rows["@coupon/spring"] == {"taken": 3}


def test_codes_that_are_imported_later_are_given() -> None:
    partition = a_partition(a_voucher())
    assert said(partition.decide(charged(), charged(T0 + 1))) == ["H-1", "codes_exhausted"]
    partition.stocks["voucher_list/amazon/Holiday"] = Stock(1, ("H-2",), 2)
    assert said(partition.decide(charged(T0 + 2))) == ["H-2"]


def test_two_campaigns_draw_on_one_pool_and_never_the_same_code() -> None:
    partition = a_partition(a_coupon(), a_coupon(max_per_user=1))
    assert said(partition.decide(charged(), charged(T0 + 1))) == ["S-1", "S-2", "S-3", "user_total"]


def test_a_denial_for_want_of_codes_says_the_reason_alone() -> None:
    partition = a_partition(a_voucher())
    partition.decide(charged())
    [denial] = partition.decide(charged(T0 + 1))
    assert list(body(denial))[5:] == ["reason"]


# -- limits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward", [a_coupon, a_voucher, lambda **options: a_coupon(type="single", coupon="ten", **options)])
def test_max_per_user_and_max_per_campaign_count_rewards(reward: Any) -> None:
    partition = a_partition(reward(max_per_user=2, max_per_campaign=3))
    partition.stocks = dict.fromkeys(partition.stocks, Stock(0, tuple("abcdefgh"), 8))
    found = partition.decide(*(charged(T0 + n) for n in range(3)), *(charged(T0 + n, user="u2") for n in range(2)))
    assert [one.reason.value for one in found if not isinstance(one, Grant)] == ["user_total", "campaign_limit"]
    assert (body(found[2])["limit"], body(found[2])["used"]) == (2, 2)
    assert (body(found[4])["limit"], body(found[4])["used"]) == (3, 3)


def test_an_items_budget_counts_by_day_week_and_month_and_in_all() -> None:
    partition = a_partition(an_item(budget={"day": 1, "week": 2, "month": 3, "campaign": 4}))
    found = [*partition.decide(*(charged(T0 + n, user=f"u{n}") for n in (0, 1)))]
    found += partition.decide(*(charged(T0 + n * DAY, user=f"v{n}") for n in (1, 2, 7, 8, 31, 32)))
    assert said(found) == [1, "campaign_day", 1, "campaign_week", 1, "campaign_month", 1, "campaign_limit"]
    assert [body(found[n]).get("resets_at") for n in (1, 3, 5, 7)] == [T0 + DAY, T0 + 7 * DAY, T0 + 31 * DAY, None]


def test_an_items_periods_are_counted_before_a_revision_limits_them() -> None:
    catalogue = a_catalogue(an_item())
    partition = Partition(compile_plan(catalogue))
    partition.decide(charged(), charged(T0 + 1))
    for kind in ("day", "week", "month", "campaign"):
        partition.plan = compile_plan(publish(catalogue, a_campaign("c0", reward=an_item(budget={kind: 2}))))
        assert said(partition.decide(charged(T0 + HOUR, kind))) == ["campaign_limit" if kind == "campaign" else f"campaign_{kind}"]


def test_credits_are_computed_rounded_clamped_and_budgeted_as_the_external_wallet_says() -> None:
    reward = some_credits(PERCENT, max_per_reward=20, budget={"user": 45, "campaign": 50}, recurrence={"total": 9})
    partition = a_partition(reward, wallet={"external": True, "decimals": 1, "rounding": "up"})
    found = partition.decide(*(charged(T0 + n, Amount=amount) for n, amount in enumerate((31.1, 999, 200, 50, 0.1))))
    assert said(found) == [3.2, 20, 20, "user_budget", 0.1]
    assert (body(found[3])["limit"], body(found[3])["used"], body(found[3])["requested"]) == (45, 43.2, 5)
    assert said(partition.decide(charged(T0 + 9, user="u2", Amount=100))) == ["campaign_budget"]


def test_random_credits_draw_the_same_on_replay() -> None:
    reward = some_credits({"random": {"min": 1, "max": 50, "favor": "avg"}})
    events = [charged(T0 + n, f"e{n}") for n in range(20)]
    drawn = said(a_partition(reward).decide(*events))
    assert drawn == said(a_partition(reward).decide(*events))
    assert all(1 <= value <= 50 for value in drawn)
    assert len(set(drawn)) > 10


# -- reasons, in order of precedence ------------------------------------------------------------------------------------

OFF = {"active": False}
PAST = {"expires": "2025-12-01T00:00:00.001Z"}  # from a millisecond after T0 on


@pytest.mark.parametrize(
    ("reward", "kind", "reason"),
    [
        (a_coupon(), "coupon", "coupon_unavailable"),
        (a_voucher(), "partner", "partner_unavailable"),
        (a_voucher(), "voucher_list", "list_unavailable"),
        (an_item(), "item", "item_unavailable"),
        (some_credits(), "wallet", "wallet_unavailable"),
    ],
)
def test_what_is_not_active_when_decided_is_unavailable(reward: dict[str, Any], kind: str, reason: str) -> None:
    catalogue = a_catalogue(reward)
    partition = Partition(compile_plan(catalogue), **CODES)
    changed = next(one for one in supplies(**{kind: OFF}) if one["kind"] == kind and one["id"] != "ten")
    assert len(said(partition.decide(charged()))) == 1
    partition.plan = compile_plan(publish(catalogue, changed))
    [denial] = partition.decide(charged(T0 + 1))
    assert said([denial]) == [reason]
    assert list(body(denial))[5:] == ["reason"]


@pytest.mark.parametrize(
    ("reward", "kind", "reason"), [(a_coupon(), "coupon", "coupon_unavailable"), (a_voucher(), "voucher_list", "list_unavailable")]
)
def test_an_expiry_is_exclusive_and_judged_by_the_decisions_own_time(reward: dict[str, Any], kind: str, reason: str) -> None:
    fields = {**PAST, "type": "bulk"} if kind == "coupon" else PAST
    catalogue = a_catalogue(reward)
    changed = next(one for one in supplies(**{kind: fields}) if one["kind"] == kind and one["id"] != "ten")
    partition = Partition(compile_plan(publish(catalogue, changed)), **CODES)
    found = partition.decide(charged(T0 + 1, "a"), charged(T0, "b"))
    assert said(found[:1]) == [reason]
    assert isinstance(found[1], Grant)


def test_an_inactive_partner_comes_before_its_list() -> None:
    catalogue = publish(a_catalogue(a_voucher()), *(one | OFF for one in supplies() if one["kind"] in {"partner", "voucher_list"}))
    assert said(Partition(compile_plan(catalogue), **CODES).decide(charged())) == ["partner_unavailable"]


class Case:
    """How a type of reward is brought to fail for each of its reasons: by options of the reward, by documents, by the event."""

    def __init__(self, reward: Any, options: dict[str, dict[str, Any]], off: dict[str, str], events: dict[str, dict[str, Any]]) -> None:
        self.reward, self.options, self.off, self.events = reward, options, off, events

    @property
    def reasons(self) -> list[str]:
        order = [reason.value for reason in Reason]
        return sorted([*self.options, *self.off, *self.events], key=order.index)

    def said_of(self, reasons: tuple[str, ...]) -> object:
        """Return what is said of an event of u1 for which all of `reasons` hold, after a first one that was granted."""
        options: dict[str, Any] = {}
        for reason in reasons:
            for name, value in self.options.get(reason, {}).items():
                options[name] = {**options[name], **value} if isinstance(value, dict) and name in options else value
        catalogue = a_catalogue(self.reward(**options))
        codes = {"spring": ["S-1"], "holiday": ["H-1"]} if "codes_exhausted" in reasons else {"spring": ["1", "2"], "holiday": ["1", "2"]}
        partition = Partition(compile_plan(catalogue), **codes)
        good = {"Amount": 500}
        [first] = partition.decide(charged(T0, **good))
        assert isinstance(first, Grant), first
        off = {self.off[reason] for reason in reasons if reason in self.off}
        catalogue = publish(catalogue, *(one | OFF for one in supplies() if one["kind"] in off)) if off else catalogue
        partition.plan = compile_plan(catalogue)
        event: dict[str, Any] = {}
        for reason in reasons:
            event = event or self.events.get(reason, {})
        [second] = partition.decide(charged(T0 + 1, **((event and event["properties"]) or good)))
        return said([second])[0]


EARNING = {
    "property_missing": {"properties": {"Other": 1}},
    "property_not_numeric": {"properties": {"Amount": "500"}},
    "amount_not_positive": {"properties": {"Amount": -1}},
    "amount_too_large": {"properties": {"Amount": 10**16}},
}
RECURRENCE = {f"user_{kind}": {"recurrence": {kind: 1}} for kind in ("total", "day", "week", "month")}
CODE_LIMITS: dict[str, dict[str, Any]] = {
    "user_total": {"max_per_user": 1},
    "campaign_limit": {"max_per_campaign": 1},
    "codes_exhausted": {},
}
CASES = {
    "coupon": Case(a_coupon, CODE_LIMITS, {"coupon_unavailable": "coupon"}, {}),
    "voucher": Case(a_voucher, CODE_LIMITS, {"partner_unavailable": "partner", "list_unavailable": "voucher_list"}, {}),
    "item": Case(
        an_item,
        {
            **RECURRENCE,
            "campaign_limit": {"budget": {"campaign": 1}},
            **{f"campaign_{kind}": {"budget": {kind: 1}} for kind in ("day", "week", "month")},
        },
        {"item_unavailable": "item"},
        {},
    ),
    "credits": Case(
        lambda **options: some_credits(PERCENT, **options),
        {**RECURRENCE, "user_budget": {"budget": {"user": 60}}, "campaign_budget": {"budget": {"campaign": 60}}},
        {"wallet_unavailable": "wallet"},
        EARNING,
    ),
}
PAIRS = [(name, pair) for name, case in CASES.items() for pair in combinations(case.reasons, 2)]


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name, case in CASES.items() for reason in case.reasons])
def test_each_reason_is_reached(name: str, reason: str) -> None:
    assert CASES[name].said_of((reason,)) == reason


@pytest.mark.parametrize(("name", "pair"), PAIRS, ids=[f"{name}-{'-'.join(pair)}" for name, pair in PAIRS])
def test_of_two_reasons_the_first_in_order_is_said(name: str, pair: tuple[str, str]) -> None:
    assert CASES[name].said_of(pair) == pair[0]


def test_every_reason_but_those_of_windows_and_expiry_is_reached_here() -> None:
    reached = {reason for case in CASES.values() for reason in case.reasons}
    assert {reason.value for reason in Reason} - reached == {"paused", "would_be_expired"}


# -- where a campaign is decided, and how much it may give ----------------------------------------------------------------


def test_a_candidate_is_at_home_where_its_pool_is_else_its_campaign() -> None:
    partition = a_partition(a_coupon(), a_voucher(), {"coupon": {"type": "single", "coupon": "ten"}}, an_item(), some_credits())
    found = partition.take(charged())
    homes = [one.home for one in found if isinstance(one, Candidate)]
    assert homes == ["coupon/spring", "voucher_list/amazon/Holiday", "c2", "c3", "c4"]
    catalogue = a_catalogue(a_coupon(), a_voucher(), {"coupon": {"type": "single", "coupon": "ten"}}, an_item(), some_credits())
    campaigns = [entry.document for _, entry in sorted(catalogue.entries.items()) if isinstance(entry.document, Campaign)]
    assert [home_of(one) for one in campaigns] == homes
    assert [pool_of(one.reward) for one in campaigns] == [*homes[:2], None, None, None]
    pools = {pool for entry in catalogue.entries.values() if (pool := own_pool(entry.document)) is not None}
    assert pools == set(homes[:2])


def test_the_most_that_a_campaign_may_give_is_in_rewards_or_in_amounts() -> None:
    rewards = [
        a_coupon(max_per_campaign=5),
        a_voucher(max_per_campaign=6),
        an_item(budget={"campaign": 7, "day": 1}),
        some_credits(budget={"campaign": 8.5}),
        an_item(),
        {"points": {"wallet": "grocery", "earn": {"flat": 1}, "budget": {"campaign": 9}}},
    ]
    catalogue = a_catalogue(*rewards)
    campaigns = [entry.document for _, entry in sorted(catalogue.entries.items()) if isinstance(entry.document, Campaign)]
    assert [tuple(most_of(one, catalogue)) for one in campaigns] == [
        (5, 0, "total"),
        (6, 0, "total"),
        (7, 0, "total"),
        (850, 2, "amount"),
        (None, 0, "total"),
        (900, 2, "amount"),
    ]
