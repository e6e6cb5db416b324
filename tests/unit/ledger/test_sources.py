"""Which candidates are new."""

from __future__ import annotations

import pytest

from livepromo.ledger.sources import (
    UNKNOWN,
    CandidateBatch,
    Source,
    admit,
    admit_all,
    decode_batch,
    encode_batch,
    id_of,
    remember_all,
    remembered,
)
from livepromo.model.formats import FormatError
from livepromo.model.records import Position
from unit.ledger.builders import a_batch, a_candidate, a_grant_id, campaign_budget, user_day


def granted(*numbers: int) -> list[tuple[object, Position]]:
    return [(a_grant_id(n), Position(n, 0)) for n in numbers]


def offsets(candidates: list) -> list[int]:
    return [c.position.offset for c in candidates]


def test_a_batch_is_read_as_it_was_written() -> None:
    batch = CandidateBatch(7, 40, Position(99, 2), (a_candidate(campaign_budget(None), user_day(3, 1, "ü/🎁"), user="ü/🎁", step=4),))
    assert decode_batch(encode_batch(batch)) == batch


@pytest.mark.parametrize("value", [b"\x01" + encode_batch(a_batch(1))[1:], b"\xff", b"{}"])
def test_a_batch_of_another_format_is_refused_with_its_version_and_what_to_do(value: bytes) -> None:
    with pytest.raises(FormatError, match=f"format version {value[0]}.*reads 3.*upgrade"):
        decode_batch(value)


@pytest.mark.parametrize("value", [b"\x03", b"\x03\xc0", encode_batch(a_batch(1))[:-9]])
def test_a_batch_that_is_cut_or_something_else_is_refused(value: bytes) -> None:
    with pytest.raises(FormatError, match="does not read"):
        decode_batch(value)


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(FormatError, match="empty"):
        decode_batch(b"")


def test_a_new_source_has_its_candidates_decided_in_order() -> None:
    source, new = admit(None, a_batch(3, 5, 4, durable=3))
    assert offsets(new) == [3, 5, 4]
    assert source == Source(1, Position(3, 0), {})


def test_candidates_below_the_highest_durable_position_are_dropped_and_one_at_it_is_not() -> None:
    source, _ = admit(None, a_batch(durable=10))
    assert offsets(admit(source, a_batch(8, 9, 10, 11, durable=4))[1]) == [10, 11]
    assert admit(source, a_batch(durable=4))[0].durable == Position(10, 0)


def test_positions_compare_as_pairs() -> None:
    source, _ = admit(None, CandidateBatch(0, 1, Position(10, 2)))
    batch = CandidateBatch(0, 1, Position(10, 2), tuple(a_candidate(number=n, at=10, step=n) for n in range(4)))
    assert [c.position.step for c in admit(source, batch)[1]] == [2, 3]


def test_granted_ids_are_dropped_until_the_durable_position_passes_them() -> None:
    source, _ = admit(None, a_batch(1, 2, 3))
    source = remembered(source, granted(1, 3))
    assert set(source.ids) == {id_of(a_grant_id(1)), id_of(a_grant_id(3))}
    assert offsets(admit(source, a_batch(1, 2, 3))[1]) == [2]
    later, _ = admit(source, a_batch(durable=3))
    assert set(later.ids) == {id_of(a_grant_id(3))}
    assert offsets(admit(later, a_batch(1, 2, 3, 4))[1]) == [4]


def test_an_older_epoch_is_dropped_whole_and_its_position_moves_nothing() -> None:
    source, _ = admit(None, a_batch(epoch=5, durable=2))
    after, new = admit(source, a_batch(7, 8, epoch=4, durable=6))
    assert (after, new) == (source, [])


def test_a_new_owner_keeps_the_memory_of_the_old_one() -> None:
    source, _ = admit(None, a_batch(4, 5, 6, epoch=1, durable=4))
    source = remembered(source, granted(4, 5))
    source, new = admit(source, a_batch(epoch=2, durable=4))
    assert (source.epoch, new) == (2, [])
    assert offsets(admit(source, a_batch(4, 5, 6, epoch=2, durable=4))[1]) == [6]


def test_a_repeat_inside_a_batch_is_dropped() -> None:
    assert offsets(admit(None, a_batch(4, 5, 4, 5, 5))[1]) == [4, 5]


def test_a_denied_candidate_may_come_again() -> None:
    source, _ = admit(None, a_batch(4))
    assert offsets(admit(remembered(source, []), a_batch(4))[1]) == [4]


def test_of_batches_that_are_decided_together_an_id_is_taken_once_also_from_a_new_owner() -> None:
    sources, new = admit_all({}, [a_batch(4, 5), a_batch(epoch=2), a_batch(4, 5, 6, epoch=2), a_batch(7, epoch=1)])
    assert [(s, c.position.offset) for s, c in new] == [(0, 4), (0, 5), (0, 6)]
    assert sources == {0: Source(2, Position(0, 0), {})}


def test_sources_do_not_touch_one_another() -> None:
    one = remembered(Source(9, Position(5, 0), {}), granted(6))
    changed, new = admit_all({1: one}, [a_batch(3, 6, source=2), a_batch(3, 6, 7, epoch=9, source=1)])
    assert [(s, c.position.offset) for s, c in new] == [(2, 3), (2, 6), (1, 7)]
    assert set(changed) == {2}


def test_only_grants_at_or_above_the_durable_position_are_remembered_each_with_its_own_source() -> None:
    sources = {0: Source(1, Position(5, 0), {}), 1: Source(1, Position(9, 0), {})}
    changed = remember_all(
        sources, [(0, a_grant_id(5), Position(5, 0)), (0, a_grant_id(4), Position(4, 0)), (1, a_grant_id(8), Position(8, 0))]
    )
    assert changed == {0: Source(1, Position(5, 0), {id_of(a_grant_id(5)): Position(5, 0)})}


def test_nothing_changes_the_source_that_was_given() -> None:
    source = Source(1, Position(0, 0), {id_of(a_grant_id(1)): Position(1, 0)})
    admit(source, a_batch(2, durable=2, epoch=2))
    remembered(source, granted(7))
    assert source == Source(1, Position(0, 0), {id_of(a_grant_id(1)): Position(1, 0)})
    assert UNKNOWN.ids == {}
