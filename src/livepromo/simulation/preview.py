"""Which reward one event would make, decided by the engine itself, or why there would be none."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from livepromo.behaviour import users
from livepromo.behaviour.conditions import compile_condition
from livepromo.behaviour.decoding import decode
from livepromo.behaviour.users import User
from livepromo.documents import catalogue
from livepromo.engine.horizons import Horizons
from livepromo.engine.partition import Batch, advance, advance_time
from livepromo.engine.plan import Plan, compile_plan
from livepromo.engine.sends import visit
from livepromo.engine.state import State, merge
from livepromo.ledger.deciding import within_limits
from livepromo.model.audiences import Sample
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.documents import Campaign, Credits, Custom, Document, Earn, Live, Per, Percent, Points, key_of
from livepromo.model.ids import UserId, sampled
from livepromo.model.json_text import json_bytes
from livepromo.model.records import SCALARS, Event, Malformed, Profile
from livepromo.model.time import FOREVER_MS, from_ms
from livepromo.rewards import payloads
from livepromo.simulation.files import InputError

USER = UserId("preview-user")
_BEFORE_EVERYTHING_MS = -(1 << 61)  # `start: now` is before every event, as in a simulation


class _Granted(msgspec.Struct):
    reward: msgspec.Raw


class _Sent(msgspec.Struct):
    metadata: msgspec.Raw


class _Payload(msgspec.Struct):
    reward: _Sent


class _CustomReward(msgspec.Struct):
    value: msgspec.Raw
    payload: _Payload


class Previewed(msgspec.Struct, frozen=True):
    """A reward as it is published, and for a custom one what its endpoint is sent; JSON."""

    reward: bytes
    payload: bytes = b"null"


def event_of(text: str, campaign: Campaign, now_ms: int) -> Event:
    """Return the event that a JSON object says, read as a record that comes in; user, name and time are filled in where it has none.

    The time is now or, where the campaign does not run now, the nearest at which it does. Raises InputError.
    """
    _check_object(text, "the event")
    assert isinstance(campaign.qualify, Live), campaign.id
    # In front, since of duplicate keys the last counts; and as text, since its numbers must be read as those of a record are.
    filled = json_bytes({"user": USER, "event": campaign.qualify.event, "ts": _nearest_ms(campaign, now_ms)}).decode()[:-1]
    rest = text.strip()[1:].lstrip()
    record = decode(_bytes(filled + ("" if rest == "}" else ",") + rest))
    if isinstance(record, Malformed):
        raise InputError(f"the event would be a dead letter: {record.reason.value}")
    if not isinstance(record, Event):
        raise InputError("that is a record of another type: give an event, and the user's properties as the profile")
    return record


def _nearest_ms(campaign: Campaign, now_ms: int) -> int:
    start_ms, end_ms = campaign.when.start_ms, campaign.when.end_ms
    if start_ms is not None and now_ms < start_ms:
        return start_ms
    return now_ms if end_ms is None else min(now_ms, end_ms - 1)


def profile_of(text: str, user: UserId, ts_ms: int) -> Profile:
    """Return the profile record of a user with the properties that a JSON object says. Raises InputError."""
    _check_object(text, "the profile")
    head = json_bytes({"type": "profile", "user": user, "ts": ts_ms}).decode()[:-1]
    record = decode(_bytes(f'{head},"properties":{text}}}'))
    if isinstance(record, Malformed):
        raise InputError(f"the profile would be a dead letter: {record.reason.value}")
    assert isinstance(record, Profile), record
    return record


def _check_object(text: str, what: str) -> None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f'{what} is no JSON object: write it as {{"…": …}}')


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # bytes of the command line that are no UTF-8 are judged as those of a record


def previewed(documents: Sequence[Document], campaign: Campaign, event: Event | None, profile: Profile) -> Previewed:
    """Return the reward that the event makes for a user with this profile: the first of the first revision. No code is taken.

    With `unless`, nothing follows the event. Where the campaign is sent there is no event: it is sent at the profile's time unless it says
    when, and to a list as if the user stood on it. Raises InputError where there is no reward, and says why.
    """
    alone = [one for one in documents if one is campaign or not isinstance(one, Campaign)]
    plan = compile_plan(_published(alone), now_start_ms=_BEFORE_EVERYTHING_MS, now_send_ms=profile.ts_ms)
    outcome = _sent(plan, profile) if event is None else _made(plan, event, profile)
    if outcome is None:
        raise InputError(f"no reward: {_why_not(campaign, event, profile.user)}")
    decision = within_limits({}, outcome) if isinstance(outcome, Candidate) else outcome
    if isinstance(decision, Denial):
        raise InputError(f"no reward: it would be denied, {decision.reason.value}{_property(campaign, decision)}")
    reward = bytes(msgspec.json.decode(decision.as_json(), type=_Granted).reward)
    if not isinstance(campaign.reward, Custom):
        return Previewed(reward)
    said = msgspec.json.decode(reward, type=_CustomReward)
    value, metadata = bytes(said.value), bytes(said.payload.reward.metadata)
    return Previewed(reward, payloads.body(campaign.reward.identifiers, profile.user, profile.properties, value, metadata))


def _made(plan: Plan, event: Event, profile: Profile) -> Candidate | Denial | None:
    """Return what a live campaign owes for an event, at once or when time has gone by."""
    state, horizons = State(Horizons()), Horizons()
    changes = advance(state, plan, horizons, Batch((0, 1), (profile, event), (None, None)))
    for at, reason in changes.dead:
        raise InputError(f"the {'event' if at else 'profile'} would be a dead letter: {reason.value}")
    outcomes, done = list(changes.outcomes), False
    while not outcomes and not done:
        merge(state, changes)
        changes, done = advance_time(state, plan, horizons, FOREVER_MS)
        outcomes += changes.outcomes
    return outcomes[0] if outcomes else None


def _sent(plan: Plan, profile: Profile) -> Candidate | Denial | None:
    """Return what a campaign owes a user when it is sent."""
    state, [send] = State(Horizons()), plan.sends
    on_lists = frozenset() if send.list is None else frozenset({f"list/{send.list}"})
    state.put_who(profile.user, users.encode(users.merged(User(segments=on_lists), profile)))
    changes, _ = visit(state, Horizons(), send, [profile.user], state.position, left=1)
    return changes.outcomes[0] if changes.outcomes else None


def _published(documents: Sequence[Document]) -> catalogue.Catalogue:
    publication = catalogue.Publication("preview", {key_of(one): 0 for one in documents}, tuple(documents))
    published, valid = catalogue.take(catalogue.Catalogue(), 0, 0, publication)
    assert valid, "documents that were checked publish"
    return published


def _property(campaign: Campaign, denial: Denial) -> str:
    """Return which property a denial is about, if any."""
    earn = _earn(campaign)
    about = denial.reason.value.startswith(("property_", "amount_"))
    return f": the event's {earn.of}" if about and isinstance(earn, Percent | Per) else ""


def _earn(campaign: Campaign) -> Earn | None:
    match campaign.reward:
        case Points(earn=earn) | Custom(gift=Credits(earn=earn)):
            return earn
        case _:
            return None


def _why_not(campaign: Campaign, event: Event | None, user: UserId) -> str:
    if event is not None and (said := _why_not_by(campaign, event)) is not None:
        return said
    assert campaign.who is not None, "what qualifies, and may be anyone"
    if isinstance(campaign.who, Sample):
        assert not sampled(campaign.id, user, campaign.who.percent_milli), "and a user in the sample"
        return f'the user "{user}" is not in the sample'
    known = "the profile" if event is None else "the profile, and that this event happened"
    return f'the user "{user}" is not in $.who: nothing is known here of the user but {known}'


def _why_not_by(campaign: Campaign, event: Event) -> str | None:
    """Return why an event makes no reward, whoever the user is; None where it would."""
    live = campaign.qualify
    assert isinstance(live, Live), campaign.id
    if event.event != live.event:
        return f'{campaign.id} waits for "{live.event}", the event is "{event.event}"'
    at = f"the event's time, {_shown(event.ts_ms)}"
    start_ms, end_ms = campaign.when.start_ms, campaign.when.end_ms
    if start_ms is not None and event.ts_ms < start_ms:
        return f"{at}, is before the start, {_shown(start_ms)}"
    if end_ms is not None and event.ts_ms >= end_ms:
        return f"{at}, is not before the end, {_shown(end_ms)}"
    for place, condition in enumerate(live.where):
        if not compile_condition(condition)(event.properties):
            values = " ".join(json_bytes(value).decode() for value in condition.values)
            return f"$.qualify.live.where[{place}] does not hold: {condition.property} {condition.op.value} {values}".rstrip()
    return None if live.unless is None else _why_no_window(campaign, live, live.unless.within_ms, event)


def _why_no_window(campaign: Campaign, live: Live, within_ms: int, event: Event) -> str | None:
    missing = [same.event for same in live.same if type(event.properties.get(same.event)) not in SCALARS]
    if missing:
        return f"the event has no {', no '.join(missing)}, by which {campaign.id} tells windows apart: $.qualify.live.same"
    deadline_ms, end_ms = event.ts_ms + within_ms, campaign.when.end_ms
    if end_ms is not None and deadline_ms >= end_ms:
        return f"the deadline, {_shown(deadline_ms)}, is not before the end, {_shown(end_ms)}"
    return None


def _shown(instant_ms: int) -> str:
    return f"{from_ms(instant_ms):%Y-%m-%dT%H:%M:%SZ}"
