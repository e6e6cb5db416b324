"""The state of partitions anew from the events topic, silently, up to where it stands: what was lost, or whose users have moved."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

import msgspec

from livepromo.engine.boundary import advance_all, decode_all
from livepromo.engine.entries import CatalogueTaken
from livepromo.engine.histories import asked_by, new_rules
from livepromo.engine.journalling import (
    POSITION_KEY,
    PositionPart,
    Surroundings,
    merge_ids,
    parts_of,
    position_part,
    read_position,
    take_entry,
)
from livepromo.engine.offers import Send
from livepromo.engine.partition import Batch, advance_time
from livepromo.engine.plan import EMPTY_PLAN, Plan
from livepromo.engine.sends import USERS_AT_ONCE, users_of, visit
from livepromo.engine.state import Changes, Part, Sent, State, merge
from livepromo.ledger.entries import GrantEntry, PositionEntry
from livepromo.ledger.entries import decode as decode_entry
from livepromo.model.ids import CampaignId, UserId, partition_of
from livepromo.model.records import DeadReason, Erase, Event, Malformed, Membership, Position, Profile, Record
from livepromo.streaming.errors import DoesNotFitError
from livepromo.streaming.journal import Journal, batch_bytes, read_journal
from livepromo.streaming.log import Log, LogRecord
from livepromo.worker.publishing import Publications
from livepromo.worker.shared import Shared

SLICE_RECORDS = 2_000
JOURNAL_BYTES = 512 * 1024
FIRST_PLACE = -(1 << 40)
"""The place in the stream of the first record of users who have moved: before any that their new partition has."""

_BUG: Record = Malformed(DeadReason.BUG)
_OF_A_USER = (Event, Profile, Membership, Erase)
Moved = Callable[[float], None]


class Known(NamedTuple):
    """What the ledger tells of a partition of the events topic: the newest epoch and durable position, and what is decided there.

    `decided_ms`: every window that was due by then has been decided. `sent`: the last user who got what a campaign sends.
    """

    epoch: int
    durable: Position
    decided_ms: int
    sent: dict[CampaignId, UserId]


UNKNOWN = Known(-1, Position(0, 0), -1, {})


class Rebuilt(NamedTuple):
    """What was made of a partition."""

    position: Position
    users: int
    records: int
    first: int  # the offset at which the events topic begins
    lost: int  # records that are gone though nobody had read them


async def read_ledger(log: Log, topic: str, partitions: int, newest: Plan, moved: Moved) -> dict[int, Known]:
    """Return what the ledger tells of every partition of the events topic that it names. Raises FormatError, UnavailableError."""
    graces = {campaign: max(terms.grace_ms for terms in absence.rules.terms) for campaign, absence in newest.absences.items()}
    known: dict[int, Known] = {}
    for partition in range(partitions):
        async for some in read_journal(log, topic, partition, 0, await log.end(topic, partition)):
            for _, payload, _ in some:
                assert payload is not None, "the ledger deletes nothing"
                entry = decode_entry(payload)
                if isinstance(entry, PositionEntry):
                    for number, (epoch, durable) in entry.sources.items():
                        before = known.get(number, UNKNOWN)
                        known[number] = before._replace(epoch=max(before.epoch, epoch), durable=max(before.durable, durable))
                elif isinstance(entry, GrantEntry) and b'"kind":"did",' not in entry.body:
                    known[entry.source] = _with_grant(known.get(entry.source, UNKNOWN), entry, graces)
            moved(len(some))
    return known


def _with_grant(known: Known, entry: GrantEntry, graces: dict[CampaignId, int]) -> Known:
    cause = json.loads(entry.body)["cause"]
    if cause["kind"] == "did_not":
        return known._replace(decided_ms=max(known.decided_ms, cause["deadline"] + graces.get(entry.campaign, 0)))
    if cause["kind"] in {"past", "list"}:
        last = max(known.sent.get(entry.campaign, UserId("")), entry.user)
        return known._replace(sent={**known.sent, entry.campaign: last})
    return known


class Rebuilding:
    """One partition, which is claimed, emptied and filled again. Nothing is sent, and nothing is decided anew.

    Until it is done its position says so, and a worker refuses it: run again, it begins anew.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - where, by which documents, up to where
        self, partition: int, shared: Shared, publications: Publications, tzdata: str, known: Known, committed: int | None
    ) -> None:
        self._partition, self._shared, self._publications = partition, shared, publications
        self._known, self._committed = known, committed
        self._journal = Journal(shared.log, shared.topics.state, partition, monotonic=shared.monotonic)
        self._count = shared.topics.event_partitions
        self._whole = Surroundings(self._count, tzdata)
        self._begun = Surroundings(-self._count, tzdata)
        self.state = State(shared.horizons)
        self._plans: dict[int, Plan] = {}
        self._published_ms = [taken.published_ms for taken in publications.taken]

    async def run(self, *, users_moved: bool, moved: Moved) -> Rebuilt:
        """Rebuild the partition. With `users_moved` its users are looked for in every partition, as more were added.

        Raises DoesNotFitError where the events topic ends before what has been matched, UnavailableError, FencedError.
        """
        try:
            return await self._rebuilt(users_moved=users_moved, moved=moved)
        finally:
            await self._journal.close()

    async def _rebuilt(self, *, users_moved: bool, moved: Moved) -> Rebuilt:
        log, topics, number = self._shared.log, self._shared.topics, self._partition
        begin, end = await log.begin(topics.events, number), await log.end(topics.events, number)
        await self._journal.claim()
        old = await self._empty()
        until = max(self._known.durable, Position(self._committed or 0, 0))
        if old is not None and old.partitions == self._count:
            until = max(until, old.position)
        if until.offset > end:
            raise DoesNotFitError(
                f"{topics.events}[{number}] ends at {end}, but has been matched up to {until.offset}: restore it, with the offsets it had"
            )
        lost = max(0, begin - until.offset)
        until = max(until, Position(begin, 0))
        await self._outgrow(self._known.epoch)
        await self._begin(FIRST_PLACE if users_moved else begin)
        spans = [(number, begin, until.offset)]
        if users_moved:
            spans += [(one, 0, await log.end(topics.events, one)) for one in range(self._count) if one != number]
        records = 0
        async for some in self._records(spans, moved, users_moved=users_moved):
            records += len(some.records)
            await self._take(some)
        stood_ms = old.stream_ms if old is not None and old.partitions == self._count else -1
        await self._pass_time(max(self._known.decided_ms + 1, stood_ms))
        await self._know_what_was_sent()
        await self._append([position_part(self.state, until, self.state.stream_ms, self._whole)])
        return Rebuilt(until, len(self.state.users), records, begin, lost)

    # -- the journal

    async def _empty(self) -> PositionPart | None:
        """Say that the state is being rebuilt, then remove all that it holds; return where it stood."""
        held: dict[bytes, None] = {}
        last: PositionPart | None = None
        async for batch in self._journal.restore():
            for key, payload, _ in batch:
                if key == POSITION_KEY:
                    assert payload is not None, "a position is never deleted"
                    last = read_position(payload)
                elif payload is None:
                    held.pop(key, None)
                else:
                    held[key] = None
        await self._append([position_part(self.state, Position(0, 0), self.state.stream_ms, self._begun)])
        await self._append([(key, None) for key in held])
        return last

    async def _outgrow(self, epoch: int) -> None:
        """Bring the journal beyond the newest epoch that the ledger knows: where the topic was made anew, its offsets begin at 0 again."""
        part = position_part(self.state, Position(0, 0), self.state.stream_ms, self._begun)
        while self._journal.end <= epoch:
            await self._append([part] * min(5_000, epoch + 1 - self._journal.end))
        if self._journal.epoch <= epoch:
            await self._journal.claim()

    async def _append(self, parts: Sequence[Part]) -> None:
        """Append parts in as many batches as they take: until the last one a worker refuses what stands there anyway."""
        some: list[Part] = []
        size = 0
        for part in parts:
            more = batch_bytes([part])
            if some and size + more > JOURNAL_BYTES:
                await self._journal.append(some)
                some, size = [], 0
            some.append(part)
            size += more
        if some:
            await self._journal.append(some)

    # -- the events

    async def _begin(self, place: int) -> None:
        """Take the newest catalogue before anything else: so everything that a document asks for is noted from the first record on."""
        self.state.position = Position(place, 0)
        newest = self._publications.newest.position
        if not newest:
            return
        plan = self._publications.plan(newest, self._shared.horizons)
        firsts = {rule.key: place for rule in new_rules(self.state, plan)}
        asked = asked_by(self.state, EMPTY_PLAN, plan, firsts)
        parts, taken = take_entry(self.state, CatalogueTaken(newest, ()), self._begun, asked)
        await self._append(parts)
        taken()

    def _plan_at(self, published: int) -> Plan:
        """Return what held when so many publications had been made; what is to be remembered is what all of them ask for."""
        plan = self._plans.get(published)
        if plan is None:
            taken, horizons = self._publications.taken, self._shared.horizons
            newest = self._publications.plan(self._publications.newest.position, horizons)
            then = self._publications.plan(taken[published - 1].offset + 1, horizons) if published else EMPTY_PLAN
            plan = msgspec.structs.replace(then, watches={}, named=newest.named, rules=newest.rules, late_ms=newest.late_ms)
            self._plans[published] = plan
        return plan

    async def _records(self, spans: Sequence[tuple[int, int, int]], moved: Moved, *, users_moved: bool) -> AsyncIterator[Batch]:
        """Yield the records of the partition's users; of several partitions in the order in which Kafka had received them."""
        place = FIRST_PLACE
        format_ = self._shared.format
        async for some in _woven(self._shared.log, self._shared.topics.events, spans):
            values = [record.value if format_.whole is None else format_.whole(record.value, record.headers) for record in some]
            records, _ = decode_all(values, format_.decode, _BUG)
            moved(len(some))
            if not users_moved:
                yield Batch([record.offset for record in some], records, [record.timestamp_ms for record in some])
                continue
            mine = [
                (record, one.timestamp_ms)
                for record, one in zip(records, some, strict=True)
                if isinstance(record, _OF_A_USER) and partition_of(record.user, self._count) == self._partition
            ]
            if mine:
                yield Batch(range(place, place + len(mine)), [record for record, _ in mine], [ms for _, ms in mine])
                place += len(mine)

    async def _take(self, batch: Batch) -> None:
        """Take records, each by the documents that were published by then."""
        while batch.records:
            received = batch.received_ms[0]
            assert received is not None, "kafka says when it received a record"
            published = bisect_right(self._published_ms, received)
            following = self._published_ms[published] if published < len(self._published_ms) else None
            stop = len(batch.records)
            if following is not None:
                stop = next((at for at, ms in enumerate(batch.received_ms) if ms is not None and ms >= following), stop)
            await self._take_under(self._plan_at(published), batch.up_to(stop))
            batch = batch.behind(stop)

    async def _take_under(self, plan: Plan, batch: Batch) -> None:
        while batch.records:
            changes, _ = advance_all(self.state, plan, self._shared.horizons, batch)
            await self._merge(changes)
            if changes.send is not None:
                await self._send(changes.send)
            batch = batch.behind(changes.took)

    async def _send(self, send: Send) -> None:
        """Let everyone have been visited, as they were."""
        state = self.state
        users, at, count = users_of(state, send), 0, 0
        while at == 0 or at < len(users):
            changes, count = visit(state, self._shared.horizons, send, users[at : at + USERS_AT_ONCE], state.position, left=len(users) - at)
            await self._merge(changes)
            at += count
            if not count:
                return

    async def _pass_time(self, until_ms: int) -> None:
        """Let what had been decided by then be decided."""
        plan = self._plan_at(len(self._published_ms))
        while self.state.has_begun and self.state.stream_ms < until_ms:
            changes, done = advance_time(self.state, plan, self._shared.horizons, until_ms)
            await self._merge(changes)
            if changes.send is not None:
                await self._send(changes.send)
            elif done:
                return

    async def _know_what_was_sent(self) -> None:
        """Go on behind the last user to whom the ledger says that a campaign was sent."""
        changes = Changes(self.state, self._shared.horizons)
        for campaign, last in self._known.sent.items():
            found = self.state.sent.get(campaign)
            if found is None or (not found.done and found.last < last):
                changes.put_sent(campaign, Sent(done=False, last=last))
        await self._merge(changes)

    async def _merge(self, changes: Changes) -> None:
        await self._append(parts_of(self.state, changes, self._begun))
        merge_ids(self.state, changes, merge(self.state, changes))


async def _woven(log: Log, topic: str, spans: Sequence[tuple[int, int, int]]) -> AsyncIterator[list[LogRecord]]:
    """Yield the records of several partitions, one partition after another as Kafka received them; of one partition as it is."""
    if len(spans) == 1:
        [(number, start, end)] = spans
        async for records in log.read(topic, number, start, end):
            for at in range(0, len(records), SLICE_RECORDS):
                yield records[at : at + SLICE_RECORDS]
        return
    readings = [log.read(topic, number, start, end) for number, start, end in spans]
    nothing: list[LogRecord] = []
    heads = [await anext(reading, nothing) for reading in readings]
    while any(heads):
        bound_ms = min(head[-1].timestamp_ms for head in heads if head)
        some: list[LogRecord] = []
        for at, head in enumerate(heads):
            stop = next((place for place, record in enumerate(head) if record.timestamp_ms > bound_ms), len(head))
            some += head[:stop]
            heads[at] = head[stop:] or await anext(readings[at], nothing)
        some.sort(key=lambda record: record.timestamp_ms)
        for at in range(0, len(some), SLICE_RECORDS):
            yield some[at : at + SLICE_RECORDS]
