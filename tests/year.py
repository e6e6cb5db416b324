"""A year of a grocer's customers, sent as the world sends records: out of order, without ids, twice, and changed the second time."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

from whole import DATA, In

HOUR_MS = 3_600_000
SHUFFLED_MS = 5_000
LATEST_REPEAT_MS = 20 * HOUR_MS  # ids are remembered for 24 h, and nothing older than that is taken
TIERS = ("gold", "silver", None)


def recorded() -> list[dict[str, Any]]:
    """Return the 49,345 events of completejourney.jsonl.gz."""
    with gzip.open(DATA / "completejourney.jsonl.gz") as lines:
        return [json.loads(line) for line in lines]


def year(seed: int = 1, every: int = 1) -> list[In]:
    """Return the year's records in order of arrival, or those of one user in `every`; the same for the same seed.

    Shuffled within 5 s. 5 % have no id. 5 % come twice, up to 20 hours later, half of those with an id with other content, those without
    one in another spelling. And a profile now and then.
    """
    draw = random.Random(seed)
    arriving: list[tuple[float, In]] = []
    for event in recorded():
        user, ts = event["user"], event["ts"]
        if int(user) % every:
            continue
        at = ts + draw.uniform(0, SHUFFLED_MS)
        if draw.random() < 0.05:
            del event["id"]
        arriving.append((at, In(user, _text(event))))
        if draw.random() < 0.05:
            if "id" not in event:
                again = _respelled(event, draw)
            elif draw.random() < 0.5:
                again = _text(event | {"properties": {"amount": 77.7, "lines": 3, "store": "367", "coupon": 5, "discount": 6}})
            else:
                again = _text(event)
            arriving.append((at + draw.uniform(0, LATEST_REPEAT_MS), In(user, again)))
        if draw.random() < 0.01:
            profile = {"type": "profile", "user": user, "ts": ts, "properties": {"tier": draw.choice(TIERS), "seen": ts}}
            arriving.append((at + draw.uniform(0, SHUFFLED_MS), In(user, _text(profile))))
    arriving.sort(key=lambda pair: pair[0])
    return [record for _, record in arriving]


def _text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _respelled(event: dict[str, Any], draw: random.Random) -> bytes:
    """Return the same event with its keys in another order, whole numbers as fractions, and blanks."""
    properties = list(event["properties"].items())
    draw.shuffle(properties)
    again = {name: float(value) if type(value) is int else value for name, value in properties}
    return json.dumps({"properties": again, **{key: event[key] for key in ("ts", "event", "user")}}, indent=1).encode()
