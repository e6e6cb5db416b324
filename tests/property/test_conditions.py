"""Conditions against their table (documents, Conditions), written down once more."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.behaviour.conditions import compile_where
from livepromo.behaviour.decoding import normal_number
from livepromo.model.conditions import Condition, Op

FEW_TEXTS = st.sampled_from(["", "a", "ab", "b", "B", "1", "true", "\uffff", "😀"])
FEW_NUMBERS = st.sampled_from([0, 1, -1, 0.5, 1.5, 2**53 + 1, 2.0**53, 1e23, 10**23, 0.1, 0.30000000000000004, -0.0])
SCALARS = st.one_of(FEW_TEXTS, FEW_NUMBERS, st.booleans())
NESTED = st.sampled_from([[], {}, ["a"], [1], {"a": 1}])
FOUND = st.one_of(st.none(), SCALARS.map(lambda v: normal_number(v) if isinstance(v, float) else v), NESTED)


def kind_and_value(value: Any) -> tuple[str, Any]:
    """A value with its JSON type; a number as what its shortest decimal form stands for, a text as its code points."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, str):
        return "string", [ord(character) for character in value]
    return "number", Fraction(repr(value))


def holds(op: Op, values: tuple[Any, ...], found: Any) -> bool:
    if found is None:
        return op is Op.NOT_EXISTS
    if isinstance(found, list | dict):
        return False
    it, others = kind_and_value(found), [kind_and_value(value) for value in values]
    same = [other[0] == it[0] for other in others]
    match op:
        case Op.EQ | Op.IN:
            return it in others
        case Op.NE | Op.NOT_IN:
            return it not in others
        case Op.GT:
            return same[0] and it > others[0]
        case Op.GTE:
            return same[0] and it >= others[0]
        case Op.LT:
            return same[0] and it < others[0]
        case Op.LTE:
            return same[0] and it <= others[0]
        case Op.BETWEEN:
            return all(same) and others[0] <= it <= others[1]
        case Op.CONTAINS:
            return isinstance(found, str) and any(found[n:].startswith(values[0]) for n in range(len(found) + 1))
        case Op.STARTS_WITH:
            return isinstance(found, str) and found[: len(values[0])] == values[0]
        case Op.EXISTS:
            return True
        case Op.NOT_EXISTS:
            return False


@st.composite
def conditions(draw: st.DrawFn) -> Condition:
    op = draw(st.sampled_from(Op))
    name = draw(st.sampled_from(["p", "q"]))
    match op:
        case Op.EXISTS | Op.NOT_EXISTS:
            return Condition(name, op)
        case Op.IN | Op.NOT_IN:
            return Condition(name, op, tuple(draw(st.lists(SCALARS, min_size=1, max_size=4))))
        case Op.CONTAINS | Op.STARTS_WITH:
            return Condition(name, op, (draw(FEW_TEXTS),))
        case Op.BETWEEN:
            return Condition(name, op, tuple(draw(st.one_of(st.tuples(FEW_TEXTS, FEW_TEXTS), st.tuples(FEW_NUMBERS, FEW_NUMBERS)))))
        case Op.EQ | Op.NE:
            return Condition(name, op, (draw(SCALARS),))
        case _:
            return Condition(name, op, (draw(st.one_of(FEW_TEXTS, FEW_NUMBERS)),))


@settings(max_examples=1500, deadline=None)
@given(st.lists(conditions(), max_size=4), FOUND, FOUND)
def test_conditions_hold_as_the_table_says(where: list[Condition], p: Any, q: Any) -> None:
    properties = {name: value for name, value in (("p", p), ("q", q)) if value is not None}
    expected = all(holds(condition.op, condition.values, properties.get(condition.property)) for condition in where)
    assert compile_where(tuple(where))(properties) is expected
