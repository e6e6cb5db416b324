"""Which events a campaign rewards, with how much, and what it says about it (R3, R14-R33, R72)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livepromo.documents.catalogue import Verb
from livepromo.engine.plan import compile_plan
from livepromo.model.decisions import Candidate, Denial, Grant, Reason
from livepromo.model.ids import CampaignId, UserId, sampled
from livepromo.model.records import Position
from unit.engine.builders import (
    DAY,
    GROCERY,
    HOUR,
    MINUTE,
    T0,
    Partition,
    a_campaign,
    a_catalogue,
    a_plan,
    body,
    charged,
    intervene,
    profile,
    publish,
    said,
)

PERCENT = {"percent": 10, "of": "Amount"}


def test_every_event_of_the_name_whose_conditions_hold_is_a_candidate() -> None:
    where = [{"property": "Amount", "op": "gte", "value": 500}]
    partition = Partition(a_plan(a_campaign(qualify={"where": where})))
    assert (
        len(partition.take(charged(Amount=500), charged(T0 + 1, Amount=500), charged(T0 + 2, Amount=499), charged(T0, event="Viewed"))) == 2
    )


def test_a_grant_is_written_to_the_letter() -> None:
    rows = [{"key": "promoType", "value": "festival"}, {"key": "orderId", "from": "event.Order ID"}, {"system": "campaign_id"}]
    campaign = a_campaign("cart-rescue", earn=PERCENT, metadata=rows, validity={"activate_after": "1s", "expire_after": "1d"})
    partition = Partition(a_plan(campaign))
    [grant] = partition.decide(charged(T0, "e-80", Amount=499.55, **{"Order ID": 12}))
    assert isinstance(grant, Grant)
    assert (
        grant.as_json()
        == (
            b'{"grant_id":"%b","campaign":"cart-rescue","revision":1,"user":"u1","granted_at":1764547200000,'
            b'"cause":{"kind":"did","event_id":"e-80","event":"Charged","ts":1764547200000},'
            b'"reward":{"type":"points","wallet":"grocery","points":49.95,"active_at":1764547201000,"expires_at":1764633601000,'
            b'"metadata":{"promoType":"festival","orderId":12,"campaign_id":"cart-rescue"}}}'
        )
        % grant.candidate.grant_id.encode()
    )


def test_a_grant_of_a_part_says_how_much_was_asked_for_behind_everything_else() -> None:
    partition = Partition(a_plan(a_campaign(earn={"flat": 10.5}, budget={"campaign": 14}, on_insufficient="partial")))
    whole, part, none = partition.decide(charged(), charged(T0 + 1), charged(T0 + 2))
    assert "requested" not in body(whole)["reward"]
    assert part.as_json().endswith(b'"metadata":{},"requested":10.5}}')
    assert body(part)["reward"]["points"] == 3.5
    assert none.as_json().endswith(b'"reason":"campaign_budget","limit":14,"used":14,"requested":10.5}')


def test_a_denial_of_a_period_says_when_it_is_over_and_no_amount() -> None:
    partition = Partition(a_plan(a_campaign(recurrence={"day": 1})))
    _, denial = partition.decide(charged(T0 + HOUR, "a"), charged(T0 + 2 * HOUR, "b"))
    assert denial.as_json() == (
        b'{"campaign":"c","revision":1,"user":"u1","decided_at":1764554400000,'
        b'"cause":{"kind":"did","event_id":"b","event":"Charged","ts":1764554400000},'
        b'"reason":"user_day","limit":1,"used":1,"resets_at":1764633600000}'
    )


def test_a_denial_of_a_total_has_a_limit_and_nothing_that_resets() -> None:
    partition = Partition(a_plan(a_campaign(recurrence={"total": 1})))
    _, denial = partition.decide(charged(), charged(T0 + 1))
    assert list(body(denial))[5:] == ["reason", "limit", "used"]


def test_a_denial_that_no_limit_causes_says_the_reason_alone() -> None:
    [denial] = Partition(a_plan(a_campaign(earn=PERCENT))).decide(charged())
    assert list(body(denial))[5:] == ["reason"]


def test_budgets_are_said_in_points_and_counts_as_counts() -> None:
    partition = Partition(a_plan(a_campaign(earn={"flat": 1.25}, budget={"user": 2.5, "campaign": 99}, recurrence={"total": 3})))
    assert said(partition.decide(charged(), charged(T0 + 1)))[0] == 1.25
    [denial] = partition.decide(charged(T0 + 2))
    assert (body(denial)["limit"], body(denial)["used"], body(denial)["requested"]) == (2.5, 2.5, 1.25)


# -- when it runs (R14-R18) -------------------------------------------------------------------------------------------


def test_a_campaign_that_starts_now_starts_when_it_was_first_published_in_all_revisions() -> None:
    catalogue = a_catalogue(a_campaign(), at=T0)
    for _ in range(2):
        partition = Partition(compile_plan(catalogue))
        assert len(partition.take(charged(T0 - 1), charged(T0), charged(T0 + DAY))) == 2
        catalogue = publish(catalogue, a_campaign(earn={"flat": 20}), at=T0 + HOUR)


def test_an_event_from_before_the_start_never_qualifies_though_it_is_read_after_it() -> None:
    partition = Partition(a_plan(a_campaign(when={"start": "2025-12-01T00:00Z"})))
    assert len(partition.take(charged(T0 + HOUR, "a"), charged(T0 - 1, "b"))) == 1


def test_a_scheduled_campaign_begins_by_itself_and_its_end_is_exclusive() -> None:
    partition = Partition(a_plan(a_campaign(when={"start": "2025-12-01T00:00Z", "end": "2025-12-01T01:00Z"})))
    found = partition.take(*(charged(ts, str(ts)) for ts in (T0 - 1, T0, T0 + HOUR - 1, T0 + HOUR, T0 + 2 * HOUR)))
    assert [one.decided_at_ms for one in found] == [T0, T0 + HOUR - 1]


def test_an_event_from_before_the_end_counts_though_it_is_read_after_it() -> None:
    partition = Partition(a_plan(a_campaign(when={"end": "2025-12-01T01:00Z"})))
    assert len(partition.take(charged(T0 + 5 * HOUR, "a"), charged(T0 + HOUR - 1, "b"))) == 1


def test_an_event_that_claims_a_later_time_than_that_of_its_receipt_is_judged_by_the_receipt() -> None:
    partition = Partition(a_plan(a_campaign(when={"start": "2025-12-01T00:00Z"})))
    assert partition.take(charged(T0 + 1), received=[T0 - 1]) == []
    [grant] = partition.decide(charged(T0 + MINUTE, "e"), received=[T0 + 5])
    assert (body(grant)["granted_at"], body(grant)["cause"]["ts"], body(grant)["reward"]["active_at"]) == (T0 + 5, T0 + MINUTE, T0 + 5)


def test_events_read_while_a_campaign_is_paused_are_neither_candidates_nor_denials() -> None:
    catalogue = a_catalogue(a_campaign())
    paused = intervene(catalogue, Verb.PAUSE)
    partition = Partition(compile_plan(paused))
    assert partition.take(charged(T0, "a")) == []
    partition.plan = compile_plan(intervene(paused, Verb.RESUME))
    assert len(partition.take(charged(T0, "b"))) == 1


def test_what_was_read_while_paused_is_remembered_as_taken() -> None:
    catalogue = a_catalogue(a_campaign())
    paused = intervene(catalogue, Verb.PAUSE)
    partition = Partition(compile_plan(paused))
    partition.take(charged(T0, "a"))
    partition.plan = compile_plan(intervene(paused, Verb.RESUME))
    assert partition.take(charged(T0, "a")) == []
    assert partition.last.repeats == 1


def test_a_stopped_campaign_owes_nothing_more() -> None:
    assert Partition(compile_plan(intervene(a_catalogue(a_campaign()), Verb.STOP))).take(charged()) == []


def test_every_grant_names_the_revision_that_made_it_and_counters_belong_to_the_campaign() -> None:
    catalogue = a_catalogue(a_campaign(earn={"flat": 10}))
    partition = Partition(compile_plan(catalogue))
    first = partition.decide(charged(T0))
    partition.plan = compile_plan(publish(catalogue, a_campaign(earn={"flat": 4}, recurrence={"total": 3}, budget={"campaign": 17})))
    later = partition.decide(charged(T0 + 1), charged(T0 + 2), charged(T0 + 3))
    assert [one.candidate.revision if isinstance(one, Grant) else one.revision for one in first + later] == [1, 2, 2, 2]
    assert said(later) == [4, "campaign_budget", "campaign_budget"]


# -- whom (R72) -------------------------------------------------------------------------------------------------------


def test_a_sample_is_always_the_same_users_and_a_larger_one_has_them_too() -> None:
    users = [f"user-{n}" for n in range(400)]

    def chosen(percent: float) -> set[str]:
        partition = Partition(a_plan(a_campaign(who={"sample": percent})))
        return {one.user for one in partition.take(*(charged(user=user) for user in users))}

    five, ten = chosen(5), chosen(10)
    assert five == chosen(5)
    assert five < ten
    assert 20 < len(ten) < 65
    assert chosen(100) == set(users)


def test_a_user_outside_the_sample_is_not_denied_either() -> None:
    outside = next(user for n in range(99) if not sampled(CampaignId("c"), UserId(user := f"u{n}"), 1_000))
    assert Partition(a_plan(a_campaign(who={"sample": 1}, earn=PERCENT))).take(charged(user=outside)) == []


# -- how much (R19-R33) -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "properties", "expected"),
    [
        ({"earn": {"flat": 100}}, {}, 100),
        ({"earn": PERCENT}, {"Amount": 500}, 50),
        ({"earn": {"points": 10, "per": 100, "of": "Amount"}}, {"Amount": 250}, 20),
        ({"earn": {"points": 10, "per": 100, "of": "Amount"}}, {"Amount": 99.99}, "amount_not_positive"),
        ({"earn": PERCENT, "max_per_reward": 30}, {"Amount": 500}, 30),
        ({"earn": PERCENT, "max_per_reward": 30}, {"Amount": 10**20}, 30),
        ({"earn": PERCENT}, {"Amount": 0.09}, "amount_not_positive"),
        ({"earn": PERCENT}, {}, "property_missing"),
        ({"earn": PERCENT}, {"Amount": "500"}, "property_not_numeric"),
        ({"earn": PERCENT}, {"Amount": True}, "property_not_numeric"),
        ({"earn": PERCENT}, {"Amount": [500]}, "property_not_numeric"),
        ({"earn": PERCENT}, {"Amount": 0}, "amount_not_positive"),
        ({"earn": PERCENT}, {"Amount": -500}, "amount_not_positive"),
        ({"earn": PERCENT}, {"Amount": 10**14}, "amount_too_large"),
        ({"earn": PERCENT}, {"Amount": 99_999_999_999_999.9}, 9_999_999_999_999.99),
    ],
)
def test_earning(points: dict[str, Any], properties: dict[str, Any], expected: object) -> None:
    assert said(Partition(a_plan(a_campaign(**points))).decide(charged(**properties))) == [expected]


def test_a_random_amount_is_the_same_on_replay_and_another_for_another_event() -> None:
    campaign = a_campaign(earn={"random": {"min": 10, "max": 5000, "favor": "avg"}})
    events = [charged(T0 + n, f"e{n}") for n in range(5)]
    first, again = (said(Partition(a_plan(campaign)).decide(*events)) for _ in range(2))
    assert first == again
    assert len(set(first)) > 1
    assert all(10 <= points <= 5000 for points in first)


def test_a_fixed_expiry_at_the_activation_is_a_denial_and_one_behind_it_is_not() -> None:
    validity = {"activate_after": "1h", "expire_on": "2025-12-01T02:00Z"}
    partition = Partition(a_plan(a_campaign(validity=validity)))
    last, late = partition.decide(charged(T0 + HOUR - 1), charged(T0 + HOUR))
    assert body(last)["reward"]["active_at"] == T0 + 2 * HOUR - 1
    assert body(last)["reward"]["expires_at"] == T0 + 2 * HOUR
    assert said([late]) == ["would_be_expired"]


def test_metadata_keeps_json_types_and_numbers_in_their_shortest_form() -> None:
    rows = [{"key": key, "from": f"event.{key}"} for key in ("ten", "tiny", "huge", "yes", "text", "nested", "nothing", "absent")]
    rows += [{"key": "literal", "value": 10.50}, {"key": " trimmed ", "value": False}]
    nested = {"b": [1e-7, None, {"c": 2}], "a": "ü"}
    [grant] = Partition(a_plan(a_campaign(metadata=rows))).decide(
        charged(ten=10, tiny=1e-7, huge=10**30, yes=True, text="10", nested=nested)
    )
    metadata = grant.as_json().decode().partition('"metadata":')[2]
    assert metadata == (
        '{"ten":10,"tiny":0.0000001,"huge":1000000000000000000000000000000,"yes":true,"text":"10",'
        '"nested":{"b":[0.0000001,null,{"c":2}],"a":"ü"},"literal":10.5,"trimmed":false}}}'
    )


def test_metadata_of_the_user_is_what_the_profiles_read_before_say_in_the_same_batch_too() -> None:
    partition = Partition(a_plan(a_campaign(metadata=[{"key": "plan", "from": "user.plan"}])))
    partition.take(profile(plan="gold"))
    found = partition.take(charged(T0), profile(T0 + 5, plan="silver"), charged(T0 + 1), profile(T0, plan=None), charged(T0 + 2))
    metadata = [json.loads(one.reward_pieces[-1].partition(b'"metadata":')[2]) for one in found if isinstance(one, Candidate)]
    assert metadata == [{"plan": "gold"}, {"plan": "silver"}, {}]


def test_system_keys_and_references_tell_what_the_grant_is() -> None:
    keys = ["campaign_id", "campaign_name", "grant_id", "event_id", "event_name", "event_ts"]
    rows = [*({"system": key} for key in keys), {"key": "who", "from": "user.id"}, {"key": "n", "from": "campaign.name"}]
    campaign = a_campaign(metadata=rows) | {"name": "Cart"}
    [grant] = Partition(a_plan(campaign)).decide(charged(T0 + MINUTE, "e-1"), received=[T0])
    assert isinstance(grant, Grant)
    expected = ["c", "Cart", grant.candidate.grant_id, "e-1", "Charged", T0 + MINUTE, "u1", "Cart"]
    assert list(body(grant)["reward"]["metadata"].items()) == list(zip([*keys, "who", "n"], expected, strict=True))


# -- precedence -------------------------------------------------------------------------------------------------------


BROKEN: dict[str, dict[str, Any]] = {
    "property_missing": {},
    "property_not_numeric": {"Amount": "500"},
    "amount_not_positive": {"Amount": -1},
    "amount_too_large": {"Amount": 10**18},
}
EXPIRED = {"validity": {"expire_on": "2025-11-01T00:00Z"}}
FULL: dict[str, dict[str, Any]] = {
    "user_total": {"recurrence": {"total": 1}},
    "user_day": {"recurrence": {"day": 1}},
    "user_week": {"recurrence": {"week": 1}},
    "user_month": {"recurrence": {"month": 1}},
    "user_budget": {"budget": {"user": 60}},
    "campaign_budget": {"budget": {"campaign": 60}},
}


@pytest.mark.parametrize("reason", BROKEN)
@pytest.mark.parametrize("wallet", [True, False])
def test_an_inactive_wallet_comes_before_the_amount_and_the_amount_before_expiry_and_limits(reason: str, wallet: bool) -> None:
    catalogue = a_catalogue(a_campaign(earn=PERCENT, recurrence={"total": 1}, budget={"user": 60, "campaign": 60}))
    partition = Partition(compile_plan(catalogue))
    assert said(partition.decide(charged(Amount=500))) == [50]
    changed = a_campaign(earn=PERCENT, recurrence={"total": 1}, budget={"user": 60, "campaign": 60}, **EXPIRED)
    catalogue = publish(catalogue, changed, GROCERY | {"active": wallet})
    partition.plan = compile_plan(catalogue)
    assert said(partition.decide(charged(T0 + 1, **BROKEN[reason]))) == [reason if wallet else "wallet_unavailable"]


@pytest.mark.parametrize("full", FULL)
def test_expiry_comes_before_every_limit(full: str) -> None:
    catalogue = a_catalogue(a_campaign(earn=PERCENT, **FULL[full]))
    partition = Partition(compile_plan(catalogue))
    first, second = partition.decide(charged(Amount=500), charged(T0 + 1, Amount=500))
    assert said([first, second]) == [50, full]
    partition.plan = compile_plan(publish(catalogue, a_campaign(earn=PERCENT, **FULL[full], **EXPIRED)))
    assert said(partition.decide(charged(T0 + 2, Amount=500))) == ["would_be_expired"]


@pytest.mark.parametrize(("first", "second"), [(a, b) for at, a in enumerate(FULL) for b in list(FULL)[at + 1 :]])
def test_of_two_limits_that_fail_the_first_in_order_is_said(first: str, second: str) -> None:
    points: dict[str, Any] = {"earn": PERCENT}
    for reason in (second, first):
        for name, value in FULL[reason].items():
            points[name] = {**value, **points.get(name, {})}
    partition = Partition(a_plan(a_campaign(**points)))
    assert said(partition.decide(charged(Amount=500), charged(T0 + 1, Amount=500))) == [50, first]


def test_reasons_are_declared_in_the_order_of_precedence_of_the_specification() -> None:
    order = (
        "paused wallet_unavailable coupon_unavailable partner_unavailable list_unavailable item_unavailable property_missing "
        "property_not_numeric amount_not_positive amount_too_large would_be_expired user_total user_day user_week user_month "
        "campaign_limit campaign_day campaign_week campaign_month user_budget campaign_budget codes_exhausted"
    )
    assert [reason.value for reason in Reason] == order.split()


# -- periods ----------------------------------------------------------------------------------------------------------


def test_days_weeks_and_months_are_those_of_the_campaigns_zone() -> None:
    campaign = a_campaign(recurrence={"day": 1}) | {"timezone": "Asia/Kolkata"}
    midnight = T0 + 24 * HOUR - 330 * MINUTE
    decided = Partition(a_plan(campaign)).decide(charged(midnight - 2), charged(midnight - 1), charged(midnight))
    assert said(decided) == [10, "user_day", 10]
    assert body(decided[1])["resets_at"] == midnight


def test_periods_are_of_the_decisions_own_time_so_a_late_event_counts_in_its_own_day() -> None:
    partition = Partition(a_plan(a_campaign(recurrence={"day": 1})))
    assert said(partition.decide(charged(T0 + HOUR), charged(T0 - HOUR), charged(T0 - 2 * HOUR), charged(T0 + 2 * HOUR))) == [
        10,
        10,
        "user_day",
        "user_day",
    ]


def test_weeks_begin_on_monday_and_months_with_their_first() -> None:
    week = Partition(a_plan(a_campaign(recurrence={"week": 1})))
    assert said(week.decide(charged(T0 - 2), charged(T0 - 1), charged(T0))) == [10, "user_week", 10]
    month = Partition(a_plan(a_campaign(recurrence={"month": 1})))
    assert said(month.decide(charged(T0 - 2), charged(T0 - 1), charged(T0))) == [10, "user_month", 10]


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_a_reward_larger_than_what_is_left_is_denied_and_a_smaller_one_may_still_fit() -> None:
    partition = Partition(a_plan(a_campaign(earn=PERCENT, budget={"campaign": 60})))
    amounts = [500, 200, 100, 1]
    assert said(partition.decide(*(charged(T0 + n, Amount=amount) for n, amount in enumerate(amounts)))) == [
        50,
        "campaign_budget",
        10,
        "campaign_budget",
    ]


def test_a_part_is_the_least_that_is_left_of_any_budget_and_both_must_have_something_left() -> None:
    campaign = a_campaign(earn=PERCENT, budget={"campaign": 100, "user": 60}, on_insufficient="partial")
    partition = Partition(a_plan(campaign))
    found = partition.decide(
        charged(T0, Amount=500),
        charged(T0 + 1, Amount=500),
        charged(T0 + 2, user="u2", Amount=900),
        charged(T0 + 3, user="u3", Amount=1),
        charged(T0 + 4, Amount=1),
    )
    assert said(found) == [50, 10, 40, "campaign_budget", "user_budget"]
    assert body(found[2])["reward"]["requested"] == 90


def test_denials_use_up_nothing() -> None:
    partition = Partition(a_plan(a_campaign(earn=PERCENT, recurrence={"total": 2}, budget={"user": 50})))
    assert said(partition.decide(charged(Amount=600), charged(T0 + 1), charged(T0 + 2, Amount=500), charged(T0 + 3, Amount=10))) == [
        "user_budget",
        "property_missing",
        50,
        "user_budget",
    ]


# -- the plan itself --------------------------------------------------------------------------------------------------


def test_did_decisions_of_one_record_stand_in_order_of_campaign_id() -> None:
    ids = ["b", "a1", "a.b", "a-b", "a", "0"]
    found = Partition(a_plan(*(a_campaign(name, earn=PERCENT if name == "a1" else {"flat": 1}) for name in ids))).take(charged())
    assert [one.campaign for one in found] == ["0", "a", "a-b", "a.b", "a1", "b"]
    assert isinstance(found[4], Denial)


def test_a_candidate_stands_behind_every_control_entry_of_its_offset_and_before_the_next_offset() -> None:
    partition = Partition(a_plan(a_campaign()))
    first, second = partition.take(charged(T0), charged(T0 + 1))
    assert isinstance(first, Candidate)
    assert isinstance(second, Candidate)
    assert Position(0, 10**9) < first.position < Position(1, 0) < second.position < Position(2, 0)


def test_the_events_that_a_plan_names_are_those_of_all_campaigns_whatever_their_state() -> None:
    catalogue = a_catalogue(a_campaign("a", "A"), a_campaign("b", "B"), a_campaign("c", "C", when={"end": "2025-11-30T00:00Z"}))
    partition = Partition(compile_plan(intervene(intervene(catalogue, Verb.STOP, "a"), Verb.PAUSE, "b")))
    assert partition.plan.named == {"A", "B", "C"}
    assert partition.take(*(charged(T0, "x", event=name, user=name) for name in "ABC")) == []
    assert len(partition.state.ids) == 3


def test_campaigns_that_ask_for_values_are_found_among_many_in_order() -> None:
    def asking(name: str, *conditions: tuple[str, str, Any]) -> dict[str, Any]:
        return a_campaign(name, qualify={"where": [{"property": p, "op": op, "value": value} for p, op, value in conditions]})

    partition = Partition(
        a_plan(
            asking("i", ("store", "eq", "7")),
            asking("h", ("store", "in", ["7", "8", 7])),
            asking("g", ("amount", "gt", 5), ("store", "eq", 7)),
            asking("f", ("plan", "eq", True)),
            asking("e", ("plan", "in", [1, True])),
            asking("d", ("plan", "eq", 1)),
            a_campaign("c"),
            asking("b", ("store", "ne", "7")),
            asking("a", ("store", "eq", "9")),
        )
    )
    expected = {
        "b c e f h": {"store": 7, "plan": True, "amount": 5},
        "b c d e g h": {"store": 7, "plan": 1, "amount": 6},
        "c h i": {"store": "7", "plan": "1", "amount": 6},
        "b c h": {"store": "8"},
        "a b c": {"store": "9", "plan": [1]},
        "c": {"store": ["7"]},
    }
    for number, (names, properties) in enumerate(expected.items()):
        assert [one.campaign for one in partition.take(charged(T0 + number, **properties))] == names.split()
