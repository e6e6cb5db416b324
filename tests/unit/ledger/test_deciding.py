"""What becomes of a candidate, limit by limit."""

from __future__ import annotations

import msgspec
import pytest

from livepromo.ledger.deciding import MOST_USED, Row, Stock, add, decide, decide_all, keeps_all, pool_row, rows_of, taken_of, within_limits
from livepromo.ledger.entries import decode, encode, grant_entry
from livepromo.ledger.folding import fold_all
from livepromo.ledger.formats import unversioned, versioned
from livepromo.model.decisions import Denial, Grant, Limit, Reason
from unit.ledger.builders import a_candidate, campaign_budget, user_budget, user_day, user_total


def test_a_candidate_without_limits_is_granted() -> None:
    candidate = a_candidate()
    assert decide({}, candidate) == Grant(candidate, 10, ())


def test_the_last_one_within_a_cap_is_granted_and_the_next_is_denied_with_cap_and_use() -> None:
    candidate = a_candidate(user_total(3))
    assert isinstance(decide({"camp/u1": {"total": 2}}, candidate), Grant)
    denial = decide({"camp/u1": {"total": 3}}, candidate)
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.limit, denial.used, denial.requested, denial.resets_at_ms) == (Reason.USER_TOTAL, 3, 3, None, None)
    assert denial.as_json() == (
        b'{"campaign":"camp","revision":3,"user":"u1","decided_at":1764549000000,"cause":{"kind":"did","event_id":"e1","event":"Charged",'
        b'"ts":1764549000000},"reason":"user_total","limit":3,"used":3}'
    )


def test_a_denial_of_a_period_says_when_the_next_one_begins() -> None:
    denial = decide({"camp/u1": {"day:20": 2}}, a_candidate(user_day(20, 2)))
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.used, denial.resets_at_ms) == (Reason.USER_DAY, 2, 21 * 86_400_000)


def test_a_denial_of_a_budget_says_what_was_requested_in_the_wallets_decimals() -> None:
    denial = decide({"camp": {"amount": 9_950}}, a_candidate(campaign_budget(10_000, 75), amount=75, decimals=2))
    assert isinstance(denial, Denial)
    assert denial.as_json().endswith(b'"reason":"campaign_budget","limit":100,"used":99.5,"requested":0.75}')


def test_the_first_limit_that_fails_is_the_one_that_is_said() -> None:
    full: dict[str, Row] = {"camp/u1": {"total": 1, "day:5": 1, "amount": 10}, "camp": {"amount": 10}}
    limits = [user_total(1), user_day(5, 1), user_budget(10), campaign_budget(10)]
    while limits:
        denial = decide(full, a_candidate(*limits))
        assert isinstance(denial, Denial)
        assert denial.reason is limits.pop(0).reason


def test_a_grant_adds_to_every_slot_also_where_nothing_is_limited() -> None:
    grant = decide({}, a_candidate(user_total(None), user_day(5, 2), user_budget(None), campaign_budget(100)))
    assert isinstance(grant, Grant)
    assert grant.adds == (("camp/u1", "total", 1), ("camp/u1", "day:5", 1), ("camp/u1", "amount", 10), ("camp", "amount", 10))


def test_what_an_unlimited_campaign_has_given_stays_a_number_that_the_table_can_keep() -> None:
    largest = 10**15 - 1
    rows: dict[str, Row] = {"camp": {"amount": MOST_USED - 1}}
    decisions, rows = decide_all(rows, [a_candidate(campaign_budget(None, largest), number=number, amount=largest) for number in (1, 2)])
    assert all(isinstance(decision, Grant) and decision.amount_units == largest for decision in decisions)
    assert unversioned(versioned(1, rows["camp"]), 1, msgspec.msgpack.Decoder(dict[str, int]), "a row") == {"amount": MOST_USED}
    assert isinstance(decide(rows, a_candidate(campaign_budget(1000 * largest, 1), amount=1)), Denial)


def test_a_reward_larger_than_what_is_left_is_denied_and_a_smaller_one_still_fits() -> None:
    rows = {"camp": {"amount": 95}}
    assert isinstance(decide(rows, a_candidate(campaign_budget(100, 6), amount=6)), Denial)
    assert isinstance(decide(rows, a_candidate(campaign_budget(100, 5), amount=5)), Grant)


