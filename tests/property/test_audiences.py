"""Audiences: the sentences of the rules, case by case, and whole histories against the rules restated."""

from __future__ import annotations

import pytest

from property.cases_absence import instant_of
from property.cases_audiences import CASES, WhoCase
from property.judging import by_engine, by_rules, sentence, told


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=map(sentence, CASES))
def test_whom_an_audience_describes(case: WhoCase, judge: object) -> None:
    verdict = judge(case.documents(), {}, case.records)  # type: ignore[operator]
    assert [at for _, _, at, _ in told(verdict)] == [instant_of(at) for at in case.rewarded]
