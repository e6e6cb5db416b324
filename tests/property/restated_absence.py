"""Absence restated from the specification alone: one campaign's windows, and the events that are still being put in order."""

from __future__ import annotations

from typing import NamedTuple

from property.restated_values import Document, Sent, constant, holds, instant, length

Key = tuple[object, ...]


class Read(NamedTuple):
    """An event, its own time, and its place in the stream; they are put in order by time, then place."""

    time: int
    place: int
    sent: Sent


class Window(NamedTuple):
    """The window of a trigger: (its time, deadline]."""

    user: str
    key: Key
    trigger: Read
    deadline: int


class Absence:
    """A campaign with `unless` (A1-A9, R10). `most`: of windows that a user may have open; `grace`: where the document says none."""

    def __init__(self, campaign: Document, grace: int, most: int) -> None:
        self.campaign, self.most = campaign, most
        self.live = campaign["qualify"]["live"]
        self.unless = self.live["unless"]
        self.unless_names = [self.unless["event"]] if isinstance(self.unless["event"], str) else self.unless["event"]
        self.within = length(self.unless["within"])
        self.grace = length(self.unless["grace"]) if "grace" in self.unless else grace
        self.waiting: list[Read] = []
        self.open: list[Window] = []
        self.done: list[tuple[str, Key, int]] = []
        """Whatever `unless` event was read: user, constant properties, time."""

    def read(self, event: Read, stream: int) -> None:
        """Take note of an event, which no longer can move the stream on."""
        key = self._closes(event.sent)
        if key is not None:
            self.done.append((event.sent.user, key, event.time))
        if event.time + self.grace < stream:
            self._take(event, late_by=stream)
        else:
            self.waiting.append(event)

    def due(self) -> list[tuple[int, int, str, tuple[int, ...], Read | Window]]:
        """Return what will happen, each with its instant and its place in the order of that instant: events, then windows."""
        name = self.campaign["id"]
        events = [(event.time + self.grace, 0, name, (event.time, event.place), event) for event in self.waiting]
        return events + [(window.deadline + self.grace, 1, name, (window.trigger.place,), window) for window in self.open]

    def put_in_order(self, event: Read) -> None:
        self.waiting.remove(event)
        self._take(event, late_by=None)

    def fire(self, window: Window) -> bool:
        """Say whether the window, which is gone, comes to anything (R17)."""
        self.open.remove(window)
        return runs(self.campaign, window.trigger.time) and ends_after(self.campaign, window.deadline)

    def forget(self, user: str) -> None:
        """Know nothing of a user any more."""
        self.waiting = [one for one in self.waiting if one.sent.user != user]
        self.open = [one for one in self.open if one.user != user]
        self.done = [one for one in self.done if one[0] != user]

    def _take(self, event: Read, late_by: int | None) -> None:
        """Close, then open (A4). `late_by`: the stream time, where the event is more than grace behind it."""
        user, time = event.sent.user, event.time
        key = self._closes(event.sent)
        if key is not None:
            self.open = [one for one in self.open if (one.user, one.key) != (user, key) or not self._inside(event, one)]
        key = self._opens(event.sent)
        if key is None or not runs(self.campaign, time):
            return
        deadline = time + self.within
        if late_by is not None and deadline + self.grace < late_by:
            return
        moved = None
        for one in self.open:
            if (one.user, one.key) != (user, key):
                continue
            if self._inside(event, one):
                if self.live.get("retrigger", "keep") == "keep":
                    return
                moved = one
            elif time < one.trigger.time <= deadline:  # those that come in order never see this
                return
        if moved is not None:
            self.open.remove(moved)
        if late_by is not None and any((user, key) == (whose, what) and time < at <= deadline for whose, what, at in self.done):
            return
        if sum(one.user == user for one in self.open) < self.most:
            self.open.append(Window(user, key, event, deadline))

    def _inside(self, event: Read, window: Window) -> bool:
        return event[:2] > window.trigger[:2] and event.time <= window.deadline

    def _opens(self, sent: Sent) -> Key | None:
        """Return the constant properties of a trigger; None of what is none."""
        if sent.name != self.live["event"] or not all(holds(one, sent.properties) for one in self.live.get("where", [])):
            return None
        return self._key(sent, "event")

    def _closes(self, sent: Sent) -> Key | None:
        """Return the constant properties of an `unless` event; None of what is none."""
        if sent.name not in self.unless_names or not all(holds(one, sent.properties) for one in self.unless.get("where", [])):
            return None
        return self._key(sent, "unless")

    def _key(self, sent: Sent, side: str) -> Key | None:
        return constant(sent.properties, [one if isinstance(one, str) else one[side] for one in self.live.get("same", [])])


def runs(campaign: Document, time: int) -> bool:
    """Say whether a campaign runs at a time (R14, R17)."""
    start = campaign.get("when", {}).get("start", "now")
    return (start == "now" or time >= instant(start)) and ends_after(campaign, time)


def ends_after(campaign: Document, time: int) -> bool:
    end = campaign.get("when", {}).get("end", "never")
    return end == "never" or time < instant(end)
