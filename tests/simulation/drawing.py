"""What a seed publishes and produces: documents and their revisions, records good and hostile, each with what it means."""

from __future__ import annotations

import json
from random import Random
from typing import Any, NamedTuple

from livepromo.documents.catalogue import Intervention, Publication, Verb
from livepromo.model.amounts import Rounding
from livepromo.model.audiences import AllOf, AnyOf, Audience, Back, Count, Did, DidNot, HasProperty, InSegment, NoneOf, OnList, Sample
from livepromo.model.conditions import Condition, Op
from livepromo.model.documents import (
    Budget,
    Campaign,
    Coupon,
    CouponReward,
    CouponType,
    Document,
    EventProperty,
    Fact,
    FactOf,
    Flat,
    FromList,
    Literal,
    Live,
    MetadataRow,
    OnInsufficient,
    Past,
    Per,
    Percent,
    Points,
    Recurrence,
    Retrigger,
    Same,
    Segment,
    Unless,
    UserList,
    UserProperty,
    Validity,
    Wallet,
    When,
    key_of,
)
from livepromo.model.ids import CampaignId, partition_of

EVENTS = ("Charged", "Viewed", "Rated")
WITHIN_MS = (1_000, 2_000, 5_000, 20_000, 3_600_000)
POOL = "spring"
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
AMOUNTS = (5, 7, 10, 25, 33, 40, 99, 100, 250, 0.5, 12.25, 19.99, 59.699999999999996)
NO_AMOUNTS = ("12", 0, -5, True, None, [1])
PLANS = ("gold", "silver", None, 3)


