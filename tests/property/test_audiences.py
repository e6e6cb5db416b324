"""Audiences, by what is remembered of a user, against the whole history of that user (documents, who; R5-R10, R72)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.behaviour import occurrences
from livepromo.behaviour.audiences import compile_audience
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
    Span,
    Within,
)
from livepromo.model.conditions import Condition, Op
from livepromo.model.documents import Segment
from livepromo.model.ids import CampaignId, UserId, sampled

pytestmark = pytest.mark.timeout(300)  # a thousand histories, on a machine that has other things to do

T = 1_764_547_200_000
LATENESS = 20
CAMPAIGN = CampaignId("c")
Document = dict[str, Any]

NAMES = ("A", "A", "A", "B")
VALUES = ("x", "y", 1, 1.0, True, "1", 2**70, 0.5)
FEW = st.sampled_from(["x", "x", "y", None])
FOUND = st.one_of(FEW, FEW, st.sampled_from([1, True, "1", 2**70, 0.5, ["x"], {}]))
PROPERTIES = st.fixed_dictionaries({"p": FOUND, "q": FEW})
WITHINS = st.one_of(
    st.none(),
    st.sampled_from([1, 3, 5, 10, 20, 60]),
    st.tuples(st.integers(0, 60), st.integers(1, 60)).map(lambda span: {"from": T + span[0], "to": T + span[0] + span[1]}),
)
WHERES = st.sampled_from([[], [], [], [{"property": "q", "op": "eq", "value": "x"}], [{"property": "p", "op": "exists"}]])
EVENTS = st.sampled_from(["A", "A", "A", "B", ["A", "B"], ["B", "A"]])
COUNTS = st.one_of(
    st.none(),
    st.integers(1, 3).map(lambda n: {"gte": n}),
    st.builds(lambda op, n: {op: n}, st.sampled_from(["eq", "gte", "gt", "lte", "lt"]), st.integers(0, 4)),
    st.builds(lambda low, more: {"between": [low, low + more]}, st.integers(0, 3), st.integers(0, 3)),
)


@st.composite
def did(draw: st.DrawFn) -> Document:
    leaf = {"event": draw(EVENTS), "where": draw(WHERES), "within": draw(WITHINS), "count": draw(COUNTS)}
    return {"did": {name: value for name, value in leaf.items() if value is not None}}


@st.composite
def did_not(draw: st.DrawFn) -> Document:
    leaf = {"event": draw(EVENTS), "where": draw(WHERES), "within": draw(WITHINS)}
    return {"did_not": {name: value for name, value in leaf.items() if value is not None}}


@st.composite
def interest(draw: st.DrawFn) -> Document:
    share = draw(st.one_of(st.just("predominantly"), st.sampled_from([0.001, 33.333, 33.334, 50, 100])))
    leaf = {
        "event": draw(st.sampled_from(NAMES)),
        "property": "p",
        "value": draw(st.one_of(st.just("x"), st.sampled_from(VALUES))),
        "share": share,
    }
    within = draw(WITHINS)
    return {"interest": {**leaf, **({} if within is None else {"within": within})}}


SIMPLE = st.one_of(
    st.sampled_from(
        [{"segment": "fed"}, {"segment": "saved"}, {"list": "vip"}, {"sample": 50}, {"property": "plan", "op": "eq", "value": 1}]
    )
)
DONE = st.one_of(did(), did(), did_not(), interest())
LEAVES = st.one_of(DONE, DONE, DONE, SIMPLE)


@st.composite
def same_groups(draw: st.DrawFn, members: st.SearchStrategy[Document]) -> Document:
    some = draw(st.lists(did(), min_size=1, max_size=3)) + draw(st.lists(st.one_of(did_not(), members), max_size=2))
    return {"all": draw(st.permutations(some)), "same": draw(st.sampled_from([["p"], ["p", "q"]]))}


def groups(members: st.SearchStrategy[Document]) -> st.SearchStrategy[Document]:
    several = st.lists(members, min_size=1, max_size=3)
    return st.one_of(same_groups(members), *(several.map(lambda some, kind=kind: {kind: some}) for kind in ("all", "any", "none")))


WHO = st.one_of(LEAVES, same_groups(LEAVES), st.recursive(LEAVES, groups, max_leaves=6))


def within_of(leaf: Document) -> Within | None:
    within = leaf.get("within")
    return Span(within["from"], within["to"]) if isinstance(within, dict) else None if within is None else Back(within)


def condition_of(one: Document) -> Condition:
    return Condition(one["property"], Op(one["op"]), (one["value"],) if "value" in one else ())


def audience_of(who: Document) -> Audience:
    """What the document means, as the noun."""
    [kind] = {"all", "any", "none", "did", "did_not", "interest", "segment", "list", "sample", "property"} & who.keys()
    body = who[kind]
    match kind:
        case "all":
            return AllOf(tuple(map(audience_of, body)), tuple(sorted(who.get("same", ()))))
        case "any":
            return AnyOf(tuple(map(audience_of, body)))
        case "none":
            return NoneOf(tuple(map(audience_of, body)))
        case "segment":
            return InSegment(body)
        case "list":
            return OnList(body)
        case "sample":
            return Sample(round(body * 1000))
        case "property":
            return HasProperty(condition_of(who))
        case "interest":
            share = None if body["share"] == "predominantly" else round(Fraction(str(body["share"])) * 1000)
            return Interest(body["event"], body["property"], body["value"], share, within_of(body))
    events = (body["event"],) if isinstance(body["event"], str) else tuple(body["event"])
    where = tuple(map(condition_of, body["where"]))
    if kind == "did_not":
        return DidNot(events, where, within_of(body))
    [(op, counted)] = body.get("count", {"gte": 1}).items()
    return Did(events, where, Count(Op(op), tuple(counted) if op == "between" else (counted,)), within_of(body))


class Recount:
    """One user's whole history, and who that is, by the words of the documents."""

    def __init__(self, user: str, profile: Document, memberships: set[str], segments: Document) -> None:
        self.user, self.profile, self.memberships, self.segments = user, profile, memberships, segments
        self.history: list[tuple[str, int, Document]] = []

    def is_meant(self, who: Document, at: int) -> bool:
        if "any" in who:
            return any(self.is_meant(one, at) for one in who["any"])
        if "none" in who:
            return not any(self.is_meant(one, at) for one in who["none"])
        if "all" in who:
            same = who.get("same", [])
            own = [one for one in who["all"] if same and ("did" in one or "did_not" in one)]
            return all(self.is_meant(one, at) for one in who["all"] if one not in own) and (not same or self.same(own, same, at))
        if "segment" in who:
            saved = self.segments[who["segment"]]
            return who["segment"] in self.memberships if saved is None else self.is_meant(saved, at)
        if "list" in who:
            return "list/" + who["list"] in self.memberships
        if "sample" in who:
            return sampled(CAMPAIGN, UserId(self.user), round(who["sample"] * 1000))
        if "property" in who:
            return identity(self.profile.get(who["property"])) == identity(who["value"])
        if "interest" in who:
            return self.interested(who["interest"], at)
        if "did_not" in who:
            return not self.done(who["did_not"], at)
        return often(len(self.done(who["did"], at)), who["did"])

    def done(self, leaf: Document, at: int) -> list[Document]:
        within = leaf.get("within")
        names = [leaf["event"]] if isinstance(leaf["event"], str) else leaf["event"]
        found = []
        for name, time, properties in self.history:
            inside = within["from"] <= time < within["to"] if isinstance(within, dict) else within is None or at - within <= time
            if name in names and time <= at and inside and all(fits(one, properties) for one in leaf.get("where", [])):
                found.append(properties)
        return found

    def interested(self, leaf: Document, at: int) -> bool:
        shown = [identity(properties.get(leaf["property"])) for properties in self.done(leaf, at)]
        wanted = shown.count(identity(leaf["value"]))
        if leaf["share"] == "predominantly":
            return wanted > 0 and all(shown.count(other) < wanted for other in shown if other not in (None, identity(leaf["value"])))
        return wanted > 0 and Fraction(wanted, len(shown)) >= Fraction(str(leaf["share"])) / 100

    def same(self, own: list[Document], names: list[str], at: int) -> bool:
        def values(leaf: Document) -> list[tuple[Any, ...]]:
            found = [tuple(identity(properties.get(name)) for name in names) for properties in self.done(leaf, at)]
            return [value for value in found if None not in value]

        did = [(values(one["did"]), one["did"]) for one in own if "did" in one]
        not_done = [value for one in own if "did_not" in one for value in values(one["did_not"])]
        occurring = {value for found, _ in did for value in found}
        return any(value not in not_done and all(often(found.count(value), leaf) for found, leaf in did) for value in occurring)


