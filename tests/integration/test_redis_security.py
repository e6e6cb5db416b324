"""Redis as people run it: TLS, users with few rights, sentinels, clusters; what is refused ends at once with what to do."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis

from livepromo.ledger.redis_shelf import RedisChunks
from livepromo.ledger.redis_table import RedisTable, tag_of
from livepromo.ledger.table import Applied, RefusedError, UnavailableError
from livepromo.sandbox.certificates import Certificates
from livepromo.sandbox.redis_servers import RedisNodes, RedisSentinels
from livepromo.sandbox.servers import RedisServer
from livepromo.settings import load
from livepromo.worker.connecting import redis_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PAGE = Path(__file__).parents[2] / "docs/security.md"
PASSWORD, ADMIN = "hunter2-" + secrets.token_hex(8), secrets.token_hex(8)


def documented(user_of: str) -> set[str]:
    """Return the commands that the page's table of least rights gives a user."""
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| {user_of}")]
    return set(re.findall(r"`([^`]+)`", row.split("|")[2]))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "certificates")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RedisServer]:
    found = RedisServer(tmp_path_factory.mktemp("secure-redis"), {"maxmemory-policy": "noeviction"}, certificates=certificates)
    try:
        yield found.start()
    finally:
        found.stop()


@pytest.fixture
def admin(server: RedisServer) -> Iterator[redis.Redis]:
    """Yield a client that may do all, of a server where `livepromo` has the documented rights and nobody else has any."""
    with redis.Redis(port=server.port) as first:
        first.execute_command("ACL", "SETUSER", "admin", "on", f">{ADMIN}", "~*", "&*", "+@all")
    with redis.Redis(port=server.port, username="admin", password=ADMIN) as client:
        client.execute_command("ACL", "SETUSER", "default", "off")
        client.flushall()
        allow(client, documented("a server"))
        client.execute_command("ACL", "LOG", "RESET")
        yield client
        client.execute_command("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")


def allow(client: redis.Redis, commands: set[str]) -> None:
    rights = [f"+{command.replace(' ', '|')}" for command in sorted(commands)]
    client.execute_command("ACL", "SETUSER", "livepromo", "reset", "on", f">{PASSWORD}", "~{livepromo.*", *rights)


def table(url: str, **settings: str) -> RedisTable:
    return RedisTable(
        redis_of(load({"LIVEPROMO_REDIS": url, **{f"LIVEPROMO_REDIS_{key.upper()}": v for key, v in settings.items()}})), "livepromo"
    )


def chunks(url: str, **settings: str) -> RedisChunks:
    return RedisChunks(
        redis_of(load({"LIVEPROMO_REDIS": url, **{f"LIVEPROMO_REDIS_{key.upper()}": v for key, v in settings.items()}})), "livepromo"
    )


async def everything(found: RedisTable, shelf: RedisChunks, partitions: int = 1) -> None:
    """Do all that livepromo ever does with Redis, and see that it is done."""
    await found.check_server()
    for number in range(partitions):
        before, _ = await found.progress(number)
        old = Applied(1 if before is None else before.generation + 1, 5)
        assert await found.write(number, before, old, {"a": {"n": 1}, "b": {"n": 2}}, {}, 3)
        new = Applied(old.generation, 9)
        assert await found.write(number, old, new, {"a": {"n": 4}}, {}, 7)
        assert await found.read(number, new.generation, ["a", "b", "c"]) == (new, {"a": {"n": 4}, "b": {"n": 2}})
        applied, progress = await found.progress(number)
        assert applied == new
        assert progress is not None
        assert progress.candidates_offset == 7
        assert not await found.write(number, old, new, {"a": {"n": 99}}, {}, 7), "who thinks that it stands elsewhere writes nothing"
        names = {name async for some in found.row_names(number, new.generation) for name in some}
        assert names == {"a", "b"}
        fresh = Applied(new.generation + 1, 0)
        assert await found.write(number, new, fresh, {"a": {"n": 1}}, {}, 7)
        assert await found.forget(number, fresh.generation)
        assert {name async for some in found.row_names(number, new.generation) for name in some} == set()
        await shelf.keep(number, "coupon/x", {3: b"codes", 4: b"more"})
        assert await shelf.fetch(number, "coupon/x", [3, 4, 5]) == [b"codes", b"more", None]


async def closing(*clients: RedisTable | RedisChunks) -> None:
    for client in clients:
        await client.close()


async def do_everything(url: str, partitions: int = 1, **settings: str) -> None:
    found, shelf = table(url, **settings), chunks(url, **settings)
    try:
        await everything(found, shelf, partitions)
    finally:
        await found.close()
        await shelf.close()


@pytest.fixture
def who(certificates: Certificates) -> dict[str, str]:
    """Return the settings of a user who is let in over TLS."""
    return {
        "user": "livepromo",
        "password": PASSWORD,
        "ca": str(certificates.ca),
        "certificate": str(certificates.pair("livepromo")),
    }


async def test_a_user_with_the_documented_rights_does_everything_over_tls_and_tries_nothing_else(
    server: RedisServer, admin: redis.Redis, who: dict[str, str]
) -> None:
    await do_everything(server.secure_url, **who)
    assert admin.execute_command("ACL", "LOG") == []


