"""A receiver that does all that receivers do to callers: each call is delivered or given up with its reason, and nobody else waits."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from livepromo.delivery.calling import MOST_BODY_BYTES, Caller
from livepromo.delivery.dispatching import Dispatcher
from livepromo.delivery.pending import Place
from livepromo.delivery.retries import Outcome, OutcomeKind
from livepromo.delivery.signing import Call
from livepromo.model.documents import Endpoint
from livepromo.settings import Secrets
from livepromo.telemetry.metrics import Metrics
from owed_calls import HOUR_MS, NOW_MS, JumpingClock, MemoryBook, serving

SECRET = "whsec_c2l4dGVlbiBieXRlcyBvciBtb3JlIHRoYW4gdGhhdA=="  # noqa: S105
SECRETS = Secrets({"HOSTILE": SECRET})
CALLS = 150
OTHERS = 300
OFTEN = {"500": 20, "timeout": 5, "reset": 5, "429": 5, "302": 5, "drip": 3, "huge": 3, "slow body": 3, "garbage": 3}
HABITS = [habit for habit, times in OFTEN.items() for _ in range(times)]  # of a hundred; the others are answered with 200


class Receiver:
    """Answers by habit, drawn for every try; some ids it refuses for good."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.bodies: defaultdict[str, set[bytes]] = defaultdict(set)
        self.habits: Counter[str] = Counter()
        self.signed = self.redirected = self.sent_bytes = self.elsewhere = self.cookies = 0

    def habit(self, grant_id: str) -> str:
        if hashlib.sha256(grant_id.encode()).digest()[0] < 26:
            return "410"
        drawn = hashlib.sha256(f"{grant_id} {self.tries[grant_id]}".encode()).digest()[0] * 100 // 256
        return HABITS[drawn] if drawn < len(HABITS) else "200"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._answer(reader, writer):
            pass

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        if not request.startswith("POST /calls "):
            self.elsewhere += 1
        grant_id = headers["webhook-id"]
        self.tries[grant_id] += 1
        self.bodies[grant_id].add(body)
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        self.signed += headers["webhook-signature"] == Webhook(SECRET).sign(grant_id, at, body.decode())
        self.cookies += "cookie" in headers
        habit = self.habit(grant_id)
        self.habits[habit] += 1
        match habit:
            case "timeout":
                await reader.read()
                return False
            case "reset":
                writer.transport.abort()
                return False
            case "garbage":
                writer.write(b"SMTP ready\r\n\r\n")
                await reader.read()
                return False
            case "drip":
                for byte in b"HTTP/1.1 200 OK\r\n":
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(1)
                return False
            case "huge":
                self.accepted[grant_id] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
                while True:
                    writer.write(bytes(MOST_BODY_BYTES))
                    await writer.drain()
                    self.sent_bytes += MOST_BODY_BYTES
            case "slow body":
                self.accepted[grant_id] += 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                await reader.read()
                return False
            case "302":
                self.redirected += 1
                writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data\r\nContent-Length: 0\r\n\r\n")
            case "429":
                writer.write(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n")
            case _:
                self.accepted[grant_id] += habit == "200"
                writer.write(f"HTTP/1.1 {habit} X\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\n{{}}".encode())
        return True


async def friendly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every call with 204."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    made = Receiver()
    async with serving(made.serve) as port:
        yield made, port


class Run:
    """A dispatcher whose calls are made for real, while its time jumps."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.clock, self.book, self.metrics = JumpingClock(), MemoryBook(), Metrics()
        self.caller = Caller(SECRETS, allow_http=True, tls=tls, wall_ms=self.clock.now_ms)
        self.dispatcher = Dispatcher(self.call, self.book, self.metrics, time=self.clock)
        self.made: list[tuple[int, str, Outcome]] = []

    async def call(self, endpoint: Endpoint, call: Call) -> Outcome:
        self.clock.busy += 1
        try:
            outcome = await self.caller.call(endpoint, call)
        finally:
            self.clock.busy -= 1
        self.made.append((self.clock.now_ms(), endpoint.id, outcome))
        return outcome

    async def until_all_is_said(self) -> None:
        await self.clock.run()
        await self.dispatcher.close()
        await self.caller.close()


async def test_every_call_is_delivered_or_given_up_with_its_reason_and_no_other_endpoint_waits(
    receiver: tuple[Receiver, int], caplog: pytest.LogCaptureFixture
) -> None:
    hostile, port = receiver
    run = Run()
    hostile_url = f"http://127.0.0.1:{port}/calls"
    async with serving(friendly) as well_port:
        run.dispatcher.know(Endpoint("hostile", hostile_url, "hostile", timeout_ms=250))
        run.dispatcher.know(Endpoint("well", f"http://127.0.0.1:{well_port}/calls"))
        for offset in range(CALLS + OTHERS):
            place = run.book.owe(0, offset, b'{"user":{"userId":"u%d","email":"a@example.org"}}' % offset)
            run.dispatcher.add(place, "hostile" if offset < CALLS else "well", NOW_MS)
        await run.until_all_is_said()

    ids = {place: run.book.calls[place].grant_id for place in run.book.calls}
    delivered = {ids[place] for place in run.book.done}
    ended = {ids[place]: end for place, (_, end) in run.book.ended.items()}
    assert delivered | set(ended) == set(ids.values())
    assert not delivered & set(ended)
    assert {ids[Place(0, offset)] for offset in range(CALLS)} & delivered == set(+hostile.accepted)
    for grant_id, end in ended.items():
        assert (end.reason, hostile.habit(grant_id)) == ("status 410", "410")
        assert end.attempts >= 3  # a machine that is busy may time out in between
    assert len(ended) > 5
    assert run.dispatcher.lowest(0) is None

    assert set(hostile.habits) == {*HABITS, "410", "200"}, "everything struck"
    assert hostile.signed == sum(hostile.tries.values())
    assert {len(bodies) for bodies in hostile.bodies.values()} == {1}, "one body per id"
    assert hostile.elsewhere == hostile.cookies == 0
    assert hostile.redirected > 0
    assert hostile.sent_bytes < 100 * MOST_BODY_BYTES * hostile.habits["huge"]

    outcomes = Counter(outcome.kind for _, name, outcome in run.made if name == "hostile")
    assert set(outcomes) == {OutcomeKind.OK, OutcomeKind.REFUSED, OutcomeKind.FAILED, OutcomeKind.TIMEOUT}
    others = [(at_ms, outcome.kind) for at_ms, name, outcome in run.made if name == "well"]
    assert others == [(NOW_MS, OutcomeKind.OK)] * OTHERS, "each was called at once, while the hostile one took hours"
    assert "example.org" not in caplog.text
    assert hostile_url not in caplog.text


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with a key and a certificate that nobody vouches for."""
    made = tmp_path / "self-signed.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(made),
        "-out",
        str(tmp_path / "certificate.pem"),
    ]
    subprocess.run(words, check=True, capture_output=True)
    made.write_text(made.read_text() + (tmp_path / "certificate.pem").read_text())
    return made


