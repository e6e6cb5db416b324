"""Absence while what is published changes: pauses, stops and revisions while a window is open (A3, A8, R14-R18)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from livepromo.documents.catalogue import Verb
from property.cases_absence import BEGINS, WALLET, Expected, a_campaign, a_did_campaign, cart, instant_of, page, paid, profile, utc
from property.judging import sentence
from property.restated_values import Document, Sent
from unit.simulation.test_run import Log, Published, logged

Step = Sent | Verb | Document


class Case(NamedTuple):
    """A sentence of the rules; records, interventions and further revisions in the order read; and what is decided, by which revision."""

    says: str
    steps: list[Step]
    decided: list[tuple[Expected, int]]


def revised(live: Document | None = None, unless: Document | None = None, **campaign: object) -> Document:
    """Return the campaign as it is published again."""
    return a_campaign("c", live, unless, dict(campaign))


def denied(event_id: str, at: float) -> Expected:
    return Expected(event_id, at, "c", "paused")


def granted(event_id: str, at: float) -> Expected:
    return Expected(event_id, at, "c")


DEARER = {"points": {"wallet": "grocery", "earn": {"flat": 25}}}
CASES = [
    # A8, R16
    Case("a window that fires while paused is a denial", [cart(0), page(6), Verb.PAUSE, page(40)], [(denied("cart@0", 30), 1)]),
    Case("and is gone", [cart(0), page(6), Verb.PAUSE, page(40), Verb.RESUME, page(50)], [(denied("cart@0", 30), 1)]),
    Case(
        "a pause that is over before it fires changes nothing",
        [cart(0), page(6), Verb.PAUSE, page(20), Verb.RESUME, page(40)],
        [(granted("cart@0", 30), 1)],
    ),
    Case("a trigger read while paused opens no window", [page(0), Verb.PAUSE, cart(1), page(20), Verb.RESUME, page(50)], []),
    Case("an unless event read while paused closes", [cart(0), page(6), Verb.PAUSE, paid(10), page(20), Verb.RESUME, page(50)], []),
    Case(
        "an unless event read while paused counts against a late trigger",
        [page(0), Verb.PAUSE, paid(20), page(30), Verb.RESUME, cart(10), page(60)],
        [],
    ),
    Case("a stopped campaign grants nothing and denies nothing", [cart(0), page(6), Verb.STOP, page(40)], []),
    # R18
    Case(
        "the reward is that of the revision in force when the window fires",
        [cart(0), page(6), revised(reward=DEARER), page(40)],
        [(granted("cart@0", 30), 2)],
    ),
    Case("a revision after it fired changes nothing", [cart(0), page(40), revised(reward=DEARER), page(50)], [(granted("cart@0", 30), 1)]),
    # A3
    Case(
        "a window's deadline is its opening revision's",
        [cart(0), page(6), revised(unless={"within": "10s"}), page(40)],
        [(granted("cart@0", 30), 2)],
    ),
    Case(
        "the deadline of a further window is the further revision's",
        [cart(0), page(6), revised(unless={"within": "60s"}), cart(31), page(100)],
        [(granted("cart@0", 30), 2), (granted("cart@31", 91), 2)],
    ),
    Case(
        "what closes a window is its opening revision's",
        [cart(0), page(6), revised(unless={"where": [{"property": "Amount", "op": "exists"}]}), paid(10), page(40)],
        [],
    ),
    Case(
        "what closes a further window is the further revision's",
        [page(0), revised(unless={"where": [{"property": "Amount", "op": "exists"}]}), cart(1), paid(10), page(40)],
        [(granted("cart@1", 31), 2)],
    ),
    Case(
        "what opens a window is the revision's in force",
        [page(0), revised({"where": [{"property": "Amount", "op": "exists"}]}), cart(1), page(40)],
        [],
    ),
    Case(
        "who is judged by the revision in force when it fires",
        [
            cart(0),
            page(6),
            revised(who={"property": "plan", "op": "eq", "value": "gold"}),
            page(40),
            cart(41),
            profile(42, plan="gold"),
            page(90),
        ],
        [(granted("cart@41", 71), 2)],
    ),
    Case("the end in force when it fires counts", [cart(0), page(6), revised(when={"end": utc(30)}), page(40)], []),
    Case(
        "a later end in force when it fires counts",
        [cart(0), page(6), revised(when={"end": utc(30.001)}), page(40)],
        [(granted("cart@0", 30), 2)],
    ),
    Case("the start in force when it fires counts", [cart(0), page(6), revised(when={"start": utc(1)}), page(40)], []),
    # R16, R18: what counts is when an event was read
    Case(
        "a trigger read before the pause opens its window, though it is still being put in order",
        [cart(0), Verb.PAUSE, page(20), Verb.RESUME, page(40)],
        [(granted("cart@0", 30), 1)],
    ),
    Case(
        "an event is judged by the revision in force when it was read",
        [cart(0), revised(unless={"within": "10s"}), page(40)],
        [(granted("cart@0", 30), 2)],
    ),
    # R14
    Case("what was before the publication opens nothing, whenever it arrives", [page(0), cart(-1), page(60)], []),
]


@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_what_is_published_meanwhile(case: Case, tmp_path: Path) -> None:
    published = Published()
    log = Log(0).entry(published.publish(WALLET, a_campaign("c"), at=BEGINS))
    received = BEGINS
    for step in case.steps:
        match step:
            case Verb():
                log.entry(published.intervene(step))
            case Sent():
                received = max(received, step.ts)
                log.record(step.line, received)
            case _:
                log.entry(published.publish(step, at=received))
    decisions, _ = logged(tmp_path, published, log)
    found = []
    for one in decisions:
        [body] = one.values()
        at = body["granted_at" if "grant" in one else "decided_at"]
        found.append((body["cause"]["event_id"], at, body["campaign"], body.get("reason"), body["revision"]))
    assert found == [(one.event_id, instant_of(one.at), one.campaign, one.reason, revision) for one, revision in case.decided]


def test_a_campaign_published_meanwhile_knows_nothing_of_what_was_read_before(tmp_path: Path) -> None:
    published = Published()
    log = Log(0).entry(published.publish(WALLET, a_did_campaign("d", "cart"), at=BEGINS))
    for sent in (cart(1), cart(2)):
        log.record(sent.line, sent.ts)
    log.entry(published.publish(a_campaign("c"), at=instant_of(3)))
    log.record(page(60).line, instant_of(60))
    decisions, _ = logged(tmp_path, published, log)
    assert [one["grant"]["campaign"] for one in decisions] == ["d", "d"]
