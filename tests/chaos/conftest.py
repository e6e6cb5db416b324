"""An installation with a Redis of its own, which may be killed and set back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from whole import Installation


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def installation(kafka: KafkaCluster, own_redis: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, own_redis.url, name, tmp_path)
    yield installation
    installation.close()
