"""What a process tells those who watch it: its metrics, whether it gets on, whether it is ready; and how busy its event loop is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder

from livepromo.settings import METRICS_PORTS, PREFIX, SettingsError
from livepromo.telemetry.clock import monotonic_s
from livepromo.telemetry.logging import Log

_log = Log("telemetry.health")

NO_PROGRESS_S: Final = 120.0  # longer than a call to Kafka waits for an answer, 40 s, and the pause before the next
Problems = Callable[[], Iterable[str]]
"""Says what is wrong now, a line each; nothing where all is well. It looks at what the process noted and asks nobody."""


class Outside:
    """What a process depends on and cannot mend, Kafka and Redis: when a call to them last failed.

    Whoever waits for them asks again and again, so as long as one is away there is a failure at least every minute.
    """

    def __init__(self, monotonic: Callable[[], float] = monotonic_s) -> None:
        self._monotonic = monotonic
        self._failed_s = -inf

    def failed(self) -> None:
        """Note that a call failed."""
        self._failed_s = self._monotonic()

    def expects_progress_since(self) -> float:
        """Return the instant since which work that waits should have got on: longer ago than any failure, else -inf.

        A process that waits for Kafka or Redis is not dead. To end it would bring neither back, and would cost a takeover when they are.
        """
        since_s = self._monotonic() - NO_PROGRESS_S
        return since_s if self._failed_s < since_s else -inf


def bind(port: int | None, host: str = "0.0.0.0") -> socket.socket:  # noqa: S104 - Prometheus asks from another machine
    """Return a listening socket on `port`, or on the first free one of the default range. Raises SettingsError if there is none."""
    if port is not None:
        try:
            return socket.create_server((host, port))
        except OSError as error:
            raise SettingsError(f"{PREFIX}METRICS_PORT is {port}: cannot listen there ({error.strerror}): set a free one") from None
    for candidate in METRICS_PORTS:
        with contextlib.suppress(OSError):
            return socket.create_server((host, candidate))
    first, last = METRICS_PORTS[0], METRICS_PORTS[-1]
    raise SettingsError(f"the metrics ports from {first} to {last} are all taken: set {PREFIX}METRICS_PORT to a free one")


def _answering(problems: Problems) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        found = list(problems())
        return web.Response(status=503 if found else 200, text="\n".join(found or ["ok"]) + "\n")

    return answer


class Health:
    """A small web server: `/metrics`, `/livez` and `/readyz`, the latter two 200 or 503 with the reasons.

    `live` tells of a lack of progress, not of life: a process that answers but does nothing has to be ended by whoever watches it.
    """

    def __init__(self, registry: CollectorRegistry, live: Problems, ready: Problems) -> None:
        self._registry = registry
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", _answering(live)),
                web.get("/readyz", _answering(ready)),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, listening: socket.socket) -> None:
        """Serve on a socket that `bind` returned, and log where."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        _log.info("metrics are served", port=listening.getsockname()[1], path="/metrics")

    async def stop(self) -> None:
        """Close the socket and every connection."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encoder(self._registry), headers={"Content-Type": content_type})


async def measure_loop(lag: Histogram, every_s: float = 0.25) -> None:
    """Observe, until cancelled, by how much the event loop wakes later than it should."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lag.observe(max(0.0, loop.time() - due))
