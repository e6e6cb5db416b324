"""The fields of coupons, vouchers and custom rewards: what they mean, what is refused, at which path, by which rule."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.model.documents import (
    Budget,
    Campaign,
    CouponReward,
    CouponType,
    Credits,
    Custom,
    Flat,
    Identifiers,
    ItemBudget,
    ItemGift,
    Literal,
    MetadataRow,
    OnInsufficient,
    Percent,
    Recurrence,
    Reward,
    VoucherReward,
)
from unit.documents.builders import GONE, WORLD, changed, found, meaning, problems_of, rewarding, sent
from unit.documents.test_checking import BAD_AMOUNTS, BAD_COUNTS, BAD_DURATIONS, BAD_TEXTS, each

C, V, X = "reward.coupon", "reward.voucher", "reward.custom"


def reward_of(document: Any) -> Reward:
    campaign = meaning(document)
    assert isinstance(campaign, Campaign)
    return campaign.reward


def test_rewards_mean_what_they_say() -> None:
    assert reward_of(rewarding("coupon", {f"{C}.redeem_after": "48h"})) == CouponReward("many", CouponType.BULK, 1, 1000, 172_800_000)
    assert reward_of(sent("coupon", {C: {"type": "single", "coupon": "one"}})) == CouponReward("one", CouponType.SINGLE)
    voucher = reward_of(rewarding("voucher"))
    assert voucher == VoucherReward("amazon", "Holiday2025", 1, 1000)
    assert isinstance(voucher, VoucherReward)
    assert voucher.voucher_list == "amazon/Holiday2025"
    assert reward_of(rewarding("item")) == Custom("api", ItemGift("watch", ItemBudget(campaign=5000, month=1000)), Recurrence(day=1))
    assert reward_of(sent("item", {f"{X}.budget": {"day": 1, "week": 2}})) == Custom(
        "api", ItemGift("watch", ItemBudget(day=1, week=2)), Recurrence(day=1)
    )
    changes = {
        f"{X}.budget": {"campaign": 50.25, "user": 5}, f"{X}.on_insufficient": "partial", f"{X}.credits.max_per_reward": 2.5,
        f"{X}.identifiers": {"user_id": "customerId"}, f"{X}.metadata": [{"key": "a", "value": 1}],
        f"{X}.recurrence": {"total": 4, "month": 2},
    }  # fmt: skip
    assert reward_of(rewarding("credits", changes)) == Custom(
        "api",
        Credits("ext", Percent(10_000, "Amount"), 2_500, Budget(50_250, 5_000), OnInsufficient.PARTIAL),
        Recurrence(total=4, month=2),
        Identifiers("customerId"),
        (MetadataRow("a", Literal(1)),),
    )
    assert reward_of(sent("credits")) == Custom("api", Credits("ext", Flat(5_000), budget=Budget(5_000_000)), Recurrence(day=1))


OK: list[tuple[str, dict[str, Any]]] = [
    ("coupon", {}), ("voucher", {}), ("item", {}), ("credits", {}), ("coupon", {C: {"type": "single", "coupon": "one"}}),
    ("coupon", {f"{C}.redeem_after": "3660d"}), ("coupon", {f"{C}.max_per_user": 999999999999999}),
    ("item", {f"{X}.identifiers": {}}), ("item", {f"{X}.identifiers": {"email": "phone", "phone": "email"}}),
    ("item", {f"{X}.budget": {"campaign": 1, "day": 1, "week": 1, "month": 1}}), ("item", {f"{X}.recurrence": {"total": 1}}),
    ("credits", {f"{X}.budget": {"campaign": 5, "user": 5}}), ("credits", {f"{X}.credits.earn": {"flat": 0.01}}),
]  # fmt: skip


@pytest.mark.parametrize(("reward", "changes"), OK)
def test_what_the_rules_allow_is_sound(reward: str, changes: dict[str, Any]) -> None:
    assert found(*WORLD, rewarding(reward, changes)) == set()


REFUSED: list[tuple[str, tuple[dict[str, Any], str, str]]] = [
    *[("coupon", row) for row in [
        ({f"{C}.type": GONE}, f"$.{C}.type", "R36"), *each(f"{C}.type", "R36", [*BAD_TEXTS, "", "Bulk", "both"]),
        ({f"{C}.type": "single"}, f"$.{C}.type", "R36"),
        ({f"{C}.coupon": GONE}, f"$.{C}.coupon", "R34"), *each(f"{C}.coupon", "R34", [*BAD_TEXTS, "", "Many", "a b"]),
        *each(f"{C}.max_per_user", "R37", BAD_COUNTS), *each(f"{C}.max_per_campaign", "R38", BAD_COUNTS),
        *each(f"{C}.redeem_after", "R39", BAD_DURATIONS),
        *[({f"{C}.{name}": {}}, f"$.{C}.{name}", "R40") for name in ("recurrence", "budget", "metadata")],
        *[({f"{C}.{name}": "x"}, f"$.{C}.{name}", "R11") for name in
          ("wallet", "earn", "max_per_reward", "validity", "on_insufficient", "endpoint", "item", "credits", "identifiers", "partner",
           "list_tag")],
        *each(C, "R11", [None, [], "many"]),
    ]],
    *[("voucher", row) for row in [
        ({f"{V}.partner": GONE}, f"$.{V}.partner", "R41"), *each(f"{V}.partner", "R41", [*BAD_TEXTS, "", "Amazon"]),
        ({f"{V}.list_tag": GONE}, f"$.{V}.list_tag", "R42"),
        *each(f"{V}.list_tag", "R42", [*BAD_TEXTS, "", "a b", "a/b", "x" * 64, "é"]),
        *each(f"{V}.max_per_user", "R43", BAD_COUNTS), *each(f"{V}.max_per_campaign", "R44", BAD_COUNTS),
        ({f"{V}.redeem_after": "48h"}, f"$.{V}.redeem_after", "R43"),
        *[({f"{V}.{name}": {}}, f"$.{V}.{name}", "R40") for name in ("recurrence", "budget", "metadata")],
        *[({f"{V}.{name}": "x"}, f"$.{V}.{name}", "R11") for name in ("wallet", "validity", "coupon", "type", "item", "endpoint")],
    ]],
    *[("item", row) for row in [
        ({f"{X}.endpoint": GONE}, f"$.{X}.endpoint", "R46"), *each(f"{X}.endpoint", "R46", [*BAD_TEXTS, "", "API", "https://example.org"]),
        *each(f"{X}.item", "R50", [*BAD_TEXTS, "", "Watch"]), *each(f"{X}.recurrence", "R51", [None, [], 5, {}]),
        *[({f"{X}.recurrence": {name: bad}}, f"$.{X}.recurrence.{name}", "R51") for name in ("total", "day", "week", "month")
          for bad in BAD_COUNTS],
        *each(f"{X}.budget", "R58", [None, [], 5, {}]),
        *[({f"{X}.budget": {name: bad}}, f"$.{X}.budget.{name}", "R58") for name in ("campaign", "day", "week", "month")
          for bad in BAD_COUNTS],
        ({f"{X}.budget.user": 5}, f"$.{X}.budget.user", "R58"), ({f"{X}.on_insufficient": "reject"}, f"$.{X}.on_insufficient", "R32"),
        *each(f"{X}.identifiers", "R64", [None, [], "userId"]),
        *[({f"{X}.identifiers": {name: bad}}, f"$.{X}.identifiers.{name}", "R64") for name in ("user_id", "email", "phone")
          for bad in [*BAD_TEXTS, "", "  ", "x" * 256]],
        ({f"{X}.identifiers": {"email": "phone"}}, f"$.{X}.identifiers.email", "R64"),
        ({f"{X}.identifiers": {"phone": "userId"}}, f"$.{X}.identifiers.phone", "R64"),
        ({f"{X}.identifiers": {"user_id": "k", "email": "k"}}, f"$.{X}.identifiers.email", "R64"),
        ({f"{X}.identifiers": {"name": "k"}}, f"$.{X}.identifiers.name", ""),
        *each(f"{X}.metadata", "R33", [None, {}]),
        *[({f"{X}.{name}": "x"}, f"$.{X}.{name}", "R52") for name in ("wallet", "earn", "max_per_reward")],
        *[({f"{X}.{name}": "x"}, f"$.{X}.{name}", "R11") for name in
          ("validity", "coupon", "type", "redeem_after", "partner", "list_tag", "max_per_user", "max_per_campaign")],
    ]],
    *[("credits", row) for row in [
        *each(f"{X}.credits", "R49", [None, [], 5]),
        ({f"{X}.credits.wallet": GONE}, f"$.{X}.credits.wallet", "R52"), *each(f"{X}.credits.wallet", "R52", [*BAD_TEXTS, "", "Ext"]),
        ({f"{X}.credits.earn": GONE}, f"$.{X}.credits.earn", "R20"),
        *[({f"{X}.credits.earn": {"flat": bad}}, f"$.{X}.credits.earn.flat", "R20") for bad in BAD_AMOUNTS],
        *each(f"{X}.credits.max_per_reward", "R26", BAD_AMOUNTS),
        *each(f"{X}.budget.campaign", "R58", BAD_AMOUNTS), *each(f"{X}.budget.user", "R31", [*BAD_AMOUNTS, 5001]),
        *[({f"{X}.budget.{name}": 5}, f"$.{X}.budget.{name}", "R58") for name in ("day", "week", "month")],
        ({f"{X}.credits.earn": {"flat": 5}, f"{X}.budget.user": 5}, f"$.{X}.budget.user", "R58"),
        ({f"{X}.budget": GONE, f"{X}.on_insufficient": "partial"}, f"$.{X}.on_insufficient", "R32"),
        *each(f"{X}.on_insufficient", "R32", [*BAD_TEXTS, "deny"]),
        *[({f"{X}.credits.{name}": {}}, f"$.{X}.credits.{name}", "R49") for name in ("recurrence", "budget", "metadata", "identifiers")],
        *[({f"{X}.credits.earn": {"percent": 1, "of": "A"}, f"{X}.credits.{name}": 1}, f"$.{X}.credits.{name}", "") for name in
          ("erned", "decimals")],
    ]],
]  # fmt: skip


@pytest.mark.parametrize(("reward", "refused"), REFUSED)
def test_a_violation_is_an_error_at_its_path_with_its_rule(reward: str, refused: tuple[dict[str, Any], str, str]) -> None:
    changes, path, rule = refused
    assert found(*WORLD, rewarding(reward, changes)) == {(path, rule)}


def test_messages_are_one_line() -> None:
    for reward, (changes, _, _) in REFUSED:
        for problem in problems_of(*WORLD, rewarding(reward, changes)):
            assert problem.text.isprintable()
            assert len(problem.text) < 400


WHAT_IS_LIVE_ONLY = [
    ("points", {"reward.points.earn": {"percent": 10, "of": "A"}}, "reward.points.earn.percent", "R21"),
    ("points", {"reward.points.earn": {"points": 1, "per": 1, "of": "A"}}, "reward.points.earn.per", "R22"),
    ("points", {"reward.points.max_per_reward": 5}, "reward.points.max_per_reward", "R26"),
    ("points", {"reward.points.recurrence": {"day": 1}}, "reward.points.recurrence", "R27"),
    ("points", {"reward.points.budget": {"campaign": 1}}, "reward.points.budget", "R30"),
    ("points", {"reward.points.on_insufficient": "reject"}, "reward.points.on_insufficient", "R32"),
    ("coupon", {f"{C}.max_per_user": 1}, f"{C}.max_per_user", "R37"),
    ("coupon", {f"{C}.max_per_campaign": 1}, f"{C}.max_per_campaign", "R38"),
    ("voucher", {f"{V}.max_per_user": 1}, f"{V}.max_per_user", "R43"),
    ("voucher", {f"{V}.max_per_campaign": 1}, f"{V}.max_per_campaign", "R44"),
    ("credits", {f"{X}.credits.earn": {"percent": 10, "of": "A"}}, f"{X}.credits.earn.percent", "R21"),
    ("credits", {f"{X}.credits.earn": {"points": 1, "per": 1, "of": "A"}}, f"{X}.credits.earn.per", "R22"),
    ("credits", {f"{X}.credits.max_per_reward": 5}, f"{X}.credits.max_per_reward", "R26"),
    ("item", {"when": {"start": "now"}}, "when.start", "R14"), ("item", {"when": {"end": "never"}}, "when.end", "R17"),
    ("item", {"who": GONE}, "who", "R2"),
]  # fmt: skip


@pytest.mark.parametrize(("reward", "changes", "path", "rule"), WHAT_IS_LIVE_ONLY)
def test_what_belongs_to_live_campaigns_is_refused_in_past_and_list_ones(
    reward: str, changes: dict[str, Any], path: str, rule: str
) -> None:
    assert found(*WORLD, sent(reward, changes)) == {(f"$.{path}", rule)}
    if path != "who":
        listed = changed(sent(reward, changes), {"qualify": {"list": "vip"}})
        assert found(*WORLD, {"kind": "list", "id": "vip"}, listed) == {(f"$.{path}", rule)}


NO_USER = {
    "coupon": f"$.{C}.max_per_user", "voucher": f"$.{V}.max_per_user", "item": f"$.{X}.recurrence", "credits": f"$.{X}.recurrence",
}  # fmt: skip
NO_CAMPAIGN = {
    "coupon": f"$.{C}.max_per_campaign", "voucher": f"$.{V}.max_per_campaign", "item": f"$.{X}.budget.campaign",
    "credits": f"$.{X}.budget.campaign",
}  # fmt: skip


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("reward", NO_USER)
def test_a_limit_per_user_and_one_per_campaign_are_advised_of_every_reward(reward: str, strict: bool) -> None:
    bare = rewarding(reward)
    for inner in bare["reward"].values():
        for name in ("max_per_user", "max_per_campaign", "recurrence", "budget"):
            inner.pop(name, None)
    problems = problems_of(*WORLD, bare, strict=strict)
    severity = "error" if strict else "warning"
    assert {(one.path, one.rule, one.severity) for one in problems} == {
        (NO_USER[reward], "R71", severity),
        (NO_CAMPAIGN[reward], "R71", severity),
    }
    assert not problems_of(*WORLD, rewarding(reward), strict=strict)
    sends = [one for one in problems_of(*WORLD, sent(reward), strict=strict) if one.rule == "R71"]
    assert not sends


@pytest.mark.parametrize(
    ("reward", "changes", "advised"),
    [
        ("item", {f"{X}.budget": {"day": 5}}, False), ("item", {f"{X}.budget": {"week": 5}}, False),
        ("item", {f"{X}.budget": {"month": 5}}, False),
        ("credits", {f"{X}.budget": {"user": 5}}, True),
        ("credits", {f"{X}.budget": {"campaign": 5, "user": 5}, f"{X}.recurrence": GONE}, False),
    ],
)  # fmt: skip
def test_each_of_several_limits_is_one(reward: str, changes: dict[str, Any], advised: bool) -> None:
    assert bool(problems_of(*WORLD, rewarding(reward, changes))) is advised
