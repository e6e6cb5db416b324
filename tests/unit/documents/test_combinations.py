"""What may be combined: every reward type and scheme, past, list and live, with every set of options, against the table of the rules."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from itertools import combinations, product
from typing import Any

import pytest

from livepromo.documents.checking import check_document
from livepromo.documents.reading import ReadDocument
from livepromo.model.documents import Campaign, Favor, Points, Random
from unit.documents.builders import WALLET, P, a_campaign, found, meaning

SCHEMES: dict[str, dict[str, Any]] = {
    "flat": {"flat": 100},
    "percent": {"percent": 10, "of": "Amount"},
    "per": {"points": 10, "per": 100, "of": "Amount"},
    "random": {"random": {"min": 10, "max": 50, "favor": "avg"}},
}
GIVEN: dict[str, dict[str, Any]] = {
    **{f"points {scheme}": {"points": {"wallet": "grocery", "earn": earn}} for scheme, earn in SCHEMES.items()},
    "coupon single": {"coupon": {"type": "single", "coupon": "one"}},
    "coupon bulk": {"coupon": {"type": "bulk", "coupon": "many"}},
    "voucher": {"voucher": {"partner": "amazon", "list_tag": "Holiday2025"}},
    "item": {"custom": {"endpoint": "api", "item": "watch"}},
    **{
        f"credits {scheme}": {"custom": {"endpoint": "api", "credits": {"wallet": "ext", "earn": earn}}} for scheme, earn in SCHEMES.items()
    },
}
QUALIFY: dict[str, dict[str, Any]] = {"live": {"live": {"event": "Charged"}}, "past": {"past": {}}, "list": {"list": "vip"}}
CAMPAIGNS = list(product(GIVEN, QUALIFY))
REWARD_OPTIONS: dict[str, Any] = {
    "max_per_reward": 50,
    "recurrence": {"day": 1},
    "budget.campaign": 100,
    "budget.user": 10,
    "budget.day": 5,
    "on_insufficient": "reject",
    "validity": {"expire_after": "1d"},
    "redeem_after": "48h",
    "max_per_user": 1,
    "max_per_campaign": 5,
    "identifiers": {"email": "mail"},
    "metadata": [{"key": "a", "value": 1}],
}
TIME_OPTIONS: dict[str, Any] = {
    "who": {"sample": 5},
    "when.start": "2026-01-01T00:00",
    "when.end": "2027-01-01T00:00",
    "when.send": "2026-06-01T00:00",
    "qualify.live.where": [],
    "qualify.live.unless": {"event": "Paid", "within": "30m"},
    "qualify.live.same": ["Product ID"],
    "qualify.live.retrigger": "restart",
    "qualify.live.unless.grace": "5s",
}


def sets_of(options: Iterable[str]) -> Iterator[frozenset[str]]:
    names = list(options)
    for count in range(len(names) + 1):
        yield from map(frozenset, combinations(names, count))


def refused_options(given: str, qualify: str, options: frozenset[str]) -> set[str]:
    """Restate the table: what of the reward's options, and of its scheme, may not stand there."""
    kind, _, scheme = given.partition(" ")
    sent, amounts = qualify != "live", kind in {"points", "credits"}
    allowed = {
        "max_per_reward": amounts and not sent and scheme in {"percent", "per"},
        "recurrence": kind in {"item", "credits"} or (kind == "points" and not sent),
        "budget": kind in {"item", "credits"} or (kind == "points" and not sent),
        "metadata": kind in {"points", "item", "credits"},
        "validity": kind == "points",
        "redeem_after": kind == "coupon",
        "max_per_user": kind in {"coupon", "voucher"} and not sent,
        "max_per_campaign": kind in {"coupon", "voucher"} and not sent,
        "identifiers": kind in {"item", "credits"},
    }
    has_budget = any(option.startswith("budget.") for option in options)
    allowed["on_insufficient"] = amounts and allowed["budget"] and has_budget
    allowed["budget.campaign"] = allowed["budget"]
    allowed["budget.user"] = allowed["budget"] and amounts and not (kind == "credits" and scheme == "flat")
    allowed["budget.day"] = kind == "item"
    wrong = {option for option in options if not allowed[option]}
    if scheme in {"percent", "per"} and sent:
        wrong.add("earn")
    return wrong


