"""The windows of one campaign in one partition, by the rules alone (A1-A9, R10): nothing is forgotten, everything is looked at anew."""

from __future__ import annotations

from typing import Any, NamedTuple

from livepromo.model.documents import Live, Retrigger
from simulation.drawing import Drawn
from simulation.worth import holds

Key = tuple[tuple[str, Any], ...]


class Read(NamedTuple):
    """An event with its own time and its place in the stream, the name that its cause has, and the revision in force when it was read.

    `opens` and `closes` are its constant properties where it is a trigger, and where it may be what a window waits for.
    """

    time_ms: int
    place: int
    drawn: Drawn
    named: str
    revision: int
    opens: Key | None
    closes: Key | None


class Window(NamedTuple):
    """The window of a trigger: (its time, deadline]."""

    key: Key
    trigger: Read
    deadline_ms: int

    def is_of(self, event: Read, key: Key | None) -> bool:
        """Say whether an event is of the window's user and constant properties."""
        return self.trigger.drawn.user == event.drawn.user and self.key == key


class Absence:
    """One campaign's. `lives` are what its revisions say, the first on; all of them have the same grace."""

    def __init__(self, name: str, grace_ms: int, most_open: int) -> None:
        self.name, self.grace_ms, self.most_open = name, grace_ms, most_open
        self.lives: tuple[Live, ...] = ()
        self.waiting: list[Read] = []
        self.open: list[Window] = []
        self.read_so_far: list[Read] = []

    def read(self, event: Read, stream_ms: int) -> None:
        """Take note of an event, which no longer can move the stream on."""
        self.read_so_far.append(event)
        if event.time_ms + self.grace_ms < stream_ms:
            self._take(event, late_by_ms=stream_ms)
        else:
            self.waiting.append(event)

    def due(self) -> list[tuple[int, int, str, tuple[int, ...], Read | Window]]:
        """Return what will happen, each with its instant and its place in the order of that instant: events, then windows."""
        grace_ms = self.grace_ms
        events = [(event.time_ms + grace_ms, 0, self.name, (event.time_ms, event.place), event) for event in self.waiting]
        return events + [(window.deadline_ms + grace_ms, 1, self.name, (window.trigger.place,), window) for window in self.open]

    def put_in_order(self, event: Read) -> None:
        """Take an event that nothing can come before any more."""
        self.waiting.remove(event)
        self._take(event, late_by_ms=None)

    def _within_ms(self, event: Read) -> int:
        unless = self.lives[event.revision - 1].unless
        assert unless is not None
        return unless.within_ms

    def _take(self, event: Read, late_by_ms: int | None) -> None:
        """Close, then open (A4). `late_by_ms`: stream time, where the event is more than grace behind it."""
        if event.closes is not None:
            self.open = [one for one in self.open if not one.is_of(event, event.closes) or not self._is_done(one, event)]
        if event.opens is None:
            return
        window = Window(event.opens, event, event.time_ms + self._within_ms(event))
        if late_by_ms is not None and window.deadline_ms + self.grace_ms < late_by_ms:
            return
        moved = None
        for one in self.open:
            if not one.is_of(event, event.opens):
                continue
            if _is_inside(event, one):
                if self.lives[event.revision - 1].retrigger is Retrigger.KEEP:
                    return
                moved = one
            elif event.time_ms < one.trigger.time_ms <= window.deadline_ms:
                return
        if moved is not None:
            self.open.remove(moved)
        if late_by_ms is not None and any(
            window.is_of(one, one.closes) and one.time_ms > event.time_ms and self._is_done(window, one) for one in self.read_so_far
        ):
            return
        if sum(one.trigger.drawn.user == event.drawn.user for one in self.open) < self.most_open:
            self.open.append(window)

    def _is_done(self, window: Window, event: Read) -> bool:
        """Say whether an event is what the window waits for, by the revision that opened it, if that was in force by the event (A3)."""
        if not _is_inside(event, window):
            return False
        asked = self.lives[window.trigger.revision - 1].unless
        known = [live.unless for live in self.lives[: event.revision]]
        assert asked is not None
        if asked.where not in {one.where for one in known if one is not None}:
            asked = known[-1]
            assert asked is not None
        return all(holds(condition, event.drawn.properties) for condition in asked.where)


def _is_inside(event: Read, window: Window) -> bool:
    return event[:2] > window.trigger[:2] and event.time_ms <= window.deadline_ms


def constant(properties: dict[str, Any], names: list[str]) -> Key | None:
    """Return the constant properties of an event; None where one is missing."""
    values = [properties.get(name) for name in names]
    if any(value is None for value in values):
        return None
    return tuple(("text" if isinstance(value, str) else "number", value) for value in values)
