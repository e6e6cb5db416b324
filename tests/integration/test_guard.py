"""Forty ways to make a worker call what it must not: none connects. Every connection of the process is watched, not only our own."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from livepromo.delivery.calling import Caller
from livepromo.delivery.retries import OutcomeKind
from livepromo.delivery.signing import Call
from livepromo.model.documents import Endpoint
from livepromo.settings import Secrets
from owed_calls import serving

CALL = Call("gr_1", "c", 1, b"{}", item="i")
_connected: list[Any] | None = None


def _watch(event: str, args: Sequence[Any]) -> None:
    if event == "socket.connect" and _connected is not None:
        _connected.append(args[1])


sys.addaudithook(_watch)  # for the life of the process: it cannot be taken back, and does nothing while nobody looks


@pytest.fixture
def connected() -> Iterator[list[Any]]:
    global _connected  # noqa: PLW0603
    _connected = found = []
    yield found
    _connected = None


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Yield where a receiver on this machine answers every call with 200."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with serving(answer) as made:
        yield made


class Names:
    """A name server that answers differently each time."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.asked = list(answers), 0

    async def look_up(self, _: str, port: int) -> list[tuple[Any, ...]]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answer.split()
        ]


async def outcome_of(url: str, names: Names | None = None, *, allow_http: bool = False) -> tuple[OutcomeKind, str]:
    caller = Caller(Secrets(), allow_http=allow_http, look_up=None if names is None else names.look_up)
    try:
        outcome = await caller.call(Endpoint("e", url, timeout_ms=2_000), CALL)
    finally:
        await caller.close()
    return outcome.kind, outcome.reason


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.8.8.8", "localhost", "0.1.2.3", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001",
        "0177.0.0.1", "127.1", "127.0.0.1.", "169.254.169.254", "[fd00:ec2::254]", "100.64.0.1", "100.100.100.200", "10.0.0.1",
        "172.16.0.1", "192.168.0.1", "169.254.0.1", "224.0.0.1", "[fe80::1]", "[ff02::1]", "[fc00::1]", "user:password@127.0.0.1",
        "example.org@127.0.0.1", "127.0.0.1%00.example.org",
    ],
)  # fmt: skip
async def test_no_call_connects_to(host: str, scheme: str, connected: list[Any], port: int) -> None:
    kind, _ = await outcome_of(f"{scheme}://{host}:{port}/latest/meta-data")
    assert kind is OutcomeKind.BLOCKED
    assert connected == []


@pytest.mark.parametrize("scheme", ["file", "gopher", "ftp", "dict", "ws", "unix"])
async def test_no_call_is_made_by(scheme: str, connected: list[Any], port: int) -> None:
    assert await outcome_of(f"{scheme}://127.0.0.1:{port}/", allow_http=True) == (OutcomeKind.BLOCKED, "blocked: odd scheme")
    assert connected == []


@pytest.mark.parametrize(
    "answer",
    [
        "127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00:ec2::254", "100.64.0.1", "64:ff9b::7f00:1", "10.1.2.3",
        "8.8.8.8 10.1.2.3", "10.1.2.3 8.8.8.8",
    ],
)  # fmt: skip
async def test_a_public_name_with_such_an_address_is_not_called(answer: str, connected: list[Any]) -> None:
    kind, _ = await outcome_of("https://metadata.example.org/", Names(answer))
    assert kind is OutcomeKind.BLOCKED
    assert connected == []


async def test_a_name_that_changes_its_address_is_called_where_it_was_checked(connected: list[Any], port: int) -> None:
    names = Names("127.0.0.1", "169.254.169.254")
    assert await outcome_of(f"http://rebinding.example.org:{port}/", names, allow_http=True) == (OutcomeKind.OK, "")
    assert names.asked == 1
    assert connected == [("127.0.0.1", port)]


async def test_a_name_that_is_looked_up_again_is_checked_again(connected: list[Any], port: int) -> None:
    names = Names("127.0.0.1", "169.254.169.254")
    for kind in (OutcomeKind.OK, OutcomeKind.BLOCKED):
        assert (await outcome_of(f"http://rebinding.example.org:{port}/", names, allow_http=True))[0] is kind
    assert connected == [("127.0.0.1", port)]


async def test_a_name_that_is_not_there_is_a_failure_and_no_block(connected: list[Any]) -> None:
    async def look_up(host: str, port: int) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, f"no {host}:{port}")

    names = Names("")
    names.look_up = look_up  # type: ignore[method-assign]
    assert await outcome_of("https://nowhere.example.org/", names) == (OutcomeKind.FAILED, "name")
    assert connected == []


async def test_proxies_of_the_environment_are_not_used(connected: list[Any], port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9/")
    assert await outcome_of(f"http://127.0.0.1:{port}/", allow_http=True) == (OutcomeKind.OK, "")
    assert connected == [("127.0.0.1", port)]
