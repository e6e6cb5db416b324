"""What was put aside: dead letters as their topic holds them, each once, and on their way back to the events topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from livepromo.model.ids import murmur2
from livepromo.model.records import DeadReason
from livepromo.streaming.log import Log, LogRecord
from livepromo.worker.ports import Outbox, OutRecord

AT_ONCE = 1_000
AT_ONCE_BYTES = 4 << 20


class Origin(NamedTuple):
    """Where a dead letter comes from. It is its identity: after a crash the same one may be put aside twice."""

    topic: str
    partition: int
    offset: int


class DeadLetter(NamedTuple):
    """A record that could not be processed, byte for byte, unless it was cut: then it is `truncated`."""

    reason: str
    origin: Origin
    at_ms: int
    key: bytes | None
    value: bytes | None
    truncated: bool

    @property
    def size(self) -> int:
        """How many bytes are kept of it."""
        return len(self.key or b"") + len(self.value or b"")

    def __repr__(self) -> str:
        """Say where it comes from, and nothing that is in it."""
        return f"DeadLetter({self.reason}, {self.origin})"


class Chosen(NamedTuple):
    """Which dead letters are meant: of these reasons (none: of all), put aside at that instant or later."""

    reasons: frozenset[DeadReason] = frozenset()
    since_ms: int = 0

    def holds(self, letter: DeadLetter) -> bool:
        """Say whether a dead letter is one of them."""
        return letter.at_ms >= self.since_ms and (not self.reasons or letter.reason in self.reasons)


class Sent(NamedTuple):
    """How many dead letters were sent again, and where those come from that could not be, as they had been cut."""

    letters: int
    truncated: Sequence[Origin]


def letter_of(record: LogRecord) -> DeadLetter | None:
    """Return the dead letter that a record is; None for what is none of ours: its headers do not say where it comes from."""
    headers = dict(record.headers)
    try:
        origin = Origin(headers["topic"].decode(), int(headers["partition"]), int(headers["offset"]))
        reason = headers["reason"].decode()
    except (KeyError, ValueError):
        return None
    return DeadLetter(reason, origin, record.timestamp_ms, record.key, record.value, "truncated" in headers)


async def read_dead_letters(
    log: Log, topic: str, partitions: int, chosen: Chosen, moved: Callable[[float], None] = lambda _: None
) -> AsyncIterator[list[DeadLetter]]:
    """Yield the dead letters that are chosen, each origin once, in the order in which they were put aside. Raises UnavailableError.

    `moved` is told of every record that is looked at.
    """
    seen: set[Origin] = set()
    for partition in range(partitions):
        begin, end = await log.begin(topic, partition), await log.end(topic, partition)
        async for records in log.read(topic, partition, begin, end):
            found = []
            for letter in map(letter_of, records):
                if letter is not None and letter.origin not in seen and chosen.holds(letter):
                    seen.add(letter.origin)
                    found.append(letter)
            moved(len(records))
            if found:
                yield found


async def send_again(letters: AsyncIterator[list[DeadLetter]], outbox: Outbox, topic: str, partitions: int) -> Sent:
    """Send dead letters to a topic of events: the same keys and bytes, in the order given; return when all are there.

    Where it ends early, or is done twice, some stand there more often: an event is taken once, by its id. Raises UnavailableError.
    """
    count = 0
    truncated: list[Origin] = []
    async for found in letters:
        truncated += [letter.origin for letter in found if letter.truncated]
        whole = [letter for letter in found if not letter.truncated]
        for some in _cut(whole):
            outputs: dict[tuple[str, int], list[OutRecord]] = {}
            for letter in some:
                outputs.setdefault((topic, _home_of(letter, partitions)), []).append((letter.key, letter.value, ()))
            await outbox.send_many(outputs)
        count += len(whole)
    return Sent(count, truncated)


def _home_of(letter: DeadLetter, partitions: int) -> int:
    """Return the partition that the letter's key has; without a key it goes back to where it came from."""
    return letter.origin.partition % partitions if letter.key is None else murmur2(letter.key) % partitions


def _cut(letters: Sequence[DeadLetter]) -> list[list[DeadLetter]]:
    """Return the letters in lists that are no more than can be sent at once."""
    lists: list[list[DeadLetter]] = []
    size = AT_ONCE_BYTES
    for letter in letters:
        if size + letter.size > AT_ONCE_BYTES or len(lists[-1]) >= AT_ONCE:
            lists.append([])
            size = 0
        lists[-1].append(letter)
        size += letter.size
    return lists
