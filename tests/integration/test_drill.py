"""The restore drill of docs/operations.md, step by step: from what Kafka holds into an empty Redis."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from whole import DATA, GRANTED, Installation, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs/operations.md"


def steps() -> list[list[str]]:
    """Return the words of each command of the drill."""
    text = PAGE.read_text(encoding="utf-8").partition("\n### Restore drill\n")[2]
    found = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert found
    return [line.partition("#")[0].split()[1:] for line in found[1].splitlines() if line.startswith("livepromo ")]


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=2)
    yield installation
    installation.close()


def test_the_drill_brings_back_what_was_spent_and_publishes_nothing(installation: Installation, redis_server: RedisServer) -> None:
    records = year(seed=5, every=40)
    worker = installation.worker()
    installation.cli("apply", DATA / "twelve-campaigns.yaml")
    installation.send(records[: len(records) // 2])
    installation.until_done()
    assert worker.stop() == 0
    spent, published = installation.cli("get", "--json").stdout, len(installation.read(GRANTED))
    assert published
    with redis.from_url(redis_server.url) as client:
        client.flushall()

    dry_run, before, rebuild, verify, after, working = steps()
    installation.cli(*dry_run)
    assert installation.cli(*before, "--json").stdout != spent, "Redis is empty"
    installation.cli(*rebuild)
    installation.cli(*verify)
    assert installation.cli(*after, "--json").stdout == spent
    worker = installation.worker(*working[1:])
    decided = sum(installation.kafka.ends(installation.topic("ledger")))
    installation.send(records[len(records) // 2 :])
    group, topic = f"{installation.name}.match", installation.events
    until(lambda: installation.kafka.committed(group, topic) == installation.kafka.ends(topic), 60, "the drill's worker matches")
    until(lambda: sum(installation.kafka.ends(installation.topic("ledger"))) > decided, 60, "the drill's worker decides")
    assert worker.stop() == 0
    assert len(installation.read(GRANTED)) == published
