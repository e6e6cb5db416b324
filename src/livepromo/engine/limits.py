"""What a grant of a campaign counts, and how much may be counted: the limits and budgets of every type of reward."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, assert_never

from livepromo.documents.catalogue import Catalogue
from livepromo.model.amounts import MILLI_DECIMALS
from livepromo.model.decisions import Limit, Reason
from livepromo.model.documents import (
    Budget,
    Campaign,
    CouponReward,
    Credits,
    Custom,
    ItemBudget,
    ItemGift,
    Live,
    Points,
    Recurrence,
    VoucherReward,
    Wallet,
)
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.time import Periods, calendar

TOTAL = "total"
AMOUNT = "amount"

Limits = Callable[[UserId, int, int], tuple[Limit, ...]]
"""User, amount in smallest units, the decision's own time → what a grant counts, in order of precedence.

Also what has no cap is counted, since a later revision may set one (R18).
"""


def row_of_user(campaign: CampaignId, user: UserId) -> str:
    """Return the name of the row that counts what a campaign has given a user."""
    return f"{campaign}/{user}"


def units_of(milli: int | None, decimals: int) -> int | None:
    """Return an amount of a document in the wallet's smallest units; documents are checked to have no finer ones."""
    return None if milli is None else int(milli // 10 ** (MILLI_DECIMALS - decimals))


def code_limits(campaign: Campaign, max_per_user: int | None, max_per_campaign: int | None) -> Limits:
    """Return the limits of coupons and vouchers: rewards, not redemptions (R37, R38)."""
    name = str(campaign.id)
    whole, most = Limit(Reason.CAMPAIGN_LIMIT, name, TOTAL, max_per_campaign, 1), _most_per_user(campaign, max_per_user)
    return lambda user, _units, _at_ms: (Limit(Reason.USER_TOTAL, f"{name}/{user}", TOTAL, most, 1), whole)


def amount_limits(campaign: Campaign, recurrence: Recurrence, budget: Budget, decimals: int) -> Limits:
    """Return the limits of points and credits: recurrence, and budgets in amounts (R27, R30-R32, R58-R63)."""
    name, zone = str(campaign.id), calendar(campaign.timezone)
    user_units, campaign_units = units_of(budget.user_milli, decimals), units_of(budget.campaign_milli, decimals)
    whole, total = Limit(Reason.CAMPAIGN_LIMIT, name, TOTAL, None, 1), _most_per_user(campaign, recurrence.total)

    def limits(user: UserId, amount_units: int, at_ms: int) -> tuple[Limit, ...]:
        mine = f"{name}/{user}"
        return (
            *_recurring(mine, recurrence, total, zone.periods(at_ms)),
            whole,
            Limit(Reason.USER_BUDGET, mine, AMOUNT, user_units, amount_units),
            Limit(Reason.CAMPAIGN_BUDGET, name, AMOUNT, campaign_units, amount_units),
        )

    return limits


def item_limits(campaign: Campaign, recurrence: Recurrence, budget: ItemBudget) -> Limits:
    """Return the limits of items: recurrence, and counts of the campaign in all and by period (R51, R58-R63)."""
    name, zone = str(campaign.id), calendar(campaign.timezone)
    whole, total = Limit(Reason.CAMPAIGN_LIMIT, name, TOTAL, budget.campaign, 1), _most_per_user(campaign, recurrence.total)

    def limits(user: UserId, _units: int, at_ms: int) -> tuple[Limit, ...]:
        periods = zone.periods(at_ms)
        return (
            *_recurring(f"{name}/{user}", recurrence, total, periods),
            whole,
            Limit(Reason.CAMPAIGN_DAY, name, f"day:{periods.day}", budget.day, 1, periods.day_ends_ms),
            Limit(Reason.CAMPAIGN_WEEK, name, f"week:{periods.week}", budget.week, 1, periods.week_ends_ms),
            Limit(Reason.CAMPAIGN_MONTH, name, f"month:{periods.month}", budget.month, 1, periods.month_ends_ms),
        )

    return limits


def _most_per_user(campaign: Campaign, said: int | None) -> int | None:
    """Return how often a user may be rewarded in all.

    Whoever is sent something qualifies once (R2), also a user of whom records went astray, whom several partitions know.
    """
    return said if isinstance(campaign.qualify, Live) else 1


def _recurring(mine: str, caps: Recurrence, total: int | None, periods: Periods) -> tuple[Limit, Limit, Limit, Limit]:
    return (
        Limit(Reason.USER_TOTAL, mine, TOTAL, total, 1),
        Limit(Reason.USER_DAY, mine, f"day:{periods.day}", caps.day, 1, periods.day_ends_ms),
        Limit(Reason.USER_WEEK, mine, f"week:{periods.week}", caps.week, 1, periods.week_ends_ms),
        Limit(Reason.USER_MONTH, mine, f"month:{periods.month}", caps.month, 1, periods.month_ends_ms),
    )


class Most(NamedTuple):
    """The most that a campaign may give in all (None: no limit), and the slot of its row that says what it has given.

    Points and credits in units of 10^-decimals, coupons, vouchers and items as a number of rewards.
    """

    units: int | None
    decimals: int
    slot: str


def most_of(campaign: Campaign, catalogue: Catalogue) -> Most:
    """Return the most that a published campaign may give in all."""
    match campaign.reward:
        case Points(wallet=wallet, budget=budget) | Custom(gift=Credits(wallet=wallet, budget=budget)):
            document = catalogue.entries[f"wallet/{wallet}"].document
            assert isinstance(document, Wallet), wallet
            return Most(units_of(budget.campaign_milli, document.decimals), document.decimals, AMOUNT)
        case Custom(gift=ItemGift(budget=counts)):
            return Most(counts.campaign, 0, TOTAL)
        case CouponReward(max_per_campaign=most) | VoucherReward(max_per_campaign=most):
            return Most(most, 0, TOTAL)
        case Custom():
            raise AssertionError(campaign.id)
        case _:
            assert_never(campaign.reward)


def caps_of_user(campaign: Campaign, catalogue: Catalogue, user: UserId, at_ms: int) -> tuple[dict[str, int | None], int]:
    """Return what a published campaign may give one user, by slot of the user's row, at an instant; and the decimals of amounts."""
    decimals = most_of(campaign, catalogue).decimals
    match campaign.reward:
        case Points(recurrence=recurrence, budget=budget):
            limits = amount_limits(campaign, recurrence, budget, decimals)
        case Custom(recurrence=recurrence, gift=Credits(budget=budget)):
            limits = amount_limits(campaign, recurrence, budget, decimals)
        case Custom(recurrence=recurrence, gift=ItemGift(budget=counts)):
            limits = item_limits(campaign, recurrence, counts)
        case CouponReward(max_per_user=most, max_per_campaign=all_in_all) | VoucherReward(max_per_user=most, max_per_campaign=all_in_all):
            limits = code_limits(campaign, most, all_in_all)
        case Custom():
            raise AssertionError(campaign.id)
        case _:
            assert_never(campaign.reward)
    mine = row_of_user(campaign.id, user)
    return {limit.slot: limit.cap for limit in limits(user, 0, at_ms) if limit.row == mine}, decimals
