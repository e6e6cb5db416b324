"""The same work as a plain Faust agent: match by plain Python, one Redis script per decided event, one send per grant.

It does less: nothing is remembered of repeats, no grant is in any ledger, and what is lost in a crash is lost.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import faust
import msgspec
import orjson
import redis.asyncio
from benchmarks.load import CAMPAIGNS, DAY_MS, PER_DAY, POINTS_PERCENT, Rules

# The user's day, then the campaign's budget: the order in which livepromo looks at limits.
SCRIPT = """
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 'user_day' end
if ARGV[2] ~= '' and tonumber(redis.call('GET', KEYS[2]) or '0') + tonumber(ARGV[3]) > tonumber(ARGV[2]) then return 'campaign_budget' end
redis.call('INCRBY', KEYS[1], 1)
redis.call('INCRBY', KEYS[2], ARGV[3])
return 'granted'
"""


class Task(msgspec.Struct):
    """What the agent is to do, and where it says what that cost."""

    bootstrap: str
    redis: str
    events: str
    granted: str
    count: int
    rules: Rules
    result: str


class Outcome(msgspec.Struct):
    """Processor time of the process from the first event to the last, and how many of the decisions were grants."""

    cpu_s: float
    wall_s: float
    decisions: int
    grants: int


def main(task: Task) -> None:
    """Read every event, and end."""
    app = faust.App(
        "plain-faust",
        broker=f"kafka://{task.bootstrap}",
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    events = app.topic(task.events, value_serializer="raw", key_serializer="raw")
    granted = app.topic(task.granted, value_serializer="raw", key_serializer="raw")
    by_event: dict[str, list[tuple[str, frozenset[str], str]]] = {}
    for campaign in CAMPAIGNS:
        budget = task.rules.budgets.get(campaign.id)
        cap = "" if budget is None else str(100 * budget)
        by_event.setdefault(campaign.event, []).append((campaign.id, frozenset(campaign.categories), cap))
    table = redis.asyncio.Redis.from_url(task.redis)
    check = table.register_script(SCRIPT)
    result = Path(task.result)
    outcome = Outcome(0.0, 0.0, 0, 0)
    began: list[float] = []
    read = 0

    async def reward(stream: Any) -> None:
        nonlocal read
        async for value in stream:
            if not began:
                began[:] = time.process_time(), time.monotonic()
            event = orjson.loads(value)
            properties = event["properties"]
            for campaign, categories, cap in by_event.get(event["event"], ()):
                if properties["category"] not in categories:
                    continue
                units = round(properties["Amount"] * POINTS_PERCENT)
                outcome.decisions += 1
                keys = [f"{campaign}/{event['user']}/{event['ts'] // DAY_MS}", f"{campaign}/amount"]
                if await check(keys=keys, args=[PER_DAY, cap, units]) == b"granted":
                    outcome.grants += 1
                    grant = {
                        "grant_id": f"{campaign}/{event['id']}",
                        "campaign": campaign,
                        "user": event["user"],
                        "granted_at": event["ts"],
                        "cause": {"kind": "did", "event_id": event["id"], "event": event["event"], "ts": event["ts"]},
                        "reward": {
                            "type": "points",
                            "wallet": "bench",
                            "points": units / 100,
                            "metadata": {"product": properties["product"]},
                        },
                    }
                    await granted.send(key=event["user"].encode(), value=orjson.dumps(grant))
            read += 1
            if read == task.count:
                await app.producer.flush()
                outcome.cpu_s, outcome.wall_s = time.process_time() - began[0], time.monotonic() - began[1]
                result.write_bytes(msgspec.json.encode(outcome))  # noqa: ASYNC240 - the last thing it does
                os._exit(0)

    app.agent(events)(reward)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Task))
