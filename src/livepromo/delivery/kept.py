"""What is remembered of a partition's calls that are not made yet, and which of it is not written down."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import islice
from typing import Final, NamedTuple

from livepromo.delivery.pending import Pending, Place, pack, unpack
from livepromo.delivery.retries import Tries

ROW_BYTES: Final = len(pack(Pending(Place(0, 0), 0, Tries())))
_SETTLED, _NEW, _WRITTEN = 0, 1, 2
_FEW: Final = 1_000


class Entry(NamedTuple):
    """A call that is not made yet, and the endpoint it is for."""

    endpoint: str
    pending: Pending


class Kept:
    """The calls of a partition that are not made yet, by place: 50 bytes each.

    A call is written down when `changed` or `run` yields it; if it is settled after that, `settled` tells so, and else it leaves nothing.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._places = array("q")
        self._endpoints = array("H")
        self._rows = bytearray()
        self._flags = bytearray()
        self._dirty: dict[int, None] = {}
        self._gone: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, place: int) -> bool:
        at = bisect_left(self._places, place)
        return at < len(self._places) and self._places[at] == place and self._flags[at] != _SETTLED

    @property
    def has_changes(self) -> bool:
        """Whether anything is to be written down."""
        return bool(self._dirty or self._gone)

    def add(self, entry: Entry, *, written: bool = False) -> None:
        """Remember a call, or what has become of one that is remembered; `written`: as it stands written down."""
        place = entry.pending.place.offset
        at = bisect_left(self._places, place)
        number = self._numbers.get(entry.endpoint)
        if number is None:
            number = self._numbers[entry.endpoint] = len(self._names)
            self._names.append(entry.endpoint)
        if at < len(self._places) and self._places[at] == place:
            if self._flags[at] == _SETTLED:
                self._count += 1
                self._flags[at] = _NEW
            self._rows[at * ROW_BYTES : (at + 1) * ROW_BYTES] = pack(entry.pending)
        else:  # nearly always at the end
            self._places.insert(at, place)
            self._endpoints.insert(at, number)
            self._flags.insert(at, _NEW)
            self._rows[at * ROW_BYTES : at * ROW_BYTES] = pack(entry.pending)
            self._count += 1
        if written:
            self._flags[at] = _WRITTEN
        else:
            self._dirty[place] = None

    def put_off(self, place: int, tries: Tries) -> None:
        """Remember the tries of a call."""
        at = self._at(place)
        pending = self._entry(at).pending._replace(tries=tries)
        self._rows[at * ROW_BYTES : (at + 1) * ROW_BYTES] = pack(pending)
        self._dirty[place] = None

    def settle(self, place: int) -> None:
        """Forget a call: it is made, or given up."""
        at = self._at(place)
        if self._flags[at] == _WRITTEN:
            self._gone.append(place)
        self._dirty.pop(place, None)
        self._flags[at] = _SETTLED
        self._count -= 1
        if len(self._places) > _FEW and 2 * self._count < len(self._places):
            self._close_up()

    def discard(self, place: int) -> None:
        """Forget a call that is written down as settled, if it is remembered."""
        if place in self:
            at = self._at(place)
            self._flags[at] = _NEW  # nothing is to be written of it
            self.settle(place)

    def changed(self, most: int) -> list[Entry]:
        """Return up to so many calls that have changed, and take them for written down."""
        found = []
        for place in list(islice(self._dirty, most)):
            del self._dirty[place]
            at = self._at(place)
            self._flags[at] = _WRITTEN
            found.append(self._entry(at))
        return found

    def settled(self, most: int) -> list[int]:
        """Return up to so many places that were settled after they had been written down; each is returned once."""
        found, self._gone = self._gone[:most], self._gone[most:]
        return found

    def run(self, start: int, most: int) -> tuple[list[Entry], int | None]:
        """Return up to so many calls from a place on, taken for written down, and the place to go on from; None at the end."""
        at = bisect_left(self._places, start)
        found: list[Entry] = []
        while at < len(self._places) and len(found) < most:
            if self._flags[at] != _SETTLED:
                self._flags[at] = _WRITTEN
                self._dirty.pop(self._places[at], None)
                found.append(self._entry(at))
            at += 1
        return found, self._places[at] if at < len(self._places) else None

    def endpoint(self, place: int) -> str:
        """Return the endpoint that a call is for."""
        return self._names[self._endpoints[self._at(place)]]

    def _at(self, place: int) -> int:
        at = bisect_left(self._places, place)
        known = at < len(self._places) and self._places[at] == place and self._flags[at] != _SETTLED
        assert known, f"no call is kept at {place}"
        return at

    def _entry(self, at: int) -> Entry:
        return Entry(self._names[self._endpoints[at]], unpack(bytes(self._rows[at * ROW_BYTES : (at + 1) * ROW_BYTES])))

    def _close_up(self) -> None:
        """Give back the memory of those that are settled."""
        alive = [at for at, flag in enumerate(self._flags) if flag != _SETTLED]
        self._places = array("q", (self._places[at] for at in alive))
        self._endpoints = array("H", (self._endpoints[at] for at in alive))
        self._rows = bytearray(b"".join(self._rows[at * ROW_BYTES : (at + 1) * ROW_BYTES] for at in alive))
        self._flags = bytearray(self._flags[at] for at in alive)
