"""The values that a document's text is read into: exact numbers, each with the path at which it stands."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

_INTEGER = re.compile(r"[-+]?[0-9]+")
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LONGEST_INTEGER = 400  # digits; a double has 309. Python's int() refuses more than 4,300, and would take quadratic time
_LONGEST_SHOWN = 60


class Place(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    column: int


NOWHERE: Final = Place(0, 0)


class Unreadable:
    """Stands where a value was refused while reading; nothing more is said about it."""


UNREADABLE: Final = Unreadable()


class Trouble(NamedTuple):
    """What is wrong with a text itself, before anyone asks what it means."""

    path: str
    place: Place
    message: str


class Tree(msgspec.Struct, frozen=True):
    """One document as read: mappings, lists, texts, booleans, null, int and Decimal; never a binary float."""

    value: Any
    places: dict[str, Place]
    troubles: tuple[Trouble, ...]


def number(text: str) -> int | Decimal:
    """Return the exact number that a decimal text says; infinite or tiny where it is beyond what Decimal can hold.

    Never costs more than its length: an exponent is kept, not expanded.
    """
    if len(text) <= _LONGEST_INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    try:
        return Decimal(text)
    except InvalidOperation:  # the exponent has more than 18 digits
        mantissa, _, exponent = text.lower().partition("e")
        if not mantissa.strip("+-.0"):
            return Decimal(0)
        tiny = Decimal("1E-999999999") if exponent.startswith("-") else Decimal("Infinity")
        return -tiny if mantissa.startswith("-") else tiny


def key_path(path: str, key: str) -> str:
    """Return the path of a mapping's field: `$.reward`, or `$["a key"]` where the key is no plain word."""
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}[{_quoted(key)}]"


def _quoted(text: str) -> str:
    short = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
    written = json.dumps(short, ensure_ascii=False)
    return written if written.isprintable() else json.dumps(short)  # a message is one line, and no terminal's command


def shown(value: object) -> str:
    """Return a value as a message names it: short, on one line, without control characters."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    written = str(value)
    return written if len(written) <= _LONGEST_SHOWN else f"{written[: _LONGEST_SHOWN - 1]}…"
