"""What becomes of a reward that is owed, restated from the specification alone: every grant is kept and counted anew.

Rewards of every type. A pool's codes are given in their order, each once.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from livepromo.model.decisions import Cause, grant_id
from livepromo.model.documents import Favor
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.rewards.draws import draw
from property.restated_values import QUARTER, Document, Tree, exact, half_even, instant, kind_of, length, next_begins, period, rounded, tree


class Given(NamedTuple):
    """A grant that was made."""

    campaign: str
    user: str
    at: int
    amount: Fraction


class Owed(NamedTuple):
    """A reward that a campaign owes a user. `properties` are those of the triggering event, `profile` those of the user."""

    campaign: Document
    user: str
    at: int
    cause: Document
    properties: dict[str, Any]
    profile: dict[str, Any]


class Refusal(Exception):  # noqa: N818 - a refusal is no error
    """A denial with its reason and what else it says."""

    def __init__(self, reason: str, **more: Any) -> None:
        self.reason, self.more = reason, more


def numeric(properties: dict[str, Any], of: str) -> Fraction:
    found = properties.get(of)
    if found is None:
        raise Refusal("property_missing")
    if kind_of(found) != "number":
        raise Refusal("property_not_numeric")
    value = half_even(exact(found), 9)
    if value <= 0:
        raise Refusal("amount_not_positive")
    return value


def earned(reward: Document, wallet: Document, properties: dict[str, Any], name: GrantId) -> Fraction:
    """Return what a reward is worth: compute, round, clamp (R20-R26)."""
    earn, decimals = reward["earn"], wallet.get("decimals", 0)
    if "flat" in earn:
        amount = exact(earn["flat"])
    elif "random" in earn:
        low, high = (int(exact(earn["random"][end]) * 10**decimals) for end in ("min", "max"))
        amount = Fraction(draw(name, low, high, Favor(earn["random"]["favor"])), 10**decimals)
    elif "percent" in earn:
        amount = numeric(properties, earn["of"]) * exact(earn["percent"]) / 100
    else:
        amount = numeric(properties, earn["of"]) // exact(earn["per"]) * exact(earn["points"])
    amount = rounded(amount, decimals, wallet.get("rounding", "down"))
    if "max_per_reward" in reward:
        amount = min(amount, exact(reward["max_per_reward"]))
    if amount <= 0:
        raise Refusal("amount_not_positive")
    if amount * 10**decimals >= 10**15:
        raise Refusal("amount_too_large")
    return amount


def cause_of(cause: Document) -> Cause:
    """Return a cause as the grant's name is made of it."""
    names = {"kind": "kind", "event_id": "event_id", "event": "event", "ts": "ts_ms", "deadline": "deadline_ms"}
    return Cause(**{names[name]: value for name, value in cause.items()})


