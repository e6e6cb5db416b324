"""Which events have been taken already: ids, remembered for a while by the time of the event that was taken."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from livepromo.model.ids import UserId, hash_of
from livepromo.model.time import HOUR_MS

_ITEM: Final = struct.Struct("<QI")  # a key, and the millisecond within its hour
ITEM_BYTES: Final = _ITEM.size


def key_of(user: UserId, event_id: str) -> int:
    """Return the 64 bits by which an event of a user is remembered.

    Two different events share them once in 2^64 pairs: of ten million ids remembered, one in 10^12 new events is taken for a repeat.
    """
    return int.from_bytes(hash_of(user, event_id, size=8), "little")


def hour_of(ts_ms: int) -> int:
    """Return the hour since the epoch that holds an instant."""
    return ts_ms // HOUR_MS


def pack(items: Iterable[tuple[int, int]]) -> bytes:
    """Return (key, time) pairs of one hour in 12 bytes each, in the order given."""
    return b"".join(_ITEM.pack(key, ts_ms % HOUR_MS) for key, ts_ms in items)


def unpack(hour: int, packed: bytes) -> Iterator[tuple[int, int]]:
    """Yield the (key, time) pairs of one hour. Raises ValueError where `packed` is no whole number of pairs of one."""
    if len(packed) % ITEM_BYTES:
        raise ValueError(f"{len(packed)} bytes of ids are no multiple of {ITEM_BYTES}: the record is damaged")
    for key, within_ms in _ITEM.iter_unpack(packed):
        if within_ms >= HOUR_MS:
            raise ValueError(f"an id at millisecond {within_ms} of its hour: the record is damaged")
        yield key, hour * HOUR_MS + within_ms


class RecentIds:
    """The ids of one partition that an event may still repeat.

    Twice: adding a pair again changes nothing. Late and out of order: only the times of events count, not the order of adding, so a
    restore may add hours in any order. Bounded by the events of `lateness_ms + repeats_ms`, if `expire` follows stream time.
    """

    def __init__(self, repeats_ms: int, lateness_ms: int) -> None:
        self._repeats_ms = repeats_ms
        self._kept_ms = lateness_ms + repeats_ms  # an event later than lateness is a dead letter, so it needs no older id
        self._times: dict[int, int | tuple[int, ...]] = {}  # nearly every key has one time
        self._hours: dict[int, bytearray] = {}

    def __len__(self) -> int:
        return sum(map(len, self._hours.values())) // ITEM_BYTES

    def seen(self, key: int, ts_ms: int) -> bool:
        """Say whether this id was taken within `repeats_ms` of `ts_ms`, before or after, both ends included."""
        times = self._times.get(key)
        if times is None:
            return False
        if isinstance(times, int):
            return -self._repeats_ms <= ts_ms - times <= self._repeats_ms
        return any(-self._repeats_ms <= ts_ms - taken_ms <= self._repeats_ms for taken_ms in times)

    def add(self, key: int, ts_ms: int) -> None:
        """Remember that this id was taken with that time."""
        times = self._times.get(key)
        if times is None:
            self._times[key] = ts_ms
        else:
            known = (times,) if isinstance(times, int) else times
            if ts_ms in known:
                return
            self._times[key] = (*known, ts_ms)
        hour, within_ms = divmod(ts_ms, HOUR_MS)
        bucket = self._hours.get(hour)
        if bucket is None:
            bucket = self._hours[hour] = bytearray()
        bucket += _ITEM.pack(key, within_ms)

    def add_many(self, hour: int, packed: bytes) -> None:
        """Remember the ids of one hour, packed."""
        for key, ts_ms in unpack(hour, packed):
            self.add(key, ts_ms)

    def update(self, other: RecentIds) -> None:
        """Remember all ids of another memory."""
        if self._times.keys().isdisjoint(other._times):  # nearly always: nothing has to be looked at one by one
            self._times.update(other._times)
            for hour, packed in other._hours.items():
                self._hours.setdefault(hour, bytearray()).extend(packed)
            return
        for hour, packed in other._hours.items():
            self.add_many(hour, bytes(packed))

    def hours(self) -> list[int]:
        """Return the hours of which ids are remembered, ascending."""
        return sorted(self._hours)

    def packed(self, hour: int) -> bytes:
        """Return the ids of one hour in the order added, `ITEM_BYTES` each, as `pack` writes them."""
        return bytes(self._hours.get(hour, b""))

    def bucket(self, hour: int) -> list[tuple[int, int]]:
        """Return the (key, time) pairs of one hour, in the order added."""
        return list(unpack(hour, bytes(self._hours.get(hour, b""))))

    def expire(self, stream_ms: int) -> list[int]:
        """Forget the hours that no event still to be taken can repeat, once stream time is `stream_ms`; return them, ascending.

        An hour goes as a whole, when its last millisecond is older than lateness and repeats together.
        """
        first_kept = (stream_ms - self._kept_ms) // HOUR_MS
        if not self._hours or min(self._hours) >= first_kept:
            return []
        gone = sorted(hour for hour in self._hours if hour < first_kept)
        for hour in gone:
            for key, ts_ms in unpack(hour, bytes(self._hours.pop(hour))):
                self._forget(key, ts_ms)
        return gone

    def _forget(self, key: int, ts_ms: int) -> None:
        times = self._times[key]
        if isinstance(times, int):
            del self._times[key]
            return
        left = tuple(taken_ms for taken_ms in times if taken_ms != ts_ms)
        self._times[key] = left[0] if len(left) == 1 else left
