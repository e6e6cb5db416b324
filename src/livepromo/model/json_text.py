"""How a value is written as JSON: UTF-8, numbers in their shortest form without exponent or trailing zeros."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_INT64 = 1 << 63


def number_text(value: float) -> str:
    """Return the shortest text of a number, without exponent or trailing zeros."""
    if isinstance(value, int):
        return str(value)
    text = format(Decimal(repr(value)) + 0, "f")  # + 0: minus zero is zero
    return text.rstrip("0").rstrip(".") if "." in text else text


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float) or (type(value) is int and not -_INT64 <= value < _INT64):
        return msgspec.Raw(number_text(value).encode())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def json_bytes(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a JSON value's text; keys in the order in which they stand."""
    return _encode(_plain(value))
