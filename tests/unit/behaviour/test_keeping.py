"""What is kept of a user comes back as it was, however it is packed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.behaviour import lone, users
from livepromo.behaviour.keeping import NOBODY, Kept, filed_ms, pack, pack_window, unpack
from livepromo.behaviour.occurrences import Remembered
from livepromo.behaviour.users import User
from livepromo.behaviour.windows import Done, Group, Trigger, due_of, group_key, head_of, packed_properties, value_of
from livepromo.behaviour.windows import pack as pack_group
from livepromo.model.time import FOREVER_MS

T = 1_764_547_200_000
VALUES: list[Any] = ["p1", "", 'a"b', "ü", 1, 1.5, True, 2**70, [1], {"a": "p1"}]


def a_trigger(random: Random) -> Trigger:
    names = random.sample(["Product ID", "Amount", "ü", "currency"], random.randint(0, 4))
    properties = packed_properties({name: random.choice(VALUES) for name in names})
    ahead_ms = random.choice((0, 0, 0, 7))
    offset = random.choice((0, 5, 2**33, 2**45, 2**50))
    return Trigger(T + random.randrange(10**9), offset, random.randint(1, 3), random.choice(("e1", "p1")), ahead_ms, properties)


def a_done(random: Random) -> Done:
    return Done(T + random.randrange(10**9), random.randrange(2**33), 1, random.randint(1, 3))


def a_group(random: Random) -> bytes:
    group = Group()
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice((group.open, group.triggers)).append(a_trigger(random))
    if random.random() < 0.2:
        random.choice((group.done, group.dones)).append(a_done(random))
    group.held_ms = random.choice((0, 0, 0, T + 5))
    return pack_group(group, T + random.randrange(10**10))


def some_windows(random: Random) -> dict[str, bytes]:
    found = {}
    for _ in range(random.choice((0, 1, 1, 1, 2, 5, 12))):
        value = value_of({"a": random.choice(["p1", "", 'a"b', "ü", 1, 1.5, "long" * 30])}, random.choice(([], ["a"], ["a", "a"])))
        assert value is not None
        found[group_key(random.choice(("c1", "cart-reminder")), value)] = a_group(random)
    return found


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_everything_kept_of_a_user_comes_back(random: Random) -> None:
    who = random.choice((users.UNKNOWN, User({"plan": "gold"}, frozenset({"vip"}))))
    remembered = {
        bytes([number] * 8): Remembered(random.choice((0, 0, 3)), tuple(b"x" * 8 for _ in range(random.choice((1, 1, 2)))))
        for number in range(random.choice((0, 0, 1, 3)))
    }
    kept = Kept(users.encode(who), remembered, some_windows(random))
    kept.filed_ms = random.choice((kept.due_ms(), kept.due_ms(), T + 5))
    packed = pack(kept)
    if packed:
        assert unpack(packed) == kept
        assert filed_ms(packed) == kept.filed_ms
    else:
        assert (kept.who, kept.remembered, kept.windows) == (users.encode(users.UNKNOWN), {}, {})


def test_of_whom_nothing_is_known_nothing_is_kept() -> None:
    assert pack(Kept()) == NOBODY
    assert unpack(NOBODY) == Kept()
    assert filed_ms(NOBODY) == FOREVER_MS


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_first_group_of_windows_is_packed_as_any(random: Random) -> None:
    group = a_group(random)
    expected = Kept(windows={"c\0": group}, filed_ms=due_of(group))
    assert packed_alone("c\0", group) == pack(expected)
    assert unpack(packed_alone("c\0", group)) == expected


def packed_alone(key: str, group: bytes) -> bytes:
    return pack_window(key, group, *head_of(group))


def a_usual_window(product: str = "p00042", campaign: str = "cart-reminder", **more: Any) -> tuple[str, bytes]:
    properties = {"Amount": 499.5, "Product ID": product, **more}
    trigger = Trigger(T, 123_456_789, 1, "e000000123456", 0, packed_properties(properties))
    value = value_of(properties, ["Product ID"])
    assert value is not None
    return group_key(campaign, value), pack_group(Group(triggers=[trigger]), T + 1_805_000)


def test_a_usual_window_takes_less_than_fifty_bytes() -> None:
    assert len(packed_alone(*a_usual_window())) < 50


def test_windows_of_more_kinds_than_are_told_apart_are_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = packed_alone(*a_usual_window())
    monkeypatch.setattr(lone, "MOST_KINDS", 0)
    key, group = a_usual_window("p1", "of-a-kind-not-seen", another=1)
    packed = packed_alone(key, group)
    assert len(packed) > len(group)
    assert unpack(packed) == Kept(windows={key: group}, filed_ms=due_of(group))
    key, group = a_usual_window()
    assert packed_alone(key, group) == before
    assert unpack(before).windows == {key: group}


def test_names_of_any_length_make_no_kind() -> None:
    key, group = a_usual_window(**{"x" * lone.LARGEST_BYTES: 1})
    assert lone.shrunk(key, group, *head_of(group)) is None
