"""A receiver of calls on loopback, as a partner would write one: it keeps what arrives, and answers as a test says."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from standardwebhooks import Webhook, WebhookVerificationError


class Arrived(NamedTuple):
    """A call as it arrived, and what it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        """The grant's id."""
        return self.headers["webhook-id"]

    def verifies(self, secret: str, *, body: bytes | None = None) -> bool:
        """Say whether the reference verifier takes the signature, of this body or of another one."""
        try:
            Webhook(secret).verify((self.body if body is None else body).decode(), self.headers)
        except WebhookVerificationError:
            return False
        return True


class Receiver:
    """Listens on a port of its own. `answer` says the status of a call, by default 200; it may be exchanged at any time."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.answer: Callable[[str, dict[str, str]], int] = lambda path, headers: 200  # noqa: ARG005
        receiver, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver.answer(self.path, headers)
                with lock:
                    receiver.arrived.append(Arrived(self.path, headers, body, status))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]

    def url(self, path: str = "/") -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}{path}"

    def taken(self, path: str | None = None) -> dict[str, list[Arrived]]:
        """Return what was answered with 2xx, by the grant's id."""
        found: dict[str, list[Arrived]] = defaultdict(list)
        for one in list(self.arrived):
            if 200 <= one.status < 300 and path in {None, one.path}:
                found[one.id].append(one)
        return found

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
