"""What operators look into on real servers: dead letters, one user, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from whole import In, Installation

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

T0 = 1_767_225_600_000
DOCUMENTS = """
kind: wallet
id: grocery
decimals: 1
---
kind: campaign
id: cart
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Bought, where: [{property: Amount, op: gte, value: 10}]}}
reward: {points: {wallet: grocery, earn: {flat: 10.5}, recurrence: {day: 2}, budget: {campaign: 1000.5}}}
"""


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=2)
    yield made
    made.close()


def record(user: str, **fields: Any) -> In:
    return In(user, json.dumps({"user": user, "ts": T0, **fields}).encode())


def bought(user: str, number: int, **properties: Any) -> In:
    return record(user, id=f"e{number}", event="Bought", ts=T0 + number, properties=properties)


def apply(installation: Installation, tmp_path: Path, documents: str = DOCUMENTS) -> None:
    (tmp_path / "documents.yaml").write_text(documents)
    installation.cli("apply", tmp_path / "documents.yaml")


def said(installation: Installation, *words: str | Path, code: int = 0) -> str:
    return installation.cli(*words, code=code).stderr.decode()


def test_dead_letters_are_listed_and_sent_again(installation: Installation, tmp_path: Path) -> None:
    worker = installation.worker()
    apply(installation, tmp_path)
    wrong = [In("u1", b"{"), record("u2", event="Bought", ts="soon"), In("u3", b"[1]")]
    installation.send([*wrong, bought("u1", 1, Amount=20)])
    installation.until_done()
    listed = json.loads(installation.cli("dead-letters", "list", "--json").stdout)
    assert sorted(one["reason"] for one in listed) == ["bad_time", "not_json", "wrong_type"]
    assert {one["topic"] for one in listed} == {installation.events}
    assert not any("key" in one or "value" in one for one in listed)
    (one,) = json.loads(installation.cli("dead-letters", "list", "--reason", "not_json", "--since", "1h", "--show", "--json").stdout)
    assert (one["key"], one["value"], one["size"]) == ("u1", "{", 3)
    table = installation.cli("dead-letters", "list").stdout.decode()
    assert "bad_time" in table
    assert "soon" not in table
    assert "no dead letters are chosen" in said(installation, "dead-letters", "list", "--since", "2100-01-01T00:00Z")
    assert "there are not_json, not_unicode" in said(installation, "dead-letters", "list", "--reason", "nonsense", code=2)

    before = installation.kafka.read(installation.events)
    assert said(installation, "dead-letters", "replay", "--reason", "not_json", "--reason", "wrong_type").startswith(
        "2 dead letters sent to"
    )
    after = installation.kafka.read(installation.events)
    again = [(one.key, one.value) for one in after if one not in before]
    assert sorted(again, key=str) == sorted([(b"u1", b"{"), (b"u3", b"[1]")], key=str)
    installation.until_done()
    assert len(json.loads(installation.cli("dead-letters", "list", "--json").stdout)) == 5  # what is still wrong is put aside again
    assert worker.stop() == 0