@pytest.mark.parametrize(("user_used", "campaign_used"), [(93, 996), (96, 993), (96, 996)])
def test_a_partial_reward_is_the_least_that_is_left_of_any_budget_and_says_what_was_requested(user_used: int, campaign_used: int) -> None:
    rows = {"camp/u1": {"amount": user_used}, "camp": {"amount": campaign_used}}
    grant = decide(rows, a_candidate(user_total(9), user_budget(100), campaign_budget(1_000), partial=True))
    assert isinstance(grant, Grant)
    assert grant.amount_units == 4
    assert grant.adds == (("camp/u1", "total", 1), ("camp/u1", "amount", 4), ("camp", "amount", 4))
    assert b'"points":4,' in grant.as_json()
    assert b'"requested":10}}' in grant.as_json()


@pytest.mark.parametrize(
    ("user_used", "campaign_used", "reason"), [(100, 0, "user_budget"), (0, 100, "campaign_budget"), (100, 100, "user_budget")]
)
def test_a_partial_reward_of_which_nothing_is_left_is_denied_by_the_budget_that_is_used_up(
    user_used: int, campaign_used: int, reason: str
) -> None:
    rows = {"camp/u1": {"amount": user_used}, "camp": {"amount": campaign_used}}
    denial = decide(rows, a_candidate(user_budget(100), campaign_budget(100), partial=True))
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.limit, denial.used, denial.requested) == (reason, 100, 100, 10)


def test_a_partial_reward_is_still_denied_by_a_limit_that_counts() -> None:
    denial = decide({"camp/u1": {"total": 1}, "camp": {"amount": 95}}, a_candidate(user_total(1), campaign_budget(100), partial=True))
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.USER_TOTAL


def test_a_budget_that_was_lowered_below_what_is_used_denies_and_says_both() -> None:
    denial = decide({"camp": {"amount": 150}}, a_candidate(campaign_budget(100), partial=True))
    assert isinstance(denial, Denial)
    assert (denial.limit, denial.used) == (100, 150)


def test_a_period_older_than_the_three_that_a_users_row_keeps_counts_as_used_up() -> None:
    rows = {"camp/u1": {"day:10": 1, "day:12": 1, "day:13": 1}}
    denial = decide(rows, a_candidate(user_day(9, 5)))
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.limit, denial.used) == (Reason.USER_DAY, 5, 5)
    assert isinstance(decide(rows, a_candidate(user_day(11, 5))), Grant)


def test_a_period_older_than_those_kept_that_has_no_cap_adds_nothing() -> None:
    rows = {"camp/u1": {"day:10": 1, "day:12": 1, "day:13": 1}}
    grant = decide(rows, a_candidate(user_total(None), user_day(9, None)))
    assert isinstance(grant, Grant)
    assert grant.adds == (("camp/u1", "total", 1),)


def test_with_fewer_than_three_periods_kept_none_was_dropped_so_an_older_one_is_empty() -> None:
    assert isinstance(decide({"camp/u1": {"day:12": 1, "day:13": 1, "week:1": 3, "week:2": 1}}, a_candidate(user_day(9, 5))), Grant)


def test_a_campaign_row_keeps_every_period() -> None:
    row: Row = {}
    for day in (5, 9, 7, 8, 1, 10):
        add(row, f"day:{day}", 1, keeps_all=True)
    assert row == {f"day:{day}": 1 for day in (5, 9, 7, 8, 1, 10)}
    limit = Limit(Reason.CAMPAIGN_DAY, "camp", "day:2", 1, 1)
    assert isinstance(decide({"camp": row}, a_candidate(limit)), Grant)


def test_a_users_row_keeps_the_newest_three_periods_of_each_kind() -> None:
    row: Row = {}
    for slot in ("total", "day:99", "week:14", "day:100", "day:98", "amount", "day:101", "week:13", "day:97", "day:101", "month:3"):
        add(row, slot, 1, keeps_all=False)
    assert row == {"total": 1, "amount": 1, "day:99": 1, "day:100": 1, "day:101": 2, "week:13": 1, "week:14": 1, "month:3": 1}


def test_later_candidates_see_what_earlier_ones_used() -> None:
    candidates = [a_candidate(user_total(2), number=n) for n in range(4)]
    decisions, changed = decide_all({"camp/u1": {"total": 1}}, candidates)
    assert [type(d) for d in decisions] == [Grant, Denial, Denial, Denial]
    assert changed == {"camp/u1": {"total": 2}}


def test_deciding_leaves_the_rows_that_it_is_given_as_they_are_and_returns_only_those_that_changed() -> None:
    rows: dict[str, Row] = {"camp/u1": {"total": 1}, "camp/u2": {"total": 9}, "camp": {"amount": 5}}
    _, changed = decide_all(rows, [a_candidate(user_total(5), campaign_budget(100)), a_candidate(user_total(5, "u2"), user="u2")])
    assert rows == {"camp/u1": {"total": 1}, "camp/u2": {"total": 9}, "camp": {"amount": 5}}
    assert changed == {"camp/u1": {"total": 2}, "camp": {"amount": 15}}


