"""How a value of the ledger's room begins: one byte of format version, then msgpack."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from livepromo.model.formats import FormatError

Value_co = TypeVar("Value_co", covariant=True)
_encode = msgspec.msgpack.Encoder().encode


class _Decoder(Protocol[Value_co]):
    def decode(self, _: memoryview, /) -> Value_co: ...


def versioned(version: int, content: object) -> bytes:
    """Return the bytes of `content`, after its format version."""
    return b"%c" % version + _encode(content)


def unversioned(value: bytes, version: int, decoder: _Decoder[Value_co], what: str) -> Value_co:
    """Return what `versioned` wrote; `what` names it in the message. Raises FormatError for any other version, and for other content."""
    if value[:1] != b"%c" % version:
        if not value:
            raise FormatError(f"{what} is empty: restore it from a backup")
        raise FormatError(f"{what} has format version {value[0]}, this release of livepromo reads {version}: upgrade livepromo")
    try:
        return decoder.decode(memoryview(value)[1:])
    except msgspec.MsgspecError as error:
        raise FormatError(f"{what} has format version {version}, but does not read as one: {error}") from error
