"""What is earned, before budgets (R20-R26)."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.model.amounts import Rounding
from livepromo.model.decisions import Reason
from livepromo.model.documents import Earn, Favor, Flat, Per, Percent, Random
from livepromo.model.ids import GrantId
from livepromo.rewards.earning import compile_earn

GRANT = GrantId("gr_0")
LARGEST = 10**15 - 1
DOWN, UP, HALF_EVEN = Rounding


def earned(
    earn: Earn, amount: Any = None, *, most_milli: int | None = None, decimals: int = 0, rounding: Rounding = DOWN, grant: str = "gr_0"
) -> int | Reason:
    return compile_earn(earn, most_milli, decimals, rounding)({"Amount": amount, "Other": 3}, GrantId(grant))


def a_percent(percent: float = 10) -> Percent:
    return Percent(round(percent * 1000), "Amount")


def a_per(points: float = 10, per: float = 100) -> Per:
    return Per(round(points * 1000), round(per * 1000), "Amount")


def test_flat_is_always_the_same() -> None:
    assert earned(Flat(100_000)) == 100
    assert earned(Flat(100_000), "not looked at") == 100
    assert earned(Flat(12_340), decimals=2) == 1234
    assert earned(Flat(1), decimals=3) == 1


def test_10_percent_of_500_is_50() -> None:
    assert earned(a_percent(10), 500) == 50
    assert earned(a_percent(10), 499.5, decimals=2) == 4995


def test_10_per_100_makes_250_earn_20() -> None:
    assert earned(a_per(10, 100), 250) == 20
    assert [earned(a_per(10, 100), amount) for amount in (100, 199.999999999, 200, 99.9)] == [10, 10, 20, Reason.AMOUNT_NOT_POSITIVE]
    assert earned(a_per(0.5, 0.1), 0.3, decimals=1) == 15
    assert earned(a_per(0.5, 0.1), 0.3) == 1  # 1.5 rounded down, after all wholes were counted


def test_an_amount_is_rounded_by_the_wallet() -> None:
    cases = {
        (0.4, DOWN): 0,
        (0.4, UP): 1,
        (0.5, HALF_EVEN): 0,
        (1.5, HALF_EVEN): 2,
        (1.6, HALF_EVEN): 2,
        (2.5, HALF_EVEN): 2,
        (1.9, DOWN): 1,
    }
    for (tenth, rounding), expected in cases.items():
        assert earned(a_percent(10), tenth * 10, rounding=rounding) == (expected or Reason.AMOUNT_NOT_POSITIVE)
    assert earned(a_percent(10), 1.25, decimals=2, rounding=HALF_EVEN) == 12
    assert earned(a_percent(10), 1.25, decimals=2, rounding=UP) == 13


def test_a_number_is_first_rounded_to_9_decimals() -> None:
    assert earned(a_percent(100), 59.699999999999996, decimals=3) == 59_700
    assert earned(a_percent(100), 0.9999999996, decimals=0) == 1
    assert earned(a_percent(100), 0.9999999994, decimals=0) == Reason.AMOUNT_NOT_POSITIVE
    assert earned(a_per(1, 1), 2.9999999999999996) == 3
    assert earned(a_percent(100), 1e-10, rounding=UP) == Reason.AMOUNT_NOT_POSITIVE
    assert earned(a_percent(0.001), 1e-9, rounding=UP) == 1
    assert earned(a_percent(100), 1.0000000005, rounding=UP) == 1  # the half goes to the even neighbour
    assert earned(a_percent(100), 1.0000000015, rounding=UP) == 2


@pytest.mark.parametrize("earn", [a_percent(), a_per()])
@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (None, Reason.PROPERTY_MISSING),
        ("500", Reason.PROPERTY_NOT_NUMERIC),
        ("", Reason.PROPERTY_NOT_NUMERIC),
        (True, Reason.PROPERTY_NOT_NUMERIC),
        (False, Reason.PROPERTY_NOT_NUMERIC),
        ([500], Reason.PROPERTY_NOT_NUMERIC),
        ({"value": 500}, Reason.PROPERTY_NOT_NUMERIC),
        (0, Reason.AMOUNT_NOT_POSITIVE),
        (-1, Reason.AMOUNT_NOT_POSITIVE),
        (-0.5, Reason.AMOUNT_NOT_POSITIVE),
        (1e-300, Reason.AMOUNT_NOT_POSITIVE),
        (-(10**308), Reason.AMOUNT_NOT_POSITIVE),
    ],
)
def test_what_is_no_amount_is_denied_with_its_reason(earn: Earn, amount: Any, reason: Reason) -> None:
    assert earned(earn, amount) == reason


@pytest.mark.parametrize("earn", [a_percent(), a_per()])
def test_a_property_that_is_not_there_is_missing(earn: Earn) -> None:
    assert compile_earn(earn, None, 0, DOWN)({}, GRANT) == Reason.PROPERTY_MISSING


def test_max_per_reward_is_a_clamp_after_rounding() -> None:
    assert earned(a_percent(10), 5000, most_milli=100_000) == 100
    assert earned(a_percent(10), 1000, most_milli=100_000) == 100
    assert earned(a_percent(10), 999, most_milli=100_000) == 99
    assert earned(a_per(), 5000, most_milli=1_500, decimals=1) == 15
    assert earned(a_percent(1), 1, most_milli=100_000) == Reason.AMOUNT_NOT_POSITIVE


def test_an_amount_has_at_most_15_digits() -> None:
    assert earned(a_percent(100), LARGEST) == LARGEST
    assert earned(a_percent(100), LARGEST + 1) == Reason.AMOUNT_TOO_LARGE
    assert earned(a_percent(100), 10**12 - 1, decimals=3) == 10**15 - 1000
    assert earned(a_percent(100), 10**12, decimals=3) == Reason.AMOUNT_TOO_LARGE
    assert earned(Flat(10**14), decimals=3) == 10**14
    assert earned(Flat(10**15), decimals=3) == Reason.AMOUNT_TOO_LARGE
    assert earned(Random(10**15, 2 * 10**15, Favor.MIN), decimals=3) == Reason.AMOUNT_TOO_LARGE


@pytest.mark.parametrize("amount", [10**308, 1e300, 1.7976931348623157e308, 123456789012345678])
def test_huge_properties_are_clamped_or_too_large(amount: float) -> None:
    for earn in (a_percent(100), a_per(100, 1)):
        assert earned(earn, amount, most_milli=500_000) == 500
        assert earned(earn, amount) == Reason.AMOUNT_TOO_LARGE


def test_a_random_amount_is_on_the_grid_of_the_wallet_and_the_same_for_the_same_grant() -> None:
    earn = Random(10_000, 10_200, Favor.AVG)
    drawn = {earned(earn, decimals=1, grant=f"gr_{n}") for n in range(300)}
    assert drawn == {100, 101, 102}
    assert len({earned(earn, decimals=3) for _ in range(20)}) == 1
