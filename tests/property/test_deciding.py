"""Deciding against a restatement of the rules that keeps every grant ever made and counts them anew each time."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.ledger.deciding import Row, decide_all
from livepromo.model.decisions import Candidate, Denial, Grant, Limit, Reason
from unit.ledger.builders import a_candidate


class Caps(NamedTuple):
    """The options of a revision that limit."""

    total: int | None
    day: int | None
    week: int | None
    month: int | None
    campaign_day: int | None
    user_budget: int | None
    campaign_budget: int | None
    partial: bool


class Asked(NamedTuple):
    """Who asks for how much on which day, under which revision."""

    user: str
    day: int
    amount: int
    caps: Caps


class Given(NamedTuple):
    """A grant."""

    user: str
    day: int
    amount: int


def week(day: int) -> int:
    return day // 3


def month(day: int) -> int:
    return day // 7


few = st.none() | st.integers(1, 4)
money = st.none() | st.integers(1, 60)
caps = st.builds(Caps, few, few, few, few, st.none() | st.integers(1, 6), money, money, st.booleans())


@st.composite
def histories(draw: st.DrawFn) -> list[Asked]:
    revisions = draw(st.lists(caps, min_size=1, max_size=3))
    asked = st.builds(Asked, st.sampled_from(["u1", "u2"]), st.integers(0, 30), st.integers(1, 20), st.sampled_from(revisions))
    return draw(st.lists(asked, min_size=1, max_size=40))


def as_candidate(number: int, asked: Asked) -> Candidate:
    row, caps = f"camp/{asked.user}", asked.caps
    limits = (
        Limit(Reason.USER_TOTAL, row, "total", caps.total, 1),
        Limit(Reason.USER_DAY, row, f"day:{asked.day}", caps.day, 1, 1000 + asked.day),
        Limit(Reason.USER_WEEK, row, f"week:{week(asked.day)}", caps.week, 1, 2000 + asked.day),
        Limit(Reason.USER_MONTH, row, f"month:{month(asked.day)}", caps.month, 1, 3000 + asked.day),
        Limit(Reason.CAMPAIGN_DAY, "camp", f"day:{asked.day}", caps.campaign_day, 1, 1000 + asked.day),
        Limit(Reason.USER_BUDGET, row, "amount", caps.user_budget, asked.amount),
        Limit(Reason.CAMPAIGN_BUDGET, "camp", "amount", caps.campaign_budget, asked.amount),
    )
    return a_candidate(*limits, number=number, user=asked.user, amount=asked.amount, partial=caps.partial)


def judged(past: list[Given], asked: Asked) -> tuple[str, int, int] | int:
    """Return the reason, the cap and what is used, or the amount that is granted."""
    caps = asked.caps
    own = [grant for grant in past if grant.user == asked.user]
    if caps.total is not None and len(own) >= caps.total:
        return "user_total", caps.total, len(own)
    for reason, cap, period in (("user_day", caps.day, int), ("user_week", caps.week, week), ("user_month", caps.month, month)):
        known = sorted({period(grant.day) for grant in own})[-3:]
        forgotten = len(known) == 3 and period(asked.day) < known[0]
        if cap is not None:
            used = cap if forgotten else sum(period(grant.day) == period(asked.day) for grant in own)
            if used >= cap:
                return reason, cap, used
    used = sum(grant.day == asked.day for grant in past)
    if caps.campaign_day is not None and used >= caps.campaign_day:
        return "campaign_day", caps.campaign_day, used
    amount = asked.amount
    for reason, cap, spent in (
        ("user_budget", caps.user_budget, sum(grant.amount for grant in own)),
        ("campaign_budget", caps.campaign_budget, sum(grant.amount for grant in past)),
    ):
        if cap is not None and spent + asked.amount > cap:
            if not caps.partial or spent >= cap:
                return reason, cap, spent
            amount = min(amount, cap - spent)
    return amount


@settings(max_examples=400, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_every_decision_is_what_the_rules_say_of_all_grants_before_it(history: list[Asked], random: object) -> None:
    rows: dict[str, Row] = {}
    past: list[Given] = []
    candidates = [as_candidate(number, asked) for number, asked in enumerate(history)]
    at = 0
    while at < len(candidates):
        end = at + random.randint(1, 6)
        decisions, changed = decide_all(rows, candidates[at:end])
        rows |= changed
        for asked, candidate, decision in zip(history[at:end], candidates[at:end], decisions, strict=True):
            expected = judged(past, asked)
            if isinstance(expected, int):
                assert isinstance(decision, Grant)
                assert (decision.candidate, decision.amount_units) == (candidate, expected)
                past.append(Given(asked.user, asked.day, expected))
            else:
                assert isinstance(decision, Denial)
                reason, cap, used = expected
                assert (decision.reason, decision.limit, decision.used) == (reason, cap, used)
                assert decision.requested == (asked.amount if "budget" in reason else None)
                kinds = {"user_day": 1000, "user_week": 2000, "user_month": 3000, "campaign_day": 1000}
                assert decision.resets_at_ms == (kinds[reason] + asked.day if reason in kinds else None)
        at = end
    spent = sum(grant.amount for grant in past)
    assert rows.get("camp", {}).get("amount", 0) == spent
