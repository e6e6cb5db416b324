"""The table in Redis: a key a row, one read and one guarded write for a whole slice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import redis.asyncio
from redis import exceptions

from livepromo.ledger.deciding import Row
from livepromo.ledger.folding import Progress
from livepromo.ledger.formats import unversioned, versioned
from livepromo.ledger.redis_address import RedisAddress
from livepromo.ledger.redis_connecting import close, connect, translated
from livepromo.ledger.sources import Source
from livepromo.ledger.table import Applied, Away, UnavailableError, begins_generation
from livepromo.model.formats import FormatError

FORMAT = 1
_SCANNED_AT_ONCE = 1_000
_OFFSET = b"offset"  # the field of progress that is no source
_NAMESPACE = re.compile(r"[A-Za-z0-9._-]+")
_APPLIED = re.compile(rb"([0-9]+) ([0-9]+) ([0-9]+)")
_rows = msgspec.msgpack.Decoder(dict[str, int])
_sources = msgspec.msgpack.Decoder(Source)
_offsets = msgspec.msgpack.Decoder(int)


class WriteAnswer(StrEnum):
    """What `lua/write.lua` returns."""

    WRITTEN = "written"
    STALE = "stale"


class ForgetAnswer(StrEnum):
    """What `lua/forget.lua` returns."""

    FORGOTTEN = "forgotten"
    STALE = "stale"


class EvictingError(Exception):
    """The server may drop rows: it must not be used until it is set up otherwise."""


class _Script:
    def __init__(self, name: str) -> None:
        self.body = (Path(__file__).parent / "lua" / f"{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.body, usedforsecurity=False).hexdigest()


_WRITE = _Script("write")
_FORGET = _Script("forget")


def _applied_text(applied: Applied | None) -> bytes:
    return b"" if applied is None else b"%d %d %d" % (FORMAT, *applied)


def _applied(value: bytes | None) -> Applied | None:
    if not value:  # empty: what a script left that was not allowed to go on
        return None
    found = _APPLIED.fullmatch(value)
    if found is None or int(found[1]) != FORMAT:
        raise FormatError(f"how far the table in redis reaches, {value!r}, is not of format version {FORMAT}: upgrade livepromo")
    return Applied(int(found[2]), int(found[3]))


def tag_of(namespace: str, partition: int) -> str:
    """Return with what all keys of a ledger partition begin, so that they share a slot. Raises ValueError for the namespace."""
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError(f'namespace "{namespace}" is not letters, digits, dots, dashes and underscores')
    return f"{{{namespace}.{partition}}}"


class RedisTable:
    """The table in Redis (see `Table`). Keys of a ledger partition share the hash tag `{<namespace>.<partition>}`.

    A row is a key under its generation's number, so that reading needs no second call and a new generation begins empty.
    A call waits `timeout_ms` at most for the server. It is sent again, once, where the connection turns out to be broken; that is safe,
    as a write that did happen is refused the second time.
    """

    def __init__(self, address: RedisAddress, namespace: str, timeout_ms: int = 2_000) -> None:
        """Raise ValueError for a namespace that cannot be one; the server is first asked by the first call."""
        tag_of(namespace, 0)
        self._namespace, self._evicts = namespace, False
        self._client = connect(address, timeout_ms)

    async def close(self) -> None:
        """Close all connections."""
        await close(self._client)

    async def check_server(self) -> None:
        """Raise EvictingError if the server is set up to drop keys. A row that is missing means that nothing is used yet.

        While it was last found so, every other method raises UnavailableError: nothing is decided by such a server.
        """
        with translated():
            if isinstance(self._client, redis.asyncio.RedisCluster):
                _ = await self._client.initialize()
                found = await self._client.info("memory", target_nodes=self._client.get_primaries())
                memories = list(found.values()) if len(self._client.get_primaries()) > 1 else [found]
            else:
                memories = [await self._client.info("memory")]
        policies = {memory.get("maxmemory_policy") for memory in memories} - {"noeviction"}
        self._evicts = bool(policies)
        if self._evicts:
            raise EvictingError(
                f"redis may drop rows (maxmemory-policy is {', '.join(map(str, policies))}), and with them limits would be forgotten: "
                "set maxmemory-policy to noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf)"
            )

    def _check_kept(self) -> None:
        if self._evicts:
            raise UnavailableError(Away.OTHER, "redis may drop rows: set maxmemory-policy to noeviction")

    def _tag(self, partition: int) -> str:
        return tag_of(self._namespace, partition)

    async def _call(self, *words: Any) -> Any:  # noqa: ANN401 - any command, any answer
        self._check_kept()
        with translated():
            return await self._client.execute_command(*words)

    async def _scan(self, partition: int, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
        """Return a piece of the keys of a partition: in a cluster, of the node that has its slot."""
        words = "SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE
        self._check_kept()
        with translated():
            if not isinstance(self._client, redis.asyncio.RedisCluster):
                return await self._client.execute_command(*words)  # type: ignore[no-untyped-call, no-any-return]
            _ = await self._client.initialize()
            node = self._client.get_node_from_key(self._tag(partition))
            if node is None:
                raise exceptions.ClusterDownError(f"no node has the slot of {self._tag(partition)}")
            return await node.execute_command(*words)  # type: ignore[no-any-return]

    async def _run(self, script: _Script, keys: Sequence[str], args: Sequence[bytes]) -> str:
        try:
            answer: bytes = await self._call("EVALSHA", script.sha, len(keys), *keys, *args)
        except exceptions.NoScriptError:  # the server was restarted or emptied; EVAL leaves the script there
            answer = await self._call("EVAL", script.body, len(keys), *keys, *args)
        return answer.decode()

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        """See Table. One MGET."""
        tag = self._tag(partition)
        prefix = f"{tag}{generation}/"
        values = await self._call("MGET", tag + "applied", *[prefix + name for name in rows])
        held = {
            name: unversioned(value, FORMAT, _rows, f"row {name} of the table in redis")
            for name, value in zip(rows, values[1:], strict=True)
            if value is not None
        }
        return _applied(values[0]), held

    async def progress(self, partition: int) -> tuple[Applied | None, Progress | None]:
        """See Table. One transaction of a GET and an HGETALL."""
        tag = self._tag(partition)
        self._check_kept()
        with translated():
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.execute_command("GET", tag + "applied")
                pipeline.execute_command("HGETALL", tag + "progress")
                applied, fields = await pipeline.execute()
        what = f"progress of partition {partition} in redis"
        offset = fields.pop(_OFFSET, None)
        if applied is None or offset is None:
            return _applied(applied), None
        sources = {int(number): unversioned(value, FORMAT, _sources, what) for number, value in fields.items()}
        return _applied(applied), Progress(unversioned(offset, FORMAT, _offsets, what), sources)

    async def write(  # noqa: PLR0913, PLR0917 - all that one guarded write holds
        self,
        partition: int,
        expected: Applied | None,
        applied: Applied,
        rows: Mapping[str, Row],
        sources: Mapping[int, Source],
        candidates_offset: int,
    ) -> bool:
        """See Table. One EVALSHA."""
        how = b"fresh" if begins_generation(expected, applied) else b"goes on"
        tag = self._tag(partition)
        prefix = f"{tag}{applied.generation}/"
        args = [
            _applied_text(expected),
            _applied_text(applied),
            how,
            b"%d" % (1 + len(sources)),
            _OFFSET,
            versioned(FORMAT, candidates_offset),
        ]
        for number, source in sources.items():
            args += b"%d" % number, versioned(FORMAT, source)
        args += [versioned(FORMAT, row) if row else b"" for row in rows.values()]
        answer = await self._run(_WRITE, [tag + "applied", tag + "progress", *[prefix + name for name in rows]], args)
        return WriteAnswer(answer) is WriteAnswer.WRITTEN

    async def forget(self, partition: int, generation: int) -> bool:
        """See Table. Scans the server's keys, a thousand at a time."""
        tag = self._tag(partition)
        begins = b"%d %d " % (FORMAT, generation)
        generations = re.compile(re.escape(tag.encode()) + b"([0-9]+)/")
        cursor = 0
        while True:
            cursor, keys = await self._scan(partition, cursor, tag + "*")
            old = [key.decode() for key in keys if (found := generations.match(key)) and int(found[1]) != generation]
            if ForgetAnswer(await self._run(_FORGET, [tag + "applied", *old], [begins])) is ForgetAnswer.STALE:
                return False
            if not cursor:
                return True

    async def row_names(self, partition: int, generation: int) -> AsyncIterator[list[str]]:
        """See Table. Scans the server's keys, a thousand at a time."""
        prefix = f"{self._tag(partition)}{generation}/"
        cursor = 0
        while True:
            cursor, keys = await self._scan(partition, cursor, prefix + "*")
            if keys:
                yield [key.decode()[len(prefix) :] for key in keys]
            if not cursor:
                return
