"""Track and identify calls of Segment and RudderStack."""

from __future__ import annotations

from typing import Any

from livepromo.behaviour.formats.common import OURS, text_of


def translate(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the fields of ours that a call has; None for other calls, and for those of somebody who is not known yet."""
    kind = text_of(record, "type")
    if kind in OURS:
        return record
    if kind not in {"track", "identify"} or (record.get("userId") is None and record.get("anonymousId") is not None):
        return None
    ts = record.get("timestamp")
    found = {"user": record.get("userId"), "ts": record.get("originalTimestamp") if ts is None else ts}
    if type(found["ts"]) is int:
        found["ts"] = [found["ts"]]  # these calls have texts alone: a number is of the wrong type
    if kind == "identify":
        return {"type": "profile", **found, "properties": record.get("traits")}
    return {
        "type": "event",
        **found,
        "id": record.get("messageId"),
        "event": record.get("event"),
        "properties": record.get("properties"),
    }