async def test_without_any_one_of_the_documented_rights_it_is_refused_in_one_line_that_names_the_command(
    server: RedisServer, admin: redis.Redis, who: dict[str, str]
) -> None:
    rights = documented("a server")
    assert len(rights) > 10
    for command in sorted(rights):
        allow(admin, rights - {command})
        admin.script_flush()  # so that scripts come as at the first time
        with pytest.raises(RefusedError, match=r"docs/security\.md") as error:
            await do_everything(server.secure_url, **who)
        assert command in str(error.value).lower() or "script" in str(error.value)  # Redis does not say what a script tried
        assert "\n" not in str(error.value)
        allow(admin, rights)
        await do_everything(server.secure_url, **who)  # and nothing was broken by that


async def test_rows_of_another_namespace_are_out_of_reach(server: RedisServer, admin: redis.Redis, who: dict[str, str]) -> None:
    del admin
    found = RedisTable(
        redis_of(load({"LIVEPROMO_REDIS": server.secure_url} | {f"LIVEPROMO_REDIS_{k.upper()}": v for k, v in who.items()})), "other"
    )
    with pytest.raises(RefusedError, match="keys"):
        await found.progress(0)
    await found.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"password": "hunter2-wrong"}, "LIVEPROMO_REDIS_PASSWORD"),
        ({"user": "nobody"}, "LIVEPROMO_REDIS_USER"),
        ({"user": "", "password": ""}, "LIVEPROMO_REDIS_PASSWORD"),
        ({"ca": ""}, "LIVEPROMO_REDIS_CA"),
        ({"certificate": ""}, "LIVEPROMO_REDIS_CERTIFICATE"),
    ],
    ids=["password", "user", "nobody", "authority", "certificate"],
)
async def test_who_is_not_let_in_hears_which_setting_it_is_and_no_secret(
    server: RedisServer, admin: redis.Redis, who: dict[str, str], wrong: dict[str, str], says: str
) -> None:
    del admin
    found = table(server.secure_url, **{key: value for key, value in (who | wrong).items() if value})
    # A server that misses a certificate hangs up, and may do so before it is heard why.
    kinds = (RefusedError, UnavailableError) if "certificate" in wrong else RefusedError
    with pytest.raises(kinds) as error:
        await found.check_server()
    assert says in str(error.value) or isinstance(error.value, UnavailableError)
    await found.close()
    assert "hunter2" not in str(error.value)
    assert "hunter2" not in repr(found.__dict__)


SENTINEL_PASSWORD = "hunter3-" + secrets.token_hex(8)
BEHIND = {"mode": "sentinel", "password": PASSWORD, "sentinel_password": SENTINEL_PASSWORD}


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[RedisSentinels]:
    options = {"maxmemory-policy": "noeviction", "requirepass": PASSWORD, "masterauth": PASSWORD}
    found = RedisSentinels(tmp_path, options, {"requirepass": SENTINEL_PASSWORD})
    try:
        yield found.start()
    finally:
        found.stop()


async def test_behind_sentinels_wrong_passwords_are_refused_and_the_server_that_takes_over_is_found(sentinels: RedisSentinels) -> None:
    for which in ("password", "sentinel_password"):
        wrong = table(sentinels.url, **(BEHIND | {which: "hunter2-wrong"}))
        with pytest.raises(RefusedError, match=f"LIVEPROMO_REDIS_{which.upper()}") as error:
            await wrong.check_server()
        await wrong.close()
        assert "hunter" not in str(error.value)
    found, shelf = table(sentinels.url, **BEHIND), chunks(sentinels.url, **BEHIND)
    await everything(found, shelf)
    sentinels.servers[0].kill()
    await patiently(lambda: everything(found, shelf))
    with redis.Redis(port=sentinels.servers[1].port, password=PASSWORD) as client:
        assert client.info("replication")["role"] == "master"
    sentinels.servers[1].kill()
    with pytest.raises(UnavailableError) as away:
        await found.progress(0)
    assert "hunter" not in str(away.value)
    assert len(str(away.value)) < 200, "what a client says of itself is left out"
    await found.close()
    await shelf.close()


async def test_in_a_cluster_partitions_are_spread_and_a_replica_takes_over(tmp_path: Path) -> None:
    nodes = RedisNodes(tmp_path)
    try:
        nodes.start()
        rights = documented("a server") | documented("a Redis Cluster")
        for server in nodes.servers:
            with redis.Redis(port=server.port) as admin:
                allow(admin, rights)
        settings = {"mode": "cluster", "user": "livepromo", "password": PASSWORD}
        found, shelf = table(nodes.url, **settings), chunks(nodes.url, **settings)
        await everything(found, shelf, partitions=12)
        homes = {nodes.primary_of(f"{tag_of('livepromo', number)}applied").port for number in range(12)}
        assert len(homes) == 3
        struck = nodes.primary_of(f"{tag_of('livepromo', 0)}applied")
        struck.kill()
        await patiently(lambda: everything(found, shelf, partitions=12))
        assert nodes.primary_of(f"{tag_of('livepromo', 0)}applied").port != struck.port
        for server in nodes.servers:
            if server.runs:
                with redis.Redis(port=server.port) as admin:
                    assert admin.execute_command("ACL", "LOG") == []
        await found.close()
        await shelf.close()
        there = next(server for server in nodes.servers if server.runs)  # the first of them may be the one that was struck
        wrong = table(there.url, **(settings | {"password": "hunter2-wrong"}))
        with pytest.raises(RefusedError, match="LIVEPROMO_REDIS_PASSWORD"):
            await wrong.check_server()
        await wrong.close()
    finally:
        nodes.stop()


async def patiently(ask: Callable[[], Awaitable[None]]) -> None:
    """Ask again while the table says that it is away, as a worker does; not for ever."""
    async with asyncio.timeout(40):
        while True:
            try:
                return await ask()
            except UnavailableError:
                await asyncio.sleep(0.1)
