"""Which windows of a user are open in a campaign, and which of them nobody can close any more (A1-A5, A9)."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from struct import Struct
from typing import Any, Final

import msgspec

from livepromo.model.ids import hash_of
from livepromo.model.json_text import json_bytes
from livepromo.model.records import SCALARS, Properties
from livepromo.model.time import FOREVER_MS

MOST_WAITING: Final = 4_096
"""How many events of one user and value wait to be put in order; of more, the oldest are taken as if they were late enough."""
PART_BYTES: Final = 320 * 1024
"""How much the windows of one user and value may take: a further trigger opens none. Any one event fits."""

_HEADER = Struct(">qHH")  # when to look again, open windows, triggers that wait
_LONGEST_VALUE = 64
_TEXT: Final = {str}
_JSON: Final = b"{"  # nothing in msgpack that has names begins with it
_FEW = 8
_place = attrgetter("time_ms", "offset")


class Terms(msgspec.Struct, frozen=True):
    """What one revision says of the windows that it opens.

    `where` is the place, among the different `unless.where` of the campaign's revisions, of its own; `wheres` how many there were by
    then.
    """

    within_ms: int
    grace_ms: int
    restart: bool
    where: int
    wheres: int


class Rules(msgspec.Struct, frozen=True):
    """What holds for the windows of a campaign: the terms of each revision, the first on, and the most windows of a user (A9).

    `unless` events are remembered for `kept_ms`: the longest within and grace, at most as long as events may be late (A5).
    """

    terms: tuple[Terms, ...]
    most_open: int
    kept_ms: int


class Trigger(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An event that opened a window, or will; `time_ms` is the record's, `ahead_ms` by how much its own `ts` is later.

    `properties` are what `packed_properties` returned. `revision` is the one in force when it was read.
    """

    time_ms: int
    offset: int
    revision: int
    event_id: str
    ahead_ms: int
    properties: bytes


class Done(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An `unless` event: bit n of `met` says whether it satisfies the nth of the campaign's `unless.where`."""

    time_ms: int
    offset: int
    revision: int
    met: int


class Group(msgspec.Struct, array_like=True, gc=False):
    """The windows of one user, campaign and constant value (A3): `open` are in order, `triggers` and `dones` wait to be put in order.

    `done` are the `unless` events that are remembered for triggers that come late. Nothing fires before `held_ms`.
    """

    open: list[Trigger] = []
    triggers: list[Trigger] = []
    dones: list[Done] = []
    done: list[Done] = []
    held_ms: int = 0


Groups = dict[str, bytes]
"""Windows by `group_key`, packed."""
Tally = Counter[str]
"""What became of windows: opened, moved, done, late_trigger, over_limit."""

_encode_json = msgspec.json.Encoder().encode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Group).decode
_decode_properties = msgspec.msgpack.Decoder(dict[str, Any]).decode


