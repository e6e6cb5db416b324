"""The fields of `reward.coupon` and `reward.voucher`: whose codes are given, and how many of them (R34-R45)."""

from __future__ import annotations

from livepromo.documents.earning import Setting, advise_limits
from livepromo.documents.fields import TAG_FORM, Part, count, duration, identifier, is_tag, reference, text, word
from livepromo.documents.reading import Link, Written
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import shown
from livepromo.model.documents import CouponReward, CouponType, VoucherReward


def _of_other_rewards(ours: str) -> dict[str, tuple[str, str]]:
    return {
        **dict.fromkeys(("wallet", "earn", "max_per_reward"), (f"belongs to points and credits, not to {ours}", "R11")),
        **dict.fromkeys(("validity",), (f"belongs to points, not to {ours}", "R11")),
        **dict.fromkeys(("on_insufficient",), (f"belongs to budgets, which {ours} do not have", "R11")),
        **dict.fromkeys(("endpoint", "item", "credits", "identifiers"), (f"belongs to custom rewards, not to {ours}", "R11")),
        "recurrence": (f"does not belong to {ours}, which have max_per_user", "R40"),
        "budget": (f"does not belong to {ours}, which have max_per_campaign", "R40"),
        "metadata": (f"does not belong to {ours}", "R40"),
    }


_NOT_OF_COUPONS = {
    **_of_other_rewards("coupons"),
    **dict.fromkeys(("partner", "list_tag"), ("belongs to vouchers, not to coupons", "R11")),
}
_NOT_OF_VOUCHERS = {
    **_of_other_rewards("vouchers"),
    **dict.fromkeys(("coupon", "type"), ("belongs to coupons, not to vouchers", "R11")),
    "redeem_after": ("belongs to coupons, not to vouchers", "R43"),
}


def coupon(reward: Part, setting: Setting) -> CouponReward | None:
    """Return the reward; not to be used where a problem was found."""
    live_only = setting.live_only({"max_per_user": "R37", "max_per_campaign": "R38"})
    reward.only(fields_of("coupon_reward"), {**_NOT_OF_COUPONS, **live_only})
    kind = word(reward, "type", CouponType, "R36", wanted="single or bulk: the type of the coupon")
    which = identifier(reward, "coupon", "R34", wanted="the id of the coupon")
    per_user, per_campaign = _most(reward, setting, "R37", "R38")
    redeem_after = duration(reward, "redeem_after", "R39")
    if which is None:
        return None
    bulk = kind is CouponType.BULK
    link = Link(
        reward.at("coupon"), f"coupon/{which}", "R34", coupon_type=kind, gives_codes=bulk, most_codes=_written(reward, per_campaign)
    )
    reward.findings.links.append(link)
    return CouponReward(which, kind, per_user, per_campaign, redeem_after or 0) if kind is not None else None


def voucher(reward: Part, setting: Setting) -> VoucherReward | None:
    """Return the reward; not to be used where a problem was found."""
    live_only = setting.live_only({"max_per_user": "R43", "max_per_campaign": "R44"})
    reward.only(fields_of("voucher_reward"), {**_NOT_OF_VOUCHERS, **live_only})
    partner = reference(reward, "partner", "partner", "R41", wanted="the id of the partner")
    tag = text(reward, "list_tag", "R42", wanted="the tag of the partner's list")
    if tag is not None and not is_tag(tag):
        reward.error("list_tag", f"{shown(tag)} is no list tag: {TAG_FORM}", "R42")
        tag = None
    per_user, per_campaign = _most(reward, setting, "R43", "R44")
    if partner is None or tag is None:
        return None
    found = VoucherReward(partner, tag, per_user, per_campaign)
    key = f"voucher_list/{found.voucher_list}"
    link = Link(reward.at("list_tag"), key, "R42", gives_codes=True, most_codes=_written(reward, per_campaign))
    reward.findings.links.append(link)
    return found


def _most(reward: Part, setting: Setting, user_rule: str, campaign_rule: str) -> tuple[int | None, int | None]:
    if setting.sent:
        return None, None
    advise_limits(reward, setting, user={"max_per_user": "max_per_user"}, campaign={"max_per_campaign": "max_per_campaign"})
    return count(reward, "max_per_user", user_rule), count(reward, "max_per_campaign", campaign_rule)


def _written(reward: Part, most: int | None) -> Written | None:
    return None if most is None else Written(reward.at("max_per_campaign"), reward.fields["max_per_campaign"], most, "R73")
