"""Sends to those of the past, or on a list: the sentences of the rules, case by case, and whole histories against the rules restated."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from property.cases_absence import instant_of
from property.cases_sends import CASES, SendCase
from property.drawn import BEGINNINGS, USERS, begins_of
from property.drawn_behaviour import SCALES, AudienceAuthor, AudienceWorld
from property.judging import Judge, agree, by_engine, by_rules, drawn, sentence, told

pytestmark = pytest.mark.timeout(300)  # a thousand histories, on a machine that has other things to do


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_to_whom_a_campaign_is_sent(case: SendCase, judge: Judge) -> None:
    until = None if case.until is None else instant_of(case.until)
    verdict = judge(case.documents(), case.codes, case.records, lists=case.lists, until=until)
    assert told(verdict) == [(one.whom, one.campaign, instant_of(one.at), one.reason) for one in case.decided]


def check(random: Random, slice_records: int, batch_bytes: int) -> None:
    """Object unless the engine decides one drawn history of documents and records as the rules say, whatever the sizes of its slices."""
    begins = begins_of(random.choice(BEGINNINGS))
    author = AudienceAuthor(random, begins, random.choice(SCALES), sends=True)
    documents, codes = author.documents(), author.codes()
    world = AudienceWorld(random, begins, author.spans)
    lines = [world.line() for _ in range(random.randint(1, 100))]
    lists = {"vip": random.sample((*USERS, "u10", "U1"), 3)} if random.random() < 0.5 else {}
    until = None if random.random() < 0.6 else world.clock + random.choice((*author.spans, 5_000, 5_001))
    agree(documents, codes, lines, lists=lists, until=until, slice_records=slice_records, batch_bytes=batch_bytes)


@settings(max_examples=1_000, deadline=None)
@drawn
def test_every_send_reaches_whom_the_rules_say(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@drawn
def test_every_send_reaches_whom_the_rules_say_in_ten_thousand_histories(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)
