"""Absence and audiences: what they mean, what is refused, at which path, by which rule."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.documents.conditions import Op
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
    Span,
    leaves_of,
)
from livepromo.model.conditions import Condition
from livepromo.model.documents import Campaign, FromList, Live, Past, Retrigger, Same, Segment, Unless, When
from unit.documents.builders import GONE, WORLD, a_campaign, found, meaning, problems_of, sent
from unit.documents.test_checking import BAD_DURATIONS, BAD_INSTANTS, BAD_TEXTS, each

DAY = 86_400_000
L = "qualify.live"
UNLESS = {"event": "Charged", "within": "30m"}
FEW: list[dict[str, Any]] = [
    *WORLD, {"kind": "segment", "id": "loyal", "members": "fed"}, {"kind": "list", "id": "vip"},
]  # fmt: skip


def absent(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return a_campaign({f"{L}.unless": dict(UNLESS), **(changes or {})})


def live_of(document: Any) -> Live:
    campaign = meaning(document)
    assert isinstance(campaign, Campaign)
    assert isinstance(campaign.qualify, Live)
    return campaign.qualify


def who(audience: Any) -> dict[str, Any]:
    return a_campaign({"who": audience})


def audience_of(audience: Any) -> Audience | None:
    campaign = meaning(who(audience), zone="Asia/Kolkata")
    assert isinstance(campaign, Campaign)
    return campaign.who


def test_absence_means_what_it_says() -> None:
    assert live_of(absent()) == Live("Charged", (), Unless(("Charged",), 1_800_000))
    changes = {
        f"{L}.unless": {
            "event": ["Charged", "Left", "Charged"], "within": "180d", "grace": "24h", "where": [{"property": "A", "op": "exists"}],
        },
        f"{L}.same": ["Product ID", {"event": "sku", "unless": "SKU"}, "Product ID"], f"{L}.retrigger": "restart",
    }  # fmt: skip
    assert live_of(absent(changes)) == Live(
        "Charged",
        (),
        Unless(("Charged", "Left"), 180 * DAY, (Condition("A", Op.EXISTS),), DAY),
        (Same("Product ID", "Product ID"), Same("sku", "SKU")),
        Retrigger.RESTART,
    )


def test_the_order_of_names_means_nothing() -> None:
    one = absent({f"{L}.unless.event": ["A", "B"], f"{L}.same": ["P", "Q"]})
    other = absent({f"{L}.unless.event": ["B", "A"], f"{L}.same": ["Q", {"event": "P", "unless": "P"}]})
    assert meaning(one) == meaning(other)


def test_sends_mean_what_they_say() -> None:
    past = meaning(sent("points", {"when": {"send": "2030-01-01T00:00"}, "timezone": "Asia/Kolkata"}))
    assert isinstance(past, Campaign)
    assert (past.qualify, past.when, past.who) == (Past(), When(send_ms=1_893_436_200_000), Sample(5_000))
    listed = meaning(sent("points", {"qualify": {"list": "vip"}, "who": GONE, "when": {"send": "now"}}))
    assert isinstance(listed, Campaign)
    assert (listed.qualify, listed.when, listed.who) == (FromList("vip"), When(), None)


REFUSED_LIVE: list[tuple[dict[str, Any], str, str]] = [
    *each(f"{L}.unless", "R4", [None, [], "Charged"]),
    ({f"{L}.unless.event": GONE}, f"$.{L}.unless.event", "R4"),
    *[({f"{L}.unless.event": bad}, f"$.{L}.unless.event{item}", "R4") for bad, item in
      [(1, ""), (None, ""), ({}, ""), ([], ""), ("", ""), ("x" * 256, ""), (["A", ""], "[1]"), ([1, "A"], "[0]"), ([["A"]], "[0]")]],
    ({f"{L}.unless.within": GONE}, f"$.{L}.unless.within", "R4"),
    *each(f"{L}.unless.within", "R4", [*BAD_DURATIONS, "181d", "3660d", "26w"]),
    *each(f"{L}.unless.grace", "R4", [*BAD_DURATIONS, "25h", "2d", "86401s"]), *each(f"{L}.unless.where", "", [None, {}]),
    ({f"{L}.unless.wihtin": "1d"}, f"$.{L}.unless.wihtin", ""), ({f"{L}.unless.same": ["A"]}, f"$.{L}.unless.same", "R4"),
    ({f"{L}.grace": "5s"}, f"$.{L}.grace", "R4"), ({f"{L}.within": "5s"}, f"$.{L}.within", "R4"),
    *each(f"{L}.same", "R10", [None, "Product ID", {}]),
    *[({f"{L}.same": [bad]}, f"$.{L}.same[0]{name}", "R10") for bad, name in
      [(1, ""), (None, ""), ([], ""), ("", ""), ("x" * 129, ""), ({"event": "A"}, ".unless"), ({"unless": "A"}, ".event"),
       ({"event": "", "unless": "A"}, ".event"), ({"event": "A", "unless": 1}, ".unless")]],
    ({f"{L}.same": [{"event": "A", "unless": "B", "x": 1}]}, f"$.{L}.same[0].x", ""),
    *each(f"{L}.retrigger", "R4", [*BAD_TEXTS, "Keep", "stop"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "rule"), REFUSED_LIVE)
def test_a_violation_in_an_absence_is_an_error_at_its_path(changes: dict[str, Any], path: str, rule: str) -> None:
    assert found(*WORLD, absent(changes)) == {(path, rule)}


@pytest.mark.parametrize("within", ["1s", "180d", "4320h", "25w"])
def test_a_window_is_from_a_second_to_180_days(within: str) -> None:
    assert found(*WORLD, absent({f"{L}.unless.within": within})) == set()


@pytest.mark.parametrize(
    ("changes", "path", "rule"),
    [
        *each("qualify.past", "R2", [None, [], "x"]), ({"qualify.past": {"event": "A"}}, "$.qualify.past.event", ""),
        ({"qualify": {"list": 5}}, "$.qualify.list", "R2"), ({"qualify": {"list": "VIP"}}, "$.qualify.list", "R2"),
        ({"qualify": {"list": None}}, "$.qualify.list", "R2"), ({"qualify": {"list": "nobody"}}, "$.qualify.list", "R2"),
        *[({"when": {"send": bad}}, "$.when.send", "R13") for bad in [*BAD_INSTANTS, "never"]],
    ],
)  # fmt: skip
def test_a_violation_in_a_send_is_an_error_at_its_path(changes: dict[str, Any], path: str, rule: str) -> None:
    assert found(*WORLD, sent("points", changes)) == {(path, rule)}


MEANINGS: list[tuple[Any, Audience]] = [
    ({"sample": 5}, Sample(5_000)), ({"segment": "loyal"}, InSegment("loyal")), ({"list": "vip"}, OnList("vip")),
    ({"property": "plan", "op": "in", "value": ["a", 1]}, HasProperty(Condition("plan", Op.IN, ("a", 1)))),
    ({"did": {"event": "A"}}, Did(("A",))), ({"did": {"event": ["B", "A"], "count": {"gte": 1}}}, Did(("A", "B"))),
    ({"did": {"event": "A", "count": {"lt": 0}}}, Did(("A",), count=Count(Op.LT, (0,)))),
    ({"did": {"event": "A", "count": {"between": [0, 3.0]}, "within": "7d"}}, Did(("A",), (), Count(Op.BETWEEN, (0, 3)), Back(7 * DAY))),
    (
        {"did_not": {"event": "A", "where": [{"property": "P", "op": "eq", "value": 1}],
                     "within": {"from": "2026-01-01T05:30", "to": "2026-01-02T00:00Z"}}},
        DidNot(("A",), (Condition("P", Op.EQ, (1,)),), Span(1_767_225_600_000, 1_767_312_000_000)),
    ),
    ({"interest": {"event": "A", "property": "P", "value": "x", "share": "predominantly"}}, Interest("A", "P", "x", None)),
    ({"interest": {"event": "A", "property": "P", "value": 1.0, "share": 0.001, "within": "1d"}}, Interest("A", "P", 1, 1, Back(DAY))),
    ({"interest": {"event": "A", "property": "P", "value": False, "share": 100}}, Interest("A", "P", False, 100_000)),
    (
        {"all": [{"did": {"event": "A"}}, {"any": [{"sample": 1}, {"none": [{"list": "vip"}]}]}], "same": ["Q", "P", "Q"]},
        AllOf((Did(("A",)), AnyOf((Sample(1_000), NoneOf((OnList("vip"),))))), ("P", "Q")),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), MEANINGS)
def test_an_audience_means_what_it_says(written: Any, meant: Audience) -> None:
    assert audience_of(written) == meant
    assert found(*FEW, who(written)) == set()
    segment = meaning({"kind": "segment", "id": "s", "who": written}, zone="Asia/Kolkata")
    assert segment == Segment("s", meant)


def test_the_leaves_of_an_audience_stand_in_the_order_written() -> None:
    audience = audience_of({"all": [{"sample": 1}, {"any": [{"list": "a"}, {"segment": "b"}]}, {"none": [{"sample": 2}]}]})
    assert audience is not None
    assert leaves_of(audience) == (Sample(1_000), OnList("a"), InSegment("b"), Sample(2_000))


DID, INTEREST = {"event": "A"}, {"event": "A", "property": "P", "value": 1, "share": 60}
REFUSED_WHO: list[tuple[Any, str, str]] = [
    ({}, "", ""), *[(bad, "", "") for bad in [None, [], "all", 5]],
    *[({group: bad}, f".{group}", "R5") for group in ("all", "any", "none") for bad in [None, {}, "x", []]],
    *[({"any": [bad]}, ".any[0]", "R5") for bad in [None, "x", [], 1, {}]],
    ({"all": [{"sample": 1}], "any": [{"sample": 1}]}, "", "R5"), ({"sample": 1, "list": "vip"}, "", "R5"),
    ({"any": [{"sample": 1}, {"did": DID, "did_not": DID}]}, ".any[1]", "R5"),
    ({"smaple": 1}, ".smaple", ""),
    *[({"segment": bad}, ".segment", "R5") for bad in [*BAD_TEXTS, "", "Loyal", "nobody"]],
    *[({"list": bad}, ".list", "R5") for bad in [*BAD_TEXTS, "", "VIP", "nobody"]],
    *[({"sample": bad}, ".sample", "R72") for bad in [0, 101, "5", None, True, 0.0001]],
    *[({"did": bad}, ".did", "R6") for bad in [None, [], "A"]], ({"did": {}}, ".did.event", "R6"),
    ({"did": {"event": []}}, ".did.event", "R6"),
    ({"did": {**DID, "where": {}}}, ".did.where", ""), ({"did": {**DID, "wher": []}}, ".did.wher", ""),
    *[({"did": {**DID, "count": bad}}, ".did.count", "R6") for bad in [None, 3, [], {}, {"gte": 1, "lte": 2}]],
    ({"did": {**DID, "count": {"ne": 1}}}, ".did.count", "R6"),
    *[({"did": {**DID, "count": {op: bad}}}, f".did.count.{op}", "R6") for op in ("eq", "gte", "gt", "lte", "lt")
      for bad in [-1, 1.5, "3", None, True, [], 10**15]],
    *[({"did": {**DID, "count": {"between": bad}}}, ".did.count.between", "R6") for bad in
      [1, None, [], [1], [1, 2, 3], [2, 1], [-1, 2], [1, "2"], {}]],
    *[({"did": {**DID, "within": bad}}, ".did.within", "R6") for bad in [*BAD_DURATIONS, []]],
    ({"did": {**DID, "within": {"from": "2026-01-01T00:00"}}}, ".did.within.to", "R6"),
    ({"did": {**DID, "within": {"to": "2026-01-01T00:00"}}}, ".did.within.from", "R6"),
    ({"did": {**DID, "within": {"from": "2026-01-01T00:00", "to": "2026-01-01T00:00"}}}, ".did.within.to", "R6"),
    ({"did": {**DID, "within": {"from": "2026-01-02T00:00", "to": "2026-01-01T00:00"}}}, ".did.within.to", "R6"),
    ({"did": {**DID, "within": {"from": "now", "to": "2026-01-01T00:00"}}}, ".did.within.from", "R6"),
    ({"did": {**DID, "within": {"from": "2026-01-01T00:00", "to": "2026-01-02T00:00", "x": 1}}}, ".did.within.x", ""),
    *[({"did_not": bad}, ".did_not", "R7") for bad in [None, [], "A"]], ({"did_not": {}}, ".did_not.event", "R7"),
    ({"did_not": {**DID, "count": {"eq": 0}}}, ".did_not.count", "R7"),
    ({"did_not": {**DID, "within": "x"}}, ".did_not.within", "R7"),
    ({"property": 1, "op": "exists"}, ".property", ""), ({"property": "A"}, ".op", ""), ({"property": "A", "op": "eq"}, ".value", ""),
    ({"property": "A", "op": "eq", "value": None}, ".value", ""), ({"op": "exists"}, ".op", "R8"),
    *[({"interest": bad}, ".interest", "R9") for bad in [None, [], "A"]],
    *[({"interest": {k: v for k, v in INTEREST.items() if k != name}}, f".interest.{name}", "R9") for name in INTEREST],
    *[({"interest": {**INTEREST, "share": bad}}, ".interest.share", "R9") for bad in [0, 101, "60", "mostly", None, 1.0001]],
    *[({"interest": {**INTEREST, "value": bad}}, ".interest.value", "R9") for bad in [None, [], {}]],
    *[({"interest": {**INTEREST, "event": bad}}, ".interest.event", "R9") for bad in [*BAD_TEXTS, ""]],
    *[({"interest": {**INTEREST, "property": bad}}, ".interest.property", "R9") for bad in [*BAD_TEXTS, "", "x" * 129]],
    ({"interest": {**INTEREST, "within": "x"}}, ".interest.within", "R9"), ({"interest": {**INTEREST, "count": 1}}, ".interest.count", ""),
    ({"any": [{"did": DID}], "same": ["P"]}, ".same", "R10"), ({"sample": 1, "same": ["P"]}, ".same", "R10"),
    ({"all": [{"sample": 1}], "same": ["P"]}, ".same", "R10"), ({"all": [{"did_not": DID}], "same": ["P"]}, ".same", "R10"),
    ({"all": [{"any": [{"did": DID}]}], "same": ["P"]}, ".same", "R10"),
    *[({"all": [{"did": DID}], "same": bad}, ".same", "R10") for bad in [None, "P", {}]],
    *[({"all": [{"did": DID}], "same": ["P", bad]}, ".same[1]", "R10") for bad in [None, 1, "", {"event": "A", "unless": "B"}, "x" * 129]],
]  # fmt: skip


@pytest.mark.parametrize(("audience", "path", "rule"), REFUSED_WHO)
def test_a_violation_in_an_audience_is_an_error_at_its_path(audience: Any, path: str, rule: str) -> None:
    refused = found(*FEW, who(audience))
    assert (f"$.who{path}", rule) in refused
    assert {one for one, _ in refused} <= {f"$.who{path}", "$.who", "$.who.did.count.ne"}
    assert all(one.text.isprintable() and len(one.text) < 400 for one in problems_of(*FEW, who(audience)))


def nested(depth: int) -> dict[str, Any]:
    audience: dict[str, Any] = {"sample": 5}
    for _ in range(depth):
        audience = {"any": [audience]}
    return audience


def test_groups_nest_eight_deep() -> None:
    assert found(*WORLD, who(nested(8))) == set()
    assert found(*WORLD, who(nested(9))) == {(f"$.who{'.any[0]' * 8}", "R5")}
    assert found(*WORLD, who(nested(25))) == {(f"$.who{'.any[0]' * 8}", "R5")}


def test_there_are_at_most_200_groups_and_leaves() -> None:
    assert found(*WORLD, who({"any": [{"sample": 5}] * 199})) == set()
    assert found(*WORLD, who({"any": [{"sample": 5}] * 200})) == {("$.who", "R5")}
    assert found(*WORLD, who({"any": [{"all": [{"sample": 5}]}] * 99 + [{"sample": 1}]})) == set()
    assert found(*WORLD, who({"any": [{"all": [{"sample": 5}]}] * 100})) == {("$.who", "R5")}
