"""Whether an endpoint is worth asking: after many failures in a row it is left alone, then asked once in a while.

A value of our own, not a library's: the time is handed in, as everywhere in the schedule, so that a day passes in a test without
waiting; and half open lets a single call through (purgatory reads the clock itself, and lets every waiting call through).
"""

from __future__ import annotations

from typing import Final

import msgspec

from livepromo.delivery.retries import Outcome, OutcomeKind
from livepromo.model.time import MINUTE_MS, SECOND_MS

FAILURES: Final = 10
FIRST_REST_MS: Final = 5 * SECOND_MS
LONGEST_REST_MS: Final = MINUTE_MS


class Circuit(msgspec.Struct, frozen=True):
    """How an endpoint answered lately. Open while `rest_ms` is not 0: no call until `until_ms`, then one, and the others wait for it.

    `since_ms`: when it opened.
    """

    failures: int = 0
    rest_ms: int = 0
    until_ms: int = 0
    since_ms: int = 0

    @property
    def is_open(self) -> bool:
        """Whether calls are withheld."""
        return self.rest_ms > 0


CLOSED: Final = Circuit()


def fails(outcome: Outcome) -> bool:
    """Say whether the endpoint as a whole seems unable to answer; one that refuses a call for good is not."""
    return outcome.kind is not OutcomeKind.OK and not outcome.final


def after_try(circuit: Circuit, outcome: Outcome, now_ms: int) -> Circuit:
    """Return the circuit after a try: closed by an answer, opened by the tenth failure in a row, and by further ones for longer.

    A try that began before it opened and fails now changes nothing: it says nothing new.
    """
    if not fails(outcome):
        return CLOSED
    if circuit.is_open and now_ms < circuit.until_ms:
        return circuit
    failures = circuit.failures + 1
    if circuit.is_open:
        rest_ms = min(2 * circuit.rest_ms, LONGEST_REST_MS)
    elif failures >= FAILURES:
        rest_ms = FIRST_REST_MS
    else:
        rest_ms = 0
    if not rest_ms:
        return Circuit(failures)
    return Circuit(failures, rest_ms, now_ms + rest_ms, circuit.since_ms if circuit.is_open else now_ms)
