"""Amounts are integers of the smallest unit, and rounded as their wallet says."""

from __future__ import annotations

from fractions import Fraction

import pytest

from livepromo.model.amounts import Rounding, amount_text, property_nano, rounded


@pytest.mark.parametrize(
    ("numerator", "denominator", "down", "up", "half_even"),
    [
        (0, 3, 0, 0, 0),
        (1, 3, 0, 1, 0),
        (2, 3, 0, 1, 1),
        (3, 3, 1, 1, 1),
        (1, 2, 0, 1, 0),
        (3, 2, 1, 2, 2),
        (5, 2, 2, 3, 2),
        (10**40 + 1, 10**40, 1, 2, 1),
    ],
)
def test_what_does_not_fit_is_rounded(numerator: int, denominator: int, down: int, up: int, half_even: int) -> None:
    assert [rounded(numerator, denominator, rounding) for rounding in Rounding] == [down, up, half_even]


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (0, 0),
        (5, 5 * 10**9),
        (-5, -5 * 10**9),
        (10**308, 10**317),
        (0.1, 10**8),
        (59.699999999999996, 59_700_000_000),
        (0.0000000005, 0),
        (0.0000000015, 2),
        (0.0000000025, 2),
        (0.00000000051, 1),
        (-0.0000000015, -2),
        (-0.0, 0),
        (5e-324, 0),
        (1e22, 10**31),
        (1e23, 10**32),
        (1.5e300, 15 * 10**308),
        (1.7976931348623157e308, 17976931348623157 * 10**301),
        (123456789.123456789, 123456789123456790),
        (9007199254740993.0, 9007199254740992 * 10**9),
        (1234567890123456.8, 1234567890123456800000000),
    ],
)
def test_a_property_is_worth_its_shortest_decimal_form_rounded_to_9_decimals(value: float, nano: int) -> None:
    assert property_nano(value) == nano


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 0, "0"),
        (0, 3, "0"),
        (50, 0, "50"),
        (50, 1, "5"),
        (505, 1, "50.5"),
        (5, 3, "0.005"),
        (1200, 3, "1.2"),
        (-5, 2, "-0.05"),
        (10**15 - 1, 3, "999999999999.999"),
    ],
)
def test_an_amount_is_written_in_its_shortest_form(units: int, decimals: int, text: str) -> None:
    assert amount_text(units, decimals) == text
    assert Fraction(text) == Fraction(units, 10**decimals)
