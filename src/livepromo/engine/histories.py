"""What users did before anything asked for it: which rules a catalogue asks for anew, and the scan of past records for them.

From the place at which a partition takes a catalogue, occurrences are noted for all of its rules as events are taken. Those from before it
are read in a *scan*, beside that and in any number of steps; what asks for a rule is judged only once its scan is ready, as a control
entry says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from livepromo.behaviour.occurrences import Remembered, Rule, noted
from livepromo.behaviour.repeats import RecentIds, key_of
from livepromo.engine.erasing import was_erased_since
from livepromo.engine.horizons import Horizons
from livepromo.engine.partition import Batch
from livepromo.engine.plan import Plan
from livepromo.engine.state import LONG_AGO_MS, Changes, History, Scan, State
from livepromo.engine.sweeping import BATCH_BYTES
from livepromo.model.ids import hash_of
from livepromo.model.records import Erase, Event, Membership, Position, Profile, content_id

_OF_A_USER = (Event, Profile, Membership, Erase)


class Asked(NamedTuple):
    """What changes with a control entry: where occurrences of rules are kept, and how far scans are; None: nothing asks for it any more."""

    histories: Mapping[bytes, History | None]
    scans: Mapping[int, Scan | None]


NOTHING_ASKED = Asked({}, {})


def new_rules(state: State, plan: Plan) -> list[Rule]:
    """Return the rules of a plan, not in force yet, that the state does not know; also those that were dropped and come back."""
    wanted = {rule.key: rule for rules in plan.rules.values() for rule in rules}
    # Where the owner ended before the control entry, a scan may stand there that was never asked for.
    return [rule for key, rule in wanted.items() if (known := state.histories.get(key)) is None or known.scan > state.catalogue]


def reach_ms(state: State, plan: Plan, horizons: Horizons, rule: Rule) -> int | None:
    """Return from which arrival on records matter to any decision that asks for a rule from now on; None: from the first one on.

    Those before the look-back tell what is a repeat, and what was too late.
    """
    from_ms = rule.reach_ms(state.stream_ms - plan.late_ms) if state.has_begun else None
    return None if from_ms is None else from_ms - horizons.lateness_ms - horizons.repeats_ms


def asked_by(state: State, before: Plan, after: Plan, firsts: Mapping[bytes, int]) -> Asked:
    """Return what becomes of histories when the plan `after` follows upon `before` here, at the state's position.

    `firsts` says for each of the `new_rules` at which offset the first record stands that matters to it. A rule that comes back is kept
    under another name: what is left under the old one has a gap.
    """
    at, new = state.position, new_rules(state, after)
    wanted = {rule.key for rules in after.rules.values() for rule in rules}
    histories: dict[bytes, History | None] = {key: None for key in state.histories if key not in wanted}
    for rule in new:
        named = tuple(event for event in rule.events if event not in before.named)
        histories[rule.key] = History(_memory(rule, at), after.position, named)
    left = {history.scan for key, history in state.histories.items() if key not in histories}
    scans: dict[int, Scan | None] = {name: None for name in state.scans if name not in left}
    if new:
        first = min(at.offset, *(firsts[rule.key] for rule in new))
        since_ms = state.stream_ms if state.has_begun else 0
        scans[after.position] = Scan(first, first, at.offset, LONG_AGO_MS, since_ms, first >= at.offset)
    return Asked(histories, scans)


def _memory(rule: Rule, at: Position) -> bytes:
    return hash_of("memory", rule.key.hex(), at.offset, at.step, size=len(rule.key))


def unread_of(asked: Asked) -> tuple[bytes, ...]:
    """Return the rules whose look-backs have yet to be read, as the control entry of a catalogue names them."""
    unread = {name for name, scan in asked.scans.items() if scan is not None and not scan.ready}
    return tuple(sorted(rule for rule, history in asked.histories.items() if history is not None and history.scan in unread))


def ask(state: State, asked: Asked) -> None:
    """Make what was asked for part of the state."""
    for name, scan in asked.scans.items():
        state.put_scan(name, scan)
    for rule, history in asked.histories.items():
        state.put_history(rule, history)


def next_scan(state: State) -> int | None:
    """Return the scan that is read next: the oldest that is in force and not at its end."""
    return min((name for name, scan in state.scans.items() if scan.next < scan.end and name <= state.catalogue), default=None)


def read_rules(state: State) -> tuple[bytes, ...]:
    """Return the rules that wait for nothing but the control entry that says so: all their records have been read."""
    read = {name for name, scan in state.scans.items() if scan.next >= scan.end and not scan.ready and name <= state.catalogue}
    return tuple(sorted(rule for rule, history in state.histories.items() if history.scan in read)) if read else ()


def made_ready(state: State, rules: tuple[bytes, ...]) -> Asked:
    """Return what the control entry changes that says that rules have been read."""
    names = {history.scan for rule in rules if (history := state.histories.get(rule)) is not None}
    return Asked({}, {name: msgspec.structs.replace(state.scans[name], ready=True) for name in names})


class Reading(NamedTuple):
    """A scan, by name, and the partition that reads it."""

    state: State
    plan: Plan
    horizons: Horizons
    name: int


class Scanned(NamedTuple):
    """What a scan has met so far: stream time, and the ids of late."""

    stream_ms: int
    ids: RecentIds


def nothing_scanned(horizons: Horizons) -> Scanned:
    """Return what a scan knows that begins."""
    return Scanned(LONG_AGO_MS, RecentIds(lateness_ms=horizons.lateness_ms, repeats_ms=horizons.repeats_ms))


def scan(reading: Reading, met: Scanned, batch: Batch, *, to: int | None = None) -> tuple[Changes, Scanned]:  # noqa: C901, PLR0912 - one loop
    """Return what past records make of a partition that reads them for a scan, and what it has met with them; touches nothing.

    They count as if they had been taken when they came: no repeats, none too late by the scan's own stream time. Those before the scan's
    `next` have been noted already, and say only what later ones repeat. Where a batch would grow too large it stops: see `took`. Having
    taken all of them it stands at `to`, or behind the last one.
    """
    state, plan, horizons, name = reading
    changes = Changes(state, horizons)
    at_scan = state.scans[name]
    stream_ms, seen = met.stream_ms, met.ids.seen
    if batch.offsets and batch.offsets[0] >= at_scan.next:  # also where what came long before was not read again
        stream_ms = max(stream_ms, at_scan.stream_ms)
    fresh = nothing_scanned(horizons).ids
    rules = _rules_of(state, plan, name)
    changes.took = len(batch.records)
    for at, (record, received_ms) in enumerate(zip(batch.records, batch.received_ms, strict=False)):  # records may be cut short
        if changes.size >= BATCH_BYTES:
            changes.took = at
            break
        if not isinstance(record, _OF_A_USER):
            continue
        time_ms = record.ts_ms
        if received_ms is not None and time_ms > received_ms:
            if time_ms - received_ms > horizons.ahead_ms:
                continue
            time_ms = received_ms
        if isinstance(record, Event):
            if stream_ms - time_ms > horizons.lateness_ms:
                continue
            if record.event in plan.named:
                key = key_of(record.user, record.event_id or content_id(record))
                if seen(key, time_ms) or fresh.seen(key, time_ms):
                    continue
                offset, asked = batch.offsets[at], rules.get(record.event)
                if offset >= at_scan.next and asked is not None and not was_erased_since(state, record.user, offset):
                    _note(reading, changes, record, (key, time_ms), asked)
                fresh.add(key, time_ms)
        stream_ms = max(stream_ms, time_ms)
    reached = to if to is not None and changes.took == len(batch.records) else behind(batch, changes.took)
    if reached > at_scan.next:
        since_ms = at_scan.since_ms
        if at_scan.next == at_scan.first:
            first_ms = next((one for one in batch.received_ms if one is not None), None)
            since_ms = since_ms if first_ms is None else min(since_ms, first_ms)
        changes.put_scan(name, msgspec.structs.replace(at_scan, next=reached, stream_ms=stream_ms, since_ms=since_ms))
    return changes, Scanned(stream_ms, fresh)


def met_more(met: Scanned, more: Scanned) -> Scanned:
    """Return what a scan has met now that what `scan` returned is durable; `met` is used up."""
    met.ids.update(more.ids)
    met.ids.expire(more.stream_ms)
    return Scanned(more.stream_ms, met.ids)


def behind(batch: Batch, took: int) -> int:
    """Return the offset behind the first so many records; 0 behind none."""
    return batch.offsets[took - 1] + 1 if took else 0


class _AskedRule(NamedTuple):
    rule: Rule
    memory: bytes
    named: tuple[str, ...]


def _rules_of(state: State, plan: Plan, name: int) -> dict[str, list[_AskedRule]]:
    """Return the rules that a scan reads for, by event."""
    found: dict[str, list[_AskedRule]] = {}
    for event, rules in plan.rules.items():
        for rule in rules:
            history = state.histories.get(rule.key)
            if history is not None and history.scan == name:
                found.setdefault(event, []).append(_AskedRule(rule, history.memory, history.named))
    return found


def _note(reading: Reading, changes: Changes, event: Event, item: tuple[int, int], asked: list[_AskedRule]) -> None:
    state, (key, time_ms) = reading.state, item
    kept = changes.known(state, event.user)
    fresh: dict[bytes, Remembered] = {}
    is_new = any(event.event in one.named for one in asked)  # then of no rule that is asked for with it was it named
    if is_new:
        if changes.has_met(state, reading.name, key, time_ms):
            return  # it came again after it had been asked for, and was noted then
        if time_ms >= state.stream_ms - reading.horizons.lateness_ms - reading.horizons.repeats_ms:
            changes.add_met(reading.name, key, time_ms)
    for one in asked:
        before = kept.remembered.get(one.memory)
        after = noted(before, one.rule, time_ms, event.properties, max(state.stream_ms, time_ms), reading.plan.late_ms)
        if after is not None and after is not before:
            fresh[one.memory] = after
    if fresh:
        changes.put_remembered(event.user, changes.changing(state, event.user), fresh)


class Preparing(NamedTuple):
    """How far a partition is with the look-backs that it has yet to read."""

    rules: frozenset[bytes]
    read: int
    of: int

    @property
    def share(self) -> float:
        """The part of the records that has been read, from 0 to 1."""
        return 1.0 if self.read >= self.of else self.read / self.of


def preparing(state: State) -> Preparing:
    """Return which rules are not ready, and how many records have been read for them, of how many."""
    scans = [scan for scan in state.scans.values() if not scan.ready]
    return Preparing(frozenset(state.unready), sum(one.next - one.first for one in scans), sum(one.end - one.first for one in scans))


def complete_since_ms(state: State) -> int:
    """Return from when on look-backs are true, for all rules that are asked for; 0 where nothing that came before is missing."""
    return max((scan.since_ms if scan.ready else max(0, state.stream_ms) for scan in state.scans.values()), default=0)
