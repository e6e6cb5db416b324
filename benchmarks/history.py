"""What a record of the past costs when it is read for rules that were asked for just now: `python -m benchmarks.history`."""

from __future__ import annotations

import json
import time
from random import Random

from livepromo.behaviour.decoding import decode
from livepromo.documents.catalogue import Catalogue, Publication, take
from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine.boundary import decode_all, scan_all
from livepromo.engine.histories import Reading, ask, asked_by, met_more, new_rules, nothing_scanned
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import Surroundings, merge_ids, parts_of
from livepromo.engine.partition import Batch
from livepromo.engine.plan import EMPTY_PLAN, Plan, compile_plan
from livepromo.engine.state import State, merge
from livepromo.model.documents import key_of
from livepromo.model.records import DeadReason, Malformed, Position

RECORDS, USERS, AT_ONCE = 200_000, 20_000, 5_000
T0 = 1_764_547_200_000
RULES = (0, 1, 10)
EVENTS = ("Charged", "Viewed", "Searched", "Added", "Opened")


def a_plan(rules: int) -> Plan:
    """Return a plan whose audiences ask for so many rules of one event in five, and name it."""
    campaigns = [
        {
            "kind": "campaign",
            "id": f"c{number}",
            "qualify": {"live": {"event": "Charged"}},
            "who": {"did": {"event": "Charged", "within": f"{number + 1}d", "count": {"gte": 3}}} if number < rules else {"sample": 5},
            "reward": {"points": {"wallet": "w", "earn": {"flat": 1}}},
        }
        for number in range(max(1, rules))
    ]
    read, problems = check_content(json.dumps([{"kind": "wallet", "id": "w"}, *campaigns]).encode(), "bench.json", "UTC")
    assert not problems, problems
    documents = tuple(documents_of(read))
    catalogue, _ = take(Catalogue(), 0, T0, Publication("bench", {key_of(one): 0 for one in documents}, documents))
    return compile_plan(catalogue)


def values() -> list[bytes]:
    """Return records of a week."""
    random = Random(1)
    return [
        json.dumps(
            {
                "id": f"e{number}",
                "user": f"user-{random.randrange(USERS)}",
                "event": random.choice(EVENTS),
                "ts": T0 + number * 3_000,
                "properties": {"Amount": number % 500, "Product ID": f"p{number % 900}"},
            }
        ).encode()
        for number in range(RECORDS)
    ]


def measure(rules: int, records: list[bytes]) -> tuple[float, float]:
    """Return the microseconds of CPU and the bytes of journal that a record costs."""
    plan, horizons, state = a_plan(rules), Horizons(), State(Horizons())
    state.position, state.stream_ms, state.catalogue = Position(RECORDS, 0), T0 + RECORDS * 3_000, plan.position
    ask(state, asked_by(state, EMPTY_PLAN, plan, {rule.key: 0 for rule in new_rules(state, plan)}))
    name = next(iter(state.scans), None)
    met, written, began_s = nothing_scanned(horizons), 0, time.process_time()
    for start in range(0, RECORDS, AT_ONCE):
        decoded, _ = decode_all(records[start : start + AT_ONCE], decode, Malformed(DeadReason.BUG))
        batch = Batch(range(start, start + len(decoded)), decoded, [T0 + RECORDS * 3_000] * len(decoded))
        while name is not None:
            changes, more, _ = scan_all(Reading(state, plan, horizons, name), met, batch)
            written += sum(len(key) + len(payload or b"") for key, payload in parts_of(state, changes, Surroundings(1, "2026a")))
            merge_ids(state, changes, merge(state, changes))
            met = met_more(met, more)
            if changes.took == len(batch.records):
                break
            batch = batch.behind(changes.took)
    return (time.process_time() - began_s) / RECORDS * 1e6, written / RECORDS


def main() -> None:
    """Print a line for each number of rules; with none a record is decoded and nothing else."""
    records = values()
    for rules in RULES:
        microseconds, written = measure(rules, records)
        print(f"{rules:3} rules: {microseconds:.1f} µs of CPU and {written:.0f} bytes of journal a record, of which one in five counts")


if __name__ == "__main__":
    main()
