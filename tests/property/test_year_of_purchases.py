"""A year of real purchases: whom an audience describes, as a segment, in a live campaign and when it is sent, recounted by brute force."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine.horizons import Horizons
from livepromo.model.decisions import Grant
from livepromo.simulation.run import Simulation, run_recorded

DAY = 86_400_000
RECORDED = Path(__file__).parents[1] / "data" / "completejourney.jsonl.gz"
SENDS = {"2017-03-01T00:00Z": 1_488_326_400_000, "2017-07-01T12:00Z": 1_498_910_400_000, "2017-12-31T00:00Z": 1_514_678_400_000}


class Asked(NamedTuple):
    """At least so many purchases of so much in 30 days, and no coupon redeemed in the last 60."""

    count: int
    amount: int

    def who(self) -> dict[str, Any]:
        where = [{"property": "amount", "op": "gte", "value": self.amount}]
        did = {"event": "purchase", "where": where, "count": {"gte": self.count}, "within": "30d"}
        return {"all": [{"did": did}, {"did_not": {"event": "coupon_redeemed", "within": "60d"}}]}


class Household(NamedTuple):
    """When it bought for as much as is asked, and when it redeemed a coupon, in the order read."""

    bought_ms: list[int]
    redeemed_ms: list[int]

    def is_regular(self, asked: Asked, at_ms: int) -> bool:
        bought = sum(at_ms - 30 * DAY <= ms <= at_ms for ms in self.bought_ms)
        return bought >= asked.count and not any(at_ms - 60 * DAY <= ms <= at_ms for ms in self.redeemed_ms)


class Recounted(NamedTuple):
    live: list[tuple[str, str]]  # user and event, in the order read
    sent: dict[str, list[str]]  # users, by instant


def recounted(asked: Asked, lines: list[bytes]) -> Recounted:
    households: defaultdict[str, Household] = defaultdict(lambda: Household([], []))
    live: list[tuple[str, str]] = []
    seen: set[tuple[str, str]] = set()
    for line in lines:
        record = json.loads(line)
        user, at_ms = record["user"], record["ts"]
        assert (user, record["id"]) not in seen, "no event is recorded twice"
        seen.add((user, record["id"]))
        household = households[user]
        if record["event"] == "coupon_redeemed":
            household.redeemed_ms.append(at_ms)
        else:
            if record["properties"]["amount"] >= asked.amount:
                household.bought_ms.append(at_ms)
            if household.is_regular(asked, at_ms):
                live.append((user, record["id"]))
    return Recounted(
        live, {name: sorted(user for user, one in households.items() if one.is_regular(asked, at)) for name, at in SENDS.items()}
    )


def campaign(name: str, qualify: dict[str, Any], who: dict[str, Any], **more: Any) -> dict[str, Any]:
    points = {"points": {"wallet": "grocery", "earn": {"flat": 1}}}
    return {"kind": "campaign", "id": name, "qualify": qualify, "who": who, "reward": points, **more}


def documents(who: dict[str, Any]) -> list[dict[str, Any]]:
    purchase, saved = {"live": {"event": "purchase"}}, {"segment": "regular"}
    found = [{"kind": "wallet", "id": "grocery"}, {"kind": "segment", "id": "regular", "who": who}]
    found += [campaign("live-segment", purchase, saved), campaign("live-who", purchase, who)]
    for number, instant in enumerate(SENDS):
        when = {"send": instant}
        found += [campaign(f"past-segment-{number}", {"past": {}}, saved, when=when)]
        found += [campaign(f"past-who-{number}", {"past": {}}, who, when=when)]
    return found


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    with gzip.open(RECORDED) as file:
        return file.read().splitlines()


@pytest.mark.parametrize("asked", [Asked(5, 20), Asked(2, 20), Asked(5, 5)], ids=["5-of-20", "2-of-20", "5-of-5"])
def test_a_segment_a_live_audience_and_a_past_one_are_whom_brute_force_finds(asked: Asked, lines: list[bytes]) -> None:
    expected = recounted(asked, lines)
    if asked != (5, 20):  # nobody bought for 20 or more that often
        assert len(expected.live) > 30, len(expected.live)
        assert sum(map(len, expected.sent.values())) > 20, expected.sent
    read, problems = check_content(json.dumps(documents(asked.who())).encode(), "year.json", "UTC")
    assert not [problem for problem in problems if problem.severity == "error"]
    decided: defaultdict[str, list[Any]] = defaultdict(list)
    for decision in run_recorded(Simulation(Horizons()), documents_of(read), lines):
        assert isinstance(decision, Grant)
        grant = json.loads(decision.as_json())
        is_live = grant["cause"]["kind"] == "did"
        decided[grant["campaign"]].append((grant["user"], grant["cause"]["event_id"]) if is_live else grant["user"])
    assert decided["live-segment"] == expected.live
    assert decided["live-who"] == expected.live
    for number, users in enumerate(expected.sent.values()):
        assert decided[f"past-segment-{number}"] == users
        assert decided[f"past-who-{number}"] == users
