"""How the records of one partition become candidates and denials: the one place where their order is decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from livepromo.behaviour.repeats import RecentIds, key_of
from livepromo.behaviour.users import User, merged, with_membership
from livepromo.behaviour.users import encode as encode_user
from livepromo.engine.owing import Occasion
from livepromo.engine.plan import Plan, Trigger
from livepromo.model.decisions import Candidate, Cause, Denial
from livepromo.model.ids import UserId
from livepromo.model.records import DeadReason, Event, Ignored, Malformed, Membership, Position, Profile, Record, content_id
from livepromo.model.time import DAY_MS, HOUR_MS, MINUTE_MS

RECORD_STEP = 1 << 31
"""The step of a candidate that a record makes: behind every control entry taken at its offset, before the next offset."""

BATCH_BYTES = 512 * 1024
PROFILE_BYTES = 256 * 1024
CANDIDATE_BYTES = 256 * 1024
EVENT_BYTES = 16 * 1024 * 1024
"""What all candidates of one event may take together: thousands of campaigns, but no record makes more than memory holds."""

_LONG_AGO_MS = -(1 << 62)
_ID_BYTES = 12
_PART_OVERHEAD = 80  # what a record of the journal takes besides its payload and the user in its key
_CANDIDATE_OVERHEAD = 500


class Horizons(msgspec.Struct, frozen=True):
    """How far records may be from stream time, and how long ids are remembered."""

    lateness_ms: int = DAY_MS
    repeats_ms: int = DAY_MS
    ahead_ms: int = 5 * MINUTE_MS


class State:
    """What is known of one partition: everything that a decision may depend on besides the record and the plan.

    Changed by `merge` alone, when what `advance` returned is durable.
    """

    __slots__ = ("catalogue", "entries", "forgotten", "id_parts", "ids", "position", "stream_ms", "users")

    def __init__(self, horizons: Horizons) -> None:
        self.position = Position(0, 0)
        self.stream_ms = _LONG_AGO_MS
        self.ids = RecentIds(lateness_ms=horizons.lateness_ms, repeats_ms=horizons.repeats_ms)
        self.users: dict[UserId, User] = {}
        self.catalogue = 0  # publications before this place in the catalogue hold
        self.entries: dict[Position, int] = {}  # control entries: at which position which place was taken
        self.id_parts: dict[int, dict[bytes, None]] = {}  # which records of the journal hold the ids of an hour
        self.forgotten: list[bytes] = []  # records of the journal whose hour is over

    @property
    def has_begun(self) -> bool:
        """Say whether any record was ever taken."""
        return self.stream_ms != _LONG_AGO_MS


class Changes:
    """What taking records makes of a partition. `outcomes` stand in order of decision; `dead` are places among the records."""

    __slots__ = ("dead", "ids", "ignored", "outcomes", "position", "repeats", "stream_ms", "taken", "took", "users")

    def __init__(self, state: State, horizons: Horizons) -> None:
        self.position = state.position
        self.stream_ms = state.stream_ms
        self.outcomes: list[Candidate | Denial] = []
        self.dead: list[tuple[int, DeadReason]] = []
        self.ids = RecentIds(lateness_ms=horizons.lateness_ms, repeats_ms=horizons.repeats_ms)
        self.users: dict[UserId, User | None] = {}
        self.taken = self.repeats = self.ignored = 0
        self.took = 0  # how many of the records were looked at: fewer than there are when a batch would grow too large


class Batch(NamedTuple):
    """Consecutive records of a partition, as columns. `received_ms`: when Kafka had received each; None: not known."""

    offsets: Sequence[int]
    records: Sequence[Record]
    received_ms: Sequence[int | None]

    def behind(self, start: int) -> Batch:
        """Return the records from the `start`th on."""
        return self if start == 0 else Batch(self.offsets[start:], self.records[start:], self.received_ms[start:])

    def up_to(self, stop: int) -> Batch:
        """Return the records before the `stop`th."""
        return Batch(self.offsets[:stop], self.records[:stop], self.received_ms[:stop])


def advance(state: State, plan: Plan, horizons: Horizons, batch: Batch) -> Changes:  # noqa: C901, PLR0912, PLR0915 - one loop
    """Return what the records, in their order, make of a partition in `state`; touches nothing.

    A record's time is its own, but never later than when Kafka had received it. Taken twice from the same state the result is the same;
    records that lie before the state's position must not be handed in again. It stops before the record at which what is to be
    journalled would pass `BATCH_BYTES`.
    """
    changes = Changes(state, horizons)
    named, lateness_ms, ahead_ms = plan.named, horizons.lateness_ms, horizons.ahead_ms
    stream_ms = state.stream_ms
    seen, seen_now, remember, dead = state.ids.seen, changes.ids.seen, changes.ids.add, changes.dead
    size, hour = 0, -1
    changes.took = len(batch.records)
    for at, (record, received_ms) in enumerate(zip(batch.records, batch.received_ms, strict=False)):  # records may be cut short
        if size >= BATCH_BYTES:
            changes.took = at
            break
        if isinstance(record, Malformed):
            dead.append((at, record.reason))
            continue
        if isinstance(record, Ignored):
            changes.ignored += 1
            continue
        time_ms = record.ts_ms
        if received_ms is not None and time_ms > received_ms:
            if time_ms - received_ms > ahead_ms:
                dead.append((at, DeadReason.IN_THE_FUTURE))
                continue
            time_ms = received_ms
        if not isinstance(record, Event):
            weight = _take_profile(state, changes, record)
            if weight is None:
                dead.append((at, DeadReason.TOO_LARGE))
                continue
            size += weight
        elif stream_ms - time_ms > lateness_ms:
            dead.append((at, DeadReason.TOO_OLD))
            continue
        elif record.event in named:
            event_id = record.event_id or content_id(record)
            key = key_of(record.user, event_id)
            if seen(key, time_ms) or seen_now(key, time_ms):
                changes.repeats += 1
                continue
            if (watch := plan.watches.get(record.event)) is not None:
                due = [trigger for trigger in watch.asks(record.properties) if trigger.qualifies(record.user, record.properties, time_ms)]
                if due:
                    made = _outcomes(state, changes, due, _Place(record, event_id, time_ms, received_ms, batch.offsets[at]))
                    weights = [weight_of(one) for one in made]
                    if max(weights) > CANDIDATE_BYTES or sum(weights) > EVENT_BYTES:
                        dead.append((at, DeadReason.TOO_LARGE))
                        continue
                    size += sum(weights)
                    changes.outcomes += made
            remember(key, time_ms)
            size += _ID_BYTES
            if hour != (hour := time_ms // HOUR_MS):
                size += _PART_OVERHEAD  # ids stand by the hour, those of another one in another record
        if time_ms > stream_ms:  # noqa: PLR1730 - max() costs a call for every record
            stream_ms = time_ms
    changes.taken = changes.took - changes.ignored - changes.repeats - len(dead)
    changes.stream_ms = stream_ms
    return changes


class _Place(NamedTuple):
    """An event, and where and when it was read."""

    event: Event
    event_id: str
    time_ms: int
    received_ms: int | None
    offset: int


def _known(state: State, changes: Changes, user: UserId) -> User | None:
    return changes.users[user] if user in changes.users else state.users.get(user)


def _outcomes(state: State, changes: Changes, due: Sequence[Trigger], place: _Place) -> list[Candidate | Denial]:
    event = place.event
    cause = Cause("did", place.event_id, event.event, event.ts_ms)
    known = _known(state, changes, event.user)
    occasion = Occasion(
        event.user,
        place.time_ms,
        place.time_ms if place.received_ms is None else place.received_ms,
        cause,
        cause.as_json(),
        event.properties,
        {} if known is None else known.properties,
        Position(place.offset, RECORD_STEP),
    )
    return [trigger.outcome(occasion) for trigger in due]


def _take_profile(state: State, changes: Changes, record: Profile | Membership) -> int | None:
    """Take a profile or a membership and return how many bytes of the journal that takes at most, 0 where nothing changes.

    Return None, and take nothing, where the user's part would grow too large.
    """
    before = _known(state, changes, record.user)
    after = merged(before, record) if isinstance(record, Profile) else with_membership(before, record)
    if after == before:
        return 0
    part_bytes = 0 if after is None else len(encode_user(after))
    if part_bytes > PROFILE_BYTES:
        return None
    changes.users[record.user] = after
    return part_bytes + _PART_OVERHEAD + len(record.user.encode())


def weight_of(outcome: Candidate | Denial) -> int:
    """Return about how many bytes an outcome takes in the batches that carry it; user and campaign stand in several of its rows."""
    weight = _CANDIDATE_OVERHEAD + 24 * len(outcome.user) + 8 * len(outcome.campaign) + len(outcome.cause)
    if isinstance(outcome, Candidate):
        weight += sum(map(len, outcome.reward_pieces))
        if outcome.call is not None:
            weight += len(outcome.call.body_start)
    return weight


def merge(state: State, changes: Changes) -> list[int]:
    """Make `changes`, now durable, part of the state; return the hours whose remembered ids were forgotten."""
    state.position = changes.position
    state.stream_ms = changes.stream_ms
    state.ids.update(changes.ids)
    for user, value in changes.users.items():
        if value is None:
            state.users.pop(user, None)
        else:
            state.users[user] = value
    return state.ids.expire(state.stream_ms)
