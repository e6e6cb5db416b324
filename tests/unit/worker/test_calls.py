"""The calls of a partition: owed as the ledger names them, remembered through every end of their owner, and no others are made."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest

from livepromo.delivery import circuits, retries
from livepromo.delivery.dispatching import Dispatcher
from livepromo.delivery.given_up import dead_call
from livepromo.delivery.queue import REPLAY_KEY, QueuedCall, encode_call
from livepromo.delivery.retries import Outcome, OutcomeKind, Tries, Why
from livepromo.delivery.signing import Call
from livepromo.engine.horizons import Horizons
from livepromo.ledger.entries import GrantEntry, encode
from livepromo.model.documents import Endpoint
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.model.records import Position
from livepromo.streaming.errors import FencedError
from livepromo.streaming.journal import seal
from livepromo.streaming.log import LogRecord
from livepromo.telemetry.metrics import Metrics
from livepromo.worker import calls as room
from livepromo.worker.calls import CallBook, Named, PartitionCalls
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.shared import Shared, Topics
from logs import MemoryLog, MemoryWriter

OK = Outcome(OutcomeKind.OK, status=200)
GONE = Outcome(OutcomeKind.REFUSED, Why.STATUS, 410)
AWAY = Outcome(OutcomeKind.FAILED, Why.CONNECT)
GIFTS = Endpoint("gifts", "https://gifts.example/")


class Reader:
    """`Reader` of a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def read(self, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        async for records in self._log.read("", 0, start, end):
            kept = [record for record in records if record.offset not in self._log.deleted]  # type: ignore[attr-defined]
            if kept:
                yield kept

    async def close(self) -> None:
        """Nothing is held."""


class Logs:
    """`Log` of two topics in memory."""

    def __init__(self) -> None:
        self.ledger, self.webhooks = MemoryLog(), MemoryLog()
        self.webhooks.deleted = set()  # type: ignore[attr-defined]

    def _of(self, topic: str) -> MemoryLog:
        return self.ledger if topic == "ledger" else self.webhooks

    def reader(self, topic: str, _partition: int) -> Reader:
        return Reader(self._of(topic))

    async def claim(self, topic: str, partition: int, name: str | None = None) -> MemoryWriter:
        return await self._of(topic).claim(topic, partition, name)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        async for records in self._of(topic).read(topic, partition, start, end):
            yield records

    async def begin(self, topic: str, partition: int) -> int:
        return await self._of(topic).begin(topic, partition)

    async def end(self, topic: str, partition: int) -> int:
        return await self._of(topic).end(topic, partition)


class Sent:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Any]] = {}

    async def send_many(self, batches: Mapping[tuple[str, int], Sequence[Any]]) -> None:
        for (topic, _), records in batches.items():
            self.sent.setdefault(topic, []).extend(records)


class World:
    """A partition's ledger and calls, and owners that come and go; `made` has what arrived at the endpoint."""

    def __init__(self) -> None:
        self.logs, self.outbox, self.now_s = Logs(), Sent(), 0.0
        self.made: list[str] = []
        self.answer: Callable[[Call], Outcome] = lambda _: OK
        self.ended: list[BaseException] = []
        self.owners: list[Owner] = []
        self._count = 0

    def grant(self, *, named: bool = True, endpoint: str = "gifts") -> str:
        """Decide a reward: its call, and, unless the owner ended in between, its record in the ledger; return its id."""
        self._count += 1
        name = f"gr_{self._count:032x}"
        body = b'{"user":{"userId":"u"},"reward":{"type":"custom","value":1,"metadata":{"n":%d}}}' % self._count
        call = QueuedCall(GrantId(name), CampaignId("c"), 1, endpoint, "item", "watch", body)
        place = self.logs.webhooks.write([(name.encode(), encode_call(call))]).offset
        if named:
            entry = GrantEntry(GrantId(name), CampaignId("c"), "custom", UserId("u"), b"{}", (), 0, Position(1, 0), 0, 1, place)
            self.logs.ledger.write([(name.encode(), seal(0, encode(entry)))])
        return name

    def grants(self, count: int) -> list[str]:
        return [self.grant() for _ in range(count)]

    def send_again(self, name: str) -> None:
        call = QueuedCall(GrantId(name), CampaignId("c"), 1, "gifts", "item", "watch", b"{}")
        self.logs.webhooks.write([(REPLAY_KEY, encode_call(call))])

    async def owner(self, relayed: int | None = None) -> Owner:
        """Return an owner that has taken over; the relay stands at the beginning of the ledger, or there."""
        owner = Owner(self)
        self.owners.append(owner)
        await owner.calls.start(relayed or 0)
        return owner

    def dead(self) -> list[tuple[str, str]]:
        letters = [dead_call(0, 1, *record) for record in self.outbox.sent.get("dead-webhooks", [])]
        return [(one.grant_id, one.reason) for one in letters if one is not None]


