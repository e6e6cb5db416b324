"""Erasing a user: nothing of one is left, in memory or in the journal, and one who comes again comes anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from livepromo.engine import erasing, partition
from livepromo.engine.erasing import rows_by_home, was_erased_since
from livepromo.engine.histories import Reading, ask, asked_by, nothing_scanned, scan
from livepromo.engine.journalling import Part, Surroundings, merge_ids, parts_of, restore_part
from livepromo.engine.partition import advance
from livepromo.engine.plan import EMPTY_PLAN, Plan, compile_plan
from livepromo.engine.state import State, mark_of, merge
from livepromo.model.ids import CampaignId, UserId
from livepromo.model.records import Erase, Membership, Position, Record
from unit.engine.builders import HORIZONS, HOUR, MINUTE, T0, a_batch, a_campaign, a_catalogue, a_coupon, charged, profile, supplies

U1 = UserId("u1")
AROUND = Surroundings(8, "2025b")
UNLESS = {"unless": {"event": "Charged", "within": "30m", "grace": "5s"}, "same": ["Product"]}
SEEN_OFTEN = {"did": {"event": "Viewed", "count": {"gte": 100}, "within": "30d"}}
PLAN = compile_plan(a_catalogue(a_campaign("rescue", "Added", qualify=UNLESS), a_campaign("fans", who=SEEN_OFTEN)))


def erase(ts: int = T0, user: str = "u1") -> Erase:
    return Erase(UserId(user), ts)


def added(product: str, at: int = T0, user: str = "u1") -> Record:
    return charged(at, f"a-{product}-{user}-{at}", user=user, event="Added", Product=product)


class Partition:
    """A partition, its journal, and how many batches it took."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.plan, self.state, self.journal, self.batches = plan, State(HORIZONS), list[Part](), 0
        self.made: list[Any] = []
        self.erased: list[tuple[str, int]] = []

    def take(self, *records: Record) -> None:
        """Take records, in as many batches as they want."""
        first, at = self.state.position.offset, 0
        while at < len(records):
            changes = advance(self.state, self.plan, HORIZONS, a_batch(records, first=first).behind(at))
            at += changes.took
            self.batches += 1
            self.made += changes.outcomes
            self.erased += changes.erased
            self.journal += parts_of(self.state, changes, AROUND)
            merge_ids(self.state, changes, merge(self.state, changes))

    def compacted(self) -> list[Part]:
        """Return the newest record of each key that is no tombstone."""
        newest = {key: at for at, (key, _) in enumerate(self.journal)}
        return [part for at, part in enumerate(self.journal) if newest[part[0]] == at and part[1] is not None]


def restored(parts: Iterable[Part]) -> State:
    state = State(HORIZONS)
    for key, payload in parts:
        restore_part(state, key, payload)
    return state


def everything(user: str = "u1") -> list[Record]:
    views = [charged(T0 + n, f"v{n}", user=user, event="Viewed") for n in range(200)]
    return [
        profile(user=user, plan="gold"),
        Membership(UserId(user), T0, "loyal", True),
        *views,
        added("p1", user=user),
        added("p2", user=user),
    ]


def test_nothing_of_the_user_is_left_and_everything_of_others() -> None:
    partition, others = Partition(), Partition()
    partition.take(*everything(), *everything("u2"), erase())
    others.take(*everything("u2"))
    assert partition.state.users.keys() == {"u2"}
    assert partition.state.user(UserId("u2")) == others.state.user(UserId("u2"))
    assert partition.state.open_windows == others.state.open_windows
    for parts in (partition.journal, partition.compacted()):
        state = restored(parts)
        assert state.users.keys() == {"u2"}
        assert +state.open_windows == others.state.open_windows
        assert (state.position, state.erased) == (partition.state.position, partition.state.erased)
    assert not [key for key, _ in partition.compacted() if b"u1" in key]


def test_windows_of_the_user_do_not_fire() -> None:
    partition = Partition()
    partition.take(added("p1"), added("p1", user="u2"), erase(), charged(T0 + HOUR, user="u3"))
    assert [(one.campaign, one.user) for one in partition.made] == [("rescue", "u2")]


def test_what_was_due_before_the_record_has_fired() -> None:
    partition = Partition()
    partition.take(added("p1"), erase(T0 + 31 * MINUTE))
    assert [one.campaign for one in partition.made] == ["rescue"]


