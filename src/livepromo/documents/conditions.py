"""The conditions of a `where` list, each operator with the values that it takes."""

from __future__ import annotations

from livepromo.documents.fields import LONGEST_PROPERTY, Part, parts, scalar, text, word
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import UNREADABLE, shown
from livepromo.model.conditions import Condition, Op
from livepromo.model.records import Scalar


def conditions(outer: Part, name: str) -> tuple[Condition, ...]:
    """Return the conditions of a field's list; those in which a problem was found are left out."""
    return tuple(condition for one in parts(outer, name) if (condition := condition_of(one)) is not None)


def condition_of(one: Part) -> Condition | None:
    """Return one condition; None where a problem was found in it."""
    one.only(fields_of("condition"))
    name = text(one, "property", wanted='a property\'s name, such as "Amount"', longest=LONGEST_PROPERTY)
    op = word(one, "op", Op, wanted=f"one of {', '.join(Op)}")
    if op is None:
        return None
    values = _values(one, op)
    return Condition(name, op, values) if name is not None and values is not None else None


def _values(one: Part, op: Op) -> tuple[Scalar, ...] | None:
    if op is Op.EXISTS or op is Op.NOT_EXISTS:
        if "value" in one:
            one.error("value", f"{op} takes no value: leave it out")
            return None
        return ()
    if not one.present("value", wanted=f"what {op} compares with"):
        return None
    if op is Op.IN or op is Op.NOT_IN:
        return _list(one)
    if op is Op.BETWEEN:
        return _between(one)
    value = scalar(one.findings, one.fields["value"], one.at("value"))
    if value is None:
        return None
    match op:
        case Op.CONTAINS | Op.STARTS_WITH if not isinstance(value, str):
            one.wrong("value", f"a text, which {op} wants")
            return None
        case Op.GT | Op.GTE | Op.LT | Op.LTE if isinstance(value, bool):
            one.wrong("value", f"a number or text, which {op} wants")
            return None
        case _:
            return (value,)


def _list(one: Part) -> tuple[Scalar, ...] | None:
    items = one.fields["value"]
    if not isinstance(items, list):
        one.wrong("value", "a list of values")
        return None
    if not items:
        one.error("value", "an empty list holds for nothing: give at least one value")
        return None
    path = one.at("value")
    found = [scalar(one.findings, item, f"{path}[{index}]") for index, item in enumerate(items)]
    sound = tuple(value for value in found if value is not None)
    return sound if len(sound) == len(items) else None


def _between(one: Part) -> tuple[Scalar, ...] | None:
    items = one.fields["value"]
    if not isinstance(items, list) or len(items) != 2:  # noqa: PLR2004 - low and high
        if items is not UNREADABLE:
            said = f"a list of {len(items)}" if isinstance(items, list) else shown(items)
            one.error("value", f"{said} is not [low, high]")
        return None
    path = one.at("value")
    low, high = (scalar(one.findings, item, f"{path}[{index}]") for index, item in enumerate(items))
    if low is None or high is None:
        return None
    if isinstance(low, str) and isinstance(high, str):
        ordered = low <= high
    elif isinstance(low, bool | str) or isinstance(high, bool | str):
        one.error("value", f"{shown(low)} and {shown(high)} are not two numbers or two texts, which between wants")
        return None
    else:
        ordered = low <= high
    if not ordered:
        one.error("value", f"{shown(low)} is more than {shown(high)}: give the lower one first")
        return None
    return (low, high)
