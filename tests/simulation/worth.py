"""What a reward is worth and says, and whether conditions hold, by the rules.

Written from the rules alone, of the product's nouns and nothing else of it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from math import floor
from typing import Any

from livepromo.model.amounts import Rounding
from livepromo.model.conditions import Condition, Op
from livepromo.model.decisions import Cause
from livepromo.model.documents import Campaign, EventProperty, Fact, FactOf, Flat, Literal, Per, Percent, UserProperty, Wallet


def holds(condition: Condition, properties: dict[str, Any]) -> bool:
    """Say whether a condition holds."""
    value, values = properties.get(condition.property), condition.values
    number = type(value) in {int, float}
    scalar = number or type(value) in {str, bool}

    def equal(other: Any) -> bool:
        if type(value) is bool or type(other) is bool:
            return value is other
        return bool(value == other)

    match condition.op:
        case Op.NOT_EXISTS:
            return value is None
        case Op.EXISTS:
            return scalar
        case Op.EQ | Op.IN:
            return scalar and any(map(equal, values))
        case Op.NE | Op.NOT_IN:
            return scalar and not any(map(equal, values))
        case Op.GTE:
            return number and value >= values[0]  # type: ignore[operator]
        case Op.LT:
            return number and value < values[0]  # type: ignore[operator]
        case Op.BETWEEN:
            return number and values[0] <= value <= values[1]  # type: ignore[operator]
        case _:
            raise AssertionError(condition.op)


def rounded(amount: Fraction, wallet: Wallet) -> int:
    """Return an amount in the wallet's smallest units."""
    exact = amount * int(10**wallet.decimals)
    match wallet.rounding:
        case Rounding.DOWN:
            return floor(exact)
        case Rounding.UP:
            return -floor(-exact)
        case Rounding.HALF_EVEN:
            return round(exact)


def amount_of(campaign: Campaign, wallet: Wallet, properties: dict[str, Any]) -> int | str:
    """Return what a reward is worth before budgets, in smallest units, or why there is none."""
    earn = campaign.reward.earn
    if isinstance(earn, Flat):
        amount = Fraction(earn.milli, 1000)
    else:
        assert isinstance(earn, Percent | Per)
        value = properties.get(earn.of)
        if value is None:
            return "property_missing"
        if type(value) not in {int, float}:
            return "property_not_numeric"
        paid = Fraction(Decimal(repr(value)).quantize(Decimal("1e-9"), ROUND_HALF_EVEN))
        if paid <= 0:
            return "amount_not_positive"
        if isinstance(earn, Percent):
            amount = paid * Fraction(earn.percent_milli, 100_000)
        else:
            amount = floor(paid / Fraction(earn.per_milli, 1000)) * Fraction(earn.points_milli, 1000)
    units = rounded(amount, wallet)
    if campaign.reward.max_per_reward_milli is not None:
        units = min(units, int(Fraction(campaign.reward.max_per_reward_milli, 1000) * 10**wallet.decimals))
    if units <= 0:
        return "amount_not_positive"
    return units if units < 10**15 else "amount_too_large"


def validity_of(campaign: Campaign, time_ms: int) -> tuple[int, int | None] | str:
    """Return when a reward becomes active and when it expires."""
    validity = campaign.reward.validity
    active_ms = time_ms + validity.activate_after_ms
    if validity.expire_on_ms is not None:
        return "would_be_expired" if validity.expire_on_ms <= active_ms else (active_ms, validity.expire_on_ms)
    return active_ms, None if validity.expire_after_ms is None else active_ms + validity.expire_after_ms


def metadata_of(
    campaign: Campaign, who: tuple[str, dict[str, Any]], cause: Cause, grant: str, properties: dict[str, Any]
) -> dict[str, Any]:
    """Return what a reward says about itself; `who`: the user and what is known of the user."""
    user, profile = who
    found: dict[str, Any] = {}
    for row in campaign.reward.metadata:
        match row.source:
            case Literal(value):
                found[row.key] = value
            case EventProperty(name):
                found[row.key] = properties.get(name)
            case UserProperty(name):
                found[row.key] = profile.get(name)
            case FactOf(fact):
                facts: dict[Fact, Any] = {
                    Fact.USER_ID: user,
                    Fact.CAMPAIGN_NAME: campaign.name,
                    Fact.GRANT_ID: grant,
                    Fact.EVENT_TS: cause.ts_ms,
                }
                found[row.key] = facts[fact]
    return {key: value for key, value in found.items() if value is not None}
