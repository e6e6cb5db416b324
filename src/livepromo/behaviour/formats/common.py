"""What the other formats have in common."""

from __future__ import annotations

from typing import Any

from livepromo.behaviour.decoding import RefusedError
from livepromo.model.records import DeadReason

OURS = frozenset({"segment", "erase"})
"""Types of our own records that are read in every format: what other commands of ours write to the events topic."""


def text_of(record: dict[str, Any], name: str) -> str:
    """Return a field that must be there and be a text. Raises RefusedError."""
    value = record.get(name)
    if value is None:
        raise RefusedError(DeadReason.MISSING_FIELD)
    if type(value) is not str:
        raise RefusedError(DeadReason.WRONG_TYPE)
    return value
