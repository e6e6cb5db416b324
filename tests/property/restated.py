"""The rules of did campaigns restated from the specification alone, as plainly as can be: every grant is kept and counted anew.

Rewards of every type. A pool's codes are given in their order, each once.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from livepromo.model.decisions import Cause, grant_id
from livepromo.model.documents import Favor
from livepromo.model.ids import CampaignId, GrantId, UserId, sampled
from livepromo.model.records import Event, content_id
from livepromo.rewards.draws import draw

DAY = 24 * 3_600_000
QUARTER = 15 * 60_000
Document = dict[str, Any]
Tree = Any
"""A JSON value for comparison: objects as ("{", pairs in their order), numbers as ("#", text)."""


class Sent(NamedTuple):
    """A line of a file and what it means. `kind`: event, profile, segment, ignored, or the reason for which it is a dead letter."""

    line: bytes
    kind: str
    user: str = ""
    ts: int = 0
    received: int | None = None
    name: str = ""
    id: str | None = None
    properties: dict[str, Any] = {}  # noqa: RUF012 - never changed


class Given(NamedTuple):
    """A grant that was made."""

    campaign: str
    user: str
    at: int
    amount: Fraction


class Refusal(Exception):  # noqa: N818 - a refusal is no error
    """A denial with its reason and what else it says."""

    def __init__(self, reason: str, **more: Any) -> None:
        self.reason, self.more = reason, more


def tree(value: Any) -> Tree:
    """Return a value of Python's as it must stand in JSON."""
    if isinstance(value, dict):
        return "{", [(key, tree(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [tree(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    return "#", shortest(exact(value))


def tree_of(text: bytes) -> Tree:
    """Return the tree of a JSON text."""
    number = lambda digits: ("#", digits)  # noqa: E731
    return json.loads(text, object_pairs_hook=lambda pairs: ("{", pairs), parse_int=number, parse_float=number)


def exact(value: Any) -> Fraction:
    """Return a number: an integer as it is, another one as its shortest decimal form."""
    return Fraction(value) if isinstance(value, int | Fraction) else Fraction(repr(value))


def shortest(value: Fraction) -> str:
    """Return the digits of a number that has finitely many."""
    whole, rest = divmod(abs(value), 1)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, 1)
        digits += str(digit)
    return ("-" if value < 0 else "") + str(whole) + ("." + digits if digits else "")


def kind_of(value: Any) -> str | None:
    """Return which values a value compares with; nested ones with none."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number" if isinstance(value, int | float) else None


def compared(one: Any, other: Any) -> int | None:
    """Return -1, 0 or 1, or None where the two are of different types."""
    if kind_of(one) != kind_of(other) or kind_of(one) is None:
        return None
    if kind_of(one) == "number":
        one, other = exact(one), exact(other)
    return int(one > other) - int(one < other)


def holds(condition: dict[str, Any], properties: dict[str, Any]) -> bool:
    found, op, value = properties.get(condition["property"]), condition["op"], condition.get("value")
    if found is None:
        return op == "not_exists"
    if kind_of(found) is None or op == "not_exists":
        return False
    match op:
        case "exists":
            return True
        case "eq":
            return compared(found, value) == 0
        case "ne":
            return compared(found, value) != 0
        case "in":
            return any(compared(found, one) == 0 for one in value)
        case "not_in":
            return not any(compared(found, one) == 0 for one in value)
        case "contains":
            return isinstance(found, str) and value in found
        case "starts_with":
            return isinstance(found, str) and found[: len(value)] == value
    if kind_of(found) == "boolean":
        return False
    if op == "between":
        return all(holds({**condition, "op": bound, "value": one}, properties) for bound, one in zip(("gte", "lte"), value, strict=True))
    signs = {"gt": {1}, "gte": {0, 1}, "lt": {-1}, "lte": {-1, 0}}[op]
    return compared(found, value) in signs


def instant(text: str) -> int:
    return round((datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def length(text: str) -> int:
    return int(text[:-1]) * {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY, "w": 7 * DAY}[text[-1]]


@lru_cache(maxsize=100_000)
def period(kind: str, at: int, zone: str) -> tuple[int, ...]:
    """Return the calendar period of an instant."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(ZoneInfo(zone))
    match kind:
        case "day":
            return local.year, local.month, local.day
        case "week":
            return tuple(local.isocalendar()[:2])
        case _:
            return local.year, local.month


@lru_cache(maxsize=10_000)
def next_begins(kind: str, quarter: int, zone: str) -> int:
    """Return when the period after that of a quarter of an hour begins: the clock is watched every quarter."""
    at = quarter * QUARTER
    while period(kind, at, zone) == period(kind, quarter * QUARTER, zone):
        at += QUARTER
    return at


def half_even(value: Fraction, decimals: int) -> Fraction:
    return Fraction(round(value * 10**decimals), 10**decimals)


def rounded(value: Fraction, decimals: int, rounding: str) -> Fraction:
    scaled = value * 10**decimals
    match rounding:
        case "down":
            return Fraction(scaled.numerator // scaled.denominator, 10**decimals)
        case "up":
            return Fraction(-(-scaled.numerator // scaled.denominator), 10**decimals)
        case _:
            return half_even(value, decimals)


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


class Recount:
    """Takes lines one at a time; `decisions` are (grant or denial, tree) in order."""

    def __init__(self, documents: list[Document], codes: dict[str, list[str]]) -> None:
        self.documents = {(one["kind"], one["id"]): one for one in documents}
        self.codes = {pool: list(some) for pool, some in codes.items()}
        self.campaigns = sorted((one for one in documents if one["kind"] == "campaign"), key=lambda one: one["id"].encode())
        self.named = {one["qualify"]["live"]["event"] for one in self.campaigns}
        self.stream: int | None = None
        self.seen: list[tuple[str, object, int]] = []
        self.profiles: dict[str, dict[str, Any]] = {}
        self.grants: list[Given] = []
        self.decisions: list[tuple[str, Tree]] = []
        self.counts: Counter[str] = Counter()

    def take(self, sent: Sent) -> None:
        self.counts[self._taken(sent)] += 1

    def _taken(self, sent: Sent) -> str:
        """Return what became of a line: taken, repeat, ignored, or the reason for which it is a dead letter."""
        if sent.kind not in {"event", "profile", "segment"}:
            return sent.kind
        time = sent.ts
        if sent.received is not None and time > sent.received:
            if time > sent.received + 5 * 60_000:
                return "in_the_future"
            time = sent.received
        if sent.kind == "event":
            if self.stream is not None and time < self.stream - DAY:
                return "too_old"
            if sent.name in self.named:
                what = self._identity(sent)
                if any(user == sent.user and same == what and abs(time - at) <= DAY for user, same, at in self.seen):
                    return "repeat"
                self.seen.append((sent.user, what, time))
                for campaign in self.campaigns:
                    if self._qualifies(campaign, sent, time):
                        self._decide(campaign, sent, time)
        elif sent.kind == "profile":
            known = self.profiles.get(sent.user, {}) | sent.properties
            self.profiles[sent.user] = {name: value for name, value in known.items() if value is not None}
        self.stream = time if self.stream is None else max(self.stream, time)
        return "taken"

    def _identity(self, sent: Sent) -> object:
        if sent.id is not None:
            return sent.id

        def by_value(value: Any) -> object:
            if isinstance(value, dict):
                return frozenset((key, by_value(item)) for key, item in value.items())
            if isinstance(value, list):
                return tuple(map(by_value, value))
            return kind_of(value), exact(value) if kind_of(value) == "number" else value

        return sent.name, sent.ts, by_value({key: value for key, value in sent.properties.items() if value is not None})

    def _qualifies(self, campaign: Document, sent: Sent, time: int) -> bool:
        live, when, who = campaign["qualify"]["live"], campaign.get("when", {}), campaign.get("who", {"sample": 100})
        return (
            sent.name == live["event"]
            and all(holds(condition, sent.properties) for condition in live.get("where", []))
            and (when.get("start", "now") == "now" or time >= instant(when["start"]))
            and (when.get("end", "never") == "never" or time < instant(when["end"]))
            and sampled(CampaignId(campaign["id"]), UserId(sent.user), int(exact(who["sample"]) * 1000))
        )

    def _decide(self, campaign: Document, sent: Sent, time: int) -> None:
        name = sent.id or content_id(Event(UserId(sent.user), sent.name, sent.ts, None, sent.properties))
        cause = {"kind": "did", "event_id": name, "event": sent.name, "ts": sent.ts}
        granted = grant_id(CampaignId(campaign["id"]), UserId(sent.user), Cause("did", name, sent.name, sent.ts))
        head = {"campaign": campaign["id"], "revision": 1, "user": sent.user}
        try:
            reward = self._reward(campaign, sent, time, cause, granted)
        except Refusal as refusal:
            body = {**head, "decided_at": time, "cause": cause, "reason": refusal.reason, **refusal.more}
            self.decisions.append(("denial", tree(body)))
        else:
            amount = next((reward[name] for name in ("points", "value") if name in reward), 1)
            self.grants.append(Given(campaign["id"], sent.user, time, Fraction(amount)))
            self.decisions.append(("grant", tree({"grant_id": granted, **head, "granted_at": time, "cause": cause, "reward": reward})))

    def _reward(self, campaign: Document, sent: Sent, time: int, cause: Document, granted: GrantId) -> Document:
        [(kind, reward)] = campaign["reward"].items()
        match kind:
            case "points":
                return self._points(campaign, reward, sent, time, cause, granted)
            case "coupon":
                return self._coupon(campaign, reward, sent, time)
            case "voucher":
                return self._voucher(campaign, reward, sent, time)
            case _:
                return self._custom(campaign, reward, sent, time, cause, granted)

    def _unexpired(self, document: Document, time: int, reason: str) -> None:
        if "expires" in document and time >= instant(document["expires"]):
            raise Refusal(reason)

    def _code(self, pool: str) -> str:
        if not self.codes.get(pool):
            raise Refusal("codes_exhausted")
        return self.codes[pool].pop(0)

    def _coupon(self, campaign: Document, reward: Document, sent: Sent, time: int) -> Document:
        coupon = self.documents["coupon", reward["coupon"]]
        self._unexpired(coupon, time, "coupon_unavailable")
        self._within_limits(campaign, reward, sent.user, time, Fraction(1))
        return {
            "type": "coupon",
            "coupon": coupon["id"],
            "kind": coupon["type"],
            "code": coupon["code"] if coupon["type"] == "single" else self._code(f"coupon/{coupon['id']}"),
            "redeemable_at": time + (length(reward["redeem_after"]) if "redeem_after" in reward else 0),
            "redemption_allowance": coupon.get("user_redemption_limit", 1),
        }

    def _voucher(self, campaign: Document, reward: Document, sent: Sent, time: int) -> Document:
        codes = self.documents["voucher_list", f"{reward['partner']}/{reward['list_tag']}"]
        self._unexpired(codes, time, "list_unavailable")
        self._within_limits(campaign, reward, sent.user, time, Fraction(1))
        body = {"type": "voucher", "partner": reward["partner"], "list_tag": reward["list_tag"]}
        return {**body, "code": self._code(f"voucher_list/{codes['id']}"), "redemption_allowance": codes.get("user_redemption_limit", 1)}

    def _custom(self, campaign: Document, reward: Document, sent: Sent, time: int, cause: Document, granted: GrantId) -> Document:
        wanted = Fraction(1)
        what = {"item": reward.get("item")}
        if "credits" in reward:
            what = {"wallet": reward["credits"]["wallet"]}
            wanted = earned(reward["credits"], self.documents["wallet", what["wallet"]], sent.properties, granted)
        amount = self._within_limits(campaign, reward, sent.user, time, wanted)
        user_key = reward.get("identifiers", {}).get("user_id", "userId")
        told = {"type": "custom", "value": amount, "metadata": self._metadata(campaign, sent, cause, granted)}
        body = {"type": "custom", "endpoint": reward["endpoint"], **what, "value": amount}
        body["payload"] = {"user": {user_key: sent.user}, "reward": told}
        return body if amount == wanted else {**body, "requested": wanted}

    def _points(self, campaign: Document, points: Document, sent: Sent, time: int, cause: Document, granted: GrantId) -> Document:
        wallet = self.documents["wallet", points["wallet"]]
        wanted = earned(points, wallet, sent.properties, granted)
        validity = points.get("validity", {})
        active = time + (length(validity["activate_after"]) if "activate_after" in validity else 0)
        expires = None
        if "expire_on" in validity:
            expires = instant(validity["expire_on"])
            if expires <= active:
                raise Refusal("would_be_expired")
        elif "expire_after" in validity:
            expires = active + length(validity["expire_after"])
        amount = self._within_limits(campaign, points, sent.user, time, wanted)
        reward = {"type": "points", "wallet": wallet["id"], "points": amount, "active_at": active, "expires_at": expires}
        reward["metadata"] = self._metadata(campaign, sent, cause, granted)
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

    def _metadata(self, campaign: Document, sent: Sent, cause: Document, granted: GrantId) -> Document:
        facts = {
            "user.id": sent.user,
            "campaign.id": campaign["id"],
            "campaign_id": campaign["id"],
            "campaign.name": campaign.get("name"),
            "campaign_name": campaign.get("name"),
            "grant_id": granted,
            "event_id": cause["event_id"],
            "event_name": cause["event"],
            "event_ts": cause["ts"],
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
                value = sent.properties.get(reference.removeprefix("event."))
            else:
                value = self.profiles.get(sent.user, {}).get(reference.removeprefix("user."))
            if value is not None:
                found[(row["system"] if "system" in row else row["key"]).strip()] = value
        return found


def decimal_text(value: Any) -> str:
    """Return a number in another spelling of the same value."""
    return f"{Decimal(repr(value)):e}" if isinstance(value, float) else f"{value}.0" if abs(value) < 2**53 else str(value)


__all__ = ["DAY", "Document", "Recount", "Sent", "decimal_text", "tree_of"]
