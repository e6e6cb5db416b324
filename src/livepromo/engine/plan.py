"""What is to be done for an event of a name: a catalogue, compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from livepromo.behaviour.conditions import compile_where
from livepromo.documents.catalogue import Catalogue, Entry, State
from livepromo.model.amounts import MILLI_DECIMALS
from livepromo.model.decisions import Candidate, Cause, Denial, Limit, Reason, grant_id
from livepromo.model.documents import Campaign, Live, OnInsufficient, Points, Sample, Wallet
from livepromo.model.ids import CampaignId, GrantId, UserId, sampled
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Event, Position, Properties
from livepromo.model.time import Calendar, Periods, calendar
from livepromo.rewards.earning import compile_earn
from livepromo.rewards.metadata import Facts, compile_metadata
from livepromo.rewards.validity import compile_validity

FOREVER_MS = 1 << 62


class Occasion(msgspec.Struct, frozen=True, gc=False):
    """An event as the campaigns that it triggers see it. `time_ms` is the record's time, `received_ms` when Kafka had received it."""

    event: Event
    time_ms: int
    received_ms: int
    cause: Cause
    cause_json: bytes
    user_properties: Mapping[str, Any]
    position: Position


class Caps(msgspec.Struct, frozen=True):
    """A campaign's limits, budgets in smallest units; None: no limit of that kind."""

    total: int | None
    day: int | None
    week: int | None
    month: int | None
    user_units: int | None
    campaign_units: int | None


class Trigger(msgspec.Struct, frozen=True):
    """A campaign that an event of some name may trigger, compiled from one revision."""

    campaign: CampaignId
    revision: int
    start_ms: int
    end_ms: int
    matches: Callable[[Properties], bool]
    sample_milli: int | None
    wallet_available: bool
    earn: Callable[[Properties, GrantId], int | Reason]
    validity: Callable[[int], tuple[int, int | None] | Reason]
    metadata: Callable[[Facts], dict[str, Any]]
    reward_head: bytes
    decimals: int
    partial: bool
    calendar: Calendar
    caps: Caps

    def qualifies(self, user: UserId, properties: Properties, time_ms: int) -> bool:
        """Say whether an event at `time_ms` is one that the campaign rewards (R3, R14, R17); `end` is exclusive."""
        return (
            self.start_ms <= time_ms < self.end_ms
            and self.matches(properties)
            and (self.sample_milli is None or sampled(self.campaign, user, self.sample_milli))
        )

    def outcome(self, occasion: Occasion) -> Candidate | Denial:
        """Return the reward that is owed, complete but for its limits, or why none is: whatever no limit causes, in order of precedence."""
        if not self.wallet_available:
            return self._denial(occasion, Reason.WALLET_UNAVAILABLE)
        event = occasion.event
        name = grant_id(self.campaign, event.user, occasion.cause)
        amount_units = self.earn(event.properties, name)
        if isinstance(amount_units, Reason):
            return self._denial(occasion, amount_units)
        valid = self.validity(occasion.time_ms)
        if isinstance(valid, Reason):
            return self._denial(occasion, valid)
        active_ms, expires_ms = valid
        metadata = json_bytes(self.metadata(Facts(event.user, occasion.user_properties, event.properties, name, occasion.cause)))
        expires = b"null" if expires_ms is None else b"%d" % expires_ms
        return Candidate(
            grant_id=name,
            campaign=self.campaign,
            revision=self.revision,
            user=event.user,
            decided_at_ms=occasion.time_ms,
            cause=occasion.cause_json,
            reward_type="points",
            reward_head=self.reward_head,
            reward_tail=b',"active_at":%d,"expires_at":%b,"metadata":%b' % (active_ms, expires, metadata),
            amount_units=amount_units,
            decimals=self.decimals,
            partial=self.partial,
            limits=self._limits(event.user, amount_units, self.calendar.periods(occasion.time_ms)),
            received_ms=occasion.received_ms,
            position=occasion.position,
        )

    def _denial(self, occasion: Occasion, reason: Reason) -> Denial:
        return Denial(self.campaign, self.revision, occasion.event.user, occasion.time_ms, occasion.cause_json, reason)

    def _limits(self, user: UserId, amount_units: int, periods: Periods) -> tuple[Limit, ...]:
        """Return what a grant counts, in order of precedence; also what has no cap, since a later revision may set one (R18)."""
        campaign, caps = str(self.campaign), self.caps
        mine = f"{campaign}/{user}"
        return (
            Limit(Reason.USER_TOTAL, mine, "total", caps.total, 1),
            Limit(Reason.USER_DAY, mine, f"day:{periods.day}", caps.day, 1, periods.day_ends_ms),
            Limit(Reason.USER_WEEK, mine, f"week:{periods.week}", caps.week, 1, periods.week_ends_ms),
            Limit(Reason.USER_MONTH, mine, f"month:{periods.month}", caps.month, 1, periods.month_ends_ms),
            Limit(Reason.CAMPAIGN_LIMIT, campaign, "total", None, 1),
            Limit(Reason.USER_BUDGET, mine, "amount", caps.user_units, amount_units),
            Limit(Reason.CAMPAIGN_BUDGET, campaign, "amount", caps.campaign_units, amount_units),
        )


class Plan(msgspec.Struct, frozen=True):
    """What a catalogue, up to `position`, asks of every event: its triggers by event name, in order of campaign id.

    `named` are the events that any published document names, running or not: their ids are remembered.
    """

    position: int
    triggers: dict[str, tuple[Trigger, ...]]
    named: frozenset[str]


EMPTY_PLAN = Plan(0, {}, frozenset())


def units_of(milli: int | None, decimals: int) -> int | None:
    """Return an amount of a document in the wallet's smallest units; documents are checked to have no finer ones."""
    return None if milli is None else int(milli // 10 ** (MILLI_DECIMALS - decimals))


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
    points, live, who = campaign.reward, campaign.qualify, campaign.who
    assert isinstance(points, Points), campaign.id
    assert isinstance(live, Live), campaign.id
    assert who is None or isinstance(who, Sample), campaign.id
    wallet = catalogue.entries[f"wallet/{points.wallet}"].document
    assert isinstance(wallet, Wallet), points.wallet
    decimals, budget, recurrence = wallet.decimals, points.budget, points.recurrence
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
        wallet_available=wallet.active,
        earn=compile_earn(points.earn, points.max_per_reward_milli, decimals, wallet.rounding),
        validity=compile_validity(points.validity),
        metadata=compile_metadata(points.metadata, campaign),
        reward_head=b'{"type":"points","wallet":%b,"points":' % json_bytes(points.wallet),
        decimals=decimals,
        partial=points.on_insufficient is OnInsufficient.PARTIAL,
        calendar=calendar(campaign.timezone),
        caps=Caps(
            recurrence.total,
            recurrence.day,
            recurrence.week,
            recurrence.month,
            units_of(budget.user_milli, decimals),
            units_of(budget.campaign_milli, decimals),
        ),
    )
