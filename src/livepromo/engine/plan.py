"""What is to be done for an event of a name: a catalogue, compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter

import msgspec

from livepromo.behaviour.conditions import compile_where
from livepromo.documents.catalogue import Catalogue, Entry, State
from livepromo.engine.owing import Occasion, Owing, compile_reward
from livepromo.model.audiences import Sample
from livepromo.model.conditions import Condition, Op
from livepromo.model.decisions import Candidate, Denial, Reason, grant_id
from livepromo.model.documents import Campaign, Live
from livepromo.model.ids import CampaignId, UserId, sampled
from livepromo.model.records import Properties, Scalar

FOREVER_MS = 1 << 62
_SCALARS = frozenset({str, bool, int, float})
_place = itemgetter(0)


class Trigger(msgspec.Struct, frozen=True):
    """A campaign that an event of some name may trigger, compiled from one revision."""

    campaign: CampaignId
    revision: int
    start_ms: int
    end_ms: int
    matches: Callable[[Properties], bool]
    sample_milli: int | None
    owing: Owing

    def qualifies(self, user: UserId, properties: Properties, time_ms: int) -> bool:
        """Say whether an event at `time_ms` is one that the campaign rewards (R3, R14, R17); `end` is exclusive."""
        return (
            self.start_ms <= time_ms < self.end_ms
            and self.matches(properties)
            and (self.sample_milli is None or sampled(self.campaign, user, self.sample_milli))
        )

    def outcome(self, occasion: Occasion) -> Candidate | Denial:
        """Return the reward that is owed, complete but for limits and codes, or why none is."""
        user, owing = occasion.user, self.owing
        name = grant_id(self.campaign, user, occasion.cause)
        owed = owing.owe(occasion, name)
        if isinstance(owed, Reason):
            return Denial(self.campaign, self.revision, user, occasion.decided_ms, occasion.cause_json, owed)
        return Candidate(
            grant_id=name,
            campaign=self.campaign,
            revision=self.revision,
            user=user,
            decided_at_ms=occasion.decided_ms,
            cause=occasion.cause_json,
            reward_type=owing.reward_type,
            reward_pieces=owed.pieces,
            amount_units=owed.amount_units,
            decimals=owing.decimals,
            partial=owing.partial,
            limits=owed.limits,
            received_ms=occasion.received_ms,
            position=occasion.position,
            pool=owing.pool,
            call=owed.call,
        )


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
            if type(value) in _SCALARS and (some := by_value.get(value)) is not None:  # type: ignore[arg-type] # its type was looked at
                found += some
        if len(found) > 1:
            found.sort(key=_place)
        return [trigger for _, trigger in found]


class Plan(msgspec.Struct, frozen=True):
    """What a catalogue, up to `position`, asks of every event: what watches each event name.

    `named` are the events that any published document names, running or not: their ids are remembered.
    """

    position: int
    watches: dict[str, Watch]
    named: frozenset[str]


EMPTY_PLAN = Plan(0, {}, frozenset())


def compile_plan(catalogue: Catalogue, *, now_start_ms: int | None = None) -> Plan:
    """Return the plan of a catalogue.

    A campaign that starts `now` starts at the instant of its first publication (R14), or at `now_start_ms` where that is given.
    Those that are paused or stopped trigger nothing (R16), but their events stay named.
    """
    campaigns: dict[str, list[tuple[Trigger, tuple[Condition, ...]]]] = {}
    named: set[str] = set()
    for _, entry in sorted(catalogue.entries.items()):
        document = entry.document
        if isinstance(document, Campaign) and isinstance(document.qualify, Live):
            named.add(document.qualify.event)
            if entry.state is State.RUNNING:
                trigger = _trigger(entry, document, catalogue, now_start_ms)
                campaigns.setdefault(document.qualify.event, []).append((trigger, document.qualify.where))
    return Plan(catalogue.position, {name: _watch(some) for name, some in campaigns.items()}, frozenset(named))


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


def _trigger(entry: Entry, campaign: Campaign, catalogue: Catalogue, now_start_ms: int | None) -> Trigger:
    live, who = campaign.qualify, campaign.who
    assert isinstance(live, Live), campaign.id
    assert who is None or isinstance(who, Sample), campaign.id
    start_ms = campaign.when.start_ms
    if start_ms is None:
        start_ms = entry.first_published_ms if now_start_ms is None else now_start_ms
    return Trigger(
        campaign=campaign.id,
        revision=entry.revision,
        start_ms=start_ms,
        end_ms=FOREVER_MS if campaign.when.end_ms is None else campaign.when.end_ms,
        matches=compile_where(live.where),
        sample_milli=None if who is None else who.percent_milli,
        owing=compile_reward(campaign, catalogue),
    )
