"""Random amounts: within bounds, both possible, where they are wanted, the same on every machine (R23, R25)."""

from __future__ import annotations

from collections import Counter

import pytest

from livepromo.model.documents import Favor
from livepromo.model.ids import GrantId
from livepromo.rewards.draws import draw

DRAWS = 10_000


def drawn(favor: Favor, low: int = 10, high: int = 100, count: int = DRAWS) -> list[int]:
    return [draw(GrantId(f"gr_{n:032x}"), low, high, favor) for n in range(count)]


def share(amounts: list[int], low: int, high: int) -> float:
    return sum(low <= amount <= high for amount in amounts) / len(amounts)


@pytest.mark.parametrize(("favor", "low", "high"), [(Favor.MIN, 10, 30), (Favor.AVG, 40, 70), (Favor.MAX, 80, 100)])
@pytest.mark.parametrize("grid", [1, 10, 1000])
def test_at_least_60_percent_fall_into_the_favoured_part(favor: Favor, low: int, high: int, grid: int) -> None:
    amounts = drawn(favor, 10 * grid, 100 * grid)
    assert all(10 * grid <= amount <= 100 * grid for amount in amounts)
    assert share(amounts, low * grid, high * grid) >= 0.6


def test_the_mean_of_those_around_the_midpoint_is_55() -> None:
    amounts = drawn(Favor.AVG)
    assert abs(sum(amounts) / len(amounts) - 55) < 1
    assert share(amounts, 10, 18) < 0.02
    assert share(amounts, 92, 100) < 0.02


def test_max_mirrors_min() -> None:
    least, greatest = (sum(drawn(favor)) / DRAWS for favor in (Favor.MIN, Favor.MAX))
    assert abs(least - (10 + 91 / 5 - 0.5)) < 1
    assert abs(least + greatest - 110) < 1
    assert Counter(drawn(Favor.MIN)).most_common(1)[0][0] < 20


@pytest.mark.parametrize("favor", list(Favor))
@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 3), (10, 14)])
def test_both_ends_are_possible_and_nothing_beyond(favor: Favor, low: int, high: int) -> None:
    assert set(drawn(favor, low, high)) == set(range(low, high + 1))


@pytest.mark.parametrize("favor", list(Favor))
def test_the_widest_range_has_no_steps(favor: Favor) -> None:
    amounts = drawn(favor, 1, 10**15 - 1, 2000)
    assert len(set(amounts)) == 2000
    assert len({amount % 1000 for amount in amounts}) > 800


def test_draws_are_these_on_every_machine_for_ever() -> None:
    assert {favor: drawn(favor, count=6) for favor in Favor} == {
        Favor.MIN: [10, 13, 58, 16, 16, 15],
        Favor.AVG: [71, 50, 58, 50, 36, 41],
        Favor.MAX: [91, 84, 83, 60, 98, 98],
    }
