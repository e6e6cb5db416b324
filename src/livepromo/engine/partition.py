"""How the records of one partition become candidates and denials: the one place where their order is decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from livepromo.behaviour import users
from livepromo.behaviour.occurrences import Remembered, Rule, noted
from livepromo.behaviour.repeats import key_of
from livepromo.behaviour.users import merged, with_membership
from livepromo.behaviour.windows import Done, Trigger, Watched, group_key, packed_properties, value_of
from livepromo.engine.erasing import erase
from livepromo.engine.horizons import Horizons
from livepromo.engine.offers import Role
from livepromo.engine.offers import Trigger as DidTrigger
from livepromo.engine.owing import Occasion
from livepromo.engine.plan import Plan
from livepromo.engine.sends import next_send
from livepromo.engine.state import ID_BYTES, PART_OVERHEAD, Changes, Known, State, weight_of
from livepromo.engine.sweeping import BATCH_BYTES, CANDIDATE_BYTES, next_due_ms, sweep
from livepromo.model.decisions import Candidate, Cause, Denial
from livepromo.model.records import (
    DeadReason,
    Erase,
    Event,
    Ignored,
    Malformed,
    Membership,
    Position,
    Profile,
    Properties,
    Record,
    content_id,
)
from livepromo.model.time import FOREVER_MS, HOUR_MS

RECORD_STEP = 1 << 31
"""The step of a candidate that a record makes: behind every control entry taken at its offset, before the next offset."""

PROFILE_BYTES = 256 * 1024
WINDOWS_BYTES = 800 * 1024
"""How much a batch may hold once an event has opened and closed windows: below what the journal takes at once."""
_SMALL_BYTES = 16 * 1024
EVENT_BYTES = 16 * 1024 * 1024
"""What all candidates of one event may take together: thousands of campaigns, but no record makes more than memory holds."""


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

    A record's time is its own, but never later than when Kafka had received it. Just before a record that moves stream time is taken,
    what is due by then fires. Where something is to be sent by then it stops, and says so: `send`. Taken twice from the same state the
    result is the same; records that lie before the state's position must not be handed in again. It stops before the record at which
    what is to be journalled would pass `BATCH_BYTES`, or in the middle of what is due before that record; the position says so. It stops
    behind a record that erases a user, or in the middle of that.
    """
    changes = Changes(state, horizons)
    named, lateness_ms, ahead_ms = plan.named, horizons.lateness_ms, horizons.ahead_ms
    seen, seen_now, remember, dead = state.ids.seen, changes.ids.seen, changes.ids.add, changes.dead
    known, newcomers, watches, rules_of, roles_of = state.users, changes.newcomers, plan.watches, plan.rules, plan.roles
    send, hour = next_send(state, plan), -1
    sends_ms = FOREVER_MS if send is None else send.instant_ms
    due_ms = min(next_due_ms(state, changes), sends_ms)
    stream_ms, batch_bytes = changes.stream_ms, BATCH_BYTES
    changes.took = len(batch.records)
    stopped_at: Position | None = None
    for at, (record, received_ms) in enumerate(zip(batch.records, batch.received_ms, strict=False)):  # records may be cut short
        if changes.size >= batch_bytes:
            changes.took = at
            break
        if not isinstance(record, Event):
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
        named_as: tuple[str, int] | None = None
        made: _Made | None = None
        fresh: Mapping[bytes, Remembered] | None = None
        who: bytes | None = None
        if not isinstance(record, Event):
            who = None if isinstance(record, Erase) else _who_after(state, changes, record)
            if who is not None and len(who) > PROFILE_BYTES:
                dead.append((at, DeadReason.TOO_LARGE))
                continue
        elif stream_ms - time_ms > lateness_ms:
            dead.append((at, DeadReason.TOO_OLD))
            continue
        elif record.event in named:
            event_id = record.event_id or content_id(record)
            key = key_of(record.user, event_id)
            if seen(key, time_ms) or seen_now(key, time_ms):
                changes.repeats += 1
                continue
            named_as = event_id, key
            if (rules := rules_of.get(record.event)) is not None:
                fresh = _noted(state, changes, rules, _Read(record, key, time_ms), plan.late_ms)
            if (watch := watches.get(record.event)) is not None and (
                due := [one for one in watch.asks(record.properties) if one.qualifies(record.properties, time_ms)]
            ):
                made = _made(state, changes, due, fresh, _Taken(record, event_id, time_ms, received_ms, batch.offsets[at]))
                if made is None:
                    dead.append((at, DeadReason.TOO_LARGE))
                    continue
        reach_ms = time_ms if time_ms > stream_ms else stream_ms  # noqa: FURB136 - max() costs a call for every record
        if due_ms < reach_ms:
            step = state.position.step if state.position.offset == batch.offsets[at] else 0
            place = Position(batch.offsets[at], step)
            done = sweep(state, plan, changes, min(reach_ms, sends_ms + 1), place)  # windows before sends, at one instant
            if not done or sends_ms < reach_ms:
                if done:
                    changes.send, changes.stream_ms = send, max(stream_ms, sends_ms + 1)
                changes.took, stopped_at = at, Position(place.offset, step + 1)
                break
            due_ms = min(next_due_ms(state, changes), sends_ms)
        if isinstance(record, Event) and (changes.parts or changes.outcomes) and not _fits(state, changes, roles_of, record):
            step = state.position.step if state.position.offset == batch.offsets[at] else 0
            changes.took, stopped_at = at, Position(batch.offsets[at], step + 1)
            break
        changes.stream_ms = stream_ms = reach_ms
        if named_as is not None:
            assert isinstance(record, Event)
            event_id, key = named_as
            if made is not None:
                changes.outcomes += made.outcomes
                changes.size += made.weight
            if fresh:
                changes.put_remembered(record.user, changes.changing(state, record.user), fresh)
            if (roles := roles_of.get(record.event)) is not None:
                _watch(state, changes, roles, _Taken(record, event_id, time_ms, received_ms, batch.offsets[at]))
                due_ms = min(next_due_ms(state, changes), sends_ms)
            remember(key, time_ms)
            changes.size += ID_BYTES
            if state.unready:
                _tell_scans(state, changes, rules_of.get(record.event, ()), _Read(record, key, time_ms))
            if hour != (hour := time_ms // HOUR_MS):
                changes.size += PART_OVERHEAD  # ids stand by the hour, those of another one in another record
        elif who is not None:
            kept = changes.changing(state, record.user)
            if who != kept.who:
                changes.put_who(record.user, kept, who)
        elif isinstance(record, Erase):
            if erase(state, changes, record.user, batch.offsets[at]):
                changes.took = at + 1  # it ends its batch: whatever comes next finds nothing of the user
            else:
                step = state.position.step if state.position.offset == batch.offsets[at] else 0
                changes.took, stopped_at = at, Position(batch.offsets[at], step + 1)
            break
        user = record.user
        if user not in known and user not in newcomers:
            changes.meet(user)  # who has done anything is considered by what is sent (R2)
    changes.taken = changes.took - changes.ignored - changes.repeats - len(dead)
    if stopped_at is not None:
        changes.position = stopped_at
    elif changes.took:
        changes.position = Position(batch.offsets[changes.took - 1] + 1, 0)
    return changes


def advance_time(state: State, plan: Plan, horizons: Horizons, until_ms: int) -> tuple[Changes, bool]:
    """Return what is due once stream time is `until_ms`, without a record, and whether that is all; touches nothing.

    The position is one step further. Where it is not all, the rest is due whatever comes next, perhaps behind what is to be sent.
    """
    changes = Changes(state, horizons)
    send = next_send(state, plan)
    sends_ms = FOREVER_MS if send is None else send.instant_ms
    done = sweep(state, plan, changes, min(until_ms, sends_ms + 1), state.position)
    if done:
        changes.stream_ms = max(state.stream_ms, min(until_ms, sends_ms + 1))
        if sends_ms < until_ms:
            changes.send, done = send, False
    changes.position = Position(state.position.offset, state.position.step + 1)
    return changes, done


class _Taken(NamedTuple):
    """An event that a document names, its id, and where and when it was read."""

    event: Event
    event_id: str
    time_ms: int
    received_ms: int | None
    offset: int


class _Made(NamedTuple):
    """What did campaigns owe for an event, and what that weighs."""

    outcomes: Sequence[Candidate | Denial]
    weight: int


_NOTHING = _Made((), 0)


class _Read(NamedTuple):
    """An event that is named, the key of its id, and its time."""

    event: Event
    key: int
    time_ms: int


def _noted(state: State, changes: Changes, rules: Sequence[Rule], read: _Read, late_ms: int) -> dict[bytes, Remembered]:
    """Return what is to be remembered of an event, by where it is kept."""
    fresh: dict[bytes, Remembered] = {}
    event, time_ms = read.event, read.time_ms
    kept = changes.known(state, event.user)
    for rule in rules:
        if rule.key in state.unready and _was_met(state, changes, rule, read):
            continue  # the scan has read it where it came first
        name = state.memory_of(rule)
        before = kept.remembered.get(name)
        after = noted(before, rule, time_ms, event.properties, max(changes.stream_ms, time_ms), late_ms)
        if after is not None and after is not before:
            fresh[name] = after
    return fresh


def _was_met(state: State, changes: Changes, rule: Rule, read: _Read) -> bool:
    """Say whether an event has been noted already for a rule whose past is being read: had it been named, this would be a repeat."""
    history = state.histories[rule.key]
    return read.event.event in history.named and changes.has_met(state, history.scan, read.key, read.time_ms)


def _tell_scans(state: State, changes: Changes, rules: Sequence[Rule], read: _Read) -> None:
    """Have scans know that an event has been noted, which their rules were the first to name."""
    waiting = [state.histories[rule.key] for rule in rules if rule.key in state.unready]
    for name in {history.scan for history in waiting if read.event.event in history.named}:
        if not changes.has_met(state, name, read.key, read.time_ms):
            changes.add_met(name, read.key, read.time_ms)


def _made(
    state: State, changes: Changes, due: Sequence[DidTrigger], fresh: Mapping[bytes, Remembered] | None, taken: _Taken
) -> _Made | None:
    """Return what the campaigns that an event triggers owe for it; None where that is more than may be.

    An audience sees the event itself (rules, Periods).
    """
    event, time_ms = taken.event, taken.time_ms
    person = Known(state, event.user, changes.known(state, event.user), fresh or {})
    due = [one for one in due if one.offer.needs.isdisjoint(state.unready) and one.offer.admits(person, time_ms)]
    if not due:
        return _NOTHING
    received_ms = time_ms if taken.received_ms is None else taken.received_ms
    cause = Cause("did", taken.event_id, event.event, event.ts_ms)
    occasion = Occasion(
        event.user, time_ms, received_ms, cause, cause.as_json(), event.properties, person.properties, Position(taken.offset, RECORD_STEP)
    )
    outcomes = [one.offer.outcome(occasion) for one in due]
    weights = list(map(weight_of, outcomes))
    weight = sum(weights)
    return None if max(weights) > CANDIDATE_BYTES or weight > EVENT_BYTES else _Made(outcomes, weight)


def _fits(state: State, changes: Changes, roles_of: Mapping[str, Sequence[Role]], event: Event) -> bool:
    """Say whether what an event may make of windows fits into the batch; what is small is not looked at closely."""
    roles = roles_of.get(event.event)
    if roles is None:
        return True
    windows = changes.known(state, event.user).windows
    if sum(map(len, windows.values())) < _SMALL_BYTES and not any(len(text) >= _SMALL_BYTES for text in _texts(event.properties)):
        return True
    return changes.size + _weight_of_windows(windows, roles, event) <= WINDOWS_BYTES


def _texts(properties: Properties) -> Iterator[str]:
    return (value if isinstance(value, str) else repr(value) for value in properties.values() if not isinstance(value, bool | int | float))


def _weight_of_windows(windows: Mapping[str, bytes], roles: Sequence[Role], event: Event) -> int:
    """Return about how many bytes the groups take that an event may change."""
    groups: dict[str, int] = {}
    properties_bytes = len(packed_properties(event.properties))
    for role in roles:
        absence = role.absence
        for takes, names, more in ((role.opens, absence.same, properties_bytes), (role.closes, absence.same_unless, 0)):
            value = value_of(event.properties, names) if takes else None
            if value is not None:
                group = group_key(absence.offer.campaign, value)
                groups[group] = groups.get(group, len(windows.get(group, b"")) + PART_OVERHEAD) + more
    return sum(groups.values())


def _watch(state: State, changes: Changes, roles: Sequence[Role], taken: _Taken) -> None:
    """Let an event open, move and close windows; where the batch has no room for another window, it opens none (counted)."""
    event = taken.event
    kept = changes.changing(state, event.user)
    for role in roles:
        absence = role.absence
        opening = _trigger(role, taken) if role.opens and absence.opens(event.properties, taken.time_ms) else None
        closing = _done(role, taken, kept.windows) if role.closes else None
        if opening is not None and len(opening[1].properties) >= _SMALL_BYTES:
            group = kept.windows.get(group_key(absence.offer.campaign, opening[0]), b"")
            if changes.size + len(opening[1].properties) + len(group) > WINDOWS_BYTES:
                changes.count(absence.offer.campaign)["over_limit"] += 1
                opening = None
        if opening is not None or closing is not None:
            campaign = absence.offer.campaign
            watched = Watched(absence.rules, campaign, kept.windows, changes.count(campaign))
            changes.put_windows(event.user, kept, watched.take(changes.stream_ms, done=closing, trigger=opening))


def _trigger(role: Role, taken: _Taken) -> tuple[str, Trigger] | None:
    event, absence = taken.event, role.absence
    value = value_of(event.properties, absence.same)
    if value is None:
        return None
    ahead_ms = event.ts_ms - taken.time_ms
    return value, Trigger(
        taken.time_ms, taken.offset, absence.offer.revision, taken.event_id, ahead_ms, packed_properties(event.properties)
    )


def _done(role: Role, taken: _Taken, windows: Mapping[str, bytes]) -> tuple[str, Done] | None:
    """Return what an `unless` event may close; None where that is no window, nor any that a late trigger could still open."""
    event, absence = taken.event, role.absence
    value = value_of(event.properties, absence.same_unless)
    met = 0 if value is None else absence.met(event.properties)
    if value is None or not met:
        return None
    if not absence.may_open_until(taken.time_ms) and group_key(absence.offer.campaign, value) not in windows:
        return None
    return value, Done(taken.time_ms, taken.offset, absence.offer.revision, met)


def _who_after(state: State, changes: Changes, record: Profile | Membership) -> bytes:
    """Return who a user is after a profile or a membership, as kept."""
    before = changes.known(state, record.user).user()
    return users.encode(merged(before, record) if isinstance(record, Profile) else with_membership(before, record))
