"""A journal in Kafka: restored fast, whatever its beginning, with the broker's time on every append; and on the embedded broker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from confluent_kafka import Producer

from livepromo.sandbox.servers import KafkaCluster
from livepromo.streaming.connecting import Connection
from livepromo.streaming.errors import UnavailableError
from livepromo.streaming.journal import Journal
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.topics import TopicSpec, ensure

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]


@pytest.fixture
async def log(kafka: KafkaCluster) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(Connection(servers=kafka.bootstrap))
    yield log
    await log.close()


def a_journal(log: KafkaLog, topic: str) -> Journal:
    return Journal(log, topic, 0, monotonic=time.monotonic)


async def test_a_hundred_thousand_records_are_restored_within_a_few_seconds_of_cpu(kafka: KafkaCluster, log: KafkaLog, name: str) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1, {"cleanup.policy": "compact"})])
    owner, new = a_journal(log, name), a_journal(log, name)
    await owner.claim()
    body = bytes(range(200))
    for first in range(0, 100_000, 2_000):
        await owner.append([(b"user-%07d" % i, body) for i in range(first, first + 2_000)])
    await owner.close()
    await new.claim()
    began_s, cpu_s = time.monotonic(), time.process_time()
    found = {key: payload async for records in new.restore() for key, payload, _ in records}
    cpu_s, took_s = time.process_time() - cpu_s, time.monotonic() - began_s
    assert len(found) == 100_000
    assert set(found.values()) == {body}
    print(f"restored 100,000 records of 200 B in {took_s:.2f} s, {cpu_s * 10:.1f} µs of CPU a record")
    assert cpu_s < 5
    await new.close()


async def test_the_first_record_of_an_instant_is_found(kafka: KafkaCluster, log: KafkaLog, name: str) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1, {"message.timestamp.type": "CreateTime"})])
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for at_ms in (1_000, 2_000, 2_000, 5_000):
        producer.produce(name, b"v", partition=0, timestamp=at_ms)
    assert producer.flush(30) == 0
    assert [await log.at_time(name, 0, at_ms) for at_ms in (0, 1_000, 1_001, 2_000, 2_001, 5_000, 5_001)] == [0, 0, 1, 1, 3, 3, 4]
    embedded = KafkaLog(Connection(servers=kafka.bootstrap), embedded=True)
    assert await embedded.at_time(name, 0, 5_000) == 0, "an embedded broker finds nothing by time"
    await embedded.close()


async def test_the_broker_tells_when_it_took_a_batch_if_the_topic_says_so(kafka: KafkaCluster, log: KafkaLog, name: str) -> None:
    for kind, given in (("LogAppendTime", True), ("CreateTime", False)):
        await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(f"{name}-{kind}", 1, {"message.timestamp.type": kind})])
        owner = a_journal(log, f"{name}-{kind}")
        await owner.claim()
        timestamp_ms = (await owner.append([(b"k", b"v")])).timestamp_ms
        assert (timestamp_ms is not None) == given
        assert timestamp_ms is None or abs(timestamp_ms - time.time() * 1000) < 60_000
        await owner.close()


async def test_a_read_from_before_the_beginning_begins_there_and_stops_where_it_was_told(
    kafka: KafkaCluster, log: KafkaLog, name: str
) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1)])
    writer = await log.claim(name, 0)
    assert [r async for rs in log.read(name, 0, 0, 0) for r in rs] == []
    for i in range(10):
        await writer.append([(b"a%d" % i, b"x"), (b"b%d" % i, None)])
    await writer.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=7)})
    await admin.close()
    assert (await log.begin(name, 0), await log.end(name, 0)) == (7, 20)
    found = [r async for rs in log.read(name, 0, 0, 13) for r in rs]
    assert [r.offset for r in found] == [7, 8, 9, 10, 11, 12]
    assert [(r.key, r.value) for r in found[:2]] == [(b"b3", None), (b"a4", b"x")]
    assert [r async for rs in log.read(name, 0, 0, 7) for r in rs] == []


async def test_without_columns_the_same_is_read(kafka: KafkaCluster, log: KafkaLog, name: str) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1)])
    writer = await log.claim(name, 0)
    for i in range(300):
        await writer.append([(b"k%d" % i, b"x" * i)])
    await writer.close()
    plain = KafkaLog(Connection(servers=kafka.bootstrap), as_columns=False)
    found = [[tuple(r[:4]) async for rs in by.read(name, 0, 3, 290) for r in rs] for by in (log, plain)]
    assert found[0] == found[1]
    assert len(found[0]) == 287
    await plain.close()


@pytest.mark.parametrize("as_columns", [True, False])
async def test_a_read_ends_where_it_was_told_though_no_record_stands_there(kafka: KafkaCluster, name: str, as_columns: bool) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1)])
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=name) as producer:
        for i in range(3):
            async with producer.transaction():
                await producer.send(name, b"v", b"k%d" % i, partition=0)
    log = KafkaLog(Connection(servers=kafka.bootstrap), as_columns=as_columns)
    try:
        assert await log.end(name, 0) == 6  # each transaction ends with a marker, which is no record
        assert [r.offset async for rs in log.read(name, 0, 0, 6) for r in rs] == [0, 2, 4]
        assert [r.offset async for rs in log.read(name, 0, 5, 6) for r in rs] == []
    finally:
        await log.close()


async def test_nobody_there_is_said_to_be_unavailable() -> None:
    log = KafkaLog(Connection(servers="127.0.0.1:9"))
    with pytest.raises(UnavailableError, match="kafka does not answer"):
        await log.end("state", 0)


async def test_on_the_embedded_broker_a_journal_is_claimed_appended_and_restored_and_no_time_is_believed(name: str) -> None:
    broker = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    address = next(iter(broker.list_topics(timeout=10).brokers.values()))
    log = KafkaLog(Connection(servers=f"{address.host}:{address.port}"), embedded=True)
    try:
        owner, new = a_journal(log, name), a_journal(log, name)
        await owner.claim()
        assert (await owner.append([(b"u1", b"a"), (b"u2", b"b")])).timestamp_ms is None
        assert await owner.still_ours()
        await new.claim()
        found = {key: payload async for records in new.restore() for key, payload, _ in records}
        assert found == {b"u1": b"a", b"u2": b"b"}
        await owner.close()
        await new.close()
    finally:
        await log.close()
