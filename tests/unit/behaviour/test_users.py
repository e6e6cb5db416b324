"""Profiles merge and memberships come and go, in the order read (R5, R8)."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.behaviour.users import User, decode, encode, merged, with_membership
from livepromo.model.ids import UserId
from livepromo.model.records import Membership, Profile


def a_profile(**properties: Any) -> Profile:
    return Profile(UserId("u1"), 5, properties)


def a_membership(segment: str, member: bool) -> Membership:
    return Membership(UserId("u1"), 5, segment, member)


def test_a_profile_merges_into_what_is_known() -> None:
    user = merged(User(), a_profile(plan="gold", city="Pune"))
    assert user == User({"plan": "gold", "city": "Pune"})
    assert merged(user, a_profile(plan="silver", age=40)) == User({"plan": "silver", "city": "Pune", "age": 40})


def test_null_removes_a_property_and_only_that() -> None:
    user = merged(User(), a_profile(plan="gold", phone=None))
    assert user == User({"plan": "gold"})
    assert merged(user, a_profile(plan=None)) == User()
    assert merged(User(), a_profile()) == User()
    assert merged(user, a_profile()) == user


def test_a_user_may_be_in_several_segments() -> None:
    user = with_membership(with_membership(User(), a_membership("loyal", True)), a_membership("vip", True))
    assert user == User({}, frozenset({"loyal", "vip"}))
    assert with_membership(user, a_membership("loyal", False)) == User({}, frozenset({"vip"}))
    assert with_membership(user, a_membership("other", False)) == user


def test_of_someone_in_no_segment_any_more_without_properties_nothing_is_known() -> None:
    assert with_membership(with_membership(User(), a_membership("vip", True)), a_membership("vip", False)) == User()
    assert with_membership(User(), a_membership("vip", False)) == User()


def test_segments_and_properties_leave_one_another_alone() -> None:
    user = merged(with_membership(User(), a_membership("vip", True)), a_profile(plan="gold"))
    assert user == User({"plan": "gold"}, frozenset({"vip"}))
    assert merged(user, a_profile(plan=None)) == User({}, frozenset({"vip"}))


def test_a_record_read_twice_changes_nothing_more() -> None:
    once = merged(User({"plan": "gold"}), a_profile(plan="silver", x=None))
    assert merged(once, a_profile(plan="silver", x=None)) == once


def test_what_was_known_before_is_not_touched() -> None:
    before = User({"plan": "gold"}, frozenset({"vip"}))
    merged(before, a_profile(plan="silver"))
    with_membership(before, a_membership("vip", False))
    assert before == User({"plan": "gold"}, frozenset({"vip"}))


def test_a_user_comes_back_from_the_journal_the_same() -> None:
    properties = {"n": 2**80, "f": 0.1, "tiny": 5e-324, "t": "ü\ud7ff😀", "b": True, "deep": {"a": [1, None, 2.5, 10**300]}, "": ""}
    user = User(properties, frozenset({"b", "a", "ü"}))
    read = decode(encode(user))
    assert read == user
    assert type(read.properties["b"]) is bool
    assert encode(User({"a": 1}, frozenset({"y", "x"}))) == b'\x01{"properties":{"a":1},"segments":["x","y"]}'


@pytest.mark.parametrize("value", [b"", b"\x02{}", b'{"properties":{},"segments":[]}'])
def test_an_unknown_format_is_refused_with_a_message(value: bytes) -> None:
    with pytest.raises(ValueError, match="this version knows 1"):
        decode(value)
