"""The fields of `reward.points`: what is earned, within which limits, valid when, and with which metadata."""

from __future__ import annotations

from livepromo.documents.earning import Setting, advise_limits, clamp, earning, recurrence_of
from livepromo.documents.fields import Part, amount, duration, identifier, instant, part, word
from livepromo.documents.metadata import metadata_of
from livepromo.documents.reading import Link, Written
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import shown
from livepromo.model.documents import Budget, OnInsufficient, Points, Recurrence, Validity

_OF_OTHER_REWARDS = {
    **dict.fromkeys(("coupon", "type", "redeem_after"), ("belongs to coupons, not to points", "R11")),
    **dict.fromkeys(("partner", "list_tag"), ("belongs to vouchers, not to points", "R11")),
    **dict.fromkeys(("endpoint", "item", "credits", "identifiers"), ("belongs to custom rewards, not to points", "R11")),
    "max_per_user": ("belongs to coupons and vouchers; points have recurrence: {total: …}", "R11"),
    "max_per_campaign": ("belongs to coupons and vouchers; points have budget: {campaign: …}", "R11"),
}
_OF_ITEMS = dict.fromkeys(("day", "week", "month"), ("belongs to the budget of an item; points have campaign and user", "R30"))
_LIVE_ONLY = {"recurrence": "R27", "budget": "R30", "on_insufficient": "R32"}


def points(reward: Part, setting: Setting) -> Points | None:
    """Return the reward; not to be used where a problem was found."""
    reward.only(fields_of("points_reward"), {**_OF_OTHER_REWARDS, **setting.live_only(_LIVE_ONLY)})
    of_wallet: list[Written] = []
    wallet = identifier(reward, "wallet", "R19", wanted="the id of the wallet that receives the points")
    scheme, earn = earning(reward, setting, of_wallet)
    most_milli = clamp(reward, scheme, setting, of_wallet)
    recurrence, budget, on_insufficient = Recurrence(), Budget(), None
    if not setting.sent:
        recurrence = recurrence_of(reward, "R27")
        budget = budget_of(reward, "R30", of_wallet, _OF_ITEMS)
        on_insufficient = insufficient(reward)
    validity = _validity(reward, setting)
    metadata = metadata_of(reward)
    advise_limits(
        reward,
        setting,
        user={"recurrence": "recurrence", "budget.user": "budget.user"},
        campaign={"budget.campaign": "budget.campaign"},
    )
    if wallet is None:
        return None
    reward.findings.links.append(Link(reward.at("wallet"), f"wallet/{wallet}", "R19", external=False, amounts=tuple(of_wallet)))
    if earn is None:
        return None
    return Points(wallet, earn, most_milli, recurrence, validity, budget, on_insufficient or OnInsufficient.REJECT, metadata)


def budget_of(reward: Part, rule: str, of_wallet: list[Written], misplaced: dict[str, tuple[str, str]]) -> Budget:
    """Return a budget in points or credits: of the campaign and of each user (R30, R31)."""
    limits = part(reward, "budget", rule)
    if limits is None:
        return Budget()
    limits.only(("campaign", "user"), misplaced)
    if not limits.fields:
        reward.error("budget", "is empty: give campaign or user, or leave it out", rule)
    campaign = amount(limits, "campaign", rule, of_wallet=of_wallet)
    if "user" in misplaced:
        return Budget(campaign)
    user = amount(limits, "user", "R31", of_wallet=of_wallet)
    if campaign is not None and user is not None and user > campaign:
        limits.error("user", f"{shown(limits.fields['user'])} is more than the campaign's, {shown(limits.fields['campaign'])}", "R31")
    return Budget(campaign, user)


def insufficient(reward: Part) -> OnInsufficient | None:
    """Return what becomes of a reward larger than what is left of the budget, beside which it stands (R32)."""
    if "on_insufficient" in reward and "budget" not in reward:
        reward.error("on_insufficient", "stands only beside a budget", "R32")
    return word(reward, "on_insufficient", OnInsufficient, "R32")


def _validity(reward: Part, setting: Setting) -> Validity:
    validity = part(reward, "validity", "R29")
    if validity is None:
        return Validity()
    validity.only(fields_of("validity"))
    if "expire_after" in validity and "expire_on" in validity:
        reward.error("validity", "expire_after and expire_on stand together: give one of them", "R29")
    return Validity(
        duration(validity, "activate_after", "R28") or 0,
        duration(validity, "expire_after", "R29"),
        instant(validity, "expire_on", setting.zone, "R29"),
    )
