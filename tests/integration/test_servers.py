"""The servers that tests and `livepromo dev` start are real, and come back after a kill with what they had acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from livepromo.sandbox import servers
from livepromo.sandbox.servers import KafkaCluster, RedisServer, ServerError, free_ports, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


async def _create(bootstrap: str, topic: str, replicas: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, replicas)])
    await admin.close()


async def _consume(bootstrap: str, topic: str, wanted: int) -> set[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=f"{topic}-readers", auto_offset_reset="earliest")
    await consumer.start()
    seen: set[bytes] = set()
    while len(seen) < wanted:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            seen |= {record.value for record in records if record.value}
    await consumer.stop()
    return seen


async def test_what_is_produced_is_consumed(kafka: KafkaCluster, name: str) -> None:
    await _create(kafka.bootstrap, name, 1)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=True) as producer:
        for number in range(100):
            await producer.send_and_wait(name, b"%d" % number, key=b"user")
    assert await _consume(kafka.bootstrap, name, 100) == {b"%d" % number for number in range(100)}


async def test_three_brokers_lose_nothing_they_acknowledged_when_one_is_killed_and_comes_back(
    kafka_cluster: KafkaCluster, name: str
) -> None:
    await _create(kafka_cluster.bootstrap, name, 3)
    first = kafka_cluster.brokers[0]
    async with AIOKafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, enable_idempotence=True, acks="all") as producer:
        for number in range(60):
            if number == 20:
                first.kill()
                assert kafka_cluster.wait().brokers[1].brokers_seen() == 2
            if number == 40:
                first.start()
                assert kafka_cluster.wait().brokers[0].brokers_seen() == 3
            await producer.send_and_wait(name, b"%d" % number)
    assert await _consume(kafka_cluster.bootstrap, name, 60) == {b"%d" % number for number in range(60)}


async def test_a_frozen_broker_is_taken_for_dead_and_serves_again_when_thawed(kafka_cluster: KafkaCluster) -> None:
    frozen = kafka_cluster.brokers[2]
    frozen.freeze()
    assert not frozen.runs
    assert kafka_cluster.wait().brokers[0].brokers_seen() == 2
    frozen.thaw()
    assert kafka_cluster.wait().brokers[0].brokers_seen() == 3


async def test_settings_of_the_caller_go_before_the_cluster_s_own(tmp_path: Path, name: str) -> None:
    cluster = KafkaCluster(tmp_path / "cluster", settings={"auto.create.topics.enable": "true", "num.partitions": "3"})
    try:
        cluster.start()
        async with AIOKafkaProducer(bootstrap_servers=cluster.bootstrap) as producer:
            await producer.send_and_wait(name, b"1")
            assert await producer.partitions_for(name) == {0, 1, 2}
    finally:
        cluster.stop()


async def test_redis_is_the_installed_one_of_at_least_7(ledger_redis: redis.asyncio.Redis) -> None:
    assert int((await ledger_redis.info("server"))["redis_version"].split(".")[0]) >= 7


async def test_redis_comes_back_empty_or_as_it_was_when_copied(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis").start()
    try:
        async with redis.asyncio.from_url(server.url) as client:
            await client.set("before", 1)
            old = server.copy()
            await client.set("after", 2)
        server.restart(holding=old)
        async with redis.asyncio.from_url(server.url) as client:
            assert await client.keys("*") == [b"before"]
        server.restart()
        async with redis.asyncio.from_url(server.url) as client:
            assert await client.keys("*") == []
    finally:
        server.stop()


async def test_redis_takes_options(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", {"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"}).start()
    try:
        async with redis.asyncio.from_url(server.url) as client:
            assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "allkeys-lru"
    finally:
        server.stop()


def test_a_redis_that_ends_at_once_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis", {"no-such-directive": "1"})
    try:
        with pytest.raises(ServerError, match=r"redis\.log"):
            server.start()
    finally:
        server.stop()


def test_ports_are_handed_out_once_and_below_those_of_outgoing_connections() -> None:
    ports = free_ports(50) + free_ports(50)
    assert len(set(ports)) == 100
    assert all(20_000 <= port < 32_000 for port in ports)


def test_waiting_has_an_end_that_says_what_was_waited_for() -> None:
    with pytest.raises(ServerError, match=r"no such thing after 0\.1 s"):
        wait_until(lambda: False, 0.1, lambda: "no such thing")


def test_outside_a_checkout_kafka_says_where_it_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_DEPLOY", tmp_path)
    with pytest.raises(ServerError, match="from a checkout"):
        servers.kafka_jars.__wrapped__()
