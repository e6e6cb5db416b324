"""Absence: the sentences of the rules, case by case, and whole histories against the rules restated."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from property.cases_absence import CASES, Case, Expected, instant_of
from property.drawn import BEGINNINGS, begins_of
from property.drawn_behaviour import SCALES, AbsenceAuthor, AbsenceWorld
from property.judging import Judge, agree, by_engine, by_rules, drawn, sentence, told

pytestmark = pytest.mark.timeout(300)  # a thousand histories, on a machine that has other things to do


def expected(one: Expected) -> tuple[str, str, int, str | None]:
    return one.event_id, one.campaign, instant_of(one.at), one.reason


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_what_a_sentence_of_the_rules_says_is_decided(case: Case, judge: Judge) -> None:
    until = None if case.until is None else instant_of(case.until)
    verdict = judge(case.documents(), {}, case.records, until=until, open_windows=case.open_windows)
    assert told(verdict) == [expected(one) for one in case.decided]


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