class Owner:
    """A process that owns the partition."""

    def __init__(self, world: World) -> None:
        self._world = world
        topics = Topics("events", "state", "candidates", "ledger", "granted", "denied", "dead", "webhooks", "dead-webhooks", 1, 1, 1, 1)
        logs: Any = world.logs
        outbox: Any = world.outbox
        self.shared = Shared(
            topics=topics,
            log=logs,
            outbox=outbox,
            horizons=Horizons(),
            denials=DenialFilter("all"),
            metrics=Metrics(),
            failpoints=Failpoints.parse(""),
            monotonic=lambda: world.now_s,
            pause=self._pause,
        )
        self.book = CallBook()
        self.dispatcher = Dispatcher(self._make, self.book, self.shared.metrics)
        self.dispatcher.know(GIFTS)
        self.may_begin = True
        self.calls = PartitionCalls(0, self.shared, self.dispatcher, may_begin=lambda: self.may_begin, end=world.ended.append)
        self.book.partitions[0] = self.calls
        self._heard = 0

    async def _pause(self, seconds: float) -> None:
        self._world.now_s += seconds
        await asyncio.sleep(0)

    async def _make(self, _: Endpoint, call: Call) -> Outcome:
        await asyncio.sleep(0)
        outcome = self._world.answer(call)
        self._world.made.append(call.grant_id)
        return outcome

    def relay(self, until: int | None = None) -> None:
        """Relay the ledger up to its end, or there."""
        from livepromo.ledger.entries import decode
        from livepromo.streaming.journal import unseal

        end = len(self._world.logs.ledger.records) if until is None else until
        named = []
        for record in self._world.logs.ledger.records[self._heard : end]:
            entry = decode(unseal(record.value or b"")[1])
            assert isinstance(entry, GrantEntry)
            assert entry.call is not None
            named.append(Named(record.offset, entry.call, entry.grant_id))
        self.calls.named(self._heard, end, named)
        self._heard = end

    async def die(self) -> None:
        """End at once: nothing more is made, nothing more is written."""
        await self.calls.close()
        await self.dispatcher.close()

    async def leave(self) -> None:
        """End in good order."""
        await self.calls.leave()
        await self.die()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(room, "POLL_S", 0.01)
    monkeypatch.setattr(retries, "BASE_MS", 20)
    monkeypatch.setattr(circuits, "FIRST_REST_MS", 20)
    monkeypatch.setattr(circuits, "LONGEST_REST_MS", 20)
    world = World()
    yield world
    for owner in world.owners:
        await owner.die()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what a test looks at tells nobody
            await asyncio.sleep(0.001)


async def test_what_the_ledger_names_is_made_once_and_what_it_does_not_name_never(world: World) -> None:
    owner = await world.owner()
    owed = world.grants(3)
    orphan = world.grant(named=False)
    owed += world.grants(2)
    owner.relay()
    await until(lambda: len(world.made) == 5)
    await owner.leave()
    again = await world.owner()
    again.relay()
    owed.append(world.grant())
    again.relay()
    await until(lambda: len(world.made) == 6)
    assert world.made == owed
    assert orphan not in world.made
    assert not world.ended


