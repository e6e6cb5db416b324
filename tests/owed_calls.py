"""Calls that are owed, without Kafka and without waiting: a clock that jumps, and a book in memory."""

from __future__ import annotations

import asyncio
import heapq
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from livepromo.delivery.pending import Place
from livepromo.delivery.retries import GivenUp, Outcome, OutcomeKind, Tries, Why
from livepromo.delivery.signing import Call

NOW_MS = 1_764_547_200_000
HOUR_MS = 3_600_000
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = Outcome(OutcomeKind.OK, status=200)
TIMEOUT = Outcome(OutcomeKind.TIMEOUT, Why.TIMEOUT)


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve connections on this machine, and yield the port; at the end those that are open are broken off."""
    served, connections = set[asyncio.Future[None]](), set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        connections.add(connection)
        one = asyncio.ensure_future(serve(reader, writer))
        served.add(one)
        await asyncio.wait({one})
        served.discard(one)
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
        connections.discard(connection)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            one.result()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in served:
            one.cancel()
        if connections:
            await asyncio.wait(connections)
        await server.wait_closed()


def answered(code: int, asked_ms: int | None = None) -> Outcome:
    return Outcome(OutcomeKind.REFUSED, Why.STATUS, code, retry_after_ms=asked_ms)


@dataclass
class Alarm:
    """A timer of the clock below."""

    run: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class JumpingClock:
    """Time that stands still while anything is done, and then jumps to what is due next."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self._now_ms, self._alarms, self._numbers = now_ms, list[tuple[int, int, Alarm]](), count()
        self.busy = 0  # what is done in real time, and has to end first

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(self, at_ms: int, run: Callable[[], None]) -> Alarm:
        alarm = Alarm(run)
        heapq.heappush(self._alarms, (at_ms, next(self._numbers), alarm))
        return alarm

    async def sleep(self, ms: int) -> None:
        over = asyncio.get_running_loop().create_future()
        self.call_at(self._now_ms + ms, lambda: over.done() or over.set_result(None))
        await over

    async def settle(self) -> None:
        """Return when nothing is left to do but to wait for time to pass."""
        loop: Any = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            while True:
                await asyncio.sleep(0.001 if self.busy else 0)
                if not self.busy and not loop._ready:
                    return

    async def run(self, until: Callable[[], bool] = lambda: False, end_ms: int = NOW_MS + 400 * HOUR_MS) -> None:
        """Let time pass until something holds, or nothing is left that waits for time, or the end is reached."""
        await self.settle()
        while not until():
            while self._alarms and self._alarms[0][2].cancelled:
                heapq.heappop(self._alarms)
            if not self._alarms or self._alarms[0][0] > end_ms:
                return
            at_ms, _, alarm = heapq.heappop(self._alarms)
            self._now_ms = max(self._now_ms, at_ms)
            alarm.run()
            await self.settle()


@dataclass
class MemoryBook:
    """Keeps calls by place, and what became of them."""

    calls: dict[Place, Call] = field(default_factory=dict)
    done: list[Place] = field(default_factory=list)
    tries: dict[Place, list[Tries]] = field(default_factory=dict)
    ended: dict[Place, tuple[Call | None, GivenUp]] = field(default_factory=dict)
    fetches: list[int] = field(default_factory=list)

    def owe(self, partition: int, offset: int, body: bytes = b"{}") -> Place:
        place = Place(partition, offset)
        self.calls[place] = Call(f"gr_{partition}_{offset}", "c", 1, body, item="i")
        return place

    async def fetch(self, places: Sequence[Place]) -> Mapping[Place, Call]:
        self.fetches.append(len(places))
        await asyncio.sleep(0)
        return {place: self.calls[place] for place in places if place in self.calls}

    async def delivered(self, place: Place) -> None:
        self.done.append(place)

    async def put_off(self, place: Place, tries: Tries) -> None:
        await asyncio.sleep(0)
        self.tries.setdefault(place, []).append(tries)

    async def give_up(self, place: Place, call: Call | None, end: GivenUp) -> None:
        await asyncio.sleep(0)
        assert place not in self.ended, "a call ends once"
        self.ended[place] = call, end
