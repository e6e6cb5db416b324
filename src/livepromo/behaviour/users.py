"""Who a user is: properties and segments, as the profile and segment records read so far say."""

from __future__ import annotations

import msgspec

from livepromo.model.formats import FormatError
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Membership, Profile, Properties

FORMAT = 1


class User(msgspec.Struct, frozen=True, gc=False):
    """What is known of a user; no property is None. Someone of whom nothing is known is no User at all."""

    properties: Properties = {}
    segments: frozenset[str] = frozenset()


class _Written(msgspec.Struct, frozen=True):
    properties: Properties
    segments: list[str]


def merged(user: User | None, profile: Profile) -> User | None:
    """Return a user after a profile record; None where nothing is left to be known.

    Records count in the order read, whatever their times. Twice: the second changes nothing; the record's `user` is not looked at.
    """
    known = user or User()
    properties = {name: value for name, value in {**known.properties, **profile.properties}.items() if value is not None}
    return _kept(User(properties, known.segments))


def with_membership(user: User | None, membership: Membership) -> User | None:
    """Return a user after a segment record; None where nothing is left to be known. Order and repeats as for `merged`."""
    known = user or User()
    change = {membership.segment}
    return _kept(User(known.properties, known.segments | change if membership.member else known.segments - change))


def _kept(user: User) -> User | None:
    return user if user.properties or user.segments else None


def encode(user: User) -> bytes:
    """Return a user as kept in the journal: the format's version in a byte, then JSON, whose integers have no largest one."""
    return bytes((FORMAT,)) + json_bytes({"properties": user.properties, "segments": sorted(user.segments)})


def decode(value: bytes) -> User:
    """Return the user that `encode` wrote. Raises FormatError for a format that this version does not know."""
    if value[:1] != bytes((FORMAT,)):
        raise FormatError(f"a user in format {value[0] if value else 'none'}, this version knows {FORMAT}: run the version that wrote it")
    written = msgspec.json.decode(memoryview(value)[1:], type=_Written)
    return User(written.properties, frozenset(written.segments))