def place_of(given: str, option: str, qualify: str) -> str:
    """Return the path at which the error is: an option's own, or that of the mapping that does not belong there."""
    kind, _, scheme = given.partition(" ")
    reward = f"$.reward.{'custom' if kind in {'item', 'credits'} else kind}"
    if option == "earn":
        return f"{reward}{'.credits' if kind == 'credits' else ''}.earn.{scheme}"
    if option.startswith("budget.") and (kind in {"coupon", "voucher"} or (kind == "points" and qualify != "live")):
        return f"{reward}.budget"
    if option == "max_per_reward" and kind == "credits":
        return f"{reward}.credits.max_per_reward"
    return f"{reward}.{option}"


def put(document: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    at = document
    for name in outer:
        at = at.setdefault(name, {})
    at[last] = copy.copy(value)


def refused_paths(document: dict[str, Any]) -> set[str]:
    _, problems = check_document(ReadDocument("f", "campaign/c", document, {}), "UTC")
    return {problem.path for problem in problems}


def campaign(given: str, qualify: str) -> dict[str, Any]:
    document = {"kind": "campaign", "id": "c", "qualify": QUALIFY[qualify], "reward": GIVEN[given]}
    return copy.deepcopy({**document, "who": {"sample": 5}} if qualify == "past" else document)


@pytest.mark.parametrize(("given", "qualify"), CAMPAIGNS)
def test_the_options_of_a_reward_are_those_of_the_table(given: str, qualify: str) -> None:
    base = campaign(given, qualify)
    (kind,) = base["reward"]
    tried = 0
    for options in sets_of(REWARD_OPTIONS):
        document = {**base, "reward": copy.deepcopy(base["reward"])}
        for option in options:
            inside = "credits." if option == "max_per_reward" and given.startswith("credits") else ""
            put(document["reward"][kind], inside + option, REWARD_OPTIONS[option])
        wrong = refused_options(given, qualify, options)
        assert refused_paths(document) == {place_of(given, option, qualify) for option in wrong}, (options, wrong)
        tried += 1
    print(f"{given}, {qualify}: {tried} combinations of {len(GIVEN) * len(QUALIFY) * tried}")
    assert tried == 2 ** len(REWARD_OPTIONS)


def refused_times(qualify: str, options: frozenset[str]) -> set[str]:
    """Restate the table: who, what qualifies, and when."""
    live = qualify == "live"
    wrong = {option for option in options if option in {"when.start", "when.end"} and not live}
    wrong |= {"when.send"} & options if live else set()
    if qualify == "past" and "who" not in options:
        wrong.add("who")
    of_live = {option for option in options if option.startswith("qualify.live.")}
    if live and not {"qualify.live.unless", "qualify.live.unless.grace"} & options:
        wrong |= {"qualify.live.same", "qualify.live.retrigger"} & options
    if live and "qualify.live.unless.grace" in options and "qualify.live.unless" not in options:
        wrong |= {"qualify.live.unless.event", "qualify.live.unless.within"}  # put there alone: both are missing
    return {"qualify"} | wrong if of_live and not live else wrong


@pytest.mark.parametrize(("given", "qualify"), CAMPAIGNS)
def test_who_and_what_qualifies_and_when_is_as_in_the_table(given: str, qualify: str) -> None:
    base = campaign(given, qualify)
    base.pop("who", None)
    unrefused = refused_options(given, qualify, frozenset())
    for options in sets_of(TIME_OPTIONS):
        document = {**base, "qualify": copy.deepcopy(base["qualify"])}
        for option in sorted(options):
            put(document, option, TIME_OPTIONS[option])
        both = any(option.startswith("qualify.live.") for option in options) and qualify != "live"
        expected = refused_times(qualify, options)
        if both:  # two kinds of qualification at once: said, and what hangs on it is not judged
            assert "$.qualify" in refused_paths(document)
        else:
            assert refused_paths(document) == {f"$.{path}" for path in expected} | {place_of(given, one, qualify) for one in unrefused}, (
                options
            )


@pytest.mark.parametrize(("given", "qualify"), CAMPAIGNS)
@pytest.mark.parametrize("written", ["outside", "left out"])
def test_favor_belongs_to_random_and_is_required_there(given: str, qualify: str, written: str) -> None:
    kind, _, scheme = given.partition(" ")
    document = campaign(given, qualify)
    if scheme not in SCHEMES:
        return
    inner = document["reward"]["points"] if kind == "points" else document["reward"]["custom"]["credits"]
    path = f"$.reward.{'points' if kind == 'points' else 'custom.credits'}.earn"
    expected = {place_of(given, one, qualify) for one in refused_options(given, qualify, frozenset())}
    if written == "outside":
        inner["earn"]["favor"] = "min"
        expected.add(f"{path}.favor")
    elif scheme == "random":
        del inner["earn"]["random"]["favor"]
        expected.add(f"{path}.random.favor")
    assert refused_paths(document) == expected


@pytest.mark.parametrize(
    "rewards", [names for count in (2, 3, 4) for names in combinations(("points", "coupon", "voucher", "custom"), count)]
)
def test_exactly_one_reward_type(rewards: tuple[str, ...]) -> None:
    of_type = {"points": "points flat", "coupon": "coupon bulk", "voucher": "voucher", "custom": "item"}
    together: dict[str, Any] = {}
    for name in rewards:
        together |= GIVEN[of_type[name]]
    assert refused_paths({**campaign("voucher", "live"), "reward": together}) == {"$.reward"}


def test_exactly_one_kind_of_qualification() -> None:
    for count in (0, 2, 3):
        for names in combinations(QUALIFY, count):
            together: dict[str, Any] = {}
            for name in names:
                together |= QUALIFY[name]
            assert refused_paths({**campaign("item", "live"), "qualify": together}) == {"$.qualify"}


def test_an_item_and_credits_exclude_one_another_and_one_is_wanted() -> None:
    both = campaign("credits percent", "live")
    both["reward"]["custom"]["item"] = "watch"
    assert refused_paths(both) == {"$.reward.custom"}
    none = campaign("item", "live")
    del none["reward"]["custom"]["item"]
    assert refused_paths(none) == {"$.reward.custom"}


@pytest.mark.parametrize("pair", [*combinations(SCHEMES, 2), *combinations(SCHEMES, 3), tuple(SCHEMES)])
@pytest.mark.parametrize("given", ["points flat", "credits flat"])
def test_exactly_one_earning_scheme(pair: tuple[str, ...], given: str) -> None:
    earn: dict[str, Any] = {}
    for scheme in pair:
        earn |= SCHEMES[scheme]
    document = campaign(given, "live")
    if given == "points flat":
        document["reward"]["points"]["earn"] = earn
        assert refused_paths(document) == {"$.reward.points.earn"}
    else:
        document["reward"]["custom"]["credits"]["earn"] = earn
        assert refused_paths(document) == {"$.reward.custom.credits.earn"}


@pytest.mark.parametrize("scheme", ["flat", "random"])
def test_of_belongs_to_percent_and_per(scheme: str) -> None:
    rule = {"flat": "R20", "random": "R23"}[scheme]
    document = a_campaign({f"{P}.earn": {**SCHEMES[scheme], "of": "Amount"}})
    assert found(WALLET, document) == {(f"$.{P}.earn.of", rule)}


@pytest.mark.parametrize("favor", Favor)
def test_random_has_a_favor(favor: Favor) -> None:
    campaign = meaning(a_campaign({f"{P}.earn": {"random": {"min": 1, "max": 2.5, "favor": favor.value}}}))
    assert isinstance(campaign, Campaign)
    assert isinstance(campaign.reward, Points)
    assert campaign.reward.earn == Random(1_000, 2_500, favor)
