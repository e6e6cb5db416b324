"""Calls per CPU second of who calls, against a fast receiver in another process; and what a million calls that wait take of memory.

`python -m benchmarks.webhooks`. Counted is the processor time of this process alone: signing, the dispatcher, its book in memory,
aiohttp. The receiver answers each call at once, with 200 and no body.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from livepromo.delivery.calling import Caller
from livepromo.delivery.dispatching import Dispatcher
from livepromo.delivery.pending import Place
from livepromo.delivery.retries import GivenUp, Tries, Why
from livepromo.delivery.signing import Call
from livepromo.model.documents import Endpoint
from livepromo.settings import Secrets
from livepromo.telemetry.metrics import Metrics

BODY = b'{"user":{"userId":"u-%d","email":"u-%d@example.org"},"reward":{"type":"custom","value":1,"metadata":{"promoType":"festival"}}}'
FIRST_MS = 1_764_547_200_000
PENDING = 1_000_000


class Receiving(asyncio.Protocol):
    """Answers whatever comes with 200, without looking at it longer than it must."""

    def connection_made(self, transport: Any) -> None:
        """Keep where to answer."""
        self._transport, self._held = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every call that is whole."""
        self._held += data
        while True:
            head, end, rest = self._held.partition(b"\r\n\r\n")
            if not end:
                return
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(rest) < length:
                return
            self._held = rest[length:]
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def receive() -> None:
    """Serve until killed; say where."""
    server = await asyncio.get_running_loop().create_server(Receiving, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Book:
    """Calls made up when they are asked for; what became of them is counted."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self.over = asyncio.Event()

    async def fetch(self, places: Sequence[Place]) -> Mapping[Place, Call]:
        """Make calls up."""
        return {place: Call(f"gr_{place.offset:032x}", "gifts", 1, BODY % (place.offset, place.offset), item="watch") for place in places}

    async def delivered(self, place: Place) -> None:
        """Count it."""
        del place
        self._left -= 1
        if not self._left:
            self.over.set()

    async def put_off(self, place: Place, tries: Tries) -> None:
        """Refuse: no call may fail here."""
        raise AssertionError(f"{place} failed: {tries}")

    async def give_up(self, place: Place, call: Call | None, end: GivenUp) -> None:
        """Refuse: no call may fail here."""
        raise AssertionError(f"{place}, {call} failed: {end}")


async def calls_per_cpu_second(port: int, calls: int, endpoints: int, in_flight: int) -> dict[str, float]:
    """Make calls to some endpoints of one receiver."""
    caller = Caller(Secrets({"KEY": base64.b64encode(bytes(32)).decode()}), allow_http=True)
    book = Book(calls)
    dispatcher = Dispatcher(caller.call, book, Metrics())
    for number in range(endpoints):
        dispatcher.know(Endpoint(f"e{number}", f"http://127.0.0.1:{port}/{number}", "key", max_in_flight=in_flight))
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for offset in range(calls):
        dispatcher.add(Place(0, offset), f"e{offset % endpoints}", FIRST_MS)
    broken = asyncio.ensure_future(dispatcher.broken())
    over = asyncio.ensure_future(book.over.wait())
    await asyncio.wait({broken, over}, return_when=asyncio.FIRST_COMPLETED)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    broken.cancel()
    await dispatcher.close()
    await caller.close()
    return {"endpoints": endpoints, "in_flight": in_flight, "calls_per_cpu_second": calls / cpu_s, "calls_per_second": calls / wall_s}


async def mib_of_a_million() -> float:
    """Return by how many MiB this process grows when a million calls wait that have been tried before."""

    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    caller = Caller(Secrets())
    dispatcher = Dispatcher(caller.call, Book(PENDING), Metrics())
    before = resident_mib()
    for offset in range(PENDING):
        first_ms = FIRST_MS + 86 * offset
        tries = Tries(3, 0, first_ms, first_ms + offset * 7919 % 86_400_000, 503, Why.STATUS)
        dispatcher.add(Place(offset % 8, offset), f"e{offset % 10}", first_ms, tries)
    taken = resident_mib() - before
    await dispatcher.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.receive:
        uvloop.run(receive())
        return
    found: dict[str, Any] = {"mib_of_a_million_pending": round(asyncio.run(mib_of_a_million()), 1), "rates": []}
    receiver = subprocess.Popen([sys.executable, "-m", "benchmarks.webhooks", "--receive"], stdout=subprocess.PIPE)
    assert receiver.stdout is not None
    try:
        port = int(receiver.stdout.readline())
        for endpoints, in_flight in ((1, 1), (1, 16), (1, 64), (10, 16)):
            rates = uvloop.run(calls_per_cpu_second(port, asked.calls, endpoints, in_flight))
            found["rates"].append({name: round(value) for name, value in rates.items()})
    finally:
        receiver.kill()
        receiver.wait()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
