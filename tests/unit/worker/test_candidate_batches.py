"""Whatever an event makes fits into records of the candidates topic, and their grants into batches of the ledger."""

from __future__ import annotations

import pytest

from livepromo.engine.sweeping import BATCH_BYTES, CANDIDATE_BYTES
from livepromo.ledger.deciding import decide_all
from livepromo.ledger.entries import encode, grant_entry, key_of
from livepromo.ledger.sources import CandidateBatch, encode_batch
from livepromo.model.decisions import Candidate, Grant
from livepromo.model.records import Position
from livepromo.streaming import journal
from livepromo.worker.decide import BATCH_CANDIDATE_BYTES
from livepromo.worker.match import CANDIDATE_BATCH_BYTES, _in_batches
from unit.engine.builders import T0, Partition, a_campaign, a_plan, charged

LIMITS = {"recurrence": {"total": 10**9, "day": 10**9, "week": 10**9, "month": 10**9}, "budget": {"campaign": 10**9, "user": 10**8}}


def candidates(campaigns: int, *, name: str, user: str, event: str, text: str) -> list[Candidate]:
    """Return what one event makes for so many campaigns, as long as a batch of the engine may be."""
    rows = [{"key": "text", "from": "event.text"}]
    plan = a_plan(*(a_campaign(f"{n}{name}"[:63], event, metadata=rows, **LIMITS) for n in range(campaigns)))
    found: list[Candidate] = []
    for one in Partition(plan).take(charged(T0, "e", user=user, event=event, text=text)):
        assert isinstance(one, Candidate)
        found.append(one)
    return found


@pytest.mark.parametrize(
    ("name", "user", "event", "text"),
    [
        ("c", "u", "e", ""),
        ("c" * 63, "u", "e", ""),
        ("c" * 63, "\U0001f600" * 255, "\U0001f600" * 255, ""),
        ("c", "\x01" * 255, "\x01" * 255, "\x01" * 900),
        ("c", "u", "e", "x" * 3000),
    ],
)
def test_every_record_fits_and_so_does_the_batch_of_its_grants(name: str, user: str, event: str, text: str) -> None:
    made = candidates(1000, name=name, user=user, event=event, text=text)
    assert len(made) == 1000
    batches = list(_in_batches(made))
    assert [one for batch in batches for one in batch] == made
    assert len(batches) > 1
    for batch in batches:
        size = len(encode_batch(CandidateBatch(0, 1, Position(0, 0), batch)))
        decisions, _ = decide_all({}, batch)
        grants = [encode_pair(one) for one in decisions if isinstance(one, Grant)]
        assert len(grants) == len(batch)
        together = max(1, BATCH_CANDIDATE_BYTES // size)  # so many such records are decided at once
        assert together * journal.batch_bytes(grants) < journal.BATCH_BYTES


def encode_pair(grant: Grant) -> tuple[bytes, bytes]:
    entry = grant_entry(grant, 0)
    return key_of(entry), encode(entry)


def test_what_a_batch_of_the_engine_makes_mostly_stays_one_record() -> None:
    assert CANDIDATE_BATCH_BYTES >= BATCH_BYTES
    assert CANDIDATE_BATCH_BYTES >= CANDIDATE_BYTES
    assert list(_in_batches([])) == []


def test_the_largest_candidates_stand_in_pairs_at_most() -> None:
    made = candidates(5, name="c", user="u", event="e", text="x" * 260_000)
    assert [len(batch) for batch in _in_batches(made)] == [2, 2, 1]
