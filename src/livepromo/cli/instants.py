"""What an option means that says since when."""

from __future__ import annotations

from livepromo.cli.errors import UsageError
from livepromo.model.time import duration_ms, instant_ms, zone
from livepromo.settings import Settings


def since_ms(text: str | None, settings: Settings, now_ms: int) -> int:
    """Return the instant that is meant by an instant, or by how long ago; 0 for None. Raises UsageError."""
    if text is None:
        return 0
    try:
        return now_ms - duration_ms(text)
    except ValueError:
        pass
    try:
        return instant_ms(text, zone(settings.timezone))
    except ValueError as error:
        raise UsageError(f'--since: {error}; nor is it a duration, as in "2h"') from None
