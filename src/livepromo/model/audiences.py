"""Who is meant: groups of audiences, and the leaves that say who a user is and what they did."""

from __future__ import annotations

from typing import assert_never

import msgspec

from livepromo.model.conditions import Condition, Op
from livepromo.model.records import Scalar


class Back(msgspec.Struct, frozen=True, tag="back"):
    """A look-back: [decision - duration, decision]."""

    duration_ms: int


class Span(msgspec.Struct, frozen=True, tag="span"):
    """A look-back: [from, to), but never what is after the decision."""

    from_ms: int
    to_ms: int


Within = Back | Span


class Count(msgspec.Struct, frozen=True):
    """How often something was done: two values for between, one for eq, gt, gte, lt and lte."""

    op: Op
    values: tuple[int, ...]


class Did(msgspec.Struct, frozen=True, tag="did"):
    """Who did any of the events so often (R6); `within` None: since the document was first published, and what the topic then held."""

    events: tuple[str, ...]
    where: tuple[Condition, ...] = ()
    count: Count = Count(Op.GTE, (1,))
    within: Within | None = None


class DidNot(msgspec.Struct, frozen=True, tag="did_not"):
    """Who did none of the events, not once (R7)."""

    events: tuple[str, ...]
    where: tuple[Condition, ...] = ()
    within: Within | None = None


class InSegment(msgspec.Struct, frozen=True, tag="segment"):
    """Who is in a saved segment (R5)."""

    segment: str


class OnList(msgspec.Struct, frozen=True, tag="on_list"):
    """Who is on a list."""

    list: str


class HasProperty(msgspec.Struct, frozen=True, tag="property"):
    """Who has such a user property (R8)."""

    condition: Condition


class Interest(msgspec.Struct, frozen=True, tag="interest"):
    """Who shows a value in that share of an event's occurrences (R9), in thousandths of a percent; None: predominantly."""

    event: str
    property: str
    value: Scalar
    share_milli: int | None
    within: Within | None = None


class Sample(msgspec.Struct, frozen=True, tag="sample"):
    """An audience: so many thousandths of a percent of all users."""

    percent_milli: int


class AllOf(msgspec.Struct, frozen=True, tag="all"):
    """Who is in every one of the audiences. `same`: for one value of each of these, its own `did` and `did_not` (R10); in order, once."""

    members: tuple[Audience, ...]
    same: tuple[str, ...] = ()


class AnyOf(msgspec.Struct, frozen=True, tag="any"):
    """Who is in at least one of the audiences."""

    members: tuple[Audience, ...]


class NoneOf(msgspec.Struct, frozen=True, tag="none"):
    """Who is in none of the audiences."""

    members: tuple[Audience, ...]


Leaf = Did | DidNot | InSegment | OnList | HasProperty | Interest | Sample
Group = AllOf | AnyOf | NoneOf
Audience = Leaf | Group


def leaves_of(audience: Audience) -> tuple[Leaf, ...]:
    """Return the leaves of an audience, in the order written."""
    match audience:
        case AllOf() | AnyOf() | NoneOf():
            return tuple(leaf for member in audience.members for leaf in leaves_of(member))
        case Did() | DidNot() | InSegment() | OnList() | HasProperty() | Interest() | Sample():
            return (audience,)
        case _:
            assert_never(audience)
