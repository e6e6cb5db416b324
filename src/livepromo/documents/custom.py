"""The fields of `reward.custom`: which endpoint is called, for an item or for credits (R46-R70)."""

from __future__ import annotations

from livepromo.documents.earning import Setting, advise_limits, clamp, earning, recurrence_of
from livepromo.documents.fields import Part, count, identifier, part, reference, text
from livepromo.documents.metadata import metadata_of
from livepromo.documents.points import budget_of, insufficient
from livepromo.documents.reading import Link, Written
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import shown
from livepromo.model.documents import Credits, Custom, Identifiers, ItemBudget, ItemGift, OnInsufficient

_NOT_OF_CUSTOM = {
    **dict.fromkeys(("wallet", "earn", "max_per_reward"), ("belongs inside credits: credits: {wallet: …, earn: …}", "R52")),
    "validity": ("belongs to points, not to custom rewards", "R11"),
    **dict.fromkeys(("coupon", "type", "redeem_after"), ("belongs to coupons, not to custom rewards", "R11")),
    **dict.fromkeys(("partner", "list_tag"), ("belongs to vouchers, not to custom rewards", "R11")),
    "max_per_user": ("belongs to coupons and vouchers; custom rewards have recurrence: {total: …}", "R11"),
    "max_per_campaign": ("belongs to coupons and vouchers; custom rewards have budget: {campaign: …}", "R11"),
}
_OF_ITEMS = dict.fromkeys(("day", "week", "month"), ("belongs to the budget of an item; credits have campaign and user", "R58"))
_OF_CREDITS = {"user": ("belongs to the budget of credits; an item has campaign, day, week and month", "R58")}
_NOT_WITH_FLAT = {"user": ("does not belong to credits of a flat amount: give recurrence", "R58")}
_OUT_OF_CREDITS = dict.fromkeys(
    ("recurrence", "budget", "on_insufficient", "identifiers", "metadata", "endpoint", "item"),
    ("belongs beside credits, not inside", "R49"),
)
_LONGEST_KEY = 255


def custom(reward: Part, setting: Setting) -> Custom | None:
    """Return the reward; not to be used where a problem was found."""
    reward.only(fields_of("custom_reward"), _NOT_OF_CUSTOM)
    endpoint = reference(reward, "endpoint", "endpoint", "R46", wanted="the id of the endpoint that is called")
    what = reward.one_of(("item", "credits"), "R49", "gift")
    gift: ItemGift | Credits | None = None
    match what:
        case "item":
            gift = _item(reward)
        case "credits":
            gift = _credits(reward, setting)
        case _:
            budget = part(reward, "budget", "R58")
            if budget is not None:
                budget.only(fields_of("custom_budget"))
    if what is not None:
        _advise(reward, setting)
    recurrence = recurrence_of(reward, "R51")
    identifiers = _identifiers(reward)
    metadata = metadata_of(reward)
    if endpoint is None or gift is None:
        return None
    return Custom(endpoint, gift, recurrence, identifiers, metadata)


def _item(reward: Part) -> ItemGift | None:
    item = reference(reward, "item", "item", "R50")
    if "on_insufficient" in reward:
        reward.error("on_insufficient", "belongs to budgets in points or credits, not to an item", "R32")
    limits = part(reward, "budget", "R58")
    budget = ItemBudget()
    if limits is not None:
        limits.only(("campaign", "day", "week", "month"), _OF_CREDITS)
        if not limits.fields:
            reward.error("budget", "is empty: give campaign, day, week or month, or leave it out", "R58")
        budget = ItemBudget(*(count(limits, name, "R58") for name in ("campaign", "day", "week", "month")))
    return ItemGift(item, budget) if item is not None else None


def _credits(reward: Part, setting: Setting) -> Credits | None:
    credits_part = part(reward, "credits", "R49")
    if credits_part is None:
        return None
    credits_part.only(fields_of("credits"), _OUT_OF_CREDITS)
    of_wallet: list[Written] = []
    wallet = identifier(credits_part, "wallet", "R52", wanted="the id of the external wallet that receives the credits")
    scheme, earn = earning(credits_part, setting, of_wallet)
    most_milli = clamp(credits_part, scheme, setting, of_wallet)
    budget = budget_of(reward, "R58", of_wallet, {**_OF_ITEMS, **(_NOT_WITH_FLAT if scheme == "flat" else {})})
    on_insufficient = insufficient(reward)
    if wallet is None:
        return None
    link = Link(credits_part.at("wallet"), f"wallet/{wallet}", "R52", external=True, amounts=tuple(of_wallet))
    reward.findings.links.append(link)
    return Credits(wallet, earn, most_milli, budget, on_insufficient or OnInsufficient.REJECT) if earn is not None else None


def _advise(reward: Part, setting: Setting) -> None:
    """Advise the limits that the gift can have (R71)."""
    item = "item" in reward
    advise_limits(
        reward,
        setting,
        user={"recurrence": "recurrence"} if item else {"recurrence": "recurrence", "budget.user": "budget.user"},
        campaign={f"budget.{name}": "budget.campaign" for name in (("campaign", "day", "week", "month") if item else ("campaign",))},
    )


def _identifiers(reward: Part) -> Identifiers:
    given = part(reward, "identifiers", "R64")
    if given is None:
        return Identifiers()
    given.only(fields_of("identifiers"))
    keys = {"user_id": "userId", "email": "email", "phone": "phone"}
    owner: dict[str, str] = {}
    for name in sorted(keys, key=lambda one: one in given):  # the defaults first, so that what is written is what is wrong
        key = text(given, name, "R64", longest=_LONGEST_KEY)
        if key is None and name in given:
            continue
        keys[name] = key or keys[name]
        other = owner.setdefault(keys[name], name)
        if other != name:
            whose = f"the key of {other}" + ("" if other in given else ", by default")
            given.error(name, f"{shown(keys[name])} is {whose}, too: every key is one of its own", "R64")
        elif not keys[name].strip():
            given.error(name, "must not be blank", "R64")
    return Identifiers(**keys)
