"""Documents against one another, and against what is published."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue, Intervention, Verb, publication_of, take
from livepromo.documents.references import check_documents
from livepromo.documents.rings import rings
from livepromo.model.ids import CampaignId
from unit.documents.builders import (
    CAMPAIGN,
    EXTERNAL,
    GONE,
    WALLET,
    WORLD,
    P,
    a_campaign,
    changed,
    found,
    problems_of,
    read_all,
    rewarding,
    sent,
    understood,
)

PUBLISHED_MS = 1_767_225_600_000  # 2026-01-01T00:00Z


def published(*documents: Any, stop: str = "") -> Catalogue:
    publication = publication_of(understood(*documents), Catalogue(), "ann")
    assert publication is not None
    catalogue, _ = take(Catalogue(), 0, PUBLISHED_MS, publication)
    if stop:
        catalogue, _ = take(catalogue, 1, PUBLISHED_MS, Intervention("ann", Verb.STOP, CampaignId(stop)))
    return catalogue


def against(catalogue: Catalogue | None, *documents: Any, now_ms: int | None = None, zone: str = "UTC") -> set[tuple[str, str]]:
    read, problems = read_all(*documents, zone=zone)
    problems += check_documents(read, catalogue, now_ms=now_ms, strict=False)
    return {(one.path, one.rule) for one in problems if one.severity == "error"}


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


# References of every kind


def without(*keys: str) -> list[dict[str, Any]]:
    return [document for document in WORLD if f"{document['kind']}/{document['id']}" not in keys]


X = "reward.custom"
SINGLE = {"reward.coupon": {"type": "single", "coupon": "one"}}
REFERRED = [
    ("coupon/many", rewarding("coupon"), ("$.reward.coupon.coupon", "R34")),
    ("coupon/one", rewarding("coupon", SINGLE), ("$.reward.coupon.coupon", "R34")),
    ("voucher_list/amazon/Holiday2025", rewarding("voucher"), ("$.reward.voucher.list_tag", "R42")),
    ("item/watch", rewarding("item"), (f"$.{X}.item", "R50")), ("endpoint/api", rewarding("item"), (f"$.{X}.endpoint", "R46")),
    ("wallet/ext", rewarding("credits"), (f"$.{X}.credits.wallet", "R52")),
    ("endpoint/api", rewarding("credits"), (f"$.{X}.endpoint", "R46")),
]  # fmt: skip


@pytest.mark.parametrize(("key", "document", "error"), REFERRED)
def test_what_is_referred_to_exists_and_is_active(key: str, document: Any, error: tuple[str, str]) -> None:
    assert against(None, *WORLD, document) == against(published(*WORLD), document) == set()
    assert against(None, *without(key), document) == against(published(*without(key)), document) == {error}
    if not key.startswith("endpoint/"):
        inactive = [changed(one, {"active": False}) if f"{one['kind']}/{one['id']}" == key else one for one in WORLD]
        assert against(None, *inactive, document) == against(published(*inactive), document) == {error}


def test_a_partner_is_referred_to_by_its_lists_and_by_campaigns() -> None:
    both = {("$.id", "R41"), ("$.reward.voucher.partner", "R41")}
    assert against(None, *without("partner/amazon"), rewarding("voucher")) == both
    inactive = [changed(one, {"active": False}) if one["kind"] == "partner" else one for one in WORLD]
    assert against(None, *inactive, rewarding("voucher")) == both
    assert against(published(*inactive), rewarding("voucher")) == {("$.reward.voucher.partner", "R41")}


@pytest.mark.parametrize(("key", "document", "error"), [row for row in REFERRED if row[0].startswith(("coupon", "voucher"))])
def test_what_has_expired_at_the_instant_of_publishing_is_refused(key: str, document: Any, error: tuple[str, str]) -> None:
    dated = [changed(one, {"expires": "2026-01-01T00:00"}) if f"{one['kind']}/{one['id']}" == key else one for one in WORLD]
    assert against(None, *dated, document) == set()  # nobody publishes
    assert against(Catalogue(), *dated, document, now_ms=PUBLISHED_MS - 1) == set()
    assert against(Catalogue(), *dated, document, now_ms=PUBLISHED_MS) == {error}
    assert against(published(*dated), document, now_ms=PUBLISHED_MS) == {error}


def test_what_is_published_as_it_is_is_not_published_again() -> None:
    catalogue = published(*WORLD, rewarding("coupon"))
    inactive = {"kind": "coupon", "id": "many", "type": "bulk", "active": False}
    assert against(catalogue, inactive, rewarding("coupon")) == set()
    assert against(catalogue, inactive, rewarding("coupon", {"name": "N"})) == {("$.reward.coupon.coupon", "R34")}


def test_points_go_to_a_wallet_of_ours_and_credits_to_an_external_one() -> None:
    assert against(None, *WORLD, a_campaign({f"{P}.wallet": "ext"})) == {(f"$.{P}.wallet", "R52")}
    assert against(None, *WORLD, rewarding("credits", {f"{X}.credits.wallet": "grocery"})) == {(f"$.{X}.credits.wallet", "R52")}


@pytest.mark.parametrize(
    ("changes", "path", "rule"),
    [
        ({f"{X}.credits.earn": {"flat": 0.125}}, f"{X}.credits.earn.flat", "R20"),
        ({f"{X}.credits.earn": {"points": 0.125, "per": 1, "of": "A"}}, f"{X}.credits.earn.points", "R22"),
        ({f"{X}.credits.earn": {"random": {"min": 0.125, "max": 2, "favor": "min"}}}, f"{X}.credits.earn.random.min", "R23"),
        ({f"{X}.credits.max_per_reward": 0.125}, f"{X}.credits.max_per_reward", "R26"),
        ({f"{X}.budget": {"campaign": 0.125}}, f"{X}.budget.campaign", "R58"),
        ({f"{X}.budget.user": 0.125}, f"{X}.budget.user", "R31"),
    ],
)
@pytest.mark.parametrize("decimals", [0, 2, 3])
def test_amounts_of_credits_have_at_most_the_wallets_decimals(changes: dict[str, Any], path: str, rule: str, decimals: int) -> None:
    wallet = changed(EXTERNAL, {"decimals": decimals})
    expected = {(f"$.{path}", rule)} if decimals < 3 else set()
    assert against(None, *without("wallet/ext"), wallet, rewarding("credits", changes)) == expected


def test_the_type_of_a_coupon_is_that_of_the_reward() -> None:
    assert against(None, *WORLD, rewarding("coupon", {"reward.coupon.coupon": "one"})) == {("$.reward.coupon.type", "R36")}
    assert against(None, *WORLD, rewarding("coupon", {"reward.coupon.type": "single"})) == {("$.reward.coupon.type", "R36")}


def test_the_nearest_name_is_said() -> None:
    problems = problems_of(*WORLD, a_campaign({f"{P}.wallet": "grocry"}), rewarding("coupon", {"id": "d", "reward.coupon.coupon": "manny"}))
    said = [one.message for one in problems]
    assert 'the wallet "grocry" does not exist: did you mean "grocery"?' in said
    assert 'the coupon "manny" does not exist: did you mean "many"?' in said
    lost = rewarding("voucher", {"reward.voucher.list_tag": "Holiday2024"})
    assert 'the voucher list "amazon/Holiday2024" does not exist: did you mean "amazon/Holiday2025"?' in [
        one.message for one in problems_of(*WORLD, lost)
    ]


# Codes


def judged(document: Any, left: dict[str, int] | None) -> set[tuple[str, str, str]]:
    problems = check_documents(understood(*WORLD, document), Catalogue(), now_ms=PUBLISHED_MS, strict=True, codes_left=left)
    return {(one.path, one.rule, one.severity) for one in problems}


@pytest.mark.parametrize(
    ("reward", "pool", "path"),
    [("coupon", "coupon/many", "$.reward.coupon"), ("voucher", "voucher_list/amazon/Holiday2025", "$.reward.voucher")],
)
def test_codes_are_wanted_and_no_more_than_there_are(reward: str, pool: str, path: str) -> None:
    which = "coupon" if reward == "coupon" else "list_tag"
    assert judged(rewarding(reward), None) == set()
    assert judged(rewarding(reward), {pool: 1000}) == set()
    assert judged(rewarding(reward), {pool: 999}) == {(f"{path}.max_per_campaign", "R73", "warning")}
    assert judged(rewarding(reward), {pool: 0}) == judged(rewarding(reward), {}) == {(f"{path}.{which}", "R34", "error")}


def test_a_single_coupon_needs_no_codes() -> None:
    limits = {"max_per_user": 1, "max_per_campaign": 5}
    assert judged(rewarding("coupon", {"reward.coupon": {"type": "single", "coupon": "one", **limits}}), {}) == set()


# Segments


def segment(name: str, *others: str) -> dict[str, Any]:
    return {"kind": "segment", "id": name, "who": {"any": [{"sample": 5}, *({"segment": other} for other in others)]}}


def test_segments_that_refer_to_one_another_in_a_ring_are_errors() -> None:
    assert against(None, segment("a", "b"), segment("b", "c"), segment("c")) == set()
    assert against(None, segment("a", "a")) == {("$.who.any[1].segment", "R5")}
    problems = check_documents(
        understood(segment("x", "a"), segment("a", "y", "b"), segment("b", "c"), segment("c", "a"), segment("y")),
        None,
        now_ms=None,
        strict=False,
    )
    assert {(one.document, one.path) for one in problems} == {
        ("segment/a", "$.who.any[2].segment"), ("segment/b", "$.who.any[1].segment"), ("segment/c", "$.who.any[1].segment"),
    }  # fmt: skip


def test_a_ring_may_be_closed_through_what_is_published() -> None:
    catalogue = published(segment("a", "b"), segment("b", "c"), segment("c"))
    assert against(catalogue, segment("c", "a")) == {("$.who.any[1].segment", "R5")}
    assert against(catalogue, segment("c", "a"), segment("a")) == set()


def test_a_long_chain_of_segments_is_no_ring() -> None:
    edges = {f"s{number}": [f"s{number + 1}"] for number in range(50_000)}
    assert rings(edges) == {}
    assert len(rings({**edges, "s50000": ["s0"]})) == 50_001


def test_a_publication_expects_what_its_segments_refer_to_in_turn() -> None:
    catalogue = published(segment("a", "b"), segment("b", "c"), segment("c"))
    made = publication_of(understood(a_campaign({"who": {"segment": "a"}, "name": "N"}), WALLET), catalogue, "ann")
    assert made is not None
    assert made.expects == {"campaign/c": 0, "wallet/grocery": 0, "segment/a": 1, "segment/b": 1, "segment/c": 1}


def test_segments_and_lists_of_an_audience_exist() -> None:
    document = a_campaign({"who": {"all": [{"segment": "s"}, {"none": [{"list": "l"}]}]}})
    assert against(None, WALLET, document) == {("$.who.all[0].segment", "R5"), ("$.who.all[1].none[0].list", "R5")}
    assert against(None, WALLET, document, segment("s"), {"kind": "list", "id": "l"}) == set()


# What may change


FLAT = {"reward": {"points": {"wallet": "grocery", "earn": {"flat": 5}}}}
ABSENT = a_campaign({"qualify.live.unless": {"event": "A", "within": "1d"}})
KEPT = [
    (rewarding("coupon"), {"reward.coupon": {"type": "single", "coupon": "one"}}, "$.reward.coupon.coupon"),
    (rewarding("voucher"), {"reward.voucher.list_tag": "Other"}, "$.reward.voucher.list_tag"),
    (rewarding("item"), {f"{X}.item": "phone"}, f"$.{X}.item"), (rewarding("item"), {f"{X}.endpoint": "api2"}, f"$.{X}.endpoint"),
    (rewarding("item"), {"reward": rewarding("credits")["reward"]}, f"$.{X}"),
    (rewarding("credits"), {f"{X}.credits.wallet": "ext2"}, f"$.{X}.credits.wallet"),
    (rewarding("coupon"), {"reward": rewarding("voucher")["reward"]}, "$.reward"),
    (a_campaign(), {"qualify": {"past": {}}, "who": {"sample": 5}, **FLAT}, "$.qualify"),
    (a_campaign(), {"qualify.live.unless": {"event": "A", "within": "1d"}}, "$.qualify.live.unless"),
    (ABSENT, {"qualify.live.unless.event": ["A", "B"]}, "$.qualify.live.unless.event"),
    (ABSENT, {"qualify.live.unless": GONE}, "$.qualify.live.unless"),
    (ABSENT, {"qualify.live.same": ["P"]}, "$.qualify.live.same"),
]  # fmt: skip
MORE: list[dict[str, Any]] = [
    *WORLD, {"kind": "voucher_list", "id": "amazon/Other"}, {"kind": "item", "id": "phone"}, {**EXTERNAL, "id": "ext2"},
    {"kind": "endpoint", "id": "api2", "url": "https://example.org"},
]  # fmt: skip


@pytest.mark.parametrize(("before", "changes", "path"), KEPT)
def test_what_a_campaign_keeps_of_its_qualification_and_reward(before: Any, changes: dict[str, Any], path: str) -> None:
    assert against(published(*MORE, before), changed(before, changes)) == {(path, "R18")}


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        (rewarding("coupon"), {"reward.coupon.max_per_user": 5, "reward.coupon.redeem_after": "1d"}),
        (rewarding("item"), {f"{X}.budget": {"day": 1}, f"{X}.identifiers": {"email": "mail"}}),
        (rewarding("credits"), {f"{X}.credits.earn": {"flat": 1}, f"{X}.recurrence": GONE}),
        (a_campaign({"qualify.live.unless": {"event": ["A", "B"], "within": "1d"}}),
         {"qualify.live.unless": {"event": ["B", "A"], "within": "2d", "grace": "1s", "where": [{"property": "A", "op": "exists"}]},
          "qualify.live.retrigger": "restart"}),
    ],
)  # fmt: skip
def test_everything_else_of_a_campaign_may_change(before: Any, changes: dict[str, Any]) -> None:
    assert against(published(*MORE, before), changed(before, changes)) == set()


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        (WALLET, {"external": True}, {("$.external", "R18")}), (EXTERNAL, {"external": GONE}, {("$.external", "R18")}),
        (WORLD[2], {"code": "OTHER"}, {("$.code", "R18")}),
        (WORLD[2], {"type": "bulk", "code": GONE}, {("$.type", "R18"), ("$.code", "R18")}),
        (WORLD[2], {"user_redemption_limit": 5, "expires": "2030-01-01T00:00", "active": False}, set()),
        ({"kind": "endpoint", "id": "e", "url": "https://a"}, {"url": "https://b", "secret": "s"}, set()),
        ({"kind": "item", "id": "i"}, {"active": False}, set()),
    ],
)  # fmt: skip
def test_what_other_kinds_keep(before: Any, changes: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert against(published(before), changed(before, changes)) == expected
    problems = check_documents(understood(changed(before, changes)), published(before), now_ms=None, strict=False)
    assert not any("SAVE20" in one.text or "OTHER" in one.text for one in problems)


# Sends


def test_a_send_is_to_come_when_first_published() -> None:
    def at(send: str, now_ms: int) -> set[tuple[str, str]]:
        return against(Catalogue(), WALLET, sent("points", {"when": {"send": send}}), now_ms=now_ms)

    assert at("2026-01-01T00:00", PUBLISHED_MS) == set()
    assert at("2026-01-01T00:00", PUBLISHED_MS + 1) == {("$.when.send", "R13")}
    assert at("now", PUBLISHED_MS) == set()


def test_nothing_changes_after_a_send_began() -> None:
    later, now = sent("points", {"when": {"send": "2026-01-02T00:00"}}), sent("points")
    begun_ms = PUBLISHED_MS + 86_400_000
    assert against(published(WALLET, later), changed(later, {"name": "N"}), now_ms=begun_ms - 1) == set()
    assert against(published(WALLET, later), changed(later, {"name": "N"}), now_ms=begun_ms) == {("$.id", "R12")}
    assert against(published(WALLET, later), later, now_ms=begun_ms) == set()
    assert against(published(WALLET, now), changed(now, {"name": "N"}), now_ms=PUBLISHED_MS + 1) == {("$.id", "R12")}
    moved = changed(later, {"when.send": "2025-12-31T00:00"})
    assert against(published(WALLET, later), moved, now_ms=PUBLISHED_MS + 1) == {("$.when.send", "R13")}


def a_chain(length: int, *, twice: bool = False) -> list[dict[str, Any]]:
    """Return segments of which each refers to the next, once, or twice."""
    to = [{"segment": f"s{number + 1:03}"} for number in range(length)]
    links = [{"kind": "segment", "id": f"s{number:03}", "who": {"any": [one, one]} if twice else one} for number, one in enumerate(to)]
    return [*links, {"kind": "segment", "id": f"s{length:03}", "who": {"property": "a", "op": "exists"}}]


def test_segments_refer_to_one_another_as_deep_as_fifty() -> None:
    assert against(None, *a_chain(49)) == set()
    assert against(None, *a_chain(900)) == {("$.who", "R5")}


def test_segments_that_ask_for_one_another_again_and_again_are_refused() -> None:
    assert against(None, *a_chain(8, twice=True)) == set()
    assert against(None, *a_chain(20, twice=True)) == {("$.who", "R5")}
