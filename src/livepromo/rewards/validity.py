"""From when and until when points can be spent."""

from __future__ import annotations

from collections.abc import Callable

from livepromo.model.decisions import Reason
from livepromo.model.documents import Validity

Span = tuple[int, int | None]


def compile_validity(validity: Validity) -> Callable[[int], Span | Reason]:
    """Return what gives, for the instant of a grant, when its points become active and when they expire (None: never).

    Activation is only a delay (R28). An expiry is a fixed instant or so long after activation; one fixed at or before activation is
    the denial `would_be_expired` (R29).
    """
    delay_ms, after_ms, on_ms = validity.activate_after_ms, validity.expire_after_ms, validity.expire_on_ms
    if after_ms is not None:
        return lambda granted_ms: (granted_ms + delay_ms, granted_ms + delay_ms + after_ms)
    if on_ms is not None:
        return lambda granted_ms: (granted_ms + delay_ms, on_ms) if on_ms > granted_ms + delay_ms else Reason.WOULD_BE_EXPIRED
    return lambda granted_ms: (granted_ms + delay_ms, None)
