"""What an endpoint is sent for a custom reward: the body of the call (R64-R67)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from livepromo.model.documents import Identifiers
from livepromo.model.ids import UserId
from livepromo.model.json_text import json_bytes

EMAIL = "email"
PHONE = "phone"
NO_CONTACTS: Mapping[str, Any] = {}


def body_pieces(identifiers: Identifiers, user: UserId, contacts: Mapping[str, Any], metadata: bytes) -> tuple[bytes, bytes]:
    """Return the body before and behind the reward's value, which may be decided later; `metadata` is JSON.

    `contacts` are the properties of the user: of them `email` and `phone` are told, each left out where it is missing or no text.
    `NO_CONTACTS` tells neither, as in the ledger and in what is published.
    """
    who: dict[str, Any] = {identifiers.user_id: user}
    for key, name in ((identifiers.email, EMAIL), (identifiers.phone, PHONE)):
        value = contacts.get(name)
        if isinstance(value, str):
            who[key] = value
    return b'{"user":%b,"reward":{"type":"custom","value":' % json_bytes(who), b',"metadata":%b}}' % metadata


def body(identifiers: Identifiers, user: UserId, contacts: Mapping[str, Any], value: bytes, metadata: bytes) -> bytes:
    """Return the whole body; `value` is the reward's, as JSON. The rest is as of `body_pieces`."""
    return value.join(body_pieces(identifiers, user, contacts, metadata))
