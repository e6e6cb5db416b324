"""Why an event did or did not earn anything: everything that a campaign asks of it, one thing after the other, with what was seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from livepromo.behaviour.audiences import compile_audience
from livepromo.behaviour.conditions import compile_condition, compile_where
from livepromo.behaviour.occurrences import times_by_value, times_done
from livepromo.behaviour.windows import Tally, Watched, deadline_ms, instant_ms, value_of
from livepromo.documents.catalogue import Catalogue, Entry, State, starts_ms
from livepromo.engine.horizons import Horizons
from livepromo.engine.limits import caps_of_user
from livepromo.engine.offers import Person
from livepromo.engine.plan import Plan
from livepromo.model.audiences import (
    AllOf,
    AnyOf,
    Audience,
    Back,
    Did,
    DidNot,
    HasProperty,
    InSegment,
    Interest,
    NoneOf,
    OnList,
    Sample,
    Within,
    leaves_of,
)
from livepromo.model.conditions import Condition, Op
from livepromo.model.documents import Campaign, Live, Segment
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Event, Properties
from livepromo.model.time import FOREVER_MS, duration_text, instant_text

MISSING = "missing"


class Finding(NamedTuple):
    """One thing that is asked: by which field of the document, whether it holds, and what was seen. `holds` None: nobody can say here."""

    path: str
    asks: str
    holds: bool | None
    saw: str


class Verdict(NamedTuple):
    """What an event is to a campaign (its trigger, what closes its windows, or what its audience counts), and what that asks."""

    campaign: CampaignId
    revision: int
    role: str  # trigger | unless | who
    findings: tuple[Finding, ...]

    @property
    def qualifies(self) -> bool:
        """Whether nothing that is asked was seen not to hold."""
        return all(one.holds is not False for one in self.findings)


class Seen(NamedTuple):
    """An event as a partition has read it: `time_ms` is its own, but never later than when Kafka had received it."""

    event: Event
    event_id: str
    time_ms: int
    offset: int


class OpenWindow(NamedTuple):
    """A window that is open; it fires once stream time is beyond `fires_ms`."""

    campaign: CampaignId
    value: str
    event_id: str
    event: str
    time_ms: int
    deadline_ms: int
    fires_ms: int


class Occurrences(NamedTuple):
    """How often a user did what a leaf of a campaign's audience counts, as a decision at an instant sees it."""

    campaign: CampaignId
    asks: str
    times: int


class Counter(NamedTuple):
    """What a campaign has counted of a user: in total, in a period, as an amount in smallest units; and how much it may."""

    campaign: CampaignId
    slot: str
    used: int
    cap: int | None
    decimals: int


def judge(  # noqa: PLR0913, PLR0917 - all that an event is judged by
    seen: Seen,
    catalogue: Catalogue,
    person: Person,
    horizons: Horizons,
    unless: Sequence[Seen] = (),
    unread: Collection[bytes] = (),
) -> list[Verdict]:
    """Return what each campaign of a catalogue that names an event asks of it, by campaign id.

    `person` is the user as known when this is asked: profile and memberships may have been others when the event was decided about.
    `unless` are other events of the user, among which is looked for those that close the window that this one opens; `unread` rules
    whose look-backs had not been read when the event was.
    """
    verdicts = []
    for _, entry in sorted(catalogue.entries.items()):
        campaign = entry.document
        if not isinstance(campaign, Campaign):
            continue
        live = campaign.qualify
        if isinstance(live, Live) and live.event == seen.event.event:
            findings = (*_of_preparing(campaign, catalogue, unread), *_of_trigger(seen, entry, catalogue, person, horizons, unless))
            verdicts.append(Verdict(campaign.id, entry.revision, "trigger", findings))
        if isinstance(live, Live) and live.unless is not None and seen.event.event in live.unless.events:
            findings = tuple(_of_unless(live, seen.event.properties))
            verdicts.append(Verdict(campaign.id, entry.revision, "unless", findings))
        counted = tuple(_of_counting(campaign.who, catalogue, seen))
        if counted:
            verdicts.append(Verdict(campaign.id, entry.revision, "who", counted))
    return verdicts


def names(catalogue: Catalogue, campaign: CampaignId, event: str) -> bool:
    """Say whether a campaign has an event as its trigger."""
    entry = catalogue.entries.get(f"campaign/{campaign}")
    document = None if entry is None else entry.document
    return isinstance(document, Campaign) and isinstance(document.qualify, Live) and document.qualify.event == event


