"""Grants per CPU second of a deliver worker that relays them, without calls to endpoints: from the ledger to `reward-granted`.

`python -m benchmarks.relay`; see `--help`. The worker stands ready and frozen while the ledger is filled. Nothing counts unless what
was published are the grants of the ledger.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.load import Rules, VoidError, documents, events
from benchmarks.running import GRANTED, STAGES, Installation, granted_since, machine, measured, say, servers, until


def main() -> int:
    """Make the grants, relay them, and print what that cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__)
    parser.add_argument("--grants", type=int, default=200_000)
    asked = parser.parse_args()
    with servers() as both:
        installation = Installation(both, "relay", "relay.events")
        try:
            maker = installation.worker(",".join(stage for stage, _ in STAGES[:2]))
            relay = installation.worker("deliver")
            installation.wait_ready()
            installation.apply(documents(Rules({}), a_day=1_000_000))
            relay.freeze()
            since = both.client.ends(GRANTED)
            both.client.send(installation.events, events(asked.grants, all_decided=True))
            until(lambda: installation.done("match") and installation.done("decide"), 240, "the grants are made", pause_s=0.2)
            maker.end()
            cpu_s, wall_s = measured(relay, lambda: installation.done("deliver"), 120)
            grants = sorted(installation.ledger())
        finally:
            installation.close()
        if sorted(granted_since(both, since)) != grants:
            raise VoidError("what was published is not what the ledger holds")
        say(f"{len(grants)} grants relayed, none missing, none other")
        result = {
            "grants": len(grants),
            "cpu_s": round(cpu_s, 2),
            "wall_s": round(wall_s, 2),
            "grants_per_cpu_second": round(len(grants) / cpu_s),
            "machine": machine(both),
        }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
