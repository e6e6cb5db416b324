"""Every field rule of documents, one by one: what is refused, at which path, by which rule."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from livepromo.documents.files import check_content
from livepromo.model.amounts import Rounding
from livepromo.model.audiences import Sample
from livepromo.model.conditions import Condition, Op
from livepromo.model.documents import (
    Budget,
    Campaign,
    EventProperty,
    Fact,
    FactOf,
    Flat,
    Literal,
    Live,
    MetadataRow,
    OnInsufficient,
    Per,
    Percent,
    Points,
    Recurrence,
    UserProperty,
    Validity,
    Wallet,
    When,
)
from livepromo.model.ids import CampaignId
from unit.documents.builders import (
    CAMPAIGN,
    GONE,
    WALLET,
    P,
    a_campaign,
    changed,
    found,
    meaning,
    problems_of,
)

DAY = 86_400_000
HUGE_INTEGER = 10**309


def with_where(*conditions: Any) -> dict[str, Any]:
    return a_campaign({"qualify.live.where": list(conditions)})


def where_of(*conditions: Any) -> tuple[Condition, ...]:
    campaign = meaning(with_where(*conditions))
    assert isinstance(campaign, Campaign)
    return campaign.qualify.where


def errors(document: Any) -> set[tuple[str, str]]:
    return found(WALLET, document)


def test_a_campaign_means_what_it_says_and_defaults_are_filled_in() -> None:
    assert meaning(CAMPAIGN, zone="Asia/Kolkata") == Campaign(
        CampaignId("c"),
        "Asia/Kolkata",
        Live("Charged"),
        Points("grocery", Percent(10_000, "Amount"), None, Recurrence(total=5), Validity(), Budget(campaign_milli=5_000_000)),
    )
    assert meaning({"kind": "wallet", "id": "w"}) == Wallet("w", 0, Rounding.DOWN, True, None, None)


def test_every_option_is_read() -> None:
    document = a_campaign({
        "name": "N", "description": "D", "timezone": "Europe/Berlin", "who": {"sample": 2.5},
        "when": {"start": "2026-01-01T00:00", "end": "2026-07-01 00:00:00.500+02:00"},
        P: {
            "wallet": "grocery", "earn": {"points": 10, "per": 0.5, "of": "Amount"}, "max_per_reward": 10.50,
            "recurrence": {"total": 5, "day": 2, "week": 4, "month": 4}, "validity": {"activate_after": "7d", "expire_after": "26w"},
            "budget": {"campaign": 5000, "user": 500.25}, "on_insufficient": "partial",
            "metadata": [
                {"key": " a ", "value": 1.50}, {"key": "b", "from": "event.Order ID"}, {"key": "c", "from": "user.plan.x"},
                {"key": "d", "from": "user.id"}, {"key": "e", "from": "campaign.id"}, {"key": "f", "from": "campaign.name"},
                {"system": " event_ts "},
            ],
        },
    })  # fmt: skip
    assert meaning(document) == Campaign(
        CampaignId("c"), "Europe/Berlin", Live("Charged"),
        Points(
            "grocery", Per(10_000, 500, "Amount"), 10_500, Recurrence(5, 2, 4, 4), Validity(7 * DAY, 26 * 7 * DAY),
            Budget(5_000_000, 500_250),
            OnInsufficient.PARTIAL,
            (
                MetadataRow("a", Literal(1.5)), MetadataRow("b", EventProperty("Order ID")), MetadataRow("c", UserProperty("plan.x")),
                MetadataRow("d", FactOf(Fact.USER_ID)), MetadataRow("e", FactOf(Fact.CAMPAIGN_ID)),
                MetadataRow("f", FactOf(Fact.CAMPAIGN_NAME)),
                MetadataRow("event_ts", FactOf(Fact.EVENT_TS)),
            ),
        ),
        Sample(2_500), When(1_767_222_000_000, 1_782_856_800_500), "N", "D",
    )  # fmt: skip


OK: list[dict[str, Any]] = [
    {"id": "a"}, {"id": "0"}, {"id": "a" * 63}, {"id": "a.b_c-d"}, {"name": ""}, {"timezone": "America/Argentina/Buenos_Aires"},
    {"qualify.live.event": "x" * 255}, {"qualify.live.event": "é 💰"}, {"qualify.live.where": []},
    {f"{P}.earn": {"flat": 0.01}}, {f"{P}.earn": {"flat": 100.0}}, {f"{P}.earn": {"flat": 123456789012345}}, {f"{P}.earn": {"flat": 1e14}},
    {f"{P}.earn": {"percent": 1000000, "of": "x" * 128}}, {f"{P}.earn": {"percent": 0.001, "of": "A"}},
    {f"{P}.earn": {"points": 1000000, "per": 1000000, "of": "A"}}, {f"{P}.earn": {"points": 1, "per": 0.001, "of": "A"}},
    {f"{P}.earn": {"random": {"min": 0.01, "max": 0.02, "favor": "max"}}},
    {f"{P}.max_per_reward": 1}, {f"{P}.recurrence": {"month": 999999999999999}}, {f"{P}.recurrence": {"day": 1.0}},
    {f"{P}.budget": {"campaign": 5, "user": 5}}, {f"{P}.on_insufficient": "reject"}, {f"{P}.validity": {}}, {f"{P}.metadata": []},
    {f"{P}.validity": {"activate_after": "1s"}}, {f"{P}.validity": {"expire_after": "3660d"}},
    {f"{P}.validity": {"expire_on": "2027-03-28T02:30"}},
    {"who": {"sample": 100}}, {"who": {"sample": 0.001}}, {"when": {}}, {"when": {"start": "now", "end": "never"}},
    {"when": {"end": "2027-01-01T00:00:59.999-05:30"}},
]  # fmt: skip


@pytest.mark.parametrize("changes", OK)
def test_what_the_rules_allow_is_sound(changes: dict[str, Any]) -> None:
    assert errors(a_campaign(changes)) == set()


BAD_TEXTS: list[Any] = [1, True, None, [], {}]
BAD_AMOUNTS: list[Any] = [0, -1, "10", True, None, [], {}, 1.0001, 1234567890123456, 123456789012345.5, 1e15, 1e300, 0.0009]
BAD_COUNTS: list[Any] = [0, -1, 1.5, "3", True, None, [], {}, 10**15, 1e15, 1e300]
BAD_INSTANTS: list[Any] = [
    "2026-01-01", "2026-01-01T00", "2026-13-01T00:00", "2026-02-30T00:00", "2026-01-01T24:00", "2026-01-01T00:60", "2026-01-01T00:00:60",
    "2026-01-01T00:00+0530", "2026-01-01T00:00+05", "2026-01-01T00:00:00.5", "2026-01-01T00:00:00.1234", "20260101T0000",
    "2026-01-01t00:00",
    "2026-01-01T00:00z", " 2026-01-01T00:00", "2026-01-01T00:00+24:00", "2026-01-01T00:00+01:60", "0000-01-01T00:00", "tomorrow",
    "", 1767222000000,
    None, True, "\uff12\uff10\uff12\uff16-01-01T00:00",
]  # fmt: skip
BAD_DURATIONS: list[Any] = [
    "0s",
    "30",
    "30 m",
    "1.5h",
    "-1d",
    "3661d",
    "1y",
    "30M",
    "",
    "P1D",
    30,
    None,
    "9" * 5000 + "d",
    "1ms",
    "01d",
    "\u0663d",
]


def each(path: str, rule: str, values: list[Any]) -> list[tuple[dict[str, Any], str, str]]:
    return [({path: value}, f"$.{path}", rule) for value in values]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"id": GONE}, "$.id", ""),
    ({"kind": GONE}, "$.kind", ""),
    *each("id", "", [*BAD_TEXTS, "", "A", "-a", ".a", "_a", "a" * 64, "a b", "é", "a/b", "a\n"]),
    *each("name", "", BAD_TEXTS), *each("description", "", BAD_TEXTS),
    *each("timezone", "", [*BAD_TEXTS, "", "Mars/Base", "Asia", "../UTC", "/etc/passwd", "a" * 5000, "x\x00"]),
    ({"qualify": GONE}, "$.qualify", "R1"), *each("qualify", "R1", [None, [], "live", {}]),
    ({"qualify.past": {}}, "$.qualify", "R1"), *each("qualify.live", "R3", [None, [], "Charged"]),
    ({"qualify": {"live": {}}}, "$.qualify.live.event", "R3"), *each("qualify.live.event", "R3", [*BAD_TEXTS, "", "x" * 256, ["A"]]),
    ({"qualify.live.same": ["A"]}, "$.qualify.live.same", "R10"), ({"qualify.live.retrigger": "keep"}, "$.qualify.live.retrigger", "R4"),
    ({"qualify.live.grace": "5s"}, "$.qualify.live.grace", "R4"), *each("qualify.live.where", "", [None, {}, "x"]),
    *each("who", "", [None, [], "all", {}]), *each("who.sample", "R72", [0, -1, 100.001, 101, 0.0001, 12.3456, "5", True, None, [],
    {}, 1e300]),
    ({"reward": GONE}, "$.reward", "R11"), *each("reward", "R11", [None, [], "points", {}]), *each("reward.points", "R11", [None, [], 100]),
    ({"reward.coupon": {}}, "$.reward", "R11"),
    ({f"{P}.wallet": GONE}, f"$.{P}.wallet", "R19"), *each(f"{P}.wallet", "R19", [*BAD_TEXTS, "", "Grocery", "a b"]),
    ({f"{P}.earn": GONE}, f"$.{P}.earn", "R20"), *each(f"{P}.earn", "R20", [None, [], 100, {}, {"of": "A"}]),
    *[({f"{P}.earn": {"flat": bad}}, f"$.{P}.earn.flat", "R20") for bad in BAD_AMOUNTS],
    *[({f"{P}.earn.percent": bad}, f"$.{P}.earn.percent", "R21") for bad in [*BAD_AMOUNTS, 1000000.001, 1000001]],
    *each(f"{P}.earn.of", "R21", [*BAD_TEXTS, "", "x" * 129]), ({f"{P}.earn.of": GONE}, f"$.{P}.earn.of", "R21"),
    *[({f"{P}.earn": {"points": bad, "per": 1, "of": "A"}}, f"$.{P}.earn.points", "R22") for bad in [*BAD_AMOUNTS, 1000001]],
    *[({f"{P}.earn": {"points": 1, "per": bad, "of": "A"}}, f"$.{P}.earn.per", "R22") for bad in [*BAD_AMOUNTS, 1000001]],
    ({f"{P}.earn": {"points": 1, "of": "A"}}, f"$.{P}.earn.per", "R22"), ({f"{P}.earn": {"per": 1, "of": "A"}}, f"$.{P}.earn.points",
    "R22"),
    ({f"{P}.earn": {"points": 1, "per": 1}}, f"$.{P}.earn.of", "R22"),
    *[({f"{P}.earn": {"random": bad}}, f"$.{P}.earn.random", "R23") for bad in [None, [], 5]],
    *[({f"{P}.earn": {"random": {"min": bad, "max": 5, "favor": "avg"}}}, f"$.{P}.earn.random.min", "R23") for bad in BAD_AMOUNTS],
    *[({f"{P}.earn": {"random": {"min": 5, "max": bad, "favor": "avg"}}}, f"$.{P}.earn.random.max", "R23") for bad in [*BAD_AMOUNTS, 5, 4]],
    *[({f"{P}.earn": {"random": {"min": 1, "max": 5, "favor": bad}}}, f"$.{P}.earn.random.favor", "R25") for bad in [*BAD_TEXTS, "",
    "mid", "Avg"]],
    ({f"{P}.earn": {"random": {"min": 1, "max": 5}}}, f"$.{P}.earn.random.favor", "R25"),
    ({f"{P}.earn": {"random": {"max": 5, "favor": "min"}}}, f"$.{P}.earn.random.min", "R23"),
    ({f"{P}.earn": {"random": {"min": 5, "favor": "min"}}}, f"$.{P}.earn.random.max", "R23"),
    ({f"{P}.earn.favor": "min"}, f"$.{P}.earn.favor", "R25"), ({f"{P}.earn.min": 1}, f"$.{P}.earn.min", "R23"),
    *each(f"{P}.max_per_reward", "R26", BAD_AMOUNTS), *each(f"{P}.recurrence", "R27", [None, [], 5, {}]),
    *[({f"{P}.recurrence.{name}": bad}, f"$.{P}.recurrence.{name}", "R27") for name in ("total", "day", "week",
    "month") for bad in BAD_COUNTS],
    *each(f"{P}.budget", "R30", [None, [], 5, {}]), *each(f"{P}.budget.campaign", "R30", BAD_AMOUNTS), *each(f"{P}.budget.user", "R31",
    [*BAD_AMOUNTS, 5000.01]),
    *[({f"{P}.budget.{name}": 5}, f"$.{P}.budget.{name}", "R30") for name in ("day", "week", "month")],
    *each(f"{P}.on_insufficient", "R32", [*BAD_TEXTS, "", "Reject", "deny"]),
    ({f"{P}.budget": GONE, f"{P}.on_insufficient": "partial"}, f"$.{P}.on_insufficient", "R32"),
    *each(f"{P}.validity", "R29", [None, [], "7d"]), *each(f"{P}.validity.activate_after", "R28", BAD_DURATIONS),
    *each(f"{P}.validity.expire_after", "R29", BAD_DURATIONS), *each(f"{P}.validity.expire_on", "R29", [*BAD_INSTANTS, "now", "never"]),
    ({f"{P}.validity": {"expire_after": "1d", "expire_on": "2027-01-01T00:00"}}, f"$.{P}.validity", "R29"),
    *each("when", "", [None, [], "now"]), *each("when.start", "R15", [*BAD_INSTANTS, "never"]), *each("when.end", "R17", [*BAD_INSTANTS,
    "now"]),
    ({"when": {"start": "2026-01-01T00:00", "end": "2026-01-01T00:00"}}, "$.when.end", "R17"),
    ({"when": {"start": "2026-01-01T00:00", "end": "2026-01-01T01:00+02:00"}}, "$.when.end", "R17"),
    *each("when.send", "R12", ["now", "2026-01-01T00:00"]),
    *each(f"{P}.metadata", "R33", [None, {}, "x"]),
    *[
        ({f"{P}.{name}": "x"}, f"$.{P}.{name}", "R11")
        for name in ("coupon", "type", "redeem_after", "max_per_user", "max_per_campaign", "partner", "list_tag", "endpoint", "item",
        "credits", "identifiers")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "rule"), REFUSED)
def test_a_violation_is_an_error_at_its_path_with_its_rule(changes: dict[str, Any], path: str, rule: str) -> None:
    refused = errors(a_campaign(changes))
    assert (path, rule) in refused
    if path not in {"$.qualify", "$.reward", "$.kind", "$.id"}:  # what else hangs on these is said as well
        assert refused == {(path, rule)}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("nmae", 'did you mean "name"?'), ("qualify.live.wher", 'did you mean "where"?'), ("qualify.lived", 'did you mean "live"?'),
        ("foo", "there are kind, id"),
        ("reward.point", 'did you mean "points"?'), (f"{P}.walet", 'did you mean "wallet"?'),
        (f"{P}.earn.precent", 'did you mean "percent"?'),
        (f"{P}.recurrence.year", "there are total"), (f"{P}.budget.usr", 'did you mean "user"?'),
        (f"{P}.validity.expires_after", 'did you mean "expire_after"?'),
        ("when.stop", "there are start, end"), ("who.samples", 'did you mean "sample"?'), ("x" * 100_000, "there are kind"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_an_error_everywhere(path: str, hint: str) -> None:
    messages = [one.message for one in problems_of(WALLET, a_campaign({path: 1})) if one.path == f"$.{path}"]
    assert len(messages) == 1
    assert messages[0].startswith("unknown field")
    assert hint in messages[0]


def test_unknown_fields_of_small_mappings_are_errors() -> None:
    assert errors(a_campaign({f"{P}.earn": {"random": {"min": 1, "max": 2, "favor": "min", "avg": 1}}})) == {(f"$.{P}.earn.random.avg", "")}
    assert errors(a_campaign({f"{P}.metadata": [{"key": "a", "value": 1, "form": 1}]})) == {(f"$.{P}.metadata[0].form", "")}
    assert errors(with_where({"property": "a", "op": "exists", "val ue": 1})) == {('$.qualify.live.where[0]["val ue"]', "")}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        *[({"decimals": bad}, "$.decimals") for bad in [-1, 4, 1.5, "2", True, None, [], 1e300]],
        *[({"rounding": bad}, "$.rounding") for bad in [*BAD_TEXTS, "half_up", "DOWN"]],
        *[({"active": bad}, "$.active") for bad in [1, 0, "true", None, []]],
        *[({"external": bad}, "$.external") for bad in [1, "false", None]],
        ({"id": GONE}, "$.id"), ({"id": "A"}, "$.id"), ({"name": 1}, "$.name"), ({"timezone": "UTC"}, "$.timezone"),
    ],
)  # fmt: skip
def test_a_wallet_with_a_wrong_field_is_refused(changes: dict[str, Any], path: str) -> None:
    assert [one.path for one in problems_of(changed(WALLET, changes))] == [path]


def test_a_wallet_keeps_what_it_says() -> None:
    wallet = meaning(
        {
            "kind": "wallet",
            "id": "w",
            "decimals": 3,
            "rounding": "half_even",
            "active": False,
            "external": False,
            "name": "N",
            "description": "D",
        }
    )
    assert wallet == Wallet("w", 3, Rounding.HALF_EVEN, False, "N", "D")


@pytest.mark.parametrize("value", [1, "x", None, True, []])
def test_a_document_is_a_mapping(value: Any) -> None:
    assert found(value) == {("$", "")}


def test_an_unknown_kind_is_an_error() -> None:
    assert [one.message for one in problems_of({"kind": "campain", "id": "a"})] == ['"campain" is no kind: did you mean campaign?']


# Conditions

SCALARS: list[Any] = ["x", 5, 1.5, True]
NO_SCALARS: list[Any] = [None, [], {}, ["x"], HUGE_INTEGER]
GOOD_VALUES: dict[Op, list[Any]] = {
    **{key: [*SCALARS, ""] for key in (Op.EQ, Op.NE)},
    **{key: [SCALARS, ["x"], [1, 1]] for key in (Op.IN, Op.NOT_IN)},
    **{key: ["x", 5, -1.5, 0] for key in (Op.GT, Op.GTE, Op.LT, Op.LTE)},
    Op.BETWEEN: [[1, 2], [1, 1], [-1.5, 2], ["a", "b"], ["a", "a"]],
    **{key: ["x", ""] for key in (Op.CONTAINS, Op.STARTS_WITH)},
}
BAD_VALUES: dict[Op, list[tuple[Any, str]]] = {
    **{key: [(bad, "") for bad in NO_SCALARS] for key in (Op.EQ, Op.NE)},
    **dict.fromkeys((Op.IN, Op.NOT_IN), [(bad, "") for bad in [*SCALARS, None, {}, []]] + [([1, bad], "[1]") for bad in NO_SCALARS]),
    **{key: [(bad, "") for bad in [*NO_SCALARS, True]] for key in (Op.GT, Op.GTE, Op.LT, Op.LTE)},
    Op.BETWEEN: [(bad, "") for bad in [*SCALARS, None, {}, [], [1], [1, 2, 3], [2, 1], ["b", "a"], [1, "a"], ["a", 1], [True, 2],
    [False, True]]]
    + [([1, bad], "[1]") for bad in NO_SCALARS] + [([bad, 1], "[0]") for bad in NO_SCALARS],
    **{key: [(bad, "") for bad in [*NO_SCALARS, 1, 1.5, True]] for key in (Op.CONTAINS, Op.STARTS_WITH)},
    **{key: [(bad, "") for bad in [*SCALARS, None, []]] for key in (Op.EXISTS, Op.NOT_EXISTS)},
}  # fmt: skip


@pytest.mark.parametrize(("op", "value"), [(op, value) for op, values in GOOD_VALUES.items() for value in values])
def test_an_operator_takes_its_kind_of_value(op: Op, value: Any) -> None:
    assert where_of({"property": "A", "op": op.value, "value": value}) == (
        Condition("A", op, tuple(value) if isinstance(value, list) else (value,)),
    )


@pytest.mark.parametrize(("op", "value", "item"), [(op, value, item) for op, values in BAD_VALUES.items() for value, item in values])
def test_an_operator_refuses_other_values(op: Op, value: Any, item: str) -> None:
    refused = errors(with_where({"property": "A", "op": "exists"}, {"property": "A", "op": op.value, "value": value}))
    assert refused == {(f"$.qualify.live.where[1].value{item}", "")}


@pytest.mark.parametrize("op", Op)
def test_a_value_is_needed_unless_the_operator_takes_none(op: Op) -> None:
    document = with_where({"property": "A", "op": op.value})
    if op in {Op.EXISTS, Op.NOT_EXISTS}:
        assert errors(document) == set()
    else:
        assert errors(document) == {("$.qualify.live.where[0].value", "")}


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"op": "exists"}, ".property"), ({"property": "", "op": "exists"}, ".property"), ({"property": "x" * 129, "op": "exists"},
        ".property"),
        ({"property": 5, "op": "exists"}, ".property"), ({"property": "A", "value": 1}, ".op"), ({"property": "A", "op": "=",
        "value": 1}, ".op"),
        ({"property": "A", "op": ["eq"], "value": 1}, ".op"), ("A", ""), (None, ""), ([], ""),
    ],
)  # fmt: skip
def test_a_condition_has_a_property_and_an_operator(condition: Any, path: str) -> None:
    assert errors(with_where(condition)) == {(f"$.qualify.live.where[0]{path}", "")}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1", 1), ("1.0", 1), ("1e3", 1000), ("-0.0", 0), ("0.1", 0.1), ("0.30000000000000004", 0.30000000000000004), ("1e-999", 0),
        ("0.1000000000000000055511151231257827", 0.1), ("9007199254740993", 9007199254740993), ("9007199254740993.0", 9007199254740992),
        ("12345678901234567890.0", 12345678901234567000), ("1e22", 10**22), ("1.7976931348623157e308", 17976931348623157 * 10**292),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)  # fmt: skip
def test_a_number_is_the_double_nearest_to_what_is_written_and_integers_are_exact(written: str, meant: float) -> None:
    text = f"kind: campaign\nid: c\nqualify: {{live: {{event: A, where: [{{property: P, op: eq, value: {written}}}]}}}}\n"
    read, problems = check_content(f"{text}reward: {{points: {{wallet: w, earn: {{flat: 1}}}}}}".encode(), "f", "UTC")
    assert not problems
    assert isinstance(read[0].document, Campaign)
    (value,) = read[0].document.qualify.where[0].values
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize("written", ["1e309", "-1e999999999", ".inf", "-.inf", ".nan", str(HUGE_INTEGER), "9" * 5000, "0x" + "f" * 300])
def test_a_number_beyond_a_double_is_an_error(written: str) -> None:
    text = f"kind: campaign\nid: c\nqualify: {{live: {{event: A, where: [{{property: P, op: eq, value: {written}}}]}}}}\n"
    text += f"reward: {{points: {{wallet: w, earn: {{flat: {written}}}, "
    text += f"metadata: [{{key: a, value: {written}}}], recurrence: {{day: {written}}}}}}}"
    _, problems = check_content(text.encode(), "f", "UTC")
    assert {problem.path for problem in problems} == {
        "$.qualify.live.where[0].value", f"$.{P}.earn.flat", f"$.{P}.metadata[0].value", f"$.{P}.recurrence.day",
    }  # fmt: skip
    assert all(len(problem.message) < 200 for problem in problems)


# Metadata


@pytest.mark.parametrize(
    ("rows", "path"),
    [
        ([{"key": "a", "value": 1}, {"key": " a\t", "value": 2}], "[1].key"), ([{"key": "event_id", "value": 1},
        {"system": "event_id"}], "[1].system"),
        ([{"system": "event_id"}, {"system": " event_id"}], "[1].system"), ([{"system": "event_id"}, {"key": "event_id",
        "from": "user.id"}], "[1].key"),
        ([{"key": "", "value": 1}], "[0].key"), ([{"key": "  ", "value": 1}], "[0].key"), ([{"key": 1, "value": 1}], "[0].key"),
        ([{"value": 1}], "[0].key"),
        ([{"from": "user.id"}], "[0].key"), ([{"key": "a"}], "[0]"), ([{}], "[0]"), ([{"key": "a", "value": 1, "from": "user.id"}], "[0]"),
        ([{"system": "event_id", "value": 1}], "[0]"), ([{"system": "event_id", "key": "a"}], "[0].key"), ([{"system": "user_id"}],
        "[0].system"),
        ([{"system": "user.id"}], "[0].system"), ([{"system": ""}], "[0].system"), ([{"system": " "}], "[0].system"),
        ([{"system": None}], "[0].system"),
        *[([{"key": "a", "value": bad}], "[0].value") for bad in [None, [], {}, HUGE_INTEGER]],
        *[
            ([{"key": "a", "from": bad}], "[0].from")
            for bad in ["event", "event.", "user.", "Event.A", " event.A", "campaign.start", "campaign", "grant.id", "", None, 1,
            "event." + "x" * 129]
        ],
        (["a"], "[0]"), ([None], "[0]"),
    ],
)  # fmt: skip
def test_a_row_of_metadata_has_one_key_of_its_own_and_one_source(rows: list[Any], path: str) -> None:
    assert errors(a_campaign({f"{P}.metadata": rows})) == {(f"$.{P}.metadata{path}", "R33")}


def test_a_property_named_id_of_an_event_is_no_fact() -> None:
    campaign = meaning(a_campaign({f"{P}.metadata": [{"key": "a", "from": "event.id"}, {"key": "b", "from": "event." + "x" * 128}]}))
    assert isinstance(campaign, Campaign)
    assert [row.source for row in campaign.reward.metadata] == [EventProperty("id"), EventProperty("x" * 128)]


# Instants


def test_an_instant_without_an_offset_is_in_the_campaigns_zone() -> None:
    def start(written: str, **zones: str) -> int | None:
        campaign = meaning(a_campaign({"when": {"start": written}, **zones}), zone="Asia/Kolkata")
        assert isinstance(campaign, Campaign)
        return campaign.when.start_ms

    assert start("2026-01-01T05:30") == 1_767_225_600_000
    assert start("2026-01-01T05:30", timezone="UTC") == 1_767_225_600_000 + 330 * 60_000
    assert start("2026-01-01T00:00Z") == start("2026-01-01 05:30:00.000") == start("2025-12-31T19:00-05:00")
    berlin = "Europe/Berlin"
    assert start("2026-03-29T02:30", timezone=berlin) == start("2026-03-29T01:00Z")  # skipped: the first valid instant after it
    assert start("2026-10-25T02:30", timezone=berlin) == start("2026-10-25T00:30Z")  # twice: the first


def test_every_violation_is_reported_in_one_run() -> None:
    rows = [
        row
        for row in REFUSED
        if row[1].count(".") > 1 and row[1].startswith(("$.when", "$.who", f"$.{P}.recurrence.day", f"$.{P}.max", f"$.{P}.wallet"))
    ]
    by_path = {
        path: (changes, path, rule)
        for changes, path, rule in rows
        if len(changes) == 1 and GONE not in changes.values() and "." in next(iter(changes))
    }
    together: dict[str, Any] = {}
    for changes, _, _ in by_path.values():
        together |= changes
    assert len(together) >= 6
    assert {(path, rule) for _, path, rule in by_path.values()} <= errors(a_campaign(together))


def test_amounts_are_exact() -> None:
    for written, milli in {
        "0.1": 100,
        "10.50": 10_500,
        "1e2": 100_000,
        "0.001": 1,
        "123456789012.345": 123456789012345,
        "1.0E-3": 1,
        "100.000000": 100_000,
    }.items():
        text = f"kind: campaign\nid: c\nqualify: {{live: {{event: A}}}}\nreward: {{points: {{wallet: w, earn: {{flat: {written}}}}}}}"
        read, problems = check_content(text.encode(), "f", "UTC")
        assert not problems
        assert msgspec.to_builtins(read[0].document)["reward"]["earn"] == msgspec.to_builtins(Flat(milli))


def test_messages_name_the_value_and_what_is_right() -> None:
    for changes, path, _ in REFUSED:
        for problem in problems_of(WALLET, a_campaign(changes)):
            assert problem.text.isprintable()
            assert len(problem.text) < 400, path
            assert re.match(r"f\.json: \$\S*: .+", problem.text)
