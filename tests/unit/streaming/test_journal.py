"""A journal has one owner at a time, stands whole, and restores to what was acknowledged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from livepromo.streaming.errors import ClaimTooOldError, FencedError, FormatError, UnknownOutcomeError
from livepromo.streaming.journal import BATCH_BYTES, MARKER, Journal, batch_bytes, seal, unseal
from livepromo.streaming.log import Appended, LogRecord

DAY_S = 24 * 3600.0


class _MemoryWriter:
    """Refused once a newer claim has appended."""

    def __init__(self, log: _MemoryLog, claim: int) -> None:
        self.log, self.claim = log, claim

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        if self.log.fences and self.claim < self.log.newest_that_appended:
            raise FencedError("a newer claim has appended")
        self.log.newest_that_appended = max(self.claim, self.log.newest_that_appended)
        first = self.log.next_offset
        for i, (key, value) in enumerate(records):
            self.log.records.append(LogRecord(first + i, 1_000 + first, key, value))
        self.log.next_offset += len(records)
        if self.log.loses_replies:
            raise UnknownOutcomeError("no reply")
        return Appended(first, 1_000 + first)

    async def close(self) -> None:
        pass


class _MemoryLog:
    """One partition, whatever its name."""

    def __init__(self, next_offset: int = 0) -> None:
        self.records: list[LogRecord] = []
        self.next_offset = next_offset
        self.claims = 0
        self.newest_that_appended = 0
        self.fences = True
        self.loses_replies = False

    async def claim(self, _topic: str, _partition: int, _name: str | None = None) -> _MemoryWriter:
        self.claims += 1
        return _MemoryWriter(self, self.claims)

    async def read(self, _topic: str, _partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        for record in [record for record in self.records if start <= record.offset < end]:
            yield [record]

    async def begin(self, _topic: str, _partition: int) -> int:
        return self.records[0].offset if self.records else self.next_offset

    async def end(self, _topic: str, _partition: int) -> int:
        return self.next_offset

    def compact(self) -> None:
        last = {record.key: record for record in self.records}
        self.records = [record for record in self.records if last[record.key] is record]


class _Clock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


def a_journal(log: _MemoryLog, clock: _Clock | None = None) -> Journal:
    return Journal(log, "state", 0, monotonic=clock or _Clock())


async def restored(journal: Journal) -> list[tuple[bytes, bytes | None]]:
    return [(key, payload) async for records in journal.restore() for key, payload, _ in records]


async def test_a_new_owner_reads_what_the_old_one_appended_and_its_epoch_is_the_offset_of_its_marker() -> None:
    log = _MemoryLog()
    old, new = a_journal(log), a_journal(log)
    assert await old.claim() == 0
    appended = await old.append([(b"u1", b"one"), (b"u2", None), (b"@position", b"7")])
    assert (appended.offset, old.end) == (1, 4)
    assert await new.claim() == 4
    assert await restored(new) == [(b"u1", b"one"), (b"u2", None), (b"@position", b"7")]
    assert new.end == 5
    assert new.void == 0


async def test_a_late_append_of_an_older_owner_is_refused() -> None:
    log = _MemoryLog()
    old, new = a_journal(log), a_journal(log)
    await old.claim()
    await new.claim()
    with pytest.raises(FencedError):
        await old.append([(b"u1", b"stale")])
    assert [record.key for record in log.records] == [MARKER, MARKER]


async def test_what_stands_between_a_claim_and_its_marker_counts() -> None:
    log = _MemoryLog()
    old, new = a_journal(log), a_journal(log)
    await old.claim()
    claim = log.claim

    async def claim_late(topic: str, partition: int, name: str | None = None) -> _MemoryWriter:
        writer = await claim(topic, partition, name)
        await old.append([(b"u1", b"between")])
        return writer

    log.claim = claim_late  # type: ignore[method-assign]
    await new.claim()
    assert await restored(new) == [(b"u1", b"between")]


async def test_records_of_an_older_epoch_behind_a_newer_marker_are_void_and_counted() -> None:
    log = _MemoryLog()
    old, new, next_one = a_journal(log), a_journal(log), a_journal(log)
    await old.claim()
    await new.claim()
    log.fences = False
    await new.append([(b"u1", b"good")])
    await old.append([(b"u2", b"void"), (b"@position", b"void")])
    await next_one.claim()
    assert await restored(next_one) == [(b"u1", b"good")]
    assert next_one.void == 2


async def test_void_records_are_known_by_the_records_of_a_newer_owner_when_its_marker_was_compacted_away() -> None:
    log = _MemoryLog()
    old, new, next_one = a_journal(log), a_journal(log), a_journal(log)
    await old.claim()
    await new.claim()
    log.fences = False
    await new.append([(b"u1", b"good")])
    await old.append([(b"u2", b"void")])
    await next_one.claim()
    log.compact()
    assert await restored(next_one) == [(b"u1", b"good")]
    assert next_one.void == 1


async def test_nothing_is_appended_under_a_claim_older_than_two_days() -> None:
    log, clock = _MemoryLog(), _Clock()
    journal = a_journal(log, clock)
    await journal.claim()
    clock.now_s += 2 * DAY_S
    await journal.append([(b"u1", b"just in time")])
    clock.now_s += 1
    with pytest.raises(ClaimTooOldError):
        await journal.append([(b"u1", b"too late")])
    assert len(log.records) == 2


async def test_a_renewed_claim_goes_on_with_a_new_epoch_and_a_new_age() -> None:
    log, clock = _MemoryLog(), _Clock()
    journal = a_journal(log, clock)
    await journal.claim()
    await journal.append([(b"u1", b"a")])
    assert not journal.needs_renewal
    clock.now_s += DAY_S
    assert journal.needs_renewal
    assert await journal.renew() == 2
    assert not journal.needs_renewal
    clock.now_s += 1.5 * DAY_S
    await journal.append([(b"u1", b"b")])
    assert unseal(log.records[-1].value or b"") == (2, b"b")


async def test_a_renewal_over_somebody_elses_record_is_refused_and_so_is_every_append_after_it() -> None:
    log = _MemoryLog()
    journal, other = a_journal(log), a_journal(log)
    await journal.claim()
    await other.claim()
    with pytest.raises(FencedError, match="offsets 1 to 2 were appended by somebody else"):
        await journal.renew()
    with pytest.raises(UnknownOutcomeError):
        await journal.append([(b"u1", b"a")])


async def test_a_journal_is_still_ours_until_somebody_claims_it() -> None:
    log = _MemoryLog()
    journal, other = a_journal(log), a_journal(log)
    assert not await journal.still_ours()
    await journal.claim()
    await journal.append([(b"u1", b"a")])
    assert await journal.still_ours()
    await other.claim()
    assert not await journal.still_ours()
    assert await other.still_ours()


async def test_after_an_append_of_unknown_outcome_nothing_more_is_appended_and_the_next_owner_reads_what_happened() -> None:
    log = _MemoryLog()
    journal, next_one = a_journal(log), a_journal(log)
    await journal.claim()
    log.loses_replies = True
    with pytest.raises(UnknownOutcomeError):
        await journal.append([(b"u1", b"a")])
    log.loses_replies = False
    with pytest.raises(UnknownOutcomeError, match="an earlier append"):
        await journal.append([(b"u1", b"b")])
    assert not await journal.still_ours()
    await next_one.claim()
    assert await restored(next_one) == [(b"u1", b"a")]


async def test_a_journal_that_does_not_begin_at_zero_restores_from_its_beginning() -> None:
    log = _MemoryLog(next_offset=500)
    journal, next_one = a_journal(log), a_journal(log)
    await journal.claim()
    await journal.append([(b"u1", b"a")])
    await next_one.claim()
    assert await restored(next_one) == [(b"u1", b"a")]


async def test_a_journal_restored_from_an_offset_begins_there_and_still_knows_what_is_void() -> None:
    log = _MemoryLog()
    old, new = a_journal(log), a_journal(log)
    await old.claim()
    await new.claim()
    log.fences = False
    await new.append([(b"u1", None), (b"u2", b"a")])  # offsets 2 and 3
    await old.append([(b"u3", b"void")])
    await new.append([(b"u4", None), (b"u5", b"b")])  # offsets 5 and 6
    for start, expected in ((2, [b"u1", b"u2", b"u4", b"u5"]), (3, [b"u2", b"u4", b"u5"]), (4, [b"u4", b"u5"]), (6, [b"u5"])):
        assert [key async for records in new.restore(start) for key, _, _ in records] == expected
    assert new.void == 3


async def test_a_batch_larger_than_the_bound_is_a_bug_of_the_caller() -> None:
    log = _MemoryLog()
    journal = a_journal(log)
    await journal.claim()
    records = [(b"k%03d" % i, bytes(10_000)) for i in range(100)]
    assert batch_bytes(records) > BATCH_BYTES
    with pytest.raises(AssertionError, match="cut it below"):
        await journal.append(records)
    await journal.append(records[:50])


async def test_a_record_of_another_format_is_refused_and_says_what_to_do() -> None:
    log = _MemoryLog()
    journal = a_journal(log)
    log.records.append(LogRecord(0, 0, b"u1", b"\x02" + seal(0, b"new")[1:]))
    log.next_offset = 1
    await journal.claim()
    with pytest.raises(FormatError, match="format 2, this version reads 1: run"):
        await restored(journal)


def test_an_envelope_is_a_version_and_the_epoch_big_end_first() -> None:
    assert seal(258, b"xy") == b"\x01" + bytes([0, 0, 0, 0, 0, 0, 1, 2]) + b"xy"
    assert unseal(seal(2**63, b"")) == (2**63, b"")
    with pytest.raises(FormatError, match="no journal record"):
        unseal(b"{}")


async def test_a_journal_says_by_how_much_the_time_of_its_last_append_may_lag() -> None:
    log, clock = _MemoryLog(), _Clock()
    journal = a_journal(log, clock)
    await journal.claim()
    assert (journal.stamped, journal.answered_after_s) == ((5.0, 1_000), 0.0)
    written = _MemoryWriter.append

    async def slow(writer: _MemoryWriter, records: Sequence[tuple[bytes, bytes | None]]) -> Appended:
        appended = await written(writer, records)
        clock.now_s += 3_600.0  # frozen, with the answer on its way
        return appended

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_MemoryWriter, "append", slow)
        await journal.append([(b"k", b"v")])
    assert (journal.stamped, journal.answered_after_s) == ((3_605.0, 1_001), 3_600.0)
    await journal.append([(b"k", b"v")])
    assert (journal.stamped, journal.answered_after_s) == ((3_605.0, 1_002), 0.0)
