"""Sends to an audience of the past, or to a list: the sentences of the rules, case by case."""

from __future__ import annotations

import pytest

from property.cases_absence import instant_of
from property.cases_sends import CASES, SendCase
from property.judging import by_engine, by_rules, sentence, told


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_to_whom_a_campaign_is_sent(case: SendCase, judge: object) -> None:
    until = None if case.until is None else instant_of(case.until)
    verdict = judge(case.documents(), case.codes, case.records, lists=case.lists, until=until)  # type: ignore[operator]
    assert told(verdict) == [(one.whom, one.campaign, instant_of(one.at), one.reason) for one in case.decided]
