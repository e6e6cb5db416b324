"""Which reward one event would make, decided by the engine itself, or why there would be none."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from livepromo.behaviour.conditions import compile_condition
from livepromo.behaviour.decoding import decode
from livepromo.documents import catalogue
from livepromo.engine.horizons import Horizons
from livepromo.engine.partition import Batch, advance
from livepromo.engine.plan import compile_plan
from livepromo.engine.state import State
from livepromo.ledger.deciding import within_limits
from livepromo.model.audiences import Sample
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.documents import Campaign, Credits, Custom, Document, Earn, Live, Per, Percent, Points, key_of
from livepromo.model.ids import sampled
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Event, Malformed, Profile
from livepromo.model.time import from_ms
from livepromo.rewards import payloads
from livepromo.simulation.files import InputError

USER = "preview-user"
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


def profile_of(text: str, event: Event) -> Profile:
    """Return the profile record of the event's user with the properties that a JSON object says. Raises InputError."""
    _check_object(text, "the profile")
    head = json_bytes({"type": "profile", "user": event.user, "ts": event.ts_ms}).decode()[:-1]
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


def previewed(documents: Sequence[Document], campaign: Campaign, event: Event, profile: Profile) -> Previewed:
    """Return the reward that the event makes for a user with this profile: the first of the first revision. No code is taken.

    Raises InputError where there is none, and says why.
    """
    plan = compile_plan(_published(documents), now_start_ms=_BEFORE_EVERYTHING_MS)
    changes = advance(State(Horizons()), plan, Horizons(), Batch((0, 1), (profile, event), (None, None)))
    for at, reason in changes.dead:
        raise InputError(f"the {'event' if at else 'profile'} would be a dead letter: {reason.value}")
    outcome = next((one for one in changes.outcomes if one.campaign == campaign.id), None)
    if outcome is None:
        raise InputError(f"no reward: {_why_not(campaign, event)}")
    decision = within_limits({}, outcome) if isinstance(outcome, Candidate) else outcome
    if isinstance(decision, Denial):
        raise InputError(f"no reward: it would be denied, {decision.reason.value}{_property(campaign, decision)}")
    reward = bytes(msgspec.json.decode(decision.as_json(), type=_Granted).reward)
    if not isinstance(campaign.reward, Custom):
        return Previewed(reward)
    said = msgspec.json.decode(reward, type=_CustomReward)
    value, metadata = bytes(said.value), bytes(said.payload.reward.metadata)
    return Previewed(reward, payloads.body(campaign.reward.identifiers, event.user, profile.properties, value, metadata))


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


def _why_not(campaign: Campaign, event: Event) -> str:
    assert isinstance(campaign.qualify, Live), campaign.id
    if event.event != campaign.qualify.event:
        return f'{campaign.id} waits for "{campaign.qualify.event}", the event is "{event.event}"'
    at = f"the event's time, {_shown(event.ts_ms)}"
    start_ms, end_ms = campaign.when.start_ms, campaign.when.end_ms
    if start_ms is not None and event.ts_ms < start_ms:
        return f"{at}, is before the start, {_shown(start_ms)}"
    if end_ms is not None and event.ts_ms >= end_ms:
        return f"{at}, is not before the end, {_shown(end_ms)}"
    for place, condition in enumerate(campaign.qualify.where):
        if not compile_condition(condition)(event.properties):
            values = " ".join(json_bytes(value).decode() for value in condition.values)
            return f"$.qualify.live.where[{place}] does not hold: {condition.property} {condition.op.value} {values}".rstrip()
    assert isinstance(campaign.who, Sample), "an event with the right name, at the right time, whose conditions hold"
    assert not sampled(campaign.id, event.user, campaign.who.percent_milli), "and a user in the sample"
    return f'the user "{event.user}" is not in the sample'


def _shown(instant_ms: int) -> str:
    return f"{from_ms(instant_ms):%Y-%m-%dT%H:%M:%SZ}"
