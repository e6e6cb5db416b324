"""Codes on their way from a file into their pool: each once, one import after another, and safe to run again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from livepromo.ledger.codes import MOST_BYTES, MOST_CODES, CodeProblem, Places, Seen, Whence, lines_of, normalised, packed, unpacked
from livepromo.streaming.errors import FencedError
from livepromo.streaming.journal import Journal, unseal
from livepromo.streaming.log import Log

BATCH_CODES = 10_000
BATCH_BYTES = 4 * MOST_BYTES
MOST_LINES = 20
QUIET_S = 2.0
LONGEST_WAIT_S = 60.0
LOOK_S = 0.1


class PoolRecord(NamedTuple):
    """A record of the topic of codes, as its envelope says; an empty payload is the marker of a claim."""

    pool: str
    offset: int
    epoch: int
    payload: bytes

    def __repr__(self) -> str:
        """Say which record it is, and none of its codes."""
        return f"PoolRecord({self.pool} at {self.offset})"


async def read_pools(log: Log, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[PoolRecord]]:
    """Yield the records of all pools of a partition from `start` up to `end`, void ones included. Raises UnavailableError, FormatError."""
    async for records in log.read(topic, partition, start, end):
        found = []
        for record in records:
            assert record.key is not None, f"{topic}[{partition}] offset {record.offset} has no key: something else writes to this topic"
            assert record.value is not None, f"{topic}[{partition}] offset {record.offset} has no value: codes are never removed"
            found.append(PoolRecord(record.key.decode(), record.offset, *unseal(record.value)))
        yield found


class Imported:
    """What became of the lines of a file; no code is in it."""

    def __init__(self) -> None:
        self.added = 0
        self.repeated = 0  # in the file itself
        self.had = 0  # by the pool, before
        self.size = 0  # of the pool, in the end
        self.problems: Counter[CodeProblem] = Counter()
        self.lines: list[tuple[int, CodeProblem]] = []  # the first few

    @property
    def invalid(self) -> int:
        """How many lines hold no code."""
        return self.problems.total()

    def refuse(self, number: int, problem: CodeProblem) -> None:
        """Note a line that holds no code."""
        self.problems[problem] += 1
        if len(self.lines) < MOST_LINES:
            self.lines.append((number, problem))


class CodeImport:
    """One import into one pool.

    What it has appended is in the pool, whatever happens next, and every later import finds it there. Where another import claims the
    pool meanwhile, this one waits until the other rests, and goes on behind it.
    """

    def __init__(  # noqa: PLR0913 - where, and who waits how
        self,
        log: Log,
        topic: str,
        partition: int,
        pool: str,
        *,
        monotonic: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._log, self._topic, self._partition, self._pool = log, topic, partition, pool
        self._monotonic, self._pause, self._told = monotonic, pause, told
        self._journal = Journal(log, topic, partition, monotonic=monotonic, name=pool)
        self._places, self._seen, self._read_to = Places(), Seen(), 0
        self._waiting: dict[str, None] = {}  # codes that are not in the topic yet, in order
        self._waiting_bytes = 0
        self.imported = Imported()

    async def run(self, lines: Iterable[bytes]) -> Imported:
        """Import the codes of a file's lines, and return what became of them when all are in the topic.

        Raises:
            UnavailableError, UnknownOutcomeError, FormatError: some may be in the pool; run it again.
        """
        imported = self.imported
        try:
            await self._own()
            for number, line in enumerate(lines_of(lines), 1):
                code = normalised(line)
                if isinstance(code, CodeProblem):
                    imported.refuse(number, code)
                    continue
                known = self._seen.add(code, Whence.FILE)
                if known is None:
                    self._waiting[code] = None
                    self._waiting_bytes += len(line)
                    if len(self._waiting) >= BATCH_CODES or self._waiting_bytes >= BATCH_BYTES:
                        await self._append()
                elif known is Whence.FILE:
                    imported.repeated += 1
                else:
                    imported.had += 1
            await self._append()
        finally:
            await self._journal.close()
        imported.size = self._places.size
        return imported

    async def _append(self) -> None:
        """Append what waits, as one batch, however often others come in between."""
        while self._waiting:
            payloads = [packed(codes) for codes in _cut(self._waiting)]
            try:
                appended = await self._journal.append([(self._pool.encode(), payload) for payload in payloads])
            except FencedError:
                self._told(f"{self._pool}: another import has taken over; waiting for its end")
                await self._rest()
                await self._own()
                continue
            for at, payload in enumerate(payloads, appended.offset):
                self._places.take(at, self._journal.epoch, payload)
            self._read_to = self._journal.end
            self.imported.added += len(self._waiting)
            self._waiting.clear()
        self._waiting_bytes = 0

    async def _own(self) -> None:
        """Claim the pool, and read what it has by then."""
        while True:
            try:
                await self._journal.claim()
                break
            except FencedError:
                await self._rest()
        async for records in read_pools(self._log, self._topic, self._partition, self._read_to, self._journal.end):
            for record in records:
                if record.pool == self._pool and self._places.take(record.offset, record.epoch, record.payload):
                    for code in unpacked(record.payload):
                        self._seen.add(code, Whence.POOL)
                        if code in self._waiting:  # the other import was first
                            del self._waiting[code]
                            self.imported.had += 1
        self._read_to = self._journal.end

    async def _rest(self) -> None:
        """Wait until nothing more is appended to the partition, but not for ever."""
        end, since = -1, self._monotonic()
        deadline = since + LONGEST_WAIT_S
        while (now := self._monotonic()) < deadline:
            found = await self._log.end(self._topic, self._partition)
            if found != end:
                end, since = found, now
            elif now - since >= QUIET_S:
                return
            await self._pause(LOOK_S)


def _cut(codes: Iterable[str]) -> Iterator[list[str]]:
    """Yield codes in lists that a record can hold."""
    held: list[str] = []
    size = 0
    for code in codes:
        more = len(code.encode()) + 1
        if held and (len(held) >= MOST_CODES or size + more > MOST_BYTES):
            yield held
            held, size = [], 0
        held.append(code)
        size += more
    if held:
        yield held
