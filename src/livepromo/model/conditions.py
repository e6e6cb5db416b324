"""What is asked of the properties of an event or a user."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from livepromo.model.records import Scalar


class Op(StrEnum):
    """The operators of conditions."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"


class Condition(msgspec.Struct, frozen=True):
    """One condition on a property; `values` are one for most operators, two for between, none for exists, any number for in."""

    property: str
    op: Op
    values: tuple[Scalar, ...] = ()
