"""When a call is tried again, and when it is given up: a function of its tries so far (R48)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, assert_never

import msgspec

from livepromo.model.time import DAY_MS, HOUR_MS, SECOND_MS

BASE_MS: Final = 5 * SECOND_MS
LONGEST_PAUSE_MS: Final = 3 * HOUR_MS
SPAN_MS: Final = DAY_MS
MOST_REFUSALS: Final = 3

_PERSON: Final = b"livepromo retry"
_DOUBLINGS: Final = 32  # far beyond the longest pause
_MOST_DIGITS: Final = 9
_FIRST_5XX, _FIRST_4XX = 500, 400
_MAY_CHANGE: Final = frozenset({408, 425, 429})


class OutcomeKind(StrEnum):
    """What became of one try; the values of the metric's label."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"


class Why(StrEnum):
    """Why a try was not answered with 2xx; with a status, that says it."""

    NONE = ""
    STATUS = "status"
    CONNECT = "connect"
    NAME = "name"
    TLS = "tls"
    RESET = "reset"
    PROTOCOL = "protocol"
    TIMEOUT = "timeout"
    BLOCKED = "blocked"
    SECRET = "secret"  # noqa: S105 - a word
    CIRCUIT = "circuit"
    GONE = "gone"


class Outcome(msgspec.Struct, frozen=True):
    """What became of one try.

    `ok`: 2xx was answered; `refused`: another `status`; `failed` and `timeout`: no answer; `blocked`: it was not made, `detail` says why.
    `seconds` is how long it took; `retry_after_ms` how long the endpoint asks to be left alone.
    """

    kind: OutcomeKind
    why: Why = Why.NONE
    status: int | None = None
    detail: str = ""
    retry_after_ms: int | None = None
    seconds: float = 0.0

    @property
    def reason(self) -> str:
        """In a word or two, why it was not delivered: `status 503`, `timeout`, `blocked: private`, `tls`."""
        return reason_of(self.why, self.status, self.detail)

    @property
    def final(self) -> bool:
        """Whether asking again will hardly be answered otherwise: 410, and any 4xx but 408, 425 and 429."""
        return self.status is not None and _FIRST_4XX <= self.status < _FIRST_5XX and self.status not in _MAY_CHANGE


def reason_of(why: Why, status: int | None, detail: str = "") -> str:
    """Return the reason as it is shown and kept with a dead letter."""
    if why is Why.STATUS:
        return f"status {status}"
    return f"{why}: {detail}" if detail else str(why)


class Tries(msgspec.Struct, frozen=True, array_like=True):
    """The tries of one call so far: all that is needed to go on with it after a restart.

    Its 24 hours begin at `first_ms`, when its first try was made; None before that. It is not tried before `next_ms`. `refusals`
    counts the tries that were refused for good.
    """

    attempts: int = 0
    refusals: int = 0
    first_ms: int | None = None
    next_ms: int = 0
    status: int | None = None
    why: Why = Why.NONE


UNTRIED: Final = Tries()


class GivenUp(msgspec.Struct, frozen=True):
    """A call that is not tried any more: after so many tries since `first_ms`, the last of them with this status (None: no answer)."""

    attempts: int
    first_ms: int
    status: int | None
    reason: str


def after(tries: Tries, outcome: Outcome, grant_id: str, began_ms: int, now_ms: int) -> Tries | GivenUp | None:
    """Return what is next after a try that began at `began_ms` and ended now: more tries, none, or None where it was delivered.

    The pause is drawn from 0 to 5 s, and from twice that after every further try, up to 3 h ("full jitter"); never less than what the
    endpoint asked for. The last try is at the end of the 24 hours: one that ended later is not followed by another.
    """
    attempts = tries.attempts + 1
    refusals = tries.refusals + outcome.final
    first_ms = began_ms if tries.first_ms is None else tries.first_ms
    match outcome.kind:
        case OutcomeKind.OK:
            return None
        case OutcomeKind.REFUSED | OutcomeKind.FAILED | OutcomeKind.TIMEOUT | OutcomeKind.BLOCKED:
            end_ms = first_ms + SPAN_MS
            if refusals >= MOST_REFUSALS or now_ms >= end_ms:
                return GivenUp(attempts, first_ms, outcome.status, outcome.reason)
            pause_ms = max(drawn_pause_ms(grant_id, attempts), outcome.retry_after_ms or 0)
            return Tries(attempts, refusals, first_ms, min(now_ms + pause_ms, end_ms), outcome.status, outcome.why)
        case _:
            assert_never(outcome.kind)


def overdue(tries: Tries, since_ms: int, now_ms: int) -> GivenUp | None:
    """Return how a call that waits for an open circuit ends, once its 24 hours are over; else None.

    `since_ms`: when it began to wait for it, which begins the 24 hours of a call that was never tried.
    """
    first_ms = since_ms if tries.first_ms is None else tries.first_ms
    if now_ms < first_ms + SPAN_MS:
        return None
    return GivenUp(tries.attempts, first_ms, tries.status, reason_of(tries.why or Why.CIRCUIT, tries.status))


def drawn_pause_ms(grant_id: str, attempts: int) -> int:
    """Return the pause after so many tries of a call: the same whenever it is asked for, and of other calls another."""
    highest_ms = min(BASE_MS << min(attempts - 1, _DOUBLINGS), LONGEST_PAUSE_MS)
    word = hashlib.blake2b(b"%d/%b" % (attempts, grant_id.encode()), digest_size=8, person=_PERSON).digest()
    return int.from_bytes(word, "big") * (highest_ms + 1) >> 64


def retry_after_ms(text: str | None, now_ms: int) -> int | None:
    """Return how long a `Retry-After` header asks to wait, at most 24 hours; None where there is none that can be read.

    It holds whole seconds, or a date.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text) * SECOND_MS, SPAN_MS) if len(text) <= _MOST_DIGITS else SPAN_MS
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    at_ms = (at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * SECOND_MS
    return max(0, min(int(at_ms) - now_ms, SPAN_MS))
