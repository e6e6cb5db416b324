"""Sentences about absence, each with a history and what must come of it, worked out by hand.

Windows are of 30 s, with 5 s of grace, unless a case says otherwise. Times are in seconds after `BEGINS`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from property.restated_values import Document, Sent

BEGINS = 1_764_547_200_000  # 2025-12-01, a Monday, at midnight UTC
WALLET = {"kind": "wallet", "id": "grocery"}


class Expected(NamedTuple):
    """A decision: of which campaign, for which event, as of when; a denial has a reason."""

    event_id: str
    at: float
    campaign: str = "rescue"
    reason: str | None = None


class Case(NamedTuple):
    """A sentence of the rules, records in the order read, what is decided, and what the case has other than usual.

    `live` replaces fields of the usual campaign's qualification, `unless` those of its `unless`, `campaign` its other fields.
    """

    says: str
    records: list[Sent]
    decided: list[Expected]
    live: Document = {}  # noqa: RUF012 - never changed
    unless: Document = {}  # noqa: RUF012
    campaign: Document = {}  # noqa: RUF012
    beside: tuple[Document, ...] = ()
    until: float | None = None
    open_windows: int = 1000

    def documents(self) -> list[Document]:
        return [WALLET, a_campaign("rescue", self.live, self.unless, self.campaign), *self.beside]


def a_campaign(name: str, live: Document | None = None, unless: Document | None = None, campaign: Document | None = None) -> Document:
    """Return a campaign for whoever puts something in the cart and does not pay within 30 s."""
    absence = {"event": "paid", "within": "30s", "grace": "5s", **(unless or {})}
    return {
        "kind": "campaign",
        "id": name,
        "qualify": {"live": {"event": "cart", "unless": absence, **(live or {})}},
        "reward": {"points": {"wallet": "grocery", "earn": {"flat": 10}}},
        **(campaign or {}),
    }


def a_did_campaign(name: str, event: str) -> Document:
    return {
        "kind": "campaign",
        "id": name,
        "qualify": {"live": {"event": event}},
        "reward": {"points": {"wallet": "grocery", "earn": {"flat": 1}}},
    }


def instant_of(at: float) -> int:
    return BEGINS + round(at * 1000)


def utc(at: float) -> str:
    """Return the instant as it stands in documents, within the hour after `BEGINS`."""
    seconds, ms = divmod(round(at * 1000), 1000)
    return f"2025-12-01T00:{seconds // 60:02}:{seconds % 60:02}.{ms:03}Z"


def event(name: str, at: float, properties: dict[str, Any] | None = None, **more: Any) -> Sent:
    """Return an event whose id is its name and time; `received` is in seconds too."""
    received = more.pop("received", None)
    return with_line(
        Sent(
            b"",
            "event",
            ts=instant_of(at),
            received=None if received is None else instant_of(received),
            name=name,
            properties=properties or {},
            **{"user": "u1", "id": f"{name}@{at}", **more},
        )
    )


def cart(at: float, properties: dict[str, Any] | None = None, **more: Any) -> Sent:
    return event("cart", at, properties, **more)


def paid(at: float, properties: dict[str, Any] | None = None, **more: Any) -> Sent:
    return event("paid", at, properties, **more)


def page(at: float) -> Sent:
    """Return an event that no document names; it only moves stream time."""
    return event("page", at, user="somebody else")


def profile(at: float, **properties: Any) -> Sent:
    return with_line(Sent(b"", "profile", "u1", instant_of(at), properties=properties))


def with_line(sent: Sent) -> Sent:
    said: dict[str, Any] = {"type": sent.kind, "user": sent.user, "ts": sent.ts}
    if sent.kind == "segment":
        said |= {"segment": sent.name, "member": sent.member}
    else:
        said["properties"] = sent.properties
    if sent.kind == "event":
        said |= {"event": sent.name, "id": sent.id}
    if sent.received is not None:
        said["appended"] = sent.received
    return sent._replace(line=json.dumps(said).encode())


RESTART = {"retrigger": "restart"}
BY_PRODUCT = {"same": ["product"]}
BOTH = {"event": ["paid", "cart"]}
A, B = {"product": "a"}, {"product": "b"}

CASES = [
    # A1
    Case("an absence is rewarded at the deadline", [cart(0)], [Expected("cart@0", 30)]),
    Case("an unless event inside the window closes it", [cart(0), paid(10)], []),
    Case("an unless event at exactly the deadline still counts as done", [cart(0), paid(30)], []),
    Case("an unless event after the deadline is too late", [cart(0), paid(30.001)], [Expected("cart@0", 30)]),
    Case("an unless event at the trigger's instant counts if it comes after it in the stream", [cart(0), paid(0)], []),
    Case("an unless event at the trigger's instant does not count if it comes before it", [paid(0), cart(0)], [Expected("cart@0", 30)]),
    Case("an unless event before the trigger closes nothing", [paid(1), cart(2)], [Expected("cart@2", 32)]),
    Case("an unless event of another user closes nothing", [cart(0), paid(10, user="u2")], [Expected("cart@0", 30)]),
    Case("one unless event closes once only what was open", [cart(0), paid(10), cart(11)], [Expected("cart@11", 41)]),
    Case("any of the unless events closes", [cart(0), event("called", 3)], [], unless={"event": ["paid", "called"]}),
    Case(
        "an unless event that does not match closes nothing",
        [cart(0), paid(3, {"Amount": 4}), cart(60), paid(63, {"Amount": 5})],
        [Expected("cart@0", 30)],
        unless={"where": [{"property": "Amount", "op": "gte", "value": 5}]},
    ),
    Case(
        "a trigger that does not match opens nothing",
        [cart(0, {"Amount": 4}), cart(1, {"Amount": 5})],
        [Expected("cart@1", 31)],
        live={"where": [{"property": "Amount", "op": "gte", "value": 5}]},
    ),
    # R10
    Case("buying one product does not close the window of another", [cart(0, A), paid(5, B)], [Expected("cart@0", 30)], live=BY_PRODUCT),
    Case("buying the product closes its window", [cart(0, A), cart(1, B), paid(5, A)], [Expected("cart@1", 31)], live=BY_PRODUCT),
    Case("every product has a window", [cart(0, A), cart(1, B)], [Expected("cart@0", 30), Expected("cart@1", 31)], live=BY_PRODUCT),
    Case("a trigger without the constant property opens nothing", [cart(0), cart(1, {"product": None})], [], live=BY_PRODUCT),
    Case("a nested value is none of a constant property", [cart(0, {"product": ["a"]}), cart(1, {"product": {}})], [], live=BY_PRODUCT),
    Case(
        "an unless event without the constant property closes nothing",
        [cart(0, A), paid(1), paid(2, {"product": ["a"]})],
        [Expected("cart@0", 30)],
        live=BY_PRODUCT,
    ),
    Case("1 and 1.0 are one value", [cart(0, {"product": 1}), paid(5, {"product": 1.0})], [], live=BY_PRODUCT),
    Case(
        "a number, a text and a boolean are never one value",
        [cart(0, {"product": 1}), paid(1, {"product": "1"}), paid(2, {"product": True})],
        [Expected("cart@0", 30)],
        live=BY_PRODUCT,
    ),
    Case(
        "the two events may name the constant property differently",
        [cart(0, {"product": "a"}), cart(1, {"product": "b"}), paid(5, {"sku": "a", "product": "b"})],
        [Expected("cart@1", 31)],
        live={"same": [{"event": "product", "unless": "sku"}]},
    ),
    Case(
        "all the constant properties must be the same",
        [cart(0, {"product": "a", "size": 1}), paid(5, {"product": "a", "size": 2})],
        [Expected("cart@0", 30)],
        live={"same": ["product", "size"]},
    ),
    # A3
    Case("keep ignores a further trigger", [cart(0), cart(10)], [Expected("cart@0", 30)]),
    Case("keep ignores a further trigger at exactly the deadline", [cart(0), cart(30)], [Expected("cart@0", 30)]),
    Case("keep ignores a further trigger at the same instant", [cart(0, id="x"), cart(0, id="y")], [Expected("x", 30)]),
    Case("restart moves the window to a further trigger", [cart(0), cart(10), cart(40)], [Expected("cart@40", 70)], live=RESTART),
    Case("restart moves the window from exactly its deadline", [cart(0), cart(30)], [Expected("cart@30", 60)], live=RESTART),
    Case("restart moves the window within one instant", [cart(0, id="x"), cart(0, id="y")], [Expected("y", 30)], live=RESTART),
    Case("a window that was moved is closed up to its new deadline", [cart(0), cart(10), paid(40)], [], live=RESTART),
    Case(
        "a trigger after the deadline opens another window",
        [cart(0), cart(30.001)],
        [Expected("cart@0", 30), Expected("cart@30.001", 60.001)],
    ),
    Case("also with restart", [cart(0), cart(31)], [Expected("cart@0", 30), Expected("cart@31", 61)], live=RESTART),
    Case("also before the old one has fired, and is closed alone", [cart(0), cart(31), paid(32)], [Expected("cart@0", 30)]),
    Case("so does any after it closed", [cart(0), paid(10), cart(20)], [Expected("cart@20", 50)]),
    Case("so does any after it closed, also with restart", [cart(0), paid(10), cart(20)], [Expected("cart@20", 50)], live=RESTART),
    Case("keep moves the window back to a trigger up to grace late", [cart(10), cart(6)], [Expected("cart@6", 36)]),
    Case("exactly grace late is up to grace late", [cart(10), cart(5)], [Expected("cart@5", 35)]),
    Case("a window that was moved back ends earlier", [cart(10), cart(6), paid(36.001)], [Expected("cart@6", 36)]),
    Case("restart ignores a trigger up to grace late", [cart(10), cart(6)], [Expected("cart@10", 40)], live=RESTART),
    Case("keep ignores an earlier trigger later than grace", [cart(10), page(20), cart(8)], [Expected("cart@10", 40)]),
    Case("restart ignores an earlier trigger later than grace", [cart(10), page(20), cart(8)], [Expected("cart@10", 40)], live=RESTART),
    Case(
        "an earlier trigger more than the window before it opens a window of its own",
        [cart(100), cart(69.999)],
        [Expected("cart@69.999", 99.999), Expected("cart@100", 130)],
        unless={"grace": "60s"},
    ),
    Case(
        "exactly the window before it is at most the window before it",
        [cart(100), cart(70)],
        [Expected("cart@70", 100)],
        unless={"grace": "60s"},
    ),
    Case("a late further trigger is ignored by keep", [cart(0), page(30), cart(20)], [Expected("cart@0", 30)]),
    Case("a late further trigger moves the window with restart", [cart(0), page(30), cart(20)], [Expected("cart@20", 50)], live=RESTART),
    # A4
    Case("an event that is both closes first, then opens", [cart(0), cart(10)], [Expected("cart@10", 40)], unless=BOTH),
    Case("an event that is both does so within one instant", [cart(0, id="x"), cart(0, id="y")], [Expected("y", 30)], unless=BOTH),
    Case("an event that is both does not close the window that it opens", [cart(0)], [Expected("cart@0", 30)], unless=BOTH),
    Case(
        "an event that is both closes the window of one value and opens that of another",
        [cart(0, {"now": "a"}), cart(5, {"now": "b", "before": "a"})],
        [Expected("cart@5", 35)],
        live={"same": [{"event": "now", "unless": "before"}]},
        unless=BOTH,
    ),
    # A5
    Case("no window fires while stream time is at its deadline and grace", [cart(0)], [], until=35),
    Case("a window fires when stream time is beyond its deadline and grace", [cart(0)], [Expected("cart@0", 30)], until=35.001),
    Case("stream time does not go back at the end", [cart(0), page(40)], [Expected("cart@0", 30)], until=10),
    Case("a record at the deadline and grace fires nothing yet", [cart(0), page(35), paid(30)], []),
    Case("a window fires just before the record that moves time beyond", [cart(0), page(35.001), paid(30)], [Expected("cart@0", 30)]),
    Case("also before an unless event that moves time beyond", [cart(0), paid(35.001)], [Expected("cart@0", 30)]),
    Case("a profile moves stream time", [cart(0), profile(35.001), paid(30)], [Expected("cart@0", 30)]),
    Case("an unless event up to grace early in the stream counts", [paid(12), cart(10)], []),
    Case("up to grace out of order is as in order", [cart(10), paid(8), cart(6)], [Expected("cart@10", 40)]),
    Case(
        "up to grace out of order is as in order, also with restart", [cart(10), paid(8), cart(6)], [Expected("cart@10", 40)], live=RESTART
    ),
    Case("an unless event between triggers that came out of order", [cart(6), cart(10), paid(8)], [Expected("cart@10", 40)]),
    Case("a late unless event closes what is open and has it inside", [cart(0), page(34), paid(20)], []),
    Case("a late unless event closes nothing that has it not inside", [cart(10), page(30), paid(9)], [Expected("cart@10", 40)]),
    Case("a late unless event leaves what has fired", [cart(0), page(36), paid(20)], [Expected("cart@0", 30)]),
    Case("a late trigger opens no window whose deadline and grace have passed", [page(40), cart(4.999)], []),
    Case("a late trigger opens one whose deadline and grace have not passed", [page(40), cart(5)], [Expected("cart@5", 35)]),
    Case("a late trigger is judged by unless events already read", [paid(20), page(30), cart(10)], []),
    Case("by those at its deadline too", [paid(40), cart(10)], []),
    Case("by those that came late themselves", [page(30), paid(12), cart(10)], []),
    Case("not by those of its own instant", [paid(10), page(30), cart(10)], [Expected("cart@10", 40)]),
    Case("not by those after its deadline", [paid(40.001), page(41), cart(10)], [Expected("cart@10", 40)]),
    Case("not by those of another user", [paid(20, user="u2"), page(30), cart(10)], [Expected("cart@10", 40)]),
    Case("not by those of another product", [paid(20, B), page(30), cart(10, A)], [Expected("cart@10", 40)], live=BY_PRODUCT),
    Case(
        "not by those that do not match",
        [paid(20), page(30), cart(10)],
        [Expected("cart@10", 40)],
        unless={"where": [{"property": "Amount", "op": "exists"}]},
    ),
    Case("by those that are still being put in order", [paid(28), page(30), cart(10)], []),
    Case("a late trigger comes before those of the last grace with keep", [cart(18), page(20), cart(8)], [Expected("cart@8", 38)]),
    Case(
        "a late trigger comes before those of the last grace with restart",
        [cart(18), page(20), cart(8)],
        [Expected("cart@18", 48)],
        live=RESTART,
    ),
    Case(
        "an event that is both and late is judged by later ones, not by itself",
        [page(30), cart(10)],
        [Expected("cart@10", 40)],
        unless=BOTH,
    ),
    Case(
        "a late event that is both closes, and is closed", [cart(0), cart(20), page(30), cart(10)], [Expected("cart@20", 50)], unless=BOTH
    ),
    Case(
        "a late trigger with restart moves the window, and is judged like any",
        [cart(80), paid(112), page(115), cart(90)],
        [],
        live=RESTART,
        unless={"grace": "20s"},
    ),
    Case(
        "with keep it moves nothing and is not judged",
        [cart(80), paid(112), page(115), cart(90)],
        [Expected("cart@80", 110)],
        unless={"grace": "20s"},
    ),
    Case("an event a day old is taken", [page(86_400), cart(0)], [Expected("cart@0", 172_800)], unless={"within": "2d"}),
    Case("an event more than a day old is not", [page(86_400.001), cart(0)], [], unless={"within": "2d"}),
    Case("an hour of grace", [cart(0), page(3_630), paid(30)], [], unless={"grace": "1h"}),
    Case(
        "several windows fire in order of deadline and grace",
        [cart(1), cart(0, user="u2"), page(60)],
        [Expected("cart@0", 30), Expected("cart@1", 31)],
    ),
    Case(
        "at one instant in the order of their triggers",
        [cart(0, id="y", user="u2"), cart(0, id="x")],
        [Expected("y", 30), Expected("x", 30)],
    ),
    Case(
        "at one instant by campaign, before the place of the trigger",
        [event("view", 0), cart(0)],
        [Expected("view@0", 30, "b"), Expected("cart@0", 30)],
        beside=(a_campaign("b", {"event": "view"}),),
    ),
    Case(
        "deadline and grace decide the order of campaigns, not the deadline",
        [cart(0), page(100)],
        [Expected("cart@0", 32, "swift"), Expected("cart@0", 30)],
        beside=(a_campaign("swift", unless={"within": "32s", "grace": "1s"}),),
    ),
    Case(
        "windows come before the record's own did decisions",
        [cart(0), event("view", 36)],
        [Expected("cart@0", 30), Expected("view@36", 36, "a")],
        beside=(a_did_campaign("a", "view"),),
    ),
    Case(
        "a did decision is made when its event is read",
        [cart(0), page(4), cart(2, user="u2")],
        [Expected("cart@0", 0, "a"), Expected("cart@2", 2, "a"), Expected("cart@0", 30), Expected("cart@2", 32)],
        beside=(a_did_campaign("a", "cart"),),
    ),
    # R14, R17
    Case("a deadline at the end grants nothing", [cart(0)], [], campaign={"when": {"end": utc(30)}}),
    Case("a deadline before the end grants", [cart(0)], [Expected("cart@0", 30)], campaign={"when": {"end": utc(30.001)}}),
    Case(
        "a trigger at the end opens nothing and moves nothing", [cart(0), cart(20)], [], live=RESTART, campaign={"when": {"end": utc(30)}}
    ),
    Case("a trigger before the start opens nothing", [cart(1.999)], [], campaign={"when": {"start": utc(2)}}),
    Case(
        "a trigger before the start opens nothing, whenever it arrives",
        [cart(2), cart(1.999)],
        [Expected("cart@2", 32)],
        campaign={"when": {"start": utc(2)}},
    ),
    # A9, with a smaller setting
    Case(
        "a further trigger opens no window beyond the most",
        [cart(0, A), cart(1, B), cart(2, {"product": "c"})],
        [Expected("cart@0", 30), Expected("cart@1", 31)],
        live=BY_PRODUCT,
        open_windows=2,
    ),
    Case(
        "another user has a most of their own",
        [cart(0), cart(1, user="u2"), cart(2, user="u3")],
        [Expected("cart@0", 30), Expected("cart@1", 31), Expected("cart@2", 32)],
        open_windows=1,
    ),
    Case(
        "what closed counts no more",
        [cart(0, A), paid(1, A), cart(2, B)],
        [Expected("cart@2", 32)],
        live=BY_PRODUCT,
        open_windows=1,
    ),
    Case(
        "what fired counts no more",
        [cart(0, A), cart(36, B)],
        [Expected("cart@0", 30), Expected("cart@36", 66)],
        live=BY_PRODUCT,
        open_windows=1,
    ),
    Case("restart opens no further window", [cart(0), cart(10)], [Expected("cart@10", 40)], live=RESTART, open_windows=1),
    Case(
        "an event that is both makes room for its own window", [cart(0), cart(10)], [Expected("cart@10", 40)], unless=BOTH, open_windows=1
    ),
    # Repeats, and the time of a record
    Case("a trigger that is read again moves nothing", [cart(0, id="x"), cart(10, id="x")], [Expected("x", 30)], live=RESTART),
    Case("an unless event that is read again closes nothing", [paid(0, id="x"), cart(1), paid(5, id="x")], [Expected("cart@1", 31)]),
    Case("a repeat moves nothing on", [cart(0), cart(50, id="cart@0"), paid(20)], []),
    Case("the time of a record is never after it was received", [cart(60, received=50)], [Expected("cart@60", 80)]),
    Case("so an unless event counts when it was received", [cart(0), paid(50, received=30)], []),
    Case(
        "an event of the future neither opens nor closes",
        [cart(0), paid(301, received=0.999), cart(302, received=1)],
        [Expected("cart@0", 30)],
    ),
]
