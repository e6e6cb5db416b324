"""Has documents and lines judged twice, by the engine and by the rules restated, and objects unless both say the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.documents.references import check_documents
from livepromo.engine import erasing, partition, sweeping
from livepromo.engine.horizons import Horizons
from livepromo.model.time import FOREVER_MS
from livepromo.simulation import run
from livepromo.simulation.run import Simulation, decision_line, run_recorded
from property.restated import GRACE, OPEN_WINDOWS, Recount
from property.restated_values import Document, Sent, Tree, tree_of

Codes = dict[str, list[str]]
Verdict = tuple[list[tuple[str, Tree]], Counter[str]]
"""Decisions in order, and what became of how many lines."""
Judge = Callable[..., Verdict]
"""`by_rules` or `by_engine`."""

# Seeds, though they do not shrink: histories drawn choice by choice by Hypothesis are short and mostly of the simplest choices.
drawn = given(st.integers(0, 2**64 - 1).map(Random), st.sampled_from((1, 3, 2000)), st.sampled_from((1, 700, 512 * 1024)))


def by_engine(
    documents: list[Document],
    codes: Codes,
    lines: Sequence[Sent],
    *,
    lists: Codes | None = None,
    until: int | None = None,
    grace: int = GRACE,
    open_windows: int = OPEN_WINDOWS,
    slice_records: int = 2000,
    batch_bytes: int = 512 * 1024,
) -> Verdict:
    """Return what `simulate` decides, whatever the sizes of its slices."""
    read, problems = check_content(json.dumps(documents).encode(), "drawn.json", "UTC")
    problems += check_documents(read, None, now_ms=None, strict=False)
    assert not [problem.text for problem in problems if problem.severity == "error"]
    simulation = Simulation(Horizons(grace_ms=grace, open_windows=open_windows), {pool: tuple(some) for pool, some in codes.items()})
    meant, texts = documents_of(read), (sent.line for sent in lines)
    with (
        patch.object(run, "SLICE_RECORDS", slice_records),
        patch.object(partition, "BATCH_BYTES", batch_bytes),
        patch.object(sweeping, "BATCH_BYTES", batch_bytes),
        patch.object(erasing, "BATCH_BYTES", batch_bytes),
    ):
        decisions = list(run_recorded(simulation, meant, texts, FOREVER_MS if until is None else until, lists=lists))
    found = [(kind, body) for _, [(kind, body)] in map(tree_of, map(decision_line, decisions))]
    summary = simulation.summary
    return found, Counter(summary.dead) + Counter(taken=summary.taken, repeat=summary.repeats, ignored=summary.ignored)


def by_rules(
    documents: list[Document],
    codes: Codes,
    lines: Sequence[Sent],
    *,
    lists: Codes | None = None,
    until: int | None = None,
    grace: int = GRACE,
    open_windows: int = OPEN_WINDOWS,
) -> Verdict:
    """Return what the rules say, restated."""
    recount = Recount(documents, codes, lists, grace=grace, open_windows=open_windows)
    for sent in lines:
        recount.take(sent)
    recount.end() if until is None else recount.end(until)
    return recount.decisions, recount.counts


def agree(
    documents: list[Document],
    codes: Codes,
    lines: Sequence[Sent],
    *,
    lists: Codes | None = None,
    until: int | None = None,
    grace: int = GRACE,
    open_windows: int = OPEN_WINDOWS,
    slice_records: int,
    batch_bytes: int,
) -> list[tuple[str, Tree]]:
    """Object unless the engine decides as the rules say; return the decisions."""
    rules, expected = by_rules(documents, codes, lines, lists=lists, until=until, grace=grace, open_windows=open_windows)
    ours, counts = by_engine(
        documents,
        codes,
        lines,
        lists=lists,
        until=until,
        grace=grace,
        open_windows=open_windows,
        slice_records=slice_records,
        batch_bytes=batch_bytes,
    )
    for number, (one, other) in enumerate(zip(ours, rules, strict=False)):
        assert one == other, number
    assert len(ours) == len(rules)
    assert counts == expected
    return rules


def sentence(case: Any) -> str:
    """Return the id of a test: the sentence that the case shows."""
    return re.sub(r"\W+", "-", case.says)


def told(verdict: Verdict) -> list[tuple[str, str, int, str | None]]:
    """Return what decisions say: of which event, of which campaign, as of when, and why not."""
    found = []
    for _, (_, pairs) in verdict[0]:
        body = dict(pairs)
        cause = dict(body["cause"][1])
        at = body.get("granted_at", body.get("decided_at"))[1]
        assert cause["kind"] != "did_not" or cause["deadline"] == ("#", at)
        found.append((cause.get("event_id", body["user"]), body["campaign"], int(at), body.get("reason")))
    return found
