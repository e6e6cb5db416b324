"""Custom rewards arrive: every call that a grant owes is made, under the same id, with the same bytes, signed; and no other."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from math import nan
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from receiving import Receiver
from whole import GRANTED, In, Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

SECRET = "whsec_" + base64.b64encode(b"of the gift shop, 24 byte").decode()
DOCUMENTS = """
kind: item
id: watch
---
kind: wallet
id: ext-cash
external: true
decimals: 2
---
kind: endpoint
id: gifts
url: {url}/gifts
secret: gifts
headers: {{x-shop: north}}
---
kind: endpoint
id: credits
url: {url}/credits
---
kind: campaign
id: watches
qualify: {{live: {{event: Charged}}}}
when: {{start: "2025-01-01T00:00Z"}}
reward:
  custom:
    endpoint: gifts
    item: watch
    metadata: [{{key: order, from: event.Order ID}}, {{key: plan, from: user.plan}}]
---
kind: campaign
id: cashback
qualify: {{live: {{event: Charged}}}}
when: {{start: "2025-01-01T00:00Z"}}
reward:
  custom:
    endpoint: credits
    credits: {{wallet: ext-cash, earn: {{percent: 10, of: Amount}}}}
    identifiers: {{user_id: customerId}}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, receiver: Receiver, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=2, allow_http="true", secret_gifts=SECRET)
    (tmp_path / "documents.yaml").write_text(DOCUMENTS.format(url=f"http://127.0.0.1:{receiver.port}"))
    yield installation
    installation.close()


def a_profile(user: str) -> In:
    properties = {"email": f"{user}@mail.example", "phone": f"+44 20 {user}", "plan": "gold"}
    return In(user, json.dumps({"type": "profile", "user": user, "ts": 1_764_547_100_000, "properties": properties}).encode())


def a_charge(user: str, number: int) -> In:
    properties = {"Amount": 12.5 + number, "Order ID": f"o-{number}"}
    return In(
        user,
        json.dumps(
            {"user": user, "event": "Charged", "id": f"e-{number}", "ts": 1_764_547_200_000 + number, "properties": properties}
        ).encode(),
    )


