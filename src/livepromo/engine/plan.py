"""What is to be done for an event of a name: a catalogue, compiled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter

import msgspec

from livepromo.behaviour.audiences import CompiledAudience, compile_audience
from livepromo.behaviour.conditions import compile_where
from livepromo.behaviour.occurrences import Rule
from livepromo.behaviour.windows import Rules, Terms
from livepromo.documents.catalogue import Catalogue, Entry, State
from livepromo.engine.horizons import Horizons
from livepromo.engine.offers import Absence, Offer, Role, Send, Trigger
from livepromo.engine.owing import compile_reward
from livepromo.model.audiences import Did, DidNot, Interest, leaves_of
from livepromo.model.conditions import Condition, Op
from livepromo.model.documents import Campaign, FromList, Live, Retrigger, Segment
from livepromo.model.ids import CampaignId
from livepromo.model.records import SCALARS, Properties, Scalar
from livepromo.model.time import FOREVER_MS

_USUAL = Horizons()
_NO_CAMPAIGN = CampaignId("")  # a segment that stands for itself: only what it asks to be remembered is looked at
_place = itemgetter(0)


class Watch(msgspec.Struct, frozen=True):
    """The triggers of one event name, found by the value of a property where they ask for one, so that the others cost nothing.

    `any_value` are those that ask for no value; `by_value` has those that do: property → value → triggers. Each trigger stands with its
    place in the order of campaign ids.
    """

    any_value: tuple[tuple[int, Trigger], ...]
    by_value: tuple[tuple[str, dict[Scalar, tuple[tuple[int, Trigger], ...]]], ...]

    def asks(self, properties: Properties) -> list[Trigger]:
        """Return the triggers that may qualify, in order of campaign id; those that are left out do not."""
        found: list[tuple[int, Trigger]] = [*self.any_value]
        for name, by_value in self.by_value:
            value = properties.get(name)
            if type(value) in SCALARS and (some := by_value.get(value)) is not None:  # type: ignore[arg-type] # its type was looked at
                found += some
        if len(found) > 1:
            found.sort(key=_place)
        return [trigger for _, trigger in found]


class Plan(msgspec.Struct, frozen=True):
    """What a catalogue, up to `position`, asks of every event, by the event's name.

    `named` are the events that any published document names, running or not: their ids are remembered. `rules` are what audiences ask
    to be remembered of them, `roles` the windows that they open and close, `absences` the campaigns that have windows, `sends` those
    that are sent, in order. No decision is made as of more than `late_ms` before stream time.
    """

    position: int
    watches: dict[str, Watch]
    named: frozenset[str]
    roles: dict[str, tuple[Role, ...]] = {}
    absences: dict[CampaignId, Absence] = {}
    rules: dict[str, tuple[Rule, ...]] = {}
    sends: tuple[Send, ...] = ()
    late_ms: int = 0


EMPTY_PLAN = Plan(0, {}, frozenset())


def compile_plan(  # noqa: C901 - a branch for each way to qualify
    catalogue: Catalogue, horizons: Horizons = _USUAL, *, now_start_ms: int | None = None, now_send_ms: int | None = None
) -> Plan:
    """Return the plan of a catalogue.

    A campaign that starts or is sent `now` does so at the instant of its first publication (R12, R14), or at `now_start_ms` and
    `now_send_ms` where these are given.
    Those that are paused or stopped trigger nothing (R16), but their events stay named.
    """
    campaigns: dict[str, list[tuple[Trigger, tuple[Condition, ...]]]] = {}
    roles: dict[str, list[Role]] = {}
    absences: dict[CampaignId, Absence] = {}
    rules: dict[str, dict[bytes, Rule]] = {}
    sends: list[Send] = []
    named = set(_named_by_audiences(catalogue))
    segments = {entry.document.id: entry.document for entry in catalogue.entries.values() if isinstance(entry.document, Segment)}

    def remember(who: CompiledAudience | None) -> None:
        for rule in () if who is None else who.rules:
            for event in rule.events:
                rules.setdefault(event, {})[rule.key] = rule

    for _, entry in sorted(catalogue.entries.items()):
        document = entry.document
        if isinstance(document, Segment):
            remember(None if document.who is None else compile_audience(document.who, _NO_CAMPAIGN, segments))
        if not isinstance(document, Campaign):
            continue
        live = document.qualify
        send_ms, sent_ms = _send_ms(entry, document, now_send_ms)
        who = None if document.who is None else compile_audience(document.who, document.id, segments, sent_ms=sent_ms)
        remember(who)
        needs = frozenset(rule.key for rule in who.rules) if who is not None else frozenset()
        offer = Offer(document.id, entry.revision, entry.state, who, compile_reward(document, catalogue), needs)
        if not isinstance(live, Live):
            listed = live.list if isinstance(live, FromList) else None
            sends.append(Send(offer, "past" if listed is None else "list", send_ms, send_ms + horizons.grace_ms, listed))
            continue
        named.add(live.event)
        start_ms, end_ms = _span(entry, document, now_start_ms)
        if live.unless is None:
            if entry.state is State.RUNNING:
                trigger = Trigger(offer, start_ms, end_ms, compile_where(live.where))
                campaigns.setdefault(live.event, []).append((trigger, live.where))
            continue
        named.update(live.unless.events)
        absences[document.id] = _absence(entry, live, offer, (start_ms, end_ms), horizons)
        for event, role in _roles(absences[document.id], live.unless.events):
            roles.setdefault(event, []).append(role)
    return Plan(
        catalogue.position,
        {name: _watch(some) for name, some in campaigns.items()},
        frozenset(named),
        {name: tuple(some) for name, some in roles.items()},
        absences,
        {name: tuple(some.values()) for name, some in rules.items()},
        tuple(sorted(sends, key=lambda send: (send.instant_ms, send.offer.campaign))),
        max([horizons.lateness_ms, horizons.grace_ms, *(terms.grace_ms for one in absences.values() for terms in one.rules.terms)]),
    )


def _send_ms(entry: Entry, campaign: Campaign, now_send_ms: int | None) -> tuple[int, int | None]:
    """Return when a campaign is sent, and what its look-backs are held to: None where that is stream time."""
    if isinstance(campaign.qualify, Live):
        return FOREVER_MS, None
    if campaign.when.send_ms is not None:
        return campaign.when.send_ms, campaign.when.send_ms
    return (entry.first_published_ms, entry.first_published_ms) if now_send_ms is None else (now_send_ms, None)


def _roles(absence: Absence, unless: tuple[str, ...]) -> Iterator[tuple[str, Role]]:
    for event in dict.fromkeys((absence.event, *unless)):
        yield event, Role(absence, event == absence.event, event in unless)


def _named_by_audiences(catalogue: Catalogue) -> Iterator[str]:
    """Yield the events that audiences name, those included of which nothing need be remembered: `did` at least zero times."""
    for entry in catalogue.entries.values():
        who = entry.document.who if isinstance(entry.document, Segment | Campaign) else None
        for leaf in () if who is None else leaves_of(who):
            if isinstance(leaf, Did | DidNot):
                yield from leaf.events
            elif isinstance(leaf, Interest):
                yield leaf.event


def _span(entry: Entry, campaign: Campaign, now_start_ms: int | None) -> tuple[int, int]:
    start_ms, end_ms = campaign.when.start_ms, campaign.when.end_ms
    if start_ms is None:
        start_ms = entry.first_published_ms if now_start_ms is None else now_start_ms
    return start_ms, FOREVER_MS if end_ms is None else end_ms


def _absence(entry: Entry, live: Live, offer: Offer, span: tuple[int, int], horizons: Horizons) -> Absence:
    wheres: dict[tuple[Condition, ...], int] = {}
    terms: list[Terms] = []
    for said in entry.absences:
        unless = said.unless
        assert unless is not None, offer.campaign
        where = wheres.setdefault(unless.where, len(wheres))
        grace_ms = horizons.grace_ms if unless.grace_ms is None else unless.grace_ms
        terms.append(Terms(unless.within_ms, grace_ms, said.retrigger is Retrigger.RESTART, where, len(wheres)))
    # At least until they are put in order, which takes the grace, also where lateness is set to less.
    kept_ms = max(min(max(one.within_ms + one.grace_ms for one in terms), horizons.lateness_ms), *(one.grace_ms for one in terms))
    return Absence(
        offer=offer,
        event=live.event,
        start_ms=span[0],
        end_ms=span[1],
        matches=compile_where(live.where),
        same=tuple(same.event for same in live.same),
        same_unless=tuple(same.unless for same in live.same),
        wheres=tuple(map(compile_where, wheres)),
        rules=Rules(tuple(terms), horizons.open_windows, kept_ms),
    )


def _watch(campaigns: Iterable[tuple[Trigger, tuple[Condition, ...]]]) -> Watch:
    """Return the triggers of an event, each with its conditions, by the first of these that asks for one value or some.

    Values that Python holds for equal and a condition does not (1 and true) may share a place: `qualifies` tells them apart.
    """
    any_value: list[tuple[int, Trigger]] = []
    by_value: dict[str, dict[Scalar, list[tuple[int, Trigger]]]] = {}
    for place, (trigger, where) in enumerate(campaigns):
        asked = next((condition for condition in where if condition.op in {Op.EQ, Op.IN}), None)
        if asked is None:
            any_value.append((place, trigger))
        else:
            for value in dict.fromkeys(asked.values):
                by_value.setdefault(asked.property, {}).setdefault(value, []).append((place, trigger))
    return Watch(
        tuple(any_value),
        tuple((name, {value: tuple(some) for value, some in values.items()}) for name, values in by_value.items()),
    )
