"""What documents would have granted over recorded records: the engine and the ledger's decisions, in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import assert_never

from livepromo.behaviour import users
from livepromo.behaviour.decoding import decode_recorded
from livepromo.behaviour.formats import LIVEPROMO, RecordFormat
from livepromo.behaviour.users import User
from livepromo.documents import catalogue as publications
from livepromo.documents.catalogue import Catalogue, campaign_key
from livepromo.engine.boundary import advance_all, decode_all, scan_all
from livepromo.engine.entries import CatalogueTaken, ControlEntry, HistoryRead, Tick, Visit
from livepromo.engine.histories import Reading, ask, asked_by, made_ready, met_more, new_rules, next_scan, nothing_scanned
from livepromo.engine.horizons import Horizons
from livepromo.engine.offers import Send
from livepromo.engine.partition import Batch, advance_time
from livepromo.engine.plan import EMPTY_PLAN, Plan, compile_plan
from livepromo.engine.sends import USERS_AT_ONCE, users_of, visit
from livepromo.engine.state import State, merge
from livepromo.ledger.deciding import Row, Stock, decide_all, keeps_all, rows_of
from livepromo.model.decisions import Candidate, Denial, Grant
from livepromo.model.documents import Campaign, Document, key_of
from livepromo.model.formats import FormatError
from livepromo.model.ids import UserId
from livepromo.model.records import DeadReason, Ignored, Malformed, Record
from livepromo.model.time import FOREVER_MS
from livepromo.simulation.files import STANDARD_INPUT, EntryLine, InputError, LogHeader, PublicationLine, RecordLine, read_log
from livepromo.simulation.summary import Summary

SLICE_RECORDS = 2_000
SLICE_BYTES = 4 << 20  # or so: a slice ends with the record that reaches it
_BEFORE_EVERYTHING_MS = -(1 << 61)
_NO_CODES = Stock(0, (), 0)
_BUG: Record = Malformed(DeadReason.BUG)
_NOT_RECEIVED: tuple[Record, int | None] = (_BUG, None)
Decision = Grant | Denial


class Simulation:
    """One set of limits, the codes of pools, and a summary, for any number of partitions. A pool that is not there has no codes.

    Records are in `format_`; what it reads from headers stands in the values already.
    """

    def __init__(self, horizons: Horizons, codes: Mapping[str, tuple[str, ...]] | None = None, format_: RecordFormat = LIVEPROMO) -> None:
        self.decode = format_.decode
        self.replays = False  # what was sent is said by control entries
        self._stocks = {pool: Stock(0, some, len(some)) for pool, some in (codes or {}).items()}
        self.horizons, self.summary = horizons, Summary({pool: stock.size for pool, stock in self._stocks.items()})
        self.rows: dict[str, Row] = {}

    def finish(self, state: State, plan: Plan, until_ms: int) -> Iterator[Decision]:
        """Move a partition's stream time on without a record and yield the decisions about what is due by then, in order."""
        while True:
            changes, done = advance_time(state, plan, self.horizons, until_ms)
            merge(state, changes)
            self.summary.count_windows(changes)
            yield from self._decide(changes.outcomes)
            if changes.send is not None:
                if self.replays:
                    return
                yield from self.send(state, changes.send)
            elif done:
                return

    def send(self, state: State, send: Send, most: int | None = None) -> Iterator[Decision]:
        """Decide about everyone whom a send has still to visit, or the next `most` of them, and yield the decisions."""
        users = users_of(state, send)
        end = len(users) if most is None else most
        at = count = 0
        while at == 0 or (count and at < end):
            some = users[at : min(end, at + USERS_AT_ONCE)]
            changes, count = visit(state, self.horizons, send, some, state.position, left=len(users) - at)
            merge(state, changes)
            self.summary.count_visited(send.offer.campaign, count, len(changes.outcomes))
            yield from self._decide(changes.outcomes)
            at += count
            if not count:
                return

    @property
    def pools(self) -> list[str]:
        """The pools that have codes."""
        return list(self._stocks)

    def take(self, state: State, plan: Plan, batch: Batch) -> Iterator[Decision]:
        """Take records into a partition's state and yield the decisions that they make, in order."""
        start = 0
        while start < len(batch.records):
            changes, _ = advance_all(state, plan, self.horizons, batch.behind(start))
            start += changes.took
            merge(state, changes)
            self.summary.count_records(changes)
            self.summary.count_windows(changes)
            yield from self._decide(changes.outcomes)
            for user, _ in changes.erased:
                for row in [name for name in self.rows if not keeps_all(name) and name.partition("/")[2] == user]:
                    del self.rows[row]
            if changes.send is not None and not self.replays:
                yield from self.send(state, changes.send)

    def _decide(self, outcomes: Sequence[Candidate | Denial]) -> Iterator[Decision]:
        candidates = [one for one in outcomes if isinstance(one, Candidate)]
        rows = {name: self.rows[name] for name in rows_of(candidates) if name in self.rows}
        stocks = {c.pool: self._stocks.get(c.pool, _NO_CODES) for c in candidates if c.pool is not None}
        decided, changed = decide_all(rows, candidates, stocks)
        self.rows.update(changed)
        following = iter(decided)
        for one in outcomes:
            decision = next(following) if isinstance(one, Candidate) else one
            self.summary.count_decision(decision)
            yield decision


