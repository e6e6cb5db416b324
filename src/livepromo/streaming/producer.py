"""Side outputs: batches to any topic, awaited; at least once, in order for each partition of a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
)

from livepromo.streaming.connecting import Connection, failure, open_client
from livepromo.streaming.errors import MissingTopicError, RecordTooLargeError, RefusedError

logger = logging.getLogger(__name__)

BATCH_BYTES = 900 << 10
RETRY_S = 0.1
RETRY_LIMIT_S = 5.0

OutRecord = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]  # key, value, headers


class _Waiting(NamedTuple):
    """What a caller wants to be sent, and what it waits for."""

    records: Sequence[OutRecord]
    done: asyncio.Future[list[int]]


class Outbox:
    """One idempotent producer for all side outputs of a process.

    A send returns when all in-sync replicas have every record. While Kafka is away it waits. After a failure that may be repeated the
    batch is sent again, so a record may stand twice; it is never left out.
    """

    def __init__(
        self,
        kafka: Connection,
        *,
        batch_bytes: int = BATCH_BYTES,
        largest_bytes: int = 2 * BATCH_BYTES,
        compression: str | None = "snappy",  # aiokafka has lz4 at its slowest level: ten times the time, no smaller
        **settings: Any,  # noqa: ANN401
    ) -> None:
        self._kafka = kafka
        self._settings = {
            **kafka.options(),
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_batch_size": batch_bytes,
            "max_request_size": max(largest_bytes, 2 * batch_bytes),  # one record may be larger than a batch
            "compression_type": compression,
            **settings,
        }
        self._producer: Any = None  # an AIOKafkaProducer, which has no types
        self._replacing = asyncio.Lock()
        self._waiting: dict[tuple[str, int], list[_Waiting]] = {}
        self._sending: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Connect; waits while Kafka is away.

        Raises:
            UnavailableError, RefusedError: Kafka refuses us.
        """
        self._producer = await self._started()

    async def close(self) -> None:
        """Close the connection; sends that are under way are finished first."""
        if self._sending:
            await asyncio.wait(list(self._sending.values()))
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has.

        Raises:
            MissingTopicError: it is not there.
            UnavailableError, RefusedError: Kafka does not answer, or does not let us ask.
        """
        assert self._producer is not None, "the outbox is not started"
        try:
            return len(await self._producer.partitions_for(topic))
        except UnknownTopicOrPartitionError as error:
            raise MissingTopicError(f"topic {topic} is not there: make it, or name another") from error
        except KafkaError as error:
            raise failure(error, f"topic {topic} cannot be asked for", f"Describe on topic {topic}") from error

    async def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> list[int]:
        """Append the records (key, value, headers) to the partition, in order, in as many batches as it takes.

        Returns the offset of each, -1 where the broker has it and does not say where.

        A partition takes one batch at a time, so what several callers bring meanwhile goes together with the next one.

        Raises:
            RecordTooLargeError: the topic does not take one of them; those before it are there.
            UnavailableError, RefusedError: the broker refuses for a reason that does not pass.
        """
        where = topic, partition
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(where, []).append(waiting)
        if where not in self._sending:
            self._sending[where] = asyncio.create_task(self._send_waiting(where))
        return await waiting.done

    async def place(self, topic: str, partition: int, records: Sequence[OutRecord]) -> list[int]:
        """Append the records as `send` does, and return the offset of each, in ascending order: of one that stands twice, the later.

        Raises what `send` raises.
        """
        places = await self.send(topic, partition, records)
        while -1 in places:
            unknown = places.index(-1)
            places[unknown:] = await self.send(topic, partition, records[unknown:])
        return places

    async def _send_waiting(self, where: tuple[str, int]) -> None:
        while together := self._waiting.pop(where, None):
            await self._send_together(where, together)
        del self._sending[where]

    async def _send_together(self, where: tuple[str, int], together: Sequence[_Waiting]) -> None:
        try:
            places = await self._send(*where, [record for waiting in together for record in waiting.records])
        except Exception as error:  # noqa: BLE001 - handed to the caller whose it is
            if len(together) > 1:
                for waiting in together:  # some may stand twice then; none is left out for another's sake
                    await self._send_together(where, [waiting])
            elif not together[0].done.done():
                together[0].done.set_exception(error)
            return
        at = 0
        for waiting in together:
            if not waiting.done.done():  # else its caller has gone
                waiting.done.set_result(places[at : at + len(waiting.records)])
            at += len(waiting.records)

    async def _send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> list[int]:
        at, largest = 0, len(records)
        places: list[int] = []
        wait_s = RETRY_S
        while at < len(records):
            producer = self._producer
            assert producer is not None, "the outbox is not started"
            batch = producer.create_batch()
            stop = at
            while stop < min(len(records), at + largest):
                key, value, headers = records[stop]
                if batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is None:
                    break
                stop += 1
            batch.close()
            try:
                sent = await (await producer.send_batch(batch, topic, partition=partition))
            except MessageSizeTooLargeError as error:
                await self._replace(producer)  # the numbering of its batches has a hole now
                if stop - at == 1:
                    key, value, _ = records[at]
                    size = len(key or b"") + len(value or b"")
                    raise RecordTooLargeError(f"{topic}[{partition}] does not take a record of {size} bytes, key {key!r}") from error
                largest = (stop - at) // 2
                continue
            except (OutOfOrderSequenceNumber, UnknownProducerId, ProducerClosed) as error:
                logger.warning("%s[%d]: sending again with a new producer: %r", topic, partition, error)
                await self._replace(producer)
            except KafkaError as error:
                # A time-out is not "retriable" to aiokafka: it waited for what others send to the partition, and has sent nothing yet.
                if not error.retriable and not isinstance(error, KafkaTimeoutError):
                    raise failure(error, f"{topic}[{partition}]: sending failed", f"Write on topic {topic}") from error
                logger.warning("%s[%d]: sending again: %r", topic, partition, error)
            else:
                known = sent is not None and sent.offset >= 0  # not that of a repeated batch, which the broker has already
                places += range(sent.offset, sent.offset + stop - at) if known else [-1] * (stop - at)
                at = stop
                wait_s = RETRY_S
                continue
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_LIMIT_S)
        return places

    async def send_many(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        """Send to several (topic, partition) at once; returns when all is there. The first error is raised when all have ended."""
        ended = await asyncio.gather(*(self.send(*where, records) for where, records in outputs.items()), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error

    async def _started(self) -> AIOKafkaProducer:
        wait_s = RETRY_S
        while True:
            producer = AIOKafkaProducer(**self._settings)
            try:
                await open_client(producer, self._kafka)
            except RefusedError:
                await producer.stop()
                raise
            except KafkaError as error:
                await producer.stop()
                if not error.retriable:
                    raise failure(error, "kafka refuses a producer", "Write on the topics that its stage writes") from error
                logger.warning("waiting for kafka: %r", error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_LIMIT_S)
            else:
                return producer

    async def _replace(self, old: AIOKafkaProducer) -> None:
        async with self._replacing:
            if old is not self._producer:  # another send has done it
                return
            self._producer = await self._started()
        await old.stop()
