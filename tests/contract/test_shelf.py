"""What every shelf promises; and what the one over the topic does when Redis forgets, is damaged, or away."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from livepromo.ledger.codes import MOST_CODES
from livepromo.ledger.redis_address import RedisAddress
from livepromo.ledger.redis_shelf import Chunks, NoChunks, RedisChunks
from livepromo.ledger.shelf import MemoryShelf, Shelf
from livepromo.ledger.table import UnavailableError
from livepromo.sandbox.servers import RedisServer
from livepromo.streaming import errors
from livepromo.streaming.journal import seal
from livepromo.worker.importing import CodeImport
from livepromo.worker.shelf import MOST_OPEN, READ_AHEAD, TopicShelf
from logs import MemoryLog

pytestmark = pytest.mark.integration

POOL, OTHER = "coupon/spring-10", "voucher_list/amazon/Diwali 2025"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def a_shelf(log: MemoryLog, chunks: Chunks, void: Callable[[int], None] = lambda _: None) -> TopicShelf:
    return TopicShelf(log, "livepromo.codes", 1, chunks, monotonic=Clock(), void=void)


async def put(log: MemoryLog, pool: str, *codes: str) -> None:
    """Import codes."""
    await CodeImport(log, "livepromo.codes", 0, pool, monotonic=Clock()).run(code.encode() for code in codes)


class Case(NamedTuple):
    """A shelf, and how codes come to it."""

    shelf: Shelf
    put: Callable[..., Awaitable[None]]


@pytest.fixture
async def chunks(redis_server: RedisServer) -> AsyncIterator[RedisChunks]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    chunks = RedisChunks(RedisAddress.parse(redis_server.url), "test")
    yield chunks
    await chunks.close()


@pytest.fixture(params=["memory", "redis"])
async def case(request: pytest.FixtureRequest, chunks: RedisChunks) -> Case:
    if request.param == "memory":
        shelf = MemoryShelf({})

        async def grow(pool: str, *codes: str) -> None:
            shelf.pools[pool] = shelf.pools.get(pool, ()) + codes

        return Case(shelf, grow)
    log = MemoryLog()

    async def into_topic(pool: str, *codes: str) -> None:
        await put(log, pool, *codes)

    return Case(a_shelf(log, chunks), into_topic)


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"CODE-{n:07d}" for n in range(first, first + count)]


async def test_a_pool_that_nothing_was_imported_into_has_none(case: Case) -> None:
    stock = await case.shelf.stock(POOL, 0, 10)
    assert (stock.start, stock.codes, stock.size) == (0, (), 0)


async def test_codes_stand_in_the_order_imported_however_many_are_asked_for(case: Case) -> None:
    everything = numbered(2 * MOST_CODES + 3)
    await case.put(POOL, *everything[:1])
    await case.put(OTHER, *numbered(5, first=7_000_000))
    await case.put(POOL, *everything[1:])
    draw = random.Random(5)
    asked = [(0, 1), (0, 5000), (len(everything), 3), (len(everything) - 1, 1)]
    asked += [(draw.randrange(len(everything)), draw.randrange(0, 1500)) for _ in range(60)]
    for start, count in asked:
        stock = await case.shelf.stock(POOL, start, count)
        assert stock.codes == tuple(everything[start : start + count]), (start, count)
        assert (stock.start, stock.size) == (start, len(everything))


async def test_what_is_imported_later_stands_behind_and_is_there_at_once_for_who_needs_it(case: Case) -> None:
    await case.put(POOL, *numbered(3))
    assert (await case.shelf.stock(POOL, 3, 2)).codes == ()
    await case.put(POOL, *numbered(4, first=3))
    stock = await case.shelf.stock(POOL, 2, 3)
    assert stock.codes == tuple(numbered(3, first=2))
    assert stock.size == 7


async def test_pools_are_apart(case: Case) -> None:
    await case.put(POOL, "A", "B")
    await case.put(OTHER, "B", "C", "ü/{x}\x00")
    assert (await case.shelf.stock(POOL, 0, 9)).codes == ("A", "B")
    assert (await case.shelf.stock(OTHER, 1, 9)).codes == ("C", "ü/{x}\x00")


async def test_a_stock_is_shown_without_its_codes(case: Case) -> None:
    await case.put(POOL, "SECRET-1")
    assert "SECRET" not in repr(await case.shelf.stock(POOL, 0, 1))
    assert "SECRET" not in str(await case.shelf.stock(POOL, 0, 1))


# -- the shelf over the topic ------------------------------------------------------------------------------------------


@pytest.fixture
def client(redis_server: RedisServer) -> Any:
    return redis.Redis.from_url(redis_server.url)


async def test_a_copy_that_redis_has_lost_is_read_again_some_at_a_time(chunks: RedisChunks, client: Any) -> None:
    log, everything = MemoryLog(), numbered((READ_AHEAD + 20) * 2)
    for at in range(0, len(everything), 2):  # records of two codes
        await put(log, POOL, *everything[at : at + 2])
    shelf = a_shelf(log, chunks)
    await shelf.stock(POOL, 0, 1)
    assert client.dbsize() == READ_AHEAD + 20
    client.flushall()
    assert (await shelf.stock(POOL, 11, 4)).codes == tuple(everything[11:15])
    assert client.dbsize() == READ_AHEAD
    before = len(log.reads)
    assert (await shelf.stock(POOL, 150, 6)).codes == tuple(everything[150:156])
    assert len(log.reads) == before, "what was copied along needs no topic"


async def test_a_copy_that_is_damaged_or_of_another_code_counts_as_missing(chunks: RedisChunks, client: Any) -> None:
    log = MemoryLog()
    await put(log, POOL, *numbered(5))
    await a_shelf(log, chunks).stock(POOL, 0, 1)
    [key] = client.keys("*")
    value = client.get(key)
    for damaged in (b"", b"nonsense", value[:-1], value.replace(b"CODE-0000003", b"CODE-0000009"), b"\x02" + value[1:]):
        client.set(key, damaged)
        assert (await a_shelf(log, chunks).stock(POOL, 0, 5)).codes == tuple(numbered(5))
        assert client.get(key) == value or len(damaged) == len(value), "one of another length is replaced"


async def test_another_worker_copies_nothing_that_is_there(chunks: RedisChunks, client: Any) -> None:
    log = MemoryLog()
    await put(log, POOL, *numbered(2_000))
    await a_shelf(log, chunks).stock(POOL, 0, 1)
    client.config_resetstat()
    await a_shelf(log, chunks).stock(POOL, 0, 1)
    assert "cmdstat_set" not in client.info("commandstats")


async def test_a_code_of_twelve_letters_takes_20_bytes_of_redis_at_most(chunks: RedisChunks, client: Any) -> None:
    log = MemoryLog()
    await put(log, POOL, *numbered(20_000))
    await a_shelf(log, chunks).stock(POOL, 0, 1)
    used = sum(client.memory_usage(key) for key in client.keys("*"))
    assert used / 20_000 <= 16


async def test_keys_have_the_tag_of_the_rows_of_their_partition(chunks: RedisChunks, client: Any) -> None:
    log = MemoryLog()
    await put(log, POOL, "A")
    await a_shelf(log, chunks).stock(POOL, 0, 1)
    assert client.keys("*") == [b"{test.0}codes/coupon/spring-10/1"]


async def test_what_an_importer_that_was_followed_appends_is_never_given(chunks: RedisChunks) -> None:
    log, void = MemoryLog(), list[int]()
    await put(log, POOL, "A")
    await put(log, POOL, "B")
    zombie = next(record for record in log.records if record.value != seal(0, b""))
    log.write([(zombie.key or b"", zombie.value)])
    await put(log, POOL, "C")
    shelf = a_shelf(log, chunks, void.append)
    stock = await shelf.stock(POOL, 0, 9)
    assert (stock.codes, stock.size) == (("A", "B", "C"), 3)
    assert void == [1]


async def test_with_redis_away_nothing_is_known_and_afterwards_everything(tmp_path: Path) -> None:
    log = MemoryLog()
    await put(log, POOL, *numbered(1_500))
    server = RedisServer(tmp_path / "redis").start()
    chunks = RedisChunks(RedisAddress.parse(server.url), "test", timeout_ms=300)
    try:
        shelf = a_shelf(log, chunks)
        server.stop()
        for _ in range(3):
            with pytest.raises(UnavailableError) as away:
                await shelf.stock(POOL, 10, 5)
            assert "CODE" not in str(away.value)
        server.start()
        stock = await shelf.stock(POOL, 990, 20)
        assert (stock.codes, stock.size) == (tuple(numbered(20, first=990)), 1_500)
        await put(log, POOL, *numbered(1, first=1_500))
        stock = await shelf.stock(POOL, 1_499, 9)
        assert (stock.codes, stock.size) == (tuple(numbered(2, first=1_499)), 1_501), "no record was taken twice"
    finally:
        await chunks.close()
        server.stop()


async def test_with_the_log_away_what_is_known_is_given_and_more_is_asked_for_again() -> None:
    log = MemoryLog()
    await put(log, POOL, *numbered(10))
    shelf = a_shelf(log, NoChunks())
    await shelf.stock(POOL, 0, 10)
    log.away = 1
    assert (await shelf.stock(POOL, 0, 10)).codes == tuple(numbered(10))
    with pytest.raises(errors.UnavailableError):
        await shelf.stock(POOL, 5, 10)
    assert (await shelf.stock(POOL, 5, 10)).codes == tuple(numbered(5, first=5))


async def test_codes_that_were_given_and_are_gone_from_the_topic_stop_everything() -> None:
    log = MemoryLog()
    await put(log, POOL, *numbered(10))
    with pytest.raises(errors.DoesNotFitError, match=r"11 codes of coupon/spring-10 have been given, and livepromo\.codes has 10: restore"):
        await a_shelf(log, NoChunks()).stock(POOL, 11, 1)


async def test_only_the_records_near_the_cursor_are_in_memory() -> None:
    log = MemoryLog()
    for at in range(3 * MOST_OPEN):
        await put(log, POOL, f"CODE-{at}")
    shelf = a_shelf(log, NoChunks())
    await shelf.stock(POOL, 0, 3 * MOST_OPEN)
    assert len(shelf._partitions[0].open) == MOST_OPEN
    before = len(log.reads)
    await shelf.stock(POOL, 3 * MOST_OPEN - 5, 5)
    assert len(log.reads) == before
