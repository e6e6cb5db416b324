"""The one place where a bug of ours becomes a dead letter instead of an end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from livepromo.engine.histories import Reading, Scanned, scan
from livepromo.engine.horizons import Horizons
from livepromo.engine.partition import Batch, advance
from livepromo.engine.plan import Plan
from livepromo.engine.state import Changes, State
from livepromo.model.records import DeadReason, Malformed

Decoded = TypeVar("Decoded")
Taken = TypeVar("Taken")
Bugs = dict[int, str]
"""Tracebacks of records that are dead letters because of a bug, by their place."""


def decode_all(values: Sequence[bytes | None], decode: Callable[[bytes | None], Decoded], bug: Decoded) -> tuple[list[Decoded], Bugs]:
    """Decode every value; one whose decoding raises counts as `bug`."""
    try:
        return list(map(decode, values)), {}
    except Exception:  # noqa: BLE001 - the boundary: which value it was is found out below
        return _decode_singly(values, decode, bug)


def _decode_singly(values: Sequence[bytes | None], decode: Callable[[bytes | None], Decoded], bug: Decoded) -> tuple[list[Decoded], Bugs]:
    records: list[Decoded] = []
    bugs: Bugs = {}
    for at, value in enumerate(values):
        try:
            records.append(decode(value))
        except Exception:  # noqa: BLE001 - rare, and each value is judged alone
            bugs[at] = traceback.format_exc()
            records.append(bug)
    return records, bugs


def advance_all(state: State, plan: Plan, horizons: Horizons, batch: Batch) -> tuple[Changes, Bugs]:
    """Advance; a record that raises is put aside as a dead letter (`bug`), and the others are taken again without it.

    `advance` is pure, so trying again costs time and nothing else, and the same records give the same result every time.
    Raises what was raised where putting records aside does not help.
    """
    return _without_bugs(lambda some: advance(state, plan, horizons, some), batch)


def scan_all(reading: Reading, met: Scanned, batch: Batch, *, to: int | None = None) -> tuple[Changes, Scanned, Bugs]:
    """Scan past records likewise; one that raises was taken for a dead letter when it came."""
    (changes, more), bugs = _without_bugs(lambda some: scan(reading, met, some, to=to), batch)
    return changes, more, bugs


def _without_bugs(take: Callable[[Batch], Taken], batch: Batch) -> tuple[Taken, Bugs]:
    bugs: Bugs = {}
    while True:
        try:
            return take(batch), bugs
        except Exception:
            # The boundary: the first record whose prefix raises is the one.
            at = _first_that_raises(take, batch)
            if at in bugs:
                raise  # it was put aside already: the bug is not in what a record makes, and no record would be left
            bugs[at] = traceback.format_exc()
            batch = batch._replace(records=[*batch.records[:at], Malformed(DeadReason.BUG), *batch.records[at + 1 :]])


def _first_that_raises(take: Callable[[Batch], object], batch: Batch) -> int:
    good, bad = 0, len(batch.records)  # the first `good` records advance, the first `bad` raise
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            take(batch.up_to(middle))
        except Exception:  # noqa: BLE001 - that is the question
            bad = middle
        else:
            good = middle
    return bad - 1
