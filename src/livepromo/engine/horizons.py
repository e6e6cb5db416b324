"""What an installation sets about time and windows, as the engine needs it."""

from __future__ import annotations

import msgspec

from livepromo.model.time import DAY_MS, MINUTE_MS, SECOND_MS


class Horizons(msgspec.Struct, frozen=True):
    """How far records may be from stream time, how long ids are remembered, and what holds where a campaign says nothing of its own.

    `grace_ms` is also what sends wait for; `open_windows` the most windows of a user in a campaign (A9).
    """

    lateness_ms: int = DAY_MS
    repeats_ms: int = DAY_MS
    ahead_ms: int = 5 * MINUTE_MS
    grace_ms: int = 5 * SECOND_MS
    open_windows: int = 1_000
