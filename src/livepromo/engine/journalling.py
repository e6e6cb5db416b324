"""How the state of a partition is kept as records of its journal, and read back from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from livepromo.behaviour import repeats
from livepromo.behaviour.repeats import RecentIds
from livepromo.engine.entries import CatalogueTaken, ControlEntry, Tick
from livepromo.engine.entries import decode as decode_entry
from livepromo.engine.entries import encode as encode_entry
from livepromo.engine.histories import NOTHING_ASKED, Asked, ask
from livepromo.engine.parts import (
    ERASED,
    HISTORY,
    MEMORY,
    SCAN,
    SCANNED,
    SENT,
    WHO,
    WINDOWS,
    history_key,
    read_memory_key,
    read_scanned_key,
    read_windows_key,
    scan_key,
    scanned_key,
    unversioned,
    versioned,
    who_key,
    windows_key,
)
from livepromo.engine.state import Changes, History, Part, Scan, Sent, State
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
_history = msgspec.msgpack.Decoder(History).decode
_scan = msgspec.msgpack.Decoder(Scan).decode


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
    for name, met in changes.scanned.items():
        for key, hour, start in _met_keys(changes, name, met):
            parts.append((key, met.packed(hour)[start * repeats.ITEM_BYTES :][:_PART_BYTES]))
    parts.append(position_part(state, changes.position, changes.stream_ms, surroundings))
    return parts


def _id_parts(changes: Changes) -> Iterator[Part]:
    for hour in changes.ids.hours():
        packed = changes.ids.packed(hour)
        for start in range(0, len(packed), _PART_BYTES):
            yield id_key(hour, changes.position, start // repeats.ITEM_BYTES), packed[start : start + _PART_BYTES]


def _met_keys(changes: Changes, name: int, met: RecentIds) -> Iterator[tuple[bytes, int, int]]:
    """Yield the keys of the ids that were met while a scan is read, each with their hour and the first of them."""
    batch = f"s{changes.scans[name].next}" if name in changes.scans else f"{changes.position.offset}.{changes.position.step}"
    for hour in met.hours():
        for start in range(0, len(met.packed(hour)) // repeats.ITEM_BYTES, IDS_IN_A_PART):
            yield scanned_key(name, hour, batch, start), hour, start


def id_key(hour: int, position: Position, start: int) -> bytes:
    """Return the key of a part of ids: of one hour, made durable together with `position`; never written twice."""
    return b"%b%d:%d:%d" % (_IDS, hour, position.offset, start)


def asked_parts(asked: Asked) -> list[Part]:
    """Return the records of what is asked for from now on, and, behind them, of what no longer is."""
    parts: list[Part] = [(scan_key(name), None if one is None else versioned(_encode(one))) for name, one in asked.scans.items()]
    parts += [(history_key(rule), None if one is None else versioned(_encode(one))) for rule, one in asked.histories.items()]
    return sorted(parts, key=lambda part: part[1] is None)


def take_entry(
    state: State, entry: ControlEntry, surroundings: Surroundings, asked: Asked = NOTHING_ASKED
) -> tuple[list[Part], Callable[[], None]]:
    """Return the batch of a control entry taken now, and what makes it part of the state, to be called once the batch is durable.

    With it goes what it asks for.
    """
    at = state.position
    after = Position(at.offset, at.step + 1)
    catalogue = entry.position if isinstance(entry, CatalogueTaken) else state.catalogue
    stream_ms = max(state.stream_ms, entry.at_ms) if isinstance(entry, Tick) else state.stream_ms
    part = PositionPart(after, stream_ms, catalogue, surroundings.partitions, surroundings.tzdata)

    def taken() -> None:
        state.entries[at] = entry
        state.position, state.catalogue, state.stream_ms = after, catalogue, stream_ms
        ask(state, asked)

    return [*asked_parts(asked), (entry_key(at), versioned(encode_entry(entry))), (POSITION_KEY, _encode(part))], taken


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
    for name, met in changes.scanned.items():
        for key, hour, _ in _met_keys(changes, name, met):
            state.id_parts.setdefault(hour, {})[key] = None
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
    return not key.startswith((_IDS, SCANNED))


def restore_part(state: State, key: bytes, payload: bytes | None) -> PositionPart | None:  # noqa: C901, PLR0912 - a branch a kind
    """Take one record of the journal into `state`; in the order of the journal, each key's newest counts. Return a position's content."""
    if key == POSITION_KEY:
        assert payload is not None, "a position is never deleted"
        part = _position_part(payload)
        state.position, state.stream_ms, state.catalogue = part.position, part.stream_ms, part.catalogue
        return part
    if key.startswith(WHO):
        state.put_who(key[len(WHO) :].decode(), payload)  # type: ignore[arg-type] # UserId(user): a call more, of millions
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
    elif key.startswith(HISTORY):
        state.put_history(key[len(HISTORY) :], None if payload is None else _history(unversioned(payload)))
    elif key.startswith(SCAN):
        state.put_scan(int(key[len(SCAN) :]), None if payload is None else _scan(unversioned(payload)))
    elif key.startswith(SCANNED):
        name, hour = read_scanned_key(key)
        _restore_ids(state, hour, key, payload, lambda: state.scanned_by(name))
    elif key.startswith(_IDS):
        _restore_ids(state, int(key.split(b":")[1]), key, payload, lambda: state.ids)
    else:
        assert key.startswith(_ENTRY), key
        offset, step = key[len(_ENTRY) :].split(b":")
        at = Position(int(offset), int(step))
        if payload is None:
            state.entries.pop(at, None)
        else:
            state.entries[at] = decode_entry(unversioned(payload))
    return None


def _restore_ids(state: State, hour: int, key: bytes, payload: bytes | None, into: Callable[[], RecentIds]) -> None:
    keys = state.id_parts.setdefault(hour, {})
    if payload is not None:
        if key not in keys:
            keys[key] = None
            into().add_many(hour, payload)
    else:
        keys.pop(key, None)
        if not keys:
            del state.id_parts[hour]


def restored(state: State) -> None:
    """Put in force, once all of a journal has been taken, what scans met that are ready; what others met that are gone is forgotten."""
    for name in list(state.scanned):
        state.put_scan(name, state.scans.get(name))
    remembered = {*state.ids.hours(), *(hour for met in state.scanned.values() for hour in met.hours())}
    for hour in state.id_parts.keys() - remembered:
        state.forgotten += state.id_parts.pop(hour)
