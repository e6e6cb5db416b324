"""Sentences about sends, each with a history and what must come of it, worked out by hand.

Grace is 5 s. Times are in seconds after `BEGINS`.
"""

from __future__ import annotations

from typing import NamedTuple

from property.cases_absence import WALLET, a_campaign, a_did_campaign, cart, event, instant_of, page, paid, profile, utc, with_line
from property.restated_values import Document, Sent


class Sending(NamedTuple):
    """A decision: for which user, or which event where there is one, as of when, of which campaign."""

    whom: str
    at: float
    campaign: str = "sent"
    reason: str | None = None


class SendCase(NamedTuple):
    """A sentence of the rules, a campaign that is sent, records in the order read, and what is decided.

    `at`: its `send`; None: now. `lists`: the users that were imported, by list.
    """

    says: str
    records: list[Sent]
    decided: list[Sending]
    at: float | None = 10
    campaign: Document = {}  # noqa: RUF012 - never changed
    beside: tuple[Document, ...] = ()
    until: float | None = None
    lists: dict[str, list[str]] = {}  # noqa: RUF012
    codes: dict[str, list[str]] = {}  # noqa: RUF012

    def documents(self) -> list[Document]:
        return [WALLET, VIP, *self.beside, a_sent_campaign("sent", self.at, self.campaign)]


VIP = {"kind": "list", "id": "vip"}
BUYERS = {"did": {"event": "paid"}}
TO_LIST = {"qualify": {"list": "vip"}}
BULK = {"kind": "coupon", "id": "spring", "type": "bulk"}
COUPON = {"reward": {"coupon": {"type": "bulk", "coupon": "spring"}}}


def a_sent_campaign(name: str, at: float | None = None, campaign: Document | None = None) -> Document:
    """Return a campaign that is sent to whoever paid."""
    described = {"qualify": {"past": {}}, "who": BUYERS, "when": {"send": "now" if at is None else utc(at)}, **(campaign or {})}
    if "list" in described["qualify"] and "who" not in (campaign or {}):
        del described["who"]
    return a_campaign(name, campaign=described)


def on_list(at: float, user: str = "u1", *, is_one: bool = True) -> Sent:
    return with_line(Sent(b"", "segment", user, instant_of(at), name="list/vip", member=is_one))


ALICE, BOB = Sending("alice", 10), Sending("bob", 10)

CASES = [
    # R2, R13
    SendCase("everyone whom the audience describes at the send time", [paid(0, user="bob"), paid(1, user="alice"), cart(2)], [ALICE, BOB]),
    SendCase("each once", [paid(0, user="bob"), paid(1, user="bob"), page(60), paid(61, user="bob"), page(200)], [BOB]),
    SendCase(
        "in the order of the bytes of their ids",
        [paid(at, user=user) for at, user in enumerate(("\U0001f600", "\uff5e", "ü", "b", "B"))],
        [Sending(user, 10) for user in ("B", "b", "ü", "\uff5e", "\U0001f600")],
    ),
    SendCase("not before stream time is beyond the send time and grace", [paid(0, user="bob")], [], until=15),
    SendCase("as soon as stream time is beyond", [paid(0, user="bob")], [BOB], until=15.001),
    SendCase("the end reaches every send", [paid(0, user="bob")], [Sending("bob", 3500)], at=3500),
    SendCase("what happened at the send time counts", [paid(10, user="bob")], [BOB]),
    SendCase("what happened after the send time does not", [paid(10.001, user="bob")], []),
    SendCase("what was done by then counts up to grace late", [page(15), paid(10, user="bob")], [BOB]),
    SendCase("what comes later than that does not", [page(15.001), paid(10, user="bob")], []),
    SendCase("the record that moves stream time beyond does not count", [page(0), paid(16, user="bob"), paid(9, user="alice")], []),
    SendCase(
        "a profile counts as read",
        [page(0), profile(14, plan="gold")],
        [Sending("u1", 10)],
        campaign={"who": {"property": "plan", "op": "eq", "value": "gold"}},
    ),
    SendCase(
        "users of whom only a membership was read are considered",
        [on_list(0, "bob"), profile(1, plan="gold"), event("view", 2, user="alice")],
        [ALICE, BOB, Sending("u1", 10)],
        campaign={"who": {"did_not": {"event": "paid"}}},
    ),
    SendCase(
        "users of an imported list are considered",
        [paid(0, user="alice")],
        [BOB],
        campaign={"who": {"did_not": {"event": "paid"}}},
        lists={"vip": ["bob"]},
    ),
    SendCase(
        "a look-back counts from the send time",
        [paid(4, user="bob"), paid(5, user="alice"), page(60)],
        [ALICE],
        campaign={"who": {"did": {"event": "paid", "within": "5s"}}},
    ),
    # list
    SendCase("everyone on the list", [on_list(0, "bob"), paid(1, user="alice"), on_list(2, "alice")], [ALICE, BOB], campaign=TO_LIST),
    SendCase("everyone on the imported list", [page(0)], [ALICE, BOB], campaign=TO_LIST, lists={"vip": ["bob", "alice"]}),
    SendCase("not who has left it", [on_list(0, "bob"), on_list(1, "bob", is_one=False)], [], campaign=TO_LIST),
    SendCase("not who joined it after the send", [page(0), page(16), on_list(1, "bob")], [], campaign=TO_LIST),
    SendCase(
        "on the list and in the audience",
        [on_list(0, "bob"), on_list(0, "alice"), paid(1, user="bob")],
        [BOB],
        campaign={**TO_LIST, "who": BUYERS},
    ),
    # R12
    SendCase("now is the newest time of all records taken", [paid(20, user="bob"), page(3)], [Sending("bob", 20)], at=None),
    SendCase(
        "now is after all of them", [paid(20, user="bob"), paid(19, user="alice")], [Sending("alice", 20), Sending("bob", 20)], at=None
    ),
    SendCase("now is whatever the end of the simulation", [paid(20, user="bob"), page(30)], [Sending("bob", 30)], at=None, until=5),
    SendCase("also where the end is within its grace", [paid(20, user="bob")], [Sending("bob", 20)], at=None, until=21),
    SendCase("also far behind", [paid(20, user="bob")], [Sending("bob", 20)], at=None, until=3000),
    # order
    SendCase(
        "windows come before sends of their instant",
        [paid(0), cart(0)],
        [Sending("cart@0", 30, "z"), Sending("u1", 30)],
        at=30,
        beside=(a_campaign("z"),),
    ),
    SendCase(
        "a send comes before the windows of a later instant",
        [paid(0), cart(0.001)],
        [Sending("u1", 30), Sending("cart@0.001", 30.001, "a")],
        at=30,
        beside=(a_campaign("a"),),
    ),
    SendCase(
        "sends of one instant by campaign, then by user",
        [paid(0, user="bob"), paid(0, user="alice")],
        [Sending("alice", 10, "a"), Sending("bob", 10, "a"), ALICE, BOB],
        beside=(a_sent_campaign("a", 10),),
    ),
    SendCase(
        "sends come before the record's own did decisions",
        [paid(0, user="bob"), event("view", 16)],
        [BOB, Sending("view@16", 16, "a")],
        beside=(a_did_campaign("a", "view"),),
    ),
    SendCase(
        "where codes do not suffice it goes by user id",
        [paid(0, user="bob"), paid(0, user="alice")],
        [ALICE, Sending("bob", 10, reason="codes_exhausted")],
        campaign=COUPON,
        beside=(BULK,),
        codes={"coupon/spring": ["only one"]},
    ),
]
