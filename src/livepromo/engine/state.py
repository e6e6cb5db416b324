"""What is known of a partition, and what taking more of its log changes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from heapq import heappush
from typing import Any, NamedTuple

import msgspec

from livepromo.behaviour import users
from livepromo.behaviour.keeping import NOBODY, UNKNOWN_WHO, Kept, filed_ms, pack, pack_window, unpack
from livepromo.behaviour.occurrences import Remembered, Rule
from livepromo.behaviour.repeats import RecentIds
from livepromo.behaviour.users import User
from livepromo.behaviour.windows import head_of, open_in
from livepromo.engine.entries import ControlEntry
from livepromo.engine.horizons import Horizons
from livepromo.engine.offers import Send
from livepromo.engine.parts import erased_key, memory_key, scan_key, sent_key, versioned, who_key, windows_key
from livepromo.engine.tumbling import Tumbling
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.ids import CampaignId, UserId, hash_of
from livepromo.model.records import DeadReason, Position
from livepromo.model.time import FOREVER_MS

PART_OVERHEAD = 80
"""What a record of the journal takes besides its key and payload."""
ID_BYTES = 12

LONG_AGO_MS = -FOREVER_MS
_CANDIDATE_OVERHEAD = 500
_NEWCOMER_BYTES = PART_OVERHEAD + len(UNKNOWN_WHO)
_encode = msgspec.msgpack.Encoder().encode

Part = tuple[bytes, bytes | None]


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """How far a campaign has been sent: up to `last`, or to everyone."""

    done: bool
    last: UserId


class Erased(NamedTuple):
    """Somebody of whom nothing is known any more, and the place of the record that says so."""

    user: UserId
    offset: int


class History(msgspec.Struct, frozen=True, array_like=True):
    """Where occurrences of a rule are kept, by name, and which scan reads those from before it was asked for.

    `named` are those of its events that no document had named before, so their ids were not remembered.
    """

    memory: bytes
    scan: int
    named: tuple[str, ...]


class Scan(msgspec.Struct, frozen=True, array_like=True):
    """How far the look-backs of the rules that one catalogue first asked for have been read: the offsets [first, next) of [first, end).

    `stream_ms` is stream time as the scan has it; occurrences from `since_ms` on are known once it is `ready`, and the rules judged by.
    """

    first: int
    next: int
    end: int
    stream_ms: int
    since_ms: int
    ready: bool


class State:
    """What is known of one partition: everything that a decision may depend on besides the record and the plan.

    Changed by `merge` alone, when what `advance` returned is durable. `users` are packed: see behaviour.keeping.
    """

    __slots__ = (
        "_horizons", "catalogue", "entries", "erased", "forgotten", "histories", "id_parts", "ids", "memories", "open_windows",
        "position", "scanned", "scans", "sent", "stream_ms", "timers", "unready", "users",
    )  # fmt: skip

    def __init__(self, horizons: Horizons) -> None:
        self._horizons = horizons
        self.position = Position(0, 0)
        self.stream_ms = LONG_AGO_MS
        self.ids = RecentIds(lateness_ms=horizons.lateness_ms, repeats_ms=horizons.repeats_ms)
        self.users: dict[UserId, bytes] = {}  # everyone of whom any record was read
        self.timers = Tumbling()
        self.open_windows: Counter[CampaignId] = Counter()
        self.sent: dict[CampaignId, Sent] = {}  # how far the campaigns have been sent that are sent
        self.erased: dict[bytes, int] = {}  # where somebody was erased last, by a hash of who it was
        self.histories: dict[bytes, History] = {}  # by rule; one that has none has been noted from the beginning, under its own key
        self.memories: set[bytes] = set()  # the names under which occurrences are kept
        self.scans: dict[int, Scan] = {}  # by the catalogue that asked for them
        self.unready: set[bytes] = set()  # rules whose look-back has not been read yet
        self.scanned: dict[int, RecentIds] = {}  # ids met while a scan is read that had not been remembered; in force once it is ready
        self.catalogue = 0  # publications before this place in the catalogue hold
        self.entries: dict[Position, ControlEntry] = {}  # where each was taken
        self.id_parts: dict[int, dict[bytes, None]] = {}  # which records of the journal hold the ids of an hour
        self.forgotten: list[bytes] = []  # records of the journal whose hour is over

    @property
    def has_begun(self) -> bool:
        """Say whether any record was ever taken."""
        return self.stream_ms != LONG_AGO_MS

    @property
    def due_ms(self) -> int:
        """Nothing is due while stream time is not beyond this."""
        near = self.timers.near
        return min(near[0][0] if near else FOREVER_MS, self.timers.next_ms)

    def user(self, user: UserId) -> User:
        """Return who a user is."""
        packed = self.users.get(user)
        return users.UNKNOWN if packed is None else unpack(packed).user()

    def filed_ms(self, user: UserId) -> int:
        """Return under which instant a user stands in the tumbling table."""
        return filed_ms(self.users.get(user, b""))

    def put_who(self, user: UserId, who: bytes | None) -> None:
        """Take who a user is as the journal has it; None: the user was erased."""
        if who is None:
            for group, packed in unpack(self.users.pop(user, NOBODY)).windows.items():
                self.open_windows[campaign_of(group)] -= open_in(packed)
            return
        if who == UNKNOWN_WHO and user not in self.users:  # most of them
            self.users[user] = NOBODY
            return
        kept = unpack(self.users.get(user, b""))
        kept.who = who
        users.decode(kept.who)  # raises now what would be raised with some record
        self._keep(user, kept)

    def put_remembered(self, user: UserId, rule: bytes, number: int, chunk: bytes | None) -> None:
        """Take a chunk of a user's occurrences as the journal has it."""
        if chunk is None and user not in self.users:  # erased
            return
        kept = unpack(self.users.get(user, b""))
        before = kept.remembered.pop(rule, None)
        # An empty one stands for a chunk that has not been read yet, or never will: it was removed.
        chunks = {} if before is None else {at: one for at, one in enumerate(before.chunks, before.first) if one}
        chunks.pop(number, None)
        if chunk is not None:
            chunks[number] = chunk
        if chunks:
            kept.remembered[rule] = Remembered(min(chunks), tuple(chunks.get(one, b"") for one in range(min(chunks), max(chunks) + 1)))
        self._keep(user, kept)

    def put_windows(self, user: UserId, group: str, packed: bytes | None) -> None:
        """Take a group of windows as the journal has it."""
        if packed is None and user not in self.users:  # erased
            return
        before = self.users.get(user, NOBODY)
        if before == NOBODY and packed is not None:  # most of them
            due_ms, windows = head_of(packed)
            self.open_windows[group[: group.index("\0")]] += windows  # type: ignore[index] # campaign_of: two calls more, of millions
            self.timers.file(due_ms, user)
            self.users[user] = pack_window(group, packed, due_ms, windows)
            return
        kept = unpack(before)
        old = kept.windows.pop(group, None)
        if packed is not None:
            kept.windows[group] = packed
        self.open_windows[campaign_of(group)] += (open_in(packed) if packed else 0) - (open_in(old) if old else 0)
        if (due_ms := kept.due_ms()) < kept.filed_ms:
            kept.filed_ms = due_ms
            self.timers.file(due_ms, user)
        self._keep(user, kept)

    def put_history(self, rule: bytes, history: History | None) -> None:
        """Take where occurrences of a rule are kept; None: nothing asks for it any more."""
        before = self.histories.pop(rule, None)
        if before is not None:
            self.memories.discard(before.memory)
        self.unready.discard(rule)
        if history is not None:
            self.histories[rule] = history
            self.memories.add(history.memory)
            if (scan := self.scans.get(history.scan)) is None or not scan.ready:
                self.unready.add(rule)

    def put_scan(self, name: int, scan: Scan | None) -> None:
        """Take how far a scan has come; None: none of its rules is asked for any more, and what it met is forgotten."""
        before = self.scans.pop(name, None)
        if scan is not None:
            self.scans[name] = scan
        if scan is None or not scan.ready:
            if scan is None:
                self.scanned.pop(name, None)
            return
        if before is None or not before.ready:
            self.unready.difference_update([rule for rule, history in self.histories.items() if history.scan == name])
        if (met := self.scanned.pop(name, None)) is not None:
            self.ids.update(met)

    def scanned_by(self, name: int) -> RecentIds:
        """Return the ids met while a scan is read, to be added to."""
        if (met := self.scanned.get(name)) is None:
            met = self.scanned[name] = RecentIds(lateness_ms=self._horizons.lateness_ms, repeats_ms=self._horizons.repeats_ms)
        return met

    def memory_of(self, rule: Rule) -> bytes:
        """Return under which name occurrences of a rule are kept."""
        history = self.histories.get(rule.key)
        return rule.key if history is None else history.memory

    def _keep(self, user: UserId, kept: Kept) -> None:
        self.users[user] = pack(kept)