def identity(value: Any) -> tuple[str, Any] | None:
    """A value with its type; None where it is no value."""
    if value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, bool):
        return "boolean", value
    return ("string", value) if isinstance(value, str) else ("number", Fraction(value))


def fits(condition: Document, properties: Document) -> bool:
    found = identity(properties.get(condition["property"]))
    return found is not None and (condition["op"] == "exists" or found == identity(condition["value"]))


def often(times: int, leaf: Document) -> bool:
    [(op, n)] = leaf.get("count", {"gte": 1}).items()
    match op:
        case "eq":
            return times == n
        case "gte":
            return times >= n
        case "gt":
            return times > n
        case "lte":
            return times <= n
        case "lt":
            return times < n
    return n[0] <= times <= n[1]


class Keeping:
    """A user's occurrences as a worker keeps them: by rule, and in a journal that is written where a chunk is another object."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.kept: dict[bytes, Remembered] = {}
        self.journal: dict[tuple[bytes, int], bytes] = {}
        self.stream_ms = T

    def take(self, name: str, time_ms: int, properties: Document) -> None:
        self.stream_ms = max(self.stream_ms, time_ms)
        for rule in self.rules:
            if name in rule.events:
                before = self.kept.get(rule.key)
                after = noted(before, rule, time_ms, properties, self.stream_ms, LATENESS)
                if after is not before:
                    assert after is not None
                    assert after != before
                    self.kept[rule.key] = after
                    self._write(rule.key, before, after)

    def _write(self, key: bytes, before: Remembered | None, after: Remembered) -> None:
        first, chunks = (0, ()) if before is None else before
        known = dict(enumerate(chunks, first))
        new = dict(enumerate(after.chunks, after.first))
        for number in known.keys() - new.keys():
            del self.journal[key, number]
        written = [number for number, chunk in new.items() if known.get(number) is not chunk]
        assert len(written) <= 4  # what is changed, split off, recycled, and moved by that: however many there are
        for number in written:
            self.journal[key, number] = new[number]
        assert {number: chunk for (of, number), chunk in self.journal.items() if of == key} == new

    def of(self, rule: Rule) -> Remembered | None:
        assert rule in self.rules
        return self.kept.get(rule.key)


# By how much an event is ahead of stream time; behind it by more than may be late is what a scan of the history finds.
STEPS = st.one_of(st.integers(-2, 6), st.sampled_from([0, 1, LATENESS, 3 * LATENESS]), st.integers(-LATENESS, 0), st.integers(-100, 0))
ARRIVALS = st.lists(
    st.tuples(st.sampled_from(NAMES), STEPS, PROPERTIES, st.sampled_from([1, 1, 1, 1, 2, 5])),
    min_size=6,
    max_size=30,
)
SEGMENTS = st.fixed_dictionaries({"fed": st.none(), "saved": st.one_of(DONE, DONE, st.just({"sample": 50}), same_groups(DONE))})
PROFILES = st.sampled_from([{"plan": 1}, {"plan": 1.0}, {"plan": True}, {"plan": "1"}, {}])
MEMBERSHIPS = st.sets(st.sampled_from(["fed", "saved", "list/vip", "vip"]))
USERS = st.sampled_from(["u1", "u2", "u3"])


def lengths_of(who: Document) -> set[int]:
    """The look-backs in a document, whose edges are of interest."""
    found = {body["within"] for body in who.values() if isinstance(body, dict) and isinstance(body.get("within"), int)}
    return found.union(*(lengths_of(one) for body in who.values() if isinstance(body, list) for one in body if isinstance(one, dict)))


def judge(who: Document, recount: Recount, arrivals: list[tuple[str, int, Document, int]], rows: int, seed: int) -> None:
    """Note the arrivals one by one and ask after each, at several instants that are still to be decided, who is meant."""
    segments = {name: Segment(name, None if one is None else audience_of(one)) for name, one in recount.segments.items()}
    compiled = compile_audience(audience_of(who), CAMPAIGN, segments)
    keeping = Keeping(compiled.rules)
    lengths = sorted({0} | lengths_of(who).union(*map(lengths_of, filter(None, recount.segments.values()))))
    with patch.object(occurrences, "ROWS_IN_A_CHUNK", rows):
        for place, (name, step, properties, times) in enumerate(arrivals, seed):
            time = max(T, keeping.stream_ms + step)
            for _ in range(times):
                keeping.take(name, time, {key: value for key, value in properties.items() if value is not None})
                recount.history.append((name, time, properties))
            first = keeping.stream_ms - LATENESS
            edges = {at for _, time, _ in recount.history for length in lengths for at in range(time + length - 1, time + length + 2)}
            interesting = sorted(at for at in edges if at > first)
            # Not drawn: hypothesis would spend its time on what does not matter.
            for at in (first, *(interesting[(place * 7919 + n * 104729) % len(interesting)] for n in range(6 if interesting else 0))):
                meant = compiled.holds(UserId(recount.user), recount.profile, recount.memberships, keeping.of, at)
                assert meant is recount.is_meant(who, at), (at - T, keeping.stream_ms - T)
                note(f"meant: {meant}")


@settings(max_examples=300, deadline=None)
@given(DONE, ARRIVALS, st.sampled_from([2, 3, 64]), st.integers(0, 100))
def test_what_was_done_is_told_from_what_is_remembered_as_from_the_whole_history(
    who: Document, arrivals: list[tuple[str, int, Document, int]], rows: int, seed: int
) -> None:
    judge(who, Recount("u1", {}, set(), {}), arrivals, rows, seed)


@settings(max_examples=300, deadline=None)
@given(same_groups(DONE), ARRIVALS, st.sampled_from([2, 3, 64]), st.integers(0, 100))
def test_the_same_is_told_from_what_is_remembered_as_from_the_whole_history(
    who: Document, arrivals: list[tuple[str, int, Document, int]], rows: int, seed: int
) -> None:
    judge(who, Recount("u1", {}, set(), {}), arrivals, rows, seed)


@settings(max_examples=300, deadline=None)
@given(WHO, st.builds(Recount, USERS, PROFILES, MEMBERSHIPS, SEGMENTS), ARRIVALS, st.sampled_from([2, 3, 64]), st.integers(0, 100))
def test_who_is_meant_is_what_the_whole_history_says(
    who: Document, recount: Recount, arrivals: list[tuple[str, int, Document, int]], rows: int, seed: int
) -> None:
    judge(who, recount, arrivals, rows, seed)


@settings(max_examples=300, deadline=None)
@given(st.one_of(DONE, same_groups(DONE)), ARRIVALS, st.sampled_from([2, 3, 64]), st.integers(-10, 80))
def test_a_send_is_decided_as_of_its_time_however_late(
    who: Document, arrivals: list[tuple[str, int, Document, int]], rows: int, sent: int
) -> None:
    compiled = compile_audience(audience_of(who), CAMPAIGN, {}, sent_ms=T + sent)
    recount, keeping = Recount("u1", {}, set(), {}), Keeping(compiled.rules)
    with patch.object(occurrences, "ROWS_IN_A_CHUNK", rows):
        for name, step, properties, times in arrivals:
            time = max(T, keeping.stream_ms + step)
            for _ in range(times):
                keeping.take(name, time, {key: value for key, value in properties.items() if value is not None})
                recount.history.append((name, time, properties))
            assert compiled.holds(UserId("u1"), {}, set(), keeping.of, T + sent) is recount.is_meant(who, T + sent)
