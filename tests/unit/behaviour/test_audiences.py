"""Who is meant: what groups and leaves say of a user (R5-R10, R72)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import pytest

from livepromo.behaviour.audiences import CompiledAudience, compile_audience
from livepromo.behaviour.occurrences import Remembered, Rule, noted
from livepromo.model.audiences import (
    AllOf,
    AnyOf,
    Audience,
    Back,
    Count,
    Did,
    DidNot,
    HasProperty,
    InSegment,
    Interest,
    NoneOf,
    OnList,
    Sample,
)
from livepromo.model.conditions import Condition, Op
from livepromo.model.documents import Segment
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.time import DAY_MS

T = 1_764_547_200_000
CAMPAIGN = CampaignId("summer")
GOLD = HasProperty(Condition("plan", Op.EQ, ("gold",)))
AT_LEAST_ONCE = Count(Op.GTE, (1,))
Done = tuple[str, dict[str, Any]]


def compiled(audience: Audience | None, **saved: Audience | None) -> CompiledAudience:
    return compile_audience(audience, CAMPAIGN, {name: Segment(name, who) for name, who in saved.items()})


def means(
    audience: CompiledAudience, done: Sequence[Done] = (), *, user: str = "u1", plan: str | None = None, segments: Sequence[str] = ()
) -> bool:
    """Whether a user is meant who has done this, in this order, a millisecond apart."""
    kept: dict[Rule, Remembered | None] = {}
    for at, (name, properties) in enumerate(done, T):
        for rule in audience.rules:
            if name in rule.events:
                kept[rule] = noted(kept.get(rule), rule, at, properties, at, DAY_MS)
    return audience.holds(UserId(user), {} if plan is None else {"plan": plan}, frozenset(segments), kept.get, T + len(done))


def a(name: str, product: Any = None) -> Done:
    return name, {} if product is None else {"Product ID": product}


def test_without_an_audience_everyone_is_meant() -> None:
    assert means(compiled(None))
    assert compiled(None).rules == ()


def test_groups_mean_all_any_and_none_of_their_members() -> None:
    for size in (1, 2, 3):
        members = tuple(InSegment(f"s{n}") for n in range(size))
        fed = {f"s{n}": None for n in range(size)}
        for count in range(size + 1):
            segments = [f"s{n}" for n in range(count)]
            assert means(compiled(AllOf(members), **fed), segments=segments) is (count == size)
            assert means(compiled(AnyOf(members), **fed), segments=segments) is (count > 0)
            assert means(compiled(NoneOf(members), **fed), segments=segments) is (count == 0)


def test_a_fed_segment_is_looked_up_and_another_one_is_judged() -> None:
    audience = compiled(AnyOf((InSegment("fed"), InSegment("golden"))), fed=None, golden=GOLD)
    assert means(audience, segments=["fed"])
    assert means(audience, plan="gold")
    assert not means(audience, segments=["golden"], plan="silver")


def test_lists_and_segments_of_one_name_are_two() -> None:
    assert means(compiled(OnList("vip")), segments=["list/vip"])
    assert not means(compiled(OnList("vip")), segments=["vip"])
    assert not means(compiled(InSegment("vip"), vip=None), segments=["list/vip"])


def test_a_sample_in_a_segment_is_that_of_the_campaign() -> None:
    users = [f"u{n}" for n in range(2_000)]
    small = {user for user in users if means(compiled(Sample(5_000)), user=user)}
    large = {user for user in users if means(compiled(Sample(10_000)), user=user)}
    assert small < large
    assert 60 < len(small) < 140
    assert small == {user for user in users if means(compiled(InSegment("few"), few=Sample(5_000)), user=user)}
    another = compile_audience(Sample(5_000), CampaignId("winter"), {})
    assert small != {user for user in users if means(another, user=user)}


@pytest.mark.parametrize(
    ("count", "meant"),
    [
        (Count(Op.EQ, (0,)), [0]),
        (Count(Op.EQ, (2,)), [2]),
        (Count(Op.GTE, (0,)), [0, 1, 2, 3, 4]),
        (Count(Op.GTE, (2,)), [2, 3, 4]),
        (Count(Op.GT, (2,)), [3, 4]),
        (Count(Op.LT, (0,)), []),
        (Count(Op.LT, (1,)), [0]),
        (Count(Op.LT, (3,)), [0, 1, 2]),
        (Count(Op.LTE, (2,)), [0, 1, 2]),
        (Count(Op.BETWEEN, (0, 1)), [0, 1]),
        (Count(Op.BETWEEN, (2, 3)), [2, 3]),
    ],
    ids=lambda value: f"{value.op} {value.values}" if isinstance(value, Count) else "",
)
def test_how_often_it_was_done_is_compared(count: Count, meant: list[int]) -> None:
    for within in (None, Back(DAY_MS)):
        audience = compiled(Did(("Charged",), count=count, within=within))
        assert [times for times in range(5) if means(audience, [a("Charged")] * times)] == meant


def test_any_of_the_names_counts_and_did_not_wants_none_of_them() -> None:
    did = compiled(Did(("Charged", "Booked"), count=Count(Op.EQ, (2,))))
    assert means(did, [a("Charged"), a("Booked"), a("Viewed")])
    did_not = compiled(DidNot(("Charged", "Booked")))
    assert means(did_not, [a("Viewed")])
    assert not means(did_not, [a("Booked")])


def test_what_is_always_or_never_so_needs_nothing_remembered() -> None:
    assert compiled(Did(("Charged",), count=Count(Op.GTE, (0,)))).rules == ()
    assert compiled(Did(("Charged",), count=Count(Op.LT, (0,)))).rules == ()


def test_leaves_that_ask_the_same_share_a_rule() -> None:
    once = Did(("Charged",))
    audience = compiled(AllOf((once, NoneOf((DidNot(("Charged",)),)), InSegment("buyers"), InSegment("buyers"))), buyers=once)
    assert len(audience.rules) == 1
    assert len(compiled(AllOf((once, Did(("Charged",), count=Count(Op.GTE, (2,)))))).rules) == 2


SHOES = [a("Viewed", "shoes")]
HATS = [a("Viewed", "hats")]
NOTHING = [a("Viewed")]


def interest(share_milli: int | None, value: Any = "shoes") -> CompiledAudience:
    return compiled(Interest("Viewed", "Product ID", value, share_milli))


def test_predominantly_means_that_no_other_value_is_as_frequent() -> None:
    audience = interest(None)
    assert means(audience, SHOES * 2 + HATS)
    assert not means(audience, SHOES * 2 + HATS * 2)
    assert not means(audience, SHOES + HATS * 2)
    assert means(audience, SHOES * 2 + HATS + [a("Viewed", "socks")])


def test_an_occurrence_without_a_value_competes_with_none_but_has_its_share() -> None:
    assert means(interest(None), SHOES + NOTHING * 5)
    assert means(interest(50_000), SHOES + NOTHING)
    assert not means(interest(50_001), SHOES + NOTHING)
    assert not means(interest(50_000), SHOES + NOTHING * 2)


def test_nobody_is_interested_in_what_they_never_did() -> None:
    for share_milli in (None, 1, 100_000):
        assert not means(interest(share_milli), [])
        assert not means(interest(share_milli), HATS)
        assert not means(interest(share_milli), NOTHING)


def test_shares_are_exact() -> None:
    third = SHOES + HATS * 2
    assert means(interest(33_333), third)
    assert not means(interest(33_334), third)
    assert means(interest(100_000), SHOES * 3)


def test_values_of_an_interest_have_types() -> None:
    for value in ("1", 1, True):
        done = [a("Viewed", value)]
        assert [means(interest(100_000, other), done) for other in ("1", 1, True)] == [value is other for other in ("1", 1, True)]
    assert means(interest(100_000, 1.0), [a("Viewed", 1)])


def same(*members: Audience, of: tuple[str, ...] = ("Product ID",)) -> CompiledAudience:
    return compiled(AllOf(members, of))


VIEWED, CHARGED, NOT_RETURNED = Did(("Viewed",)), Did(("Charged",)), DidNot(("Returned",))


def test_viewed_and_purchased_means_the_same_product_where_it_says_so() -> None:
    audience = same(VIEWED, CHARGED)
    assert means(audience, [a("Viewed", 1), a("Charged", 1)])
    assert not means(audience, [a("Viewed", 1), a("Charged", 2)])
    assert means(compiled(AllOf((VIEWED, CHARGED))), [a("Viewed", 1), a("Charged", 2)])
    assert not means(audience, [a("Viewed"), a("Charged")])
    assert not means(audience, [a("Viewed", [1]), a("Charged", [1])])
    assert not means(audience, [a("Viewed", 1), a("Charged", True)])


def test_what_was_not_done_is_looked_for_with_that_value_alone() -> None:
    audience = same(CHARGED, NOT_RETURNED)
    assert not means(audience, [a("Charged", 1), a("Returned", 1)])
    assert means(audience, [a("Charged", 1), a("Returned", 2)])
    assert means(audience, [a("Charged", 1), a("Returned")])
    assert means(audience, [a("Charged", 1), a("Charged", 2), a("Returned", 1)])


def test_a_value_has_to_occur_in_what_is_counted() -> None:
    at_most_once = Did(("Viewed",), count=Count(Op.LTE, (1,)))
    assert not means(same(at_most_once), [])
    assert not means(same(at_most_once), [a("Viewed", 1), a("Viewed", 1)])
    assert means(same(at_most_once), [a("Viewed", 1), a("Viewed", 1), a("Viewed", 2)])
    never = Did(("Charged",), count=Count(Op.EQ, (0,)))
    assert means(same(never, at_most_once), [a("Viewed", 1)])
    assert not means(same(never), [a("Charged", 1)])
    any_number = Did(("Charged",), count=Count(Op.GTE, (0,)))
    assert not means(same(any_number), [])
    assert means(same(any_number), [a("Charged", 1), a("Charged", 1)])
    assert means(same(never, Did(("Viewed",), count=Count(Op.GTE, (0,)))), [a("Charged", 1), a("Viewed", 2)])


def test_several_properties_are_the_same_together() -> None:
    audience = same(VIEWED, CHARGED, of=("colour", "size"))
    red, blue = {"colour": "red", "size": 1}, {"colour": "blue", "size": 2}
    assert means(audience, [("Viewed", red), ("Viewed", blue), ("Charged", blue)])
    assert not means(audience, [("Viewed", red), ("Viewed", blue), ("Charged", {"colour": "red", "size": 2})])
    assert not means(audience, [("Viewed", {"colour": "red"}), ("Charged", {"colour": "red"})])


def test_nested_groups_and_other_leaves_are_judged_by_themselves() -> None:
    audience = same(CHARGED, AnyOf((VIEWED,)), GOLD)
    assert means(audience, [a("Charged", 1), a("Viewed", 2)], plan="gold")
    assert not means(audience, [a("Charged", 1), a("Viewed", 1)], plan="silver")
    assert not means(audience, [a("Charged", 1)], plan="gold")


def test_the_order_of_leaves_makes_no_difference() -> None:
    leaves = (VIEWED, NOT_RETURNED, GOLD, Did(("Charged",), count=Count(Op.LTE, (1,))))
    done = [a("Viewed", 1), a("Charged", 1), a("Viewed", 2), a("Returned", 2)]
    for order in permutations(leaves):
        assert means(same(*order), done, plan="gold")
        assert not means(same(*order), [*done, a("Returned", 1)], plan="gold")
        assert {rule.key for rule in same(*order).rules} == {rule.key for rule in same(*leaves).rules}


def test_what_is_known_without_counting_is_asked_first() -> None:
    def refused(_rule: Rule) -> Remembered | None:
        raise AssertionError("the history was asked for")

    audience = compiled(AllOf((Interest("Viewed", "p", 1, None), CHARGED, Sample(100_000), InSegment("fed"))), fed=None)
    assert not audience.holds(UserId("u1"), {}, frozenset(), refused, T)