class Ledger:
    """Decides what is owed, in the order in which it comes."""

    def __init__(self, documents: list[Document], codes: dict[str, list[str]]) -> None:
        self.documents = {(one["kind"], one["id"]): one for one in documents}
        self.codes = {pool: list(some) for pool, some in codes.items()}
        self.grants: list[Given] = []

    def forget(self, user: str) -> None:
        """Count what a user was given for the campaigns alone."""
        self.grants = [one._replace(user="") if one.user == user else one for one in self.grants]

    def decide(self, owed: Owed) -> tuple[str, Tree]:
        """Return "grant" or "denial", and the decision."""
        granted = grant_id(CampaignId(owed.campaign["id"]), UserId(owed.user), cause_of(owed.cause))
        head = {"campaign": owed.campaign["id"], "revision": 1, "user": owed.user}
        try:
            reward = self._reward(owed, granted)
        except Refusal as refusal:
            return "denial", tree({**head, "decided_at": owed.at, "cause": owed.cause, "reason": refusal.reason, **refusal.more})
        amount = next((reward[name] for name in ("points", "value") if name in reward), 1)
        self.grants.append(Given(owed.campaign["id"], owed.user, owed.at, Fraction(amount)))
        return "grant", tree({"grant_id": granted, **head, "granted_at": owed.at, "cause": owed.cause, "reward": reward})

    def _reward(self, owed: Owed, granted: GrantId) -> Document:
        [(kind, reward)] = owed.campaign["reward"].items()
        match kind:
            case "points":
                return self._points(reward, owed, granted)
            case "coupon":
                return self._coupon(reward, owed)
            case "voucher":
                return self._voucher(reward, owed)
            case _:
                return self._custom(reward, owed, granted)

    def _unexpired(self, document: Document, time: int, reason: str) -> None:
        if "expires" in document and time >= instant(document["expires"]):
            raise Refusal(reason)

    def _code(self, pool: str) -> str:
        if not self.codes.get(pool):
            raise Refusal("codes_exhausted")
        return self.codes[pool].pop(0)

    def _coupon(self, reward: Document, owed: Owed) -> Document:
        coupon = self.documents["coupon", reward["coupon"]]
        self._unexpired(coupon, owed.at, "coupon_unavailable")
        self._within_limits(owed.campaign, reward, owed.user, owed.at, Fraction(1))
        return {
            "type": "coupon",
            "coupon": coupon["id"],
            "kind": coupon["type"],
            "code": coupon["code"] if coupon["type"] == "single" else self._code(f"coupon/{coupon['id']}"),
            "redeemable_at": owed.at + (length(reward["redeem_after"]) if "redeem_after" in reward else 0),
            "redemption_allowance": coupon.get("user_redemption_limit", 1),
        }

    def _voucher(self, reward: Document, owed: Owed) -> Document:
        codes = self.documents["voucher_list", f"{reward['partner']}/{reward['list_tag']}"]
        self._unexpired(codes, owed.at, "list_unavailable")
        self._within_limits(owed.campaign, reward, owed.user, owed.at, Fraction(1))
        body = {"type": "voucher", "partner": reward["partner"], "list_tag": reward["list_tag"]}
        return {**body, "code": self._code(f"voucher_list/{codes['id']}"), "redemption_allowance": codes.get("user_redemption_limit", 1)}

    def _custom(self, reward: Document, owed: Owed, granted: GrantId) -> Document:
        wanted = Fraction(1)
        what = {"item": reward.get("item")}
        if "credits" in reward:
            what = {"wallet": reward["credits"]["wallet"]}
            wanted = earned(reward["credits"], self.documents["wallet", what["wallet"]], owed.properties, granted)
        amount = self._within_limits(owed.campaign, reward, owed.user, owed.at, wanted)
        user_key = reward.get("identifiers", {}).get("user_id", "userId")
        told = {"type": "custom", "value": amount, "metadata": self._metadata(owed, granted)}
        body = {"type": "custom", "endpoint": reward["endpoint"], **what, "value": amount}
        body["payload"] = {"user": {user_key: owed.user}, "reward": told}
        return body if amount == wanted else {**body, "requested": wanted}

    def _points(self, points: Document, owed: Owed, granted: GrantId) -> Document:
        wallet = self.documents["wallet", points["wallet"]]
        wanted = earned(points, wallet, owed.properties, granted)
        validity = points.get("validity", {})
        active = owed.at + (length(validity["activate_after"]) if "activate_after" in validity else 0)
        expires = None
        if "expire_on" in validity:
            expires = instant(validity["expire_on"])
            if expires <= active:
                raise Refusal("would_be_expired")
        elif "expire_after" in validity:
            expires = active + length(validity["expire_after"])
        amount = self._within_limits(owed.campaign, points, owed.user, owed.at, wanted)
        reward = {"type": "points", "wallet": wallet["id"], "points": amount, "active_at": active, "expires_at": expires}
        reward["metadata"] = self._metadata(owed, granted)
        return reward if amount == wanted else {**reward, "requested": wanted}

    def _within_limits(self, campaign: Document, reward: Document, user: str, time: int, wanted: Fraction) -> Fraction:
        zone, budget = campaign.get("timezone", "UTC"), reward.get("budget", {})
        counts = "item" in reward or ("credits" not in reward and "earn" not in reward)
        all_of_it = [grant for grant in self.grants if grant.campaign == campaign["id"]]
        own = [grant for grant in all_of_it if grant.user == user]
        recurrence = {"total": reward["max_per_user"]} if "max_per_user" in reward else reward.get("recurrence", {})
        self._counted("user_total", "user_", recurrence, own, time, zone)
        if counts:
            whole = {"total": reward["max_per_campaign"]} if "max_per_campaign" in reward else dict(budget)
            if "campaign" in budget:
                whole["total"] = budget["campaign"]
            self._counted("campaign_limit", "campaign_", whole, all_of_it, time, zone)
            return wanted
        amount = wanted
        for whose, grants in (("user", own), ("campaign", all_of_it)):
            if whose not in budget:
                continue
            cap, spent = exact(budget[whose]), sum((grant.amount for grant in grants), Fraction(0))
            if spent + wanted > cap:
                if reward.get("on_insufficient") != "partial" or spent >= cap:
                    raise Refusal(whose + "_budget", limit=cap, used=spent, requested=wanted)
                amount = min(amount, cap - spent)
        return amount

    def _counted(self, in_all: str, prefix: str, caps: Document, grants: list[Given], time: int, zone: str) -> None:
        """Refuse what would be more rewards than the caps allow, in all, or in its day, week or month."""
        if "total" in caps and len(grants) >= caps["total"]:
            raise Refusal(in_all, limit=caps["total"], used=len(grants))
        for kind in ("day", "week", "month"):
            used = sum(period(kind, grant.at, zone) == period(kind, time, zone) for grant in grants)
            if kind in caps and used >= caps[kind]:
                raise Refusal(prefix + kind, limit=caps[kind], used=used, resets_at=next_begins(kind, time // QUARTER, zone))

    def _metadata(self, owed: Owed, granted: GrantId) -> Document:
        campaign = owed.campaign
        facts = {
            "user.id": owed.user,
            "campaign.id": campaign["id"],
            "campaign_id": campaign["id"],
            "campaign.name": campaign.get("name"),
            "campaign_name": campaign.get("name"),
            "grant_id": granted,
            "event_id": owed.cause.get("event_id"),
            "event_name": owed.cause.get("event"),
            "event_ts": owed.cause.get("ts"),
        }
        found: Document = {}
        [reward] = campaign["reward"].values()
        for row in reward.get("metadata", []):
            reference = row.get("from", row.get("system", ""))
            if "value" in row:
                value = row["value"]
            elif reference in facts:
                value = facts[reference]
            elif reference.startswith("event."):
                value = owed.properties.get(reference.removeprefix("event."))
            else:
                value = owed.profile.get(reference.removeprefix("user."))
            if value is not None:
                found[(row["system"] if "system" in row else row["key"]).strip()] = value
        return found
