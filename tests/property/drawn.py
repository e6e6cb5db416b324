"""Draws documents of every reward, and lines as bad as they come."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

from property.restated_values import DAY, Document, Sent, decimal_text

HOUR = 3_600_000
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Europe/Berlin", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kathmandu")
BEGINNINGS = (
    "2025-03-29T12:00:00+00:00",  # Berlin skips an hour
    "2025-04-24T12:00:00+00:00",  # Cairo has no midnight
    "2025-10-30T12:00:00+00:00",  # Cairo has its last hour of the day twice
    "2025-11-01T12:00:00+00:00",  # a month begins, and New York has an hour twice
    "2025-12-30T12:00:00+00:00",
)
EVENTS = ("Charged", "Viewed", "Nobody asks")
USERS = ("u1", "u2", "ü/3")
AMOUNTS = (
    *(0, -5, 1, 9.99, 10, 10.5, 33, 99.999, 100, 250, 499.5, 0.004, 0.005, 0.015, 59.699999999999996, 1e-7, 1e-10, 4e-10, 5e-10, 6e-10),
    *(123456.789, 10**14, 10**16, 1e20, 1e23, 2**63 + 5, "500", "", True, False, None, [1], {"a": 1}),
)
USUAL = (33, 99.999, 100, 250, 499.5)
TAGS = ("gold", "old", "", "1", 1, True, None, ["gold"], 0.1)
WHOLE = (1, 2, 3, 5, 10, 50, 100, 250)
HOSTILE: tuple[tuple[bytes, str], ...] = (
    (b"", "ignored"),
    (b'{"type":"strange"}', "ignored"),
    (b"{", "not_json"),
    (b'{"user":"u1","event":"Charged","ts":NaN}', "not_json"),
    (b'{"user":"u1\xff"}', "not_unicode"),
    (b'{"user":"u1","event":"Charged","ts":1764547200000,"properties":{"a":"\\ud800"}}', "not_unicode"),
    (b'{"user":"u1","event":"Charged","ts":1764547200000,"properties":{"Amount":1e999}}', "out_of_range"),
    (b'{"user":"","event":"Charged","ts":1764547200000}', "out_of_range"),
    (b'{"event":"Charged","ts":1764547200000}', "missing_field"),
    (b'{"user":"u1","event":["Charged"],"ts":1764547200000}', "wrong_type"),
    (b"7", "wrong_type"),
    (b'{"user":"u1","event":"Charged","ts":1764547200}', "bad_time"),
    (b"[" * 5000, "too_deep"),
)
ROWS = (
    {"key": " promo type ", "value": "festival"},
    {"key": "ten", "value": 10.0},
    {"key": "tiny", "value": 1e-7},
    {"key": "yes", "value": True},
    {"key": "order", "from": "event.Order ID"},
    {"key": "amount", "from": "event.Amount"},
    {"key": "plan", "from": "user.plan"},
    {"key": "who", "from": "user.id"},
    {"key": "c", "from": "campaign.id"},
    {"key": "name", "from": "campaign.name"},
    *({"system": key} for key in ("campaign_id", "campaign_name", "grant_id", "event_id", "event_name", "event_ts")),
)


def begins_of(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class Author:
    """Draws documents."""

    def __init__(self, random: Random, begins: int) -> None:
        self.random, self.begins = random, begins

    def maybe(self, likely: float = 0.5) -> bool:
        return self.random.random() < likely

    def documents(self) -> list[Document]:
        pick = self.random.choice
        wallets = [{"kind": "wallet", "id": "grocery", "decimals": pick((0, 1, 2, 3)), "rounding": pick(("down", "up", "half_even"))}]
        if self.maybe(0.3):
            wallets.append({"kind": "wallet", "id": "other"})
        ids = self.random.sample(["a", "a-b", "a.b", "a1", "b", "0"], self.random.randint(1, 4))
        external = {**wallets[0], "id": "cash", "external": True, "decimals": pick((0, 2, 3))}
        self.supplies = [
            {"kind": "coupon", "id": "spring", "type": "bulk", **self.terms()},
            {"kind": "coupon", "id": "ten", "type": "single", "code": 'SAVE"10"', **self.terms()},
            {"kind": "partner", "id": "shop"},
            {"kind": "voucher_list", "id": "shop/A.b-1", **self.terms()},
            {"kind": "item", "id": "watch"},
            {"kind": "endpoint", "id": "gifts", "url": "https://gifts.example/x"},
            external,
        ]
        rewards = (lambda: {"points": self.points(pick(wallets))}, self.coupon, self.voucher, self.item, lambda: self.credit(external))
        return [*wallets, *self.supplies, *(self.campaign(name, self.random.choices(rewards, (6, 2, 2, 3, 3))[0]()) for name in ids)]

    def codes(self) -> dict[str, list[str]]:
        pools = ("coupon/spring", "voucher_list/shop/A.b-1")
        return {pool: [f'{pool[0]}-"{n}"' for n in range(self.random.choice((3, 100, 100)))] for pool in pools if self.maybe(0.9)}

    def terms(self) -> Document:
        terms: Document = {"user_redemption_limit": 3} if self.maybe() else {}
        return {**terms, "expires": self.instant(self.random.randint(-2, 9))} if self.maybe(0.3) else terms

    def most(self) -> Document:
        most = {"max_per_user": self.random.randint(1, 3), "max_per_campaign": self.random.randint(1, 6)}
        return {name: count for name, count in most.items() if self.maybe()}

    def coupon(self) -> Document:
        bulk = self.maybe(0.7)
        coupon = {"type": "bulk", "coupon": "spring"} if bulk else {"type": "single", "coupon": "ten"}
        return {"coupon": {**coupon, **self.most(), **({"redeem_after": "36h"} if self.maybe(0.3) else {})}}

    def voucher(self) -> Document:
        return {"voucher": {"partner": "shop", "list_tag": "A.b-1", **self.most()}}

    def call(self) -> Document:
        call: Document = {"endpoint": "gifts"}
        if self.maybe(0.4):
            call["identifiers"] = {"user_id": "customer id", "email": "mail"}
        if self.maybe():
            call["recurrence"] = self.recurrence()
        if self.maybe():
            call["metadata"] = self.rows()
        return call

    def item(self) -> Document:
        kinds = self.random.sample(["campaign", "day", "week", "month"], self.random.randint(1, 4))
        budget = {"budget": {kind: self.random.randint(1, 4) for kind in kinds}} if self.maybe(0.7) else {}
        return {"custom": {**self.call(), "item": "watch", **budget}}

    def credit(self, wallet: Document) -> Document:
        points = self.points(wallet)
        call = {**self.call(), "credits": {name: points[name] for name in ("wallet", "earn", "max_per_reward") if name in points}}
        budget = dict(points.get("budget", {}))
        if "flat" in points["earn"]:
            budget.pop("user", None)
        if budget:
            call["budget"] = budget
            if "on_insufficient" in points:
                call["on_insufficient"] = points["on_insufficient"]
        return {"custom": call}

    def rows(self) -> list[Document]:
        return self.random.sample(ROWS, self.random.randint(1, 5))

    def recurrence(self) -> Document:
        kinds = self.random.sample(["total", "day", "week", "month"], self.random.randint(1, 3))
        return {kind: self.random.randint(1, 3) for kind in kinds}

    def campaign(self, name: str, reward: Document) -> Document:
        pick = self.random.choice
        live: Document = {"event": pick(EVENTS[:2])}
        if self.maybe(0.4):
            live["where"] = [self.condition() for _ in range(self.random.randint(0, 3))]
        campaign: Document = {"kind": "campaign", "id": name, "qualify": {"live": live}, "reward": reward}
        if self.maybe():
            campaign["timezone"] = pick(ZONES)
        if self.maybe(0.3):
            campaign["name"] = 'Cärt "rescue" '
        if self.maybe(0.2):
            campaign["who"] = {"sample": pick((100, 50, 33.333, 0.001))}
        if self.maybe(0.4):
            start, end = sorted(self.random.sample(range(-3, 12), 2))
            campaign["when"] = {"start": self.instant(start), "end": pick((self.instant(end), "never"))}
            if self.maybe(0.3):
                campaign["when"]["start"] = "now"
        return campaign

    def instant(self, half_days: int) -> str:
        return self.spelled(self.begins + half_days * DAY // 2)

    def spelled(self, instant_ms: int) -> str:
        """Return an instant in one of many spellings."""
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)
        return at.astimezone(timezone(timedelta(minutes=self.random.choice((0, 330, -480))))).isoformat(timespec="milliseconds")

    def condition(self) -> Document:
        op = self.random.choice(
            ("eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "between", "contains", "starts_with", "exists", "not_exists")
        )
        scalars = ("gold", "old", "1", 1, 0, 10, 100.0, 0.1, 1e23, True, False)
        condition: Document = {"property": self.random.choice(("Amount", "tag", "Order ID")), "op": op}
        match op:
            case "eq" | "ne":
                condition["value"] = self.random.choice(scalars)
            case "in" | "not_in":
                condition["value"] = self.random.sample(scalars, 3)
            case "gt" | "gte" | "lt" | "lte":
                condition["value"] = self.random.choice((0, 10, 10.5, 100, "gold"))
            case "between":
                condition["value"] = self.random.choice(([0, 10], [10.5, 250], ["a", "m"]))
            case "contains" | "starts_with":
                condition["value"] = self.random.choice(("old", "g"))
        return condition

    def amount(self, wallet: Document, *, among: tuple[int, ...] = WHOLE) -> float:
        decimals = self.random.randint(0, wallet.get("decimals", 0))
        whole = self.random.choice(among)
        return whole if not decimals else round(whole + self.random.randint(1, 10**decimals - 1) / 10**decimals, decimals)

    def points(self, wallet: Document) -> Document:
        pick = self.random.choice
        scheme = pick(("flat", "percent", "per", "random"))
        points: Document = {"wallet": wallet["id"]}
        match scheme:
            case "flat":
                points["earn"] = {"flat": self.amount(wallet)}
            case "percent":
                points["earn"] = {"percent": pick((10, 0.5, 33.333, 250, 1_000_000)), "of": "Amount"}
            case "per":
                points["earn"] = {"points": self.amount(wallet), "per": pick((1, 100, 0.005, 3.3)), "of": "Amount"}
            case _:
                low = self.amount(wallet, among=(1, 10))
                points["earn"] = {"random": {"min": low, "max": round(low + pick((1, 90)), 3), "favor": pick(("min", "avg", "max"))}}
        if scheme in {"percent", "per"} and self.maybe(0.4):
            points["max_per_reward"] = self.amount(wallet)
        if self.maybe(0.6):
            points["recurrence"] = self.recurrence()
        if self.maybe(0.6):
            user, campaign = sorted((self.amount(wallet, among=(5, 100, 300)), self.amount(wallet, among=(7, 150, 1000))))
            points["budget"] = pick(({"user": user}, {"campaign": campaign}, {"campaign": campaign, "user": user}))
            if self.maybe():
                points["on_insufficient"] = pick(("partial", "reject"))
        if self.maybe(0.4):
            points["validity"] = pick(
                (
                    {"activate_after": "7d"},
                    {"expire_after": "36h"},
                    {"activate_after": "1s", "expire_after": "1w"},
                    {"expire_on": self.instant(self.random.randint(-2, 9))},
                    {"expire_on": self.instant(self.random.randint(-2, 9)), "activate_after": "90m"},
                )
            )
        if self.maybe():
            points["metadata"] = self.rows()
        return points


class World:
    """Draws lines: disorder, lateness, repeats in other spellings, profiles, and what no one can read."""

    users = USERS

    def __init__(self, random: Random, begins: int) -> None:
        self.random, self.clock = random, begins
        self.sent: list[Sent] = []

    def line(self) -> Sent:
        pick, roll = self.random.choice, self.random.random()
        self.pass_time()
        if roll < 0.12:
            line, kind = pick(HOSTILE)
            sent = Sent(line, kind)
        elif roll < 0.3 and self.sent:
            again = pick(self.sent)
            sent = again if again.kind not in {"event", "profile", "segment"} else self.spelled(self.changed(again))
        else:
            sent = self.spelled(self.fresh())
        self.sent.append(sent)
        return sent

    def pass_time(self) -> None:
        pick = self.random.choice
        self.clock += pick((0, 1, 1000, HOUR, 5 * HOUR)) if self.random.random() < 0.8 else pick((23 * HOUR, DAY, DAY + 1, 7 * DAY))
        if self.random.random() < 0.15:
            self.clock -= self.clock % -(DAY // 2)  # where campaigns begin and end, and some days

    def late_by(self) -> int:
        return self.random.choice((*(0,) * 8, 1, 5000, HOUR, DAY - 1, DAY, DAY + 1, 30 * HOUR))

    def received_after(self) -> int:
        return self.random.choice((0, 1000, HOUR, HOUR, -1, -200_000, -300_000, -300_001))

    def happening(self) -> tuple[str, str | None, dict[str, Any]]:
        """Return the name, id and properties of an event."""
        pick = self.random.choice
        amount = pick(USUAL) if self.random.random() < 0.7 else pick(AMOUNTS)
        properties = {name: value for name, value in (("Amount", amount), ("tag", pick(TAGS))) if self.random.random() < 0.9}
        if self.random.random() < 0.3:
            properties["Order ID"] = pick(("o-1", 2**64, 12.0, {"z": [1.50, None], "a": "é\n"}, None))
        return pick((*EVENTS, "Charged")), pick((None, None, "e1", "e2", "e3", "h-1")), properties

    def fresh(self) -> Sent:
        pick = self.random.choice
        kind = pick(("event",) * 8 + ("profile", "segment"))
        ts = self.clock - self.late_by()
        received = None if self.random.random() < 0.5 else ts + self.received_after()
        if kind == "profile":
            plan = pick(("gold", "silver", 10.0, 1e-7, 2**70, {"level": [1.0, None]}, None))
            return Sent(b"", kind, pick(self.users), ts, received, properties=pick(({"plan": plan}, {}, {"age": 40, "plan": plan})))
        if kind == "segment":
            return Sent(b"", kind, pick(self.users), ts, received, name="loyal", member=pick((True, True, False)))
        return Sent(b"", kind, pick(self.users), ts, received, *self.happening())

    def changed(self, again: Sent) -> Sent:
        """Return the same record, read again; one with an id may say anything."""
        if again.id is None or self.random.random() < 0.5:
            return again
        return self.fresh()._replace(kind="event", user=again.user, id=again.id, name=again.name)

    def spelled(self, sent: Sent) -> Sent:
        """Return the record with its line, in one of many spellings."""
        other = self.random.random() < 0.3
        fields: dict[str, str] = {"user": json.dumps(sent.user, ensure_ascii=other), "ts": str(sent.ts)}
        if other:
            at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=sent.ts)).astimezone(timezone(timedelta(hours=5, minutes=30)))
            fields["ts"] = json.dumps(at.isoformat(timespec="milliseconds"))
        if sent.kind != "event" or other:
            fields["type"] = f'"{sent.kind}"'
        if sent.kind == "event":
            fields["event"] = json.dumps(sent.name)
            if sent.id is not None or other:
                fields["id"] = json.dumps(sent.id)
        elif sent.kind == "segment":
            fields |= {"segment": json.dumps(sent.name), "member": json.dumps(sent.member)}
        if sent.properties or other:
            sent = sent._replace(properties=turned(sent.properties) if other else sent.properties)
            fields["properties"] = spelled(sent.properties, other=other)
        if sent.received is not None:
            fields["appended"] = str(sent.received)
        pairs = [f'"{name}":{text}' for name, text in fields.items()]
        return sent._replace(line=("{" + ",".join(reversed(pairs) if other else pairs) + "}").encode())


def turned(value: Any) -> Any:
    """Return a value with its keys the other way round."""
    return {key: turned(item) for key, item in reversed(value.items())} if isinstance(value, dict) else value


def spelled(value: Any, *, other: bool) -> str:
    """Return a value as JSON; the other spelling has numbers with fractions or exponents."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {spelled(item, other=other)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spelled(item, other=other) for item in value) + "]"
    if other and isinstance(value, int | float) and not isinstance(value, bool):
        return decimal_text(value)
    return json.dumps(value)
