"""One try of one call: what is sent, how long it may take, and what the answer means; nothing of it is kept or logged."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

import aiohttp
from aiohttp import ClientTimeout
from yarl import URL

from livepromo.delivery.addresses import BlockedError, LookUp, Resolver, checked_url, guarded_socket
from livepromo.delivery.retries import Outcome, OutcomeKind, Why, retry_after_ms
from livepromo.delivery.signing import Call, Signer, headers_of, signer_of
from livepromo.model.documents import Endpoint
from livepromo.settings import Secrets, SettingsError
from livepromo.telemetry import clock
from livepromo.telemetry.logging import Log

CONNECT_S: Final = 3.0
MOST_BODY_BYTES: Final = 65_536
BODY_S: Final = 1.0  # the status says all; the body is read so that the connection can be used again, if that does not take longer
KEEP_S: Final = 15.0
SECRETS_S: Final = 10.0
_READ_BYTES: Final = 16_384
_OK = range(200, 300)
log = Log("delivery.calling")


class _Ready:
    """What does not change between calls to an endpoint; made anew when it is published again, and its signer now and then."""

    __slots__ = ("endpoint", "signed_s", "signer", "timeout", "url", "why")

    def __init__(self, endpoint: Endpoint, *, allow_http: bool) -> None:
        self.endpoint = endpoint
        self.url: URL | None = None
        self.why = ""
        try:
            self.url = checked_url(endpoint.url, allow_http=allow_http)
        except BlockedError as error:
            self.why = str(error)
        total_s = endpoint.timeout_ms / 1000
        self.timeout = ClientTimeout(total=total_s, connect=min(CONNECT_S, total_s), ceil_threshold=60)
        self.signer: Signer | None = None
        self.signed_s: float | None = None


class Caller:
    """Makes calls for a process: one pool of connections, kept alive; no redirects, no cookies, no proxies, no compression.

    `allow_http` allows http, and this machine as a receiver: for development and tests. `look_up` answers for names; its answers are
    checked. How many calls are made at a time is up to who asks.
    """

    def __init__(
        self,
        secrets: Secrets,
        *,
        allow_http: bool = False,
        tls: ssl.SSLContext | None = None,
        look_up: LookUp | None = None,
        wall_ms: Callable[[], int] = clock.wall_ms,
    ) -> None:
        self._secrets, self._allow_http, self._wall_ms = secrets, allow_http, wall_ms
        self._ready: dict[str, _Ready] = {}
        self._resolver = Resolver(loopback=allow_http, look_up=look_up)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    def check(self, endpoint: Endpoint) -> None:
        """Raise SettingsError where the endpoint names a secret that is not set, or is none."""
        signer_of(endpoint, self._secrets)

    async def call(self, endpoint: Endpoint, call: Call) -> Outcome:
        """Make one try of a call, signed as of now, and say what became of it. Whatever happens outside is an outcome, never raised."""
        ready = self._ready.get(endpoint.id)
        if ready is None or (ready.endpoint is not endpoint and ready.endpoint != endpoint):
            ready = self._ready[endpoint.id] = _Ready(endpoint, allow_http=self._allow_http)
        if ready.url is None:
            return Outcome(OutcomeKind.BLOCKED, Why.BLOCKED, detail=ready.why)
        began_s = clock.monotonic_s()
        try:
            self._sign(ready, began_s)
        except SettingsError as error:
            log.warning("a call cannot be signed", endpoint=endpoint.id, problem=error)
            return Outcome(OutcomeKind.FAILED, Why.SECRET)
        now_ms = self._wall_ms()
        headers = headers_of(endpoint, call, ready.signer, now_ms)
        status, asked, kind, why, detail = None, None, OutcomeKind.OK, Why.NONE, ""
        try:
            async with self._opened().post(
                ready.url, data=call.body, headers=headers, timeout=ready.timeout, allow_redirects=False
            ) as answer:
                status = answer.status
                asked = answer.headers.get("Retry-After")
                await _emptied(answer)
        except BlockedError as error:
            kind, why, detail = OutcomeKind.BLOCKED, Why.BLOCKED, str(error)
        except TimeoutError:
            kind, why = OutcomeKind.TIMEOUT, Why.TIMEOUT
        except (aiohttp.ClientError, OSError, ValueError) as error:
            kind, why = OutcomeKind.FAILED, _why(error)
        if status is not None:  # what came behind it changes nothing
            kind, why = (OutcomeKind.OK, Why.NONE) if status in _OK else (OutcomeKind.REFUSED, Why.STATUS)
        wait_ms = retry_after_ms(asked, now_ms) if asked is not None and kind is OutcomeKind.REFUSED else None
        return Outcome(kind, why, status, detail, wait_ms, clock.monotonic_s() - began_s)

    async def close(self) -> None:
        """Close the connections; no call can be made any more."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._resolver.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # calls are counted per endpoint, by who asks
                resolver=self._resolver,
                socket_factory=partial(guarded_socket, loopback=self._allow_http),
                keepalive_timeout=KEEP_S,
                ssl=True if self._tls is None else self._tls,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=_READ_BYTES,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            )
        return self._session

    def _sign(self, ready: _Ready, now_s: float) -> None:
        """Look for the secrets of an endpoint, which may have been exchanged. Raises SettingsError where none were ever found."""
        if ready.signed_s is not None and now_s - ready.signed_s < SECRETS_S:
            return
        try:
            ready.signer = signer_of(ready.endpoint, self._secrets)
        except SettingsError as error:
            if ready.signer is None:
                raise
            log.warning("the secret cannot be read any more; calls are signed with the last one", endpoint=ready.endpoint.id, problem=error)
        ready.signed_s = now_s


async def _emptied(answer: aiohttp.ClientResponse) -> None:
    """Read what is left of an answer, so that its connection can be used again; give the connection up if that is much, or slow."""
    content = answer.content
    if content.at_eof():
        return
    left = MOST_BODY_BYTES
    try:
        async with asyncio.timeout(BODY_S):
            while left > 0:
                chunk = await content.readany()
                if not chunk:
                    return
                left -= len(chunk)
    except TimeoutError:
        pass
    answer.close()


def _why(error: Exception) -> Why:
    """Return in a word how a try failed; the text of an error may hold the URL, and is not shown."""
    match error:
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return Why.NAME
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Why.TLS
        case aiohttp.ClientConnectorError():
            return Why.CONNECT
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            return Why.RESET
        case _:
            return Why.PROTOCOL
