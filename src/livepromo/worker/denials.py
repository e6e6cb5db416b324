"""Which denials are said: all, only the first of a kind, or none."""

from __future__ import annotations

from livepromo.model.decisions import Denial
from livepromo.model.ids import hash_of

REMEMBERED = 1_000_000


class DenialFilter:
    """Judges denials by the setting `denials`. `first` is remembered in this process alone: after a takeover one may be said again."""

    def __init__(self, mode: str) -> None:
        assert mode in {"all", "first", "none"}, mode
        self._mode = mode
        self._said: dict[int, None] = {}

    def says(self, denial: Denial) -> bool:
        """Say whether this denial is to be published: `first` says one per user, campaign, reason and period."""
        if self._mode != "first":
            return self._mode == "all"
        what = (denial.user, denial.campaign, denial.reason.value, denial.resets_at_ms)
        key = int.from_bytes(hash_of(*what, size=8), "big")
        if key in self._said:
            return False
        if len(self._said) >= REMEMBERED:
            del self._said[next(iter(self._said))]  # the oldest: it may be said again
        self._said[key] = None
        return True
