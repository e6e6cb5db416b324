"""The horizons that an installation sets, for every command and worker of it the same."""

from __future__ import annotations

from livepromo.engine.horizons import Horizons
from livepromo.settings import Settings


def horizons_of(settings: Settings) -> Horizons:
    """Return what the settings say about time and windows."""
    return Horizons(
        lateness_ms=settings.lateness_ms,
        repeats_ms=settings.repeats_ms,
        ahead_ms=settings.ahead_ms,
        grace_ms=settings.grace_ms,
        open_windows=settings.open_windows,
    )
