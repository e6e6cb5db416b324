"""An import of codes: each code once, whatever was there, whoever comes in between."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from livepromo.ledger.codes import CodeProblem, Places, packed, unpacked
from livepromo.streaming.errors import UnavailableError
from livepromo.streaming.journal import seal, unseal
from livepromo.worker.importing import BATCH_CODES, MOST_LINES, QUIET_S, CodeImport, Imported
from logs import MemoryLog


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        self.now_s += seconds


def an_import(log: MemoryLog, pool: str = "coupon/spring", clock: Clock | None = None, said: list[str] | None = None) -> CodeImport:
    clock = clock or Clock()
    told = [] if said is None else said
    return CodeImport(log, "livepromo.codes", 0, pool, monotonic=clock, pause=clock.pause, told=told.append)


async def imported(log: MemoryLog, *lines: bytes, pool: str = "coupon/spring") -> Imported:
    return await an_import(log, pool).run(lines)


def pool_of(log: MemoryLog, pool: str = "coupon/spring") -> list[str]:
    """Return a pool's codes, read as anybody reads them."""
    places, codes = Places(), list[str]()
    for record in log.records:
        assert record.value is not None
        epoch, payload = unseal(record.value)
        if record.key == pool.encode() and places.take(record.offset, epoch, payload):
            codes += unpacked(payload)
    return codes


async def test_codes_are_added_once_in_the_order_of_the_file() -> None:
    log = MemoryLog()
    found = await imported(log, b"B", b"A", b" B ", b"C", b"A")
    assert pool_of(log) == ["B", "A", "C"]
    assert (found.added, found.repeated, found.had, found.invalid, found.size) == (3, 2, 0, 0, 3)


async def test_importing_again_adds_nothing_and_more_codes_stand_behind() -> None:
    log = MemoryLog()
    await imported(log, b"A", b"B")
    again = await imported(log, b"A", b"B")
    assert (again.added, again.repeated, again.had, again.size) == (0, 0, 2, 2)
    more = await imported(log, b"C", b"A", b"D")
    assert (more.added, more.had, more.size) == (2, 1, 4)
    assert pool_of(log) == ["A", "B", "C", "D"]


async def test_pools_of_one_partition_do_not_know_one_another() -> None:
    log = MemoryLog()
    await imported(log, b"A", b"B")
    other = await imported(log, b"B", b"C", pool="voucher_list/amazon/Diwali")
    assert (other.added, other.had) == (2, 0)
    assert pool_of(log) == ["A", "B"]
    assert pool_of(log, "voucher_list/amazon/Diwali") == ["B", "C"]


async def test_lines_without_a_code_are_named_by_number_the_first_few_of_them() -> None:
    found = await imported(MemoryLog(), b"\xef\xbb\xbfA", b"", b"x" * 256, b"B", b"\xff", *[b""] * 100)
    assert found.added == 2
    assert found.invalid == 103
    assert found.lines[:3] == [(2, CodeProblem.EMPTY), (3, CodeProblem.TOO_LONG), (5, CodeProblem.NOT_UTF8)]
    assert len(found.lines) == MOST_LINES


async def test_lone_carriage_returns_end_lines_too() -> None:
    log = MemoryLog()
    found = await imported(log, b"A\rB\r\rC\r")
    assert pool_of(log) == ["A", "B", "C"]
    assert found.lines == [(3, CodeProblem.EMPTY)]


def records_of(log: MemoryLog) -> list[tuple[str, ...]]:
    return [unpacked(payload) for record in log.records if (payload := unseal(record.value or b"")[1])]


async def test_records_hold_a_thousand_codes_or_128_kib_of_them() -> None:
    log = MemoryLog()
    await imported(log, *(b"%d" % n for n in range(2_500)))
    assert [len(codes) for codes in records_of(log)] == [1_000, 1_000, 500]
    log = MemoryLog()
    await imported(log, *(f"{'é' * 250}{n}".encode() for n in range(600)))
    assert sum(map(len, records_of(log))) == 600
    assert all(100 < len(packed(codes)) <= (128 << 10) + 16 for codes in records_of(log))


class Killed(BaseException):
    pass


async def killed() -> None:
    raise Killed


def many(count: int, first: int = 0) -> Iterator[bytes]:
    return (b"%d" % n for n in range(first, first + count))


async def test_an_import_killed_half_way_and_run_again_adds_each_code_once() -> None:
    log, lines = MemoryLog(), 3 * BATCH_CODES + 7
    log.strikes = [nothing, nothing, nothing, killed]  # the marker and two batches stand
    with pytest.raises(Killed):
        await an_import(log).run(many(lines))
    assert len(pool_of(log)) == 2 * BATCH_CODES
    found = await imported(log, *many(lines))
    assert (found.added, found.had) == (BATCH_CODES + 7, 2 * BATCH_CODES)
    assert pool_of(log) == [str(n) for n in range(lines)]


async def nothing() -> None:
    pass


@pytest.mark.parametrize("before", range(4))
async def test_two_imports_at_once_follow_one_another_and_add_each_code_once(before: int) -> None:
    log, said, clock = MemoryLog(), list[str](), Clock()
    theirs: list[Imported] = []

    async def another() -> None:
        theirs.append(await imported(log, *many(2 * BATCH_CODES, first=BATCH_CODES + 5)))

    log.strikes = [*[nothing] * before, another]
    ours = await an_import(log, clock=clock, said=said).run(many(3 * BATCH_CODES))
    codes = pool_of(log)
    assert sorted(codes, key=int) == [str(n) for n in range(3 * BATCH_CODES + 5)]
    assert ours.added + theirs[0].added == len(codes) == ours.size
    assert ours.added + ours.had == 3 * BATCH_CODES
    assert theirs[0].added + theirs[0].had == 2 * BATCH_CODES
    if before:  # else the other one came before our marker, which is only then appended
        assert said == ["coupon/spring: another import has taken over; waiting for its end"]
    assert clock.now_s >= QUIET_S


async def test_two_imports_that_come_in_between_again_and_again_come_to_an_end() -> None:
    log = MemoryLog()

    async def another() -> None:
        await imported(log, b"theirs %d" % len(log.records))

    log.strikes = [nothing, another, nothing, nothing, another, nothing, nothing, another]
    ours = await an_import(log).run(many(10))
    assert ours.added == 10
    assert len(pool_of(log)) == ours.size == 13


async def test_what_is_void_does_not_count_as_had() -> None:
    log = MemoryLog()
    key = b"coupon/spring"
    log.write([(key, seal(0, b"")), (key, seal(0, b"")), (key, seal(0, packed(["A"])))])  # of the first claim, behind the second
    found = await imported(log, b"A")
    assert (found.added, found.had) == (1, 0)
    assert pool_of(log) == ["A"]


async def test_a_log_that_is_away_ends_the_import_and_what_was_added_stays() -> None:
    log = MemoryLog()

    async def away() -> None:
        await imported(log, b"theirs")
        log.away = 1

    log.strikes = [nothing, away]
    with pytest.raises(UnavailableError):
        await an_import(log).run([b"A"])
    assert pool_of(log) == ["theirs"]


async def test_no_code_is_shown_by_what_the_import_returns() -> None:
    found = await imported(MemoryLog(), b"SECRET-1", b"SECRET-1", b"SECRET-2" * 40)
    assert "SECRET" not in repr(vars(found))