@pytest.mark.parametrize("ends", ["at once", "in good order"])
@pytest.mark.parametrize("small", [True, False], ids=["small marks", "marks as they are"])
async def test_what_is_not_made_yet_is_made_by_the_next_owner(
    world: World, ends: str, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        for name, value in (("NOTED_ENTRIES", 2), ("SNAPSHOT_OFFSETS", 3), ("MOST_NAMED", 2), ("TAKEN", 1), ("CATCH_UP", 2), ("NEAR", 1)):
            monkeypatch.setattr(room, name, value)
        monkeypatch.setattr(room, "_FIRST_SEARCH", 1)
    world.answer = lambda call: OK if int(call.grant_id[3:], 16) % 3 else AWAY
    owed: list[str] = []
    for _ in range(4):
        owner = await world.owner()
        owed += world.grants(9)
        owner.relay(len(world.logs.ledger.records) - 4)
        await asyncio.sleep(0.01)
        owner.relay()
        due = {name for name in owed if int(name[3:], 16) % 3}
        await until(lambda due=due: due <= set(world.made))  # type: ignore[misc]
        await asyncio.sleep(0.01)
        await (owner.die() if ends == "at once" else owner.leave())
    world.answer = lambda _: OK
    before = len(world.made)
    owner = await world.owner(relayed=len(world.logs.ledger.records))
    await until(lambda: {name for name in owed if not int(name[3:], 16) % 3} <= set(world.made[before:]))
    assert set(world.made) == set(owed)
    assert not world.ended
    if ends == "in good order":
        repeated = {name for name, times in Counter(world.made).items() if times > 1}
        assert repeated <= {name for name in owed if not int(name[3:], 16) % 3}, "what was answered is not made again"


async def test_the_tries_of_a_call_are_remembered(world: World) -> None:
    world.answer = lambda _: GONE
    owner = await world.owner()
    name = world.grant()
    owner.relay()
    await until(lambda: len(world.made) == 1)
    await owner.leave()
    kept: list[Tries] = []
    later = await world.owner()
    later.dispatcher.add = lambda place, endpoint, owed_ms, tries=Tries(), call=None: kept.append(tries)  # type: ignore[method-assign] # noqa: ARG005, B008
    await until(lambda: bool(kept))
    assert [(one.attempts, one.refusals, one.status) for one in kept] == [(1, 1, 410)]
    assert name in world.made


async def test_a_call_that_is_sent_again_is_made_though_no_record_of_the_ledger_names_it(world: World) -> None:
    owner = await world.owner()
    name = world.grant()
    owner.relay()
    await until(lambda: world.made == [name])
    world.grant(named=False)  # stands before it, and may be named at any time
    world.send_again("gr_" + 31 * "0" + "f")
    await until(lambda: len(world.made) == 2)
    owed = world.grants(2)
    owner.relay()
    await until(lambda: len(world.made) == 4)
    assert world.made[1:] == ["gr_" + 31 * "0" + "f", *owed]
    await owner.leave()
    await world.owner(relayed=len(world.logs.ledger.records))
    await asyncio.sleep(0.05)
    assert len(world.made) == 4


async def test_a_call_that_is_not_kept_any_more_is_put_aside_and_the_others_are_made(world: World) -> None:
    first, lost, last = world.grants(3)
    world.logs.webhooks.deleted.add(1)  # type: ignore[attr-defined]
    owner = await world.owner()
    owner.relay()
    await until(lambda: world.made == [first, last])
    assert world.dead() == [(lost, "gone")]


async def test_a_frozen_owner_that_wakes_up_writes_nothing_and_ends(world: World) -> None:
    frozen = await world.owner()
    world.grants(1)
    frozen.relay()
    await until(lambda: len(world.made) == 1)
    frozen.may_begin = False  # it stands still before it has written
    await asyncio.sleep(0.01)
    other = await world.owner()
    other.relay()
    world.grants(1)
    other.relay()
    await until(lambda: len(world.made) >= 2)
    await asyncio.sleep(0.05)
    assert not world.ended
    frozen.may_begin = True
    world.grants(1)
    frozen.relay()
    await until(lambda: bool(world.ended))
    assert isinstance(world.ended[0], FencedError)


async def test_where_nobody_is_to_be_called_nothing_is_claimed_or_written(world: World) -> None:
    owner = await world.owner(relayed=7)
    owner.calls.named(7, 20, [])
    await asyncio.sleep(0.05)
    await owner.leave()
    assert not world.logs.webhooks.records
    assert not world.logs.webhooks.claims


async def test_an_owner_that_revoked_partitions_belong_to_begins_nothing(world: World) -> None:
    owner = await world.owner()
    owner.may_begin = False
    world.grants(2)
    owner.relay()
    await asyncio.sleep(0.05)
    assert not world.logs.webhooks.claims
    owner.may_begin = True
    await until(lambda: len(world.made) == 2)


async def test_calls_that_are_not_written_down_when_their_owner_ends_are_made_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "NOTED_ENTRIES", 1)
    world.answer = lambda _: AWAY
    owner = await world.owner()

    async def nothing() -> None:
        """Let it be appended."""

    async def stands_still() -> None:
        owner.may_begin = False

    world.logs.webhooks.strikes = [nothing, nothing, nothing, stands_still]  # the claim, a snapshot, the first of the calls, the second
    owed = world.grants(6)
    owner.relay()
    await until(lambda: not owner.may_begin and set(owed) <= set(world.made))
    await owner.die()
    world.answer = lambda _: OK
    before = len(world.made)
    await world.owner(relayed=len(world.logs.ledger.records))
    await until(lambda: set(owed) <= set(world.made[before:]))


async def test_grants_that_are_relayed_faster_than_their_calls_are_read_are_read_in_the_ledger_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_NAMED", 3)
    monkeypatch.setattr(room, "CATCH_UP", 4)
    owner = await world.owner()
    owed = world.grants(1)
    owner.relay()
    await until(lambda: len(world.made) == 1)
    owed += world.grants(29)
    for until_offset in range(2, 31):
        owner.relay(until_offset)
    await until(lambda: len(world.made) == 30)
    owed += world.grants(1)
    owner.relay()
    await until(lambda: len(world.made) == 31)
    assert world.made == owed
