"""Absence: the sentences of the rules, case by case, and whole histories against the rules restated."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import settings

from property.cases_absence import CASES, Case, Expected, instant_of
from property.drawn import BEGINNINGS, HOUR, USERS, Author, World, begins_of
from property.judging import agree, by_engine, by_rules, drawn, sentence, told
from property.restated_values import DAY, Document

SECOND = 1_000
SCALES = (SECOND, 10 * SECOND, 60 * SECOND, HOUR, 6 * HOUR, DAY)
"""How long things take in a history, so that what happens falls before, on and behind deadlines."""
TRIGGERS = ("Charged", "Viewed")
UNLESS = ("Charged", "Viewed", "Paid", ["Charged", "Paid"], ["Viewed", "Charged"], ["Paid"])
VALUES = (1, 1, 1, 1, 1.0, "gold", "gold")
ODD = ("1", True, None, ["gold"], {})


def expected(one: Expected) -> tuple[str, str, int, str | None]:
    return one.event_id, one.campaign, instant_of(one.at), one.reason


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_what_a_sentence_of_the_rules_says_is_decided(case: Case, judge: object) -> None:
    until = None if case.until is None else instant_of(case.until)
    verdict = judge(case.documents(), {}, case.records, until=until, open_windows=case.open_windows)  # type: ignore[operator]
    assert told(verdict) == [expected(one) for one in case.decided]


class AbsenceAuthor(Author):
    """Draws documents most of whose campaigns reward what was not done."""

    def __init__(self, random: Random, begins: int, scale: int) -> None:
        super().__init__(random, begins)
        self.scale = scale
        self.spans = [0, 1, scale]
        """What tells times apart: how long windows are, and how much grace they have."""

    def instant(self, half_days: int) -> str:
        return self.spelled(self.begins + half_days * self.scale)

    def points(self, wallet: Document) -> Document:
        if self.maybe(0.4):
            return super().points(wallet)
        return {"wallet": wallet["id"], "earn": self.random.choice(({"flat": 1}, {"percent": 10, "of": "Amount"})), "metadata": self.rows()}

    def campaign(self, name: str, reward: Document) -> Document:
        campaign = super().campaign(name, reward)
        if self.maybe(0.85):
            live = campaign["qualify"]["live"]
            live["event"] = self.random.choice(TRIGGERS)
            if self.maybe(0.7):
                live.pop("where", None)
            live |= self.absence()
        return campaign

    def absence(self) -> Document:
        pick = self.random.choice
        within, grace = self.scale * pick((1, 1, 2, 3)), pick((SECOND, 5 * SECOND, self.scale // 2, self.scale // 3, self.scale, DAY))
        grace = min(max(grace, SECOND), DAY)
        self.spans += [within, grace, within + grace]
        unless: Document = {"event": pick(UNLESS), "within": f"{within // SECOND}s"}
        if self.maybe(0.8):
            unless["grace"] = f"{grace // SECOND}s"
        if self.maybe(0.25):
            unless["where"] = [self.condition()]
        absence: Document = {"unless": unless}
        if self.maybe():
            absence["retrigger"] = pick(("restart", "keep", "restart"))
        if self.maybe():
            absence["same"] = pick((["tag"], ["Order ID"], [{"event": "tag", "unless": "Order ID"}], ["tag", "Order ID"]))
        return absence


class AbsenceWorld(World):
    """Draws lines that fall before, on and behind the deadlines of windows, with and without grace."""

    def __init__(self, random: Random, begins: int, spans: list[int]) -> None:
        super().__init__(random, begins)
        self.spans = spans
        self.users = USERS[: random.choice((1, 2, 2, 3))]

    def pass_time(self) -> None:
        step = self.random.choice((0, 0, 1, *self.spans))
        self.clock += step // self.random.choice((1, 1, 2, 3)) + self.random.choice((0, 0, 0, 1))

    def late_by(self) -> int:
        pick = self.random.choice
        if self.random.random() < 0.5:
            return 0
        if self.random.random() < 0.1:
            return pick((DAY, DAY + 1))
        return pick(self.spans) // pick((1, 1, 2)) + pick((0, 0, 1, -1, pick(self.spans)))

    def received_after(self) -> int:
        return self.random.choice((0, 0, 0, 1000, 1000, HOUR, HOUR, -1, -1, -min(200_000, self.random.choice(self.spans)), -300_001))

    def happening(self) -> tuple[str, str | None, dict[str, Any]]:
        pick, random = self.random.choice, self.random.random
        properties = {name: pick(VALUES if random() < 0.9 else ODD) for name in ("tag", "Order ID") if random() < 0.95}
        if random() < 0.9:
            properties["Amount"] = pick((10, 33, 250, "500", 0))
        name = pick(("Charged", "Charged", "Viewed", "Viewed", "Paid", "Nobody asks"))
        return name, pick((None, "e1", "e2", *(f"n{len(self.sent)}" for _ in range(7)))), properties


def check(random: Random, slice_records: int, batch_bytes: int) -> None:
    """Object unless the engine decides one drawn history of documents and records as the rules say, whatever the sizes of its slices."""
    begins = begins_of(random.choice(BEGINNINGS))
    author = AbsenceAuthor(random, begins, random.choice(SCALES))
    documents, codes = author.documents(), author.codes()
    world = AbsenceWorld(random, begins, author.spans)
    lines = [world.line() for _ in range(random.randint(1, 100))]
    until = None if random.random() < 0.7 else world.clock + random.choice(author.spans)
    most = random.choice((1000, 1000, 1, 2))
    agree(documents, codes, lines, until=until, open_windows=most, slice_records=slice_records, batch_bytes=batch_bytes)


@settings(max_examples=1_000, deadline=None)
@drawn
def test_every_absence_is_decided_as_the_rules_say(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@drawn
def test_every_absence_is_decided_as_the_rules_say_of_ten_thousand_histories(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)
