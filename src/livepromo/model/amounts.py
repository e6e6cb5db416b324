"""How much: decimal text ↔ integers of the smallest unit. Binary floating point never holds an amount."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

LARGEST_UNITS = 10**15 - 1
AMOUNT_DIGITS = 15
MILLI_DECIMALS = 3  # amounts in documents have at most three decimals and are kept in thousandths
NANO_DECIMALS = 9
_NANO = Decimal(1).scaleb(-NANO_DECIMALS)
_NANO_UNITS = 1_000_000_000


class Rounding(StrEnum):
    """How a wallet rounds what does not fit its decimals."""

    DOWN = "down"
    UP = "up"
    HALF_EVEN = "half_even"


def rounded(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Return numerator / denominator (both ≥ 0) as an integer, rounded so."""
    whole, rest = divmod(numerator, denominator)
    match rounding:
        case Rounding.DOWN:
            return whole
        case Rounding.UP:
            return whole + (rest > 0)
        case Rounding.HALF_EVEN:
            return whole + int(2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def property_nano(value: float) -> int:
    """Return a property's number as an amount in 10^-9: its shortest decimal form, rounded half to even to 9 decimals (R24)."""
    if isinstance(value, int):
        return value * _NANO_UNITS
    exact = Decimal(repr(value))
    _, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int), value
    if exponent >= -NANO_DECIMALS:
        return int(exact.scaleb(NANO_DECIMALS)) if len(digits) + exponent < 20 else int(exact) * _NANO_UNITS  # noqa: PLR2004
    return int(exact.quantize(_NANO, ROUND_HALF_EVEN).scaleb(NANO_DECIMALS))


def amount_text(units: int, decimals: int) -> str:
    """Return the shortest decimal text of an amount in units of 10^-decimals: no exponent, no trailing zeros."""
    if not decimals:
        return str(units)
    sign, digits = ("-", str(-units)) if units < 0 else ("", str(units))
    digits = digits.rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")
