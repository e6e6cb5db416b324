"""What the records of a world are owed, by the rules, under what was in force where they stand.

Written from the rules alone. Of the product it uses the nouns and the published formulas (grant ids, content ids, samples); what stands
in topics it reads with nothing but msgpack and JSON.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, NamedTuple

import msgspec

from livepromo.model.decisions import Cause, grant_id
from livepromo.model.documents import Campaign, Coupon, CouponReward, Document, FromList, Live, Wallet, key_of
from livepromo.model.ids import UserId
from livepromo.model.records import Event, content_id
from simulation.absence import Absence, Read, Window, constant
from simulation.audience import People, named_in
from simulation.drawing import Drawn
from simulation.kafka_model import Ever
from simulation.processes import CATALOGUE
from simulation.world import World
from simulation.worth import amount_of, holds, metadata_of, validity_of

LATE_MS = 60_000
"""At the end nothing may have been due for longer than this."""


class Published(NamedTuple):
    """A document in force; `lives` are what its revisions, the first on, say of what qualifies."""

    document: Document
    revision: int
    first_ms: int
    state: str
    lives: tuple[Live, ...] = ()


class Owed(NamedTuple):
    """A reward that a campaign owes for a cause; `units` is the amount before budgets.

    `place` is its place in the order of decision. `behind` is the append of the control entry that made it due, if one did: it may be
    decided no earlier.
    """

    campaign: Campaign
    partition: int
    offset: int
    place: int
    behind: int
    time_ms: int
    user: str
    units: int
    decimals: int
    body: dict[str, Any]


class Refused(NamedTuple):
    """A denial that no limit causes."""

    offset: int
    behind: int
    body: tuple[Any, ...]


class Counted(NamedTuple):
    """What one events partition owes."""

    owed: dict[str, Owed]
    refused: list[Refused]
    dead: dict[tuple[int, int], str]
    profiles: dict[str, dict[str, Any]]
    open: dict[str, int]
    stream_ms: int | None
    problems: list[str]


class Taken(NamedTuple):
    """A control entry, where it was taken, and the append that made it durable."""

    offset: int
    step: int
    said: dict[str, Any]
    sequence: int


def sealed(value: bytes) -> tuple[int, bytes]:
    """Return epoch and payload of a journal's record."""
    return int.from_bytes(value[1:9], "big"), value[9:]


def in_force(records: list[Ever]) -> list[tuple[Ever, bytes | None]]:
    """Return a journal's records that count, with their payloads: no markers, nothing behind a newer owner's marker."""
    newest = -1
    found: list[tuple[Ever, bytes | None]] = []
    for ever in records:
        _, _, key, value, _ = ever.record
        if value is None:
            found.append((ever, None))
            continue
        epoch, payload = sealed(value)
        if key == b"@marker":
            newest = ever.record.offset
        elif epoch >= newest:
            found.append((ever, payload))
    return found


def _qualify(document: Document) -> Any:
    return document.qualify if isinstance(document, Campaign) else None


def publications(world: World) -> list[dict[str, Published]]:
    """Return what was in force before each place of the catalogue."""
    catalogues: list[dict[str, Published]] = [{}]
    for ever in world.kafka.of(CATALOGUE, 0).ever:
        assert ever.record.value is not None
        said, at_ms, known = json.loads(ever.record.value[1:]), ever.record.timestamp_ms, dict(catalogues[-1])
        if said["type"] == "intervention":
            key = f"campaign/{said['campaign']}"
            before = known.get(key)
            if before is not None and before.state != "stopped":
                known[key] = before._replace(state={"pause": "paused", "resume": "running", "stop": "stopped"}[said["verb"]])
        else:
            documents = msgspec.convert(said["documents"], list[Document])
            fits = all((known[key].revision if key in known else 0) == revision for key, revision in said["expects"].items())
            if fits and not any(key_of(d) in known and known[key_of(d)].state == "stopped" for d in documents):
                for document in documents:
                    before = known.get(key_of(document), Published(document, 0, at_ms, "running"))
                    lives = before.lives + tuple(said for said in (_qualify(document),) if isinstance(said, Live))
                    known[key_of(document)] = before._replace(document=document, revision=before.revision + 1, lives=lives)
        catalogues.append(known)
    return catalogues