def run_recorded(
    simulation: Simulation,
    documents: Sequence[Document],
    lines: Iterable[bytes],
    until_ms: int = FOREVER_MS,
    *,
    lists: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Decision]:
    """Yield the decisions over recorded records, one JSON object a line, in one partition; at the end stream time moves to `until_ms`.

    The documents are published, revision 1 of each, at the first record's time; a campaign that starts `now` starts before every record.
    `lists` are the users on lists, by the list's id: they were imported before the first record, so all of them are known.
    """

    def recorded(line: bytes | None) -> tuple[Record, int | None]:
        return decode_recorded(line, simulation.decode) if line else (Ignored(), None)

    horizons = simulation.horizons
    state, plan, offset, catalogue = State(horizons), EMPTY_PLAN, 0, Catalogue()
    _import_users(state, lists or {})
    for chunk in _chunks(lines):
        decoded, _ = decode_all(chunk, recorded, _NOT_RECEIVED)
        records = [record for record, _ in decoded]
        if plan is EMPTY_PLAN:
            published_ms = next((r.ts_ms for r in records if not isinstance(r, Malformed | Ignored)), None)
            if published_ms is not None:  # until then there is nothing to decide
                catalogue = _published(documents, published_ms)
                simulation.summary.take_catalogue(catalogue)
                plan = compile_plan(catalogue, horizons, now_start_ms=_BEFORE_EVERYTHING_MS, now_send_ms=FOREVER_MS)
        batch = Batch(range(offset, offset + len(chunk)), records, [appended for _, appended in decoded])
        yield from simulation.take(state, plan, batch)
        offset += len(chunk)
    if plan is EMPTY_PLAN:
        simulation.summary.take_catalogue(_published(documents, 0))
    if not state.has_begun:
        return  # time has not begun, so nothing is due
    now_ms = state.stream_ms
    plan = compile_plan(catalogue, horizons, now_start_ms=_BEFORE_EVERYTHING_MS, now_send_ms=now_ms)
    yield from simulation.finish(state, plan, until_ms)
    for send in plan.sends:
        if send.send_ms == now_ms and until_ms <= send.instant_ms and _is_sent_now(catalogue, send):
            yield from simulation.send(state, send)


def _import_users(state: State, lists: Mapping[str, Sequence[str]]) -> None:
    names: dict[str, set[str]] = {}
    for name, some in lists.items():
        for user in some:
            names.setdefault(user, set()).add(f"list/{name}")
    for user, on_lists in names.items():
        state.put_who(UserId(user), users.encode(User(segments=frozenset(on_lists))))


def _is_sent_now(catalogue: Catalogue, send: Send) -> bool:
    document = catalogue.entries[campaign_key(send.offer.campaign)].document
    return isinstance(document, Campaign) and document.when.send_ms is None


def _published(documents: Sequence[Document], published_ms: int) -> Catalogue:
    publication = publications.Publication(
        by="simulate", expects={key_of(document): 0 for document in documents}, documents=tuple(documents)
    )
    catalogue, valid = publications.take(Catalogue(), 0, published_ms, publication)
    assert valid, "documents that were checked publish"
    return catalogue


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if len(chunk) >= SLICE_RECORDS or size >= SLICE_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