def _of_preparing(campaign: Campaign, catalogue: Catalogue, unread: Collection[bytes]) -> Iterator[Finding]:
    """Say that a campaign was still preparing, where it was (R15)."""
    segments = {one.document.id: one.document for one in catalogue.entries.values() if isinstance(one.document, Segment)}
    if unread and campaign.who is not None:
        asked = compile_audience(campaign.who, campaign.id, segments).rules
        waits = any(rule.key in unread for rule in asked)
        if waits:
            yield Finding("$.who", "what users did before was known", holds=False, saw="it was still being read (preparing)")


def _of_trigger(  # noqa: PLR0913, PLR0917 - all that a trigger is judged by
    seen: Seen, entry: Entry, catalogue: Catalogue, person: Person, horizons: Horizons, unless: Sequence[Seen]
) -> Iterator[Finding]:
    campaign = entry.document
    assert isinstance(campaign, Campaign), entry
    live = campaign.qualify
    assert isinstance(live, Live), campaign.id
    yield Finding("state", "running when the event was read", entry.state is State.RUNNING, entry.state.value)
    start_ms, end_ms, at = starts_ms(entry), campaign.when.end_ms, instant_text(seen.time_ms)
    yield Finding("$.when.start", f"not before {instant_text(start_ms)}", seen.time_ms >= start_ms, at)
    if end_ms is not None:
        yield Finding("$.when.end", f"before {instant_text(end_ms)}", seen.time_ms < end_ms, at)
    yield from _conditions("$.qualify.live.where", live.where, seen.event.properties)
    decided_ms = seen.time_ms
    if live.unless is not None:
        for place, same in enumerate(live.same):
            has = value_of(seen.event.properties, (same.event,)) is not None
            yield Finding(f"$.qualify.live.same[{place}]", f"has {same.event}", has, _shown(seen.event.properties, same.event))
        yield _not_done(live, seen, unless)
        decided_ms += live.unless.within_ms
        grace_ms = horizons.grace_ms if live.unless.grace_ms is None else live.unless.grace_ms
        if end_ms is not None:
            yield Finding("$.when.end", f"the deadline is before {instant_text(end_ms)}", decided_ms < end_ms, instant_text(decided_ms))
        yield Finding("$.qualify.live.unless.within", f"fires {duration_text(grace_ms)} after the deadline", None, instant_text(decided_ms))
    if campaign.who is not None:
        yield from _of_audience(campaign.who, "$.who", _Asked(campaign.id, catalogue, person, decided_ms))


def _not_done(live: Live, seen: Seen, others: Sequence[Seen]) -> Finding:
    """Say whether any of the user's other events closes the window that an event opens (A1, R10)."""
    unless = live.unless
    assert unless is not None, live
    holds = compile_where(unless.where)
    mine = value_of(seen.event.properties, tuple(same.event for same in live.same))
    theirs = tuple(same.unless for same in live.same)
    until_ms = seen.time_ms + unless.within_ms
    done = [
        one
        for one in others
        if one.event.event in unless.events
        and (seen.time_ms, seen.offset) < (one.time_ms, one.offset)
        and one.time_ms <= until_ms
        and holds(one.event.properties)
        and value_of(one.event.properties, theirs) == mine
    ]
    asks = f"not {' or '.join(unless.events)} until {instant_text(until_ms)}"
    saw = f"{done[0].event.event}, id {done[0].event_id}, at {instant_text(done[0].time_ms)}" if done else "none in the events topic"
    return Finding("$.qualify.live.unless", asks, not done, saw)


def _of_unless(live: Live, properties: Properties) -> Iterator[Finding]:
    assert live.unless is not None, live
    yield from _conditions("$.qualify.live.unless.where", live.unless.where, properties)
    for place, same in enumerate(live.same):
        has = value_of(properties, (same.unless,)) is not None
        yield Finding(f"$.qualify.live.same[{place}]", f"has {same.unless}", has, _shown(properties, same.unless))
    yield Finding("$.qualify.live.unless", "closes a window of the user with the same values", None, "see the windows that are open")


