"""Two campaigns that share a pool of codes, for tests: documents, records, and a recount of what was given."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recount import cause_of, check_delivered, ledger
from whole import DENIED, In, Installation

POOL = "coupon/spring"
COUPON = """
kind: coupon
id: spring
type: bulk
user_redemption_limit: 2
"""
CAMPAIGNS = """
kind: campaign
id: once
qualify: {live: {event: Paid}}
reward: {coupon: {type: bulk, coupon: spring, max_per_user: 1}}
---
kind: campaign
id: every
qualify: {live: {event: Paid}}
reward: {coupon: {type: bulk, coupon: spring}}
"""
MARK = "SPR-"


def some_codes(count: int, seed: int) -> list[str]:
    """Return codes of 12 letters that differ, none of which may be seen anywhere but in a grant."""
    draw = random.Random(seed)
    return [f"{MARK}{n:06d}{draw.choice('ABCDEFGH')}{draw.choice('ABCDEFGH')}" for n in draw.sample(range(10**6), count)]


def payments(users: int, each: int, first_user: int = 0) -> list[In]:
    """Return so many payments of each user, in rounds, as of now."""
    now_ms = int(time.time() * 1000)
    return [
        In(user, json.dumps({"id": f"{user}-{n}", "user": user, "event": "Paid", "ts": now_ms}).encode())
        for n in range(each)
        for user in (f"u{number}" for number in range(first_user, first_user + users))
    ]


def write(installation: Installation, name: str, text: str) -> Path:
    """Write a file of the test's."""
    path = installation.home / name
    path.write_text(text)
    return path


def publish(installation: Installation, codes: Sequence[str]) -> None:
    """Publish the coupon, import its codes, publish the campaigns; a worker must run, so that all payments come after that."""
    installation.cli("apply", write(installation, "coupon.yaml", COUPON), "--no-wait")
    installation.cli("codes", "import", POOL, write(installation, "codes.txt", "\n".join(codes)))
    installation.cli("apply", write(installation, "campaigns.yaml", CAMPAIGNS))


def shown(installation: Installation, key: str) -> dict[str, Any]:
    """Return what `livepromo get` says of a document."""
    [found] = json.loads(installation.cli("get", key, "--json").stdout)
    assert isinstance(found, dict)
    return found


def look(installation: Installation, imported: int) -> int:
    """Object unless given and left are what was imported; return how many are left. Workers may go on meanwhile."""
    before = len(ledger(installation))
    pool = shown(installation, POOL)
    after = len(ledger(installation))
    assert pool["codes"] == imported
    left = pool["codes_left"]
    assert before <= imported - left <= after, (before, pool, after)
    assert isinstance(left, int)
    return left


def check_draws(installation: Installation, codes: Sequence[str], payments: int) -> Counter[tuple[str, str]]:
    """Object unless every code was given, each once, and everybody else denied for the right reason; return how often which reason.

    All codes were imported before the first payment, so who finds none is told so, unless he has had all that he may have.
    """
    grants = ledger(installation)
    given = [grant.said["reward"]["code"] for grant in grants]
    assert len(given) == len(set(given)), "a code was given twice"
    assert set(given) == set(codes), (len(given), len(codes))
    for grant in grants:
        reward = grant.said["reward"]
        assert {**reward, "code": None, "redeemable_at": None} == {
            "type": "coupon",
            "coupon": "spring",
            "kind": "bulk",
            "code": None,
            "redeemable_at": None,
            "redemption_allowance": 2,
        }
        assert reward["redeemable_at"] == grant.said["granted_at"]
    once = Counter(grant.said["user"] for grant in grants if grant.campaign == "once")
    assert set(once.values()) <= {1}
    check_delivered(installation, grants)
    denials = {cause_of(said): said for record in installation.read(DENIED) if (said := json.loads(record.value or b""))}
    granted = {cause_of(grant.said) for grant in grants}
    assert len(granted) == len(grants)
    denied = {cause: said for cause, said in denials.items() if cause not in granted}
    assert len(granted) + len(denied) == 2 * payments, (len(granted), len(denied))
    for said in denied.values():
        had = said["campaign"] == "once" and said["user"] in once
        assert said["reason"] == ("user_total" if had else "codes_exhausted"), said
    return Counter((said["campaign"], said["reason"]) for said in denied.values())


def check_secret(installation: Installation) -> None:
    """Object if a code stands in a log or in what commands say."""
    for log in installation.home.glob("worker-*.log"):
        assert MARK not in log.read_text(errors="replace"), log
    assert MARK.encode() not in installation.cli("get", "--json").stdout
    assert MARK.encode() not in installation.cli("get").stdout
    assert MARK.encode() not in installation.cli("history", "--json").stdout
