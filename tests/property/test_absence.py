"""Absence: the sentences of the rules, case by case, and whole histories against the rules restated."""

from __future__ import annotations

import pytest

from property.cases_absence import CASES, Case, Expected, instant_of
from property.judging import Verdict, by_engine, by_rules


def told(verdict: Verdict) -> list[tuple[str, str, int, str | None]]:
    """Return what decisions say: of which event, of which campaign, as of when, and why not."""
    found = []
    for _, (_, pairs) in verdict[0]:
        body = dict(pairs)
        cause = dict(body["cause"][1])
        at = body.get("granted_at", body.get("decided_at"))[1]
        assert cause["kind"] == "did" or cause["deadline"] == ("#", at)
        found.append((cause["event_id"], body["campaign"], int(at), body.get("reason")))
    return found


def expected(one: Expected) -> tuple[str, str, int, str | None]:
    return one.event_id, one.campaign, instant_of(one.at), one.reason


@pytest.mark.parametrize("judge", [by_rules, by_engine], ids=["rules", "engine"])
@pytest.mark.parametrize("case", CASES, ids=[case.says.replace(" ", "-") for case in CASES])
def test_what_a_sentence_of_the_rules_says_is_decided(case: Case, judge: object) -> None:
    until = None if case.until is None else instant_of(case.until)
    verdict = judge(case.documents(), {}, case.records, until=until, open_windows=case.open_windows)  # type: ignore[operator]
    assert told(verdict) == [expected(one) for one in case.decided]
