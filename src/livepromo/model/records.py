"""What comes in: events, profiles, memberships, and why a record may be put aside."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from livepromo.model.ids import UserId, hash_of
from livepromo.model.json_text import number_text

Scalar = str | bool | int | float
SCALARS = frozenset({str, bool, int, float})
"""The types of values that conditions, constant properties and interests know; others are nested."""
Properties = dict[str, Any]  # JSON values; numbers are normalised (see behaviour.decoding), null is absent


class Position(NamedTuple):
    """A place in the log of a partition: the next offset, and how many control entries were taken there. Compares as a pair."""

    offset: int
    step: int


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that a user did. `ts_ms` is what the record claims; `event_id` is None where the record has none."""

    user: UserId
    event: str
    ts_ms: int
    event_id: str | None
    properties: Properties


class Profile(msgspec.Struct, frozen=True, gc=False):
    """Properties of a user to be merged into those known; None removes one."""

    user: UserId
    ts_ms: int
    properties: Properties


class Membership(msgspec.Struct, frozen=True, gc=False):
    """A user is, or no longer is, in a segment that is fed from outside."""

    user: UserId
    ts_ms: int
    segment: str
    member: bool


class Erase(msgspec.Struct, frozen=True, gc=False):
    """All that is known of a user is to be forgotten: who they are, what they did, what is open, what was counted."""

    user: UserId
    ts_ms: int


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A record without a value, or of a type that is none of ours: counted, nothing else."""


class DeadReason(StrEnum):
    """Why a record is a dead letter."""

    NOT_JSON = "not_json"
    NOT_UNICODE = "not_unicode"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIME = "bad_time"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_OLD = "too_old"
    IN_THE_FUTURE = "in_the_future"
    BUG = "bug"


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A record that can never be processed."""

    reason: DeadReason


Record = Event | Profile | Membership | Erase | Ignored | Malformed


def _canonical(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return [number_text(value)]  # a list of one text: never equal to a text, and 1 is 1.0


def content_id(event: Event) -> str:
    """Return the name of an event that has no id: `h-` and a hash of its content, compared by value (rules, Repeats)."""
    content = msgspec.json.encode(_canonical({k: v for k, v in event.properties.items() if v is not None})).decode()
    return "h-" + hash_of(event.user, event.event, event.ts_ms, content).hex()
