"""Why an event qualified or did not: what each campaign asks, with what was seen; and the engine agrees."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.behaviour.keeping import unpack
from livepromo.documents.catalogue import Catalogue, Verb
from livepromo.engine.explaining import Seen, Verdict, counters, judge, names, occurrences, open_windows
from livepromo.engine.plan import compile_plan
from livepromo.engine.state import Known
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.records import Event, Record
from unit.engine.builders import DAY, HORIZONS, MINUTE, SECOND, T0, Partition, a_campaign, a_catalogue, charged, intervene, profile

U1 = UserId("u1")
AT_LEAST_500 = [{"property": "Amount", "op": "gte", "value": 500}, {"property": "City", "op": "in", "value": ["Pune", "Goa"]}]


def seen(event: Event, offset: int = 100) -> Seen:
    return Seen(event, event.event_id or "", event.ts_ms, offset)


def taken(catalogue: Catalogue, *records: Record) -> Partition:
    partition = Partition(compile_plan(catalogue))
    partition.take(*records)
    return partition


def person(partition: Partition) -> Known:
    return Known(partition.state, U1, unpack(partition.state.users.get(U1, b"")), {})


def judged(catalogue: Catalogue, event: Event, *before: Record, others: tuple[Event, ...] = ()) -> list[Verdict]:
    """Return the verdicts on an event that was taken behind others."""
    partition = taken(catalogue, *before, event)
    return judge(seen(event), catalogue, person(partition), HORIZONS, [seen(one, 101 + n) for n, one in enumerate(others)])


def failed(verdict: Verdict) -> list[tuple[str, str]]:
    return [(one.path, one.saw) for one in verdict.findings if one.holds is False]


def test_each_condition_is_said_with_what_it_saw() -> None:
    [verdict] = judged(a_catalogue(a_campaign(qualify={"where": AT_LEAST_500})), charged(Amount=499, City="Goa"))
    assert (verdict.campaign, verdict.revision, verdict.role, verdict.qualifies) == ("c", 1, "trigger", False)
    conditions = [one for one in verdict.findings if one.path.startswith("$.qualify.live.where")]
    assert [(one.path, one.asks, one.holds, one.saw) for one in conditions] == [
        ("$.qualify.live.where[0]", "Amount gte 500", False, "499"),
        ("$.qualify.live.where[1]", 'City in ["Pune","Goa"]', True, '"Goa"'),
    ]


def test_a_property_that_is_missing_is_said_to_be() -> None:
    [verdict] = judged(a_catalogue(a_campaign(qualify={"where": AT_LEAST_500})), charged(City="Goa"))
    assert failed(verdict) == [("$.qualify.live.where[0]", "missing")]


@pytest.mark.parametrize(
    ("when", "path"),
    [
        pytest.param({"start": "2025-12-01T00:00:00.001Z"}, "$.when.start", id="before the start"),
        pytest.param({"start": "2025-11-01T00:00Z", "end": "2025-12-01T00:00:00Z"}, "$.when.end", id="at the end, which is exclusive"),
    ],
)
def test_an_event_outside_of_the_campaigns_time_is_told_so(when: dict[str, Any], path: str) -> None:
    [verdict] = judged(a_catalogue(a_campaign(when=when)), charged())
    assert failed(verdict) == [(path, "2025-12-01T00:00:00.000Z")]


@pytest.mark.parametrize("verb", [Verb.PAUSE, Verb.STOP])
def test_a_campaign_that_did_not_run_is_told_so(verb: Verb) -> None:
    [verdict] = judged(intervene(a_catalogue(a_campaign()), verb), charged())
    assert failed(verdict) == [("state", {Verb.PAUSE: "paused", Verb.STOP: "stopped"}[verb])]


def test_an_audience_is_judged_leaf_by_leaf() -> None:
    who = {
        "all": [
            {"property": "plan", "op": "eq", "value": "gold"},
            {"any": [{"segment": "loyal"}, {"did": {"event": "Charged", "count": {"gte": 3}}}]},
        ]
    }
    catalogue = a_catalogue(a_campaign(who=who), {"kind": "segment", "id": "loyal", "members": "fed"})
    before = (profile(plan="gold"), charged(T0 - 1, "a"))
    [verdict, counting] = judged(catalogue, charged(), *before)
    assert failed(verdict) == [("$.who.all", "does not hold")]
    assert [(one.path, one.saw) for one in verdict.findings if one.path.startswith("$.who.all")] == [
        ("$.who.all", "does not hold"),
        ("$.who.all[0]", '"gold" (holds)'),
        ("$.who.all[1].any", "does not hold"),
        ("$.who.all[1].any[0]", "not in it (does not hold)"),
        ("$.who.all[1].any[1]", "2 times (does not hold)"),
    ]
    assert (counting.role, counting.qualifies) == ("who", True)
    [third, _] = judged(catalogue, charged(), *before, charged(T0 - 2, "b"))
    assert third.qualifies


def test_a_campaign_that_was_preparing_is_told_so() -> None:
    catalogue = a_catalogue(a_campaign(who={"did": {"event": "Viewed", "count": {"lt": 3}}}))
    partition = taken(catalogue, charged())
    [rule] = [rule for rules in partition.plan.rules.values() for rule in rules]
    [verdict] = judge(seen(charged()), catalogue, person(partition), HORIZONS, (), frozenset({rule.key}))
    assert failed(verdict) == [("$.who", "it was still being read (preparing)")]
    assert judge(seen(charged()), catalogue, person(partition), HORIZONS, (), frozenset({b"another"}))[0].qualifies


def test_an_audience_of_one_leaf_fails_itself() -> None:
    [verdict] = judged(a_catalogue(a_campaign(who={"property": "plan", "op": "eq", "value": "gold"})), charged(), profile(plan="tin"))
    assert failed(verdict) == [("$.who", '"tin"')]


@pytest.mark.parametrize("percent", [0.001, 100])
def test_a_sample_says_whether_the_user_is_in_it(percent: float) -> None:
    [verdict] = judged(a_catalogue(a_campaign(who={"sample": percent})), charged())
    assert verdict.findings[-1].saw == ("in the sample" if percent == 100 else "not in the sample")


UNLESS = {"event": "Added", "unless": {"event": "Charged", "within": "30m", "grace": "5s"}, "same": ["Product"]}


def added(at: int = T0, **properties: Any) -> Event:
    return charged(at, "a1", event="Added", **{"Product": "p1", **properties})


def test_what_closed_a_window_is_named() -> None:
    catalogue = a_catalogue(a_campaign(event="Added", qualify=UNLESS))
    others = (charged(T0 + MINUTE, "other", Product="p2"), charged(T0 + 30 * MINUTE, "e9", Product="p1"))
    [verdict] = judged(catalogue, added(), others=others)
    assert failed(verdict) == [("$.qualify.live.unless", "Charged, id e9, at 2025-12-01T00:30:00.000Z")]
    [verdict] = judged(catalogue, added(), others=(charged(T0 + 30 * MINUTE + 1, "e9", Product="p1"), charged(T0 - 1, "e8", Product="p1")))
    assert verdict.qualifies


def test_an_event_without_the_constant_property_opens_no_window() -> None:
    [verdict] = judged(a_catalogue(a_campaign(event="Added", qualify=UNLESS)), added(Product=None))
    assert ("$.qualify.live.same[0]", "missing") in failed(verdict)


def test_an_unless_event_is_said_to_close_windows_of_its_value() -> None:
    [verdict] = judged(a_catalogue(a_campaign(event="Added", qualify=UNLESS)), charged())
    assert (verdict.role, failed(verdict)) == ("unless", [("$.qualify.live.same[0]", "missing")])


def test_windows_that_are_open_say_when_they_fire() -> None:
    catalogue = a_catalogue(a_campaign(event="Added", qualify=UNLESS))
    plan = compile_plan(catalogue)
    [window] = open_windows(unpack(taken(catalogue, added()).state.users[U1]).windows, plan)
    assert (window.campaign, window.event_id, window.value) == ("c", "a1", '["p1"]')
    assert (window.deadline_ms, window.fires_ms) == (T0 + 30 * MINUTE, T0 + 30 * MINUTE + 5 * SECOND)
    assert open_windows(unpack(taken(catalogue, added(), charged(T0 + 1, Product="p1")).state.users[U1]).windows, plan) == []


def test_what_audiences_count_is_said_with_how_often() -> None:
    catalogue = a_catalogue(a_campaign(who={"did": {"event": "Viewed", "within": "2d", "count": {"gte": 3}}}))
    partition = taken(catalogue, *(charged(T0 + n, f"v{n}", event="Viewed") for n in range(2)))
    [found] = occurrences(catalogue, person(partition), T0 + 10)
    assert (found.campaign, found.asks, found.times) == ("c", "did Viewed gte 3 times within 2d", 2)
    assert occurrences(catalogue, person(partition), T0 + 3 * DAY)[0].times == 0


def test_counters_say_what_is_used_and_how_much_there_is() -> None:
    catalogue = a_catalogue(a_campaign(recurrence={"day": 2}, budget={"user": 100}))
    day = 739_586  # 2025-12-01
    found = counters(catalogue.entries["campaign/c"], catalogue, U1, {"total": 3, f"day:{day}": 1, f"day:{day - 1}": 2, "amount": 3000}, T0)
    assert {one.slot: (one.used, one.cap, one.decimals) for one in found} == {
        "total": (3, None, 0), f"day:{day}": (1, 2, 0), f"day:{day - 1}": (2, None, 0), "amount": (3000, 10_000, 2),
    }  # fmt: skip


def test_a_campaign_that_was_published_later_does_not_name_the_event_before() -> None:
    catalogue = a_catalogue(a_campaign())
    assert names(catalogue, CampaignId("c"), "Charged")
    assert not names(catalogue, CampaignId("c"), "Viewed")
    assert not names(Catalogue(), CampaignId("c"), "Charged")


@pytest.mark.parametrize("amount", [499, 500, None], ids=["too little", "enough", "none"])
@pytest.mark.parametrize("plan", ["gold", "tin", None], ids=["gold", "tin", "no plan"])
def test_what_is_said_of_an_event_is_what_the_engine_makes_of_it(amount: int | None, plan: str | None) -> None:
    who = {"none": [{"property": "plan", "op": "ne", "value": "gold"}]}
    catalogue = a_catalogue(a_campaign(qualify={"where": AT_LEAST_500[:1]}, who=who))
    partition = Partition(compile_plan(catalogue))
    partition.take(profile(plan=plan))
    event = charged(Amount=amount) if amount is not None else charged()
    made = partition.take(event)
    [verdict] = judge(seen(event), catalogue, person(partition), HORIZONS)
    assert verdict.qualifies == bool(made)
