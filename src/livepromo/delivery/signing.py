"""What a call says of itself besides its body: whose grant it is, that it comes from us, and that a repeat is one (R48, R67)."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Final

import msgspec
from standardwebhooks import Webhook

from livepromo.model.documents import Endpoint
from livepromo.settings import PREFIX, Secrets, SettingsError, secret_key

Headers = list[tuple[str, str]]

TEST_HEADER: Final = "livepromo-test"
_SHORTEST_KEY_BYTES = 16
_WHSEC: Final = "whsec_"
_ALWAYS: Final = (("Content-Type", "application/json"), ("User-Agent", "livepromo"))


class Call(msgspec.Struct, frozen=True):
    """A call as it was fixed when the grant was decided: what is sent, and what its headers say. `repr` shows no user.

    Exactly one of `item` and `wallet` is given. A test is no grant of anybody's.
    """

    grant_id: str
    campaign: str
    revision: int
    body: bytes
    item: str | None = None
    wallet: str | None = None
    test: bool = False

    def __repr__(self) -> str:
        return f"Call({self.grant_id})"


class Signer:
    """Signs with every secret of one name, so that a receiver may know the old one or the new one (Standard Webhooks).

    `text` has the secrets, with white space between them: base64 of at least 16 bytes, with `whsec_` before it or without.
    Raises SettingsError, which does not show them.
    """

    def __init__(self, name: str, text: str) -> None:
        words = text.split()
        if not words:
            raise SettingsError(f"{_variable(name)} is empty: it must hold a secret")
        self._webhooks = [Webhook(_key(name, word)) for word in words]

    def signature(self, call_id: str, at_ms: int, body: bytes) -> str:
        """Return the signatures of a call, with blanks between them; `at_ms` is when it is made, and counts by the second."""
        text = body.decode()
        at = datetime.fromtimestamp(at_ms // 1000, UTC)  # UTC: the library replaces the zone, it does not convert
        return " ".join([webhook.sign(call_id, at, text) for webhook in self._webhooks])


def _variable(name: str) -> str:
    return f'secret "{name}" ({PREFIX}SECRET_{secret_key(name)})'


def _key(name: str, word: str) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(_WHSEC), validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError(f"{_variable(name)} is no base64: write it as `echo whsec_$(openssl rand -base64 32)` does") from None
    if len(key) < _SHORTEST_KEY_BYTES:
        said = f"has {len(key)} bytes, which can be guessed: at least {_SHORTEST_KEY_BYTES}, such as `openssl rand -base64 32` makes"
        raise SettingsError(f"{_variable(name)} {said}")
    return key


def signer_of(endpoint: Endpoint, secrets: Secrets) -> Signer | None:
    """Return who signs the calls to an endpoint; None where it names no secret. Raises SettingsError where there is none of that name."""
    if endpoint.secret is None:
        return None
    text = secrets.text_of(endpoint.secret)
    if text is None:
        variable = f"{PREFIX}SECRET_{secret_key(endpoint.secret)}"
        said = f'endpoint/{endpoint.id} is signed with the secret "{endpoint.secret}", which is not set'
        raise SettingsError(f"{said}: set {variable}, or {variable}_FILE to a file that holds it")
    return Signer(endpoint.secret, text)


def headers_of(endpoint: Endpoint, call: Call, signer: Signer | None, at_ms: int) -> Headers:
    """Return the headers of one try of a call at a time. But for time and signature they are the same at every try (R48, R67)."""
    headers: Headers = [
        *_ALWAYS,
        ("Idempotency-Key", call.grant_id),
        ("webhook-id", call.grant_id),
        ("webhook-timestamp", str(at_ms // 1000)),
        ("livepromo-grant-id", call.grant_id),
        ("livepromo-campaign", call.campaign),
        ("livepromo-revision", str(call.revision)),
    ]
    if call.item is not None:
        headers.append(("livepromo-item", call.item))
    if call.wallet is not None:
        headers.append(("livepromo-wallet", call.wallet))
    if call.test:
        headers.append((TEST_HEADER, "true"))
    if signer is not None:
        headers.append(("webhook-signature", signer.signature(call.grant_id, at_ms, call.body)))
    if endpoint.headers:
        own = {name.lower() for name, _ in endpoint.headers}
        headers = [pair for pair in headers if pair[0].lower() not in own]  # a user agent of its own, say; ours may not be named there
        headers += endpoint.headers
    return headers
