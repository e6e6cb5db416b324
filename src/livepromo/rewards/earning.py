"""How much a reward is worth, before budgets: compute, round by the wallet, clamp (R20-R26)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from livepromo.model.amounts import LARGEST_UNITS, MILLI_DECIMALS, NANO_DECIMALS, Rounding, property_nano, rounded
from livepromo.model.decisions import Reason
from livepromo.model.documents import Earn, Flat, Per, Percent, Random
from livepromo.model.ids import GrantId
from livepromo.rewards.draws import draw

Earning = Callable[[Mapping[str, Any], GrantId], int | Reason]

_MILLI = 10**MILLI_DECIMALS
_NANO_IN_MILLI = 10 ** (NANO_DECIMALS - MILLI_DECIMALS)
_WHOLE_IN_PERCENT_MILLI = 100 * _MILLI


def compile_earn(earn: Earn, max_per_reward_milli: int | None, decimals: int, rounding: Rounding) -> Earning:
    """Return what gives the amount for an event's properties and a grant, in units of 10^-decimals, or why there is none.

    Exact integers throughout. What is missing, not a number, or not above 0 (also once rounded) is refused in that order, and last
    an amount of more than 15 digits after the clamp. A function of its arguments, so a repeat earns the same.
    """
    units = 10**decimals
    clamp = None if max_per_reward_milli is None else rounded(max_per_reward_milli * units, _MILLI, rounding)
    match earn:
        case Flat(milli):
            flat = _judged(rounded(milli * units, _MILLI, rounding), clamp)
            return lambda _properties, _grant: flat
        case Random(min_milli, max_milli, favor):
            low, high = (rounded(bound * units, _MILLI, rounding) for bound in (min_milli, max_milli))
            return lambda _properties, grant: _judged(draw(grant, low, high, favor), clamp)
        case Percent(percent_milli, of):
            nano_in_unit = _WHOLE_IN_PERCENT_MILLI * 10**NANO_DECIMALS

            def percent(properties: Mapping[str, Any], _grant: GrantId) -> int | Reason:
                nano = _positive_nano(properties.get(of))
                return nano if isinstance(nano, Reason) else _judged(rounded(nano * percent_milli * units, nano_in_unit, rounding), clamp)

            return percent
        case Per(points_milli, per_milli, of):
            per_nano = per_milli * _NANO_IN_MILLI

            def per(properties: Mapping[str, Any], _grant: GrantId) -> int | Reason:
                nano = _positive_nano(properties.get(of))
                if isinstance(nano, Reason):
                    return nano
                return _judged(rounded(nano // per_nano * points_milli * units, _MILLI, rounding), clamp)

            return per
        case _:
            assert_never(earn)


def _positive_nano(value: Any) -> int | Reason:  # noqa: ANN401 - any JSON value
    """Return a property as an amount above 0, in 10^-9, or why it is none (R24)."""
    if value is None:
        return Reason.PROPERTY_MISSING
    if type(value) is not int and type(value) is not float:
        return Reason.PROPERTY_NOT_NUMERIC
    nano = property_nano(value)
    return nano if nano > 0 else Reason.AMOUNT_NOT_POSITIVE


def _judged(computed: int, clamp: int | None) -> int | Reason:
    amount = computed if clamp is None else min(computed, clamp)
    if amount <= 0:
        return Reason.AMOUNT_NOT_POSITIVE
    return amount if amount <= LARGEST_UNITS else Reason.AMOUNT_TOO_LARGE
