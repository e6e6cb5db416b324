"""What is to be done for an event of a name: a catalogue, compiled."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from livepromo.behaviour.conditions import compile_where
from livepromo.documents.catalogue import Catalogue, Entry, State
from livepromo.engine.owing import Occasion, Owing, compile_reward
from livepromo.model.decisions import Candidate, Denial, Reason, grant_id
from livepromo.model.documents import Campaign, Live, Sample
from livepromo.model.ids import CampaignId, UserId, sampled
from livepromo.model.records import Properties

FOREVER_MS = 1 << 62


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
        user, owing = occasion.event.user, self.owing
        name = grant_id(self.campaign, user, occasion.cause)
        owed = owing.owe(occasion, name)
        if isinstance(owed, Reason):
            return Denial(self.campaign, self.revision, user, occasion.time_ms, occasion.cause_json, owed)
        return Candidate(
            grant_id=name,
            campaign=self.campaign,
            revision=self.revision,
            user=user,
            decided_at_ms=occasion.time_ms,
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
        )


class Plan(msgspec.Struct, frozen=True):
    """What a catalogue, up to `position`, asks of every event: its triggers by event name, in order of campaign id.

    `named` are the events that any published document names, running or not: their ids are remembered.
    """

    position: int
    triggers: dict[str, tuple[Trigger, ...]]
    named: frozenset[str]


EMPTY_PLAN = Plan(0, {}, frozenset())


def compile_plan(catalogue: Catalogue, *, now_start_ms: int | None = None) -> Plan:
    """Return the plan of a catalogue.

    A campaign that starts `now` starts at the instant of its first publication (R14), or at `now_start_ms` where that is given.
    Those that are paused or stopped trigger nothing (R16), but their events stay named.
    """
    triggers: dict[str, list[Trigger]] = {}
    named: set[str] = set()
    for _, entry in sorted(catalogue.entries.items()):
        document = entry.document
        if isinstance(document, Campaign) and isinstance(document.qualify, Live):
            named.add(document.qualify.event)
            if entry.state is State.RUNNING:
                triggers.setdefault(document.qualify.event, []).append(_trigger(entry, document, catalogue, now_start_ms))
    return Plan(catalogue.position, {name: tuple(some) for name, some in triggers.items()}, frozenset(named))


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
