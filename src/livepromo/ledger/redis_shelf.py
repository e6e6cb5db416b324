"""Codes in Redis: a copy of each record of their topic, under the place where the record stands, so that it is true for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from livepromo.ledger.redis_address import RedisAddress
from livepromo.ledger.redis_connecting import close, connect, translated
from livepromo.ledger.redis_table import tag_of

COPIED_AT_ONCE = 64


class Chunks(Protocol):
    """Copies of records that hold codes, by ledger partition, pool, and the record's offset. Any of them may be missing at any time.

    A record never changes, so whoever copies it copies the same. Every method raises the table's UnavailableError.
    """

    async def fetch(self, partition: int, pool: str, offsets: Sequence[int]) -> list[bytes | None]:
        """Return the payloads of records, None for those that are not here."""
        ...

    async def keep(self, partition: int, pool: str, payloads: Mapping[int, bytes]) -> None:
        """Copy the payloads of records, by offset. Those that are here are left as they are."""
        ...


class NoChunks:
    """Keeps nothing: for who asks how many codes there are, and not for codes."""

    async def fetch(self, partition: int, pool: str, offsets: Sequence[int]) -> list[bytes | None]:  # noqa: ARG002 - nothing is here
        """See Chunks."""
        return [None] * len(offsets)

    async def keep(self, partition: int, pool: str, payloads: Mapping[int, bytes]) -> None:
        """See Chunks."""


class RedisChunks:
    """Chunks in a Redis server: a string for each record, under a key with the tag of its partition's rows.

    15 to 20 bytes of Redis for a code of 12 letters. Calls wait `timeout_ms` at most.
    """

    def __init__(self, address: RedisAddress, namespace: str, timeout_ms: int = 2_000) -> None:
        """Raise ValueError for a namespace that cannot be one; the server is first asked by the first call."""
        tag_of(namespace, 0)
        self._namespace = namespace
        self._client = connect(address, timeout_ms)

    async def close(self) -> None:
        """Close all connections."""
        await close(self._client)

    def _key(self, partition: int, pool: str, offset: int) -> str:
        return f"{tag_of(self._namespace, partition)}codes/{pool}/{offset}"

    async def fetch(self, partition: int, pool: str, offsets: Sequence[int]) -> list[bytes | None]:
        """See Chunks. One MGET."""
        if not offsets:
            return []
        with translated():
            keys = [self._key(partition, pool, offset) for offset in offsets]
            found: list[bytes | None] = await self._client.execute_command("MGET", *keys)
        return found

    async def keep(self, partition: int, pool: str, payloads: Mapping[int, bytes]) -> None:
        """See Chunks. Two round trips for 64 of them; one where all are there."""
        offsets = list(payloads)
        for start in range(0, len(offsets), COPIED_AT_ONCE):
            some = offsets[start : start + COPIED_AT_ONCE]
            with translated():
                async with self._client.pipeline(transaction=False) as pipeline:
                    for offset in some:
                        pipeline.execute_command("STRLEN", self._key(partition, pool, offset))
                    lengths = await pipeline.execute()
                    missing = [offset for offset, length in zip(some, lengths, strict=True) if length != len(payloads[offset])]
                    for offset in missing:
                        pipeline.execute_command("SET", self._key(partition, pool, offset), payloads[offset])
                    if missing:
                        await pipeline.execute()
