"""The log in Kafka: claims fenced by the broker, appends of one batch, reads without a group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from livepromo.streaming import columns, private_names
from livepromo.streaming.connecting import Connection, failure, not_allowed, open_client, refusal
from livepromo.streaming.errors import FencedError, RefusedError, UnavailableError, UnknownOutcomeError
from livepromo.streaming.log import Appended, LogRecord, Reader, Writer
from livepromo.streaming.offsets import Partition

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

LARGEST_BATCH_BYTES = 2 << 20
READ_RECORDS = 5_000
RETRY_S = 0.2
RETRY_LIMIT_S = 5.0
ANSWER_S = 40.0
CLOSE_S = 5.0


class KafkaWriter:
    """Appends to one partition under a claimed producer id and epoch; the broker refuses it once a newer claim has appended."""

    def __init__(self, producer: AIOKafkaProducer, partition: Partition, *, gives_time: bool) -> None:
        self._producer = producer
        self._partition = partition
        self._gives_time = gives_time

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        """See `Writer.append`."""
        batch = self._producer.create_batch()
        for key, value in records:
            taken = batch.append(timestamp=None, key=key, value=value)
            assert taken is not None, f"{self._partition}: a batch of {len(records)} records is larger than {LARGEST_BATCH_BYTES} bytes"
        batch.close()
        try:
            sent = await self._producer.send_batch(batch, self._partition.topic, partition=self._partition.number)
            done = await sent
        except ProducerFenced as error:
            raise FencedError(f"{self._partition} was claimed by somebody else: nothing was appended") from error
        except KafkaError as error:
            if (
                refused := not_allowed(error, f"{self._partition}: nothing is appended", f"Write on topic {self._partition.topic}")
            ) is not None:
                raise refused from error
            raise UnknownOutcomeError(f"{self._partition}: an append ended with {error!r}") from error
        if done is None or done.offset < 0:  # a repeated batch that the broker knows, but not where it stands
            raise UnknownOutcomeError(f"{self._partition}: the broker does not say at which offset the batch stands")
        given = self._gives_time and done.timestamp_type == 1 and done.timestamp >= 0
        return Appended(done.offset, done.timestamp if given else None)

    async def close(self) -> None:
        """See `Writer.close`. What is still unsent after a few seconds is dropped: its outcome is unknown already."""
        try:
            await asyncio.wait_for(self._producer.stop(), CLOSE_S)
        except TimeoutError:
            await self._producer.client.close()


class KafkaReader:
    """`Reader` of a partition, with a consumer of its own from the first read on."""

    def __init__(self, partition: Partition, kafka: Connection, *, as_columns: bool) -> None:
        self._where, self._kafka, self._as_columns = partition, kafka, as_columns
        self._consumer: AIOKafkaConsumer | None = None
        self._position = -1
        self._left: list[LogRecord] = []  # read already, beyond the end of the last read
        self._left_from = -1

    async def read(self, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """See `Reader.read`. Waits while the brokers are away."""
        left, self._left = (self._left if start == self._left_from else []), []
        if left and start < end:
            start = self._position
            records = self._cut(left, end)
            if records:
                yield records
        if start >= end:
            return
        try:
            consumer = await self._sought(start)
            while start < end:
                for piece in await columns.fetch(consumer, [self._where], records=READ_RECORDS, timeout_s=0.2, as_columns=self._as_columns):
                    start = self._position = piece.next_offset
                    records = list(map(LogRecord, piece.offsets, piece.timestamps_ms, piece.keys, piece.values, piece.headers))
                    records = self._cut(records, end)
                    if records:
                        yield records
        except KafkaError as error:
            await self.close()
            raise failure(error, f"{self._where} cannot be read at {start}", f"Read on topic {self._where.topic}") from error

    async def close(self) -> None:
        """See `Reader.close`."""
        consumer, self._consumer, self._left = self._consumer, None, []
        if consumer is not None:
            await consumer.stop()

    def _cut(self, records: list[LogRecord], end: int) -> list[LogRecord]:
        """Return those before the end, and keep the others for the next read."""
        self._left_from = end
        if not records or records[-1].offset < end:
            return records
        at = next(at for at, record in enumerate(records) if record.offset >= end)
        self._left = records[at:]
        return records[:at]

    async def _sought(self, start: int) -> AIOKafkaConsumer:
        tp = TopicPartition(*self._where)
        if self._consumer is None:
            consumer = self._consumer = AIOKafkaConsumer(
                **self._kafka.options(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=4 << 20,
                fetch_max_bytes=16 << 20,
            )
            consumer.assign([tp])
            await open_client(consumer, self._kafka)
            self._position = -1
        if self._position != start:
            self._consumer.seek(tp, start)
            self._position = start
        return self._consumer


class KafkaLog:
    """`Log` on a Kafka cluster.

    A claim asks the broker for the producer id of a name, which raises its epoch (InitProducerId with a `transactional_id`); an
    ordinary idempotent producer then appends under that id and epoch, and no transaction ever begins. From its first append on, the
    broker refuses every lower epoch of that id on the partition.

    `embedded` is for a broker that plays Kafka in a test or a demonstration (librdkafka's mock): the times it gives are not used, and
    its claims fence nobody.
    """

    def __init__(
        self,
        kafka: Connection,
        *,
        embedded: bool = False,
        compression: str | None = "zstd",  # half the size of lz4, in a quarter of the time that aiokafka takes for that
        as_columns: bool = True,
    ) -> None:
        self._kafka = kafka
        self._embedded = embedded
        self._compression = compression
        self._as_columns = as_columns
        self._asker: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        """Close what `begin` and `end` use; writers are closed by their owners."""
        asker, self._asker = self._asker, None
        if asker is not None:
            await asker.stop()

    async def claim(self, topic: str, partition: int, name: str | None = None) -> Writer:
        """See `Log.claim`."""
        wait_s = RETRY_S
        while True:
            try:
                return await self._claim(Partition(topic, partition), name or f"{topic}-{partition}")
            except KafkaError as error:
                if not error.retriable:
                    right = f"Write on transactional id {name or f'{topic}-{partition}'} and on topic {topic}"
                    raise failure(error, f"{topic}[{partition}] cannot be claimed", right) from error
                logger.warning("waiting to claim %s[%d]: %r", topic, partition, error)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_LIMIT_S)

    async def _claim(self, partition: Partition, name: str) -> Writer:
        claimant = AIOKafkaProducer(**self._kafka.options(), transactional_id=name)
        try:
            await open_client(claimant, self._kafka)
            producer_id, epoch = private_names.claimed_id(claimant)
        finally:
            await claimant.stop()
        producer = AIOKafkaProducer(
            **self._kafka.options(),
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=LARGEST_BATCH_BYTES,
            max_request_size=LARGEST_BATCH_BYTES + 65_536,
            compression_type=self._compression,
        )
        private_names.give_id(producer, producer_id, epoch)
        try:
            await open_client(producer, self._kafka)
        except BaseException:
            await producer.stop()
            raise
        logger.info("claimed %s: producer id %d, epoch %d", partition, producer_id, epoch)
        return KafkaWriter(producer, partition, gives_time=not self._embedded)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """See `Log.read`. Waits while the brokers are away; a consumer of its own for each read."""
        start = max(start, await self.begin(topic, partition))
        reader = self.reader(topic, partition)
        try:
            async for records in reader.read(start, end):
                yield records
        finally:
            await reader.close()

    def reader(self, topic: str, partition: int) -> Reader:
        """See `Log.reader`."""
        return KafkaReader(Partition(topic, partition), self._kafka, as_columns=self._as_columns)

    async def begin(self, topic: str, partition: int) -> int:
        """See `Log.begin`."""
        asker = await self._ask()
        return await self._answer(topic, partition, asker.beginning_offsets)

    async def end(self, topic: str, partition: int) -> int:
        """See `Log.end`."""
        asker = await self._ask()
        return await self._answer(topic, partition, asker.end_offsets)

    async def at_time(self, topic: str, partition: int, instant_ms: int) -> int:
        """See `Log.at_time`; an embedded broker cannot tell."""
        if self._embedded:
            return await self.begin(topic, partition)
        asker = await self._ask()

        async def ask(where: list[TopicPartition]) -> dict[TopicPartition, int]:
            found = await asker.offsets_for_times(dict.fromkeys(where, instant_ms))
            return {one: -1 if at is None else at.offset for one, at in found.items()}

        offset = await self._answer(topic, partition, ask)
        return offset if offset >= 0 else await self.end(topic, partition)

    async def _ask(self) -> AIOKafkaConsumer:
        async with self._asking:
            if self._asker is None:
                asker = AIOKafkaConsumer(**self._kafka.options(), group_id=None, enable_auto_commit=False)
                try:
                    await open_client(asker, self._kafka)
                except RefusedError:
                    await asker.stop()
                    raise
                except KafkaError as error:
                    await asker.stop()
                    raise failure(error, "kafka does not answer", "Describe on its topics") from error
                self._asker = asker
        return self._asker

    async def _answer(self, topic: str, partition: int, ask: Callable[[list[TopicPartition]], Awaitable[dict[TopicPartition, int]]]) -> int:
        where = TopicPartition(topic, partition)
        try:
            return (await asyncio.wait_for(ask([where]), ANSWER_S))[where]
        except (KafkaError, TimeoutError) as error:
            what = f"{topic}[{partition}]: its ends cannot be asked for"
            refused = not_allowed(error, what, f"Describe on topic {topic}") or await refusal(self._kafka)
            raise refused or UnavailableError(f"{what}: {error!r}") from error
