"""The shelf from which codes are taken: a port, and the shelf in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from livepromo.ledger.deciding import Stock


class Shelf(Protocol):
    """The codes of every pool, in the order imported. A code's place never changes, none is removed, more may follow."""

    async def stock(self, pool: str, start: int, count: int) -> Stock:
        """Return the codes of a pool from place `start` on: `count` of them, or as many as there are; and how many there are in all.

        A pool that nothing was imported into has none. Asked again, the same places hold the same codes. Raises the table's
        UnavailableError.
        """
        ...


class MemoryShelf:
    """The shelf of one process. `pools` may grow at their ends."""

    def __init__(self, pools: Mapping[str, tuple[str, ...]]) -> None:
        self.pools = dict(pools)

    async def stock(self, pool: str, start: int, count: int) -> Stock:
        """See Shelf."""
        codes = self.pools.get(pool, ())
        return Stock(start, codes[start : start + count], len(codes))