def mark_of(user: UserId) -> bytes:
    """Return by what it is remembered that a user was erased: a hash, since the name is not to be kept."""
    return hash_of("erased", user, size=8)


def campaign_of(group: str) -> CampaignId:
    """Return the campaign of a group of windows."""
    return group.partition("\0")[0]  # type: ignore[return-value] # CampaignId(…): a call more for every window


class Changes:
    """What taking more of a partition's log makes of it. `outcomes` stand in order of decision; `dead` are places among the records.

    `parts` are the journal's records of the users that changed. `size` is about how many bytes all of it takes in a batch.
    """

    __slots__ = (
        "_horizons", "changed", "dead", "due", "erased", "fired_ms", "ids", "ignored", "kept", "looked", "newcomers", "open_windows",
        "outcomes", "parts", "position", "repeats", "scanned", "scans", "send", "sent", "size", "stream_ms", "taken", "tally", "took",
    )  # fmt: skip

    def __init__(self, state: State, horizons: Horizons) -> None:
        self._horizons = horizons
        self.position = state.position
        self.stream_ms = state.stream_ms
        self.outcomes: list[Candidate | Denial] = []
        self.dead: list[tuple[int, DeadReason]] = []
        self.ids = RecentIds(lateness_ms=horizons.lateness_ms, repeats_ms=horizons.repeats_ms)
        self.kept: dict[UserId, Kept] = {}  # who was looked at
        self.changed: set[UserId] = set()  # of those
        self.newcomers: set[UserId] = set()  # of whom nothing was known
        self.erased: list[Erased] = []
        self.parts: dict[bytes, bytes | None] = {}
        self.size = 0
        self.due: list[tuple[int, UserId]] = []  # a heap: who is to be looked at when, besides those that the table names
        self.looked = 0  # how many of the table's nearest entries have been looked at
        self.tally: dict[CampaignId, Counter[str]] = {}  # what became of windows
        self.fired_ms: list[int] = []  # deadline + grace of those that fired
        self.open_windows: Counter[CampaignId] = Counter()  # by how many more are open
        self.sent: dict[CampaignId, Sent] = {}
        self.scans: dict[int, Scan] = {}
        self.scanned: dict[int, RecentIds] = {}
        self.send: Send | None = None  # what is to be sent before anything else is taken
        self.taken = self.repeats = self.ignored = 0
        self.took = 0  # how many of the records were taken: fewer than there are when a batch would grow too large

    def known(self, state: State, user: UserId) -> Kept:
        """Return what is known of a user by now, to be looked at."""
        kept = self.kept.get(user)
        if kept is None:
            packed = state.users.get(user)
            if not packed:
                return Kept()
            kept = self.kept[user] = unpack(packed)
        return kept

    def changing(self, state: State, user: UserId) -> Kept:
        """Return what is known of a user by now, to be changed by the methods below."""
        self.changed.add(user)
        kept = self.kept.get(user)
        if kept is None:
            packed = state.users.get(user)
            if packed is None and user not in self.newcomers:
                self.meet(user)
            kept = self.kept[user] = unpack(packed or NOBODY)
        if kept.remembered and state.histories and not kept.remembered.keys() <= state.memories:
            for name in kept.remembered.keys() - state.memories:  # nothing asks for it any more
                left = kept.remembered.pop(name)
                for number in range(left.first, left.first + len(left.chunks)):
                    self._put(memory_key(user, name, number), None)
        return kept

    def meet(self, user: UserId) -> None:
        """Take note that there is a user of whom nothing was known."""
        self.newcomers.add(user)
        key = who_key(user)
        self.parts[key] = UNKNOWN_WHO
        self.size += _NEWCOMER_BYTES + len(key)

    def put_who(self, user: UserId, kept: Kept, who: bytes) -> None:
        """Change who a user is."""
        kept.who = who
        self._put(who_key(user), who)

    def put_windows(self, user: UserId, kept: Kept, changed: Mapping[str, bytes | None]) -> None:
        """Change groups of a user's windows, and file the user where one is due earlier than anything was."""
        for group, packed in changed.items():
            old = kept.windows.pop(group, None)
            if packed is not None:
                kept.windows[group] = packed
            self.open_windows[campaign_of(group)] += (open_in(packed) if packed else 0) - (open_in(old) if old else 0)
            self._put(windows_key(user, group), None if packed is None else versioned(packed))
        self.file(user, kept)

    def put_remembered(self, user: UserId, kept: Kept, fresh: Mapping[bytes, Remembered]) -> None:
        """Change what is remembered of a user's occurrences."""
        for rule, after in fresh.items():
            before = kept.remembered.get(rule)
            kept.remembered[rule] = after
            old = {} if before is None else dict(enumerate(before.chunks, before.first))
            new = dict(enumerate(after.chunks, after.first))
            for number, chunk in new.items():
                if old.get(number) is not chunk:
                    self._put(memory_key(user, rule, number), versioned(chunk))
            for number in old.keys() - new.keys():
                self._put(memory_key(user, rule, number), None)

    def forget_remembered(self, user: UserId, kept: Kept, memory: bytes) -> None:
        """Forget a user's occurrences of one rule."""
        gone = kept.remembered.pop(memory)
        for number in range(gone.first, gone.first + len(gone.chunks)):
            self._put(memory_key(user, memory, number), None)

    def forget(self, user: UserId) -> None:
        """Forget who a user is, and that there is one; windows and occurrences have been."""
        self._put(who_key(user), None)
        self.kept.pop(user, None)
        self.changed.discard(user)
        self.newcomers.discard(user)

    def put_erased(self, erased: Erased) -> None:
        """Say that somebody was erased. Nothing else of that user may be taken into the same batch."""
        self.erased.append(erased)
        self._put(erased_key(mark_of(erased.user)), versioned(_encode(erased.offset)))

    def put_sent(self, campaign: CampaignId, sent: Sent) -> None:
        """Change how far a campaign has been sent."""
        self.sent[campaign] = sent
        self._put(sent_key(campaign), versioned(_encode(sent)))

    def put_scan(self, name: int, scan: Scan) -> None:
        """Change how far a scan has come."""
        self.scans[name] = scan
        self._put(scan_key(name), versioned(_encode(scan)))

    def add_met(self, name: int, key: int, time_ms: int) -> None:
        """Remember an id that was met while a scan is read."""
        if (met := self.scanned.get(name)) is None:
            met = self.scanned[name] = RecentIds(lateness_ms=self._horizons.lateness_ms, repeats_ms=self._horizons.repeats_ms)
        met.add(key, time_ms)
        self.size += ID_BYTES

    def has_met(self, state: State, name: int, key: int, time_ms: int) -> bool:
        """Say whether an event of this id was met while a scan is read, by the scan or since it was asked for."""
        return any(ids is not None and ids.seen(key, time_ms) for ids in (state.scanned.get(name), self.scanned.get(name)))

    def file(self, user: UserId, kept: Kept) -> None:
        """File a user under the first instant at which something is due, if that is earlier than the one there is."""
        due_ms = kept.due_ms()
        if due_ms < kept.filed_ms:
            kept.filed_ms = due_ms
            heappush(self.due, (due_ms, user))

    def count(self, campaign: CampaignId) -> Counter[str]:
        """Return the tally of a campaign's windows."""
        tally = self.tally.get(campaign)
        if tally is None:
            tally = self.tally[campaign] = Counter()
        return tally

    def add_outcome(self, outcome: Candidate | Denial) -> None:
        """Add a decision, or what may become one."""
        self.outcomes.append(outcome)
        self.size += weight_of(outcome)

    def _put(self, key: bytes, payload: bytes | None) -> None:
        self.parts[key] = payload
        self.size += PART_OVERHEAD + len(key) + len(payload or b"")


