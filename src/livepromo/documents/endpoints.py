"""The fields of an endpoint: where calls go, by which name they are signed, and what they may not say (R46-R48, R69)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from livepromo.documents.fields import HEADER_NAME, LONGEST_HEADER, LONGEST_URL, SECRET_PATTERN, Part, count, duration, part, text
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import shown
from livepromo.model.documents import Endpoint

_SECRET = re.compile(SECRET_PATTERN)
_HEADER = re.compile(HEADER_NAME)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_URL_TEXT = re.compile(r"[\x21-\x7e]+")
_OURS = ("livepromo-", "webhook-")
_OF_THE_CALL = frozenset({
    "connection", "content-encoding", "content-length", "content-type", "expect", "host", "idempotency-key", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_CREDENTIALS = frozenset({"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key", "x-auth-token"})
_TIMEOUT_MS = 15_000
_MAX_IN_FLIGHT = 16


def endpoint(outer: Part, name: str | None, title: str | None, description: str | None) -> Endpoint | None:
    """Return the endpoint; not to be used where a problem was found."""
    outer.only(fields_of("endpoint"))
    url = _url(outer)
    secret = text(outer, "secret", "R48", hidden=True)
    if secret is not None and not _SECRET.fullmatch(secret):
        said = "this is no name of a secret: give the name by which the deployment finds it, never the secret itself"
        outer.error("secret", f"{said} (1 to 128 of A-Z, a-z, 0-9, dot, underscore and hyphen)", "R48")
    headers = _headers(outer)
    timeout_ms = duration(outer, "timeout", "R69")
    max_in_flight = count(outer, "max_in_flight", "R69")
    if name is None or url is None:
        return None
    return Endpoint(name, url, secret, headers, timeout_ms or _TIMEOUT_MS, max_in_flight or _MAX_IN_FLIGHT, title, description)


def _url(outer: Part) -> str | None:
    url = text(outer, "url", "R46", wanted='where calls go, such as "https://example.org/rewards"', longest=LONGEST_URL, hidden=True)
    if url is None:
        return None
    wrong = _wrong_with(url)
    if wrong is not None:
        outer.error("url", wrong, "R46")
    return url


def _wrong_with(url: str) -> str | None:
    """Return what is wrong with a URL; what may stand for a secret in it is not said."""
    if not _URL_TEXT.fullmatch(url) or "\\" in url:
        return "a URL has no blanks, control characters, backslashes or letters beyond ASCII: percent-encode them"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "this is no URL: its host or port cannot be read"
    if parts.scheme not in {"http", "https"}:
        return f"{shown(parts.scheme)} is not http or https" if "://" in url else "this is no URL: it begins with http:// or https://"
    if "@" in parts.netloc:
        return "a URL must not hold a user or password: calls are signed, with the secret that `secret` names"
    if not host or parts.netloc.endswith(":"):
        return "the URL names no host" if not host else "the URL has a colon and no port behind it"
    if port == 0:
        return "nothing listens on port 0"
    return "the part behind # is never sent: leave it out" if "#" in url else None


def _headers(outer: Part) -> tuple[tuple[str, str], ...]:
    headers = part(outer, "headers", "R48")
    if headers is None:
        return ()
    found: dict[str, tuple[str, str]] = {}
    for name in headers.fields:
        lower = name.lower()
        value = text(headers, name, "R48", hidden=True)
        wrong = _wrong_with_header(lower)
        if wrong is not None:
            headers.error(name, f"{shown(name)} {wrong}", "R48")
        elif lower in found:
            headers.error(name, f"{shown(name)} is given twice: the case of letters means nothing", "R48")
        elif value is not None and (len(value) > LONGEST_HEADER or not _HEADER_VALUE.fullmatch(value)):
            headers.error(name, f"this is no value of a header: at most {LONGEST_HEADER} printable ASCII characters", "R48")
        elif value is not None:
            if lower in _CREDENTIALS:
                said = (
                    f"{shown(name)} holds a secret, and a document is kept for ever: better sign calls, with the secret that `secret` names"
                )
                headers.findings.advise(f"{headers.path}.{name}", said, "R48", within=headers.path)
            found[lower] = (name, value.strip(" \t"))
    return tuple(found[lower] for lower in sorted(found))


def _wrong_with_header(lower: str) -> str | None:
    if not _HEADER.fullmatch(lower):
        return "is no name of a header"
    if lower.startswith(_OURS) or lower in _OF_THE_CALL:
        return "is set by livepromo itself"
    return None
