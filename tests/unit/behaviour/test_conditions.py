"""Conditions hold as their table says (documents, Conditions)."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.behaviour.conditions import compile_where
from livepromo.model.conditions import Condition, Op

NESTED = [[], {}, [1], {"a": 1}, ["x"]]
NO_VALUE = object()


def holds(op: str, values: tuple[Any, ...], found: Any = NO_VALUE) -> bool:
    properties = {"Other": 1} if found is NO_VALUE else {"P": found, "Other": 1}
    answer = compile_where((Condition("P", Op(op), values),))(properties)
    assert type(answer) is bool
    return answer


ONE_OF_EACH: list[tuple[str, tuple[Any, ...]]] = [
    ("eq", ("x",)),
    ("eq", (1,)),
    ("eq", (True,)),
    ("ne", ("x",)),
    ("ne", (1,)),
    ("ne", (False,)),
    ("in", ("x", 1, True)),
    ("in", ("x",)),
    ("not_in", ("x", 1, True)),
    ("not_in", (2,)),
    ("gt", (0,)),
    ("gt", ("a",)),
    ("gte", (0,)),
    ("lt", (9,)),
    ("lt", ("z",)),
    ("lte", (9,)),
    ("between", (0, 9)),
    ("between", ("a", "z")),
    ("contains", ("x",)),
    ("starts_with", ("x",)),
    ("exists", ()),
]


@pytest.mark.parametrize(("op", "values"), ONE_OF_EACH)
def test_a_missing_property_satisfies_not_exists_and_nothing_else(op: str, values: tuple[Any, ...]) -> None:
    assert not holds(op, values)
    assert not holds(op, values, None)
    assert holds("not_exists", ())
    assert holds("not_exists", (), None)


@pytest.mark.parametrize(("op", "values"), [*ONE_OF_EACH, ("not_exists", ())])
@pytest.mark.parametrize("found", NESTED)
def test_no_operator_holds_for_a_nested_value(op: str, values: tuple[Any, ...], found: Any) -> None:
    assert not holds(op, values, found)


@pytest.mark.parametrize("found", ["", "x", 0, 1, 0.5, True, False])
def test_a_value_exists_even_if_it_is_empty(found: Any) -> None:
    assert holds("exists", (), found)
    assert not holds("not_exists", (), found)


@pytest.mark.parametrize(
    ("value", "found", "equal"),
    [
        ("x", "x", True),
        ("x", "X", False),
        ("1", 1, False),
        (1, "1", False),
        (1, 1, True),
        (1.0, 1, True),
        (1, True, False),
        (0, False, False),
        (True, 1, False),
        (True, True, True),
        (True, False, False),
        (False, False, True),
        (False, 0, False),
        ("true", True, False),
        (0.1, 0.1, True),
        (2**63, 2**63, True),
        (2**63, 2**63 + 1, False),
        (1e23, 10**23, True),
        ("é", "e\u0301", False),
    ],
)
def test_values_are_equal_only_within_their_type(value: Any, found: Any, equal: bool) -> None:
    assert holds("eq", (value,), found) is equal
    assert holds("ne", (value,), found) is not equal
    assert holds("in", (value,), found) is equal
    assert holds("in", ("other", value, 77), found) is equal
    assert holds("not_in", (value,), found) is not equal
    assert holds("not_in", ("other", value, 77), found) is not equal


@pytest.mark.parametrize(
    ("value", "found", "sign"),
    [
        (500, 499.99, -1),
        (500, 500, 0),
        (500.5, 501, 1),
        (2**70, 2**70 + 1, 1),
        (1e23, 10**23, 0),
        ("b", "a", -1),
        ("b", "b", 0),
        ("b", "ba", 1),
        ("\uffff", "\U0001f600", 1),  # by code points, not by UTF-16
        ("a", "B", -1),
    ],
)
def test_numbers_compare_with_numbers_and_strings_with_strings(value: Any, found: Any, sign: int) -> None:
    assert holds("gt", (value,), found) is (sign > 0)
    assert holds("gte", (value,), found) is (sign >= 0)
    assert holds("lt", (value,), found) is (sign < 0)
    assert holds("lte", (value,), found) is (sign <= 0)


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte"])
@pytest.mark.parametrize(("value", "found"), [(1, "2"), (1, "0"), ("1", 2), ("1", 0), (1, True), (0, False), ("a", True)])
def test_values_of_different_types_never_compare(op: str, value: Any, found: Any) -> None:
    assert not holds(op, (value,), found)


def test_between_includes_both_ends() -> None:
    assert [n for n in (9, 10, 15, 20, 20.001, 21) if holds("between", (10, 20), n)] == [10, 15, 20]
    assert [t for t in ("a", "b", "c", "d", 3) if holds("between", ("b", "c"), t)] == ["b", "c"]
    assert holds("between", (10, 10), 10)


def test_contains_and_starts_with_are_for_strings() -> None:
    assert holds("contains", ("an",), "banana")
    assert not holds("contains", ("An",), "banana")
    assert holds("starts_with", ("ba",), "banana")
    assert not holds("starts_with", ("an",), "banana")
    for op in ("contains", "starts_with"):
        assert not holds(op, ("1",), 1)
        assert not holds(op, ("True",), True)


@pytest.mark.parametrize("count", range(6))
def test_all_conditions_must_hold(count: int) -> None:
    where = tuple(Condition(f"p{n}", Op.EQ, (n,)) for n in range(count))
    good = {f"p{n}": n for n in range(count)}
    assert compile_where(where)(good)
    for n in range(count):
        assert not compile_where(where)({**good, f"p{n}": -1})
