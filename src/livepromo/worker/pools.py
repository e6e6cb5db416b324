"""How many codes pools have left, asked from outside, while workers may go on."""

from __future__ import annotations

from collections.abc import Iterable

from livepromo.ledger.deciding import TAKEN, pool_row, taken_of
from livepromo.ledger.entries import GrantEntry, decode
from livepromo.ledger.redis_shelf import NoChunks
from livepromo.ledger.redis_table import RedisTable
from livepromo.ledger.shelf import Shelf
from livepromo.ledger.table import Table
from livepromo.model.ids import partition_of
from livepromo.settings import Settings
from livepromo.streaming.journal import read_journal
from livepromo.streaming.log import Log
from livepromo.telemetry import clock
from livepromo.worker.connecting import redis_of
from livepromo.worker.publishing_changes import kafka_log
from livepromo.worker.shelf import TopicShelf
from livepromo.worker.watching import Codes


async def codes_left(settings: Settings, pools: Iterable[str], partitions: int) -> dict[str, int]:
    """Return how many codes each pool has that were not given yet; `partitions` are those of the topic of codes.

    Raises the UnavailableError of Kafka or of the table.
    """
    table, ledger = RedisTable(redis_of(settings), settings.namespace), settings.topic("ledger")
    try:
        async with kafka_log(settings) as log:
            shelf = TopicShelf(log, settings.topic("codes"), partitions, NoChunks(), monotonic=clock.monotonic_s)
            return {pool: (await codes_of_now(log, ledger, table, shelf, partition_of(pool, partitions), pool)).left for pool in pools}
    finally:
        await table.close()


async def codes_of_now(  # noqa: PLR0913, PLR0917 - all that is asked
    log: Log, ledger: str, table: Table, shelf: Shelf, partition: int, pool: str
) -> Codes:
    """Return what a pool has, and has left when the ledger is asked for its end, however far behind the table is.

    The table's row spares reading the ledger up to where it stands. It may have forgotten everything: then the whole ledger is read.
    """
    row = pool_row(pool)
    applied, _ = await table.progress(partition)
    taken = start = 0
    if applied is not None:
        found, rows = await table.read(partition, applied.generation, [row])
        if found is not None and found.generation == applied.generation:  # else it is being filled anew
            taken, start = taken_of(rows, pool), found.offset
    end = await log.end(ledger, partition)
    if start > end:  # of another ledger
        taken = start = 0
    async for records in read_journal(log, ledger, partition, start, end):
        for _, payload, _ in records:
            assert payload is not None, "the ledger deletes nothing"
            entry = decode(payload)
            if isinstance(entry, GrantEntry):
                taken += sum(much for name, slot, much in entry.adds if name == row and slot == TAKEN)
    size = (await shelf.stock(pool, 0, 0)).size  # asked for last, so that it is not behind what was given
    return Codes(size, size - taken)