def test_a_denial_uses_up_nothing() -> None:
    decisions, changed = decide_all({}, [a_candidate(user_total(5), campaign_budget(9))])
    assert isinstance(decisions[0], Denial)
    assert changed == {}


# -- codes ------------------------------------------------------------------------------------------------------------

POOL = "voucher_list/amazon/Holiday"
STOCK = Stock(5, ("five", "six", "seven"), 8)


def test_a_candidate_with_a_pool_takes_the_code_at_the_cursor_and_moves_it_by_one() -> None:
    grant = decide({pool_row(POOL): {"taken": 6}}, a_candidate(user_total(3), pool=POOL), STOCK)
    assert isinstance(grant, Grant)
    assert (grant.code, grant.adds) == ("six", (("camp/u1", "total", 1), (f"@{POOL}", "taken", 1)))
    assert b'"points":"six",' in grant.as_json()


def test_a_pool_whose_cursor_is_at_its_end_is_exhausted_and_nothing_is_used_up() -> None:
    rows = {pool_row(POOL): {"taken": 8}}
    decisions, changed = decide_all(rows, [a_candidate(user_total(3), pool=POOL)], {POOL: STOCK})
    assert isinstance(decisions[0], Denial)
    assert (decisions[0].reason, decisions[0].limit, decisions[0].used) == (Reason.CODES_EXHAUSTED, None, None)
    assert changed == {}


def test_a_limit_is_said_before_codes_are_looked_for() -> None:
    denial = decide({pool_row(POOL): {"taken": 8}, "camp/u1": {"total": 3}}, a_candidate(user_total(3), pool=POOL), STOCK)
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.USER_TOTAL


def test_campaigns_that_share_a_pool_take_turns_within_one_slice() -> None:
    candidates = [a_candidate(number=n, campaign=f"c{n % 2}", pool=POOL) for n in range(5)]
    decisions, changed = decide_all({pool_row(POOL): {"taken": 5}}, candidates, {POOL: STOCK})
    assert [one.code if isinstance(one, Grant) else one.reason.value for one in decisions] == [
        "five",
        "six",
        "seven",
        "codes_exhausted",
        "codes_exhausted",
    ]
    assert changed == {pool_row(POOL): {"taken": 8}}


@pytest.mark.parametrize("stocks", [{}, {POOL: Stock(0, ("a",), 8)}, {POOL: Stock(6, ("a",), 8)}])
def test_too_few_codes_at_hand_is_a_bug_and_never_a_denial(stocks: dict[str, Stock]) -> None:
    with pytest.raises(AssertionError, match=POOL):
        decide_all({pool_row(POOL): {"taken": 5}}, [a_candidate(pool=POOL)], stocks)


def test_within_limits_alone_no_code_is_taken_and_null_stands_in_its_place() -> None:
    grant = within_limits({}, a_candidate(user_total(3), pool=POOL))
    assert isinstance(grant, Grant)
    assert (grant.code, grant.adds) == (None, (("camp/u1", "total", 1),))
    assert b'"points":null,' in grant.as_json()


def test_a_pools_row_is_among_those_that_are_looked_at_and_keeps_all() -> None:
    assert rows_of([a_candidate(user_total(1)), a_candidate(campaign_budget(1), pool=POOL)]) == {"camp/u1", "camp", f"@{POOL}"}
    assert [keeps_all(name) for name in ("camp", "camp/u1", "camp/@u/x", pool_row(POOL))] == [True, False, False, True]
    assert taken_of({}, POOL) == 0


def test_a_fold_of_the_ledger_moves_the_cursor_as_the_decision_did() -> None:
    candidates = [a_candidate(user_total(9), number=n, pool=POOL) for n in range(3)]
    decisions, changed = decide_all({}, candidates, {POOL: Stock(0, ("a", "b"), 2)})
    entries = [decode(encode(grant_entry(one, 0))) for one in decisions if isinstance(one, Grant)]
    assert len(entries) == 2
    assert fold_all(entries)[0] == changed == {"camp/u1": {"total": 2}, pool_row(POOL): {"taken": 2}}


def test_neither_a_grant_nor_its_entry_nor_a_stock_shows_a_code() -> None:
    grant = decide({}, a_candidate(pool=POOL), Stock(0, ("secret",), 1))
    assert isinstance(grant, Grant)
    text = repr((grant, grant_entry(grant, 0), Stock(0, ("secret",), 1)))
    assert "secret" not in text
    assert grant.candidate.grant_id in text
