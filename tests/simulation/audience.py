"""Whom an audience describes, by the rules: everything that a user ever did is kept, and counted anew (R5-R8, R72)."""

from __future__ import annotations

from typing import Any, NamedTuple, assert_never

from livepromo.model.audiences import (
    AllOf,
    AnyOf,
    Audience,
    Back,
    Did,
    DidNot,
    HasProperty,
    InSegment,
    Interest,
    NoneOf,
    OnList,
    Sample,
    Span,
    leaves_of,
)
from livepromo.model.conditions import Op
from livepromo.model.ids import CampaignId, UserId, sampled
from simulation.drawing import Drawn
from simulation.worth import holds


class Person(NamedTuple):
    """Someone of whom a partition has read any record."""

    profile: dict[str, Any]
    segments: set[str]
    done: list[tuple[int, Drawn]]  # with their times


class People:
    """Everyone of whom a partition has read any record."""

    def __init__(self) -> None:
        self.known: dict[str, Person] = {}

    def of(self, user: str) -> Person:
        """Return what is known of a user, who is known from then on."""
        return self.known.setdefault(user, Person({}, set(), []))

    def read(self, drawn: Drawn, time_ms: int) -> None:
        """Take note of a record."""
        person = self.of(drawn.user)
        if drawn.kind == "event":
            person.done.append((time_ms, drawn))
        elif drawn.kind == "profile":
            person.profile.update(drawn.properties)
            for name in [name for name, value in person.profile.items() if value is None]:
                del person.profile[name]
        elif drawn.properties["member"]:
            person.segments.add(drawn.event)
        else:
            person.segments.discard(drawn.event)

    def describes(self, who: Audience | None, user: str, at_ms: int, campaign: CampaignId) -> bool:
        """Say whether a user is in an audience, as of a decision at `at_ms`."""
        person = self.known[user]
        match who:
            case None:
                return True
            case AllOf(members):
                return all(self.describes(one, user, at_ms, campaign) for one in members)
            case AnyOf(members):
                return any(self.describes(one, user, at_ms, campaign) for one in members)
            case NoneOf(members):
                return not any(self.describes(one, user, at_ms, campaign) for one in members)
            case InSegment(name):
                return name in person.segments
            case OnList(name):
                return f"list/{name}" in person.segments
            case HasProperty(condition):
                return holds(condition, person.profile)
            case Sample(percent_milli):
                return sampled(campaign, UserId(user), percent_milli)
            case DidNot():
                return not _times(person, who, at_ms)
            case Did(count=count):
                times, first = _times(person, who, at_ms), count.values[0]
                return {Op.GTE: times >= first, Op.EQ: times == first, Op.LT: times < first}[count.op]
            case Interest():
                raise AssertionError(who)
            case _:
                assert_never(who)


def _times(person: Person, leaf: Did | DidNot, at_ms: int) -> int:
    def counts(time_ms: int) -> bool:
        match leaf.within:
            case None:
                return time_ms <= at_ms
            case Back(duration_ms):
                return at_ms - duration_ms <= time_ms <= at_ms
            case Span(from_ms, to_ms):
                return from_ms <= time_ms < to_ms and time_ms <= at_ms

    return sum(
        drawn.event in leaf.events and counts(time_ms) and all(holds(one, drawn.properties) for one in leaf.where)
        for time_ms, drawn in person.done
    )


def named_in(who: Audience | None) -> set[str]:
    """Return the events that an audience names."""
    return {event for leaf in (() if who is None else leaves_of(who)) if isinstance(leaf, Did | DidNot) for event in leaf.events}