def shown(port: int, name: str, endpoint: str, **labels: str) -> float:
    """Return what a worker's metrics say of an endpoint; NaN where they do not yet."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    wanted = {"endpoint": endpoint, **labels}
    found = (one.value for family in families for one in family.samples if one.name == f"livepromo_{name}" and one.labels == wanted)
    return next(found, nan)


def granted(installation: Installation) -> dict[str, dict[str, object]]:
    return {json.loads(one.value or b"")["grant_id"]: json.loads(one.value or b"") for one in installation.read(GRANTED)}


def test_every_grant_is_called_once_with_the_body_that_the_rules_say_and_a_signature_that_verifies(
    installation: Installation, receiver: Receiver, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    worker = installation.worker(metrics_port=str(port))
    installation.cli("apply", tmp_path / "documents.yaml")
    installation.send([a_profile(f"u{n}") for n in range(5)])
    installation.send([a_charge(f"u{n % 5}", n) for n in range(200)])
    installation.until_done()
    until(lambda: len(receiver.taken()) == 400, 30, "all calls arrive")
    for endpoint in ("gifts", "credits"):
        until(lambda name=endpoint: shown(port, "webhook_pending", name) == 0, 20, "the gauges show that no call is left")  # type: ignore[misc]
        assert shown(port, "webhook_calls_total", endpoint, outcome="ok") == 200
        assert {shown(port, "webhook_calls_total", endpoint, outcome=one) for one in ("refused", "failed", "timeout", "blocked")} == {0}
        assert shown(port, "webhook_seconds_count", endpoint) == 200
        assert shown(port, "webhook_circuit_open", endpoint) == 0
        assert shown(port, "webhook_oldest_pending_timestamp_seconds", endpoint) == 0
    assert worker.stop() == 0

    grants = granted(installation)
    assert receiver.taken().keys() == grants.keys()
    for arrived in receiver.arrived:
        grant = grants[arrived.id]
        reward = grant["reward"]
        assert isinstance(reward, dict)
        user = grant["user"]
        item = grant["campaign"] == "watches"
        payload = reward["payload"]
        expected = payload | {"user": payload["user"] | {"email": f"{user}@mail.example", "phone": f"+44 20 {user}"}}
        assert json.loads(arrived.body) == expected
        assert list(json.loads(arrived.body)["user"]) == ["userId" if item else "customerId", "email", "phone"]
        assert arrived.path == ("/gifts" if item else "/credits")
        assert arrived.headers["idempotency-key"] == arrived.headers["livepromo-grant-id"] == arrived.id
        assert arrived.headers["livepromo-campaign"] == grant["campaign"]
        assert arrived.headers["livepromo-revision"] == "1"
        assert arrived.headers.get("livepromo-item") == ("watch" if item else None)
        assert arrived.headers.get("livepromo-wallet") == (None if item else "ext-cash")
        assert arrived.headers.get("x-shop") == ("north" if item else None)
        assert ("webhook-signature" in arrived.headers) == item
        if item:
            assert arrived.verifies(SECRET)
            assert not arrived.verifies(SECRET, body=arrived.body.replace(b"watch", b"boat").replace(b"gold", b"lead"))


def test_a_call_that_is_refused_three_times_is_listed_and_arrives_when_it_is_sent_again(
    installation: Installation, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer = lambda path, headers: 410 if path == "/gifts" else 200  # noqa: ARG005
    worker = installation.worker()
    installation.cli("apply", tmp_path / "documents.yaml")
    installation.send([a_profile("u1"), *(a_charge("u1", n) for n in range(3))])
    installation.until_done()

    def listed(*words: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(installation.cli("webhooks", "list", "--json", *words).stdout)
        return found

    until(lambda: len(listed()) == 3, 60, "three calls are given up")
    assert len(receiver.taken()) == 3, "those to the other endpoint"
    owed = {name for name, grant in granted(installation).items() if grant["campaign"] == "watches"}
    for one in listed():
        assert one["grant_id"] in owed
        assert [one[name] for name in ("campaign", "endpoint", "status", "reason", "attempts")] == [
            "watches",
            "gifts",
            410,
            "status 410",
            3,
        ]
    assert [one.status for one in receiver.arrived if one.path == "/gifts"] == [410] * 9
    assert listed("--endpoint", "credits") == []
    assert len(listed("--since", "1h")) == 3
    shown = installation.cli("webhooks", "list").stdout
    assert b"status 410" in shown
    assert b"mail.example" not in shown
    assert b"u1" not in shown

    receiver.answer = lambda path, headers: 200  # noqa: ARG005
    first = str(listed()[0]["grant_id"])
    installation.cli("webhooks", "replay", code=2)
    installation.cli("webhooks", "replay", "gr_unknown", code=1)
    installation.cli("webhooks", "replay", first)
    until(lambda: first in receiver.taken(), 30, "the one that was named arrives")
    assert first not in {one["grant_id"] for one in listed()}
    assert json.loads(installation.cli("webhooks", "replay", "--endpoint", "gifts", "--json").stdout) == {"sent": 2, "gone": 0}
    until(lambda: len(receiver.taken("/gifts")) == 3, 30, "the others arrive")
    assert listed() == []
    assert worker.stop() == 0
    for name in owed:
        assert len({one.body for one in receiver.arrived if one.id == name}) == 1, "the same bytes, at every try"
    worker = installation.worker()
    installation.send([a_charge("u1", 3)])
    installation.until_done()
    until(lambda: len(receiver.taken()) == 8, 30, "what is granted after a restart arrives")
    assert worker.stop() == 0
    assert {len(calls) for calls in receiver.taken().values()} == {1}, "nothing is made again after a clean end"
