"""The shelf of a worker: codes by their places, out of Redis, and whatever Redis has not out of the topic."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable

from livepromo.ledger.codes import Places, unpacked
from livepromo.ledger.deciding import Stock
from livepromo.ledger.redis_shelf import Chunks
from livepromo.model.formats import FormatError
from livepromo.model.ids import partition_of
from livepromo.streaming.errors import DoesNotFitError
from livepromo.streaming.log import Log
from livepromo.worker.importing import read_pools

MOST_OPEN = 32  # records whose codes are in memory, for each partition
READ_AHEAD = 100  # records that are copied at once where Redis has lost one
SIZE_S = 1.0  # how old an answer may be to who only asks how many there are


class _Partition:
    """What is known of the pools of one partition of the topic."""

    def __init__(self) -> None:
        self.following = asyncio.Lock()
        self.read_to = 0
        self.followed_s: float | None = None
        self.places: defaultdict[str, Places] = defaultdict(Places)
        self.open: OrderedDict[tuple[str, int], tuple[str, ...]] = OrderedDict()

    def remember(self, pool: str, offset: int, codes: tuple[str, ...]) -> None:
        self.open[pool, offset] = codes
        self.open.move_to_end((pool, offset))
        while len(self.open) > MOST_OPEN:
            self.open.popitem(last=False)


class TopicShelf:
    """`Shelf` over the topic of codes. What Redis holds is a copy that may be missing, never one that is wrong.

    In memory are 16 bytes for each record of a partition that was asked for, and the codes of a few records near the cursors.
    `void` is told how many records of importers that had been followed by others were left out.
    """

    def __init__(  # noqa: PLR0913 - what it reads, where it copies to
        self,
        log: Log,
        topic: str,
        partitions: int,
        chunks: Chunks,
        *,
        monotonic: Callable[[], float],
        void: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._log, self._topic, self._chunks, self._monotonic, self._void = log, topic, chunks, monotonic, void
        self._count = partitions
        self._partitions: defaultdict[int, _Partition] = defaultdict(_Partition)

    async def stock(self, pool: str, start: int, count: int) -> Stock:
        """See Shelf. Where the pool seems to end, the topic is asked for more: an import is done when the topic has it.

        Raises also the log's UnavailableError; DoesNotFitError where the topic has lost codes that were given.
        """
        number = partition_of(pool, self._count)
        here = self._partitions[number]
        places = here.places[pool]
        if count == 0:
            if here.followed_s is None or self._monotonic() - here.followed_s >= SIZE_S:
                await self._follow(number)
        elif places.size < start + count:
            await self._follow(number)
        if start > places.size:
            raise DoesNotFitError(
                f"{start} codes of {pool} have been given, and {self._topic} has {places.size}: restore the topic from a backup"
            )
        size = places.size
        pieces = list(places.pieces(start, count))
        open_now = await self._opened(number, pool, [piece.offset for piece in pieces])
        codes = tuple(code for piece in pieces for code in open_now[piece.offset][piece.first : piece.end])
        return Stock(start, codes, size)

    async def _follow(self, number: int) -> None:
        """Read what was imported since, and copy it."""
        here = self._partitions[number]
        async with here.following:
            end = await self._log.end(self._topic, number)
            if end > here.read_to:
                async for records in read_pools(self._log, self._topic, number, here.read_to, end):
                    copies: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
                    for pool, offset, epoch, payload in records:
                        places = here.places[pool]
                        void = places.void
                        if places.take(offset, epoch, payload):
                            copies[pool][offset] = payload
                        elif places.void > void:
                            self._void(1)
                        here.read_to = offset + 1  # each is taken once, though the copying below may fail
                    for pool, payloads in copies.items():
                        await self._chunks.keep(number, pool, payloads)
                here.read_to = max(here.read_to, end)
            here.followed_s = self._monotonic()

    async def _opened(self, number: int, pool: str, offsets: list[int]) -> dict[int, tuple[str, ...]]:
        """Return the codes of records: those in memory, else from Redis, else from the topic."""
        here = self._partitions[number]
        found = {offset: codes for offset in offsets if (codes := here.open.get((pool, offset))) is not None}
        wanted = [offset for offset in offsets if offset not in found]
        for offset, payload in zip(wanted, await self._chunks.fetch(number, pool, wanted) if wanted else [], strict=True):
            if payload is not None and (codes := _readable(payload)) is not None:
                found[offset] = codes
        for offset in wanted:
            if offset not in found:
                found.update(await self._again(number, pool, offset))
        for offset in offsets:
            here.remember(pool, offset, found[offset])
        return found

    async def _again(self, number: int, pool: str, offset: int) -> dict[int, tuple[str, ...]]:
        """Read the record at `offset` and some behind it out of the topic, and copy them."""
        here = self._partitions[number]
        wanted = here.places[pool].following(offset, READ_AHEAD)
        payloads: dict[int, bytes] = {}
        async for records in read_pools(self._log, self._topic, number, offset, max(wanted) + 1):
            payloads.update((record.offset, record.payload) for record in records if record.offset in wanted)
        await self._chunks.keep(number, pool, payloads)
        return {at: unpacked(payload) for at, payload in payloads.items()}


def _readable(payload: bytes) -> tuple[str, ...] | None:
    """Return the codes of a copy; None for one that is damaged, which counts as missing."""
    try:
        return unpacked(payload)
    except FormatError:
        return None
