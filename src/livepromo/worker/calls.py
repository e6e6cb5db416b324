"""The calls of one partition: taken as the ledger names them, handed to the dispatcher, and what becomes of them written down."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from livepromo.delivery.dispatching import Dispatcher
from livepromo.delivery.given_up import dead_letter
from livepromo.delivery.kept import Entry, Kept
from livepromo.delivery.pending import Pending, Place
from livepromo.delivery.progress import KEY, NO_SNAPSHOT, Mark, Standing, decode_mark, encode_mark, mark_of
from livepromo.delivery.queue import REPLAY_KEY, QueuedCall, decode_call, queued_again
from livepromo.delivery.retries import GivenUp, Tries, Why
from livepromo.delivery.signing import Call
from livepromo.ledger.entries import GrantEntry, decode
from livepromo.streaming.errors import UnavailableError
from livepromo.streaming.journal import Journal, read_journal, unseal
from livepromo.streaming.log import LogRecord, Reader
from livepromo.worker.shared import Shared, log

REPLAYS: Final = 1 << 30  # added to the partition's number in the places of calls that are sent again: they have an order of their own
MOST_NAMED: Final = 20_000  # grants that are remembered until their calls are read; what comes beyond is read from the ledger again
TAKEN: Final = 1_000
CATCH_UP: Final = 20_000
NOTE_S: Final = 0.25
POLL_S: Final = 2.0
NOTED_ENTRIES: Final = 5_000
LEDGER_BEHIND: Final = 20_000
SNAPSHOT_OFFSETS: Final = 50_000
SNAPSHOT_S: Final = 12 * 3600.0
NEAR: Final = 2_000  # records that are rather read over than sought past
FAR: Final = 1 << 62
CLOSE_S: Final = 5.0
_FIRST_SEARCH: Final = 1_000


class Named(NamedTuple):
    """A grant whose call stands at a place, and where the grant stands in the ledger."""

    ledger: int
    place: int
    grant_id: str


class PartitionCalls:
    """The calls of one partition, from `start` to `close`, in tasks of its own: whoever relays grants never waits for them.

    `named` tells of the grants that are relayed. What is done is written among the calls themselves, under a claim: a frozen owner
    that wakes up is refused. What is not written down yet is done again by the next owner. Without a call nothing is claimed or written.
    """

    def __init__(
        self,
        partition: int,
        shared: Shared,
        dispatcher: Dispatcher,
        *,
        may_begin: Callable[[], bool],
        end: Callable[[BaseException], object],
    ) -> None:
        self.partition, self._shared, self._dispatcher = partition, shared, dispatcher
        self._may_begin, self._end = may_begin, end
        self._topic = shared.topics.webhooks
        self._kept = Kept()
        self._named: deque[Named] = deque()
        self._heard = self._relayed = 0  # the ledger up to which grants are in `_named`, or were; and up to which they are relayed
        self._standing = self._noted = Standing()
        self._snapshot = NO_SNAPSHOT  # where the last whole one begins
        self._part: tuple[int, int, int] | None = None  # of the one that is being written: its number, its begin, the place to go on from
        self._snapshot_s = 0.0
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._journal = self._new_journal()
        self._reader = self._fetcher = self._idle_reader()
        self._fetching, self._noting = asyncio.Lock(), asyncio.Lock()
        self._polled_s = 0.0
        self._restored = self._closed = False
        self._began, self._began_empty = 0, False
        self._gone_before = 0  # calls below are not kept, and nobody wrote down what became of them

    def _new_journal(self) -> Journal:
        shared = self._shared
        name = f"calls-{self.partition}"
        return Journal(shared.log, self._topic, self.partition, monotonic=shared.monotonic, renew_after_s=shared.renew_after_s, name=name)

    def _idle_reader(self) -> Reader:
        return self._shared.log.reader(self._topic, self.partition)

    # -- beginning and ending

    async def start(self, relayed: int) -> None:
        """Go on where the last owner stood; `relayed` is the offset in the ledger from which grants are relayed now."""
        self._began_empty = not await self._shared.patiently("the calls", self._any)
        self._heard = self._relayed = self._began = relayed
        self._reader, self._fetcher = self._idle_reader(), self._idle_reader()
        self._run(self._go_on())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"calls {self.partition}")
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)

    async def leave(self) -> None:
        """Break off what is being done and write down all that was, so that the next owner does little again."""
        async with self._noting:  # what is being written is, before the tasks are cancelled
            await self._stop()
        while self._restored and (self._kept.has_changes or self._standing != self._noted):
            await self._note(LEDGER_BEHIND)

    async def close(self) -> None:
        """Let go: nothing is done or written any more when this returns."""
        await self._stop()
        self._closed = True
        with contextlib.suppress(TimeoutError):  # what is being fetched for the dispatcher may wait for Kafka
            async with asyncio.timeout(CLOSE_S), self._fetching:
                await self._fetcher.close()
        await self._reader.close()
        await self._journal.close()

    async def _stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._dispatcher.release(self.partition)
        await self._dispatcher.release(self.partition | REPLAYS)

    # -- what the relay says

    def named(self, first: int, next_offset: int, grants: Iterable[Named]) -> None:
        """Hear that the ledger was relayed from one offset up to another, and which of its grants make calls. Twice is as once."""
        if first <= self._heard < next_offset and len(self._named) < MOST_NAMED:
            self._named.extend(grant for grant in grants if grant.ledger >= self._heard)
            self._heard = next_offset
        self._relayed = max(self._relayed, next_offset)
        self._something.set()

    # -- taking over

    async def _go_on(self) -> None:
        while not self._named and not await self._shared.patiently("the calls", self._any):
            await self._rest(POLL_S)
        while not self._may_begin():
            await self._shared.pause(0.05)
        await self._claim()
        await self._shared.patiently("the calls", self._restore)
        self._restored = True
        if self._snapshot == NO_SNAPSHOT:
            await self._note_part()
        following: int | None = 0
        while following is not None:
            entries, following = self._kept.run(following, TAKEN)
            for endpoint, pending in entries:
                self._dispatcher.add(pending.place, endpoint, pending.owed_s * 1000, pending.tries)
            await asyncio.sleep(0)  # there may be a million, and others work in this process, too
        self._run(self._note_forever())
        await self._enrol_forever()

    async def _any(self) -> bool:
        return await self._shared.log.end(self._topic, self.partition) > 0

    async def _claim(self) -> None:
        await self._journal.claim()
        self._shared.failpoints.reach("calls.claimed")

    async def _restore(self) -> None:
        """Learn from the marks what is not done yet. Without any, everything that the ledger names is to be done."""
        end = self._journal.end - 1  # the claim's own marker
        last = await self._last_mark(end)
        kept = self._kept = Kept()
        if last is None:
            begin = await self._shared.log.begin(self._topic, self.partition)
            # Where there was no call when this owner began, none is named before what was relayed by then.
            self._standing = self._noted = Standing(self._began) if self._began_empty else Standing(0, begin, begin)
            self._gone_before = 0 if self._began_empty else begin
            if begin and not self._began_empty:
                log.warning("%s[%d]: what became of calls before %d is not known: nobody wrote it down", self._topic, self.partition, begin)
            self._named.clear()
            self._heard = self._standing.ledger
            self._snapshot_s = self._shared.monotonic() - SNAPSHOT_S  # write down where it began
            return
        self._began = 0
        self._snapshot = last
        async for records in self._shared.log.read(self._topic, self.partition, last, end):
            self._shared.metrics.takeover_records_total.labels(stage="deliver").inc(len(records))
            for record in records:
                if record.key == KEY:
                    self._apply(_mark_in(record))
        standing = self._noted = self._standing
        self._heard = standing.ledger
        self._named.clear()
        self._snapshot_s = self._shared.monotonic()
        for _, pending in kept.run(standing.calls, len(kept))[0]:
            if pending.place.offset >= self._known_below(pending.place):
                kept.settle(pending.place.offset)  # written down by an owner that ended before it said that it had come so far
        if kept:
            log.info("%s[%d]: %d calls are still to be made", self._topic, self.partition, len(kept))

    def _known_below(self, place: Place) -> int:
        return self._standing.replays if place.partition & REPLAYS else self._standing.calls

    def _apply(self, mark: Mark) -> None:
        self._standing = mark.standing
        for place in mark.settled:  # before the entries: one may be owed anew
            self._kept.discard(place)
        for entry in mark.entries():
            self._kept.add(entry, written=True)

    async def _last_mark(self, end: int) -> int | None:
        """Return where the last whole snapshot begins; None where there is none."""
        shared, span = self._shared, _FIRST_SEARCH
        begin = await shared.log.begin(self._topic, self.partition)
        while True:
            start, found = max(begin, end - span), NO_SNAPSHOT
            async for records in shared.log.read(self._topic, self.partition, start, end):
                for record in records:
                    if record.key == KEY:
                        mark = _mark_in(record)
                        found = record.offset if mark.part == 0 and mark.is_last else mark.snapshot
            if found != NO_SNAPSHOT or start <= begin:
                return None if found < begin else found
            span *= 10

    # -- enrolling: what the ledger names is owed

    async def _enrol_forever(self) -> None:
        while True:
            await self._dispatcher.room()
            if self._named:
                await self._enrol([self._named.popleft() for _ in range(min(TAKEN, len(self._named)))])
            elif self._heard < self._relayed:
                await self._shared.patiently("the ledger", self._catch_up)
            else:
                self._standing = Standing(self._heard, self._standing.calls, self._standing.replays)
                if self._shared.monotonic() - self._polled_s >= POLL_S:
                    self._polled_s = self._shared.monotonic()
                    await self._shared.patiently("the calls", self._take_replays)
                await self._rest(POLL_S)

    async def _rest(self, seconds: float) -> None:
        self._something.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._something.wait(), seconds)

    async def _catch_up(self) -> None:
        """Read in the ledger which grants make calls that were relayed while there was no room for them, or by an owner before."""
        stop = min(self._relayed, self._heard + CATCH_UP)
        ledger = self._shared.topics.ledger
        found = []
        async for records in read_journal(self._shared.log, ledger, self.partition, self._heard, stop):
            for _, payload, offset in records:
                assert payload is not None, "the ledger deletes nothing"
                entry = decode(payload)
                if isinstance(entry, GrantEntry) and entry.call is not None:
                    found.append(Named(offset, entry.call, entry.grant_id))
            await asyncio.sleep(0)  # others work in this process, too
        self._named.extend(found)
        self._heard = stop

    async def _enrol(self, grants: Sequence[Named]) -> None:
        """Take the calls of these grants, which stand in the order of the ledger, hence of their places."""
        for gone in (grant for grant in grants if grant.place < self._gone_before):
            await self._lose(gone)
        new = [grant for grant in grants if grant.place >= self._standing.calls]
        if new:
            self._shared.failpoints.reach("calls.named")
            at = 0
            start = self._standing.calls
            if new[0].place - start > NEAR:  # no call that is sent again stands below `replays` any more
                start = min(new[0].place, max(start, self._standing.replays))
            async for record in self._records(self._reader, start, [grant.place for grant in new], FAR):
                if record.key == REPLAY_KEY:
                    self._take_replay(record)
                    continue
                while at < len(new) and new[at].place < record.offset:
                    await self._lose(new[at])
                    at += 1
                if at < len(new) and new[at].place == record.offset:
                    await self._take(new[at], record)
                    at += 1
            for lost in new[at:]:
                await self._lose(lost)
        following = self._named[0].ledger if self._named else self._heard
        calls = max(self._standing.calls, new[-1].place + 1 if new else 0)
        self._standing = Standing(following, calls, max(calls, self._standing.replays))

    async def _take(self, grant: Named, record: LogRecord) -> None:
        assert record.value is not None, f"{self._topic}[{self.partition}] offset {record.offset} has no value"
        if record.key != grant.grant_id.encode():
            await self._lose(grant)
        else:
            self._owe(Place(self.partition, grant.place), record, decode_call(record.value))

    def _owe(self, place: Place, record: LogRecord, call: QueuedCall) -> None:
        if place.offset in self._kept:
            return
        self._kept.add(Entry(call.endpoint, Pending(place, record.timestamp_ms // 1000, Tries())))
        self._dispatcher.add(place, call.endpoint, record.timestamp_ms, call=call.as_call())

    async def _lose(self, grant: Named) -> None:
        """Put a grant among the dead letters whose call is not where the ledger says: the topic does not keep it any more."""
        if grant.ledger < self._began:
            return  # relayed long ago, by owners of whom nothing is left: its call was made, or its loss was seen then
        log.error("%s[%d]: the call of %s is not at %d any more", self._topic, self.partition, grant.grant_id, grant.place)
        await self._bury(dead_letter("", None, GivenUp(0, 0, None, str(Why.GONE)), grant.grant_id))

    async def _take_replays(self) -> None:
        """Take the calls behind all that are named that are to be sent again."""
        start = max(self._standing.calls, self._standing.replays)
        end = await self._shared.log.end(self._topic, self.partition)
        async with self._fetching:
            async for records in self._fetcher.read(start, end):
                for record in records:
                    if record.key == REPLAY_KEY:
                        self._take_replay(record)
                    # At once: where Kafka goes away in between, this begins again behind what was taken.
                    self._taken_to(record.offset + 1)
        self._taken_to(end)

    def _taken_to(self, replays: int) -> None:
        self._standing = Standing(self._standing.ledger, self._standing.calls, max(replays, self._standing.replays))

    def _take_replay(self, record: LogRecord) -> None:
        if record.offset >= self._standing.replays:
            assert record.value is not None, f"{self._topic}[{self.partition}] offset {record.offset} has no value"
            self._owe(Place(self.partition | REPLAYS, record.offset), record, decode_call(record.value))

    async def _records(self, reader: Reader, start: int, places: Sequence[int], far: int) -> AsyncIterator[LogRecord]:
        """Yield what stands from `start` up to the last of the places, waiting while Kafka is away, without gaps of more than `far`."""
        end = places[-1] + 1
        while start < end:
            near = places[bisect_left(places, start)]
            if near - start > far:
                start = near
            at = bisect_left(places, start)
            while at + 1 < len(places) and places[at + 1] - places[at] <= far:
                at += 1
            stop = places[at] + 1
            try:
                async for records in reader.read(start, stop):
                    for record in records:
                        yield record
                    start = records[-1].offset + 1
                start = stop
            except UnavailableError as error:
                log.warning("the calls cannot be read: %s", error)
                await self._shared.pause(1.0)

    # -- what the dispatcher asks and says

    async def fetch(self, places: Sequence[Place]) -> dict[Place, Call]:
        """Return the calls of these places, read again."""
        by_offset = {place.offset: place for place in places}
        found: dict[Place, Call] = {}
        async with self._fetching:
            if self._closed:
                return found
            async for record in self._records(self._fetcher, min(by_offset), sorted(by_offset), NEAR):
                place = by_offset.get(record.offset)
                if place is not None and record.value is not None:
                    found[place] = decode_call(record.value).as_call()
        return found

    def delivered(self, place: Place) -> None:
        """Note that a call is made."""
        self._kept.settle(place.offset)

    def put_off(self, place: Place, tries: Tries) -> None:
        """Note that a call was tried."""
        self._kept.put_off(place.offset, tries)

    async def give_up(self, place: Place, call: Call | None, end: GivenUp) -> None:
        """Put a call among the dead letters, and note that it is not to be made any more."""
        endpoint = self._kept.endpoint(place.offset)
        await self._bury(dead_letter(endpoint, None if call is None else queued_again(endpoint, call), end))
        self._shared.failpoints.reach("calls.given_up")
        if place.offset in self._kept:
            self._kept.settle(place.offset)

    async def _bury(self, record: tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]) -> None:
        await self._shared.outbox.send_many({(self._shared.topics.dead_webhooks, self.partition): [record]})

    # -- writing down

    async def _note_forever(self) -> None:
        while True:
            await self._shared.pause(NOTE_S)
            if not self._may_begin():
                continue
            async with self._noting:
                if self._journal.needs_renewal:
                    await self._claim()
                await self._note()
                await self._note_part()

    async def _note(self, ahead: int = 0) -> None:
        """Write down what has changed; how far we are only together with the last of it."""
        ahead += self._standing.ledger - self._noted.ledger
        moved = (self._standing.calls, self._standing.replays) != (self._noted.calls, self._noted.replays) or ahead >= LEDGER_BEHIND
        if not moved and not self._kept.has_changes:
            return
        settled = self._kept.settled(NOTED_ENTRIES)
        entries = [] if len(settled) == NOTED_ENTRIES else self._kept.changed(NOTED_ENTRIES)  # one may be settled, and owed anew
        standing = self._noted if self._kept.has_changes else self._standing
        await self._append(mark_of(standing, entries, settled, snapshot=self._snapshot))
        self._noted = standing
        self._shared.failpoints.reach("calls.noted")

    async def _note_part(self) -> None:
        """Write the next part of a snapshot, where one is due: so that a takeover need not read far."""
        if self._part is None:
            far = self._journal.end - self._snapshot > SNAPSHOT_OFFSETS + 2 * len(self._kept)
            if not far and self._shared.monotonic() - self._snapshot_s < SNAPSHOT_S:
                return
            self._part = 0, NO_SNAPSHOT, 0
        number, begin, start = self._part
        entries, following = self._kept.run(start, NOTED_ENTRIES)
        is_last = following is None
        mark = mark_of(self._noted, entries, snapshot=begin if is_last else self._snapshot, part=number, is_last=is_last)
        offset = await self._append(mark)
        begin = offset if number == 0 else begin
        if following is None:
            self._snapshot, self._part, self._snapshot_s = begin, None, self._shared.monotonic()
        else:
            self._part = number + 1, begin, following

    async def _append(self, mark: Mark) -> int:
        return (await self._journal.append([(KEY, encode_mark(mark))])).offset


def _mark_in(record: LogRecord) -> Mark:
    assert record.value is not None, f"the mark at {record.offset} has no value"
    return decode_mark(unseal(record.value)[1])


class CallBook:
    """What the dispatcher of a process asks: it goes to the partition whose call it is."""

    def __init__(self) -> None:
        self.partitions: dict[int, PartitionCalls] = {}

    async def fetch(self, places: Sequence[Place]) -> Mapping[Place, Call]:
        """See `Book.fetch`."""
        found: dict[Place, Call] = {}
        for number in sorted({place.partition & ~REPLAYS for place in places}):
            calls = self.partitions.get(number)
            if calls is not None:  # else released meanwhile
                found |= await calls.fetch([place for place in places if place.partition & ~REPLAYS == number])
        return found

    async def delivered(self, place: Place) -> None:
        """See `Book.delivered`."""
        self._of(place).delivered(place)

    async def put_off(self, place: Place, tries: Tries) -> None:
        """See `Book.put_off`."""
        self._of(place).put_off(place, tries)

    async def give_up(self, place: Place, call: Call | None, end: GivenUp) -> None:
        """See `Book.give_up`."""
        await self._of(place).give_up(place, call, end)

    def _of(self, place: Place) -> PartitionCalls:
        return self.partitions[place.partition & ~REPLAYS]
