"""Topics are made once, never changed, and told apart from their specs; side outputs arrive in them whatever their size."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.sandbox.servers import KafkaCluster
from livepromo.streaming.connecting import Connection
from livepromo.streaming.errors import DoesNotFitError, MissingTopicError, RecordTooLargeError, UnavailableError
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.log import LogRecord
from livepromo.streaming.producer import Outbox
from livepromo.streaming.topics import TopicSpec, describe, ensure

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]


async def records_of(servers: str, topic: str, partition: int) -> list[LogRecord]:
    log = KafkaLog(Connection(servers=servers))
    try:
        return [r async for rs in log.read(topic, partition, 0, await log.end(topic, partition)) for r in rs]
    finally:
        await log.close()


async def test_a_missing_topic_is_made_as_specified_and_one_that_is_there_is_compared(kafka: KafkaCluster, name: str) -> None:
    spec = TopicSpec(name, 4, {"cleanup.policy": "compact", "retention.ms": "-1"})
    dry = await ensure(Connection(servers=kafka.bootstrap), [spec], dry_run=True)
    assert [(report.created, report.differences) for report in dry] == [(True, ())]
    assert await describe(Connection(servers=kafka.bootstrap), [name]) == {}

    made = await ensure(Connection(servers=kafka.bootstrap), [spec])
    assert [(report.created, report.differences) for report in made] == [(True, ())]
    found = (await describe(Connection(servers=kafka.bootstrap), [name]))[name]
    assert (found.partitions, found.replicas, found.config["cleanup.policy"]) == (4, 1, "compact")
    assert found.config["min.insync.replicas"] == "1"

    again = await ensure(Connection(servers=kafka.bootstrap), [spec])
    assert [(report.created, report.differences) for report in again] == [(False, ())]
    other = TopicSpec(name, 8, {"cleanup.policy": "delete", "retention.ms": "-1"})
    (differs,) = await ensure(Connection(servers=kafka.bootstrap), [other])
    assert differs.differences == ("has 4 partitions, not 8", "cleanup.policy is compact, not delete")
    assert (await describe(Connection(servers=kafka.bootstrap), [name]))[name].partitions == 4


async def test_a_topic_that_is_not_ours_to_make_is_said_to_be_missing(kafka: KafkaCluster, name: str) -> None:
    (report,) = await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, None)])
    assert (report.created, report.missing) == (False, True)
    assert await describe(Connection(servers=kafka.bootstrap), [name]) == {}


async def test_three_brokers_give_three_replicas_of_which_two_are_in_sync(kafka_cluster: KafkaCluster, name: str) -> None:
    await ensure(Connection(servers=kafka_cluster.bootstrap), [TopicSpec(name, 2)])
    found = (await describe(Connection(servers=kafka_cluster.bootstrap), [name]))[name]
    assert (found.replicas, found.config["min.insync.replicas"]) == (3, "2")


async def test_a_spec_that_the_broker_refuses_is_named_and_nobody_there_is_unavailable(kafka: KafkaCluster, name: str) -> None:
    with pytest.raises(DoesNotFitError, match=name):
        await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1, {"retention.ms": "for ever"})])
    with pytest.raises(UnavailableError):
        await describe(Connection(servers="127.0.0.1:9"), [name])


async def test_side_outputs_are_cut_into_batches_and_arrive_whole_and_in_order(kafka: KafkaCluster, name: str) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 3)])
    outbox = Outbox(Connection(servers=kafka.bootstrap), batch_bytes=20_000)
    await outbox.start()
    try:
        assert await outbox.partitions(name) == 3
        outputs: dict[tuple[str, int], list[Any]] = {
            (name, p): [(b"k%d" % i, b"%d" % i * 50, [("n", b"%d" % i)]) for i in range(1_000)] for p in (0, 2)
        }
        await outbox.send_many(outputs)
        await outbox.send(name, 1, [(None, b"no key", []), (b"no value", None, [])])
    finally:
        await outbox.close()
    for (_, partition), sent in outputs.items():
        found = await records_of(kafka.bootstrap, name, partition)
        assert [(r.key, r.value, list(r.headers)) for r in found] == sent
    assert [(r.key, r.value) for r in await records_of(kafka.bootstrap, name, 1)] == [(None, b"no key"), (b"no value", None)]


async def test_a_record_that_its_topic_does_not_take_is_named_and_the_others_arrive(kafka: KafkaCluster, name: str) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1, {"max.message.bytes": "30000"})])
    outbox = Outbox(Connection(servers=kafka.bootstrap), compression=None)
    await outbox.start()
    try:
        small = [(b"k%d" % i, bytes(1_000), []) for i in range(100)]
        await outbox.send(name, 0, small)  # more than the topic takes in one batch
        with pytest.raises(RecordTooLargeError, match=r"does not take a record of 40005 bytes, key b'large'"):
            await outbox.send(name, 0, [(b"before", b"", []), (b"large", bytes(40_000), [])])
        await outbox.send(name, 0, [(b"after", b"", [])])
    finally:
        await outbox.close()
    keys = [r.key for r in await records_of(kafka.bootstrap, name, 0)]
    assert keys == [*(key for key, _, _ in small), b"before", b"after"]


async def test_a_topic_that_is_not_there_is_named(kafka: KafkaCluster, name: str) -> None:
    outbox = Outbox(Connection(servers=kafka.bootstrap), request_timeout_ms=2_000)
    await outbox.start()
    try:
        with pytest.raises(MissingTopicError, match=name):
            await outbox.partitions(name)
    finally:
        await outbox.close()
