"""CloudEvents 1.0, with the attributes in the value (structured) or in the headers of the record (binary)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from livepromo.behaviour.decoding import RefusedError, parsed
from livepromo.behaviour.formats.common import OURS, text_of
from livepromo.model.json_text import json_bytes
from livepromo.model.records import DeadReason

_PREFIX: Final = "ce_"
_VERSION: Final = "1.0"
_OUR_TYPES: Final = {"livepromo.profile": "profile", "livepromo.segment": "segment", "livepromo.erase": "erase"}


def whole(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> bytes | None:
    """Return a record of the binary mode as one of the structured mode; any other record as it is.

    What is no JSON is returned as it is, too, and refused for that.
    """
    attributes: dict[str, str] = {}
    try:
        for name, text in headers:
            if name.startswith(_PREFIX):
                attributes[name.removeprefix(_PREFIX)] = text.decode()
            elif name == "content-type":
                attributes["datacontenttype"] = text.decode()
    except UnicodeDecodeError:
        return b'"\xff"'  # refused as what it is: not_unicode
    if "specversion" not in attributes:
        return value
    if not value:
        return json_bytes(attributes)
    try:
        parsed(value)
    except (RefusedError, RecursionError):
        return value
    # The data are one JSON value, so nothing in them can be taken for an attribute.
    return b'{"data":%b,%b' % (value, json_bytes({name: text for name, text in attributes.items() if name != "data"})[1:])


def translate(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fields of ours that an event has: `subject` is the user, `type` the event, `time` when it was.

    `source` and `id` together name it, as CloudEvents says. Raises RefusedError.
    """
    if "specversion" not in record and record.get("type") in OURS:
        return record
    if text_of(record, "specversion") != _VERSION:
        raise RefusedError(DeadReason.WRONG_TYPE)
    kind, source, number = (text_of(record, name) for name in ("type", "source", "id"))
    media = record.get("datacontenttype")
    if "data_base64" in record or not (media is None or (type(media) is str and _is_json(media))):
        raise RefusedError(DeadReason.WRONG_TYPE)
    data = record.get("data")
    if data is not None and type(data) is not dict:
        raise RefusedError(DeadReason.WRONG_TYPE)
    fields = {"user": record.get("subject"), "ts": text_of(record, "time")}
    match _OUR_TYPES.get(kind):
        case None:
            return {"type": "event", **fields, "id": f"{source}/{number}", "event": kind, "properties": data}
        case "profile":
            return {"type": "profile", **fields, "properties": data}
        case ours:
            return {**(data or {}), "type": ours, **fields}


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
