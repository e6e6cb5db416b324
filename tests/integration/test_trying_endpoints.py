"""`livepromo webhooks test`: signed, marked, at the rate asked for; what went wrong is said, and in the exit code."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from livepromo.cli.webhooks import call_at_rate
from livepromo.delivery.retries import OutcomeKind
from livepromo.model.documents import Endpoint
from livepromo.sandbox.servers import KafkaCluster, RedisServer
from livepromo.settings import load
from owed_calls import serving
from whole import Installation

SECRET = "whsec_c2l4dGVlbiBieXRlcyBvciBtb3JlIHRoYW4gdGhhdA=="  # noqa: S105


class Receiver(BaseHTTPRequestHandler):
    """Verifies what it gets with the reference verifier, and keeps it."""

    got: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = dict(self.headers.items())
        Webhook(SECRET).verify(body, headers)
        self.got.append((headers, body))
        self.send_response(503 if self.path == "/busy" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    Receiver.got = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.integration
@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(300)
def test_a_published_endpoint_is_tried(
    kafka: KafkaCluster, redis_server: RedisServer, receiver: ThreadingHTTPServer, name: str, tmp_path: Path
) -> None:
    documents = tmp_path / "documents.yaml"
    url = f"http://127.0.0.1:{receiver.server_address[1]}"
    documents.write_text(
        f"kind: endpoint\nid: gift-api\nurl: {url}/calls\nsecret: gift-api\n"
        f"---\nkind: endpoint\nid: busy\nurl: {url}/busy\nsecret: gift-api\n"
        f"---\nkind: endpoint\nid: unset\nurl: {url}/calls\nsecret: other\n"
    )
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, allow_http="true", secret_gift_api=SECRET)
    try:
        installation.cli("apply", documents, "--no-wait")
        tried = installation.cli("webhooks", "test", "gift-api", "--rate", "20", "--seconds", "1", "--json")
        busy = installation.cli("webhooks", "test", "endpoint/busy", code=1)
        unset = installation.cli("webhooks", "test", "unset", code=2)
        unknown = installation.cli("webhooks", "test", "gift", code=1)
    finally:
        installation.close()
    found = json.loads(tried.stdout)
    assert (found["calls"], found["outcomes"], found["answers"]) == (20, {"ok": 20}, {"200": 20})
    assert set(found["latency_ms"]) == {"p50", "p95", "p99", "max"}
    assert found["seconds"] >= 0.9
    assert b"answered 503" in busy.stdout
    assert b"1 of 1 call to endpoint/busy not answered with 2xx" in busy.stderr
    assert b'endpoint/unset is signed with the secret "other", which is not set: set LIVEPROMO_SECRET_OTHER' in unset.stderr
    assert b'there is no endpoint "gift": did you mean gift-api?' in unknown.stderr
    assert SECRET.encode() not in b"".join(one.stdout + one.stderr for one in (tried, busy, unset, unknown))
    assert len(Receiver.got) == 21
    assert all(headers["livepromo-test"] == "true" for headers, _ in Receiver.got)
    assert len({headers["webhook-id"] for headers, _ in Receiver.got}) == 21
    assert {body for _, body in Receiver.got} == {b'{"user":{"userId":"test"},"reward":{"type":"custom","value":1,"metadata":{}}}'}


async def test_no_more_calls_are_made_at_a_time_than_the_endpoint_allows() -> None:
    now, most = 0, 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        while True:
            await reader.readuntil(b"{}}}")
            now += 1
            most = max(most, now)
            for _ in range(50):
                await asyncio.sleep(0)
            now -= 1
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with serving(slow) as port:
        endpoint = Endpoint("e", f"http://127.0.0.1:{port}/", max_in_flight=3)
        outcomes = await call_at_rate(load({"LIVEPROMO_ALLOW_HTTP": "true"}), endpoint, 10_000, 60)
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.OK] * 60
    assert most == 3


async def test_without_the_setting_this_machine_is_not_called() -> None:
    outcomes = await call_at_rate(load({}), Endpoint("e", "http://127.0.0.1:8080/"), 1, 1)
    assert [(outcome.kind, outcome.reason) for outcome in outcomes] == [(OutcomeKind.BLOCKED, "blocked: http is not allowed")]
