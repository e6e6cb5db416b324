"""How long it takes to fill an empty Redis from the ledger: `livepromo ledger rebuild` of 200,000 grants.

`python -m benchmarks.rebuild`; see `--help`. Nothing counts unless `livepromo ledger verify` agrees afterwards.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import redis
from benchmarks.load import Rules, documents, events
from benchmarks.running import STAGES, Installation, machine, say, servers, until, written


def main() -> int:
    """Make the grants, forget the table, rebuild it, and print what that cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description=__doc__)
    parser.add_argument("--grants", type=int, default=200_000)
    parser.add_argument("--json", type=Path, help="write the result there")
    asked = parser.parse_args()
    with servers() as both:
        installation = Installation(both, "rebuild", "rebuild.events")
        try:
            worker = installation.worker(",".join(stage for stage, _ in STAGES[:2]))
            installation.wait_ready()
            installation.apply(documents(Rules({}), a_day=1_000_000))
            both.client.send(installation.events, events(asked.grants, all_decided=True))
            until(lambda: installation.done("match") and installation.done("decide"), 240, "the grants are made", pause_s=0.2)
            worker.end()
            with redis.Redis(port=both.redis.port) as client:
                rows = client.dbsize()
                client.flushall()
            before, started, redis_before = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), both.redis_cost()
            said = installation.cli("ledger", "rebuild")
            wall_s, after, redis_after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN), both.redis_cost()
            say(said.strip())
            say(installation.cli("ledger", "verify").strip())
        finally:
            installation.close()
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        result = {
            "grants": asked.grants,
            "keys": rows,
            "cpu_s": round(cpu_s, 2),
            "us_per_grant": round(cpu_s / asked.grants * 1e6, 2),
            "wall_s": round(wall_s, 2),
            "redis_cpu_s": round(redis_after.cpu_s - redis_before.cpu_s, 2),
            "machine": machine(both),
        }
    print(json.dumps(result))
    if asked.json is not None:
        written(result, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
