"""Control entries: what a partition takes besides its records, and where; a replay takes them at the same places."""

from __future__ import annotations

import msgspec

from livepromo.model.ids import CampaignId


class CatalogueTaken(msgspec.Struct, frozen=True, tag="catalogue"):
    """From here on the publications up to `position` hold. `unread` are rules whose look-backs have yet to be read."""

    position: int
    unread: tuple[bytes, ...] = ()


class Tick(msgspec.Struct, frozen=True, tag="tick"):
    """Stream time moved on to `at_ms`: nothing unread was older."""

    at_ms: int


class HistoryRead(msgspec.Struct, frozen=True, tag="history"):
    """The look-backs of these rules have been read: what asks for them is judged from here on."""

    rules: tuple[bytes, ...]


class Visit(msgspec.Struct, frozen=True, tag="visit"):
    """The next `users` users of a campaign that is sent were decided about; `done`: they were the last."""

    campaign: CampaignId
    users: int
    done: bool


ControlEntry = CatalogueTaken | Tick | HistoryRead | Visit

_encode = msgspec.msgpack.Encoder().encode
_decode: msgspec.msgpack.Decoder[ControlEntry] = msgspec.msgpack.Decoder(ControlEntry)


def encode(entry: ControlEntry) -> bytes:
    """Return an entry as the journal keeps it."""
    return _encode(entry)


def decode(value: bytes) -> ControlEntry:
    """Return what `encode` wrote."""
    return _decode.decode(value)
