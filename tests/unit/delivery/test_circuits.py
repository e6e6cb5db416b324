"""An endpoint that fails ten times in a row is left alone, and asked again once in a while."""

from __future__ import annotations

from livepromo.delivery.circuits import CLOSED, Circuit, after_try
from livepromo.delivery.retries import Outcome, OutcomeKind, Why

NOW = 1_764_547_200_000
FAILS = Outcome(OutcomeKind.TIMEOUT, Why.TIMEOUT)
OK = Outcome(OutcomeKind.OK, status=200)
GONE = Outcome(OutcomeKind.REFUSED, Why.STATUS, 410)


def opened() -> Circuit:
    circuit = CLOSED
    for _ in range(10):
        assert not circuit.is_open
        circuit = after_try(circuit, FAILS, NOW)
    return circuit


def test_the_tenth_failure_in_a_row_opens_it_for_five_seconds() -> None:
    assert opened() == Circuit(10, 5_000, NOW + 5_000, NOW)


def test_failures_with_answers_between_them_do_not_open_it() -> None:
    circuit = CLOSED
    for number in range(100):
        circuit = after_try(circuit, OK if number % 10 == 9 else FAILS, NOW)
    assert not circuit.is_open


def test_an_endpoint_that_refuses_calls_for_good_is_well() -> None:
    assert after_try(opened(), GONE, NOW) == CLOSED


def test_tries_that_began_before_it_opened_do_not_lengthen_its_rest() -> None:
    assert after_try(opened(), FAILS, NOW + 4_999) == opened()


def test_it_rests_twice_as_long_after_every_failed_attempt_up_to_a_minute() -> None:
    circuit, now_ms, rests = opened(), NOW, []
    for _ in range(6):
        now_ms = circuit.until_ms
        circuit = after_try(circuit, FAILS, now_ms)
        rests.append(circuit.until_ms - now_ms)
    assert rests == [10_000, 20_000, 40_000, 60_000, 60_000, 60_000]
    assert circuit.since_ms == NOW


def test_one_answer_closes_it() -> None:
    assert after_try(opened(), OK, NOW + 5_000) == CLOSED
