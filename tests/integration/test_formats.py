"""A worker that reads the records of others: it grants what it would grant for ours, and a log of them is decided the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from whole import GRANTED, Installation

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

T_S = 1_772_359_200
TEXT = "2026-03-01T10:00:00Z"
DOCUMENTS = """
{kind: wallet, id: grocery}
---
kind: campaign
id: cart
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {percent: 10, of: amount}, recurrence: {total: 3}, budget: {campaign: 1000}}}
"""
BINARY = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/shop", "ce_type": "Bought", "ce_subject": "u1", "ce_time": TEXT}
Sent = tuple[dict[str, Any] | bytes, dict[str, str]]
RECORDS: dict[str, list[Sent]] = {
    "clevertap": [
        ({"type": "event", "identity": "u1", "evtName": "Bought", "evtData": {"amount": 50}, "ts": T_S}, {}),
        ({"type": "event", "identity": "u1", "evtName": "Bought", "evtData": {"amount": 70}, "ts": TEXT}, {}),
    ],
    "segment": [
        ({"type": "track", "userId": "u1", "event": "Bought", "properties": {"amount": 50}, "messageId": "m", "timestamp": TEXT}, {}),
        ({"type": "track", "userId": "u1", "event": "Bought", "properties": {"amount": 70}, "messageId": "n", "timestamp": T_S}, {}),
    ],
    "cloudevents": [
        ({"amount": 50}, BINARY),
        (
            {"specversion": "1.0", "id": "2", "source": "/shop", "type": "Bought", "subject": "u1", "time": TEXT, "data": {"amount": 60}},
            {"content-type": "application/cloudevents+json"},
        ),
        (b'{"amount": 70, }', BINARY | {"ce_id": "3"}),
    ],
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "documents.yaml").write_text(DOCUMENTS)
    return tmp_path


@pytest.fixture
def installations(kafka: KafkaCluster, redis_server: RedisServer, name: str, home: Path) -> Iterator[dict[str, Installation]]:
    made: dict[str, Installation] = {}
    for format_ in RECORDS:
        (home / format_).mkdir()
        made[format_] = Installation(kafka.bootstrap, redis_server.url, f"{name}-{format_}", home / format_, partitions=1, format=format_)
    yield made
    for one in made.values():
        one.close()


@pytest.mark.parametrize("format_", list(RECORDS))
def test_records_of_others_are_granted_kept_and_simulated_as_ours(installations: dict[str, Installation], home: Path, format_: str) -> None:
    installation = installations[format_]
    worker = installation.worker()
    installation.cli("apply", home / "documents.yaml")
    values = []
    for record, headers in RECORDS[format_]:
        values.append(record if isinstance(record, bytes) else json.dumps(record).encode())
        installation.kafka.producer.produce(installation.events, value=values[-1], key=b"u1", headers=list(headers.items()))
    assert installation.kafka.producer.flush(30) == 0
    installation.until_done(60)
    assert worker.stop() == 0
    wanted = [5, 6] if format_ == "cloudevents" else [5]
    grants = [json.loads(out.value or b"") for out in installation.read(GRANTED) if out.key == b"u1"]
    assert [grant["reward"]["points"] for grant in grants] == wanted
    (dead,) = installation.read(installation.topic("dead-letters"))
    assert dead.value == values[-1], "byte for byte as it came"
    assert dict(dead.headers)["reason"] == (b"not_json" if format_ == "cloudevents" else b"wrong_type")
    log, decisions = home / "log.jsonl", home / "decisions.jsonl"
    installation.cli("log", "0", "--out", log)
    installation.cli("simulate", "--log", log, "--out", decisions)
    assert [json.loads(line)["grant"] for line in decisions.read_text().splitlines()] == grants
