"""How the state of a partition is kept as records of its journal, and read back from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from livepromo.behaviour import repeats
from livepromo.engine.entries import CatalogueTaken, ControlEntry, Tick
from livepromo.engine.entries import decode as decode_entry
from livepromo.engine.entries import encode as encode_entry
from livepromo.engine.parts import (
    ERASED,
    MEMORY,
    SENT,
    WHO,
    WINDOWS,
    read_memory_key,
    read_windows_key,
    unversioned,
    versioned,
    who_key,
    windows_key,
)
from livepromo.engine.state import Changes, Part, Sent, State
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.records import Position

POSITION_KEY = b"@position"
IDS_IN_A_PART = 512
FORGOTTEN_IN_A_BATCH = 1_000  # an hour of steady traffic may have hundreds of thousands of parts of ids, too many for one batch
_PART_BYTES = IDS_IN_A_PART * repeats.ITEM_BYTES
_ENTRY = b"@entry:"
_IDS = b"i:"
_encode = msgspec.msgpack.Encoder().encode


class PositionPart(msgspec.Struct, frozen=True, array_like=True):
    """The last record of every batch: up to where the state holds, and what it relies on that must not change under it."""

    position: Position
    stream_ms: int
    catalogue: int
    partitions: int
    tzdata: str


_position_part = msgspec.msgpack.Decoder(PositionPart).decode
_offset = msgspec.msgpack.Decoder(int).decode
_sent = msgspec.msgpack.Decoder(Sent).decode


class Surroundings(msgspec.Struct, frozen=True):
    """What a journal was written under: the number of partitions of the events topic, and the version of the time zones."""

    partitions: int
    tzdata: str


def position_part(state: State, position: Position, stream_ms: int, surroundings: Surroundings) -> Part:
    """Return the record that ends a batch."""
    part = PositionPart(position, stream_ms, state.catalogue, surroundings.partitions, surroundings.tzdata)
    return POSITION_KEY, _encode(part)


def read_position(payload: bytes) -> PositionPart:
    """Return what a position record says."""
    return _position_part(payload)


def parts_of(state: State, changes: Changes, surroundings: Surroundings) -> list[Part]:
    """Return the batch that makes `changes` durable: tombstones of what was forgotten, a record per changed part, the position last.

    At most `FORGOTTEN_IN_A_BATCH` tombstones go with it and the others with later batches: they are more than it makes parts of ids.
    """
    parts: list[Part] = [(key, None) for key in state.forgotten[:FORGOTTEN_IN_A_BATCH]]
    parts += changes.parts.items()
    parts += _id_parts(changes)
    parts.append(position_part(state, changes.position, changes.stream_ms, surroundings))
    return parts


def _id_parts(changes: Changes) -> Iterator[Part]:
    for hour in changes.ids.hours():
        packed = changes.ids.packed(hour)
        for start in range(0, len(packed), _PART_BYTES):
            yield id_key(hour, changes.position, start // repeats.ITEM_BYTES), packed[start : start + _PART_BYTES]


def id_key(hour: int, position: Position, start: int) -> bytes:
    """Return the key of a part of ids: of one hour, made durable together with `position`; never written twice."""
    return b"%b%d:%d:%d" % (_IDS, hour, position.offset, start)


def take_entry(state: State, entry: ControlEntry, surroundings: Surroundings) -> tuple[list[Part], Callable[[], None]]:
    """Return the batch of a control entry taken now, and what makes it part of the state, to be called once the batch is durable."""
    at = state.position
    after = Position(at.offset, at.step + 1)
    catalogue = entry.position if isinstance(entry, CatalogueTaken) else state.catalogue
    stream_ms = max(state.stream_ms, entry.at_ms) if isinstance(entry, Tick) else state.stream_ms
    part = PositionPart(after, stream_ms, catalogue, surroundings.partitions, surroundings.tzdata)

    def taken() -> None:
        state.entries[at] = entry
        state.position, state.catalogue, state.stream_ms = after, catalogue, stream_ms

    return [(entry_key(at), versioned(encode_entry(entry))), (POSITION_KEY, _encode(part))], taken


def entry_key(at: Position) -> bytes:
    """Return the key of the control entry taken at a position."""
    return b"%b%d:%d" % (_ENTRY, at.offset, at.step)


def merge_ids(state: State, changes: Changes, hours_forgotten: Iterable[int]) -> None:
    """Keep track of which parts of ids stand in the journal; those of forgotten hours get a tombstone with the next batches."""
    del state.forgotten[:FORGOTTEN_IN_A_BATCH]
    for hour in changes.ids.hours():
        keys = state.id_parts.setdefault(hour, {})
        count = len(changes.ids.packed(hour)) // repeats.ITEM_BYTES
        keys.update((id_key(hour, changes.position, start), None) for start in range(0, count, IDS_IN_A_PART))
    for hour in hours_forgotten:
        state.forgotten += state.id_parts.pop(hour, ())


def concerns(key: bytes, user: UserId) -> bool:
    """Say whether a record of the journal is about a user, or about the partition as a whole; remembered ids are about neither.

    Restored from these alone, a state knows nobody else, in little memory.
    """
    if key.startswith(WHO):
        return key == who_key(user)
    if key.startswith(WINDOWS):
        return key.startswith(windows_key(user, ""))
    if key.startswith(MEMORY):
        return read_memory_key(key)[0] == user
    return not key.startswith(_IDS)


def restore_part(state: State, key: bytes, payload: bytes | None) -> PositionPart | None:  # noqa: C901, PLR0912 - a branch a kind
    """Take one record of the journal into `state`; in the order of the journal, each key's newest counts. Return a position's content."""
    if key == POSITION_KEY:
        assert payload is not None, "a position is never deleted"
        part = _position_part(payload)
        state.position, state.stream_ms, state.catalogue = part.position, part.stream_ms, part.catalogue
        return part
    if key.startswith(WHO):
        state.put_who(UserId(key[len(WHO) :].decode()), payload)
    elif key.startswith(WINDOWS):
        user, group = read_windows_key(key)
        state.put_windows(user, group, None if payload is None else unversioned(payload))
    elif key.startswith(MEMORY):
        user, rule, number = read_memory_key(key)
        state.put_remembered(user, rule, number, None if payload is None else unversioned(payload))
    elif key.startswith(SENT):
        assert payload is not None, "how far a campaign has been sent is never forgotten"
        state.sent[CampaignId(key[len(SENT) :].decode())] = _sent(unversioned(payload))
    elif key.startswith(ERASED):
        if payload is None:
            state.erased.pop(key[len(ERASED) :], None)
        else:
            state.erased[key[len(ERASED) :]] = _offset(unversioned(payload))
    elif key.startswith(_IDS):
        hour = int(key.split(b":")[1])
        keys = state.id_parts.setdefault(hour, {})
        if payload is not None:
            if key not in keys:
                keys[key] = None
                state.ids.add_many(hour, payload)
        else:
            keys.pop(key, None)
            if not keys:
                del state.id_parts[hour]
    else:
        assert key.startswith(_ENTRY), key
        offset, step = key[len(_ENTRY) :].split(b":")
        at = Position(int(offset), int(step))
        if payload is None:
            state.entries.pop(at, None)
        else:
            state.entries[at] = decode_entry(unversioned(payload))
    return None