class Author:
    """Publishes documents, changes them, pauses, resumes and stops campaigns; now and then something that is void."""

    def __init__(self, rnd: Random, now_ms: int) -> None:
        self._rnd = rnd
        self._now_ms = now_ms
        self._revisions: dict[str, int] = {}
        self._documents: dict[str, Document] = {}
        self._stopped: set[str] = set()
        self._wallets = [
            Wallet(f"w{number}", rnd.choice((0, 0, 2)), rnd.choice(tuple(Rounding)), name="wallet") for number in range(rnd.randint(1, 2))
        ]
        self._campaigns = rnd.choice((1, 1, 2, 3, 4, 5))
        # Codes are drawn apart from all else, so that a seed has the same history with them and without.
        apart = Random(f"codes {now_ms}")
        self.codes = tuple(f"code-{number}" for number in range(apart.choice((0, 3, 10, 30, 500))))
        self._caps = apart.choice((None, 1, 3)), apart.choice((None, 5, 20))
        # So is all that windows, sends and audiences say.
        self._behaviour = Random(f"behaviour {now_ms}")
        self.audiences = self._behaviour.random() < 0.5
        self._wheres: dict[str, tuple[tuple[Condition, ...], ...]] = {}

    def first(self) -> Publication:
        """Return what is published at the beginning."""
        campaigns = [self._campaign(f"c{number}", None) for number in range(self._campaigns)]
        sends = [self._sent(f"s{number}") for number in range(self._behaviour.choice((0, 0, 1, 2)))]
        fed = [Segment("loyal"), UserList("vip")]
        return self._publication([*self._wallets, *fed, *campaigns, *sends, *self._drawing_on_a_pool()])

    def _sent(self, name: str) -> Campaign:
        """Return a campaign that is sent once."""
        rnd = self._behaviour
        qualify = rnd.choice((Past(), Past(), FromList("vip")))
        who = self._audience(2) or Sample(rnd.choice((50_000, 90_000)))
        send_ms = None if rnd.random() < 0.2 else self._now_ms + rnd.choice((rnd.randint(0, 6_000), rnd.randint(0, 2 * HOUR_MS)))
        reward = Points(rnd.choice(self._wallets).id, Flat(rnd.randint(1, 9) * 1_000), metadata=self._metadata(rnd))
        return Campaign(CampaignId(name), "UTC", qualify, reward, who=who, when=When(send_ms=send_ms))

    def _audience(self, deepest: int) -> Audience | None:
        rnd, roll = self._behaviour, self._behaviour.random()
        if deepest == 2 and roll < 0.3:
            return None
        if deepest and roll < 0.55:
            members = tuple(one for one in (self._audience(deepest - 1) for _ in range(rnd.randint(1, 3))) if one is not None)
            return rnd.choice((AllOf, AnyOf, NoneOf))(members or (InSegment("loyal"),))
        within = rnd.choice((None, None, Back(2_000), Back(HOUR_MS)))
        where = rnd.choice(((), (Condition("Amount", Op.GTE, (20,)),)))
        done = (
            Did((rnd.choice(EVENTS),), where, Count(rnd.choice((Op.GTE, Op.LT, Op.EQ)), (rnd.randint(1, 4),)), within),
            DidNot(EVENTS[: rnd.randint(1, 2)], where, within),
        )
        return rnd.choice((
            InSegment("loyal"),
            OnList("vip"),
            HasProperty(Condition("tier", Op.EQ, (rnd.choice(("a", 7)),))),
            HasProperty(Condition("tier", Op.NOT_EXISTS)),
            Sample(rnd.choice((50_000, 90_000))),
            *(done if self.audiences and not self._revisions else ()),  # what was done before a publication would have to be read anew
        ))  # fmt: skip

    def _live(self, name: str, event: str, before: Live | None) -> Live:
        """Return what qualifies for a campaign, half of them by what is not done."""
        rnd = self._behaviour
        if before is None and rnd.random() < 0.5:
            self._wheres[name] = (), rnd.choice(((), (Condition("Amount", Op.GTE, (20,)),)))
            same = rnd.choice(((), (), (Same("plan", "plan"),)))
            grace_ms = rnd.choice((None, 1_000, 1_000, 2_000, 10_000))
            others = tuple(dict.fromkeys(rnd.choices(EVENTS, k=rnd.randint(1, 2))))
        elif before is not None and before.unless is not None:
            same, grace_ms, others = before.same, before.unless.grace_ms, before.unless.events
        else:
            return Live(event, self._where(self._rnd))
        unless = Unless(others, rnd.choice(WITHIN_MS), rnd.choice(self._wheres[name]), grace_ms)
        return Live(event, self._where(rnd) if rnd.random() < 0.3 else (), unless, same, rnd.choice(tuple(Retrigger)))

    def _drawing_on_a_pool(self) -> list[Document]:
        """Return two campaigns that share a pool of codes, and its coupon."""
        per_user, per_campaign = self._caps
        rewards = CouponReward(POOL, CouponType.BULK, per_user), CouponReward(POOL, CouponType.BULK, None, per_campaign, HOUR_MS)
        campaigns = [Campaign(CampaignId(f"k{n}"), "UTC", Live("Charged"), reward) for n, reward in enumerate(rewards)]
        return [Coupon(POOL, CouponType.BULK, None, 2), *campaigns]

    def next(self, now_ms: int) -> Publication | Intervention:
        """Return something more to publish."""
        rnd = self._rnd
        self._now_ms = now_ms
        names = sorted(key for key in self._documents if key.startswith("campaign/c") and key != "campaign/c-last")
        name = rnd.choice(names).removeprefix("campaign/")
        sent = sorted(key.removeprefix("campaign/") for key in self._documents if key.startswith("campaign/s"))
        if sent and self._behaviour.random() < 0.25:
            verb = self._behaviour.choice((Verb.PAUSE, Verb.PAUSE, Verb.RESUME, Verb.RESUME, Verb.RESUME, Verb.STOP))
            return Intervention("cli", verb, CampaignId(self._behaviour.choice(sent)))
        roll = rnd.random() * (0.5 if self._campaigns == 1 else 1.0)
        if roll < 0.15 + 0.1 * (self._campaigns == 1):
            return Intervention("cli", Verb.PAUSE, CampaignId(name))
        if roll < 0.5:
            return Intervention("cli", Verb.RESUME, CampaignId(name))
        if roll < 0.53:
            self._stopped.add(name)
            return Intervention("cli", Verb.STOP, CampaignId(name))
        if roll < 0.6:
            wallet = rnd.choice(self._wallets)
            changed = Wallet(wallet.id, wallet.decimals, rnd.choice(tuple(Rounding)), rnd.random() < 0.7)
            return self._publication([changed])
        if roll < 0.66 and len(names) < 7:
            return self._publication([self._campaign(f"c{len(names)}", None)])
        before = self._documents[f"campaign/{name}"]
        assert isinstance(before, Campaign)
        changed_too = self._campaign(name, before)
        if roll < 0.72:  # somebody else published in between: void
            return Publication("late", {f"campaign/{name}": self._revisions[f"campaign/{name}"] + 1}, (changed_too,))
        if name in self._stopped:
            return Publication("late", {}, (changed_too,))
        return self._publication([changed_too])

    def last(self) -> Publication:
        """Return one more campaign, which rewards nearly everything, so that there is always something to decide."""
        plain = Wallet("w-last")
        campaign = Campaign(CampaignId("c-last"), "UTC", Live("Charged"), Points("w-last", Flat(1_000)))
        return self._publication([plain, campaign])

    def _publication(self, documents: list[Any]) -> Publication:
        expects = {key_of(document): self._revisions.get(key_of(document), 0) for document in documents}
        for document in documents:
            key = key_of(document)
            self._revisions[key] = self._revisions.get(key, 0) + 1
            self._documents[key] = document
        return Publication("author", expects, tuple(documents))

    def _campaign(self, name: str, before: Campaign | None) -> Campaign:
        rnd = self._rnd
        wallet = next(w for w in self._wallets if w.id == before.reward.wallet) if before else rnd.choice(self._wallets)
        live = before.qualify if before else None
        assert live is None or isinstance(live, Live)
        event = live.event if live else rnd.choice(EVENTS[: rnd.choice((1, 3))])
        zone = before.timezone if before else rnd.choice(("UTC", "Asia/Kolkata", "America/New_York"))
        grain = int(10 ** (3 - wallet.decimals))
        binding = rnd.random() < 0.6

        def cap(few: int) -> int | None:
            return rnd.randint(1, few) if binding and rnd.random() < 0.25 else None

        def milli(low: int, high: int) -> int:
            return rnd.randint(low * 1000 // grain, high * 1000 // grain) * grain

        earn = rnd.choice((
            Flat(milli(1, 20)),
            Percent(rnd.choice((10_000, 2_500, 33_333, 100_000)), "Amount"),
            Per(milli(1, 10), rnd.choice((1_000, 10_000, 2_500)), "Amount"),
        ))  # fmt: skip
        campaign_milli = milli(50, 600) if binding and rnd.random() < 0.6 else None
        user_milli = milli(20, 50) if binding and rnd.random() < 0.4 else None
        expiry = rnd.random()
        now_ms = self._now_ms
        when = When(
            now_ms + rnd.randint(-DAY_MS, 5_000) if rnd.random() < 0.15 else None,
            now_ms + rnd.randint(6_000, 2 * DAY_MS) if rnd.random() < 0.1 else None,
        )
        # What comes outside of a campaign's time is not remembered for the sake of a revision that changes it.
        lasting = before is not None and live is not None and live.unless is not None
        return Campaign(
            id=CampaignId(name),
            timezone=zone,
            qualify=self._live(name, event, live),
            reward=Points(
                wallet=wallet.id,
                earn=earn,
                max_per_reward_milli=milli(5, 50) if not isinstance(earn, Flat) and rnd.random() < 0.5 else None,
                recurrence=Recurrence(cap(6), cap(2), cap(4), cap(5)),
                validity=Validity(
                    rnd.choice((0, 0, HOUR_MS, 7 * DAY_MS)),
                    rnd.choice((DAY_MS, 30 * DAY_MS)) if expiry < 0.3 else None,
                    now_ms + rnd.randint(1_000, 3 * DAY_MS) if expiry > 0.8 else None,
                ),
                budget=Budget(campaign_milli, user_milli),
                on_insufficient=rnd.choice(tuple(OnInsufficient)) if campaign_milli or user_milli else OnInsufficient.REJECT,
                metadata=self._metadata(rnd),
            ),
            who=before.who if before else self._audience(2) if self._behaviour.random() < 0.5 else None,
            when=before.when if before is not None and lasting else when,
            name=f"campaign {name}" if rnd.random() < 0.5 else None,
        )

    @staticmethod
    def _where(rnd: Random) -> tuple[Condition, ...]:
        possible = (
            Condition("Amount", Op.GTE, (rnd.choice((1, 5, 20)),)),
            Condition("Amount", Op.LT, (rnd.choice((50, 150)),)),
            Condition("Amount", Op.BETWEEN, (2, 100)),
            Condition("plan", Op.EQ, ("gold",)),
            Condition("plan", Op.NE, ("gold",)),
            Condition("plan", Op.IN, ("gold", 3)),
            Condition("plan", Op.EXISTS),
            Condition("plan", Op.NOT_EXISTS),
        )
        return tuple(rnd.sample(possible, rnd.choice((0, 0, 0, 0, 1, 2))))

    @staticmethod
    def _metadata(rnd: Random) -> tuple[MetadataRow, ...]:
        possible = (
            MetadataRow("promo", Literal("festival")),
            MetadataRow("amount", EventProperty("Amount")),
            MetadataRow("tier", UserProperty("tier")),
            MetadataRow("who", FactOf(Fact.USER_ID)),
            MetadataRow("title", FactOf(Fact.CAMPAIGN_NAME)),
            MetadataRow("grant", FactOf(Fact.GRANT_ID)),
            MetadataRow("when", FactOf(Fact.EVENT_TS)),
        )
        return tuple(rnd.sample(possible, rnd.randint(0, 4)))


class Drawn(NamedTuple):
    """A record and what it means. `kind`: event, profile, segment, ignored, dead. `reason` is set where it is dead whenever it comes."""

    value: bytes | None
    partition: int
    kind: str
    user: str = ""
    ts: int = 0
    event: str = ""
    event_id: str | None = None
    properties: dict[str, Any] = {}  # noqa: RUF012 - never changed
    reason: str = ""


class Traffic:
    """Draws records: users are few, so that limits bind."""

    def __init__(self, rnd: Random, partitions: int, lateness_ms: int, ahead_ms: int) -> None:
        self._rnd, self._partitions, self._lateness_ms, self._ahead_ms = rnd, partitions, lateness_ms, ahead_ms
        self._users = [f"u{number}" for number in range(rnd.choice((3, 8, 20)))]
        self._before: list[Drawn] = []
        self._count = 0

    def next(self, now_ms: int) -> Drawn:
        """Return a record to be produced now."""
        roll = self._rnd.random()
        if roll < 0.7 or not self._before:
            drawn = self._event(now_ms)
            self._before.append(drawn)
            return drawn
        if roll < 0.80:
            return self._repeat(self._rnd.choice(self._before[-40:]))
        if roll < 0.92:
            return self._about_a_user(now_ms)
        return self._hostile(now_ms)

    def _ts(self, now_ms: int) -> int:
        rnd, roll = self._rnd, self._rnd.random()
        if roll < 0.8:
            return now_ms - rnd.randint(0, 3_000)
        if roll < 0.92:
            return now_ms - rnd.randint(0, self._lateness_ms * 11 // 10)
        return now_ms + rnd.randint(0, self._ahead_ms * (1 if roll < 0.97 else 2))

    def _home(self, user: str) -> int:
        if self._rnd.random() < 0.03:
            return self._rnd.randrange(self._partitions)
        return partition_of(user, self._partitions)

    def _event(self, now_ms: int) -> Drawn:
        rnd = self._rnd
        self._count += 1
        user, event, ts = rnd.choice(self._users), rnd.choice(EVENTS[: rnd.choice((1, 1, 3))]), self._ts(now_ms)
        properties = {"Amount": rnd.choice(AMOUNTS if rnd.random() < 0.9 else NO_AMOUNTS), "plan": rnd.choice(PLANS), "n": self._count}
        if rnd.random() < 0.05:
            del properties["Amount"]
        event_id = f"e{self._count}" if rnd.random() < 0.8 else None
        return self._as_event(Drawn(None, self._home(user), "event", user, ts, event, event_id, properties))

    def _as_event(self, drawn: Drawn) -> Drawn:
        fields: list[tuple[str, Any]] = [("user", drawn.user), ("event", drawn.event), ("ts", drawn.ts), ("properties", drawn.properties)]
        if drawn.event_id is not None:
            fields.append(("id", drawn.event_id))
        self._rnd.shuffle(fields)
        return drawn._replace(value=json.dumps(dict(fields)).encode())

    def _repeat(self, drawn: Drawn) -> Drawn:
        roll = self._rnd.random()
        if roll < 0.5 or drawn.event_id is None:
            return self._as_event(drawn)
        if roll < 0.75:
            return self._as_event(drawn._replace(properties={"Amount": 77}))
        shift = self._rnd.choice((1, -1)) * self._rnd.choice((1, HOUR_MS, self._lateness_ms, 2 * self._lateness_ms))
        return self._as_event(drawn._replace(ts=drawn.ts + shift))

    def _about_a_user(self, now_ms: int) -> Drawn:
        rnd = self._rnd
        user, ts = rnd.choice(self._users), self._ts(now_ms)
        if rnd.random() < 0.75:
            properties = {"tier": rnd.choice(("a", "b", 7, None)), "age": rnd.choice((1, None))}
            value = {"type": "profile", "user": user, "ts": ts, "properties": properties}
            return Drawn(json.dumps(value).encode(), self._home(user), "profile", user, ts, properties=properties)
        segment = rnd.choice(("loyal", "list/vip"))
        value = {"type": "segment", "user": user, "ts": ts, "segment": segment, "member": rnd.random() < 0.6}
        return Drawn(json.dumps(value).encode(), self._home(user), "segment", user, ts, segment, properties={"member": value["member"]})

    def _hostile(self, now_ms: int) -> Drawn:
        rnd = self._rnd
        partition = rnd.randrange(self._partitions)
        ts = str(now_ms).encode()
        value, reason = rnd.choice((
            (None, ""),
            (b"", ""),
            (b'{"type":"purchase","user":5}', ""),
            (b"{", "not_json"),
            (b'{"user":"u1","event":"Charged","ts":%b,"properties":{"Amount":NaN}}' % ts, "not_json"),
            (b'{"user":"u1","event":"Charged","ts":%b,"properties":{"Amount":1e999}}' % ts, "out_of_range"),
            (b'{"user":"u1","event":"\\ud800","ts":%b}' % ts, "not_unicode"),
            (b'{"user":"\xff","event":"Charged","ts":%b}' % ts, "not_unicode"),
            (b"[1]", "wrong_type"),
            (b'{"user":7,"event":"Charged","ts":%b}' % ts, "wrong_type"),
            (b'{"event":"Charged","ts":%b}' % ts, "missing_field"),
            (b'{"user":"","event":"Charged","ts":%b}' % ts, "out_of_range"),
            (b'{"user":"u1","event":"Charged","ts":12}', "bad_time"),
            (b'{"user":"u1","event":"Charged","ts":"yesterday"}', "bad_time"),
            (b"[" * 40 + b"]" * 40, "too_deep"),
        ))  # fmt: skip
        return Drawn(value, partition, "dead" if reason else "ignored", reason=reason)
