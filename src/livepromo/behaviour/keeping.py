"""Everything that is kept of one user: who they are, what they did, which windows are open; packed, since there are millions."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from livepromo.behaviour import users
from livepromo.behaviour.lone import restored, shrunk, shrunk_due_ms
from livepromo.behaviour.occurrences import Remembered
from livepromo.behaviour.users import User
from livepromo.behaviour.windows import due_of, head_of
from livepromo.model.time import FOREVER_MS

NOBODY: Final = b""
"""Packed: someone of whom nothing is known but that there is one."""
UNKNOWN_WHO: Final = users.encode(users.UNKNOWN)
_FILED = Struct(">Bq")
_LONE: Final = b"\1"  # nothing else is known of the user
_MANY: Final = 8  # windows, of which each is kept as it is: they change often, and their user's name weighs little


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
        windows = self.windows
        return min(map(due_of, windows.values())) if windows else FOREVER_MS


class _Packed(msgspec.Struct, array_like=True, gc=False):
    who: bytes
    remembered: dict[bytes, Remembered | bytes]  # bytes: a first chunk that is the only one
    windows: dict[str, bytes]
    lone: list[bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def pack(kept: Kept) -> bytes:
    """Return a user in one object, as small as can be; to be understood by this process alone."""
    windows = kept.windows
    small = (
        {}
        if len(windows) > _MANY
        else {key: lone for key, group in windows.items() if (lone := shrunk(key, group, *head_of(group))) is not None}
    )
    if kept.who == UNKNOWN_WHO and not kept.remembered:
        if not windows:
            return NOBODY
        if len(windows) == len(small) == 1:
            [lone] = small.values()
            if shrunk_due_ms(lone) == kept.filed_ms:
                return _LONE + lone
    return _packed(kept, small)


def pack_window(key: str, group: bytes, due_ms: int, windows: int) -> bytes:
    """Return, packed, a user of whom nothing is known but one group, of so many windows, filed under when that is due."""
    lone = shrunk(key, group, due_ms, windows)
    return _packed(Kept(windows={key: group}, filed_ms=due_ms), {}) if lone is None else _LONE + lone


def _packed(kept: Kept, small: dict[str, bytes]) -> bytes:
    windows = kept.windows
    remembered = {rule: one.chunks[0] if one.first == 0 and len(one.chunks) == 1 else one for rule, one in kept.remembered.items()}
    others = {key: group for key, group in windows.items() if key not in small} if small else windows
    return _FILED.pack(0, kept.filed_ms) + _encode(_Packed(kept.who, remembered, others, list(small.values())))


def unpack(packed: bytes) -> Kept:
    """Return what `pack` packed, to be changed."""
    if not packed:
        return Kept()
    if packed[0]:
        lone = packed[1:]
        key, group = restored(lone)
        return Kept(windows={key: group}, filed_ms=due_of(group))
    found = _decode(memoryview(packed)[_FILED.size :])
    remembered = {rule: Remembered(0, (one,)) if isinstance(one, bytes) else one for rule, one in found.remembered.items()}
    found.windows.update(map(restored, found.lone))
    return Kept(found.who, remembered, found.windows, filed_ms(packed))


def filed_ms(packed: bytes) -> int:
    """Return under which instant a packed user is filed; `FOREVER_MS`: nowhere."""
    if not packed:
        return FOREVER_MS
    return shrunk_due_ms(packed[1:]) if packed[0] else int(_FILED.unpack_from(packed)[1])
