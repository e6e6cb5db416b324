"""What the ledger's entries are, and add up to."""

from __future__ import annotations

import msgspec
import pytest

from livepromo.ledger.deciding import decide
from livepromo.ledger.entries import Entry, GrantEntry, PositionEntry, decode, encode, grant_entry, key_of
from livepromo.ledger.folding import NOTHING_DECIDED, Progress, fold, fold_all, rows_needed
from livepromo.ledger.sources import Source, id_of
from livepromo.model.decisions import Grant
from livepromo.model.formats import FormatError
from livepromo.model.records import Position
from unit.ledger.builders import a_candidate, a_grant_id, campaign_budget, user_budget, user_day, user_total


def a_grant_entry(number: int = 1, day: int = 20, source: int = 0) -> GrantEntry:
    grant = decide({}, a_candidate(user_total(9), user_day(day, 3), user_budget(None), campaign_budget(500), number=number))
    assert isinstance(grant, Grant)
    return grant_entry(grant, source)


def test_an_entry_is_read_as_it_was_written() -> None:
    entries: list[Entry] = [
        a_grant_entry(),
        PositionEntry(10**12, {0: (3, Position(4, 5)), 700: (2**40, Position(0, 0))}),
        PositionEntry(0, {}),
    ]
    for entry in entries:
        assert decode(encode(entry)) == entry


def test_a_grant_stands_under_its_id_and_a_position_under_one_key() -> None:
    assert key_of(a_grant_entry(5)) == a_grant_id(5).encode()
    assert key_of(PositionEntry(1, {})) == b"@position"


def test_an_entry_has_the_grant_as_published_and_what_it_was_made_of() -> None:
    candidate = a_candidate(campaign_budget(500), number=8, partial=True)
    grant = decide({"camp": {"amount": 493}}, candidate)
    assert isinstance(grant, Grant)
    entry = grant_entry(grant, 6)
    assert entry.body == grant.as_json()
    assert (entry.grant_id, entry.campaign, entry.user, entry.reward_type) == (candidate.grant_id, "camp", "u1", "points")
    assert (entry.source, entry.position, entry.received_ms, entry.amount_units) == (6, Position(8, 0), candidate.received_ms, 7)
    assert entry.adds == (("camp", "amount", 7),)


@pytest.mark.parametrize("payload", [b"\x07" + encode(a_grant_entry())[1:], b"\x00"])
def test_an_entry_of_another_format_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError, match=f"format version {payload[0]}.*upgrade"):
        decode(payload)


def test_an_entry_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(FormatError, match="does not read"):
        decode(encode(PositionEntry(1, {})).replace(b"\xa1p", b"\xa1q"))


def test_nothing_folds_to_nothing() -> None:
    assert fold_all([]) == ({}, NOTHING_DECIDED)


def test_grants_add_up_and_rows_that_are_given_stay_as_they_are() -> None:
    rows = {"camp": {"amount": 100}, "camp/u9": {"total": 1}}
    changed, _ = fold([a_grant_entry(1), a_grant_entry(2)], rows, NOTHING_DECIDED)
    assert changed == {"camp": {"amount": 120}, "camp/u1": {"total": 2, "day:20": 2, "amount": 20}}
    assert rows == {"camp": {"amount": 100}, "camp/u9": {"total": 1}}


def test_a_fold_keeps_the_periods_that_deciding_keeps() -> None:
    rows, _ = fold_all([a_grant_entry(n, day) for n, day in enumerate((20, 21, 23, 19, 22, 24))])
    assert {slot for slot in rows["camp/u1"] if slot.startswith("day")} == {"day:22", "day:23", "day:24"}


def test_the_rows_needed_are_those_that_are_added_to() -> None:
    assert rows_needed([a_grant_entry(), PositionEntry(1, {})]) == {"camp", "camp/u1"}


def test_grants_are_remembered_until_their_source_is_durable_beyond_them() -> None:
    _, progress = fold_all([a_grant_entry(4), a_grant_entry(6), PositionEntry(50, {0: (3, Position(5, 0))}), a_grant_entry(7)])
    ids = {id_of(a_grant_id(6)): Position(6, 0), id_of(a_grant_id(7)): Position(7, 0)}
    assert progress == Progress(50, {0: Source(3, Position(5, 0), ids)})


def test_a_source_that_an_entry_does_not_name_stays_as_it_was() -> None:
    before = Progress(10, {1: Source(3, Position(5, 0), {})})
    _, after = fold([PositionEntry(20, {0: (9, Position(1, 0))})], {}, before)
    assert after == Progress(20, {0: Source(9, Position(1, 0), {}), 1: Source(3, Position(5, 0), {})})
    assert before == Progress(10, {1: Source(3, Position(5, 0), {})})


def test_a_ledger_from_before_grants_made_calls_is_still_read() -> None:
    entry = a_grant_entry()
    *before, call = msgspec.msgpack.decode(encode(entry)[1:])
    assert call is None
    assert decode(b"\x01" + msgspec.msgpack.encode(before)) == entry
