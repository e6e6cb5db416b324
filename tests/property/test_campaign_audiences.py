"""Audiences: the sentences of the rules, case by case, and whole histories against the rules restated."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from property.cases_absence import instant_of
from property.cases_audiences import CASES, WhoCase
from property.drawn import BEGINNINGS, begins_of
from property.drawn_behaviour import SCALES, AudienceAuthor, AudienceWorld
from property.judging import Judge, agree, by_engine, by_rules, drawn, sentence, told

pytestmark = pytest.mark.timeout(300)  # a thousand histories, on a machine that has other things to do


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_whom_an_audience_describes(case: WhoCase, judge: Judge) -> None:
    verdict = judge(case.documents(), {}, case.records)
    assert [at for _, _, at, _ in told(verdict)] == [instant_of(at) for at in case.rewarded]


def check(random: Random, slice_records: int, batch_bytes: int) -> None:
    """Object unless the engine decides one drawn history of documents and records as the rules say, whatever the sizes of its slices."""
    begins = begins_of(random.choice(BEGINNINGS))
    author = AudienceAuthor(random, begins, random.choice(SCALES), sends=False)
    documents, codes = author.documents(), author.codes()
    world = AudienceWorld(random, begins, author.spans)
    lines = [world.line() for _ in range(random.randint(1, 100))]
    agree(documents, codes, lines, slice_records=slice_records, batch_bytes=batch_bytes)


@settings(max_examples=1_000, deadline=None)
@drawn
def test_every_audience_is_whom_the_rules_say(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@drawn
def test_every_audience_is_whom_the_rules_say_in_ten_thousand_histories(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)