def control_entries(world: World, number: int) -> list[Taken]:
    """Return the control entries of an events partition, in order."""
    entries = {}
    for ever, payload in in_force(world.kafka.of("state", number).ever):
        key = ever.record.key
        assert key is not None
        if key.startswith(b"@entry:") and payload is not None:
            offset, step = map(int, key[len(b"@entry:") :].split(b":"))
            entries[offset, step] = Taken(offset, step, msgspec.msgpack.decode(payload[1:]), ever.sequence)
    return sorted(entries.values())


class _Partition:
    """One events partition, read from its beginning with its control entries."""

    def __init__(self, world: World, number: int) -> None:
        self.horizons = world.horizons
        self.number = number
        self.counted = Counted({}, [], {}, {}, {}, None, [])
        self.stream_ms: int | None = None
        self.known: dict[str, Published] = {}
        self.offset = self.behind = 0
        self._named: set[str] = set()
        self._place = 0
        self._people = People()
        self._absences: dict[str, Absence] = {}
        self._sent: dict[str, str] = {}  # how far, by campaign
        self._over: set[str] = set()
        self._taken: dict[tuple[str, str], list[int]] = defaultdict(list)

    # -- control entries

    def enter(self, taken: Taken, catalogues: list[dict[str, Published]], received_ms: int | None) -> None:
        """Take a control entry; `received_ms` is when Kafka had received the first record behind it, None where there is none."""
        self.offset, self.behind = taken.offset, taken.sequence
        match taken.said:
            case {"type": "catalogue", "position": position}:
                self._publish(catalogues[position])
            case {"type": "tick", "at_ms": at_ms}:
                if received_ms is not None and received_ms < at_ms:
                    self._object(f"a tick to {at_ms}, though a record received at {received_ms} was not read")
                self.stream_ms = at_ms if self.stream_ms is None else max(self.stream_ms, at_ms)
            case {"type": "visit", "campaign": campaign, "users": users, "done": done}:
                self._visit(campaign, users, done=done)
            case _:
                raise AssertionError(taken)
        self._settle()

    def _object(self, what: str) -> None:
        self.counted.problems.append(f"events[{self.number}]@{self.offset}: {what}")

    def _publish(self, known: dict[str, Published]) -> None:
        self.known = known
        self._named.clear()
        for name, entry in known.items():
            document = entry.document
            if not isinstance(document, Campaign):
                continue
            self._named |= named_in(document.who)
            if not isinstance(document.qualify, Live):
                continue
            self._named.add(document.qualify.event)
            if (unless := document.qualify.unless) is not None:
                self._named.update(unless.events)
                grace_ms = self.horizons.grace_ms if unless.grace_ms is None else unless.grace_ms
                absence = self._absences.setdefault(name, Absence(document.id, grace_ms, self.horizons.open_windows))
                absence.lives = entry.lives

    def _next_send(self) -> tuple[int, str]:
        """Return the instant of the next send that runs, and of what."""
        sends = []
        for name, entry in self.known.items():
            document = entry.document
            runs = isinstance(document, Campaign) and not isinstance(document.qualify, Live) and entry.state == "running"
            if runs and name not in self._over:
                sends.append((_send_ms(entry) + self.horizons.grace_ms, name))
        return min(sends, default=(1 << 62, ""))

    def _visit(self, campaign: str, users: int, *, done: bool) -> None:
        at_ms, name = self._next_send()
        if name != f"campaign/{campaign}":
            self._object(f"{campaign} is sent, due is {name}")
            return
        entered, self.behind = self.behind, 0  # the record that makes the send due may have made others due before
        self._move(at_ms + 1)
        self.behind = entered
        entry = self.known[name]
        document = entry.document
        assert isinstance(document, Campaign)
        left = sorted(user for user in self._people.known if user.encode() > self._sent.get(name, "").encode())
        if done != (users == len(left)) or users > len(left):
            self._object(f"{users} of {len(left)} users are visited, and done is {done}")
        send_ms, on_list = _send_ms(entry), isinstance(document.qualify, FromList)
        kind = "list" if on_list else "past"
        for user in left[:users]:
            self._sent[name] = user
            listed = not on_list or "list/vip" in self._people.of(user).segments
            if listed and self._people.describes(document.who, user, send_ms, document.id):
                self._owe(entry, user, send_ms, Cause(kind), {})
        if done:
            self._over.add(name)

    # -- stream time

    def _settle(self) -> None:
        """Do what stream time has made due."""
        if self.stream_ms is not None:
            self._move(min(self.stream_ms, self._next_send()[0] + 1))

    def _move(self, to_ms: int) -> None:
        """Move stream time on; in order, what is due before that is put in order, and fires."""
        while True:
            due = [step for absence in self._absences.values() for step in absence.due() if step[0] < to_ms]
            if not due:
                break
            *_, name, _, what = min(due, key=lambda step: step[:4])
            absence = self._absences[f"campaign/{name}"]
            if isinstance(what, Read):
                absence.put_in_order(what)
            else:
                absence.open.remove(what)
                self._fire(what, self.known[f"campaign/{name}"])
        self.stream_ms = to_ms if self.stream_ms is None else max(self.stream_ms, to_ms)

    def _fire(self, window: Window, entry: Published) -> None:
        campaign, event = entry.document, window.trigger
        assert isinstance(campaign, Campaign)
        if entry.state == "stopped" or not _runs(entry, event.time_ms) or not _runs(entry, window.deadline_ms):
            return
        drawn = event.drawn
        if self._people.describes(campaign.who, drawn.user, window.deadline_ms, campaign.id):
            cause = Cause("did_not", event.named, drawn.event, drawn.ts, window.deadline_ms)
            self._owe(entry, drawn.user, window.deadline_ms, cause, drawn.properties)

    # -- records

    def take(self, offset: int, received_ms: int, drawn: Drawn) -> None:
        """Take a record under what is in force."""
        if drawn.kind == "ignored":
            return
        self.offset, self.behind = offset, 0
        if drawn.kind == "dead":
            self._die(drawn.reason)
            return
        if drawn.ts - received_ms > self.horizons.ahead_ms:
            self._die("in_the_future")
            return
        time_ms = min(drawn.ts, received_ms)
        named = ""
        if drawn.kind == "event":
            if self.stream_ms is not None and self.stream_ms - time_ms > self.horizons.lateness_ms:
                self._die("too_old")
                return
            if drawn.event in self._named:
                present = {name: value for name, value in drawn.properties.items() if value is not None}
                named = drawn.event_id or content_id(Event(UserId(drawn.user), drawn.event, drawn.ts, None, present))
                taken = self._taken[drawn.user, named]
                if any(abs(time_ms - before) <= self.horizons.repeats_ms for before in taken):
                    return
                taken.append(time_ms)
        reach_ms = time_ms if self.stream_ms is None else max(self.stream_ms, time_ms)
        if (sends := self._next_send())[0] < reach_ms:
            self._object(f"{sends[1]} should have been sent")
        self._move(reach_ms)
        self._people.read(drawn, time_ms)
        if named:
            self._happened(Read(time_ms, offset, drawn, named, 0, None, None))

    def _die(self, reason: str) -> None:
        self.counted.dead[self.number, self.offset] = reason

    def _happened(self, event: Read) -> None:
        drawn, time_ms = event.drawn, event.time_ms
        for _, entry in sorted(self.known.items()):
            campaign = entry.document
            if not isinstance(campaign, Campaign) or not isinstance(campaign.qualify, Live):
                continue
            live = campaign.qualify
            does = drawn.event == live.event and all(holds(condition, drawn.properties) for condition in live.where)
            does = does and entry.state == "running" and _runs(entry, time_ms)
            if live.unless is not None:
                opens = constant(drawn.properties, [same.event for same in live.same]) if does else None
                waited_for = drawn.event in live.unless.events
                closes = constant(drawn.properties, [same.unless for same in live.same]) if waited_for else None
                if opens is not None or closes is not None:
                    assert self.stream_ms is not None
                    read = event._replace(revision=entry.revision, opens=opens, closes=closes)
                    self._absences[f"campaign/{campaign.id}"].read(read, self.stream_ms)
            elif does and self._people.describes(campaign.who, drawn.user, time_ms, campaign.id):
                self._owe(entry, drawn.user, time_ms, Cause("did", event.named, drawn.event, drawn.ts), drawn.properties)

    def _owe(self, entry: Published, user: str, time_ms: int, cause: Cause, properties: dict[str, Any]) -> None:
        campaign = entry.document
        assert isinstance(campaign, Campaign)
        self._place += 1
        said = json.loads(cause.as_json())
        name = grant_id(campaign.id, UserId(user), cause)
        found = self._worth(campaign, user, time_ms, cause, properties)
        if isinstance(found, str) or entry.state == "paused":
            why = "paused" if entry.state == "paused" else found
            refused = (campaign.id, entry.revision, user, time_ms, tuple(said.items()), why)
            self.counted.refused.append(Refused(self.offset, self.behind, refused))
            return
        units, decimals, reward = found
        head = {"grant_id": name, "campaign": campaign.id, "revision": entry.revision, "user": user, "granted_at": time_ms}
        body = {**head, "cause": said, "reward": reward}
        if name in self.counted.owed:
            self._object(f"{name} is owed twice")
        self.counted.owed[name] = Owed(campaign, self.number, self.offset, self._place, self.behind, time_ms, user, units, decimals, body)

    def _worth(
        self, campaign: Campaign, user: str, time_ms: int, cause: Cause, properties: dict[str, Any]
    ) -> tuple[int, int, dict[str, Any]] | str:
        """Return amount, decimals and body of a reward, or why there is none."""
        if isinstance(campaign.reward, CouponReward):
            coupon = self.known[f"coupon/{campaign.reward.coupon}"].document
            assert isinstance(coupon, Coupon)
            return (
                1,
                0,
                {
                    "type": "coupon",
                    "coupon": coupon.id,
                    "kind": "bulk",
                    "redeemable_at": time_ms + campaign.reward.redeem_after_ms,
                    "redemption_allowance": coupon.user_redemption_limit,
                },
            )
        wallet = self.known[f"wallet/{campaign.reward.wallet}"].document
        assert isinstance(wallet, Wallet)
        units = "wallet_unavailable" if not wallet.active else amount_of(campaign, wallet, properties)
        valid = validity_of(campaign, time_ms)
        if isinstance(units, str):
            return units
        if isinstance(valid, str):
            return valid
        name = grant_id(campaign.id, UserId(user), cause)
        return (
            units,
            wallet.decimals,
            {
                "type": "points",
                "wallet": wallet.id,
                "active_at": valid[0],
                "expires_at": valid[1],
                "metadata": metadata_of(campaign, (user, self._people.of(user).profile), cause, name, properties),
            },
        )

    def end(self, now_ms: int) -> Counted:
        """Return what was counted, once everything was taken."""
        send_ms, name = self._next_send()
        if send_ms < now_ms - LATE_MS:
            self._object(f"{name} was never sent")
        for absence in self._absences.values():
            late = [one for one in absence.open if one.deadline_ms + absence.grace_ms < now_ms - LATE_MS]
            if late:
                self._object(f"windows of {absence.name} never fired: {late}")
        return self.counted._replace(
            stream_ms=self.stream_ms,
            profiles={user: person.profile for user, person in self._people.known.items()},
            open={absence.name: len(absence.open) for absence in self._absences.values() if absence.open},
        )


def _send_ms(entry: Published) -> int:
    assert isinstance(entry.document, Campaign)
    send_ms = entry.document.when.send_ms
    return entry.first_ms if send_ms is None else send_ms


def _runs(entry: Published, time_ms: int) -> bool:
    """Say whether an instant is within a campaign's time."""
    assert isinstance(entry.document, Campaign)
    when = entry.document.when
    start_ms = entry.first_ms if when.start_ms is None else when.start_ms
    return start_ms <= time_ms and (when.end_ms is None or time_ms < when.end_ms)


def count(world: World, number: int, catalogues: list[dict[str, Published]]) -> Counted:
    """Return what an events partition owes."""
    partition = _Partition(world, number)
    entries = control_entries(world, number)
    records = world.kafka.of("events", number).ever
    at = 0
    for ever in records:
        offset, received_ms = ever.record.offset, ever.record.timestamp_ms
        while at < len(entries) and entries[at].offset <= offset:
            partition.enter(entries[at], catalogues, received_ms)
            at += 1
        partition.take(offset, received_ms, world.drawn[number, offset])
    for entry in entries[at:]:
        partition.enter(entry, catalogues, None)
    return partition.end(world.scheduler.now_ms)
