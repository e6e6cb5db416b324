"""What lines, numbers, texts, conditions and periods mean, restated from the specification alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

DAY = 24 * 3_600_000
QUARTER = 15 * 60_000
Document = dict[str, Any]
Tree = Any
"""A JSON value for comparison: objects as ("{", pairs in their order), numbers as ("#", text)."""


class Sent(NamedTuple):
    """A line of a file and what it means. `kind`: event, profile, segment, ignored, or the reason for which it is a dead letter."""

    line: bytes
    kind: str
    user: str = ""
    ts: int = 0
    received: int | None = None
    name: str = ""
    id: str | None = None
    properties: dict[str, Any] = {}  # noqa: RUF012 - never changed
    member: bool = False


def tree(value: Any) -> Tree:
    """Return a value of Python's as it must stand in JSON."""
    if isinstance(value, dict):
        return "{", [(key, tree(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [tree(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    return "#", shortest(exact(value))


def tree_of(text: bytes) -> Tree:
    """Return the tree of a JSON text."""
    number = lambda digits: ("#", digits)  # noqa: E731
    return json.loads(text, object_pairs_hook=lambda pairs: ("{", pairs), parse_int=number, parse_float=number)


def exact(value: Any) -> Fraction:
    """Return a number: an integer as it is, another one as its shortest decimal form."""
    return Fraction(value) if isinstance(value, int | Fraction) else Fraction(repr(value))


def shortest(value: Fraction) -> str:
    """Return the digits of a number that has finitely many."""
    whole, rest = divmod(abs(value), 1)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, 1)
        digits += str(digit)
    return ("-" if value < 0 else "") + str(whole) + ("." + digits if digits else "")


def kind_of(value: Any) -> str | None:
    """Return which values a value compares with; nested ones with none."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number" if isinstance(value, int | float) else None


def compared(one: Any, other: Any) -> int | None:
    """Return -1, 0 or 1, or None where the two are of different types."""
    if kind_of(one) != kind_of(other) or kind_of(one) is None:
        return None
    if kind_of(one) == "number":
        one, other = exact(one), exact(other)
    return int(one > other) - int(one < other)


def scalar(value: Any) -> tuple[str | None, object]:
    """Return a value such that equal ones are equal: 1 and 1.0 are, 1 and True are not."""
    return kind_of(value), exact(value) if kind_of(value) == "number" else value


def constant(properties: dict[str, Any], names: list[str]) -> tuple[object, ...] | None:
    """Return an event's values of constant properties; None if one is missing, or nested."""
    values = [properties.get(name) for name in names]
    return None if any(kind_of(value) is None for value in values) else tuple(map(scalar, values))


def holds(condition: dict[str, Any], properties: dict[str, Any]) -> bool:
    found, op, value = properties.get(condition["property"]), condition["op"], condition.get("value")
    if found is None:
        return op == "not_exists"
    if kind_of(found) is None or op == "not_exists":
        return False
    match op:
        case "exists":
            return True
        case "eq":
            return compared(found, value) == 0
        case "ne":
            return compared(found, value) != 0
        case "in":
            return any(compared(found, one) == 0 for one in value)
        case "not_in":
            return not any(compared(found, one) == 0 for one in value)
        case "contains":
            return isinstance(found, str) and value in found
        case "starts_with":
            return isinstance(found, str) and found[: len(value)] == value
    if kind_of(found) == "boolean":
        return False
    if op == "between":
        return all(holds({**condition, "op": bound, "value": one}, properties) for bound, one in zip(("gte", "lte"), value, strict=True))
    signs = {"gt": {1}, "gte": {0, 1}, "lt": {-1}, "lte": {-1, 0}}[op]
    return compared(found, value) in signs


def instant(text: str) -> int:
    return round((datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def length(text: str) -> int:
    return int(text[:-1]) * {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY, "w": 7 * DAY}[text[-1]]


@lru_cache(maxsize=100_000)
def period(kind: str, at: int, zone: str) -> tuple[int, ...]:
    """Return the calendar period of an instant."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(ZoneInfo(zone))
    match kind:
        case "day":
            return local.year, local.month, local.day
        case "week":
            return tuple(local.isocalendar()[:2])
        case _:
            return local.year, local.month


@lru_cache(maxsize=10_000)
def next_begins(kind: str, quarter: int, zone: str) -> int:
    """Return when the period after that of a quarter of an hour begins: the clock is watched every quarter."""
    at = quarter * QUARTER
    while period(kind, at, zone) == period(kind, quarter * QUARTER, zone):
        at += QUARTER
    return at


def half_even(value: Fraction, decimals: int) -> Fraction:
    return Fraction(round(value * 10**decimals), 10**decimals)


def rounded(value: Fraction, decimals: int, rounding: str) -> Fraction:
    scaled = value * 10**decimals
    match rounding:
        case "down":
            return Fraction(scaled.numerator // scaled.denominator, 10**decimals)
        case "up":
            return Fraction(-(-scaled.numerator // scaled.denominator), 10**decimals)
        case _:
            return half_even(value, decimals)


def decimal_text(value: Any) -> str:
    """Return a number in another spelling of the same value."""
    return f"{Decimal(repr(value)):e}" if isinstance(value, float) else f"{value}.0" if abs(value) < 2**53 else str(value)
