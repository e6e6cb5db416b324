"""Whether properties satisfy the conditions of a document; compiled once per revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from livepromo.behaviour.decoding import normal_number
from livepromo.model.conditions import Condition, Op
from livepromo.model.records import SCALARS, Scalar

Predicate = Callable[[Mapping[str, Any]], bool]


def compile_where(where: tuple[Condition, ...]) -> Predicate:
    """Return what says whether all conditions hold for the properties of an event or a user.

    Values of different types are never equal and never compare, a boolean is no number, and no operator holds for a nested value,
    not even those that ask whether there is one. A property that is missing or null satisfies `not_exists` and nothing else.
    """
    each = tuple(map(compile_condition, where))
    match each:
        case ():
            return lambda _: True
        case (only,):
            return only
        case (first, second):
            return lambda properties: first(properties) and second(properties)
        case _:

            def holds(properties: Mapping[str, Any]) -> bool:
                for condition in each:  # noqa: SIM110 - all() over a generator takes twice as long
                    if not condition(properties):
                        return False
                return True

            return holds


def compile_condition(condition: Condition) -> Predicate:
    """Return what says whether one condition holds."""
    name = condition.property
    values = tuple(normal_number(v) if isinstance(v, float) else v for v in condition.values)
    match condition.op:
        case Op.EQ | Op.IN:
            return _is_one_of(name, values)
        case Op.NE | Op.NOT_IN:
            one_of = _is_one_of(name, values)
            return lambda properties: type(properties.get(name)) in SCALARS and not one_of(properties)
        case Op.GT | Op.GTE | Op.LT | Op.LTE:
            return _compares(name, condition.op, values[0])
        case Op.BETWEEN:
            low, high = (_compares(name, op, v) for op, v in zip((Op.GTE, Op.LTE), values, strict=True))
            return lambda properties: low(properties) and high(properties)
        case Op.CONTAINS | Op.STARTS_WITH:
            return _is_text_with(name, condition.op, str(values[0]))
        case Op.EXISTS:
            return lambda properties: type(properties.get(name)) in SCALARS
        case Op.NOT_EXISTS:
            return lambda properties: properties.get(name) is None
        case _:
            assert_never(condition.op)


def _equals(name: str, value: Scalar) -> Predicate:
    if isinstance(value, bool):
        return lambda properties: properties.get(name) is value
    if isinstance(value, str):
        return lambda properties: bool(properties.get(name) == value)
    return lambda properties: type(found := properties.get(name)) is not bool and bool(found == value)


def _is_one_of(name: str, values: tuple[Scalar, ...]) -> Predicate:
    if len(values) == 1:
        return _equals(name, values[0])
    booleans = frozenset(v for v in values if isinstance(v, bool))
    others = frozenset(v for v in values if not isinstance(v, bool))

    def holds(properties: Mapping[str, Any]) -> bool:
        found = properties.get(name)
        what = type(found)
        if what is bool:
            return found in booleans
        return what in SCALARS and found in others

    return holds


def _compares(name: str, op: Op, value: Scalar) -> Predicate:
    types = frozenset({str} if isinstance(value, str) else {int, float})
    bound: Any = value
    match op:
        case Op.GT:
            return lambda properties: type(found := properties.get(name)) in types and found > bound
        case Op.GTE:
            return lambda properties: type(found := properties.get(name)) in types and found >= bound
        case Op.LT:
            return lambda properties: type(found := properties.get(name)) in types and found < bound
        case _:
            return lambda properties: type(found := properties.get(name)) in types and found <= bound


def _is_text_with(name: str, op: Op, part: str) -> Predicate:
    if op is Op.CONTAINS:
        return lambda properties: type(found := properties.get(name)) is str and part in found
    return lambda properties: type(found := properties.get(name)) is str and found.startswith(part)
