"""Whether a user is in an audience when a decision is made; compiled once per revision."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from operator import itemgetter
from typing import Any, assert_never

import msgspec

from livepromo.behaviour.conditions import compile_condition
from livepromo.behaviour.occurrences import NO_VALUE, Remembered, Rule, rule_for, times_by_value, times_done, value_of
from livepromo.model.audiences import (
    AllOf,
    AnyOf,
    Audience,
    Did,
    DidNot,
    HasProperty,
    InSegment,
    Interest,
    NoneOf,
    OnList,
    Sample,
)
from livepromo.model.conditions import Op
from livepromo.model.documents import Segment
from livepromo.model.ids import CampaignId, UserId, sampled

Memory = Callable[[Rule], Remembered | None]
"""What is remembered of the user for a rule."""

Test = Callable[[UserId, Mapping[str, Any], Collection[str], Memory, int], bool]
"""Whether a user with these properties, fed segments (and `list/ID` for lists) and this history is meant, by a decision at an instant."""

Costed = tuple[int, Test]

LIST_PREFIX = "list/"
_WHOLE_MILLI = 100_000
_NO_LIMIT = 1 << 62

# What a test costs, about: those that are cheap come first.
_LOOK_UP, _HASH, _COUNT, _SHARES, _SAME = range(5)
_cost = itemgetter(0)


class CompiledAudience(msgspec.Struct, frozen=True):
    """An audience of one campaign, and the rules whose occurrences have to be remembered for it, each once."""

    rules: tuple[Rule, ...]
    holds: Test


def _always(_user: UserId, _properties: Mapping[str, Any], _segments: Collection[str], _remembered: Memory, _at_ms: int) -> bool:
    return True


def _never(_user: UserId, _properties: Mapping[str, Any], _segments: Collection[str], _remembered: Memory, _at_ms: int) -> bool:
    return False


def compile_audience(
    audience: Audience | None, campaign: CampaignId, segments: Mapping[str, Segment], *, sent_ms: int | None = None
) -> CompiledAudience:
    """Return what says who is meant; None is everyone. `segments` are the saved ones by id, at least all that are referred to.

    `sent_ms`: when a campaign that is sent decides, whenever it is asked; `holds` is then only asked about that instant.
    """
    compiler = _Compiler(campaign, segments, sent_ms)
    _, holds = (_LOOK_UP, _always) if audience is None else compiler.test(audience)
    return CompiledAudience(tuple(compiler.rules), holds)


class _Compiler:
    """Compiles one audience, segments that are audiences themselves included, and collects its rules."""

    def __init__(self, campaign: CampaignId, segments: Mapping[str, Segment], sent_ms: int | None) -> None:
        self._campaign = campaign
        self._segments = segments
        self._sent_ms = sent_ms
        self._saved: dict[str, Costed] = {}
        self.rules: dict[Rule, None] = {}

    def test(self, audience: Audience) -> Costed:  # noqa: C901 - a case a kind
        """Return what an audience's test costs, and the test."""
        match audience:
            case AllOf():
                return self._all_of(audience)
            case AnyOf():
                return _any_of([self.test(member) for member in audience.members])
            case NoneOf():
                cost, some = _any_of([self.test(member) for member in audience.members])
                return cost, lambda *asked: not some(*asked)
            case Did() | DidNot():
                low, high = _bounds(audience)
                if low <= 0 and high is None:
                    return _LOOK_UP, _always
                if high is not None and high < low:
                    return _LOOK_UP, _never
                return _COUNT, _did(self._rule(audience, (), _most(low, high)), low, high)
            case InSegment(segment):
                return self._in_segment(segment)
            case OnList():
                return _LOOK_UP, _member(LIST_PREFIX + audience.list)
            case HasProperty():
                holds = compile_condition(audience.condition)
                return _LOOK_UP, lambda _user, properties, _segments, _remembered, _at_ms: holds(properties)
            case Interest():
                rule = self._kept(
                    rule_for((audience.event,), (), audience.within, apart=(audience.property,), most=None, sent_ms=self._sent_ms)
                )
                return _SHARES, _interested(rule, audience)
            case Sample():
                campaign, milli = self._campaign, audience.percent_milli
                return _HASH, lambda user, _properties, _segments, _remembered, _at_ms: sampled(campaign, user, milli)
            case _:
                assert_never(audience)

    def _kept(self, rule: Rule) -> Rule:
        self.rules.setdefault(rule)
        return rule

    def _rule(self, leaf: Did | DidNot, apart: tuple[str, ...], most: int) -> Rule:
        return self._kept(rule_for(leaf.events, leaf.where, leaf.within, apart=apart, most=most, sent_ms=self._sent_ms))

    def _in_segment(self, segment: str) -> Costed:
        """A segment that is an audience is judged as if it stood here, also in its samples; one that is fed is looked up."""
        found = self._saved.get(segment)
        if found is None:
            who = self._segments[segment].who
            found = self._saved[segment] = (_LOOK_UP, _member(segment)) if who is None else self.test(who)
        return found

    def _all_of(self, group: AllOf) -> Costed:
        if not group.same:
            return _all_of([self.test(member) for member in group.members])
        did = [member for member in group.members if isinstance(member, Did)]
        did_not = [member for member in group.members if isinstance(member, DidNot)]
        tests = [self.test(member) for member in group.members if not isinstance(member, Did | DidNot)]
        counted = []
        for leaf in did:
            low, high = _bounds(leaf)
            # A value is looked for among those that occur, so one occurrence has to be known even where none would do.
            counted.append((self._rule(leaf, group.same, max(1, _most(low, high))), low, _NO_LIMIT if high is None else high))
        never = [self._rule(leaf, group.same, 1) for leaf in did_not]
        return _all_of([*tests, (_SAME, _did_the_same(counted, never))])


