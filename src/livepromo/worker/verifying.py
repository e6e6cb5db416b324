"""Whether the table holds what the ledger says: both read side by side, while workers may go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from livepromo.ledger.deciding import Row
from livepromo.ledger.entries import Entry, GrantEntry, decode
from livepromo.ledger.folding import NOTHING_DECIDED, Progress, fold, rows_needed
from livepromo.ledger.table import Applied, Table
from livepromo.streaming.errors import DoesNotFitError
from livepromo.streaming.journal import read_journal
from livepromo.streaming.log import Log

ROWS_AT_ONCE = 1_000
MOST_KEPT = 20
TRIES = 5

Difference = tuple[str, str, str, str]
"""Row, slot, what the ledger says, what the table holds."""


class Verified:
    """What was found in one partition. `applied` is how far the table reaches, `end` where the ledger ended when that was asked."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.applied: Applied | None = None
        self.end = self.grants = self.rows = 0
        self.differences: list[Difference] = []  # the first few
        self.differ = 0  # how many there are in all

    def differs(self, row: str, slot: str, ledger: object, table: object) -> None:
        """Note a difference; only the first few are kept."""
        self.differ += 1
        if len(self.differences) < MOST_KEPT:
            self.differences.append((row, slot, _said(ledger), _said(table)))


def _said(value: object) -> str:
    return "nothing" if value is None else str(value)


class _Fold:
    """The ledger of one partition, folded as far as was asked for."""

    def __init__(self, log: Log, topic: str, partition: int, moved: Callable[[int], None]) -> None:
        self._log, self._topic, self._partition, self._moved = log, topic, partition, moved
        self.offset = self.grants = 0
        self.rows: dict[str, Row] = {}
        self.progress = NOTHING_DECIDED

    async def reach(self, offset: int) -> None:
        """Fold up to `offset`, which must not lie behind where the fold stands."""
        assert offset >= self.offset, (offset, self.offset)
        async for records in read_journal(self._log, self._topic, self._partition, self.offset, offset):
            entries: list[Entry] = []
            for _, payload, _ in records:
                assert payload is not None, "the ledger deletes nothing"
                entries.append(decode(payload))
            before = {name: self.rows[name] for name in rows_needed(entries) if name in self.rows}
            changed, self.progress = fold(entries, before, self.progress)
            self.rows.update(changed)
            for name in [name for name, row in changed.items() if not row]:  # their user was erased
                del self.rows[name]
            self.grants += sum(isinstance(entry, GrantEntry) for entry in entries)
            self._moved(len(records))
        self.offset = offset


async def verify(log: Log, topic: str, table: Table, partition: int, moved: Callable[[int], None] = lambda _: None) -> Verified:
    """Compare the table's rows and progress with what the ledger of one partition makes, up to where the table stands.

    Claims nothing. A worker may go on meanwhile: each row is compared as of the place at which the table stood when it was read.
    Raises UnavailableError of either, FormatError, and DoesNotFitError where the table is being filled anew all the while.
    """
    for _ in range(TRIES):
        found = await _verified(log, topic, table, partition, moved)
        if found is not None:
            return found
    raise DoesNotFitError(f"the table of {topic}[{partition}] was filled anew while it was looked at: look again")


async def _verified(log: Log, topic: str, table: Table, partition: int, moved: Callable[[int], None]) -> Verified | None:
    """Return what was found, or None if the table went back or to another generation meanwhile."""
    verified, ledger = Verified(partition), _Fold(log, topic, partition, moved)
    applied, _ = await table.progress(partition)
    verified.end = await log.end(topic, partition)  # asked for after the table, which is written after the ledger
    verified.applied = applied
    if applied is None or applied.offset > verified.end:
        await ledger.reach(verified.end)
        verified.grants, verified.rows = ledger.grants, len(ledger.rows)
        if applied is not None:
            verified.differs("applied", "offset", f"at most {verified.end}", applied.offset)
        return verified  # a table that holds nothing lags behind by everything
    await ledger.reach(applied.offset)
    names = sorted(ledger.rows)
    verified.grants, verified.rows = ledger.grants, len(names)
    for start in range(0, len(names), ROWS_AT_ONCE):
        some = names[start : start + ROWS_AT_ONCE]
        found, rows = await table.read(partition, applied.generation, some)
        if not await _follows(ledger, applied, found):
            return None
        _compare_rows(verified, some, ledger.rows, rows)
    unknown: set[str] = set()
    async for some in table.row_names(partition, applied.generation):
        unknown.update(name for name in some if name not in ledger.rows)
    found, progress = await table.progress(partition)
    if not await _follows(ledger, applied, found):
        return None
    for name in sorted(unknown.difference(ledger.rows)):
        verified.differs(name, "all", None, "a row")
    _compare_progress(verified, ledger.progress, progress)
    return verified


async def _follows(ledger: _Fold, applied: Applied, found: Applied | None) -> bool:
    """Fold up to where the table stands now; False if that is no place further on in the same generation."""
    if found is None or found.generation != applied.generation or found.offset < ledger.offset:
        return False
    await ledger.reach(found.offset)
    return True


def _compare_rows(verified: Verified, names: Sequence[str], ledger: dict[str, Row], table: dict[str, Row]) -> None:
    for name in names:
        says, holds = ledger[name], table.get(name, {})
        if says != holds:
            for slot in sorted(says.keys() | holds.keys()):
                if says.get(slot) != holds.get(slot):
                    verified.differs(name, slot, says.get(slot), holds.get(slot))


def _compare_progress(verified: Verified, ledger: Progress, table: Progress | None) -> None:
    if table is None:
        verified.differs("progress", "all", ledger.candidates_offset, None)
        return
    if ledger.candidates_offset != table.candidates_offset:
        verified.differs("progress", "candidates", ledger.candidates_offset, table.candidates_offset)
    for number in sorted(ledger.sources.keys() | table.sources.keys()):
        says, holds = ledger.sources.get(number), table.sources.get(number)
        if says != holds:
            verified.differs("progress", f"source {number}", says, holds)
