"""A group of a single window in as few bytes as can be: there are millions, and what many of them share is said once."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from livepromo.behaviour.windows import Group, Trigger, pack, unpack

MOST_KINDS: Final = 1 << 14
"""How many different kinds are told apart; windows of any further ones are kept as they are."""
LARGEST_BYTES: Final = 1_024
"""Of how many bytes a group may be: so all kinds together take some megabytes, whatever events are named."""

_KIND_BITS, _TIME_BITS, _OFFSET_BITS = 16, 42, 46  # of milliseconds until 2109, and of offsets for as long
_HEAD_BYTES: Final = (_KIND_BITS + _TIME_BITS + _OFFSET_BITS) // 8
_NO_VALUE, _ANY_VALUE = -1, -2
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode
_decode_properties = msgspec.msgpack.Decoder(dict[str, Any]).decode


class _Kind(NamedTuple):
    """What windows share: campaign and revision, from the trigger until they are looked at, and the names of the trigger's properties.

    `place` says which of the properties is the constant one; else the value's text stands behind the properties', or there is none.
    """

    campaign: str
    revision: int
    span_ms: int
    is_open: bool
    place: int
    names: tuple[str, ...]


_numbers: dict[tuple[Any, ...], int] = {}  # of a kind's parts, which take less time to put together
_kinds: list[_Kind] = []


def shrunk(key: str, packed: bytes, due_ms: int, windows: int) -> bytes | None:
    """Return a group, packed, and its key in fewer bytes, for this process alone; None where it is not just a window as most are.

    `due_ms` and `windows` are what `head_of` says of the group.
    """
    if windows != 1 or len(packed) > LARGEST_BYTES:
        return None
    group = unpack(packed)
    trigger = group.open[0] if group.open else group.triggers[0]
    if group.dones or group.done or group.held_ms or trigger.ahead_ms or trigger.offset >> _OFFSET_BITS or trigger.time_ms >> _TIME_BITS:
        return None
    campaign, _, value = key.partition("\0")
    try:
        properties = _decode_properties(trigger.properties)
    except msgspec.DecodeError:  # they are JSON, because msgpack has no such integer
        return None
    values: list[Any] = [trigger.event_id, *properties.values()]
    place = _NO_VALUE
    if value:
        text = value[2:-2]
        try:
            place = values.index(text, 1) if value == f'["{text}"]' else _ANY_VALUE
        except ValueError:
            place = _ANY_VALUE
        if place == _ANY_VALUE:
            values.append(value)
    shared: tuple[Any, ...] = (campaign, trigger.revision, due_ms - trigger.time_ms, bool(group.open), place, *properties)
    number = _numbers.get(shared)
    if number is None:
        if len(_kinds) >= MOST_KINDS:
            return None
        number = _numbers[shared] = len(_kinds)
        _kinds.append(_Kind(campaign, trigger.revision, due_ms - trigger.time_ms, bool(group.open), place, tuple(properties)))
    head = (number << _TIME_BITS | trigger.time_ms) << _OFFSET_BITS | trigger.offset
    return head.to_bytes(_HEAD_BYTES, "big") + _encode(values)


def shrunk_due_ms(small: bytes) -> int:
    """Return when a group that was shrunk is to be looked at."""
    head = int.from_bytes(small[:_HEAD_BYTES], "big") >> _OFFSET_BITS
    return _kinds[head >> _TIME_BITS].span_ms + (head & (1 << _TIME_BITS) - 1)


def restored(small: bytes) -> tuple[str, bytes]:
    """Return the key and the group that `shrunk` was given."""
    head = int.from_bytes(small[:_HEAD_BYTES], "big")
    kind = _kinds[head >> _TIME_BITS + _OFFSET_BITS]
    time_ms, offset = head >> _OFFSET_BITS & (1 << _TIME_BITS) - 1, head & (1 << _OFFSET_BITS) - 1
    event_id, *values = _decode(small[_HEAD_BYTES:])
    value = ""
    if kind.place == _ANY_VALUE:
        value = values.pop()
    elif kind.place != _NO_VALUE:
        value = f'["{values[kind.place - 1]}"]'
    properties = _encode(dict(zip(kind.names, values, strict=True)))
    trigger = [Trigger(time_ms, offset, kind.revision, event_id, 0, properties)]
    group = Group(open=trigger) if kind.is_open else Group(triggers=trigger)
    return f"{kind.campaign}\0{value}", pack(group, time_ms + kind.span_ms)
