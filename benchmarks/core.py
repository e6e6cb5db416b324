"""Processor time per event of the pure path alone: no Kafka, no Redis; what the worker's figures are made of.

`python -m benchmarks.core`. Each step takes slices of 2,000 events; shown are the least and the median over slices, so that what else
the machine does disturbs little. Then: what 10, 100 and 1,000 campaigns on the same event cost.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from benchmarks.load import FIRST_MS, documents, events, rules_for

from livepromo.behaviour.decoding import decode
from livepromo.documents.catalogue import Catalogue, Publication, key_of, take
from livepromo.documents.files import read_files
from livepromo.engine.boundary import decode_all
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import Surroundings, merge_ids, parts_of
from livepromo.engine.partition import Batch, advance
from livepromo.engine.plan import Plan, compile_plan
from livepromo.engine.state import State, merge
from livepromo.ledger.deciding import Row, decide_all
from livepromo.ledger.entries import encode, grant_entry
from livepromo.ledger.sources import CandidateBatch, decode_batch, encode_batch
from livepromo.model.decisions import Candidate, Grant
from livepromo.model.records import DeadReason, Malformed, Position, Record

SLICE = 2_000
RECEIVED_MS = FIRST_MS + 86_400_000 * 30
_BUG: Record = Malformed(DeadReason.BUG)
Answer = TypeVar("Answer")


def plan_of(text: str) -> Plan:
    """Return the plan that documents make."""
    with TemporaryDirectory() as home:
        file = Path(home, "campaigns.yaml")
        file.write_text(text)
        read, problems = read_files([str(file)], "UTC")
    assert not problems, problems
    made = tuple(one.document for one in read)
    catalogue, valid = take(Catalogue(), 0, FIRST_MS, Publication("bench", {key_of(one): 0 for one in made}, made))
    assert valid
    return compile_plan(catalogue)


def path(values: list[bytes], plan: Plan) -> dict[str, list[float]]:
    """Take the values as one partition's log through every pure step; return microseconds per event of each slice, by step."""
    taken: dict[str, list[float]] = {}
    state, horizons, surroundings, rows = State(Horizons()), Horizons(), Surroundings(1, "2026a"), dict[str, Row]()

    def timed(step: str, work: Callable[[], Answer]) -> Answer:
        before = time.process_time_ns()
        answer = work()
        taken.setdefault(step, []).append((time.process_time_ns() - before) / 1000 / SLICE)
        return answer

    for start in range(0, len(values) - SLICE + 1, SLICE):
        piece = values[start : start + SLICE]
        records, _ = timed("decode", lambda piece=piece: decode_all(piece, decode, _BUG))
        batch = Batch(range(start, start + SLICE), records, [RECEIVED_MS] * SLICE)
        changes = timed("advance", lambda batch=batch: advance(state, plan, horizons, batch))
        assert changes.took == SLICE
        changes.position = Position(start + SLICE, 0)
        made = tuple(one for one in changes.outcomes if isinstance(one, Candidate))
        value = timed("encode candidates", lambda made=made, at=start: encode_batch(CandidateBatch(0, 0, Position(at, 0), made)))
        timed("journal parts", lambda changes=changes: parts_of(state, changes, surroundings))
        timed("merge", lambda changes=changes: merge_ids(state, changes, merge(state, changes)))
        candidates = timed("decode candidates", lambda value=value: decode_batch(value)).candidates
        names = {limit.row for candidate in candidates for limit in candidate.limits}
        held = {name: rows[name] for name in names if name in rows}
        decisions, changed = timed("decide", lambda held=held, some=candidates: decide_all(held, some))
        rows.update(changed)
        timed("encode grants", lambda some=decisions: [encode(grant_entry(one, 0)) for one in some if isinstance(one, Grant)])
    return taken


def many_campaigns(values: list[bytes], text: str, plan: Plan) -> list[float]:
    """Return microseconds of `advance` per event of the names that are watched."""
    records = [record for record in map(decode, values) if getattr(record, "event", None) in plan.named]
    taken = []
    for start in range(0, len(records) - SLICE + 1, SLICE):
        batch = Batch(range(SLICE), records[start : start + SLICE], [RECEIVED_MS] * SLICE)
        before = time.process_time_ns()
        advance(State(Horizons()), plan, Horizons(), batch)
        taken.append((time.process_time_ns() - before) / 1000 / SLICE)
    assert taken, f"too few events for {text}"
    return taken


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    asked = parser.parse_args()
    sent = list(events(asked.events))
    rules = rules_for(one.cause for one in sent if one.cause is not None)
    values = [one.value for one in sent]
    del sent
    gc.freeze()  # the load is not what is measured
    found = path(values, plan_of(documents(rules)))
    print(f"{'CPU-µs per event':<28}{'median':>8}{'least':>8}")
    for step, each in found.items():
        print(f"{step:<28}{statistics.median(each):8.2f}{min(each):8.2f}")
    print(f"{'together':<28}{sum(map(statistics.median, found.values())):8.2f}{sum(map(min, found.values())):8.2f}")
    print()
    for count in (10, 100, 1_000):
        each = many_campaigns(values, f"{count} campaigns", plan_of(documents(rules, more=count - 10)))
        print(f"{f'advance, {count} campaigns':<28}{statistics.median(each):8.2f}{min(each):8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
