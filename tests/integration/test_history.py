"""What users did before a campaign was published, read from real Kafka by workers that are killed meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from livepromo.engine.histories import Preparing, preparing
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import restore_part, restored
from livepromo.engine.state import State
from livepromo.sandbox.servers import KafkaCluster, RedisServer
from livepromo.streaming.connecting import Connection
from livepromo.streaming.journal import read_journal
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.telemetry import clock
from recount import ledger
from whole import In, Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

PARTITIONS, USERS, RECORDS = 2, 300, 30_000
DAY_MS = 86_400_000
DOCUMENTS = """
kind: wallet
id: grocery
---
kind: campaign
id: loyal
qualify: {live: {event: Visited}}
who: {did: {event: Paid, within: 30d, count: {between: [70, 80]}}}
reward: {points: {wallet: grocery, earn: {flat: 10}}}
"""


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=PARTITIONS, lateness="60d")
    yield installation
    installation.close()


def the_past(now_ms: int) -> tuple[list[In], Counter[str]]:
    """Return payments of the last 40 days, some said twice, and how many of each user's are of the last 30."""
    random, records, counted = Random(6), list[In](), Counter[str]()
    for number in range(RECORDS):
        user, ago_ms = f"u{random.randrange(USERS)}", random.randrange(40 * DAY_MS)
        if abs(ago_ms - 30 * DAY_MS) < DAY_MS // 24:
            continue  # this test takes less than an hour
        value = json.dumps({"user": user, "event": "Paid", "ts": now_ms - ago_ms, "id": f"p{number}"}).encode()
        records += [In(user, value)] * (2 if number % 10 == 0 else 1)
        counted[user] += ago_ms < 30 * DAY_MS
    return records, counted


def progress(installation: Installation) -> list[Preparing]:
    """Return how far each partition is, as its journal has it."""

    async def read() -> list[Preparing]:
        log, found = KafkaLog(Connection(servers=installation.bootstrap)), []
        for partition in range(PARTITIONS):
            state, topic = State(Horizons()), installation.topic("state")
            async for records in read_journal(log, topic, partition, 0, await log.end(topic, partition)):
                for key, payload, _ in records:
                    restore_part(state, key, payload)
            restored(state)
            found.append(preparing(state))
        await log.close()
        return found

    return asyncio.run(read())


def state_of(installation: Installation, campaign: str) -> str:
    [shown] = json.loads(installation.cli("get", "campaign", campaign, "--json").stdout)
    return str(shown["state"])


def test_payments_of_the_last_thirty_days_count_though_a_worker_is_killed_while_it_reads_them(installation: Installation) -> None:
    past, counted = the_past(clock.wall_ms())
    documents = installation.home / "loyal.yaml"
    documents.write_text(DOCUMENTS, encoding="utf-8")
    first = installation.worker(failpoints="history.read_appended=kill@3")
    installation.send(past)
    installation.until_done()
    installation.cli("apply", "--no-wait", "--accept-short-history", documents)
    first.wait()
    assert [line.split()[0] for line in installation.struck()] == ["history.read_appended"]
    found = progress(installation)
    assert any(one.rules and 0 < one.share < 1 for one in found), found
    assert state_of(installation, "loyal") == "preparing"

    second = installation.worker()
    installation.send(
        In(f"u{user}", json.dumps({"user": f"u{user}", "event": "Seen", "ts": clock.wall_ms()}).encode()) for user in range(USERS)
    )
    until(lambda: second.said().count("has read the past of 1 rules") == PARTITIONS, 60, "all of the past is read")
    assert all(not one.rules for one in progress(installation))
    assert state_of(installation, "loyal") == "running"
    installation.send(
        In(f"u{user}", json.dumps({"user": f"u{user}", "event": "Visited", "ts": clock.wall_ms()}).encode()) for user in range(USERS)
    )
    installation.send(past[:500])  # said once more, after anything has asked for it
    installation.until_done()
    assert second.stop() == 0
    loyal = sorted(user for user, count in counted.items() if 70 <= count <= 80)
    assert 20 < len(loyal) < USERS - 20
    assert sorted(grant.said["user"] for grant in ledger(installation)) == loyal
