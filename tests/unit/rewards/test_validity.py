"""From when until when points can be spent (R28, R29)."""

from __future__ import annotations

from livepromo.model.decisions import Reason
from livepromo.model.documents import Validity
from livepromo.model.time import DAY_MS
from livepromo.rewards.validity import compile_validity

T = 1764547200000


def test_points_are_active_at_once_and_for_ever_by_default() -> None:
    assert compile_validity(Validity())(T) == (T, None)


def test_activation_is_a_delay() -> None:
    assert compile_validity(Validity(activate_after_ms=7 * DAY_MS))(T) == (T + 7 * DAY_MS, None)


def test_a_duration_counts_from_activation() -> None:
    assert compile_validity(Validity(activate_after_ms=7 * DAY_MS, expire_after_ms=30 * DAY_MS))(T) == (T + 7 * DAY_MS, T + 37 * DAY_MS)
    assert compile_validity(Validity(expire_after_ms=1000))(T) == (T, T + 1000)


def test_a_fixed_expiry_must_be_after_activation() -> None:
    fixed = compile_validity(Validity(activate_after_ms=DAY_MS, expire_on_ms=T))
    assert fixed(T - DAY_MS - 1) == (T - 1, T)
    assert fixed(T - DAY_MS) == Reason.WOULD_BE_EXPIRED
    assert fixed(T) == Reason.WOULD_BE_EXPIRED
