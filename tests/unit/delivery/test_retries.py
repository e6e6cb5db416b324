"""When a call is tried again and when it is given up (R48): exponential, jittered, over 24 hours; what is final after three tries."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

import pytest

from livepromo.delivery.retries import (
    UNTRIED,
    GivenUp,
    Outcome,
    OutcomeKind,
    Tries,
    Why,
    after,
    drawn_pause_ms,
    overdue,
    retry_after_ms,
)

HOUR = 3_600_000
NOW = 1_764_547_200_000
OK = Outcome(OutcomeKind.OK, status=204)
TIMEOUT = Outcome(OutcomeKind.TIMEOUT, Why.TIMEOUT)
IDS = [f"gr_{n:032x}" for n in range(500)]


def status(code: int, asked_ms: int | None = None) -> Outcome:
    return Outcome(OutcomeKind.REFUSED, Why.STATUS, code, retry_after_ms=asked_ms)


def history(outcomes: Iterable[Outcome], grant_id: str = "gr_1", took_ms: int = 0) -> tuple[list[int], GivenUp | None]:
    """Return when a call is tried, each try as soon as it is due, and how it was given up, or None where it was delivered."""
    tries, at, now_ms = UNTRIED, [], NOW
    for outcome in outcomes:
        at.append(now_ms)
        end = after(tries, outcome, grant_id, now_ms, now_ms + took_ms)
        if not isinstance(end, Tries):
            return at, end
        tries = end
        now_ms = max(tries.next_ms, now_ms + took_ms)
    raise AssertionError("it never ended")


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 409, 410, 413, 422, 426, 428, 431, 451, 499])
def test_what_is_refused_for_good_is_given_up_after_three_tries(code: int) -> None:
    at, end = history([status(code)] * 1000)
    assert len(at) == 3
    assert end == GivenUp(3, NOW, code, f"status {code}")


@pytest.mark.parametrize(
    "outcome", [status(code) for code in (408, 425, 429, 500, 502, 503, 504, 599, 301, 302, 307, 304, 199, 600)] + [TIMEOUT]
)
def test_everything_else_is_tried_until_24_hours_are_over(outcome: Outcome) -> None:
    at, end = history([outcome] * 1000)
    assert at[-1] == NOW + 24 * HOUR, "the last try is at the end"
    assert 12 < len(at) < 60
    assert end == GivenUp(len(at), NOW, outcome.status, outcome.reason)


def test_a_call_that_is_answered_at_last_is_delivered() -> None:
    at, end = history([status(500), TIMEOUT, status(404), OK])
    assert len(at) == 4
    assert end is None


def test_refusals_count_apart_from_other_failures() -> None:
    at, end = history([status(404), status(500), status(404), TIMEOUT, status(500), status(410), OK])
    assert len(at) == 6
    assert end == GivenUp(6, NOW, 410, "status 410")


def test_pauses_are_drawn_from_nothing_to_a_bound_that_doubles_up_to_three_hours() -> None:
    for attempts in range(1, 40):
        bound = min(5_000 * 2 ** (attempts - 1), 3 * HOUR)
        drawn = [drawn_pause_ms(grant_id, attempts) for grant_id in IDS]
        assert min(drawn) < 0.03 * bound
        assert 0.97 * bound < max(drawn) <= bound
        assert 0.4 * bound < statistics.mean(drawn) < 0.6 * bound


def test_a_pause_is_the_same_whenever_it_is_asked_for_and_another_for_each_try_and_grant() -> None:
    pauses = [drawn_pause_ms(grant_id, attempts) for grant_id in IDS for attempts in (14, 15)]
    assert pauses == [drawn_pause_ms(grant_id, attempts) for grant_id in IDS for attempts in (14, 15)]
    assert len(set(pauses)) > 990
    assert [drawn_pause_ms("gr_1", attempts) for attempts in range(1, 6)] == [3175, 3765, 9095, 20670, 2949]


def test_what_the_endpoint_asks_for_is_the_least_pause_but_not_beyond_the_24_hours() -> None:
    tries = after(UNTRIED, status(429, 60_000), "gr_1", NOW, NOW)
    assert isinstance(tries, Tries)
    assert tries.next_ms == NOW + 60_000
    tries = after(tries, status(503, 30 * HOUR), "gr_1", NOW + 60_000, NOW + 61_000)
    assert isinstance(tries, Tries)
    assert tries.next_ms == NOW + 24 * HOUR


def test_the_24_hours_begin_with_the_first_try_which_is_remembered() -> None:
    tries = after(UNTRIED, TIMEOUT, "gr_1", NOW, NOW + 15_000)
    assert isinstance(tries, Tries)
    assert (tries.attempts, tries.first_ms, tries.why) == (1, NOW, Why.TIMEOUT)
    assert NOW + 15_000 <= tries.next_ms <= NOW + 20_000


def test_a_call_that_lay_for_days_while_nothing_ran_is_tried_once_more() -> None:
    tries = after(UNTRIED, TIMEOUT, "gr_1", NOW, NOW)
    assert isinstance(tries, Tries)
    assert after(tries, OK, "gr_1", NOW + 72 * HOUR, NOW + 72 * HOUR) is None
    assert after(tries, status(503), "gr_1", NOW + 72 * HOUR, NOW + 72 * HOUR) == GivenUp(2, NOW, 503, "status 503")


def test_a_call_that_waits_for_an_open_circuit_ends_with_what_it_was_answered_last() -> None:
    tried = Tries(3, 0, NOW, NOW + HOUR, 503, Why.STATUS)
    assert overdue(tried, NOW + 5 * HOUR, NOW + 24 * HOUR - 1) is None
    assert overdue(tried, NOW + 5 * HOUR, NOW + 24 * HOUR) == GivenUp(3, NOW, 503, "status 503")


def test_the_24_hours_of_a_call_that_was_never_tried_begin_when_it_began_to_wait() -> None:
    assert overdue(UNTRIED, NOW, NOW + 24 * HOUR - 1) is None
    assert overdue(UNTRIED, NOW, NOW + 24 * HOUR) == GivenUp(0, NOW, None, "circuit")


@pytest.mark.parametrize(
    ("text", "asked_ms"),
    [
        ("120", 120_000),
        (" 0 ", 0),
        ("999999999", 24 * HOUR),
        ("9" * 400, 24 * HOUR),
        ("Mon, 01 Dec 2025 00:02:00 GMT", 120_000),
        ("Sun, 30 Nov 2025 00:00:00 GMT", 0),
        ("Mon, 01 Dec 2098 00:00:00 GMT", 24 * HOUR),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Mon, 99 Dec 2025 99:99:99 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(text: str | None, asked_ms: int | None) -> None:
    assert retry_after_ms(text, NOW) == asked_ms


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (status(503), "status 503"),
        (TIMEOUT, "timeout"),
        (Outcome(OutcomeKind.BLOCKED, Why.BLOCKED, detail="private"), "blocked: private"),
        (Outcome(OutcomeKind.FAILED, Why.TLS), "tls"),
    ],
)
def test_a_reason_is_a_word_or_two(outcome: Outcome, reason: str) -> None:
    assert outcome.reason == reason