def test_one_who_comes_again_comes_anew() -> None:
    partition = Partition()
    partition.take(*everything(), erase(), charged(T0 + 1000, "again"), profile(T0 + 1000, age=40))
    assert dict(partition.state.user(U1).properties) == {"age": 40}
    assert partition.made == []  # the hundred views are not remembered
    assert dict(restored(partition.journal).user(U1).properties) == {"age": 40}


def test_whoever_was_never_read_of_is_not_known_by_being_erased() -> None:
    partition = Partition()
    partition.take(erase())
    assert not partition.state.users
    assert partition.erased == [("u1", 0)]  # rows may have been counted for all that


def test_erased_again_there_is_nothing_more() -> None:
    partition = Partition()
    partition.take(*everything(), erase(), erase())
    assert not partition.state.users
    assert len(partition.erased) == 2


@pytest.mark.parametrize("batch_bytes", [1, 700, 5_000])
def test_what_does_not_fit_into_a_batch_is_erased_in_several(monkeypatch: pytest.MonkeyPatch, batch_bytes: int) -> None:
    whole = Partition()
    whole.take(*everything(), *everything("u2"), erase(), profile(T0 + 1, age=40))
    monkeypatch.setattr(erasing, "BATCH_BYTES", batch_bytes)
    monkeypatch.setattr(partition, "BATCH_BYTES", batch_bytes)
    parts = Partition()
    parts.take(*everything(), *everything("u2"), erase(), profile(T0 + 1, age=40))
    assert parts.batches > whole.batches
    assert parts.erased == whole.erased
    for state in (parts.state, restored(parts.journal), restored(parts.compacted())):
        assert {user: state.user(user) for user in state.users} == {user: whole.state.user(user) for user in whole.state.users}
        assert +state.open_windows == +whole.state.open_windows
        assert state.position == whole.state.position


def test_an_owner_who_ended_in_the_middle_is_followed_by_one_who_goes_on() -> None:
    first = Partition()
    first.take(*everything())
    before = first.state.position
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(erasing, "BATCH_BYTES", 1)
        changes = advance(first.state, PLAN, HORIZONS, a_batch([erase()], first=before.offset))
        assert (changes.took, changes.position, changes.erased) == (0, Position(before.offset, 1), [])
    first.journal += parts_of(first.state, changes, AROUND)
    second = Partition()
    second.state, second.journal = restored(first.journal), first.journal
    second.take(erase())
    assert not second.state.users
    assert not restored(second.journal).users


def test_what_was_read_before_is_known_to_be_so_and_nobodys_name_is_kept_for_it() -> None:
    partition = Partition()
    partition.take(added("p1"), erase(), added("p2"))
    for state in (partition.state, restored(partition.journal)):
        assert was_erased_since(state, U1, 0)
        assert not was_erased_since(state, U1, 1)
        assert not was_erased_since(state, UserId("u2"), 0)
        assert all(b"u1" not in mark for mark in state.erased)


def test_a_look_back_that_is_read_later_brings_nothing_back_from_before() -> None:
    state = State(HORIZONS)
    state.position, state.erased = Position(10, 0), {mark_of(U1): 5}
    rules = [rule for some in PLAN.rules.values() for rule in some]
    ask(state, asked_by(state, EMPTY_PLAN, PLAN, {rule.key: 0 for rule in rules}))
    state.catalogue = PLAN.position
    views = [charged(T0 + n, f"v{n}", user=user, event="Viewed") for n, user in enumerate(["u1", "u2", "u1"])]
    reading = Reading(state, PLAN, HORIZONS, PLAN.position)
    changes, _ = scan(reading, nothing_scanned(HORIZONS), a_batch([views[0], views[1], erase(T0 + 2)], first=3))
    assert changes.changed == {"u2"}
    changes, _ = scan(reading, nothing_scanned(HORIZONS), a_batch([views[2]], first=6))
    assert changes.changed == {"u1"}


def test_rows_are_those_of_every_campaign_where_each_is_decided() -> None:
    catalogue = a_catalogue(a_campaign("points"), a_campaign("codes", reward=a_coupon()), *supplies())
    assert set(rows_by_home(catalogue, U1)) == {("points", "points/u1"), ("coupon/spring", "codes/u1")}
    assert CampaignId("points") in {one.document.id for one in catalogue.entries.values()}
