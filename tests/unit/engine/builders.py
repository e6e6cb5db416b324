"""Catalogues, plans, records and batches for the tests of the engine's room, each made of what a test is about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from livepromo.documents.catalogue import Catalogue, Intervention, Publication, Verb, revision_of, take
from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine.horizons import Horizons
from livepromo.engine.partition import Batch, advance
from livepromo.engine.plan import Plan, compile_plan
from livepromo.engine.state import Changes, State, merge
from livepromo.ledger.deciding import Row, Stock, decide_all
from livepromo.model.decisions import Candidate, Denial, Grant
from livepromo.model.documents import key_of
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.records import Event, Position, Profile, Record

T0 = 1_764_547_200_000  # 2025-12-01T00:00:00Z, a Monday
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
HORIZONS = Horizons()
GROCERY: dict[str, Any] = {"kind": "wallet", "id": "grocery", "decimals": 2}


def a_campaign(
    name: str = "c", event: str = "Charged", *, reward: Any = None, qualify: Any = None, who: Any = None, when: Any = None, **points: Any
) -> dict[str, Any]:
    """Return a campaign that gives 10 points for every event, but for what is said."""
    campaign: dict[str, Any] = {
        "kind": "campaign",
        "id": name,
        "qualify": {"live": {"event": event, **(qualify or {})}},
        "reward": reward or {"points": {"wallet": "grocery", "earn": {"flat": 10}, **points}},
    }
    return campaign | ({} if who is None else {"who": who}) | ({} if when is None else {"when": when})


def publish(catalogue: Catalogue, *documents: dict[str, Any], at: int = T0) -> Catalogue:
    """Return the catalogue after one publication of sound documents."""
    read, problems = check_content(json.dumps(documents).encode(), "test.json", "UTC")
    assert not problems, [problem.text for problem in problems]
    meant = documents_of(read)
    expects = {key_of(one): revision_of(catalogue, key_of(one)) for one in meant}
    after, valid = take(catalogue, catalogue.position, at, Publication("test", expects, tuple(meant)))
    assert valid
    return after


def intervene(catalogue: Catalogue, verb: Verb, campaign: str = "c") -> Catalogue:
    """Return the catalogue after a pause, resume or stop."""
    after, valid = take(catalogue, catalogue.position, T0, Intervention("test", verb, CampaignId(campaign)))
    assert valid
    return after


def a_catalogue(*campaigns: dict[str, Any], wallet: dict[str, Any] | None = None, at: int = T0 - DAY) -> Catalogue:
    """Return a catalogue of a wallet and campaigns, published together a day before T0, unless said otherwise."""
    return publish(Catalogue(), wallet or GROCERY, *campaigns, at=at)


def a_plan(*campaigns: dict[str, Any], wallet: dict[str, Any] | None = None, at: int = T0 - DAY) -> Plan:
    """Return the plan of such a catalogue."""
    return compile_plan(a_catalogue(*campaigns, wallet=wallet, at=at))


SUPPLIES: dict[str, dict[str, Any]] = {
    "coupon/spring": {"type": "bulk", "user_redemption_limit": 2},
    "coupon/ten": {"type": "single", "code": "SAVE10"},
    "partner/amazon": {},
    "voucher_list/amazon/Holiday": {"user_redemption_limit": 3},
    "item/watch": {},
    "wallet/cash": {"external": True, "decimals": 2},
    "endpoint/gifts": {"url": "https://gifts.example"},
}
"""Documents of every kind that rewards refer to, by kind/id."""


def supplies(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all of these documents; those of a kind that is named are changed."""
    found = []
    for key, fields in SUPPLIES.items():
        kind, _, name = key.partition("/")
        found.append({"kind": kind, "id": name, **fields, **changed.get(kind, {})})
    return found


def a_coupon(**options: Any) -> dict[str, Any]:
    """Return a reward of a code of its own out of the bulk coupon `spring`, but for what is said."""
    return {"coupon": {"type": "bulk", "coupon": "spring", **options}}


def a_voucher(**options: Any) -> dict[str, Any]:
    """Return a reward of a code of Amazon's list `Holiday`."""
    return {"voucher": {"partner": "amazon", "list_tag": "Holiday", **options}}


def an_item(**options: Any) -> dict[str, Any]:
    """Return a reward of a watch."""
    return {"custom": {"endpoint": "gifts", "item": "watch", **options}}


def some_credits(earn: dict[str, Any] | None = None, *, max_per_reward: float | None = None, **options: Any) -> dict[str, Any]:
    """Return a reward of 10 credits, but for what is said."""
    credit: dict[str, Any] = {"wallet": "cash", "earn": earn or {"flat": 10}}
    if max_per_reward is not None:
        credit["max_per_reward"] = max_per_reward
    return {"custom": {"endpoint": "gifts", "credits": credit, **options}}


def charged(ts: int = T0, name: str | None = None, *, user: str = "u1", event: str = "Charged", **properties: Any) -> Event:
    """Return an event; `name` is its id."""
    return Event(UserId(user), event, ts, name, properties)


def profile(ts: int = T0, *, user: str = "u1", **properties: Any) -> Profile:
    return Profile(UserId(user), ts, properties)


def a_batch(records: Sequence[Record], *, first: int = 0, received: Sequence[int | None] | None = None) -> Batch:
    """Return records at consecutive offsets; when they were received is not known, unless it is said."""
    return Batch(range(first, first + len(records)), records, [None] * len(records) if received is None else received)


class Partition:
    """A partition to which records are handed; what it has made so far."""

    def __init__(self, plan: Plan, horizons: Horizons = HORIZONS, **codes: Sequence[str]) -> None:
        self.plan, self.horizons, self.state = plan, horizons, State(horizons)
        named = {"spring": "coupon/spring", "holiday": "voucher_list/amazon/Holiday"}
        self.stocks = {pool: Stock(0, tuple(codes.get(name, ())), len(codes.get(name, ()))) for name, pool in named.items()}
        self.rows: dict[str, Row] = {}
        self.last = Changes(self.state, horizons)
        self.forgotten: list[int] = []

    def take(self, *records: Record, received: Sequence[int | None] | None = None) -> list[Candidate | Denial]:
        """Take records, all in one batch; return what they make."""
        first = self.state.position.offset
        self.last = advance(self.state, self.plan, self.horizons, a_batch(records, first=first, received=received))
        assert self.last.took == len(records)
        self.last.position = Position(first + len(records), 0)
        self.forgotten = merge(self.state, self.last)
        return self.last.outcomes

    def decide(self, *records: Record, received: Sequence[int | None] | None = None) -> list[Grant | Denial]:
        """Take records; return what becomes of them within limits."""
        outcomes = self.take(*records, received=received)
        candidates = [one for one in outcomes if isinstance(one, Candidate)]
        decided, changed = decide_all(self.rows, candidates, self.stocks)
        self.rows.update(changed)
        following = iter(decided)
        return [next(following) if isinstance(one, Candidate) else one for one in outcomes]


def body(decision: Grant | Denial) -> dict[str, Any]:
    """Return a decision as published."""
    found: dict[str, Any] = json.loads(decision.as_json())
    return found


def said(decisions: Sequence[Grant | Denial]) -> list[Any]:
    """Return the points, the code or the value of each grant, and the reason of each denial."""
    return [_given(body(one)["reward"]) if isinstance(one, Grant) else one.reason.value for one in decisions]


def _given(reward: dict[str, Any]) -> Any:
    return next(reward[name] for name in ("points", "code", "value") if name in reward)
