"""Which windows fire when stream time moves on, in the order in which their decisions are made (A5)."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from typing import NamedTuple

from livepromo.behaviour.windows import Trigger, Watched, deadline_ms, due_of, instant_ms, properties_of
from livepromo.engine.offers import Absence
from livepromo.engine.owing import Occasion
from livepromo.engine.plan import Plan
from livepromo.engine.state import Changes, Known, State, campaign_of, weight_of
from livepromo.model.decisions import Cause, Denial, Reason
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.records import Position
from livepromo.model.time import FOREVER_MS, SECOND_MS

BATCH_BYTES = 512 * 1024
CANDIDATE_BYTES = 256 * 1024
HOLD_MS = SECOND_MS
"""After how long windows of a campaign that is being prepared are looked at again."""


class _Due(NamedTuple):
    """A group of windows at the instant at which it is due: sorted, they stand in the order in which they fire."""

    campaign: CampaignId
    offset: int
    user: UserId
    group: str


def next_due_ms(state: State, changes: Changes) -> int:
    """Return an instant before or at which nothing is due."""
    near = state.timers.near
    first_ms = near[changes.looked][0] if changes.looked < len(near) else FOREVER_MS
    if changes.due and changes.due[0][0] < first_ms:
        first_ms = changes.due[0][0]
    return min(first_ms, state.timers.next_ms)


def sweep(state: State, plan: Plan, changes: Changes, until_ms: int, at: Position) -> bool:
    """Fire the windows that are due before `until_ms`, as if stream time moved there; say whether all have been.

    Where the batch would grow too large it stops; taken up again from what it made, it goes on with the next one in order. The candidates
    stand at `at`.
    """
    timers = state.timers
    while True:
        near, due = timers.near, changes.due
        first_ms = near[changes.looked][0] if changes.looked < len(near) else FOREVER_MS
        if due and due[0][0] < first_ms:
            first_ms = due[0][0]
        if timers.next_ms <= first_ms and timers.next_ms < until_ms:
            timers.open_until(timers.next_ms + 1, state.filed_ms)
            continue
        if first_ms >= until_ms:
            return True
        users: dict[UserId, None] = {}
        while changes.looked < len(near) and near[changes.looked][0] == first_ms:
            users[near[changes.looked][1]] = None
            changes.looked += 1
        while due and due[0][0] == first_ms:
            users[heappop(due)[1]] = None
        if not _fire(state, plan, changes, users, (first_ms, until_ms, at)):
            return False


def _fire(state: State, plan: Plan, changes: Changes, users: dict[UserId, None], at: tuple[int, int, Position]) -> bool:
    """Fire what is due of these users at one instant; say whether all of it has been fired."""
    at_ms, until_ms, place = at
    waiting: list[_Due] = []
    for user in users:
        kept = changes.known(state, user)
        if kept.filed_ms == at_ms:  # else filed anew since, elsewhere
            waiting += [_Due(campaign_of(group), -1, user, group) for group, packed in kept.windows.items() if due_of(packed) <= at_ms]
    if len(waiting) > 1:
        waiting = sorted(one._replace(offset=_place_of(state, plan, changes, one, at_ms)) for one in waiting)
    full = False
    for one in waiting:
        if full := changes.size >= BATCH_BYTES:
            break
        kept = changes.changing(state, one.user)
        absence = plan.absences[one.campaign]
        hold_until_ms = 0 if absence.offer.needs.isdisjoint(state.unready) else max(at_ms, until_ms) + HOLD_MS
        watched = Watched(absence.rules, one.campaign, kept.windows, changes.count(one.campaign))
        fired, changed = watched.fire(_value(one.group), at_ms, hold_until_ms=hold_until_ms)
        changes.put_windows(one.user, kept, changed)
        for window in fired:
            _decide(changes, absence, Known(state, one.user, kept, {}), window, place)
    for user in users:
        if changes.known(state, user).filed_ms == at_ms:
            kept = changes.changing(state, user)
            kept.filed_ms = kept.due_ms()
            assert full or kept.filed_ms > at_ms, "what was due is done, or is due later"
            heappush(changes.due, (kept.filed_ms, user))
    return not full


def _value(group: str) -> str:
    return group.partition("\0")[2]


def _place_of(state: State, plan: Plan, changes: Changes, one: _Due, at_ms: int) -> int:
    """Return the place in the stream of the trigger whose window fires; -1 where none does."""
    windows = changes.known(state, one.user).windows
    fired, _ = Watched(plan.absences[one.campaign].rules, one.campaign, windows, Counter()).fire(_value(one.group), at_ms)
    return min((window.offset for window in fired), default=-1)


def _decide(changes: Changes, absence: Absence, person: Known, window: Trigger, at: Position) -> None:
    """Decide about a window that fires, by what is in force now and as of its deadline (A3, A7, A8)."""
    offer = absence.offer
    ends_ms = deadline_ms(absence.rules, window)
    tally = changes.count(offer.campaign)
    if not absence.counts(window.time_ms, ends_ms):
        tally["stopped"] += 1
        return
    tally["fired"] += 1
    changes.fired_ms.append(instant_ms(absence.rules, window))
    if not offer.admits(person, ends_ms):
        return
    cause = Cause("did_not", window.event_id, absence.event, window.time_ms + window.ahead_ms, ends_ms)
    occasion = Occasion(person.user, ends_ms, None, cause, cause.as_json(), properties_of(window), person.properties, at)
    outcome = offer.outcome(occasion)
    if weight_of(outcome) > CANDIDATE_BYTES:  # there is no record any more that could be put aside
        outcome = Denial(offer.campaign, offer.revision, person.user, ends_ms, cause.as_json(), Reason.AMOUNT_TOO_LARGE)
    changes.add_outcome(outcome)
