"""Which faults a seed wants, and how often they struck."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Final

# What a call may meet, and how likely one of many does.
OF_CALLS: Final = {
    "append_request_lost": 0.02,
    "append_reply_lost": 0.02,
    "append_late": 0.02,
    "outbox_repeated": 0.10,
    "outbox_failed": 0.02,
    "delayed": 0.01,
    "log_away": 0.03,
    "table_request_lost": 0.05,
    "table_reply_lost": 0.05,
    "table_late": 0.05,
}
# What the world does to a process, to a server, or to the group.
OF_THE_WORLD: Final = (
    "kill",
    "kill_at_step",
    "freeze",
    "freeze_at_step",
    "stall",
    "stop_cleanly",
    "rebalance",
    "move",
    "table_forgets",
    "table_goes_back",
    "compaction",
    "leap",
)
KINDS: Final = (*OF_CALLS, *OF_THE_WORLD)


class Faults:
    """Each seed leaves some kinds out and has the others strike a few times: all that it wants, before it ends."""

    def __init__(self, rnd: Random) -> None:
        self._rnd = rnd
        share = rnd.choice((0.2, 0.5, 0.8))
        chosen = [kind for kind in KINDS if rnd.random() < share] or [rnd.choice(KINDS)]
        self.left = {kind: rnd.randint(1, 5) for kind in chosen}
        self.wanted = frozenset(chosen)
        self.struck: Counter[str] = Counter()
        self.urgent = self.over = False

    def strikes(self, kind: str) -> bool:
        """Say whether a call meets this fault; when little time is left, the next one does that can."""
        left = self.left.get(kind, 0)
        if not left or self.over or not (self.urgent or self._rnd.random() < OF_CALLS[kind]):
            return False
        self.left[kind] = left - 1
        self.struck[kind] += 1
        return True

    def due(self) -> list[str]:
        """Return what the world has still to do."""
        return [kind for kind in OF_THE_WORLD if self.left.get(kind, 0) > 0]

    def done(self, kind: str) -> None:
        """Say that a fault of the world struck."""
        self.left[kind] -= 1
        self.struck[kind] += 1

    @property
    def pending(self) -> bool:
        """Whether a kind has not struck yet."""
        return any(not self.struck[kind] for kind in self.wanted)
