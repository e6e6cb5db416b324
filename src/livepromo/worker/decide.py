"""The decide stage of one partition: candidates → grants, the ledger first, then the table."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from livepromo.delivery.queue import encode_call, queued
from livepromo.ledger.deciding import Row, Stock, decide_all, rows_of, taken_of
from livepromo.ledger.entries import Entry, ErasedEntry, PositionEntry, decode, encode, grant_entry, key_of
from livepromo.ledger.folding import NOTHING_DECIDED, Progress, fold, rows_needed
from livepromo.ledger.shelf import Shelf
from livepromo.ledger.sources import CandidateBatch, admit_all, admit_erasures, decode_batch, remember_all
from livepromo.ledger.table import Applied, Table, next_generation
from livepromo.model.decisions import Candidate, Denial, Grant
from livepromo.model.ids import GrantId
from livepromo.streaming.errors import FencedError
from livepromo.streaming.journal import Journal
from livepromo.streaming.offsets import Slice
from livepromo.worker.match import Sent, add_denial
from livepromo.worker.shared import Shared, log

FOLD_ENTRIES = 2_000
BATCH_CANDIDATE_BYTES = 512 * 1024
POSITION_CANDIDATES = 10_000
POSITION_S = 60.0
TABLE_LOOK_S = 60.0


class DecideOwner:
    """The owner of one partition of the candidates topic, its ledger, and its rows: decides slices, one at a time and in order."""

    def __init__(self, partition: int, shared: Shared, table: Table, shelf: Shelf) -> None:
        self.partition, self._shared, self._table, self._shelf = partition, shared, table, shelf
        self.journal = self._new_journal()
        self.progress = NOTHING_DECIDED
        self._applied: Applied | None = None  # what the table holds, as we know it; None: nothing
        self._unwritten: set[int] = set()  # sources that have moved on since the last position in the ledger
        self._undecided = 0  # candidates looked at since then
        self._position_s = self._looked_s = shared.monotonic()
        self._told: Callable[[Sequence[Entry]], None] = lambda _: None

    def _new_journal(self) -> Journal:
        return self._shared.journal(self._shared.topics.ledger, self.partition)

    # -- taking over ---------------------------------------------------------------------------------------------

    async def take_over(self, committed: int | None = None) -> int:  # noqa: ARG002 - the place is in the ledger, not in the group
        """Claim the partition, bring the table up to the end of the ledger; return the offset of the candidates from which to read."""
        self.journal = self._new_journal()
        await self.journal.claim()
        self._shared.failpoints.reach("takeover.claimed")
        self._applied, self.progress = await self._shared.patiently("taking the ledger over", self._caught_up)
        self._unwritten.clear()
        self._undecided = 0
        self._shared.failpoints.reach("takeover.restored")
        return self.progress.candidates_offset

    async def keep(self) -> int:
        """Go on with a partition that a rebalance gave back: where it stood, unless somebody claimed it meanwhile."""
        if await self._shared.patiently("the ledger", self.journal.still_ours):
            return self.progress.candidates_offset
        return await self.take_over()

    async def _caught_up(self) -> tuple[Applied, Progress]:
        """Fold into the table what the ledger holds beyond it, up to our own last append; return where it stands then."""
        while True:
            folded = await self._folded_up()
            if folded is not None:
                return folded

    async def _folded_up(self) -> tuple[Applied, Progress] | None:
        """Fold until the table stands at the ledger's end; None if somebody else wrote to it meanwhile: look again."""
        end = self.journal.end
        applied, progress = await self._table.progress(self.partition)
        if applied is None or progress is None or applied.offset > end:
            if applied is not None:
                if not await self.journal.still_ours():  # then it is we who are behind: a newer owner has brought the table further
                    raise FencedError(f"{self._shared.topics.ledger}[{self.partition}] is somebody else's: the table stands at {applied}")
                self._regressed(applied)
            return await self._fold_anew(applied, Applied(next_generation(applied, self.journal.epoch), 0))
        return await self._fold_from(applied, applied, progress)

    async def _fold_anew(self, standing: Applied | None, anew: Applied) -> tuple[Applied, Progress] | None:
        """Fold the whole ledger into a new generation and drop the rows of older ones; None as of `_fold_from`."""
        folded = await self._fold_from(standing, anew, NOTHING_DECIDED)
        if folded is not None:
            await self._table.forget(self.partition, anew.generation)
        return folded

    async def rebuild(self, told: Callable[[Sequence[Entry]], None]) -> None:
        """Claim the partition and fold its whole ledger into a new generation, whatever the table holds; `told` sees what is folded.

        Whoever owned the partition is fenced and ends; the next owner goes on from there. Waits for nothing: the table's
        UnavailableError is raised. Run twice, it does the same again.
        """
        self._told = told
        self.journal = self._new_journal()
        await self.journal.claim()
        standing, _ = await self._table.progress(self.partition)
        while True:
            anew = Applied(next_generation(standing, self.journal.epoch), 0)
            if await self._fold_anew(standing, anew) is not None:
                return
            # The next owner is there already. From a generation that is not older than ours it folds what we would.
            standing, _ = await self._table.progress(self.partition)
            if standing is not None and standing.generation >= anew.generation:
                return

    async def _fold_from(self, standing: Applied | None, start: Applied, progress: Progress) -> tuple[Applied, Progress] | None:
        """Fold the ledger from `start`, in pieces; None if the table did not stand at `standing`, or somebody else wrote meanwhile."""
        target = Applied(start.generation, self.journal.end)
        waiting: list[Entry] = []
        async for records in self.journal.restore(start.offset):
            self._shared.metrics.takeover_records_total.labels(stage="decide").inc(len(records))
            for _, payload, offset in records:
                assert payload is not None, "the ledger deletes nothing"
                waiting.append(decode(payload))
                if len(waiting) >= FOLD_ENTRIES:
                    reached = Applied(start.generation, offset + 1)
                    after = await self._write_folded(waiting, progress, standing, reached)
                    if after is None:
                        return None
                    standing, progress, waiting = reached, after, []
        if standing != target:
            after = await self._write_folded(waiting, progress, standing, target)
            if after is None:
                return None
            progress = after
        return target, progress

    async def _write_folded(
        self, entries: Sequence[Entry], progress: Progress, standing: Applied | None, target: Applied
    ) -> Progress | None:
        rows: dict[str, Row] = {}
        if standing is not None and standing.generation == target.generation:
            found, rows = await self._table.read(self.partition, target.generation, sorted(rows_needed(entries)))
            if found != standing:
                return None
        changed, after = fold(entries, rows, progress)
        self._told(entries)
        written = await self._table.write(self.partition, standing, target, changed, after.sources, after.candidates_offset)
        return after if written else None

    # -- slices --------------------------------------------------------------------------------------------------

    async def take_slice(self, piece: Slice) -> None:
        """Decide a slice: denials, then the ledger, then the table, then return. What the ledger holds already is not decided again."""
        start = bisect_left(piece.offsets, self.progress.candidates_offset)
        for batches, next_offset in _bounded(piece, start):
            if batches[0].erasures:
                await self._erase(batches[0], next_offset)
            else:
                await self._decide(batches, next_offset)
        if piece.next_offset > self.progress.candidates_offset:  # a gap at the end
            self.progress = Progress(piece.next_offset, self.progress.sources)

    async def _decide(self, batches: Sequence[CandidateBatch], next_offset: int) -> None:
        shared = self._shared
        moved, admitted = admit_all(self.progress.sources, batches)
        candidates = [candidate for _, candidate in admitted]
        rows = await self._rows_of(candidates)
        decisions, changed = decide_all(rows, candidates, await self._stocks_of(candidates, rows))
        sent: Sent = {}
        grants: list[tuple[int, Grant]] = []
        for (source, _), decision in zip(admitted, decisions, strict=True):
            if isinstance(decision, Grant):
                grants.append((source, decision))
            elif shared.denials.says(decision):
                add_denial(sent, shared.topics.denied, shared, decision)
        if sent:
            await shared.outbox.send_many(sent)
        shared.failpoints.reach("decide.denials_sent")
        sources = {**self.progress.sources, **moved}
        sources.update(remember_all(sources, [(source, g.candidate.grant_id, g.candidate.position) for source, g in grants]))
        after = Progress(next_offset, sources)
        self._unwritten.update(moved)
        self._undecided += len(candidates)
        if grants:
            await self._make_durable(grants, after, changed)
        self.progress = after
        self._count(decisions)

    async def _erase(self, batch: CandidateBatch, next_offset: int) -> None:
        """Drop the rows of users who were erased, the ledger first: whatever is decided behind it finds nothing counted."""
        source, names = admit_erasures(self.progress.sources.get(batch.source), batch)
        rows = sorted(name for name, row in (await self._rows_named(names)).items() if row)
        after = Progress(next_offset, {**self.progress.sources, batch.source: source})
        self._unwritten.add(batch.source)
        if rows:
            await self._settle([ErasedEntry(tuple(rows)), self._position(after)], after, {name: {} for name in rows}, set())
        self.progress = after

    async def _rows_of(self, candidates: Sequence[Candidate]) -> dict[str, Row]:
        """Return the rows that the candidates name, of the moment at which the table stood where we know it to stand."""
        return await self._rows_named(sorted(rows_of(candidates)))

    async def _rows_named(self, names: Sequence[str]) -> dict[str, Row]:
        if not names:
            return {}

        async def read() -> dict[str, Row]:
            while True:
                assert self._applied is not None, "the table was caught up with at take-over"
                before = self._shared.monotonic()
                found, rows = await self._table.read(self.partition, self._applied.generation, names)
                self._shared.metrics.table_seconds.labels(call="read").observe(self._shared.monotonic() - before)
                if found == self._applied:
                    return rows
                self._regressed(found)
                await self._refold()

        return await self._shared.patiently("reading rows", read)

    async def _stocks_of(self, candidates: Sequence[Candidate], rows: Mapping[str, Row]) -> dict[str, Stock]:
        """Return the next codes of every pool, as many as there are candidates of it, from where its cursor stands in `rows`."""
        wanted = Counter(candidate.pool for candidate in candidates if candidate.pool is not None)
        stocks: dict[str, Stock] = {}
        for pool, count in wanted.items():
            start = taken_of(rows, pool)

            async def fetch(pool: str = pool, start: int = start, count: int = count) -> Stock:
                return await self._shelf.stock(pool, start, count)

            stocks[pool] = await self._shared.patiently(f"the codes of {pool}", fetch)
        return stocks

    def _regressed(self, found: Applied | None) -> None:
        self._shared.metrics.table_regressions_total.inc()
        log.warning(
            "%s[%d]: the table stands at %s instead of %s: folding the ledger from there",
            self._shared.topics.ledger,
            self.partition,
            found,
            self._applied,
        )

    async def _refold(self) -> None:
        """Bring the table up again; our own progress stays: it knows more than the ledger, which only says what was granted by then."""
        self._applied, _ = await self._caught_up()

    async def _make_durable(self, grants: Sequence[tuple[int, Grant]], after: Progress, changed: dict[str, Row]) -> None:
        shared = self._shared
        calls = await self._append_calls([grant for _, grant in grants if grant.candidate.call is not None])
        shared.failpoints.reach("decide.calls_appended")
        entries = [grant_entry(grant, source, calls.get(grant.candidate.grant_id)) for source, grant in grants]
        await self._settle([*entries, self._position(after)], after, changed, {source for source, _ in grants})

    async def _settle(self, entries: Sequence[Entry], after: Progress, changed: dict[str, Row], named: set[int]) -> None:
        """Append entries to the ledger, then write what they make of the rows and of the sources that are named."""
        shared = self._shared
        await self._append(entries)
        shared.failpoints.reach("decide.ledger_appended")
        before, sources = self._applied, {number: after.sources[number] for number in self._unwritten | named}
        assert before is not None, "the table was caught up with at take-over"
        target = Applied(before.generation, self.journal.end)

        async def write() -> None:
            started = shared.monotonic()
            written = await self._table.write(self.partition, before, target, changed, sources, after.candidates_offset)
            shared.metrics.table_seconds.labels(call="write").observe(shared.monotonic() - started)
            if written:
                self._applied = target
            else:  # it stood elsewhere, or our own earlier try was written: either way the ledger says what it must hold
                found, _ = await self._table.progress(self.partition)
                if found == target:
                    self._applied = target
                    return
                self._regressed(found)
                await self._refold()

        await shared.patiently("writing rows", write)
        self._unwritten.clear()
        shared.failpoints.reach("decide.rows_written")

    async def _append_calls(self, grants: Sequence[Grant]) -> dict[GrantId, int]:
        """Fix the calls that the grants make, before the ledger; return where each stands. Without a record of the ledger it is void."""
        if not grants:
            return {}
        records = [(grant.candidate.grant_id.encode(), encode_call(queued(grant)), ()) for grant in grants]
        places = await self._shared.outbox.place(self._shared.topics.webhooks, self.partition, records)
        return {grant.candidate.grant_id: place for grant, place in zip(grants, places, strict=True)}

    def _position(self, after: Progress) -> PositionEntry:
        named = {number: (after.sources[number].epoch, after.sources[number].durable) for number in self._unwritten}
        return PositionEntry(after.candidates_offset, named)

    async def _append(self, entries: Sequence[Entry]) -> None:
        started = self._shared.monotonic()
        await self.journal.append([(key_of(entry), encode(entry)) for entry in entries])
        self._position_s = self._shared.monotonic()
        self._shared.metrics.ledger_append_seconds.observe(self._position_s - started)
        self._undecided = 0

    def _count(self, decisions: Sequence[Grant | Denial]) -> None:
        metrics = self._shared.metrics
        granted: Counter[tuple[str, str]] = Counter()
        amounts: Counter[str] = Counter()
        scale: dict[str, int] = {}
        for decision in decisions:
            if isinstance(decision, Grant):
                candidate = decision.candidate
                granted[candidate.campaign, candidate.reward_type] += 1
                amounts[candidate.campaign] += decision.amount_units
                scale[candidate.campaign] = candidate.decimals
            else:
                metrics.denials_total.labels(decision.campaign, decision.reason.value).inc()
        for (campaign, reward), count in granted.items():
            metrics.grants_total.labels(campaign, reward).inc(count)
        for campaign, units in amounts.items():
            metrics.granted_amount_total.labels(campaign).inc(units / 10 ** scale[campaign])

    # -- upkeep --------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Renew the claim before it ages, and say in the ledger how far we are, though nothing was granted."""
        if self.journal.needs_renewal:
            await self.journal.renew()
            self._shared.failpoints.reach("renew.claimed")
        if self._shared.monotonic() - self._looked_s >= TABLE_LOOK_S:
            await self._shared.patiently("the table", self._look_at_table)
        rested_s = self._shared.monotonic() - self._position_s
        if self._undecided >= POSITION_CANDIDATES or (rested_s >= POSITION_S and self._unwritten):
            await self.write_position()

    async def _look_at_table(self) -> None:
        """Bring up a table that has forgotten something, though nothing is to be decided: others read it too."""
        found, _ = await self._table.progress(self.partition)
        if found != self._applied:
            self._regressed(found)
            await self._refold()
        self._looked_s = self._shared.monotonic()

    async def write_position(self) -> None:
        """Append the position alone, so that a new owner does not look at the same candidates again; also at a clean stop."""
        await self._append([self._position(self.progress)])
        before = self._applied
        assert before is not None, "the table was caught up with at take-over"
        sources = {number: self.progress.sources[number] for number in self._unwritten}
        target = Applied(before.generation, self.journal.end)

        async def write() -> None:
            if await self._table.write(self.partition, before, target, {}, sources, self.progress.candidates_offset):
                self._applied = target
            else:
                await self._refold()

        await self._shared.patiently("writing a position", write)
        self._unwritten.clear()

    async def leave(self) -> None:
        """Say how far we are before a clean end, so that the next owner begins there."""
        if self._unwritten:
            await self.write_position()

    async def close(self) -> None:
        """Let go of the partition."""
        await self.journal.close()


def _bounded(piece: Slice, start: int) -> Iterator[tuple[list[CandidateBatch], int]]:
    """Yield the records from `start` on in groups small enough for a batch of the ledger each, with the offset behind each group.

    One with erasures is a group by itself, behind all that came before it.
    """
    batches: list[CandidateBatch] = []
    size = 0
    for at in range(start, len(piece.values)):
        value = piece.values[at]
        assert value is not None, f"the candidates' record {piece.offsets[at]} has no value"
        batch = decode_batch(value)
        if batches and (size + len(value) > BATCH_CANDIDATE_BYTES or batch.erasures or batches[-1].erasures):
            yield batches, piece.offsets[at]
            batches, size = [], 0
        batches.append(batch)
        size += len(value)
    if batches:
        yield batches, piece.offsets[-1] + 1
