"""Everything that is kept of one user: who they are, what they did, which windows are open; packed, since there are millions."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from livepromo.behaviour import users
from livepromo.behaviour.occurrences import Remembered
from livepromo.behaviour.users import User
from livepromo.behaviour.windows import due_of
from livepromo.model.time import FOREVER_MS

NOBODY: Final = b""
"""Packed: someone of whom nothing is known but that there is one."""
UNKNOWN_WHO: Final = users.encode(users.UNKNOWN)
_FILED = Struct(">q")


class Kept(msgspec.Struct, array_like=True):
    """What is kept of one user, being changed.

    `who` is a User as `users.encode` writes it, `remembered` are occurrences by rule, `windows` packed groups by key.
    `filed_ms` is when the user is to be looked at: under that the tumbling table has an entry.
    """

    who: bytes = UNKNOWN_WHO
    remembered: dict[bytes, Remembered] = {}
    windows: dict[str, bytes] = {}
    filed_ms: int = FOREVER_MS

    def user(self) -> User:
        """Return who the user is."""
        return users.decode(self.who)

    def due_ms(self) -> int:
        """Return when something of this user is due."""
        return min(map(due_of, self.windows.values()), default=FOREVER_MS)


class _Packed(msgspec.Struct, array_like=True, gc=False):
    who: bytes
    remembered: dict[bytes, Remembered]
    windows: dict[str, bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def pack(kept: Kept) -> bytes:
    """Return a user in one object, as small as can be."""
    if kept.who == UNKNOWN_WHO and not kept.remembered and not kept.windows:
        return NOBODY
    return _FILED.pack(kept.filed_ms) + _encode(_Packed(kept.who, kept.remembered, kept.windows))


def unpack(packed: bytes) -> Kept:
    """Return what `pack` packed, to be changed."""
    if not packed:
        return Kept()
    found = _decode(memoryview(packed)[_FILED.size :])
    return Kept(found.who, found.remembered, found.windows, filed_ms(packed))


def filed_ms(packed: bytes) -> int:
    """Return under which instant a packed user is filed; `FOREVER_MS`: nowhere."""
    return int(_FILED.unpack_from(packed)[0]) if packed else FOREVER_MS
