"""What a process tells those who watch it: its metrics, whether it gets on, whether it is ready; and how busy its event loop is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
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
LAST_WORDS_S: Final = 30.0  # Prometheus asks every 15 s, or every minute at the rarest
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
        answer = web.Response(body=encoder(self._registry), headers={"Content-Type": content_type})
        answer.force_close()  # so that the next scrape is a new connection, which `last_words` can answer
        return answer


def last_words(listening: socket.socket, registry: CollectorRegistry, most_s: float = LAST_WORDS_S) -> None:
    """Show the metrics until they were scraped once, for so many seconds at most, while nothing else of the process runs.

    A process that ends at once takes what it counted last with it, and nobody would be told.
    """
    scraped = False

    class Answer(BaseHTTPRequestHandler):
        timeout = 2.0  # a client that says nothing must not hold up the end

        def do_GET(self) -> None:
            nonlocal scraped
            encoder, content_type = choose_encoder(self.headers.get("Accept", ""))
            metrics = self.path.partition("?")[0] == "/metrics"
            body = encoder(registry) if metrics else b"ending\n"
            self.send_response(200 if metrics else 503)
            self.send_header("Content-Type", content_type if metrics else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            scraped = scraped or metrics

        def log_message(self, *_: object) -> None:
            """Keep the log for what matters."""

    with HTTPServer(("", 0), Answer, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listening
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that went away
        end_s = monotonic_s() + most_s
        while not scraped and (left_s := end_s - monotonic_s()) > 0:
            server.timeout = left_s
            server.handle_request()


async def measure_loop(lag: Histogram, every_s: float = 0.25) -> None:
    """Observe, until cancelled, by how much the event loop wakes later than it should."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lag.observe(max(0.0, loop.time() - due))
