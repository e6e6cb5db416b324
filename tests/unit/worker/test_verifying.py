"""The table is compared with the ledger row by row, while both go on; every difference is named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from livepromo.ledger.deciding import Row
from livepromo.ledger.entries import Entry, GrantEntry, PositionEntry, encode, key_of
from livepromo.ledger.folding import fold_all
from livepromo.ledger.table import Applied, MemoryTable
from livepromo.model.ids import CampaignId, GrantId, UserId, hash_of
from livepromo.model.records import Position
from livepromo.streaming.errors import DoesNotFitError
from livepromo.streaming.journal import MARKER, seal
from livepromo.streaming.log import LogRecord, Writer
from livepromo.worker.verifying import MOST_KEPT, verify

EPOCH = 0  # the marker stands at offset 0


class FakeLog:
    """A ledger of one partition: a marker, then entries."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        values = [(MARKER, seal(EPOCH, b"")), *((key_of(entry), seal(EPOCH, encode(entry))) for entry in entries)]
        self.records = [LogRecord(at, 1, key, value) for at, (key, value) in enumerate(values)]

    async def claim(self, topic: str, partition: int, name: str | None = None) -> Writer:
        """Nobody claims to verify."""
        raise AssertionError((topic, partition, name))

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """Yield records, three at a time."""
        assert (topic, partition) == ("ledger", 0)
        assert end <= len(self.records)
        for at in range(start, end, 3):
            yield self.records[at : min(at + 3, end)]

    async def begin(self, topic: str, partition: int) -> int:
        """Return the begin."""
        return len((topic, partition)) - 2

    async def end(self, topic: str, partition: int) -> int:
        """Return the end."""
        return len(self.records) + len((topic, partition)) - 2


def entries_of(grants: int) -> list[Entry]:
    """Return grants of several users, with a position after every fourth."""
    entries: list[Entry] = []
    for n in range(grants):
        user = f"u{n % 5}"
        adds = ((f"camp/{user}", "total", 1), (f"camp/{user}", f"day:{n}", 1), ("camp", "amount", 10 + n))
        name = GrantId("gr_" + hash_of(n).hex())
        entries.append(GrantEntry(name, CampaignId("camp"), "points", UserId(user), b"{}", adds, 2, Position(n, 0), 1, 10 + n))
        if n % 4 == 3:
            entries.append(PositionEntry(n + 1, {2: (7, Position(n - 1, 0))}))
    return entries


async def filled(entries: Sequence[Entry], upto: int | None = None, generation: int = 0) -> MemoryTable:
    """Return the table that holds the first entries of a ledger."""
    table = MemoryTable()
    some = entries if upto is None else entries[:upto]
    rows, progress = fold_all(some)
    assert await table.write(0, None, Applied(generation, len(some) + 1), rows, progress.sources, progress.candidates_offset)
    return table


async def test_what_is_the_same_differs_in_nothing() -> None:
    entries = entries_of(41)
    found = await verify(FakeLog(entries), "ledger", await filled(entries), 0)
    assert (found.differ, found.grants, found.rows, found.end) == (0, 41, 6, len(entries) + 1)


@pytest.mark.parametrize("upto", [0, 1, 4, 5, 17])
async def test_a_table_that_lags_behind_is_no_difference(upto: int) -> None:
    entries = entries_of(41)
    found = await verify(FakeLog(entries), "ledger", await filled(entries, upto), 0)
    assert found.differ == 0
    assert found.applied == Applied(0, upto + 1)
    assert found.end == len(entries) + 1


async def test_every_wrong_slot_missing_row_and_unknown_row_is_named() -> None:
    entries = entries_of(20)
    table = await filled(entries)
    rows = table._rows[0, 0]
    rows["camp/u1"] = {**rows["camp/u1"], "total": 1}
    del rows["camp/u2"]
    rows["other/u9"] = {"total": 1}
    rows["camp"] = {**rows["camp"], "total": 3}
    found = await verify(FakeLog(entries), "ledger", table, 0)
    assert ("camp/u1", "total", "4", "1") in found.differences
    assert ("camp/u2", "total", "4", "nothing") in found.differences
    assert ("other/u9", "all", "nothing", "a row") in found.differences
    assert ("camp", "total", "nothing", "3") in found.differences
    assert found.differ == len(found.differences) == 1 + 4 + 1 + 1


async def test_of_many_differences_the_first_are_kept_and_all_are_counted() -> None:
    entries = entries_of(4)
    table = await filled(entries)
    table._rows[0, 0].update({f"x/{n}": {"total": 1} for n in range(50)})
    found = await verify(FakeLog(entries), "ledger", table, 0)
    assert (found.differ, len(found.differences)) == (50, MOST_KEPT)


async def test_progress_that_differs_is_named() -> None:
    entries = entries_of(20)
    rows, progress = fold_all(entries)
    table = MemoryTable()
    await table.write(0, None, Applied(0, len(entries) + 1), rows, {}, progress.candidates_offset + 1)
    found = await verify(FakeLog(entries), "ledger", table, 0)
    assert [(row, slot) for row, slot, _, _ in found.differences] == [("progress", "candidates"), ("progress", "source 2")]


async def test_a_table_that_holds_nothing_lags_behind_by_everything() -> None:
    found = await verify(FakeLog(entries_of(3)), "ledger", MemoryTable(), 0)
    assert (found.applied, found.grants, found.end, found.differ) == (None, 3, 4, 0)


async def test_a_table_that_stands_beyond_the_ledger_differs() -> None:
    entries = entries_of(8)
    found = await verify(FakeLog(entries[:4]), "ledger", await filled(entries), 0)
    assert found.differences == [("applied", "offset", "at most 5", str(len(entries) + 1))]


class Moving(MemoryTable):
    """A table to which a worker writes the next entry whenever it is read."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.entries, self.at = entries, 0

    async def move(self) -> None:
        """Write up to the next entry."""
        before, _ = await self.progress(0)
        self.at = min(self.at + 1, len(self.entries))
        rows, progress = fold_all(self.entries[: self.at])
        await self.write(0, before, Applied(0, self.at + 1), rows, progress.sources, progress.candidates_offset)

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        """Move on, then read."""
        await self.move()
        return await super().read(partition, generation, rows)


async def test_a_worker_may_go_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livepromo.worker.verifying.ROWS_AT_ONCE", 1)
    entries = entries_of(41)
    table = Moving(entries)
    for _ in range(30):
        await table.move()
    found = await verify(FakeLog(entries), "ledger", table, 0)
    assert found.differ == 0
    assert table.at == 36


class Restarting(MemoryTable):
    """A table that is filled anew whenever somebody has begun to read it."""

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        """Begin another generation, then read."""
        before, _ = await self.progress(0)
        assert before is not None
        await self.write(0, before, Applied(before.generation + 1, 1), {}, {}, 0)
        found = await super().read(partition, generation, rows)
        await self.write(0, Applied(before.generation + 1, 1), Applied(before.generation + 1, 5), {}, {}, 0)
        return found


async def test_a_table_that_is_filled_anew_all_the_while_is_not_judged() -> None:
    entries = entries_of(8)
    table = Restarting()
    await table.write(0, None, Applied(0, 5), {}, {}, 0)
    with pytest.raises(DoesNotFitError, match="filled anew while it was looked at"):
        await verify(FakeLog(entries), "ledger", table, 0)
