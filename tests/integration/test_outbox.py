"""Side outputs wait for Kafka, however long it is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from livepromo.sandbox.servers import KafkaCluster
from livepromo.streaming.connecting import Connection
from livepromo.streaming.errors import RecordTooLargeError
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.producer import Outbox
from livepromo.streaming.topics import TopicSpec, ensure

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

REQUEST_TIMEOUT_MS = 1_500


async def test_sends_to_one_partition_wait_for_a_broker_that_is_away_for_longer_than_a_request_may_take(tmp_path: Path) -> None:
    cluster = KafkaCluster(tmp_path / "cluster").start()
    try:
        await ensure(Connection(servers=cluster.bootstrap), [TopicSpec("out", 1, {})])
        outbox = Outbox(Connection(servers=cluster.bootstrap), request_timeout_ms=REQUEST_TIMEOUT_MS)
        await outbox.start()
        cluster.brokers[0].freeze()
        sending = [asyncio.create_task(outbox.send("out", 0, [(b"k", b"%d" % number, ())])) for number in range(4)]
        done, _ = await asyncio.wait(sending, timeout=4 * REQUEST_TIMEOUT_MS / 1000)
        assert not done, "the broker is frozen, and a send has ended"
        cluster.brokers[0].thaw()
        await asyncio.wait_for(asyncio.gather(*sending), 60)
        log = KafkaLog(Connection(servers=cluster.bootstrap))
        found = {record.value async for records in log.read("out", 0, 0, await log.end("out", 0)) for record in records}
        assert found == {b"0", b"1", b"2", b"3"}
        await log.close()
        await outbox.close()
    finally:
        cluster.stop()


async def test_a_record_that_is_too_large_is_told_to_its_caller_and_costs_nobody_else_anything(kafka: KafkaCluster, name: str) -> None:
    await ensure(Connection(servers=kafka.bootstrap), [TopicSpec(name, 1, {"max.message.bytes": "20000"})])
    outbox = Outbox(Connection(servers=kafka.bootstrap), compression=None)
    await outbox.start()
    values = [b"first", b"x" * 40_000, b"last"]  # the second and third wait for the first, and then go together
    ended = await asyncio.gather(*(outbox.send(name, 0, [(b"k", value, ())]) for value in values), return_exceptions=True)
    assert [type(end) for end in ended] == [list, RecordTooLargeError, list]
    log = KafkaLog(Connection(servers=kafka.bootstrap))
    found = {record.value async for records in log.read(name, 0, 0, await log.end(name, 0)) for record in records}
    assert found == {b"first", b"last"}
    await log.close()
    await outbox.close()