def value_of(properties: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the constant properties' values as one text, equal where each is (R10); None where one is missing or nested."""
    if not names:
        return ""
    values = [properties.get(name) for name in names]
    types = set(map(type, values))
    if not types <= SCALARS:
        return None
    text = (_encode_json(values) if types == _TEXT else json_bytes(values)).decode()  # the same of texts, in a third of the time
    return text if len(text) <= _LONGEST_VALUE else hash_of(text).hex()


def group_key(campaign: str, value: str) -> str:
    """Return the key of a group; no campaign's id holds what stands between."""
    return f"{campaign}\0{value}"


def packed_properties(properties: Properties) -> bytes:
    """Return an event's properties as they are kept: msgpack, or JSON where there is an integer that msgpack does not have."""
    try:
        return _encode(properties)
    except OverflowError:
        return json_bytes(properties)


def properties_of(trigger: Trigger) -> Properties:
    """Return the properties of the event that opened a window, the same as they were read."""
    kept = trigger.properties
    found: Properties = msgspec.json.decode(kept) if kept[:1] == _JSON else _decode_properties(kept)
    return found


def head_of(packed: bytes) -> tuple[int, int]:
    """Return what `due_of` and `open_in` return."""
    due_ms, opened, waiting = _HEADER.unpack_from(packed)
    return due_ms, opened + waiting


def due_of(packed: bytes) -> int:
    """Return when a packed group is to be looked at: once stream time is beyond that."""
    return int(_HEADER.unpack_from(packed)[0])


def open_in(packed: bytes) -> int:
    """Return how many windows a packed group has open, those included whose triggers are still being put in order."""
    _, opened, waiting = _HEADER.unpack_from(packed)
    return int(opened + waiting)


def unpack(packed: bytes | None) -> Group:
    """Return a group; an empty one for None."""
    return Group() if packed is None else _decode(packed[_HEADER.size :])


def pack(group: Group, due_ms: int) -> bytes:
    """Return a group that is to be looked at then, packed."""
    return _HEADER.pack(due_ms, len(group.open), len(group.triggers)) + _encode(group)


def deadline_ms(rules: Rules, trigger: Trigger) -> int:
    """Return the last instant at which the trigger's window can be closed: it counts as inside (A1)."""
    return trigger.time_ms + rules.terms[trigger.revision - 1].within_ms


def instant_ms(rules: Rules, trigger: Trigger) -> int:
    """Return deadline + grace: the window fires once stream time is beyond that (A5)."""
    terms = rules.terms[trigger.revision - 1]
    return trigger.time_ms + terms.within_ms + terms.grace_ms


class Watched:
    """The windows of one user in one campaign, to be changed once, by `take` or by `fire`; what changed is returned, packed.

    Where the user may have more windows than allowed, all groups are put in order together, since each counts against the others.
    Nothing that was handed in is touched.
    """

    def __init__(self, rules: Rules, campaign: str, groups: Groups, tally: Tally) -> None:
        self._rules, self._groups, self._tally = rules, groups, tally
        self._prefix = group_key(campaign, "")
        self._loaded: dict[str, Group] = {}
        self._crowded = False

    def take(
        self, stream_ms: int, *, done: tuple[str, Done] | None = None, trigger: tuple[str, Trigger] | None = None
    ) -> dict[str, bytes | None]:
        """Take an event, with its value, in either role or both, and return the groups that changed (A4, A5).

        `stream_ms` is stream time with the event taken; everything that is due by then has been fired. Taken twice, an event counts
        twice: repeats are told apart before.
        """
        self._load_crowd(1 if trigger is not None else 0)
        if done is not None:
            value, event = done
            group = self._load(value)
            self._put_in_order(stream_ms)
            if event.time_ms + self._grace_ms(event) < stream_ms:
                self._settle_done(group, event)
            else:
                insort(group.dones, event, key=_place)
        if trigger is not None:
            self._take_trigger(*trigger, stream_ms)
        return self._packed(stream_ms)

    def fire(self, value: str, at_ms: int, *, hold_until_ms: int = 0) -> tuple[list[Trigger], dict[str, bytes | None]]:
        """Return the triggers of the windows of a group that are due at an instant, and the groups that changed.

        Stream time is just beyond the instant, and nothing was due before it. Told to hold, it fires none of them, nor any other, before
        that.
        """
        self._load_crowd(0)
        group = self._load(value)
        # Events up to the deadlines are put in order now, whatever the grace under which they were read: it may be a longer one.
        due = (one for one in (*group.open, *group.triggers) if instant_ms(self._rules, one) <= at_ms)
        self._put_in_order(at_ms + 1, max((deadline_ms(self._rules, one) for one in due), default=-FOREVER_MS))
        fired = [window for window in group.open if instant_ms(self._rules, window) <= at_ms]
        if fired and hold_until_ms:
            fired, group.held_ms = [], hold_until_ms
        elif fired:
            group.open = [window for window in group.open if instant_ms(self._rules, window) > at_ms]
            group.held_ms = 0
        return fired, self._packed(at_ms + 1)

    # -- groups in hand

    def _load_crowd(self, more: int) -> None:
        potential = more + sum(open_in(packed) for key, packed in self._groups.items() if key.startswith(self._prefix))
        if potential > self._rules.most_open:
            self._crowded = True
            for key in self._groups:
                if key.startswith(self._prefix):
                    self._load(key[len(self._prefix) :])

    def _load(self, value: str) -> Group:
        group = self._loaded.get(value)
        if group is None:
            group = self._loaded[value] = unpack(self._groups.get(self._prefix + value))
        return group

    def _packed(self, stream_ms: int) -> dict[str, bytes | None]:
        changed: dict[str, bytes | None] = {}
        for value, group in self._loaded.items():
            key = self._prefix + value
            packed = self._pack(group, stream_ms)
            if packed != self._groups.get(key):
                changed[key] = packed
        return changed

    def _pack(self, group: Group, stream_ms: int) -> bytes | None:
        """Return a group packed, without what need not be remembered any more; None where nothing is left."""
        group.done = self._worth_remembering(group.done, stream_ms)
        if not (group.open or group.triggers or group.dones or group.done):
            return None
        return pack(group, self._due_ms(group))

    def _due_ms(self, group: Group) -> int:
        rules = self._rules
        due = [instant_ms(rules, one) for one in group.open] + [instant_ms(rules, one) for one in group.triggers]
        if self._crowded:  # a trigger may find room, or not, when it is put in order, and not later
            due += [one.time_ms + self._grace_ms(one) for one in group.triggers]
        if due and group.dones:  # what is closed by it is not to be kept, nor shown as open, until it would have fired
            due.append(group.dones[0].time_ms + self._grace_ms(group.dones[0]))
        if due:
            return max(min(due), group.held_ms)
        return max(one.time_ms for one in (*group.dones, *group.done)) + rules.kept_ms

    def _worth_remembering(self, done: list[Done], stream_ms: int) -> list[Done]:
        """Return the `unless` events that a late trigger may still be judged against (A5).

        Of three alike, within the shortest `within`, the middle one decides nothing: a trigger before it has the last one inside, too.
        """
        if done and done[0].time_ms < stream_ms - self._rules.kept_ms:
            done = [one for one in done if one.time_ms >= stream_ms - self._rules.kept_ms]
        if len(done) <= _FEW:
            return done
        shortest_ms = min(terms.within_ms for terms in self._rules.terms)
        kept: list[Done] = []
        for one in done:
            if (
                len(kept) > 1
                and one.time_ms - kept[-2].time_ms <= shortest_ms
                and (one.met, one.revision) == (kept[-1].met, kept[-1].revision) == (kept[-2].met, kept[-2].revision)
            ):
                kept.pop()
            kept.append(one)
        return kept

    # -- putting in order

    def _grace_ms(self, event: Trigger | Done) -> int:
        return self._rules.terms[event.revision - 1].grace_ms

    def _in_order_until_ms(self, beyond_ms: int) -> int:
        """Return the time of the last event that nothing can come before once stream time is there."""
        until_ms = -FOREVER_MS
        for group in self._loaded.values():
            waiting: tuple[Trigger | Done, ...] = (*group.dones, *group.triggers)
            for one in waiting:
                if until_ms < one.time_ms and one.time_ms + self._grace_ms(one) < beyond_ms:
                    until_ms = one.time_ms
        return until_ms

    def _put_in_order(self, beyond_ms: int, until_ms: int = -FOREVER_MS) -> None:
        """Settle, in order of time and place, every event that waits and that nothing can come before once stream time is there.

        So is what stands before it, though read under a longer grace, and everything up to `until_ms`.
        """
        until_ms = max(until_ms, self._in_order_until_ms(beyond_ms))
        while True:
            first: tuple[tuple[int, int, bool], Trigger | Done, Group] | None = None
            for group in self._loaded.values():
                if group.dones and (first is None or (*_place(group.dones[0]), False) < first[0]):
                    first = (*_place(group.dones[0]), False), group.dones[0], group
                if group.triggers and (first is None or (*_place(group.triggers[0]), True) < first[0]):  # closes first, then opens (A4)
                    first = (*_place(group.triggers[0]), True), group.triggers[0], group
            if first is None:
                return
            _, event, group = first
            if event.time_ms > until_ms and len(group.dones) + len(group.triggers) <= MOST_WAITING:
                return
            if isinstance(event, Trigger):
                del group.triggers[0]
                self._settle_trigger(group, event)
            else:
                del group.dones[0]
                self._settle_done(group, event)

    def _settle_done(self, group: Group, event: Done) -> None:
        left = [window for window in group.open if not self._closes(window, event)]
        if len(left) < len(group.open):
            self._tally["done"] += len(group.open) - len(left)
            group.open = left
        insort(group.done, event, key=_place)

    def _closes(self, window: Trigger, event: Done) -> bool:
        after = window.time_ms < event.time_ms or (window.time_ms == event.time_ms and window.offset < event.offset)
        return after and event.time_ms <= deadline_ms(self._rules, window) and self._is_met(window, event)

    def _is_met(self, window: Trigger, event: Done) -> bool:
        """Say whether an `unless` event satisfies the conditions of the window's revision, else those of the newest that it was read by."""
        terms = self._rules.terms
        where = min(terms[window.revision - 1].where, terms[event.revision - 1].wheres - 1)
        return bool(event.met >> where & 1)

    def _settle_trigger(self, group: Group, trigger: Trigger) -> None:
        """Take a trigger that is in order: no open window has a later one but by triggers that came late."""
        for at, window in enumerate(group.open):
            if window.time_ms <= trigger.time_ms <= deadline_ms(self._rules, window):
                if self._rules.terms[trigger.revision - 1].restart:
                    group.open[at] = trigger
                    self._tally["moved"] += 1
                return
        self._open(group, trigger)

    def _open(self, group: Group, trigger: Trigger) -> None:
        if self._crowded and sum(len(one.open) for one in self._loaded.values()) >= self._rules.most_open:
            self._tally["over_limit"] += 1
            return
        group.open.append(trigger)
        self._tally["opened"] += 1

    def _take_trigger(self, value: str, trigger: Trigger, stream_ms: int) -> None:
        packed = self._groups.get(self._prefix + value, b"")
        group = self._load(value)
        if packed and len(packed) + len(trigger.properties) > PART_BYTES:
            self._tally["over_limit"] += 1
            return
        self._put_in_order(stream_ms)
        if trigger.time_ms + self._grace_ms(trigger) >= stream_ms:
            insort(group.triggers, trigger, key=_place)
            self._put_in_order(stream_ms)
            return
        if instant_ms(self._rules, trigger) < stream_ms:
            self._tally["late_trigger"] += 1
            return
        within_ms = self._rules.terms[trigger.revision - 1].within_ms
        if any(trigger.time_ms < window.time_ms <= trigger.time_ms + within_ms for window in group.open):
            return  # a window that is open began at most `within` after it (A3)
        before = list(group.open)
        self._settle_trigger(group, trigger)
        read = (*group.done, *group.dones)
        if group.open != before and any(one.time_ms > trigger.time_ms and self._closes(trigger, one) for one in read):
            group.open.remove(trigger)
            self._tally["done"] += 1
