"""Who is to be looked at next: users in tumbling buckets of the instant at which something of theirs is due."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Final

from livepromo.model.ids import UserId
from livepromo.model.time import FOREVER_MS, SECOND_MS

_STEP: Final = 6  # widths are 1 s, about a minute, an hour, 3 days, half a year
_WIDEST_MS: Final = SECOND_MS << 4 * _STEP
_WIDTH_AT_FIRST_MS: Final = SECOND_MS << 2 * _STEP  # while it is restored nobody knows what is near: no bucket may hold all there is
_LENGTH_BYTES: Final = 2
_LENGTHS: Final = tuple(length.to_bytes(_LENGTH_BYTES, "little") for length in range(4 * 255 + 1))  # of a name of 255 characters at most

DueOf = Callable[[UserId], int]


class Tumbling:
    """A tumbling table: filing a user is O(1) however many are filed, and opening a bucket costs what is in it.

    Buckets are a second wide near to what has been opened, and wider further out; a wide one is spread over narrower ones when its time
    comes. Users stand there as text without objects, some ten bytes each. `near` has, in order, those of opened buckets: (due, user).
    An entry is a hint: who files a user again leaves the old entry behind, and it is for the reader to see that nothing is due.
    """

    def __init__(self) -> None:
        self.near: list[tuple[int, UserId]] = []
        self._opened_ms = 0  # every bucket that begins before has been opened
        self._buckets: dict[tuple[int, int], bytearray] = {}  # (begin, width)
        self._begins: list[tuple[int, int]] = []  # a heap of their keys

    def __len__(self) -> int:
        return len(self.near) + sum(sum(1 for _ in _users(bucket)) for bucket in self._buckets.values())

    def file(self, due_ms: int, user: UserId) -> None:
        """File a user under the instant at which something is due; `FOREVER_MS`: nowhere."""
        if due_ms >= FOREVER_MS:
            return
        if due_ms < self._opened_ms:
            insort(self.near, (due_ms, user))
            return
        width_ms = _WIDTH_AT_FIRST_MS
        if self._opened_ms:
            distance_ms = due_ms - self._opened_ms
            width_ms = SECOND_MS
            while distance_ms >= width_ms << _STEP and width_ms < _WIDEST_MS:
                width_ms <<= _STEP
        key = due_ms - due_ms % width_ms, width_ms
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = bytearray()
            heappush(self._begins, key)
        name = user.encode()
        bucket += _LENGTHS[len(name)] + name

    @property
    def next_ms(self) -> int:
        """No entry that is not in `near` is due before this."""
        return self._begins[0][0] if self._begins else FOREVER_MS

    def open_until(self, before_ms: int, due_of: DueOf) -> None:
        """Bring every entry that may be due before an instant into `near`; `due_of` says where a user is filed now.

        An entry that its user is not filed under any more is dropped.
        """
        while self._begins and self._begins[0][0] < before_ms:
            begin_ms, width_ms = key = heappop(self._begins)
            bucket = self._buckets.pop(key)
            end_ms = begin_ms + width_ms
            if width_ms == SECOND_MS:
                self._opened_ms = max(self._opened_ms, end_ms)
                # Behind what is there: that was due before this bucket begins.
                self.near += sorted({(due_ms, user) for user in _users(bucket) if begin_ms <= (due_ms := due_of(user)) < end_ms})
                continue
            self._opened_ms = max(self._opened_ms, begin_ms)
            for user in dict.fromkeys(_users(bucket)):
                due_ms = due_of(user)
                if begin_ms <= due_ms < end_ms:
                    self.file(due_ms, user)
        self._opened_ms = max(self._opened_ms, before_ms - before_ms % SECOND_MS)

    def drop(self, count: int) -> None:
        """Forget the first `count` of `near`, which have been looked at."""
        del self.near[:count]


def _users(bucket: bytearray) -> Iterator[UserId]:
    at, text = 0, bytes(bucket)
    while at < len(text):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(text[at:begin], "little")
        yield text[begin:at].decode()  # type: ignore[misc] # UserId(user): a call more, of millions
