"""The fields of `who`: groups of audiences, and the leaves that say who a user is and what they did (R5-R10, R72)."""

from __future__ import annotations

from datetime import tzinfo

from livepromo.documents.conditions import condition_of, conditions
from livepromo.documents.fields import (
    LONGEST_EVENT,
    LONGEST_PROPERTY,
    Findings,
    Part,
    duration,
    instant,
    names,
    part,
    percentage,
    reference,
    scalar,
    text,
    texts,
    whole,
)
from livepromo.documents.shapes import SHAPES, fields_of
from livepromo.documents.values import UNREADABLE, shown
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
from livepromo.model.conditions import Op

DEEPEST = 8
MOST = 200
_GROUPS = ("all", "any", "none")
_LEAVES = ("segment", "list", "did", "did_not", "property", "interest", "sample")
_OF_PROPERTY = dict.fromkeys(("op", "value"), ("stands only beside property", "R8"))
_SAME = {"same": ("stands only beside all, in a group with a did of its own", "R10")}
_PREDOMINANTLY = "predominantly"


def audience(outer: Part, name: str, where: tzinfo) -> Audience | None:
    """Return the audience in a field, or what could be read of it; instants without an offset are wall-clock time in `where`."""
    value = part(outer, name)
    if value is None:
        return None
    if not value.fields:
        outer.error(name, "is empty: give a group or a leaf, such as {sample: …}, or leave it out for everyone")
        return None
    reader = _Reader(outer.findings, where)
    found = reader.node(value, 1)
    if reader.nodes > MOST:
        outer.error(name, f"has {reader.nodes} groups and leaves: at most {MOST} are allowed", "R5")
    return found


