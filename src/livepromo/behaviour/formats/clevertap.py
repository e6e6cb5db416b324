"""Upload records of CleverTap: events and profiles, of users by their identity, with times in seconds."""

from __future__ import annotations

from typing import Any

from livepromo.behaviour.decoding import RefusedError
from livepromo.behaviour.formats.common import OURS, text_of
from livepromo.model.records import DeadReason

_SECOND_MS = 1_000


def translate(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fields of ours that an upload record has; None for types that are neither events nor profiles."""
    match text_of(record, "type"):
        case "event":
            named = {"event": record.get("evtName"), "properties": record.get("evtData")}
        case "profile":
            named = {"properties": record.get("profileData")}
        case kind if kind in OURS:
            return record
        case _:
            return None
    ts = record.get("ts")
    if ts is not None and type(ts) is not int:
        raise RefusedError(DeadReason.WRONG_TYPE)
    return {"type": record["type"], "user": record.get("identity"), "ts": None if ts is None else ts * _SECOND_MS, **named}
