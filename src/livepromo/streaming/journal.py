"""One partition of a journal: claimed by one owner at a time, restored by the next, appended in batches that stand whole.

A record's value is an *envelope*: a byte with the version of the format, the owner's epoch in 8 bytes, big end first, and the payload.
The epoch of an owner is the offset of its *marker*, the record with which its claim took hold; it only grows.

A record with payload None is a tombstone: it removes its key. It has no value, hence no envelope. In a compacted journal the log cleaner
keeps the last record of every key, whoever wrote it, and after a while drops tombstones together with what they removed. So a journal
always restores to what its records say one after the other, and the claim, not the epoch, has to keep records of older owners out:
dropping a void record while reading would not bring back the good one that compaction took for its sake.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Sequence

from livepromo.streaming.errors import ClaimTooOldError, FencedError, FormatError, UnknownOutcomeError
from livepromo.streaming.log import Appended, Log, Writer

FORMAT = 1
MARKER = b"@marker"
BATCH_BYTES = 900 << 10  # the topic must take batches of this size; callers cut well below it
RECORD_OVERHEAD_BYTES = 40  # what a record of a batch costs besides key and payload: envelope, lengths, deltas
RENEW_AFTER_S = 24 * 3600.0
REFUSE_AFTER = 2  # renewals missed: the broker forgets a producer id that rests for a day, and a claim's name after seven
_ENVELOPE = struct.Struct(">BQ")


def seal(epoch: int, payload: bytes) -> bytes:
    """Return the value of a record."""
    return _ENVELOPE.pack(FORMAT, epoch) + payload


def unseal(value: bytes) -> tuple[int, bytes]:
    """Return epoch and payload of a record's value.

    Raises:
        FormatError: the value is of another version, or no envelope at all.
    """
    if len(value) < _ENVELOPE.size:
        raise FormatError(f"a value of {len(value)} bytes is no journal record: check that nothing else writes to this topic")
    version, epoch = _ENVELOPE.unpack_from(value)
    if version != FORMAT:
        raise FormatError(
            f"a journal record has format {version}, this version reads {FORMAT}: run the version that wrote it, or a newer one"
        )
    return epoch, value[_ENVELOPE.size :]


def batch_bytes(records: Sequence[tuple[bytes, bytes | None]]) -> int:
    """Return the size that a batch of these (key, payload) counts as; it must not pass `BATCH_BYTES`."""
    return sum(len(key) + len(payload or b"") for key, payload in records) + RECORD_OVERHEAD_BYTES * len(records)


async def read_journal(  # noqa: PLR0913, PLR0917 - where, and from where to where
    log: Log, topic: str, partition: int, start: int, end: int, dropped: Callable[[int], None] = lambda _: None
) -> AsyncIterator[list[tuple[bytes, bytes | None, int]]]:
    """Yield (key, payload or None, offset) of every record from `start` up to `end`, in order, without markers and void ones.

    Needs no claim. `dropped` is told how many void records were left out. In a journal that is not compacted `start` may be any offset
    behind a record of an owner that was one: the record before it says which epoch was the newest there.

    Raises:
        FormatError: a record that this version does not read.
        UnavailableError: the log does not answer; begin again.
    """
    newest = -1
    async for records in log.read(topic, partition, max(start - 1, 0), end):
        found: list[tuple[bytes, bytes | None, int]] = []
        void = 0
        for record in records:
            key, value, offset = record.key, record.value, record.offset
            if key is None:
                raise FormatError(f"{topic}[{partition}] offset {offset} has no key: check that nothing else writes to this topic")
            if value is None:
                found.append((key, None, offset))
                continue
            epoch, payload = unseal(value)
            if key == MARKER:
                newest = offset
            elif epoch < newest:
                void += offset >= start
            else:
                newest = epoch  # names a marker that stood before it, though compaction may have taken that one
                found.append((key, payload, offset))
        if found and found[0][2] < start:
            del found[0]  # read for its epoch alone
        if void:
            dropped(void)
        if found:
            yield found


class Journal:
    """The writer's side of one partition: `claim`, then `restore` to the end, then `append`.

    With a `name` the partition is shared: a claim fences those alone that claimed under that name, its marker has the name's key, and
    reading is the owner's own affair.

    `monotonic` gives seconds that never go back; a clock that also counts while the machine sleeps ages a claim as the broker does.
    Nothing here may be called beside anything else: one task, the lane of the partition, owns a journal.
    """

    def __init__(  # noqa: PLR0913 - where, who, and by which clock
        self,
        log: Log,
        topic: str,
        partition: int,
        *,
        monotonic: Callable[[], float],
        renew_after_s: float = RENEW_AFTER_S,
        name: str | None = None,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.epoch = -1  # before the first claim
        self.end = -1  # the offset after our last append, marker included
        self.void = 0  # records dropped because a newer owner stands before them: with fencing never, so any is an alert
        self._log = log
        self._name = None if name is None else f"{topic}.{name}"
        self._marker = MARKER if name is None else name.encode()
        self._monotonic = monotonic
        self._renew_after_s = renew_after_s
        self._writer: Writer | None = None
        self._claimed_s = 0.0
        self._known = True  # whether the outcome of every append of ours is
        self.stamped: tuple[float, int] | None = None  # when our last append was answered, and the time that the log had given it
        self.answered_after_s = 0.0  # how long that answer took: by so much the time may lag

    def __repr__(self) -> str:
        return f"<Journal {self.topic}[{self.partition}] epoch {self.epoch}>"

    @property
    def needs_renewal(self) -> bool:
        """Whether the claim is old enough to `renew` it, before the broker forgets it."""
        return self._writer is not None and self._monotonic() - self._claimed_s >= self._renew_after_s

    async def claim(self) -> int:
        """Become the owner and return the epoch: older owners can append no more, and what they did append stands before it.

        May be called again, to own the partition anew after it may have been somebody else's: then `restore` again.

        Raises:
            FencedError: somebody claimed between our claim and its marker.
            UnknownOutcomeError: the marker may stand in the log or not.
        """
        await self.close()
        claimed_s = self._monotonic()
        writer = await self._log.claim(self.topic, self.partition, self._name)
        self._writer, self._claimed_s, self._known = writer, claimed_s, True
        self.epoch = (await self._append([(self._marker, seal(0, b""))])).offset
        return self.epoch

    async def restore(self, start: int = 0) -> AsyncIterator[list[tuple[bytes, bytes | None, int]]]:
        """Yield what `read_journal` does, from `start` to our last append. The journal holds, for every key, what stands last.

        Counts void records in `void`. Raises what `read_journal` raises.
        """
        assert self.epoch >= 0, f"{self!r} is restored before it is claimed"
        assert self._name is None, f"{self!r} holds what others wrote, too"

        def dropped(count: int) -> None:
            self.void += count

        async for found in read_journal(self._log, self.topic, self.partition, start, self.end, dropped):
            yield found

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        """Append (key, payload; None removes the key) as one batch, whole or not at all, and return when it is durable.

        Raises:
            ClaimTooOldError: the claim is twice as old as one that is renewed, two days; nothing was appended.
            FencedError: the partition is somebody else's; nothing was appended.
            UnknownOutcomeError: this append, or one before it, may be in the log or not: nothing more is appended by this owner.
        """
        if self._monotonic() - self._claimed_s > REFUSE_AFTER * self._renew_after_s:
            raise ClaimTooOldError(
                f"{self.topic}[{self.partition}]: the claim should have been renewed long ago, a newer owner may not be fenced by it"
            )
        return await self._append([(key, None if payload is None else seal(self.epoch, payload)) for key, payload in records])

    async def renew(self) -> int:
        """Claim anew and go on where we stood; return the new epoch.

        Raises:
            FencedError: something stands between our last append and the new marker, so the partition was somebody else's meanwhile.
            UnknownOutcomeError: the marker may stand in the log or not.
        """
        end = self.end
        await self.claim()
        if self.epoch != end:
            self._known = False
            raise FencedError(f"{self.topic}[{self.partition}]: offsets {end} to {self.epoch} were appended by somebody else")
        return self.epoch

    async def still_ours(self) -> bool:
        """Say whether the journal still ends with our own last append: then nobody has owned it since.

        Asked of the log anew. If somebody claims right after, our next append is refused. May raise UnavailableError.
        """
        return self._writer is not None and self._known and await self._log.end(self.topic, self.partition) == self.end

    async def close(self) -> None:
        """Give back the connection. The claim stands until the next one."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    async def _append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        assert self._writer is not None, f"{self!r} is not claimed"
        size = batch_bytes(records)
        assert records, f"{self!r}: an empty batch"
        assert size <= BATCH_BYTES, f"{self!r}: a batch of {size} bytes; cut it below {BATCH_BYTES}"
        if not self._known:
            raise UnknownOutcomeError(f"{self.topic}[{self.partition}]: an earlier append did not end well")
        self._known = False  # until it returns: an error or a cancellation on the way leaves it so
        asked_s = self._monotonic()
        appended = await self._writer.append(records)
        self._known = True
        self.end = appended.offset + len(records)
        answered_s = self._monotonic()
        self.answered_after_s = answered_s - asked_s
        if appended.timestamp_ms is not None:
            self.stamped = answered_s, appended.timestamp_ms
        return appended