class _Reader:
    """Reads one audience and counts its groups and leaves."""

    def __init__(self, findings: Findings, where: tzinfo) -> None:
        self._findings = findings
        self._where = where
        self.nodes = 0

    def node(self, one: Part, depth: int) -> Audience | None:
        """Return a group or a leaf; `depth` is that of a group which stands here, the outermost being 1."""
        self.nodes += 1
        what = [name for name in (*_GROUPS, *_LEAVES) if name in one]
        misplaced = {**({} if "property" in one else _OF_PROPERTY), **({} if "all" in one else _SAME)}
        one.only(fields_of("audience"), misplaced)
        if len(what) != 1:
            if what or not any(name in one for name in misplaced):
                one.one_of((*_GROUPS, *_LEAVES), "R5", "group or leaf")
            return None
        if what[0] not in _GROUPS:
            return self._leaf(one, what[0])
        if depth > DEEPEST:
            self._findings.error(one.path, f"groups nest at most {DEEPEST} deep", "R5")
            return None
        return self._group(one, what[0], depth)

    def _group(self, one: Part, kind: str, depth: int) -> Audience | None:
        items = one.fields[kind]
        if not isinstance(items, list):
            one.wrong(kind, "a list of groups and leaves", "R5")
            return None
        if not items:
            one.error(kind, "an empty group says nothing: give at least one group or leaf", "R5")
            return None
        members: list[Audience] = []
        for index, item in enumerate(items):
            path = f"{one.at(kind)}[{index}]"
            if isinstance(item, dict):
                member = self.node(Part(self._findings, item, path), depth + 1)
                if member is not None:
                    members.append(member)
            elif item is not UNREADABLE:
                self._findings.error(path, f"{shown(item)} is not a group or a leaf", "R5")
        match kind:
            case "all":
                return AllOf(tuple(members), self._same(one, items))
            case "any":
                return AnyOf(tuple(members))
            case _:
                return NoneOf(tuple(members))

    def _same(self, one: Part, items: list[object]) -> tuple[str, ...]:
        if "same" in one and not any(isinstance(item, dict) and "did" in item for item in items):
            one.error("same", "wants a did among the members of its own group", "R10")
        return tuple(sorted(set(texts(one, "same", "R10", longest=LONGEST_PROPERTY))))

    def _leaf(self, one: Part, kind: str) -> Audience | None:
        match kind:
            case "segment":
                segment = reference(one, "segment", "segment", "R5")
                return InSegment(segment) if segment is not None else None
            case "list":
                listed = reference(one, "list", "list", "R5")
                return OnList(listed) if listed is not None else None
            case "property":
                # What else stands there was refused already.
                condition = condition_of(Part(one.findings, {name: one.fields[name] for name in _CONDITION if name in one}, one.path))
                return HasProperty(condition) if condition is not None else None
            case "sample":
                milli = percentage(one.fields["sample"])
                if milli is None:
                    one.wrong("sample", "a percentage above 0, at most 100, with at most 3 decimals", "R72")
                return Sample(milli) if milli is not None else None
            case "did":
                return self._did(one)
            case "did_not":
                return self._did_not(one)
            case _:
                return self._interest(one)

    def _did(self, one: Part) -> Did | None:
        did = part(one, "did", "R6")
        if did is None:
            return None
        did.only(fields_of("did"))
        events = names(did, "event", "R6", wanted="the name of the event, or a list of them")
        where, count, within = conditions(did, "where"), _count(did), self._within(did, "R6")
        if events is None:
            return None
        return Did(events, where, within=within) if count is None else Did(events, where, count, within)

    def _did_not(self, one: Part) -> DidNot | None:
        did_not = part(one, "did_not", "R7")
        if did_not is None:
            return None
        did_not.only(fields_of("did_not"), {"count": ("does not belong to did_not, which means not once: use did with a count", "R7")})
        events = names(did_not, "event", "R7", wanted="the name of the event, or a list of them")
        where, within = conditions(did_not, "where"), self._within(did_not, "R7")
        return DidNot(events, where, within) if events is not None else None

    def _interest(self, one: Part) -> Interest | None:
        interest = part(one, "interest", "R9")
        if interest is None:
            return None
        interest.only(fields_of("interest"))
        event = text(interest, "event", "R9", wanted="the name of the event", longest=LONGEST_EVENT)
        name = text(interest, "property", "R9", wanted="the event property whose value is looked at", longest=LONGEST_PROPERTY)
        value = None
        if interest.present("value", "R9", wanted="the value of the property"):
            value = scalar(self._findings, interest.fields["value"], interest.at("value"), "R9")
        share_milli = None
        if interest.present("share", "R9", wanted=f"{_PREDOMINANTLY}, or at least so many percent"):
            share = interest.fields["share"]
            share_milli = percentage(share)
            if share_milli is None and share != _PREDOMINANTLY:
                interest.wrong("share", f"{_PREDOMINANTLY}, or a percentage above 0, at most 100, with at most 3 decimals", "R9")
        within = self._within(interest, "R9")
        if event is None or name is None or value is None:
            return None
        return Interest(event, name, value, share_milli, within)

    def _within(self, one: Part, rule: str) -> Within | None:
        if "within" not in one:
            return None
        if not isinstance(one.fields["within"], dict):
            back_ms = duration(one, "within", rule)
            return Back(back_ms) if back_ms is not None else None
        span = part(one, "within", rule)
        assert span is not None
        span.only(fields_of("span"))
        start = instant(span, "from", self._where, rule, wanted="the instant from which on")
        end = instant(span, "to", self._where, rule, wanted="the instant before which")
        if start is None or end is None:
            return None
        if end <= start:
            span.error("to", f"{shown(span.fields['to'])} is not after from, {shown(span.fields['from'])}", rule)
            return None
        return Span(start, end)


_CONDITION = ("property", "op", "value")
_COUNT_OPS = tuple(SHAPES["count"].fields)


def _count(did: Part) -> Count | None:
    counted = part(did, "count", "R6")
    if counted is None:
        return None
    counted.only(fields_of("count"))
    op = counted.one_of(_COUNT_OPS, "R6", "operator")
    if op is None:
        return None
    wanted = "a whole number from 0 to 999999999999999"
    if op != Op.BETWEEN:
        number = _from_zero(counted.fields[op])
        if number is None:
            counted.wrong(op, wanted, "R6")
        return Count(Op(op), (number,)) if number is not None else None
    items = counted.fields[op]
    if not isinstance(items, list) or len(items) != 2:  # noqa: PLR2004 - low and high
        counted.wrong(op, "[low, high]", "R6")
        return None
    low, high = (_from_zero(item) for item in items)
    if low is None or high is None:
        counted.error(op, f"[{shown(items[0])}, {shown(items[1])}] are not two numbers, each {wanted}", "R6")
        return None
    if low > high:
        counted.error(op, f"{low} is more than {high}: give the lower one first", "R6")
        return None
    return Count(Op.BETWEEN, (low, high))


def _from_zero(value: object) -> int | None:
    found = whole(value)
    return found if found is not None and found >= 0 else None
