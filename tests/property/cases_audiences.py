"""Sentences about audiences, each with a history and what must come of it, worked out by hand.

Whoever does `go` is rewarded, if in the audience. Times are in seconds after `BEGINS`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from property.cases_absence import WALLET, a_campaign, event, instant_of, paid, profile, utc, with_line
from property.restated_values import Document, Sent

DAY = 86_400


class WhoCase(NamedTuple):
    """A sentence of the rules, an audience, records in the order read, and at which times a `go` is rewarded."""

    says: str
    who: Document
    records: list[Sent]
    rewarded: list[float]
    others: tuple[Document, ...] = ()
    qualify: Document | None = None

    def documents(self) -> list[Document]:
        campaign = a_campaign("rescue", campaign={"who": self.who, "qualify": self.qualify or {"live": {"event": "go"}}})
        return [WALLET, *self.others, campaign]


def go(at: float, **more: Any) -> Sent:
    return event("go", at, **more)


def view(at: float, product: object = None) -> Sent:
    return event("view", at, {"product": product})


def buy(at: float, product: object = None) -> Sent:
    return event("buy", at, {"product": product})


def member(at: float, name: str, *, is_one: bool = True) -> Sent:
    return with_line(Sent(b"", "segment", "u1", instant_of(at), name=name, member=is_one))


def did(event: str | list[str] = "paid", **more: Any) -> Document:
    return {"did": {"event": event, **more}}


def did_not(event: str | list[str] = "paid", **more: Any) -> Document:
    return {"did_not": {"event": event, **more}}


def has(name: str, op: str, *value: object) -> Document:
    return {"property": name, "op": op, **({"value": value[0]} if value else {})}


def likes(share: object, value: object = "red", **more: Any) -> Document:
    return {"interest": {"event": "view", "property": "product", "value": value, "share": share, **more}}


def a_segment(name: str, **more: Any) -> Document:
    return {"kind": "segment", "id": name, **more}


ABSENCE = {"live": {"event": "go", "unless": {"event": "stop", "within": "30s", "grace": "5s"}}}
BIG = [{"property": "Amount", "op": "gte", "value": 20}]

CASES = [
    # R6
    WhoCase("whoever did it", did(), [go(0), paid(1), go(2)], [2]),
    WhoCase("whoever else did it does not count", did(), [paid(1, user="u2"), go(2)], []),
    WhoCase("any of the events counts", did(["paid", "called"]), [event("called", 1), go(2)], [2]),
    WhoCase("and they count together", did(["paid", "called"], count={"eq": 2}), [event("called", 1), go(2), paid(3), go(4)], [4]),
    WhoCase("only what matches counts", did(where=BIG), [paid(1, {"Amount": 19}), go(2), paid(3, {"Amount": 20}), go(4)], [4]),
    WhoCase("exactly so often", did(count={"eq": 2}), [go(0), paid(1), go(2), paid(3), go(4), paid(5), go(6)], [4]),
    WhoCase("exactly zero times", did(count={"eq": 0}), [go(0), paid(1), go(2)], [0]),
    WhoCase("more often than", did(count={"gt": 1}), [go(0), paid(1), go(2), paid(3), go(4)], [4]),
    WhoCase("at least so often", did(count={"gte": 2}), [paid(1), go(2), paid(3), go(4), paid(5), go(6)], [4, 6]),
    WhoCase("at least zero times is everyone", did(count={"gte": 0}), [go(0)], [0]),
    WhoCase("less often than holds for someone who never did it", did(count={"lt": 1}), [go(0), paid(1), go(2)], [0]),
    WhoCase("at most so often holds for someone who never did it", did(count={"lte": 1}), [go(0), paid(1), go(2), paid(3), go(4)], [0, 2]),
    WhoCase(
        "between so and so often, both included",
        did(count={"between": [1, 2]}),
        [go(0), paid(1), go(2), paid(3), go(4), paid(5), go(6)],
        [2, 4],
    ),
    WhoCase("a look-back includes its beginning", did(within="10s"), [paid(0), go(10)], [10]),
    WhoCase("a look-back does not reach further", did(within="10s"), [paid(0), go(10.001)], []),
    WhoCase("a look-back includes the decision", did(within="10s"), [paid(10), go(10)], [10]),
    WhoCase("a span includes its beginning", did(within={"from": utc(5), "to": utc(9)}), [paid(5), go(60)], [60]),
    WhoCase("a span does not begin earlier", did(within={"from": utc(5), "to": utc(9)}), [paid(4.999), go(60)], []),
    WhoCase("a span excludes its end", did(within={"from": utc(5), "to": utc(9)}), [paid(9), go(60)], []),
    WhoCase("a span ends just before that", did(within={"from": utc(5), "to": utc(9)}), [paid(8.999), go(60)], [60]),
    WhoCase(
        "what is in the span, but after the decision, does not count", did(within={"from": utc(5), "to": utc(90)}), [paid(20), go(19)], []
    ),
    WhoCase("times after the decision never count", did(), [paid(20), go(19.999), go(20)], [20]),
    WhoCase("nor do they with a look-back", did(within="1h"), [paid(20), go(10)], []),
    WhoCase("what is read later does not count", did(), [go(10), paid(5), go(11)], [11]),
    WhoCase("what came late counts by its own time", did(within="10s"), [event("page", 100), paid(50), go(60), go(60.001)], [60]),
    WhoCase("a late decision looks back from its own time", did(within="10s"), [paid(0), paid(100), go(10), go(50)], [10]),
    WhoCase("without a look-back everything that was read counts", did(), [paid(0), go(400 * DAY)], [400 * DAY]),
    WhoCase("what was too late to be processed is no history", did(), [event("page", DAY + 1), paid(0), go(DAY + 1)], []),
    WhoCase("a repeat counts once", did(count={"gte": 2}), [paid(0, id="x"), paid(1, id="x"), go(2)], []),
    WhoCase("a repeat of another user counts", did(), [paid(0, id="x", user="u2"), paid(0, id="x"), go(2)], [2]),
    WhoCase(
        "an event that is named is known again, though nothing asks how often", did(count={"gte": 0}), [paid(0, id="x"), go(1, id="x")], []
    ),
    WhoCase("the triggering event itself counts", did("go", count={"eq": 3}), [go(0), go(1), go(2), go(3)], [2]),
    WhoCase("also with a look-back", did("go", within="1s", count={"eq": 2}), [go(0), go(1), go(3)], [1]),
    WhoCase("the time of an event is never after it was received", did(within="10s"), [paid(50, received=40), go(50), go(50.001)], [50]),
    # R7
    WhoCase("whoever did not do it, not once", did_not(), [go(0), paid(1), go(2)], [0]),
    WhoCase("whoever did none of them", did_not(["paid", "called"]), [go(0), event("called", 1), go(2)], [0]),
    WhoCase("whoever did not do it within the look-back", did_not(within="10s"), [paid(0), go(10), go(10.001)], [10.001]),
    WhoCase("whoever did not do what matches", did_not(where=BIG), [paid(1), go(2), paid(3, {"Amount": 30}), go(4)], [2]),
    # R8
    WhoCase(
        "whoever has the property", has("plan", "eq", "gold"), [go(0), profile(1, plan="gold"), go(2), profile(3, plan="old"), go(4)], [2]
    ),
    WhoCase("a property counts as read, whatever its time", has("plan", "eq", "gold"), [profile(50, plan="gold"), go(2)], [2]),
    WhoCase("profiles are merged", has("plan", "eq", "gold"), [profile(0, plan="gold"), profile(1, age=40), go(2)], [2]),
    WhoCase("null removes a property", has("plan", "exists"), [profile(0, plan="gold"), go(1), profile(2, plan=None), go(3)], [1]),
    WhoCase("no profile at all has no property", has("plan", "not_exists"), [go(0), profile(1, plan="gold"), go(2)], [0]),
    WhoCase(
        "a profile is never too late", has("plan", "eq", "gold"), [event("page", 3 * DAY), profile(0, plan="gold"), go(3 * DAY)], [3 * DAY]
    ),
    # R9
    WhoCase(
        "predominantly is more often than any other", likes("predominantly"), [view(0, "red"), view(1, "blue"), view(2, "red"), go(3)], [3]
    ),
    WhoCase("a tie is not predominant", likes("predominantly"), [view(0, "red"), view(1, "blue"), go(3)], []),
    WhoCase(
        "predominantly needs no majority",
        likes("predominantly"),
        [view(0, "red"), view(1, "red"), view(2, "blue"), view(3, "green"), view(4), view(5), view(6), go(7)],
        [7],
    ),
    WhoCase("what never happened shows nothing", likes("predominantly"), [go(0)], []),
    WhoCase("nor at least so often", likes(0.001), [go(0)], []),
    WhoCase("occurrences without the property are no value", likes("predominantly"), [view(0), view(1), view(2, "red"), go(3)], [3]),
    WhoCase("a nested value is none", likes("predominantly"), [view(0, ["x"]), view(1, ["x"]), view(2, "red"), go(3)], [3]),
    WhoCase("at least so many percent includes exactly so many", likes(50), [view(0, "red"), view(1, "blue"), go(3)], [3]),
    WhoCase("less than so many percent does not do", likes(50.001), [view(0, "red"), view(1, "blue"), go(3)], []),
    WhoCase("percent are of all, also of those without the property", likes(50), [view(0, "red"), view(1), view(2, ["red"]), go(3)], []),
    WhoCase("a third is at least 33.333 percent", likes(33.333), [view(0, "red"), view(1), view(2), go(3)], [3]),
    WhoCase("a third is less than 33.334 percent", likes(33.334), [view(0, "red"), view(1), view(2), go(3)], []),
    WhoCase(
        "interests look back too", likes("predominantly", within="10s"), [view(0, "blue"), view(1, "blue"), view(5, "red"), go(15)], [15]
    ),
    WhoCase("1 and 1.0 are one value", likes("predominantly", 1), [view(0, 1.0), view(1, 1), view(2, "1"), view(3, True), go(4)], [4]),
    # R5
    WhoCase(
        "a saved segment is judged as of the decision",
        {"segment": "buyers"},
        [go(0), paid(1), go(2), go(20)],
        [2],
        others=(a_segment("buyers", who=did(within="10s")),),
    ),
    WhoCase(
        "segments may refer to one another",
        {"segment": "none"},
        [go(0), paid(1), go(2)],
        [0],
        others=(a_segment("buyers", who=did()), a_segment("none", who={"none": [{"segment": "buyers"}]})),
    ),
    WhoCase(
        "membership of a fed segment counts as read",
        {"segment": "loyal"},
        [go(0), member(1, "loyal"), go(2), member(3, "loyal", is_one=False), go(4)],
        [2],
        others=(a_segment("loyal", members="fed"),),
    ),
    WhoCase("whoever is on the list", {"list": "vip"}, [go(0), member(1, "list/vip"), go(2)], [2], others=({"kind": "list", "id": "vip"},)),
    WhoCase(
        "a segment is no list of the same name",
        {"list": "vip"},
        [member(1, "vip"), go(2)],
        [],
        others=({"kind": "list", "id": "vip"}, a_segment("vip", members="fed")),
    ),
    # groups
    WhoCase("all of them", {"all": [did(), did("called")]}, [paid(0), go(1), event("called", 2), go(3)], [3]),
    WhoCase("any of them", {"any": [did(), did("called")]}, [go(0), event("called", 1), go(2)], [2]),
    WhoCase("none of them", {"none": [did(), did("called")]}, [go(0), event("called", 1), go(2)], [0]),
    WhoCase(
        "groups nest", {"all": [{"any": [did(), did("called")]}, {"none": [did("left")]}]}, [paid(0), go(1), event("left", 2), go(3)], [1]
    ),
    WhoCase("a sample of 100 percent is everyone", {"sample": 100}, [go(0), go(1, user="u2")], [0, 1]),
    # R10
    WhoCase(
        "viewed and bought the same product",
        {"all": [did("view"), did("buy")], "same": ["product"]},
        [view(0, "a"), buy(1, "a"), go(2)],
        [2],
    ),
    WhoCase("not different ones", {"all": [did("view"), did("buy")], "same": ["product"]}, [view(0, "a"), buy(1, "b"), go(2)], []),
    WhoCase("without same different ones do", {"all": [did("view"), did("buy")]}, [view(0, "a"), buy(1, "b"), go(2)], [2]),
    WhoCase(
        "an event without the property is of no value", {"all": [did("view")], "same": ["product"]}, [view(0), view(1, ["a"]), go(2)], []
    ),
    WhoCase(
        "viewed three times and not bought, one and the same",
        {"all": [did("view", count={"gte": 2}), did_not("buy")], "same": ["product"]},
        [view(0, "a"), view(1, "b"), go(2), view(3, "b"), buy(4, "a"), go(5), buy(6, "b"), go(7)],
        [5],
    ),
    WhoCase(
        "counts are of one value", {"all": [did("view", count={"gte": 2})], "same": ["product"]}, [view(0, "a"), view(1, "b"), go(2)], []
    ),
    WhoCase(
        "at most so often, of a value that occurs",
        {"all": [did("view"), did("buy", count={"lt": 1})], "same": ["product"]},
        [go(0), buy(1, "a"), go(2), view(3, "a"), go(4), view(5, "b"), go(6)],
        [6],
    ),
    WhoCase("a value must occur", {"all": [did("buy", count={"lt": 1})], "same": ["product"]}, [go(0), buy(1, "a"), go(2)], []),
    WhoCase(
        "other members of the group are of no value",
        {"all": [did("view"), has("plan", "eq", "gold"), {"any": [did("buy")]}], "same": ["product"]},
        [view(0, "a"), buy(1, "b"), go(2), profile(3, plan="gold"), go(4)],
        [4],
    ),
    WhoCase(
        "two properties are the same in one event",
        {"all": [did("view"), did("buy")], "same": ["product", "size"]},
        [
            event("view", 0, {"product": "a", "size": 1}),
            event("buy", 1, {"product": "a", "size": 2}),
            go(2),
            event("buy", 3, {"product": "a", "size": 1.0}),
            go(4),
        ],
        [4],
    ),
    # A7
    WhoCase("an absence asks at its deadline", has("plan", "eq", "gold"), [go(0), profile(20, plan="gold")], [30], qualify=ABSENCE),
    WhoCase(
        "by what has been read when it fires",
        has("plan", "eq", "gold"),
        [go(0), event("page", 35), profile(1, plan="gold")],
        [30],
        qualify=ABSENCE,
    ),
    WhoCase("not by the record that makes it fire", has("plan", "eq", "gold"), [go(0), profile(35.001, plan="gold")], [], qualify=ABSENCE),
    WhoCase("events up to the deadline count", did(), [go(0), paid(30)], [30], qualify=ABSENCE),
    WhoCase("events after the deadline do not, though they were read", did(), [go(0), paid(30.001)], [], qualify=ABSENCE),
    WhoCase(
        "events after the deadline do not close the way either", did_not(), [go(0), paid(33), event("page", 40)], [30], qualify=ABSENCE
    ),
    WhoCase(
        "a look-back of an absence counts from its deadline", did(within="10s"), [paid(20), go(0), event("page", 60)], [30], qualify=ABSENCE
    ),
    WhoCase("and reaches no further", did(within="10s"), [paid(19.999), go(0), event("page", 60)], [], qualify=ABSENCE),
    WhoCase("an absence counts its trigger as history", did("go", count={"eq": 2}), [go(0), go(1)], [30], qualify=ABSENCE),
    WhoCase("an event that waits to be put in order counts as read", did(), [go(0), event("page", 34), paid(29)], [30], qualify=ABSENCE),
]
