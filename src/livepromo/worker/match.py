"""The match stage of one partition: events → candidates, and the order of steps that loses nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from livepromo.engine.boundary import advance_all, decode_all
from livepromo.engine.entries import CatalogueTaken, ControlEntry, HistoryRead, Tick, Visit
from livepromo.engine.erasing import rows_by_home
from livepromo.engine.histories import NOTHING_ASKED, Asked, made_ready, read_rules, unread_of
from livepromo.engine.journalling import (
    PositionPart,
    Surroundings,
    entry_key,
    merge_ids,
    parts_of,
    position_part,
    restore_part,
    restored,
    take_entry,
)
from livepromo.engine.offers import Send
from livepromo.engine.partition import RECORD_STEP, Batch, advance_time
from livepromo.engine.parts import erased_key
from livepromo.engine.plan import Plan
from livepromo.engine.sends import USERS_AT_ONCE, next_send, users_of, visit
from livepromo.engine.state import Changes, Part, State, merge, weight_of
from livepromo.ledger.sources import CandidateBatch, Erasure, encode_batch
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.ids import UserId, partition_of
from livepromo.model.records import DeadReason, Erase, Event, Malformed, Membership, Position, Profile, Record
from livepromo.model.time import FOREVER_MS, SECOND_MS
from livepromo.streaming.errors import DoesNotFitError, FencedError
from livepromo.streaming.journal import Journal
from livepromo.streaming.offsets import SPAN_OFFSETS, Slice
from livepromo.telemetry import clock
from livepromo.worker.counting import count_taken
from livepromo.worker.history import History
from livepromo.worker.ports import OutRecord
from livepromo.worker.publishing import Publications
from livepromo.worker.shared import Shared, log

DEAD_LETTER_KEY_BYTES = 4096
CANDIDATE_BATCH_BYTES = 512 * 1024
ERASED_ROWS = 1_000
BUGS_IN_A_ROW = 100
AT_HOME_USERS = 100_000
RESTORED_AT_ONCE = 1_000  # records of the journal, some 20 ms
HOUR_S = 3600.0
SLOW_S = 10.0  # where our last append was answered later (this process was frozen), the broker's time is asked for anew
ENTRY_PARTS = 2_000  # rules in a batch: fewer than 300 bytes each
SKEW_MS = 500  # by how much the clocks of two brokers may differ
UNKNOWN_TZDATA = "unknown"
_BUG: Record = Malformed(DeadReason.BUG)
_OF_A_USER = (Event, Profile, Membership, Erase)
_home_of = lru_cache(maxsize=65_536)(partition_of)

Sent = dict[tuple[str, int], list[OutRecord]]
CompleteUntil = Callable[[int], float | None]
"""Partition → the monotonic instant before which nothing was appended to it that has not been matched; None where that is not known."""


class MatchOwner:
    """The owner of one partition of the events topic: takes its slices, one at a time and in order."""

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        partition: int,
        shared: Shared,
        publications: Publications,
        tzdata: str,
        *,
        complete_until_s: CompleteUntil = lambda _: None,
        owns: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.partition, self._shared, self._publications = partition, shared, publications
        self._complete_until_s, self._owns = complete_until_s, owns
        self._surroundings = Surroundings(shared.topics.event_partitions, tzdata)
        self.state = State(shared.horizons)
        self.journal = self._new_journal()
        self._history = History(partition, shared)
        self._entries_from = 0
        self._bugs_in_a_row = 0
        self._appended_s = shared.monotonic()
        self._at_home: set[str] = set()  # users whose home this partition is: the hash of a user is not worked out anew for every record

    def _new_journal(self) -> Journal:
        return self._shared.journal(self._shared.topics.state, self.partition)

    # -- taking over ---------------------------------------------------------------------------------------------

    async def take_over(self, committed: int | None = None) -> int:
        """Claim the partition, restore its state, name the new epoch everywhere; return the offset from which to read.

        `committed` is the group's committed offset, if there is one. Raises DoesNotFitError when what is held does not fit.
        """
        shared, topics = self._shared, self._shared.topics
        await self._history.close()
        self.journal = self._new_journal()
        await self.journal.claim()
        shared.failpoints.reach("takeover.claimed")
        last = await shared.patiently("the state", self._restore)
        if not await shared.patiently("the state's end", self.journal.still_ours):
            # Compaction may have taken records from before our marker, for the sake of those that a newer owner appended behind it.
            raise FencedError(f"{topics.state}[{self.partition}] was claimed by somebody else while it was restored")
        shared.failpoints.reach("takeover.restored")
        if last is None:
            if committed is not None:
                raise DoesNotFitError(
                    f"{topics.state}[{self.partition}] holds no state, but the group has read {topics.events} up to {committed}: "
                    "restore the state from the backup set, or stop all workers and run livepromo state rebuild"
                )
            begin = await shared.patiently("the events topic's begin", lambda: shared.log.begin(topics.events, self.partition))
            self.state.position = Position(begin, 0)
        else:
            self._check_fits(last)
        await shared.patiently("the catalogue", lambda: self._publications.follow_to(self.state.catalogue))
        await self._name_epoch()
        shared.failpoints.reach("takeover.named")
        end = await shared.patiently("the events topic's end", lambda: shared.log.end(topics.events, self.partition))
        # What the older owner may have sent beyond its durable position is the same only under the same control entries.
        self._entries_from = min(self.state.position.offset + SPAN_OFFSETS, end)
        await self._take_what_is_due()  # a control entry stands, but perhaps not yet what was decided by it
        return self.state.position.offset

    async def _restore(self) -> PositionPart | None:
        self.state = State(self._shared.horizons)
        last: PositionPart | None = None
        records = 0
        async for batch in self.journal.restore():
            for start in range(0, len(batch), RESTORED_AT_ONCE):
                for key, payload, _ in batch[start : start + RESTORED_AT_ONCE]:
                    last = restore_part(self.state, key, payload) or last
                await self._shared.pause(0)  # heartbeats go on meanwhile, else who restores a large state is taken for dead
            records += len(batch)
        restored(self.state)
        # The older owner may have ended before the batch that says that these hours are over.
        merge_ids(self.state, Changes(self.state, self._shared.horizons), self.state.ids.expire(self.state.stream_ms))
        metrics = self._shared.metrics
        metrics.takeover_records_total.labels(stage="match").inc(records)
        if self.journal.void:
            metrics.void_records_total.labels(topic=self._shared.topics.state).inc(self.journal.void)
        return last

    def _check_fits(self, last: PositionPart) -> None:
        topic = f"{self._shared.topics.state}[{self.partition}]"
        if last.partitions < 0:
            raise DoesNotFitError(f"{topic} was being rebuilt: stop all workers and run livepromo state rebuild to its end")
        if last.partitions != self._surroundings.partitions:
            raise DoesNotFitError(
                f"{topic} was written for {last.partitions} partitions of {self._shared.topics.events}, there are now "
                f"{self._surroundings.partitions}: users have moved: stop all workers and run livepromo state rebuild --users-moved"
            )
        if UNKNOWN_TZDATA not in {last.tzdata, self._surroundings.tzdata} and last.tzdata > self._surroundings.tzdata:
            raise DoesNotFitError(
                f"{topic} was written with time zones of {last.tzdata}, this worker has {self._surroundings.tzdata}: update tzdata"
            )

    async def _name_epoch(self) -> None:
        """Tell every candidates partition who owns the source now: from there on it drops what older owners send."""
        naming = encode_batch(CandidateBatch(self.partition, self.journal.epoch, self.state.position))
        topics = self._shared.topics
        await self._shared.outbox.send_many(
            {(topics.candidates, number): [(None, naming, ())] for number in range(topics.candidate_partitions)}
        )

    async def keep(self) -> int:
        """Go on with a partition that a rebalance gave back: where it stood, unless somebody claimed it meanwhile."""
        if await self._shared.patiently("the journal", self.journal.still_ours):
            return self.state.position.offset
        return await self.take_over()

    # -- slices --------------------------------------------------------------------------------------------------

    async def take_slice(self, piece: Slice) -> None:
        """Match a slice: candidates and side outputs, then the state, then return. What the state holds already is not matched again."""
        state = self.state
        if piece.next_offset <= state.position.offset:
            return
        await self._take_what_is_due()  # what an owner before us began comes before anything that is read
        start = bisect_left(piece.offsets, state.position.offset)
        values, keys = piece.values[start:], piece.keys[start:]
        format_ = self._shared.format
        read = values if format_.whole is None else list(map(format_.whole, values, piece.headers[start:]))
        records, bugs = decode_all(read, format_.decode, _BUG)
        batch = Batch(piece.offsets[start:], records, piece.timestamps_ms[start:])
        metrics = self._shared.metrics
        metrics.record_bytes_total.inc(sum(map(len, filter(None, values))))
        metrics.misplaced_records_total.inc(self._misplaced(batch))
        at = 0
        while True:
            part = batch.behind(at)
            changes, more_bugs = advance_all(
                state, self._publications.plan(state.catalogue, self._shared.horizons), self._shared.horizons, part
            )
            done = at + changes.took == len(batch.records)
            if done:
                changes.position = Position(piece.next_offset, 0)
            bugs.update({at + place: text for place, text in more_bugs.items()})
            sent: Sent = {}
            self._add_dead(sent, changes, part.offsets, keys[at:], values[at:])
            self._add_outcomes(sent, changes)
            self._report_bugs(bugs, at, changes, part.offsets)
            await self._make_durable(changes, sent)
            at += changes.took
            if done:
                return
            if changes.send is not None:
                await self._send(changes.send)

    async def _make_durable(self, changes: Changes, sent: Sent) -> None:
        shared, state = self._shared, self.state
        if not (sent or changes.parts or changes.took or changes.stream_ms > state.stream_ms):
            changes.position = state.position  # nothing was due after all
            merge(state, changes)
            return
        if sent:
            await shared.outbox.send_many(sent)
        shared.failpoints.reach("match.candidates_appended")
        await self._append(parts_of(state, changes, self._surroundings))
        shared.failpoints.reach("match.state_appended")
        forgotten = merge(state, changes)
        merge_ids(state, changes, forgotten)
        count_taken(changes, shared.metrics)
        if state.has_begun:
            shared.metrics.stream_time_timestamp_seconds.labels(partition=str(self.partition)).set(state.stream_ms / SECOND_MS)

    async def _append(self, parts: Sequence[Part]) -> None:
        before = self._shared.monotonic()
        await self.journal.append(parts)
        self._appended_s = self._shared.monotonic()
        self._shared.metrics.state_append_seconds.observe(self._appended_s - before)

    def _misplaced(self, batch: Batch) -> int:
        """Count the records of users whose home is another partition; nearly all are of users who were found at home before."""
        at_home = self._at_home
        strangers = [r.user for r in batch.records if isinstance(r, _OF_A_USER) and r.user not in at_home]
        if not strangers:
            return 0
        count = self._shared.topics.event_partitions
        found = {user for user in set(strangers) if partition_of(user, count) == self.partition}
        if len(at_home) + len(found) > AT_HOME_USERS:
            at_home.clear()
        at_home |= found
        return sum(user not in found for user in strangers)

    def _add_dead(
        self, sent: Sent, changes: Changes, offsets: Sequence[int], keys: Sequence[bytes | None], values: Sequence[bytes | None]
    ) -> None:
        topics = self._shared.topics
        origin = topics.events.encode(), b"%d" % self.partition
        for place, reason in changes.dead:
            value = values[place]
            headers = [
                ("reason", reason.value.encode()),
                ("topic", origin[0]),
                ("partition", origin[1]),
                ("offset", b"%d" % offsets[place]),
            ]
            key = keys[place]
            if len(value or b"") + len(key or b"") > topics.dead_letter_bytes:
                key = key and key[:DEAD_LETTER_KEY_BYTES]
                value = value and value[: topics.dead_letter_bytes - len(key or b"")]
                headers.append(("truncated", b"true"))
            sent.setdefault((topics.dead_letters, 0), []).append((key, value, headers))

    def _add_outcomes(self, sent: Sent, changes: Changes) -> None:
        topics, shared = self._shared.topics, self._shared
        by_partition: dict[int, list[Candidate]] = {}
        for outcome in changes.outcomes:
            if isinstance(outcome, Candidate):
                by_partition.setdefault(_home_of(outcome.home, topics.candidate_partitions), []).append(outcome)
            elif shared.denials.says(outcome):
                add_denial(sent, topics.denied, shared, outcome)
        for number, candidates in by_partition.items():
            sent[topics.candidates, number] = [
                (None, encode_batch(CandidateBatch(self.partition, self.journal.epoch, self.state.position, some)), ())
                for some in _in_batches(candidates)
            ]
        for user, offset in changes.erased:
            self._add_erasures(sent, user, Position(offset, RECORD_STEP))

    def _add_erasures(self, sent: Sent, user: UserId, at: Position) -> None:
        """Add that a user's rows are to be dropped, to each partition that may have some, behind the candidates from before."""
        rows: dict[int, list[str]] = {}
        for home, row in rows_by_home(self._publications.at(self.state.catalogue), user):
            rows.setdefault(_home_of(home, self._shared.topics.candidate_partitions), []).append(row)
        for number, names in rows.items():
            for start in range(0, len(names), ERASED_ROWS):
                erasure = Erasure(tuple(names[start : start + ERASED_ROWS]), at)
                batch = CandidateBatch(self.partition, self.journal.epoch, self.state.position, (), (erasure,))
                sent.setdefault((self._shared.topics.candidates, number), []).append((None, encode_batch(batch), ()))

    def _report_bugs(self, bugs: dict[int, str], at: int, changes: Changes, offsets: Sequence[int]) -> None:
        for place, reason in changes.dead:
            if reason is DeadReason.BUG:
                log.error(
                    "a bug made a dead letter of %s[%d]@%d:\n%s",
                    self._shared.topics.events,
                    self.partition,
                    offsets[place],
                    bugs[at + place],
                )
        struck = sum(reason is DeadReason.BUG for _, reason in changes.dead)
        self._bugs_in_a_row = self._bugs_in_a_row + struck if struck == changes.took else 0
        assert self._bugs_in_a_row < BUGS_IN_A_ROW, f"{self._bugs_in_a_row} records in a row met a bug: not going on"

    # -- control entries and upkeep ------------------------------------------------------------------------------

    async def look(self) -> bool:
        """Take what was published, renew the claim before it ages, and write the position again at least hourly; read of the past.

        Says whether there is more of that to be read at once.
        """
        if self.journal.needs_renewal:
            await self.journal.renew()
            self._shared.failpoints.reach("renew.claimed")
        if not await self._take_what_is_due(self._is_owned):  # that it is due was decided before anything that is published now
            return True
        await self._take_publications()
        if not await self._take_what_is_due(self._is_owned):
            return True
        await self._tick()
        if not await self._take_what_is_due(self._is_owned):
            return True
        more = await self._read_history()
        if self._shared.monotonic() - self._appended_s > HOUR_S or self.journal.answered_after_s > SLOW_S:
            await self._write_again()
        return more

    async def _read_history(self) -> bool:
        """Read of the past what rules ask for that were published just now, a bit at a time, and say whether there is more of it."""
        state = self.state
        more = await self._history.read(state, self._plan(), lambda changes: self._make_durable(changes, {}))
        rules = read_rules(state)
        if rules and state.position.offset >= self._entries_from:
            await self._enter(HistoryRead(rules), "history.entry_appended", made_ready(state, rules))
            log.info("%s[%d] has read the past of %d rules", self._shared.topics.events, self.partition, len(rules))
            await self._take_what_is_due()
        self._history.report(state)
        return more

    async def _take_publications(self) -> bool:
        """Take what was published meanwhile, and say whether there was anything."""
        newest = self._publications.newest.position
        if newest <= self.state.catalogue or self.state.position.offset < self._entries_from:
            return False
        after = self._publications.plan(newest, self._shared.horizons)
        asked = await self._history.asked_by(self.state, self._plan(), after)
        await self._enter(CatalogueTaken(newest, unread_of(asked)), "catalogue.entry_appended", asked)
        log.info("%s[%d] took the catalogue up to %d", self._shared.topics.events, self.partition, newest)
        return True

    async def _enter(self, entry: ControlEntry, failpoint: str, asked: Asked = NOTHING_ASKED) -> None:
        """Take a control entry: it stands in the state before anything is decided by it.

        Where a batch cannot hold all that it asks for, some of that stands before it, and is nothing without it.
        """
        parts, taken = take_entry(self.state, entry, self._surroundings, asked)
        while len(parts) > ENTRY_PARTS:
            await self._append(parts[:ENTRY_PARTS])
            del parts[:ENTRY_PARTS]
        await self._append(parts)
        self._shared.failpoints.reach(failpoint)
        taken()

    # -- what is due without a record

    def _plan(self) -> Plan:
        return self._publications.plan(self.state.catalogue, self._shared.horizons)

    def _is_owned(self) -> bool:
        return self._owns(self.partition)

    async def _take_what_is_due(self, goes_on: Callable[[], bool] = lambda: True) -> bool:
        """Fire and send what stream time has passed already, after a tick, a restart, a pause; say whether that is all of it.

        It goes on as long as it may: who must give the partition up does not finish a send that may take minutes.
        """
        state = self.state
        while True:
            send = next_send(state, self._plan())
            if state.due_ms >= state.stream_ms and (send is None or send.instant_ms >= state.stream_ms):
                return True
            if not goes_on():
                return False
            changes, done = advance_time(state, self._plan(), self._shared.horizons, state.stream_ms)
            await self._decided(changes)
            if changes.send is not None:
                await self._send(changes.send, goes_on)
            elif done:
                return True

    async def _decided(self, changes: Changes) -> None:
        sent: Sent = {}
        self._add_outcomes(sent, changes)
        await self._make_durable(changes, sent)

    async def _tick(self) -> None:
        """Move stream time on where nothing unread can be older, if something is due by then (A5)."""
        state = self.state
        send = next_send(state, self._plan())
        due_ms = min(state.due_ms, FOREVER_MS if send is None else send.instant_ms)
        if due_ms >= FOREVER_MS or state.position.offset < self._entries_from:
            return
        complete_s = self._complete_until_s(self.partition)
        if complete_s is None:
            return
        # The time of the broker, by the clock that it stamped our last append with; an embedded one has none but this machine's.
        stamped_s, stamped_ms = self.journal.stamped or (self._shared.monotonic(), clock.wall_ms())
        at_ms = stamped_ms + int((complete_s - stamped_s) * SECOND_MS) - SKEW_MS
        if at_ms <= max(due_ms, state.stream_ms):
            return
        await self._enter(Tick(at_ms), "tick.entry_appended")

    async def _send(self, send: Send, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Visit everyone whom a send has still to visit, unless something is published meanwhile: then it is looked at anew."""
        state, horizons = self.state, self._shared.horizons
        users, at = users_of(state, send), 0
        while True:
            offset, step = state.position
            # An owner before us may have ended behind its entry: what it sent of that visit is known again at the same place alone.
            begun = state.entries.get(Position(offset, step - 1))
            most, place = (begun.users, state.position) if isinstance(begun, Visit) else (USERS_AT_ONCE, Position(offset, step + 1))
            changes, count = visit(state, horizons, send, users[at : at + most], place, left=len(users) - at)
            done = changes.sent[send.offer.campaign].done
            if place != state.position:
                await self._enter(Visit(send.offer.campaign, count, done), "visit.entry_appended")
            await self._decided(changes)
            at += count
            if done or not goes_on() or await self._take_publications():
                return

    async def _write_again(self) -> None:
        """Append the position anew, so that the broker remembers us, and drop what says something of records that are gone."""
        state, topics = self.state, self._shared.topics
        begin = await self._shared.patiently("the events topic's begin", lambda: self._shared.log.begin(topics.events, self.partition))
        old = sorted(at for at in state.entries if at.offset < begin)[:-1]  # the newest of them says what holds at the begin
        erased = [mark for mark, offset in state.erased.items() if offset < begin]  # nothing from before can be read again
        parts: list[Part] = [(key, None) for key in (*map(entry_key, old), *map(erased_key, erased))]
        await self._append([*parts, position_part(state, state.position, state.stream_ms, self._surroundings)])
        for at in old:
            del state.entries[at]
        for mark in erased:
            del state.erased[mark]

    async def leave(self) -> None:
        """Nothing to say: the position stands in the state with every slice."""

    async def close(self) -> None:
        """Let go of the partition."""
        self._shared.metrics.stream_time_timestamp_seconds.remove_by_labels({"partition": str(self.partition)})
        self._history.forget()
        await self._history.close()
        await self.journal.close()


def _in_batches(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, ...]]:
    """Yield candidates in groups that each fit into a record, and whose grants fit into a batch of the ledger."""
    some: list[Candidate] = []
    size = 0
    for candidate in candidates:
        weight = weight_of(candidate)
        if some and size + weight > CANDIDATE_BATCH_BYTES:
            yield tuple(some)
            some, size = [], 0
        some.append(candidate)
        size += weight
    if some:
        yield tuple(some)


def add_denial(sent: Sent, topic: str, shared: Shared, denial: Denial) -> None:
    """Add a denial to what is to be sent, by user."""
    number = partition_of(denial.user, shared.topics.denied_partitions)
    sent.setdefault((topic, number), []).append((denial.user.encode(), denial.as_json(), ()))
