"""How a client of Redis is made, and what goes wrong with it in the table's words."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis.asyncio
from redis import exceptions
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from livepromo.ledger.redis_address import RedisAddress
from livepromo.ledger.table import Away, RefusedError, UnavailableError

Client = redis.asyncio.Redis | redis.asyncio.RedisCluster
_CONNECTIONS: Final = 1_024  # more than a worker has partitions: each has one call under way at most
_SEE: Final = "see docs/security.md"
_NOT_KNOWN: Final = "auth:AuthenticationError"  # how redis-py says of a sentinel that it refuses us
_NO_MULTI: Final = "EXEC without MULTI"  # what redis-py is told last, where MULTI was not allowed
_NOT_IN_SCRIPTS: Final = ("can't run this command or subcommand", "NOPERM")  # of an error that has no kind of its own


def connect(address: RedisAddress, timeout_ms: int) -> Client:
    """Return a client whose calls wait so long at most; the server is first asked by the first call.

    It sends nothing but what it is asked for, and what it needs to find the server: so the rights of its user can be few.
    """
    options: dict[str, Any] = {
        "username": address.user or None,
        "password": address.password or None,
        "max_connections": _CONNECTIONS,
        "decode_responses": False,
        **_how(address, timeout_ms),
    }
    if address.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return redis.asyncio.RedisCluster(startup_nodes=nodes, ssl=address.tls is not None, retry=Retry(NoBackoff(), 1), **options)
    retry = Retry(NoBackoff(), 1, (exceptions.ConnectionError,))
    if address.mode == "sentinel":
        who = {"username": address.sentinel_user or None, "password": address.sentinel_password or None}
        how = _how(address, timeout_ms) | {"ssl": address.tls is not None, "retry": Retry(NoBackoff(), 0)}
        sentinels = Sentinel(list(address.hosts), sentinel_kwargs=who | how)  # type: ignore[no-untyped-call]
        found: redis.asyncio.Redis = sentinels.master_for(
            address.master, db=address.database, ssl=address.tls is not None, retry=retry, **options
        )
        return found
    host, port = address.hosts[0]
    return redis.asyncio.Redis(host=host, port=port, db=address.database, ssl=address.tls is not None, retry=retry, **options)


async def close(client: Client) -> None:
    """Close all connections of a client, those to sentinels too."""
    await client.aclose()
    if isinstance(client, redis.asyncio.Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        await client.connection_pool.sentinel_manager.aclose()


def _how(address: RedisAddress, timeout_ms: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": timeout_ms / 1000,
        "socket_connect_timeout": timeout_ms / 1000,
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if address.tls is not None:
        options |= {
            "ssl_ca_certs": address.tls.ca or None,
            "ssl_certfile": address.tls.certificate or None,
            "ssl_keyfile": address.tls.key or address.tls.certificate or None,
        }
    return options


@contextmanager
def translated() -> Iterator[None]:
    """Say what goes wrong within in the table's words: UnavailableError, RefusedError. A script that is not known stays as it is."""
    try:
        yield
    except exceptions.NoScriptError:
        raise
    except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
        said = _refused(error)
        if said is not None:
            raise RefusedError(f"{said}: {_SEE}") from error
        kind = _kind(error)
        words = str(error).partition(" : ")[0]  # behind it, a client of sentinels shows itself, once for each of them
        raise UnavailableError(kind, f"the table in redis is away ({kind}): {words}") from error


def _refused(error: BaseException) -> str | None:
    """Say why Redis does not let us, and what to do about it; None where it is something else."""
    cause: BaseException | None = error
    for _ in range(8):  # errors of libraries may go in a circle
        match cause:
            case None:
                return None
            case exceptions.NoPermissionError():
                return f"redis does not allow it ({cause}): give our user the rights of the least ACL"
            case exceptions.ResponseError() if _NO_MULTI in str(cause):
                return "redis does not allow it (multi): give our user the rights of the least ACL"
            case exceptions.ResponseError() if any(words in str(cause) for words in _NOT_IN_SCRIPTS):
                return f"redis does not allow what a script does ({cause}): give our user the rights of the least ACL"
            case exceptions.AuthenticationError():
                return _unknown_to("redis", "", str(cause))
            case exceptions.ConnectionError() if _NOT_KNOWN in str(cause):
                return _unknown_to("a sentinel", "SENTINEL_", "WRONGPASS or NOAUTH")
            case ssl.SSLCertVerificationError():
                return f"redis shows a certificate that is not trusted ({cause.verify_message}): look at LIVEPROMO_REDIS_CA"
            case ssl.SSLError() if "ALERT" in (cause.reason or ""):
                return f"redis refuses our certificate ({cause.reason}): look at LIVEPROMO_REDIS_CERTIFICATE and LIVEPROMO_REDIS_KEY"
        cause = cause.__cause__ or cause.__context__
    return None


def _unknown_to(whom: str, which: str, said: str) -> str:
    return f"{whom} refuses our user ({said.rstrip('.')}): look at LIVEPROMO_REDIS_{which}USER and LIVEPROMO_REDIS_{which}PASSWORD"


def _kind(error: Exception) -> Away:
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return Away.TIMEOUT
    if isinstance(error, exceptions.BusyLoadingError):
        return Away.LOADING
    if isinstance(error, exceptions.ConnectionError | exceptions.RedisClusterException | OSError):
        return Away.CONNECTION
    # Up to Redis 6.2 an error inside a script is one of no kind, and has the real one in its text.
    if isinstance(error, exceptions.ReadOnlyError) or "READONLY" in str(error):
        return Away.READONLY
    if isinstance(error, exceptions.OutOfMemoryError) or "OOM" in str(error):
        return Away.OOM
    return Away.OTHER
