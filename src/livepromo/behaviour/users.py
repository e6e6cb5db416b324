"""Who a user is: properties and segments, as the profile and segment records read so far say."""

from __future__ import annotations

import msgspec

from livepromo.model.formats import FormatError
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Membership, Profile, Properties

FORMAT = 1


class User(msgspec.Struct, frozen=True, gc=False):
    """What is known of a user; no property is None."""

    properties: Properties = {}
    segments: frozenset[str] = frozenset()


UNKNOWN = User()
"""Someone of whom nothing is known but that there is one."""


class _Written(msgspec.Struct, frozen=True):
    properties: Properties
    segments: list[str]


def merged(user: User, profile: Profile) -> User:
    """Return a user after a profile record.

    Records count in the order read, whatever their times. Twice: the second changes nothing; the record's `user` is not looked at.
    """
    properties = {name: value for name, value in {**user.properties, **profile.properties}.items() if value is not None}
    return User(properties, user.segments)


def with_membership(user: User, membership: Membership) -> User:
    """Return a user after a segment record. Order and repeats as for `merged`."""
    change = {membership.segment}
    return User(user.properties, user.segments | change if membership.member else user.segments - change)


def encode(user: User) -> bytes:
    """Return a user as kept in the journal: the format's version in a byte, then JSON, whose integers have no largest one.

    Of someone of whom nothing is known there is nothing behind the version.
    """
    version = bytes((FORMAT,))
    return version if user == UNKNOWN else version + json_bytes({"properties": user.properties, "segments": sorted(user.segments)})


def decode(value: bytes) -> User:
    """Return the user that `encode` wrote. Raises FormatError for a format that this version does not know."""
    if value[:1] != bytes((FORMAT,)):
        raise FormatError(f"a user in format {value[0] if value else 'none'}, this version knows {FORMAT}: run the version that wrote it")
    if len(value) == 1:
        return UNKNOWN
    written = msgspec.json.decode(memoryview(value)[1:], type=_Written)
    return User(written.properties, frozenset(written.segments))
