"""Ids are remembered for so long as an event could repeat them (rules, Repeats)."""

from __future__ import annotations

import pytest

from livepromo.behaviour.repeats import ITEM_BYTES, RecentIds, hour_of, key_of, pack, unpack
from livepromo.model.ids import UserId
from livepromo.model.time import DAY_MS, HOUR_MS

T = 1764547200123


def a_memory() -> RecentIds:
    return RecentIds(repeats_ms=DAY_MS, lateness_ms=DAY_MS)


def test_an_id_is_a_repeat_for_a_day_both_ways_and_both_ends_count() -> None:
    memory = a_memory()
    memory.add(7, T)
    assert [d for d in (-DAY_MS - 1, -DAY_MS, 0, DAY_MS, DAY_MS + 1) if memory.seen(7, T + d)] == [-DAY_MS, 0, DAY_MS]
    assert not memory.seen(8, T)


def test_an_id_taken_again_after_its_time_is_remembered_from_both() -> None:
    memory = a_memory()
    for taken_ms in (T, T + 2 * DAY_MS, T + 5 * DAY_MS):
        memory.add(7, taken_ms)
    assert memory.seen(7, T + DAY_MS)
    assert memory.seen(7, T + 3 * DAY_MS)
    assert not memory.seen(7, T + 3 * DAY_MS + 1)
    assert memory.seen(7, T + 6 * DAY_MS)


def test_the_same_id_of_another_user_is_another() -> None:
    keys = {key_of(UserId(user), name) for user, name in (("u1", "e1"), ("u2", "e1"), ("u1", "e2"), ("u1e", "1"), ("u", "1e1"))}
    assert len(keys) == 5
    assert key_of(UserId("u1"), "e1") == 4717025187661736720  # kept in journals, so it may never change
    assert all(0 <= key < 2**64 for key in keys)


def test_adding_twice_changes_nothing() -> None:
    memory = a_memory()
    memory.add(7, T)
    memory.add(7, T + 1)
    memory.add(7, T)
    memory.add(7, T + 1)
    assert len(memory) == 2
    assert memory.bucket(hour_of(T)) == [(7, T), (7, T + 1)]


def test_ids_go_when_no_event_that_may_still_be_taken_could_repeat_them() -> None:
    memory = a_memory()
    first = hour_of(T) * HOUR_MS
    last = first + HOUR_MS - 1
    memory.add(1, first)
    memory.add(2, last)
    memory.add(3, last + 1)
    assert memory.expire(last + 2 * DAY_MS) == []
    assert memory.seen(2, last + DAY_MS)
    assert memory.expire(last + 2 * DAY_MS + 1) == [hour_of(T)]
    assert not memory.seen(1, first)
    assert not memory.seen(2, last)
    assert memory.seen(3, last + 1)
    assert memory.hours() == [hour_of(T) + 1]
    assert len(memory) == 1


def test_of_an_id_taken_several_times_only_what_is_old_goes() -> None:
    memory = a_memory()
    for taken_ms in (T, T + 2 * DAY_MS, T + 4 * DAY_MS):
        memory.add(7, taken_ms)
    assert memory.expire(T + 3 * DAY_MS) == [hour_of(T)]
    assert not memory.seen(7, T)
    assert memory.seen(7, T + 2 * DAY_MS)
    assert memory.expire(T + 9 * DAY_MS) == [hour_of(T) + 48, hour_of(T) + 96]
    assert len(memory) == len(memory._times) == 0
    assert not memory.seen(7, T + 4 * DAY_MS)


def test_an_id_takes_12_bytes_and_comes_back_the_same() -> None:
    hour = hour_of(T)
    items = [(0, hour * HOUR_MS), (2**64 - 1, hour * HOUR_MS + HOUR_MS - 1), (7, T)]
    packed = pack(items)
    assert len(packed) == 3 * ITEM_BYTES == 36
    assert packed[24:] == (7).to_bytes(8, "little") + (T - hour * HOUR_MS).to_bytes(4, "little")
    assert list(unpack(hour, packed)) == items


def test_a_memory_is_restored_from_its_hours_in_any_order() -> None:
    memory = a_memory()
    for n in range(50):
        memory.add(n, T + n * HOUR_MS // 3)
    restored = a_memory()
    for hour in reversed(memory.hours()):
        restored.add_many(hour, pack(memory.bucket(hour)))
    assert {hour: restored.bucket(hour) for hour in restored.hours()} == {hour: memory.bucket(hour) for hour in memory.hours()}
    assert all(restored.seen(n, T + n * HOUR_MS // 3) for n in range(50))


def test_a_memory_takes_in_another_also_twice() -> None:
    memory, fresh = a_memory(), a_memory()
    memory.add(1, T)
    fresh.add(2, T + 5 * HOUR_MS)
    memory.update(fresh)
    memory.update(fresh)
    assert memory.seen(1, T)
    assert memory.seen(2, T)
    assert len(memory) == 2


@pytest.mark.parametrize("packed", [b"x", b"x" * 13, (7).to_bytes(8, "little") + HOUR_MS.to_bytes(4, "little")])
def test_damaged_ids_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        a_memory().add_many(5, packed)
