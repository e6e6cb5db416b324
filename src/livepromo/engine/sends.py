"""Who is to be sent a past or list campaign, a bounded number of users at a time, in the order of their ids (R2, R12)."""

from __future__ import annotations

from collections.abc import Sequence

from livepromo.documents.catalogue import State as CampaignState
from livepromo.engine.horizons import Horizons
from livepromo.engine.offers import Send
from livepromo.engine.owing import Occasion
from livepromo.engine.plan import Plan
from livepromo.engine.state import Changes, Known, Sent, State, weight_of
from livepromo.engine.sweeping import BATCH_BYTES, CANDIDATE_BYTES
from livepromo.model.decisions import Cause, Denial, Reason
from livepromo.model.ids import UserId
from livepromo.model.records import Position

USERS_AT_ONCE = 2_000


def next_send(state: State, plan: Plan) -> Send | None:
    """Return the send that comes next: not one that is over, nor one whose campaign is paused, stopped or being prepared."""
    for send in plan.sends:
        offer = send.offer
        sent = state.sent.get(offer.campaign)
        if offer.state is CampaignState.RUNNING and offer.needs.isdisjoint(state.unready) and not (sent is not None and sent.done):
            return send
    return None


def users_of(state: State, send: Send) -> list[UserId]:
    """Return the users whom a send has still to visit: of everyone who is known, in the order of their ids' bytes."""
    sent = state.sent.get(send.offer.campaign)
    last = "" if sent is None else sent.last
    return sorted(user for user in state.users if user > last)  # text is ordered by code point, as its bytes are


def visit(  # noqa: PLR0913 - what, for whom, where
    state: State, horizons: Horizons, send: Send, users: Sequence[UserId], place: Position, *, left: int
) -> tuple[Changes, int]:
    """Return what a campaign owes the first of these users, and how many of them that are: fewer where a batch would grow too large.

    `users` are the next of those that `users_of` returns, of which `left` are left: after the last of them the send is over. Candidates
    stand at `place`; the position of the changes is one step behind that. Touches nothing; twice it gives the same.
    """
    offer = send.offer
    changes = Changes(state, horizons)
    cause = Cause(send.kind)
    cause_json = cause.as_json()
    on_list = None if send.list is None else f"list/{send.list}"
    count = 0
    for user in users:
        if changes.size >= BATCH_BYTES:
            break
        count += 1
        person = Known(state, user, changes.known(state, user), {})
        if (on_list is not None and on_list not in person.segments) or not offer.admits(person, send.send_ms):
            continue
        outcome = offer.outcome(Occasion(user, send.send_ms, None, cause, cause_json, {}, person.properties, place))
        if weight_of(outcome) > CANDIDATE_BYTES:  # there is no record that could be put aside
            outcome = Denial(offer.campaign, offer.revision, user, send.send_ms, cause_json, Reason.AMOUNT_TOO_LARGE)
        changes.add_outcome(outcome)
    changes.kept.clear()  # they were only looked at
    sent = Sent(done=count == left, last=users[count - 1] if count else UserId(""))
    changes.put_sent(offer.campaign, sent)
    changes.position = Position(place.offset, place.step + 1)
    return changes, count