class _LoggedPartition:
    """A partition being decided again, at the places at which its worker decided."""

    def __init__(self, path: str, simulation: Simulation, moved: Callable[[int], None]) -> None:
        lines = read_log(path, moved)
        header = next(lines)
        assert isinstance(header, LogHeader), path
        self.partition, self.topic, self._path = header.partition, header.topic, path
        self._simulation, self._lines = simulation, lines
        self.state, self.plan = State(simulation.horizons), EMPTY_PLAN
        self._publications: list[PublicationLine] = []
        self.catalogue = Catalogue()
        self._next: EntryLine | RecordLine | None = None
        self._advance()

    @property
    def received_ms(self) -> int:
        """When the next record had been received; partitions are woven together by it."""
        return self._next.received_ms if isinstance(self._next, RecordLine) else -1

    @property
    def has_more(self) -> bool:
        return self._next is not None

    def _advance(self) -> None:
        while True:
            line = next(self._lines, None)
            if isinstance(line, PublicationLine):
                self._publications.append(line)
                continue
            assert not isinstance(line, LogHeader), self._path
            self._next = line
            return

    def take(self, until_ms: int) -> Iterator[Decision]:
        """Take what comes next: a control entry, or the records up to the next one, to `until_ms`, or to the size of a slice."""
        if isinstance(self._next, EntryLine):
            yield from self._take_entry(self._next.entry)
            self._advance()
            return
        slice_: list[RecordLine] = []
        values: list[bytes | None] = []
        size = 0
        while isinstance(self._next, RecordLine) and (not slice_ or self._next.received_ms <= until_ms):
            slice_.append(self._next)
            values.append(self._next.as_bytes())
            size += len(values[-1] or b"")
            self._advance()
            if len(slice_) >= SLICE_RECORDS or size >= SLICE_BYTES:
                break
        records, _ = decode_all(values, self._simulation.decode, _BUG)
        batch = Batch([line.offset for line in slice_], records, [line.received_ms for line in slice_])
        yield from self._simulation.take(self.state, self.plan, batch)

    def _take_entry(self, entry: ControlEntry) -> Iterator[Decision]:
        """Take a control entry as its worker did, with all that it makes due before anything else is taken."""
        state, simulation = self.state, self._simulation
        match entry:
            case CatalogueTaken(position=position, unread=unread):
                self._take_catalogue(position, unread)
                yield from simulation.finish(state, self.plan, state.stream_ms)  # what waited for a send that is paused now
            case Tick(at_ms=at_ms):
                state.stream_ms = max(state.stream_ms, at_ms)
                yield from simulation.finish(state, self.plan, at_ms)
            case HistoryRead(rules=rules):
                ask(state, made_ready(state, rules))
            case Visit(campaign=campaign, users=users):
                send = next(send for send in self.plan.sends if send.offer.campaign == campaign)
                yield from simulation.finish(state, self.plan, send.instant_ms + 1)
                yield from simulation.send(state, send, users)
                yield from simulation.finish(state, self.plan, state.stream_ms)  # what had to wait for the send
            case _:
                assert_never(entry)

    def _take_catalogue(self, position: int, unread: Sequence[bytes]) -> None:
        while self.catalogue.position < position:
            line = next((p for p in self._publications if p.offset >= self.catalogue.position), None)
            if line is None or line.offset >= position:
                raise InputError(f"{self._path}: the publications before {position} are missing")
            try:
                publication = publications.decode(line.value.encode())
            except FormatError as error:
                raise InputError(f"{self._path}: the publication at {line.offset}: {error}") from None
            self.catalogue, _ = publications.take(self.catalogue, line.offset, line.published_ms, publication)
        before, self.plan = self.plan, compile_plan(self.catalogue, self._simulation.horizons)
        state = self.state
        begin = 0 if unread else state.position.offset
        ask(state, asked_by(state, before, self.plan, {rule.key: begin for rule in new_rules(state, self.plan)}))
        state.catalogue = position
        if (name := next_scan(state)) is not None:
            self._scan(name)

    def _scan(self, name: int) -> None:
        """Read what the file says of the past, all of it at once: it is judged by only from the entry on that says so."""
        state, horizons = self.state, self._simulation.horizons
        if self._path == STANDARD_INPUT:
            raise InputError("a log whose campaigns look back is read twice, which standard input cannot be: write it to a file")
        met, end = nothing_scanned(horizons), state.scans[name].end
        lines = (line for line in read_log(self._path) if isinstance(line, RecordLine) and line.offset < end)
        while next_scan(state) is not None:
            some = list(islice(lines, SLICE_RECORDS))
            records, _ = decode_all([line.as_bytes() for line in some], self._simulation.decode, _BUG)
            batch = Batch([line.offset for line in some], records, [line.received_ms for line in some])
            to = None if some else end
            while True:
                changes, more, _ = scan_all(Reading(state, self.plan, horizons, name), met, batch, to=to)
                merge(state, changes)
                met = met_more(met, more)
                if changes.took == len(batch.records):
                    break
                batch = batch.behind(changes.took)


def run_logged(simulation: Simulation, paths: Sequence[str], moved: Callable[[int], None] = lambda _: None) -> Iterator[Decision]:
    """Yield the decisions over logs of partitions, each decided at the same places again, with one set of limits for all.

    `moved` is told of bytes as they are read. Raises InputError.
    """
    simulation.replays = True
    partitions = [_LoggedPartition(path, simulation, moved) for path in paths]
    if len({(p.topic, p.partition) for p in partitions}) < len(partitions):
        raise InputError("two of the logs are of the same partition")
    waiting = [(p.received_ms, at) for at, p in enumerate(partitions) if p.has_more]
    heapq.heapify(waiting)
    newest = Catalogue()
    while waiting:
        _, at = heapq.heappop(waiting)
        partition = partitions[at]
        yield from partition.take(waiting[0][0] if waiting else FOREVER_MS)
        if partition.catalogue.position > newest.position:
            newest = partition.catalogue
            simulation.summary.take_catalogue(newest)
        if partition.has_more:
            heapq.heappush(waiting, (partition.received_ms, at))


def decision_line(decision: Decision) -> bytes:
    """Return a decision as a JSON line: `{"grant":{…}}` or `{"denial":{…}}`."""
    return b'{"%b":%b}\n' % (b"grant" if isinstance(decision, Grant) else b"denial", decision.as_json())


__all__ = ["Simulation", "decision_line", "run_logged", "run_recorded"]