async def test_a_certificate_that_nobody_vouches_for_is_never_accepted(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    made = Receiver()
    run = Run()
    async with serving(made.serve, context) as port:
        run.dispatcher.know(Endpoint("tls", f"https://localhost:{port}/calls"))
        run.dispatcher.add(run.book.owe(0, 0), "tls", NOW_MS)
        await run.until_all_is_said()
    _, end = run.book.ended[Place(0, 0)]
    assert (end.reason, end.status, end.first_ms) == ("tls", None, NOW_MS)
    assert run.clock.now_ms() >= NOW_MS + 24 * HOUR_MS
    assert not made.tries


async def test_a_certificate_of_a_known_authority_is_accepted(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    run = Run(ssl.create_default_context(cafile=str(certificate)))
    async with serving(friendly, context) as port:
        run.dispatcher.know(Endpoint("tls", f"https://localhost:{port}/calls"))
        run.dispatcher.add(run.book.owe(0, 0), "tls", NOW_MS)
        await run.until_all_is_said()
    assert run.book.done == [Place(0, 0)]


async def test_a_receiver_that_speaks_no_tls_or_does_not_listen_is_given_up_with_that_reason() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(friendly) as nobody:
        pass
    run = Run()
    async with serving(plain) as port:
        run.dispatcher.know(Endpoint("plain", f"https://127.0.0.1:{port}/calls"))
        run.dispatcher.know(Endpoint("nobody", f"http://127.0.0.1:{nobody}/calls"))
        run.dispatcher.add(run.book.owe(0, 0), "plain", NOW_MS)
        run.dispatcher.add(run.book.owe(0, 1), "nobody", NOW_MS)
        await run.until_all_is_said()
    assert run.book.ended[Place(0, 0)][1].reason == "tls"
    assert run.book.ended[Place(0, 1)][1].reason == "connect"


async def test_an_endpoint_whose_secret_is_not_set_is_not_called(receiver: tuple[Receiver, int]) -> None:
    hostile, port = receiver
    caller = Caller(Secrets(), allow_http=True)
    outcome = await caller.call(Endpoint("e", f"http://127.0.0.1:{port}/calls", "hostile"), Call("gr_1", "c", 1, b"{}", item="i"))
    await caller.close()
    assert (outcome.kind, outcome.reason) == (OutcomeKind.FAILED, "secret")
    assert not hostile.tries
