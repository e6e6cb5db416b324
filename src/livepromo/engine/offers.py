"""What a campaign offers to whom, compiled from the revision in force, and what makes it due: an event, an absence, a send."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import msgspec

from livepromo.behaviour.audiences import CompiledAudience
from livepromo.behaviour.conditions import Predicate
from livepromo.behaviour.occurrences import Remembered, Rule
from livepromo.behaviour.windows import Rules
from livepromo.documents.catalogue import State
from livepromo.engine.owing import Occasion, Owing
from livepromo.model.decisions import Candidate, Denial, Reason, grant_id
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.records import Properties


class Person(Protocol):
    """A user as audiences and rewards see one, by what has been read."""

    @property
    def user(self) -> UserId:
        """Who it is."""
        ...

    @property
    def properties(self) -> Mapping[str, Any]:
        """The user's properties."""
        ...

    @property
    def segments(self) -> Collection[str]:
        """The fed segments and, as `list/ID`, the lists that the user is on."""
        ...

    def remembered(self, rule: Rule) -> Remembered | None:
        """Return what is remembered for a rule."""
        ...


class Offer(msgspec.Struct, frozen=True):
    """A campaign's audience and reward, as they are in force. `who` None: everyone. `needs` are the rules that `who` is judged by."""

    campaign: CampaignId
    revision: int
    state: State
    who: CompiledAudience | None
    owing: Owing
    needs: frozenset[bytes] = frozenset()

    def admits(self, person: Person, at_ms: int) -> bool:
        """Say whether someone is in the audience, as of a decision at `at_ms`."""
        who = self.who
        return who is None or who.holds(person.user, person.properties, person.segments, person.remembered, at_ms)

    def outcome(self, occasion: Occasion) -> Candidate | Denial:
        """Return the reward that is owed, complete but for limits and codes, or why none is; that the campaign is paused comes first."""
        user, owing = occasion.user, self.owing
        name = grant_id(self.campaign, user, occasion.cause)
        owed = Reason.PAUSED if self.state is State.PAUSED else owing.owe(occasion, name)
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


class Trigger(msgspec.Struct, frozen=True):
    """A running campaign that an event of some name may trigger."""

    offer: Offer
    start_ms: int
    end_ms: int
    matches: Predicate

    def qualifies(self, properties: Properties, time_ms: int) -> bool:
        """Say whether an event at `time_ms` is one that the campaign rewards (R3, R14, R17); `end` is exclusive."""
        return self.start_ms <= time_ms < self.end_ms and self.matches(properties)


class Absence(msgspec.Struct, frozen=True):
    """A campaign with `unless`, in whichever state: its windows are closed and fire also when it opens none any more.

    `same` are the constant properties as the trigger names them, `same_unless` as the `unless` events do. `wheres` are the different
    conditions that its revisions ask of `unless` events.
    """

    offer: Offer
    event: str
    start_ms: int
    end_ms: int
    matches: Predicate
    same: tuple[str, ...]
    same_unless: tuple[str, ...]
    wheres: tuple[Predicate, ...]
    rules: Rules

    def opens(self, properties: Properties, time_ms: int) -> bool:
        """Say whether an event opens a window: the campaign runs, and the event's own time is within it (R14, R16, R17)."""
        return self.offer.state is State.RUNNING and self.start_ms <= time_ms < self.end_ms and self.matches(properties)

    def may_open_until(self, time_ms: int) -> bool:
        """Say whether a window may still be opened before `time_ms` that counts: else an `unless` event then need not be remembered."""
        return self.offer.state is not State.STOPPED and self.start_ms < time_ms < self.end_ms

    def met(self, properties: Properties) -> int:
        """Return which of `wheres` an `unless` event satisfies: bit n for the nth."""
        return sum(1 << place for place, holds in enumerate(self.wheres) if holds(properties))

    def counts(self, trigger_ms: int, deadline_ms: int) -> bool:
        """Say whether a window that fires is one that the campaign decides about: not when stopped, or out of its time (A8, R14, R17)."""
        return self.offer.state is not State.STOPPED and self.start_ms <= trigger_ms and deadline_ms < self.end_ms


class Send(msgspec.Struct, frozen=True):
    """A past or list campaign, decided once for everyone, as of `send_ms`, when stream time is beyond `instant_ms`: grace later (R2)."""

    offer: Offer
    kind: str  # of its cause: past or list
    send_ms: int
    instant_ms: int
    list: str | None


class Role(msgspec.Struct, frozen=True):
    """What an event name is to a campaign with `unless`: what opens its windows, what closes them, or both."""

    absence: Absence
    opens: bool
    closes: bool