def _of_counting(who: Audience | None, catalogue: Catalogue, seen: Seen) -> Iterator[Finding]:
    """Say whether the leaves of an audience that name an event count it."""
    for leaf in () if who is None else _own_leaves(who, catalogue):
        match leaf:
            case Did() | DidNot() if seen.event.event in leaf.events:
                verb = "did" if isinstance(leaf, Did) else "did_not"
                if not leaf.where:
                    yield Finding(f"$.who: {verb}", f"counts {seen.event.event}", holds=True, saw=instant_text(seen.time_ms))
                yield from _conditions(f"$.who: {verb} {seen.event.event}, where", leaf.where, seen.event.properties)
            case Interest() if seen.event.event == leaf.event:
                saw = _shown(seen.event.properties, leaf.property)
                yield Finding("$.who: interest", f"counts {leaf.property} of {leaf.event}", holds=True, saw=saw)
            case _:
                pass


def _own_leaves(who: Audience, catalogue: Catalogue) -> Iterator[Audience]:
    """Yield the leaves of an audience, and those of the saved segments that are audiences themselves."""
    for leaf in leaves_of(who):
        yield leaf
        saved = catalogue.entries.get(f"segment/{leaf.segment}") if isinstance(leaf, InSegment) else None
        if saved is not None and isinstance(saved.document, Segment) and saved.document.who is not None:
            yield from _own_leaves(saved.document.who, catalogue)


# -- audiences


class _Asked(NamedTuple):
    """Of which campaign an audience is, among which documents, about whom, and as of when."""

    campaign: CampaignId
    catalogue: Catalogue
    person: Person
    at_ms: int
    sent_ms: int | None = None

    @property
    def segments(self) -> dict[str, Segment]:
        return {one.document.id: one.document for one in self.catalogue.entries.values() if isinstance(one.document, Segment)}

    def holds(self, audience: Audience) -> bool:
        """Judge an audience by the very code that decides."""
        person = self.person
        compiled = compile_audience(audience, self.campaign, self.segments, sent_ms=self.sent_ms)
        return compiled.holds(person.user, person.properties, person.segments, person.remembered, self.at_ms)

    def times(self, audience: Audience) -> int:
        """Return how often what a leaf counts was done, by whatever values."""
        found = 0
        for rule in compile_audience(audience, self.campaign, self.segments, sent_ms=self.sent_ms).rules:
            remembered = self.person.remembered(rule)
            found += sum(times_by_value(rule, remembered, self.at_ms).values()) if rule.apart else times_done(rule, remembered, self.at_ms)
        return found


def _of_audience(who: Audience, path: str, asked: _Asked) -> Iterator[Finding]:
    """Yield a group and then what it consists of, leaf by leaf. What stands under `same` is judged as one, for one value of it."""
    match who:
        case AllOf() | AnyOf() | NoneOf():
            word = "all" if isinstance(who, AllOf) else "any" if isinstance(who, AnyOf) else "none"
            same = who.same if isinstance(who, AllOf) else ()
            asks = f"{word} of {len(who.members)}" + (f", for one and the same {', '.join(same)}" if same else "")
            holds = asked.holds(who)
            yield Finding(f"{path}.{word}", asks, holds, "holds" if holds else "does not hold")
            for place, member in enumerate(who.members):
                inner = f"{path}.{word}[{place}]"
                if same and isinstance(member, Did | DidNot):
                    yield Finding(inner, _asks(member), None, "counted together, by value")
                else:
                    yield from _within_a_group(member, inner, asked)
        case _:
            yield _leaf(who, path, asked)


def _within_a_group(member: Audience, path: str, asked: _Asked) -> Iterator[Finding]:
    """Yield what a group consists of: what a part of it says decides nothing by itself, so it is said with what was seen."""
    for one in _of_audience(member, path, asked):
        said = "" if one.holds is None else " (holds)" if one.holds else " (does not hold)"
        yield one._replace(holds=None, saw=one.saw if one.saw.endswith(("hold", "holds", ")")) else one.saw + said)


def _leaf(leaf: Audience, path: str, asked: _Asked) -> Finding:
    holds, person = asked.holds(leaf), asked.person
    match leaf:
        case Did() | DidNot():
            saw = f"{asked.times(leaf)} times"
        case Interest():
            saw = f"of {asked.times(leaf)} times"
        case InSegment() | OnList():
            saw = "in it" if holds else "not in it"
        case HasProperty(condition):
            saw = _shown(person.properties, condition.property)
        case Sample():
            saw = "in the sample" if holds else "not in the sample"
        case AllOf() | AnyOf() | NoneOf():
            raise AssertionError(leaf)
        case _:
            assert_never(leaf)
    return Finding(path, _asks(leaf), holds, saw)


