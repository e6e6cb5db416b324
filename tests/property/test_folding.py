"""Folding the ledger against the owner who wrote it, and against a recount."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.ledger.deciding import Row, decide_all
from livepromo.ledger.entries import Entry, GrantEntry, PositionEntry, decode, encode, grant_entry
from livepromo.ledger.folding import NOTHING_DECIDED, Progress, fold, fold_all, rows_needed
from livepromo.ledger.sources import CandidateBatch, Source, admit_all, remember_all
from livepromo.model.decisions import Candidate, Grant, Limit, Reason
from livepromo.model.records import Position
from unit.ledger.builders import a_candidate


def candidate_of(source: int, offset: int) -> Candidate:
    """Return what an offset of a source makes, always the same."""
    random = Random(source * 1000 + offset)
    user, day, amount = f"u{random.randint(1, 3)}", offset // 8 + random.randint(-3, 3), random.randint(1, 9)
    row = f"camp/{user}"
    limits = (
        Limit(Reason.USER_TOTAL, row, "total", 12, 1),
        Limit(Reason.USER_DAY, row, f"day:{day + 10}", 2 if random.random() < 0.5 else None, 1),
        Limit(Reason.CAMPAIGN_MONTH, "camp", f"month:{day // 5 + 10}", None, 1),
        Limit(Reason.CAMPAIGN_BUDGET, "camp", "amount", 150, amount),
    )
    return a_candidate(*limits, number=source * 1000 + offset, user=user, amount=amount, partial=random.random() < 0.5, at=offset)


def written(random: Random) -> tuple[list[tuple[Entry, ...]], list[tuple[dict[str, Row], Progress]]]:
    """Return a ledger, slice by slice, and what its writer held after each."""
    log = [CandidateBatch(source, 0, Position(0, 0)) for source in (0, 1)]
    place = {0: 0, 1: 0}
    epoch = {0: 0, 1: 0}
    for _ in range(random.randint(1, 30)):
        source = random.randint(0, 1)
        epoch[source] += random.random() < 0.2
        end = place[source] + random.randint(1, 5)
        log.append(
            CandidateBatch(
                source, epoch[source], Position(place[source], 0), tuple(candidate_of(source, o) for o in range(place[source], end))
            )
        )
        if random.random() < 0.7:
            place[source] = end
    rows: dict[str, Row] = {}
    sources: dict[int, Source] = {}
    slices: list[tuple[Entry, ...]] = []
    held: list[tuple[dict[str, Row], Progress]] = []
    at = 0
    while at < len(log):
        end = min(len(log), at + random.randint(1, 4))
        named, new = admit_all(sources, log[at:end])
        sources |= named
        decisions, changed = decide_all(rows, [candidate for _, candidate in new])
        rows |= changed
        grants = [grant_entry(d, s) for (s, _), d in zip(new, decisions, strict=True) if isinstance(d, Grant)]
        sources |= remember_all(sources, [(g.source, g.grant_id, g.position) for g in grants])
        slices.append((*grants, PositionEntry(end, {n: (s.epoch, s.durable) for n, s in sources.items() if n in named})))
        held.append((dict(rows), Progress(end, dict(sources))))
        at = end
    return slices, held


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_a_fold_of_the_ledger_in_any_pieces_is_what_its_writer_held(seed: int) -> None:
    random = Random(seed)
    slices, held = written(random)
    entries = [decode(encode(entry)) for entries in slices for entry in entries]
    assert fold_all(entries) == held[-1]
    rows: dict[str, Row] = {}
    progress = NOTHING_DECIDED
    at = 0
    while at < len(entries):
        end = at + random.randint(1, 9)
        needed = rows_needed(entries[at:end])
        changed, progress = fold(entries[at:end], {name: rows[name] for name in needed if name in rows}, progress)
        assert set(changed) <= needed
        rows |= changed
        at = end
    assert (rows, progress) == held[-1]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_a_fold_goes_on_from_any_slice(seed: int, at: int) -> None:
    slices, held = written(Random(seed))
    at = min(at, len(slices) - 1)
    rows, progress = held[at]
    changed, after = fold([entry for entries in slices[at + 1 :] for entry in entries], rows, progress)
    assert (rows | changed, after) == held[-1]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_rows_are_what_a_recount_of_the_ledger_says(seed: int) -> None:
    slices, _ = written(Random(seed))
    grants = [entry for entries in slices for entry in entries if isinstance(entry, GrantEntry)]
    rows, _ = fold_all(grants)
    assert len({grant.grant_id for grant in grants}) == len(grants)
    assert rows.get("camp", {}).get("amount", 0) == sum(grant.amount_units for grant in grants) <= 150
    assert sum(used for slot, used in rows.get("camp", {}).items() if slot.startswith("month:")) == len(grants)
    for user in {grant.user for grant in grants}:
        row = rows[f"camp/{user}"]
        assert row["total"] == sum(grant.user == user for grant in grants) <= 12
        days = [slot for grant in grants if grant.user == user for _, slot, _ in grant.adds if slot.startswith("day:")]
        newest = sorted({int(day[4:]) for day in days})[-3:]
        assert {slot: used for slot, used in row.items() if slot.startswith("day:")} == {f"day:{d}": days.count(f"day:{d}") for d in newest}
