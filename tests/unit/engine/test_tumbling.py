"""A tumbling table names everyone in time, in order, whatever the order of filing (beside a list that is searched whole)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.engine.tumbling import Tumbling
from livepromo.model.ids import UserId
from livepromo.model.time import DAY_MS, FOREVER_MS, SECOND_MS
from unit.engine.builders import T0

SPANS = [1, 999, SECOND_MS, 63 * SECOND_MS, 64 * SECOND_MS, 3_600_000, DAY_MS, 40 * DAY_MS, 400 * DAY_MS]


class Filing:
    """A table, and where everyone is filed by now; nobody who was looked at is filed any more."""

    def __init__(self) -> None:
        self.table = Tumbling()
        self.filed: dict[UserId, int] = {}

    def file(self, name: str, due_ms: int) -> None:
        user = UserId(name)
        self.filed[user] = due_ms
        self.table.file(due_ms, user)

    def due_of(self, user: UserId) -> int:
        return self.filed.get(user, FOREVER_MS)

    def open(self, before_ms: int) -> None:
        self.table.open_until(before_ms, self.due_of)

    def near(self) -> list[tuple[int, UserId]]:
        """Return who is near and still filed there; who was filed anew since has left an entry behind."""
        return list(dict.fromkeys(one for one in self.table.near if self.due_of(one[1]) == one[0]))

    def expected(self, before_ms: int) -> list[tuple[int, UserId]]:
        return sorted((due_ms, user) for user, due_ms in self.filed.items() if due_ms < before_ms)


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_everyone_is_named_before_they_are_due_and_in_order(random: Random) -> None:
    filing, now_ms = Filing(), T0
    for _ in range(random.randint(1, 60)):
        step = random.random()
        if step < 0.6:
            due_ms = now_ms + random.choice((-1, 1, 1, 1)) * random.randrange(random.choice(SPANS))
            filing.file(f"ü{random.randrange(30)}", due_ms)
        else:
            now_ms += random.randrange(random.choice(SPANS))
            if step < 0.8:
                filing.open(now_ms)
            else:
                while filing.table.next_ms < now_ms:  # as a sweep does
                    filing.open(filing.table.next_ms + 1)
            assert filing.near()[: len(filing.expected(now_ms))] == filing.expected(now_ms)
        assert filing.table.near == sorted(filing.table.near)
        assert set(filing.expected(filing.table.next_ms)) <= set(filing.near())
        if random.random() < 0.2 and filing.table.near:
            count = random.randint(1, len(filing.table.near))
            for due_ms, user in filing.table.near[:count]:
                if filing.due_of(user) == due_ms:
                    del filing.filed[user]
            filing.table.drop(count)
    filing.open(FOREVER_MS - 1)
    assert filing.near() == filing.expected(FOREVER_MS)
    assert filing.table.next_ms == FOREVER_MS


def test_the_first_bucket_that_is_opened_after_a_restore_holds_what_is_due_within_hours_and_not_everything() -> None:
    filing = Filing()
    for hour in range(2_000):
        filing.file(f"u{hour}", T0 + hour * 3_600_000)
    asked: list[UserId] = []
    filing.table.open_until(filing.table.next_ms + 1, lambda user: asked.append(user) or filing.due_of(user))
    assert 1 <= len(asked) <= 2


@pytest.mark.parametrize("span_ms", SPANS)
def test_nobody_is_brought_near_long_before_they_are_due(span_ms: int) -> None:
    filing = Filing()
    filing.open(T0)
    filing.file("u1", T0 + span_ms)
    filing.open(T0 + span_ms - SECOND_MS)
    assert filing.table.near == []
    filing.open(T0 + span_ms + 1)
    assert filing.table.near == [(T0 + span_ms, UserId("u1"))]


def test_who_is_filed_under_no_instant_is_nowhere() -> None:
    filing = Filing()
    filing.file("u1", FOREVER_MS)
    assert len(filing.table) == 0


def test_who_is_filed_twice_under_one_instant_is_named_once() -> None:
    filing = Filing()
    for _ in range(2):
        filing.file("u1", T0 + DAY_MS)
    filing.open(T0 + DAY_MS + 1)
    assert filing.table.near == [(T0 + DAY_MS, UserId("u1"))]


def test_the_longest_name_stands_in_the_table_whole() -> None:
    filing, name = Filing(), "\U0001f381" * 255
    filing.file(name, T0 + DAY_MS)
    filing.file("u1", T0 + DAY_MS)
    filing.open(T0 + DAY_MS + 1)
    assert filing.table.near == [(T0 + DAY_MS, UserId("u1")), (T0 + DAY_MS, UserId(name))]