class Known:
    """A user as audiences and rewards see one; `fresh` are occurrences of which the event being taken is one."""

    __slots__ = ("_fresh", "_kept", "_memory_of", "_who", "user")

    def __init__(self, state: State, user: UserId, kept: Kept, fresh: Mapping[bytes, Remembered]) -> None:
        self.user, self._kept, self._fresh, self._memory_of = user, kept, fresh, state.memory_of
        self._who: User | None = None

    @property
    def properties(self) -> Mapping[str, Any]:
        """The user's properties."""
        return self._known().properties

    @property
    def segments(self) -> Collection[str]:
        """The fed segments and lists that the user is in."""
        return self._known().segments

    def remembered(self, rule: Rule) -> Remembered | None:
        """Return what is remembered for a rule."""
        name = self._memory_of(rule)
        return self._fresh.get(name) or self._kept.remembered.get(name)

    def _known(self) -> User:
        if self._who is None:
            self._who = self._kept.user()
        return self._who


def weight_of(outcome: Candidate | Denial) -> int:
    """Return about how many bytes an outcome takes in the batches that carry it; user and campaign stand in several of its rows."""
    weight = _CANDIDATE_OVERHEAD + 24 * len(outcome.user) + 8 * len(outcome.campaign) + len(outcome.cause)
    if isinstance(outcome, Candidate):
        weight += sum(map(len, outcome.reward_pieces))
        if outcome.call is not None:
            weight += len(outcome.call.body_start)
    return weight


def merge(state: State, changes: Changes) -> list[int]:
    """Make `changes`, now durable, part of the state; return the hours whose remembered ids were forgotten."""
    state.position = changes.position
    state.stream_ms = changes.stream_ms
    state.ids.update(changes.ids)
    state.users.update(dict.fromkeys(changes.newcomers, NOBODY))
    for user in changes.changed:
        state.users[user] = pack(changes.kept[user])
    for user, offset in changes.erased:
        state.users.pop(user, None)
        state.erased[mark_of(user)] = offset
    state.timers.drop(changes.looked)
    for due_ms, user in changes.due:
        if state.filed_ms(user) == due_ms:
            state.timers.file(due_ms, user)
    state.open_windows.update(changes.open_windows)
    state.sent.update(changes.sent)
    for name, scan in changes.scans.items():
        state.put_scan(name, scan)
    for name, ids in changes.scanned.items():
        state.scanned_by(name).update(ids)
    return state.ids.expire(state.stream_ms)
