"""How many codes are left, whatever the table has forgotten, and however far behind the ledger it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from livepromo.ledger.deciding import TAKEN, pool_row
from livepromo.ledger.entries import Entry, GrantEntry, PositionEntry, encode, key_of
from livepromo.ledger.shelf import MemoryShelf
from livepromo.ledger.table import Applied, MemoryTable
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.model.records import Position
from livepromo.streaming.journal import MARKER, seal
from livepromo.streaming.log import LogRecord
from livepromo.worker.pools import codes_of_now
from livepromo.worker.watching import Codes
from logs import MemoryLog

POOL = "coupon/spring"
SHELF = MemoryShelf({POOL: tuple(f"C{n}" for n in range(10))})


def a_grant(number: int, pool: str | None = POOL) -> GrantEntry:
    adds = (("camp", "total", 1), *(((pool_row(pool), TAKEN, 1),) if pool else ()))
    return GrantEntry(
        GrantId(f"gr_{number}"),
        CampaignId("camp"),
        "coupon",
        UserId("u"),
        b"{}",
        adds,
        0,
        Position(number, 0),
        received_ms=1,
        amount_units=1,
    )


def a_ledger() -> MemoryLog:
    """Return a ledger of four codes of the pool, among others, at offsets 1, 3, 5 and 6."""
    entries: list[Entry] = [
        a_grant(1),
        a_grant(2, None),
        a_grant(3),
        a_grant(4, "coupon/other"),
        a_grant(5),
        a_grant(6),
        PositionEntry(9, {}),
    ]
    log = MemoryLog()
    log.write([(MARKER, seal(0, b"")), *((key_of(entry), seal(0, encode(entry))) for entry in entries)])
    return log


async def left(table: MemoryTable, log: MemoryLog) -> Codes:
    return await codes_of_now(log, "livepromo.ledger", table, SHELF, 0, POOL)


async def test_without_a_table_the_whole_ledger_is_counted() -> None:
    assert await left(MemoryTable(), a_ledger()) == Codes(10, 6)


@pytest.mark.parametrize(("offset", "taken"), [(1, 0), (2, 1), (4, 2), (6, 3), (7, 4), (8, 4)])
async def test_what_the_table_does_not_have_is_counted_in_the_ledger(offset: int, taken: int) -> None:
    table, log = MemoryTable(), a_ledger()
    await table.write(0, None, Applied(0, offset), {pool_row(POOL): {TAKEN: taken}} if taken else {}, {}, 0)
    assert await left(table, log) == Codes(10, 6)
    assert all(start >= offset - 1 for start, _ in log.reads), "no more than that is read"


async def test_a_table_of_another_ledger_is_not_believed() -> None:
    table = MemoryTable()
    await table.write(0, None, Applied(0, 500), {pool_row(POOL): {TAKEN: 9}}, {}, 0)
    assert await left(table, a_ledger()) == Codes(10, 6)


async def test_codes_given_meanwhile_are_never_more_than_there_are() -> None:
    shelf = MemoryShelf({})

    class Growing(MemoryLog):
        """A ledger into which the last code goes while it is read."""

        async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
            shelf.pools[POOL] = ("C1",)
            async for records in super().read(topic, partition, start, end):
                yield records

    log = Growing()
    log.write([(MARKER, seal(0, b"")), (b"gr_1", seal(0, encode(a_grant(1))))])
    assert await codes_of_now(log, "livepromo.ledger", MemoryTable(), shelf, 0, POOL) == Codes(1, 0)
