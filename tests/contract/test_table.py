"""What every table promises; and what the one in Redis says of its server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from livepromo.ledger.redis_address import RedisAddress
from livepromo.ledger.redis_connecting import _kind
from livepromo.ledger.redis_table import EvictingError, RedisTable
from livepromo.ledger.sources import Source
from livepromo.ledger.table import Applied, Away, MemoryTable, Table, UnavailableError, next_generation
from livepromo.model.formats import FormatError
from livepromo.model.records import Position
from livepromo.sandbox.servers import RedisServer

pytestmark = pytest.mark.integration

ONE = Source(3, Position(40, 1), {2**64 - 1: Position(41, 0), 0: Position(40, 1)})
TWO = Source(9, Position(7, 0), {})


@pytest.fixture(params=["memory", "redis"])
async def table(request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    if request.param == "memory":
        yield MemoryTable()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    in_redis = RedisTable(RedisAddress.parse(server.url), "test")
    yield in_redis
    await in_redis.close()


async def test_a_table_that_holds_nothing_says_so(table: Table) -> None:
    assert await table.read(0, 5, ["camp", "camp/u1"]) == (None, {})
    assert await table.progress(0) == (None, None)


async def test_what_was_written_is_read_with_how_far_it_reaches(table: Table) -> None:
    rows = {"camp": {"amount": 10**15, "day:739000": 1}, "camp/u1": {"total": 1}}
    assert await table.write(0, None, Applied(5, 17), rows, {0: ONE, 1: TWO}, 99)
    assert await table.read(0, 5, ["camp/u1", "camp/u2", "camp"]) == (Applied(5, 17), rows)
    assert await table.read(0, 5, []) == (Applied(5, 17), {})
    applied, progress = await table.progress(0)
    assert applied == Applied(5, 17)
    assert progress is not None
    assert (progress.candidates_offset, progress.sources) == (99, {0: ONE, 1: TWO})


@pytest.mark.parametrize("user", ["a/b/c", "ü🎁", "{x}", "}", " ", "*", "\x00\r\n", "u" * 255])
async def test_any_user_has_a_row(table: Table, user: str) -> None:
    assert await table.write(0, None, Applied(5, 1), {f"camp/{user}": {"total": 3}}, {}, 0)
    assert (await table.read(0, 5, [f"camp/{user}"]))[1] == {f"camp/{user}": {"total": 3}}


async def test_a_row_that_is_written_empty_is_there_no_more(table: Table) -> None:
    await table.write(1, None, Applied(7, 1), {"c/u1": {"total": 1}, "c/u2": {"total": 1}}, {}, 1)
    assert await table.write(1, Applied(7, 1), Applied(7, 2), {"c/u1": {}, "c/u3": {}, "c": {"total": 3}}, {}, 2)
    assert (await table.read(1, 7, ["c/u1", "c/u2", "c/u3", "c"]))[1] == {"c/u2": {"total": 1}, "c": {"total": 3}}
    assert {name async for some in table.row_names(1, 7) for name in some} == {"c/u2", "c"}


async def test_a_write_replaces_what_it_names_and_leaves_everything_else(table: Table) -> None:
    await table.write(0, None, Applied(5, 1), {"a": {"total": 1}, "b": {"total": 2, "day:1": 1}}, {0: ONE, 1: TWO}, 10)
    assert await table.write(0, Applied(5, 1), Applied(5, 2), {"b": {"total": 3}}, {1: ONE}, 20)
    assert await table.read(0, 5, ["a", "b"]) == (Applied(5, 2), {"a": {"total": 1}, "b": {"total": 3}})
    _, progress = await table.progress(0)
    assert progress is not None
    assert (progress.candidates_offset, progress.sources) == (20, {0: ONE, 1: ONE})


@pytest.mark.parametrize("expected", [None, Applied(5, 16), Applied(5, 18), Applied(4, 17)])
async def test_a_write_by_one_who_does_not_know_where_the_table_stands_changes_nothing(table: Table, expected: Applied | None) -> None:
    await table.write(0, None, Applied(5, 17), {"a": {"total": 1}}, {0: ONE}, 10)
    assert not await table.write(0, expected, Applied(6, 30), {"a": {"total": 9}, "b": {"total": 9}}, {0: TWO, 1: TWO}, 20)
    assert await table.read(0, 5, ["a", "b"]) == (Applied(5, 17), {"a": {"total": 1}})
    assert await table.read(0, 6, ["a", "b"]) == (Applied(5, 17), {})
    _, progress = await table.progress(0)
    assert progress is not None
    assert (progress.candidates_offset, progress.sources) == (10, {0: ONE})


async def test_a_write_to_an_empty_table_by_one_who_thinks_that_there_is_something_changes_nothing(table: Table) -> None:
    assert not await table.write(0, Applied(5, 17), Applied(5, 18), {"a": {"total": 1}}, {0: ONE}, 10)
    assert await table.read(0, 5, ["a"]) == (None, {})


async def test_the_same_write_sent_again_is_refused(table: Table) -> None:
    await table.write(0, None, Applied(5, 1), {"a": {"total": 1}}, {}, 1)
    assert await table.write(0, Applied(5, 1), Applied(5, 2), {"a": {"total": 2}}, {}, 2)
    assert not await table.write(0, Applied(5, 1), Applied(5, 2), {"a": {"total": 2}}, {}, 2)


async def test_a_new_generation_begins_without_rows_and_sources(table: Table) -> None:
    await table.write(0, None, Applied(5, 17), {"a": {"total": 1}, "b": {"total": 1}}, {0: ONE, 1: TWO}, 10)
    assert await table.write(0, Applied(5, 17), Applied(6, 3), {"b": {"total": 7}}, {0: TWO}, 2)
    assert await table.read(0, 6, ["a", "b"]) == (Applied(6, 3), {"b": {"total": 7}})
    applied, progress = await table.progress(0)
    assert applied == Applied(6, 3)
    assert progress is not None
    assert (progress.candidates_offset, progress.sources) == (2, {0: TWO})


async def test_within_a_generation_a_table_is_never_moved_back(table: Table) -> None:
    await table.write(0, None, Applied(5, 17), {}, {}, 10)
    with pytest.raises(AssertionError):
        await table.write(0, Applied(5, 17), Applied(5, 16), {}, {}, 10)
    with pytest.raises(AssertionError):
        await table.write(0, Applied(5, 17), Applied(4, 18), {}, {}, 10)


def test_the_next_generation_is_the_owners_epoch_unless_the_table_has_seen_a_greater_one() -> None:
    assert next_generation(None, 8) == 8
    assert next_generation(Applied(7, 99), 8) == 8
    assert next_generation(Applied(8, 99), 8) == 9


async def test_partitions_do_not_see_one_another(table: Table) -> None:
    await table.write(1, None, Applied(5, 17), {"a": {"total": 1}}, {0: ONE}, 10)
    assert await table.write(11, None, Applied(5, 4), {"a": {"total": 2}}, {}, 0)
    assert await table.read(1, 5, ["a"]) == (Applied(5, 17), {"a": {"total": 1}})
    assert await table.read(11, 5, ["a"]) == (Applied(5, 4), {"a": {"total": 2}})
    assert await table.write(11, Applied(5, 4), Applied(6, 4), {}, {}, 0)
    assert await table.forget(11, 6)
    assert await table.read(1, 5, ["a"]) == (Applied(5, 17), {"a": {"total": 1}})


async def test_forgetting_drops_the_rows_of_every_other_generation_and_no_other(table: Table) -> None:
    names = [f"camp/u{n}" for n in range(2_500)]
    await table.write(0, None, Applied(5, 1), {name: {"total": 1} for name in names}, {}, 1)
    await table.write(0, Applied(5, 1), Applied(55, 1), {"a": {"total": 2}}, {0: ONE}, 1)
    await table.write(0, Applied(55, 1), Applied(56, 1), {name: {"total": 3} for name in names}, {0: TWO}, 1)
    assert await table.forget(0, 56)
    assert (await table.read(0, 5, names))[1] == {}
    assert (await table.read(0, 55, ["a"]))[1] == {}
    assert (await table.read(0, 56, names))[1] == {name: {"total": 3} for name in names}
    _, progress = await table.progress(0)
    assert progress is not None
    assert progress.sources == {0: TWO}


@pytest.mark.parametrize("generation", [4, 5, 50, 56, 550])
async def test_one_who_is_behind_forgets_nothing(table: Table, generation: int) -> None:
    await table.write(0, None, Applied(55, 1), {"a": {"total": 1}}, {}, 1)
    assert not await table.forget(0, generation)
    assert (await table.read(0, 55, ["a"]))[1] == {"a": {"total": 1}}
    assert not await table.forget(1, 55)


async def test_what_was_written_or_read_is_a_copy(table: Table) -> None:
    rows, sources = {"a": {"total": 1}}, {0: TWO}
    await table.write(0, None, Applied(5, 1), rows, sources, 1)
    rows["a"]["total"], sources[1] = 7, ONE
    (await table.read(0, 5, ["a"]))[1]["a"]["total"] = 8
    assert (await table.read(0, 5, ["a"]))[1] == {"a": {"total": 1}}
    _, progress = await table.progress(0)
    assert progress is not None
    assert progress.sources == {0: TWO}


async def test_a_slice_may_have_more_rows_than_a_script_may_unpack(table: Table) -> None:
    rows = {f"camp/u{n}": {"total": n} for n in range(20_000)}
    assert await table.write(0, None, Applied(5, 1), rows, dict.fromkeys(range(300), TWO), 1)
    assert (await table.read(0, 5, list(rows)))[1] == rows


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.stop()


@pytest.fixture
async def own(own_server: RedisServer) -> AsyncIterator[RedisTable]:
    table = RedisTable(RedisAddress.parse(own_server.url), "test", timeout_ms=500)
    yield table
    await table.close()


def configure(server: RedisServer, *words: str) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.execute_command(*words)


async def away(table: RedisTable) -> set[Away]:
    """Return how reading and writing fail now."""
    kinds = set()
    for call in (table.read(0, 5, ["a"]), table.progress(0), table.write(0, None, Applied(5, 1), {"a": {"total": 1}}, {0: ONE}, 1)):
        try:
            await call
        except UnavailableError as error:
            kinds.add(error.kind)
    return kinds


async def test_a_server_that_is_gone_is_away_until_it_is_back(own: RedisTable, own_server: RedisServer) -> None:
    await own.write(0, None, Applied(5, 1), {}, {}, 1)
    own_server.stop()
    assert await away(own) == {Away.CONNECTION}
    own_server.start()
    assert await own.progress(0) == (None, None)
    assert await own.write(0, None, Applied(5, 1), {"a": {"total": 1}}, {}, 1)


async def test_a_server_that_restarted_between_two_calls_is_asked_again_at_once(own: RedisTable, own_server: RedisServer) -> None:
    await own.write(0, None, Applied(5, 1), {}, {}, 1)
    own_server.restart(own_server.copy())
    assert await own.write(0, Applied(5, 1), Applied(5, 2), {}, {}, 1)


async def test_a_frozen_server_is_away_after_the_timeout(own: RedisTable, own_server: RedisServer) -> None:
    await own.write(0, None, Applied(5, 1), {}, {}, 1)
    own_server.freeze()
    assert await away(own) == {Away.TIMEOUT}
    own_server.thaw()
    assert (await own.read(0, 5, []))[0] == Applied(5, 1)


async def test_a_replica_refuses_writes_and_keeps_what_it_has(own: RedisTable, own_server: RedisServer) -> None:
    configure(own_server, "REPLICAOF", "127.0.0.1", "1")
    configure(own_server, "CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert await away(own) == {Away.READONLY}
    configure(own_server, "REPLICAOF", "NO", "ONE")
    assert await own.progress(0) == (None, None)


async def test_a_full_server_refuses_a_write_whole(own: RedisTable, own_server: RedisServer) -> None:
    await own.write(0, None, Applied(5, 1), {"a": {"total": 1}}, {0: TWO}, 1)
    configure(own_server, "CONFIG", "SET", "maxmemory", "1")
    for applied in (Applied(5, 2), Applied(6, 2)):
        with pytest.raises(UnavailableError, match="oom") as failed:
            await own.write(0, Applied(5, 1), applied, {"a": {"total": 2}}, {0: ONE}, 2)
        assert failed.value.kind is Away.OOM
    configure(own_server, "CONFIG", "SET", "maxmemory", "0")
    assert await own.read(0, 5, ["a"]) == (Applied(5, 1), {"a": {"total": 1}})
    applied, progress = await own.progress(0)
    assert progress is not None
    assert (applied, progress.candidates_offset, progress.sources) == (Applied(5, 1), 1, {0: TWO})


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
async def test_a_server_that_evicts_is_refused_with_what_to_set(own: RedisTable, own_server: RedisServer, policy: str) -> None:
    await own.check_server()
    configure(own_server, "CONFIG", "SET", "maxmemory-policy", policy)
    with pytest.raises(EvictingError, match=f"{policy}.*maxmemory-policy to noeviction"):
        await own.check_server()


async def test_while_a_server_evicts_nothing_is_read_or_written_there(own: RedisTable, own_server: RedisServer) -> None:
    await own.write(0, None, Applied(5, 1), {"a": {"total": 1}}, {0: TWO}, 1)
    configure(own_server, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(EvictingError):
        await own.check_server()
    assert await away(own) == {Away.OTHER}
    for ask in (own.progress(0), own.read(0, 5, ["a"])):
        with pytest.raises(UnavailableError, match="maxmemory-policy to noeviction"):
            await ask
    configure(own_server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    await own.check_server()
    assert await own.read(0, 5, ["a"]) == (Applied(5, 1), {"a": {"total": 1}})


async def test_a_server_that_is_gone_is_away_and_not_unfit(own: RedisTable, own_server: RedisServer) -> None:
    own_server.stop()
    with pytest.raises(UnavailableError):
        await own.check_server()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), Away.LOADING),
        (redis.exceptions.ResponseError("Error running script: -READONLY You can't write against a read only replica."), Away.READONLY),
        (redis.exceptions.ResponseError("Error running script: -OOM command not allowed when used memory > 'maxmemory'."), Away.OOM),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), Away.OTHER),
        (redis.exceptions.AuthenticationError("WRONGPASS"), Away.CONNECTION),
        (TimeoutError(), Away.TIMEOUT),
        (ConnectionResetError(), Away.CONNECTION),
    ],
)
def test_every_error_of_redis_has_a_kind(error: Exception, kind: Away) -> None:
    assert _kind(error) is kind


async def test_all_keys_of_a_partition_share_one_hash_tag(own: RedisTable, own_server: RedisServer) -> None:
    await own.write(3, None, Applied(5, 1), {"camp": {"total": 1}, "camp/{other}": {"total": 1}}, {0: ONE}, 1)
    with redis.Redis.from_url(own_server.url) as client:
        keys = client.keys()
    assert len(keys) == 4
    assert all(key.startswith(b"{test.3}") for key in keys)


@pytest.mark.parametrize("key", ["applied", "progress", "5/a"])
async def test_what_a_newer_release_wrote_is_refused(own: RedisTable, own_server: RedisServer, key: str) -> None:
    await own.write(0, None, Applied(5, 1), {"a": {"total": 1}}, {}, 1)
    with redis.Redis.from_url(own_server.url) as client:
        client.delete("{test.0}" + key)
        if key == "progress":
            client.hset("{test.0}" + key, "offset", b"\x02\x01")
        else:
            client.set("{test.0}" + key, b"2 5 1" if key == "applied" else b"\x02\x80")
    refused = own.progress(0) if key == "progress" else own.read(0, 5, ["a"])
    with pytest.raises(FormatError, match="upgrade"):
        await refused


@pytest.mark.parametrize("namespace", ["", "a b", "{a}", "a*", "a/b"])
def test_a_namespace_that_could_be_mistaken_in_a_key_is_refused(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        RedisTable(RedisAddress.parse("redis://127.0.0.1:1/0"), namespace)


async def test_the_names_of_a_generations_rows_are_found(table: Table) -> None:
    names = {f"camp/u{n}" for n in range(2_500)} | {"camp", "camp/*", "camp/ü🎁"}
    await table.write(0, None, Applied(5, 1), {"old": {"total": 1}}, {}, 0)
    await table.write(0, Applied(5, 1), Applied(6, 1), {name: {"total": 1} for name in names}, {}, 0)
    await table.write(1, None, Applied(6, 1), {"elsewhere": {"total": 1}}, {}, 0)
    assert {name async for some in table.row_names(0, 6) for name in some} == names
    assert [name async for some in table.row_names(2, 6) for name in some] == []