def _bounds(leaf: Did | DidNot) -> tuple[int, int | None]:
    """Return between which numbers, both included, it has to be done; None is no limit."""
    if isinstance(leaf, DidNot):
        return 0, 0
    values = leaf.count.values
    match leaf.count.op:
        case Op.EQ:
            return values[0], values[0]
        case Op.GTE:
            return values[0], None
        case Op.GT:
            return values[0] + 1, None
        case Op.LT:
            return 0, values[0] - 1
        case Op.LTE:
            return 0, values[0]
        case _:
            assert leaf.count.op is Op.BETWEEN, leaf
            return values[0], values[1]


def _most(low: int, high: int | None) -> int:
    """Return the number from which on more make no difference to these bounds."""
    return low if high is None else high + 1


def _all_of(tests: list[Costed]) -> Costed:
    tests.sort(key=_cost)
    cost = tests[-1][0]
    match [holds for _, holds in tests]:
        case [only]:
            return cost, only
        case [first, second]:
            return cost, lambda *asked: first(*asked) and second(*asked)
        case each:

            def all_hold(*asked: Any) -> bool:  # noqa: ANN401 - what a test is asked
                for holds in each:  # noqa: SIM110 - all() over a generator takes twice as long
                    if not holds(*asked):
                        return False
                return True

            return cost, all_hold


def _any_of(tests: list[Costed]) -> Costed:
    tests.sort(key=_cost)
    cost = tests[-1][0]
    each = [holds for _, holds in tests]
    if len(each) == 1:
        return cost, each[0]

    def some_hold(*asked: Any) -> bool:  # noqa: ANN401 - what a test is asked
        for holds in each:  # noqa: SIM110 - any() over a generator takes twice as long
            if holds(*asked):
                return True
        return False

    return cost, some_hold


def _member(segment: str) -> Test:
    return lambda _user, _properties, segments, _remembered, _at_ms: segment in segments


def _did(rule: Rule, low: int, high: int | None) -> Test:
    if high is None:
        return lambda _user, _properties, _segments, remembered, at_ms: times_done(rule, remembered(rule), at_ms) >= low
    return lambda _user, _properties, _segments, remembered, at_ms: low <= times_done(rule, remembered(rule), at_ms) <= high


def _interested(rule: Rule, interest: Interest) -> Test:
    value = value_of((interest.value,))
    assert value is not None, interest
    share_milli = interest.share_milli

    def holds(_user: UserId, _properties: Mapping[str, Any], _segments: Collection[str], remembered: Memory, at_ms: int) -> bool:
        counts = times_by_value(rule, remembered(rule), at_ms)
        shown = counts.pop(value, 0)
        if not shown:
            return False
        if share_milli is not None:
            return shown * _WHOLE_MILLI >= share_milli * (shown + sum(counts.values()))
        counts.pop(NO_VALUE, None)
        return all(shown > count for count in counts.values())

    return holds


def _did_the_same(counted: list[tuple[Rule, int, int]], never: list[Rule]) -> Test:
    """Return whether all counts hold for one and the same value that occurs, and nothing of `never` was done with it (R10)."""
    counted.sort(key=lambda one: not one[1])  # stable: those that nobody satisfies who never did it come first

    def holds(_user: UserId, _properties: Mapping[str, Any], _segments: Collection[str], remembered: Memory, at_ms: int) -> bool:
        tables = []
        for rule, low, _ in counted:
            counts = times_by_value(rule, remembered(rule), at_ms)
            if low > 0 and not counts:
                return False
            tables.append(counts)
        values = set().union(*tables)
        for (_, low, high), counts in zip(counted, tables, strict=True):
            values = {value for value in values if low <= counts.get(value, 0) <= high}
        for rule in never:
            if not values:
                return False
            values.difference_update(times_by_value(rule, remembered(rule), at_ms))
        return bool(values)

    return holds
