"""The receiver of `livepromo dev`: takes the calls of custom rewards on loopback, verifies each, and keeps what is to be shown."""

from __future__ import annotations

import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

import msgspec
from standardwebhooks import Webhook, WebhookVerificationError

from livepromo.documents.reading import ReadDocument
from livepromo.model.documents import Endpoint

AT: Final = "http://127.0.0.1:9480"
"""Where the samples say that it listens; it does where it can, and the samples are published so."""
_MOST_BYTES: Final = 1 << 20
_KEPT: Final = 1_000


class Received(NamedTuple):
    """A call that arrived."""

    path: str
    campaign: str
    body: str
    verified: bool


class DevReceiver:
    """Listens on a port of its own from the beginning to `stop`, and answers every call whose signature verifies with 204, others with 401.

    `secret` is the one that calls are signed with. A call that came before, by its id, is taken and not shown again.
    """

    def __init__(self, secret: str) -> None:
        self._received: deque[Received] = deque(maxlen=_KEPT)
        self._ids: set[str] = set()
        webhook, receiver = Webhook(secret), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = min(_MOST_BYTES, int(self.headers.get("Content-Length", "0")))
                status = receiver.take(webhook, self.path, dict(self.headers.items()), self.rfile.read(length))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:  # noqa: ANN401 - http.server's
                """Say nothing: what arrives is shown by `dev`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="receiver")
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, webhook: Webhook, path: str, headers: dict[str, str], body: bytes) -> int:
        """Verify a call, keep it to be shown, and return what to answer."""
        lower = {name.lower(): value for name, value in headers.items()}
        try:
            webhook.verify(body, lower)
            verified = True
        except (WebhookVerificationError, ValueError):
            verified = False
        name = lower.get("webhook-id", "")
        if name not in self._ids:
            self._ids.add(name)
            self._received.append(Received(path, lower.get("livepromo-campaign", ""), body.decode(errors="replace"), verified))
        return 204 if verified else 401

    def received(self) -> list[Received]:
        """Return what has arrived since it was last asked."""
        return [self._received.popleft() for _ in range(len(self._received))]

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def sent_there(read: list[ReadDocument], url: str) -> list[ReadDocument]:
    """Return the documents with every endpoint of the samples' receiver where it really listens."""
    moved = []
    for one in read:
        endpoint = one.document
        if isinstance(endpoint, Endpoint) and endpoint.url.startswith(AT + "/"):
            replaced = msgspec.structs.replace(endpoint, url=url + endpoint.url.removeprefix(AT))
            moved.append(msgspec.structs.replace(one, document=replaced))
        else:
            moved.append(one)
    return moved


def secret_names(read: list[ReadDocument]) -> set[str]:
    """Return the names of the secrets that the endpoints ask for."""
    return {one.document.secret for one in read if isinstance(one.document, Endpoint) and one.document.secret is not None}