def _asks(leaf: Audience) -> str:
    match leaf:
        case Did():
            count = f"{leaf.count.op.value} {' '.join(map(str, leaf.count.values))} times"
            return f"did {' or '.join(leaf.events)}{_where(leaf.where)} {count}{_within(leaf.within)}"
        case DidNot():
            return f"did not {' or '.join(leaf.events)}{_where(leaf.where)}{_within(leaf.within)}"
        case Interest():
            share = "predominantly" if leaf.share_milli is None else f"{leaf.share_milli / 1000:g} %"
            return f"{leaf.event} with {leaf.property} {json_bytes(leaf.value).decode()}, {share}{_within(leaf.within)}"
        case InSegment(segment):
            return f"segment {segment}"
        case OnList():
            return f"list {leaf.list}"
        case HasProperty(condition):
            return _said(condition)
        case Sample():
            return f"sample of {leaf.percent_milli / 1000:g} %"
        case AllOf() | AnyOf() | NoneOf():
            raise AssertionError(leaf)
        case _:
            assert_never(leaf)


def _where(where: Sequence[Condition]) -> str:
    return f" where {' and '.join(map(_said, where))}" if where else ""


def _within(within: Within | None) -> str:
    if within is None:
        return ""
    if isinstance(within, Back):
        return f" within {duration_text(within.duration_ms)}"
    return f" from {instant_text(within.from_ms)} to {instant_text(within.to_ms)}"


# -- conditions


def _conditions(path: str, where: Sequence[Condition], properties: Properties) -> Iterator[Finding]:
    for place, condition in enumerate(where):
        holds = compile_condition(condition)(properties)
        yield Finding(f"{path}[{place}]", _said(condition), holds, _shown(properties, condition.property))


def _said(condition: Condition) -> str:
    if condition.op in {Op.IN, Op.NOT_IN}:
        values = json_bytes(list(condition.values)).decode()
    else:
        values = " ".join(json_bytes(value).decode() for value in condition.values)
    return f"{condition.property} {condition.op.value} {values}".rstrip()


def _shown(properties: Mapping[str, Any], name: str) -> str:
    value = properties.get(name)
    return MISSING if value is None else json_bytes(value).decode()


# -- what is kept of a user


def open_windows(groups: dict[str, bytes], plan: Plan) -> list[OpenWindow]:
    """Return the windows of a user that will fire if nothing more of theirs comes, in order of campaign and deadline."""
    found = []
    for key in groups:
        name, _, value = key.partition("\0")
        absence = plan.absences[CampaignId(name)]
        rules, campaign = absence.rules, absence.offer.campaign
        fired, _ = Watched(rules, campaign, groups, Tally()).fire(value, FOREVER_MS)
        found += [
            OpenWindow(campaign, value, one.event_id, absence.event, one.time_ms, deadline_ms(rules, one), instant_ms(rules, one))
            for one in fired
        ]
    return sorted(found, key=lambda one: (one.campaign, one.fires_ms, one.value))


def occurrences(catalogue: Catalogue, person: Person, at_ms: int) -> list[Occurrences]:
    """Return how often a user did what campaigns count, as a decision at an instant sees it."""
    found = []
    for _, entry in sorted(catalogue.entries.items()):
        campaign = entry.document
        if isinstance(campaign, Campaign) and campaign.who is not None:
            sent_ms = None if isinstance(campaign.qualify, Live) else starts_ms(entry)
            asked = _Asked(campaign.id, catalogue, person, at_ms, sent_ms)
            found += [
                Occurrences(campaign.id, _asks(leaf), asked.times(leaf))
                for leaf in _own_leaves(campaign.who, catalogue)
                if isinstance(leaf, Did | DidNot | Interest)
            ]
    return found


def counters(entry: Entry, catalogue: Catalogue, user: UserId, row: Mapping[str, int], at_ms: int) -> list[Counter]:
    """Return what a campaign's row of a user says. The caps of periods are those of the periods that hold an instant."""
    campaign = entry.document
    assert isinstance(campaign, Campaign), entry
    caps, decimals = caps_of_user(campaign, catalogue, user, at_ms)
    slots = {**{slot: 0 for slot, cap in caps.items() if cap is not None}, **row}
    return [Counter(campaign.id, slot, used, caps.get(slot), decimals if slot == "amount" else 0) for slot, used in sorted(slots.items())]
