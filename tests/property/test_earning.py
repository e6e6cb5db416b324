"""Amounts against fractions: every rule of R20-R26 written down once more, without integers."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from livepromo.model.amounts import Rounding, amount_text, property_nano, rounded
from livepromo.model.decisions import Reason
from livepromo.model.documents import Favor, Flat, Per, Percent
from livepromo.model.ids import GrantId
from livepromo.rewards.draws import draw
from livepromo.rewards.earning import compile_earn

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.one_of(
    st.integers(-10, 2000),
    st.integers(-(10**308), 10**308),
    st.floats(-1, 5000),
    FINITE,
    st.decimals(0, 5000, places=2).map(float),
    st.integers(1, 10**13).map(lambda n: n / 10**10),
)


def to_integer(amount: Fraction, rounding: Rounding) -> int:
    match rounding:
        case Rounding.DOWN:
            return math.floor(amount)
        case Rounding.UP:
            return math.ceil(amount)
        case Rounding.HALF_EVEN:
            return round(amount)


def worth(value: float) -> Fraction:
    """A number of a record as an amount (R24)."""
    return Fraction(round(Fraction(repr(value)) * 10**9), 10**9)


def expected(earn: Percent | Per, value: Any, most_milli: int | None, decimals: int, rounding: Rounding) -> int | Reason:
    if value is None:
        return Reason.PROPERTY_MISSING
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Reason.PROPERTY_NOT_NUMERIC
    amount = worth(value)
    if amount <= 0:
        return Reason.AMOUNT_NOT_POSITIVE
    if isinstance(earn, Percent):
        points = amount * Fraction(earn.percent_milli, 1000) / 100
    else:
        points = math.floor(amount / Fraction(earn.per_milli, 1000)) * Fraction(earn.points_milli, 1000)
    units = to_integer(points * 10**decimals, rounding)
    if most_milli is not None:
        units = min(units, int(Fraction(most_milli, 1000) * 10**decimals))
    if units == 0:
        return Reason.AMOUNT_NOT_POSITIVE
    return Reason.AMOUNT_TOO_LARGE if len(str(units)) > 15 else units


MILLI = st.one_of(st.integers(1, 20).map(lambda n: n * 1000), st.integers(1, 10**9))


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(st.builds(Percent, MILLI, st.just("P")), st.builds(Per, MILLI, MILLI, st.just("P"))),
    st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=3), st.just([1])),
    st.one_of(st.none(), st.integers(1, 10**6)),
    st.integers(0, 3),
    st.sampled_from(Rounding),
)
@example(Percent(10_000, "P"), 59.699999999999996, None, 3, Rounding.DOWN)
@example(Per(10_000, 100, "P"), 0.3, None, 0, Rounding.DOWN)
@example(Percent(100_000, "P"), 10**15, 1, 0, Rounding.DOWN)
def test_earning_is_exact(earn: Percent | Per, value: Any, most: int | None, decimals: int, rounding: Rounding) -> None:
    most_milli = None if most is None else most * 10 ** (3 - decimals)  # with at most the wallet's decimals
    found = compile_earn(earn, most_milli, decimals, rounding)({"P": value}, GrantId("gr_1"))
    assert found == expected(earn, value, most_milli, decimals, rounding)
    assert type(found) in {int, Reason}


@given(st.integers(1, 10**15 - 1), st.integers(0, 3), st.sampled_from(Rounding))
def test_flat_is_its_number(units: int, decimals: int, rounding: Rounding) -> None:
    assert compile_earn(Flat(units * 10 ** (3 - decimals)), None, decimals, rounding)({}, GrantId("gr_1")) == units


@settings(max_examples=500)
@given(NUMBERS)
def test_the_worth_of_a_number_is_exact(value: float) -> None:
    assert Fraction(property_nano(value), 10**9) == worth(value)


@given(st.integers(0, 10**40), st.integers(1, 10**20), st.sampled_from(Rounding))
def test_rounding_is_exact(numerator: int, denominator: int, rounding: Rounding) -> None:
    assert rounded(numerator, denominator, rounding) == to_integer(Fraction(numerator, denominator), rounding)


@given(st.integers(-(10**18), 10**18), st.integers(0, 3))
def test_the_text_of_an_amount_is_exact_and_shortest(units: int, decimals: int) -> None:
    text = amount_text(units, decimals)
    assert Fraction(text) == Fraction(units, 10**decimals)
    assert text == format(Decimal(text).normalize(), "f")


@given(st.text(min_size=1), st.integers(0, 10**15), st.integers(1, 10**15), st.sampled_from(Favor))
def test_a_draw_stays_within_its_bounds(name: str, low: int, width: int, favor: Favor) -> None:
    assert low <= draw(GrantId(name), low, low + width, favor) <= low + width
