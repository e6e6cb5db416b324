"""Everything that relies on names which aiokafka 0.14.0 does not promise; each has a contract test (tests/contract/test_private_names.py).

Fetching has a fallback in public names (`columns`); the claim of a producer id has none: where it fails, that aiokafka is not supported.
"""

# ruff: noqa: SLF001  # what this file is for

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException, SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

from livepromo.streaming.offsets import Partition, Slice

TRIED = "0.14.0"


def columns_are_supported() -> bool:
    """Say whether fetched records may be taken as columns: only from the very version under the contract test."""
    return str(aiokafka.__version__) == TRIED


def addresses(servers: str) -> list[tuple[str, int]]:
    """Return host and port of each broker that is named."""
    return [(host, port) for host, port, _ in collect_hosts(servers)]


async def knock(host: str, port: int, **security: Any) -> None:  # noqa: ANN401
    """Connect to a broker, say who we are, and leave; raises what went wrong, which a client's own start does not tell."""
    connection = await create_conn(host, port, request_timeout_ms=10_000, **security)
    try:
        answer = await connection.send(MetadataRequest([]))
    finally:
        await connection.close()
    if not answer.brokers:  # a broker says what is wrong with a token in words that aiokafka takes for a yes, and then shows nothing
        raise SaslAuthenticationFailed("the token is not taken")


def check_membership(consumer: AIOKafkaConsumer) -> None:
    """Raise what became of the consumer's membership of its group, also before it has any partition."""
    consumer._coordinator.check_errors()


def claimed_id(producer: AIOKafkaProducer) -> tuple[int, int]:
    """Return the producer id and epoch that the broker gave a started producer."""
    manager = producer._txn_manager
    return int(manager.producer_id), int(manager.producer_epoch)


def give_id(producer: AIOKafkaProducer, producer_id: int, epoch: int) -> None:
    """Have an idempotent producer, not yet started, append under this id and epoch instead of asking for its own."""
    producer._txn_manager.set_pid_and_epoch(producer_id, epoch)


async def wait_for_records(consumer: AIOKafkaConsumer, partitions: Iterable[Partition], timeout_s: float) -> None:
    """Wait until records of one of the partitions are buffered, or the time is over.

    Raises:
        KafkaError: what became of the group membership or of the fetching in the background.
    """
    check_membership(consumer)
    fetcher = consumer._fetcher
    if fetcher.error_future.done():
        fetcher.error_future.result()
    if any(partition in fetcher._records for partition in partitions):
        return
    waiter = fetcher._create_fetch_waiter()
    try:
        await asyncio.wait([waiter], timeout=timeout_s)
        if waiter.done():
            waiter.result()
    finally:
        waiter.cancel()


def drain(consumer: AIOKafkaConsumer, partitions: Iterable[Partition], records: int) -> list[Slice]:
    """Take what is buffered for the partitions, in whole record batches, about so many records each; moves the consumer's position.

    The promises are those of `Fetcher.fetched_records`: nothing of a lost assignment, nothing twice, a partition's error is raised once.
    """
    fetcher = consumer._fetcher
    slices: list[Slice] = []
    for partition in partitions:
        result = fetcher._records.get(partition)
        if result is None:
            continue
        if type(result) is not FetchResult:
            if slices:
                break  # the error is raised by the next call
            del fetcher._records[partition]
            fetcher._notify(fetcher._wait_consume_future)
            result.check_raise()
        if result.check_assignment(partition) and result.has_more():
            end_offset = result._assignment.state_value(partition).highwater
            piece, more = _unpack(partition, result._partition_records, records, end_offset)
            result._update_position()
            if piece.next_offset > piece.first_offset:
                slices.append(piece)
            if more:
                continue
        del fetcher._records[partition]
        fetcher._notify(fetcher._wait_consume_future)
    return slices


def _unpack(partition: Partition, source: Any, limit: int, end_offset: int | None) -> tuple[Slice, bool]:  # noqa: ANN401  # PartitionRecords
    first = source.next_fetch_offset
    if source._aborted_transactions or source._aborted_producers:  # read_committed, with something to leave out: rare, so the plain way
        rows = list(islice(source, limit))
        return from_rows(partition, first, source.next_fetch_offset, rows, end_offset), len(rows) == limit
    offsets: list[int] = []
    timestamps_ms: list[int] = []
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    headers: list[Sequence[tuple[str, bytes]]] = []
    batches, check = source._records, source._check_crcs
    position = first
    while batches.has_next() and len(offsets) < limit:
        batch = batches.next_batch()
        if check and not batch.validate_crc():
            raise CorruptRecordException(f"a batch of {partition} at or after offset {position} does not match its checksum")
        if not batch.is_control_batch:
            records = [*batch]
            if records and records[0].offset < position:  # fetched from the middle of a batch
                records = [record for record in records if record.offset >= position]
            offsets += [record.offset for record in records]
            timestamps_ms += [record.timestamp for record in records]
            keys += [record.key for record in records]
            values += [record.value for record in records]
            headers += [record.headers for record in records]
        position = max(position, batch.next_offset)
    source.next_fetch_offset = position
    piece = Slice(
        partition,
        first,
        position,
        offsets=offsets,
        timestamps_ms=timestamps_ms,
        keys=keys,
        values=values,
        headers=headers,
        end_offset=end_offset,
    )
    return piece, batches.has_next()


def from_rows(partition: Partition, first_offset: int, next_offset: int, rows: Sequence[Any], end_offset: int | None) -> Slice:
    """Return a slice of aiokafka's public record objects."""
    return Slice(
        partition,
        first_offset,
        next_offset,
        offsets=[row.offset for row in rows],
        timestamps_ms=[row.timestamp for row in rows],
        keys=[row.key for row in rows],
        values=[row.value for row in rows],
        headers=[row.headers for row in rows],
        end_offset=end_offset,
    )
