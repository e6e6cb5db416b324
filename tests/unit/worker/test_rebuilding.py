"""A state made anew: what the worker made of the same records, for the same users, and never an owner that nobody believes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from livepromo.behaviour.keeping import unpack
from livepromo.documents.catalogue import Publication, encode
from livepromo.engine.explaining import open_windows
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import POSITION_KEY, read_position, restore_part
from livepromo.engine.state import State
from livepromo.model.documents import key_of
from livepromo.model.ids import CampaignId, UserId, partition_of
from livepromo.model.records import Position
from livepromo.streaming.errors import DoesNotFitError
from livepromo.streaming.journal import MARKER, Journal, read_journal
from livepromo.streaming.log import LogRecord, Writer
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.match import MatchOwner
from livepromo.worker.publishing import Publications
from livepromo.worker.rebuilding import UNKNOWN, Known, Rebuilding, Rebuilt, _woven
from livepromo.worker.shared import Shared, Topics
from logs import MemoryLog
from unit.engine.builders import DAY, GROCERY, HOUR, MINUTE, T0, a_campaign
from unit.worker.test_owners import Sent

RESCUE = a_campaign(
    "rescue", "Added", qualify={"unless": {"event": "Charged", "within": "30m", "grace": "5s"}}, when={"start": "2025-01-01T00:00Z"}
)
FANS = a_campaign("fans", who={"did": {"event": "Viewed", "count": {"gte": 2}, "within": "30d"}})
USERS = [f"u{n}" for n in range(8)]


class Logs:
    """Topics of several partitions, each a log in memory."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, int], MemoryLog] = {}
        self.begins: dict[tuple[str, int], int] = {}

    def of(self, topic: str, partition: int) -> MemoryLog:
        return self.partitions.setdefault((topic, partition), MemoryLog())

    def put(self, topic: str, partition: int, ms: int, value: bytes, key: bytes | None = None) -> None:
        held = self.of(topic, partition).records
        held.append(LogRecord(len(held), ms, key, value))

    async def claim(self, topic: str, partition: int, name: str | None = None) -> Writer:
        return await self.of(topic, partition).claim(topic, partition, name)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        async for some in self.of(topic, partition).read(topic, partition, max(start, await self.begin(topic, partition)), end):
            yield some

    async def begin(self, topic: str, partition: int) -> int:
        return self.begins.get((topic, partition), 0)

    async def at_time(self, topic: str, partition: int, instant_ms: int) -> int:
        return await self.of(topic, partition).at_time(topic, partition, instant_ms)

    async def end(self, topic: str, partition: int) -> int:
        return await self.of(topic, partition).end(topic, partition)


class World:
    """An installation of so many partitions, with two campaigns published before everything."""

    def __init__(self, partitions: int = 1) -> None:
        self.logs = Logs()
        self.partitions = partitions
        self.publish(T0 - DAY, GROCERY, RESCUE, FANS)

    def publish(self, at: int, *documents: dict[str, Any]) -> None:
        from unit.engine.builders import Catalogue, publish

        meant = tuple(entry.document for entry in publish(Catalogue(), *documents).entries.values())
        self.logs.put("catalogue", 0, at, encode(Publication("test", dict.fromkeys(map(key_of, meant), 0), meant)))

    def event(self, user: str, name: str, at: int, event_id: str = "", **properties: Any) -> None:
        record = {"user": user, "event": name, "ts": at, "id": event_id or f"{name}-{at}", "properties": properties}
        self.record(user, at, record)

    def record(self, user: str, at: int, record: dict[str, Any]) -> None:
        self.logs.put("events", partition_of(user, self.partitions), at, json.dumps(record).encode(), user.encode())

    def shared(self) -> Shared:
        count = self.partitions
        names = ("events", "state", "candidates", "ledger", "granted", "denied", "dead", "webhooks", "dead-webhooks")
        return Shared(
            topics=Topics(*names, count, 1, 1, 1),
            log=self.logs,
            outbox=Sent(),
            horizons=Horizons(),
            denials=DenialFilter("all"),
            metrics=Metrics(),
            failpoints=Failpoints.parse(""),
            monotonic=lambda: 0.0,
        )

    async def rebuild(
        self, partition: int = 0, known: Known = UNKNOWN, committed: int | None = None, *, users_moved: bool = False
    ) -> tuple[Rebuilt, State]:
        publications = Publications(self.logs, "catalogue")
        await publications.follow()
        owner = Rebuilding(partition, self.shared(), publications, "2025b", known, committed)
        rebuilt = await owner.run(users_moved=users_moved, moved=lambda _: None)
        return rebuilt, await self.restored(partition)

    async def restored(self, partition: int = 0) -> State:
        state = State(Horizons())
        async for some in read_journal(self.logs, "state", partition, 0, await self.logs.end("state", partition)):
            for key, payload, _ in some:
                restore_part(state, key, payload)
        return state

    async def position(self, partition: int = 0) -> tuple[int, Position]:
        last = None
        async for some in read_journal(self.logs, "state", partition, 0, await self.logs.end("state", partition)):
            last = next((payload for key, payload, _ in reversed(some) if key == POSITION_KEY), last)
        assert last is not None
        part = read_position(last)
        return part.partitions, part.position

    async def windows(self, state: State, user: str) -> list[tuple[str, int]]:
        publications = Publications(self.logs, "catalogue")
        await publications.follow()
        plan = publications.plan(state.catalogue, Horizons())
        return [(one.campaign, one.time_ms) for one in open_windows(unpack(state.users[UserId(user)]).windows, plan)]


def a_history(world: World, users: Sequence[str] = USERS, at: int = T0) -> None:
    for n, user in enumerate(users):
        world.record(user, at + n, {"type": "profile", "user": user, "ts": at + n, "properties": {"n": n}})
        world.event(user, "Viewed", at + MINUTE + n)
        world.event(user, "Added", at + 2 * MINUTE + n)


async def test_users_windows_and_what_they_did_are_as_the_records_say() -> None:
    world = World()
    a_history(world)
    end = await world.logs.end("events", 0)
    rebuilt, state = await world.rebuild(committed=end)
    assert rebuilt == Rebuilt(Position(end, 0), len(USERS), end, 0, 0)
    assert {user: dict(state.user(UserId(user)).properties) for user in USERS} == {user: {"n": n} for n, user in enumerate(USERS)}
    for n, user in enumerate(USERS):
        assert await world.windows(state, user) == [("rescue", T0 + 2 * MINUTE + n)]
        assert unpack(state.users[UserId(user)]).remembered
    assert state.open_windows[CampaignId("rescue")] == len(USERS)
    assert not state.unready


async def test_what_comes_behind_where_matching_had_come_to_is_left_for_the_worker() -> None:
    world = World()
    a_history(world, ["u1", "u2"])
    rebuilt, state = await world.rebuild(committed=1)
    assert (rebuilt.position, rebuilt.records) == (Position(1, 0), 1)
    assert state.users.keys() == {"u1"}
    _, state = await world.rebuild(known=UNKNOWN._replace(durable=Position(4, 2)), committed=1)
    assert state.position == Position(4, 2)


async def test_of_what_stood_there_before_nothing_is_left() -> None:
    world = World()
    a_history(world, ["u1"])
    journal = Journal(world.logs, "state", 0, monotonic=lambda: 0.0)
    await journal.claim()
    await journal.append([(b"u:ghost", b"\1"), (b"u:another", b"\1")])
    _, state = await world.rebuild(committed=3)
    assert state.users.keys() == {"u1"}
    _, again = await world.rebuild()
    assert (again.users, again.position) == (state.users, state.position)


async def test_a_campaign_that_rested_opened_no_window_meanwhile_and_one_published_later_none_before() -> None:
    world = World()
    world.event("u1", "Added", T0)
    world.logs.put("catalogue", 0, T0 + 5, b'\x01{"type":"intervention","by":"t","verb":"pause","campaign":"rescue"}')
    world.event("u2", "Added", T0 + 10)
    _, state = await world.rebuild(committed=2)
    assert await world.windows(state, "u1") == [("rescue", T0)]
    assert await world.windows(state, "u2") == []


async def test_windows_that_were_decided_by_a_tick_are_not_decided_again() -> None:
    world = World()
    world.event("u1", "Added", T0)
    world.event("u1", "Added", T0 + HOUR, "later")
    known = UNKNOWN._replace(decided_ms=T0 + HOUR + 30 * MINUTE + 5_000)
    _, state = await world.rebuild(known=known, committed=2)
    assert await world.windows(state, "u1") == []
    _, state = await world.rebuild(known=known._replace(decided_ms=known.decided_ms - 1), committed=2)
    assert state.stream_ms == known.decided_ms + 1  # by what the state itself says, which is newer
    assert await world.windows(state, "u1") == []


async def test_an_erased_user_stays_erased() -> None:
    world = World()
    a_history(world, ["u1", "u2"])
    world.record("u1", T0 + HOUR // 10, {"type": "erase", "user": "u1", "ts": T0 + HOUR // 10})
    _, state = await world.rebuild(committed=7)
    assert state.users.keys() == {"u2"}


async def test_the_new_owner_is_newer_than_every_one_whom_the_ledger_knows() -> None:
    world = World()
    a_history(world, ["u1"])
    _, _ = await world.rebuild(known=UNKNOWN._replace(epoch=12_345), committed=3)
    markers = [record.offset for record in world.logs.of("state", 0).records if record.key == MARKER]
    assert markers[-1] > 12_345


async def test_users_who_have_moved_are_found_in_every_partition_and_in_order() -> None:
    world = World(partitions=1)
    a_history(world)
    world.partitions = 3
    a_history(world, USERS, T0 + HOUR)
    ends = [await world.logs.end("events", number) for number in range(3)]
    states = [(await world.rebuild(number, committed=ends[number], users_moved=True))[1] for number in range(3)]
    for n, user in enumerate(USERS):
        mine = states[partition_of(user, 3)]
        assert [user in state.users for state in states] == [state is mine for state in states]
        assert await world.windows(mine, user) == [("rescue", T0 + HOUR + 2 * MINUTE + n)]  # the first one was due before
        assert mine.position.offset == ends[partition_of(user, 3)]


async def test_the_records_of_several_partitions_come_as_kafka_received_them() -> None:
    logs, instants = Logs(), {0: [1, 4, 5, 9, 20], 1: [2, 3, 4, 30], 2: [10]}
    for number, held in instants.items():
        for ms in held:
            logs.put("events", number, ms, b"%d" % number)
    found = [record async for some in _woven(logs, "events", [(0, 0, 5), (1, 0, 4), (2, 0, 1), (3, 0, 0)]) for record in some]
    assert [record.timestamp_ms for record in found] == sorted(ms for held in instants.values() for ms in held)
    assert [(one.timestamp_ms, one.value) for one in found if one.timestamp_ms == 4] == [(4, b"0"), (4, b"1")]


async def test_what_was_not_finished_is_refused_by_a_worker_which_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    a_history(world)

    async def end_here(_: Rebuilding) -> None:
        raise ConnectionAbortedError

    with monkeypatch.context() as broken:
        broken.setattr(Rebuilding, "_know_what_was_sent", end_here)
        with pytest.raises(ConnectionAbortedError):
            await world.rebuild(committed=3)
    owner = MatchOwner(0, world.shared(), Publications(world.logs, "catalogue"), "2025b")
    with pytest.raises(DoesNotFitError, match="was being rebuilt: stop all workers and run livepromo state rebuild"):
        await owner.take_over(3)
    await world.rebuild(committed=3)
    assert (await world.position())[0] == 1
    assert await MatchOwner(0, world.shared(), Publications(world.logs, "catalogue"), "2025b").take_over(3) == 3


async def test_records_that_are_gone_before_they_were_matched_are_said_to_be() -> None:
    world = World()
    a_history(world)
    world.logs.begins["events", 0] = 10
    rebuilt, state = await world.rebuild(committed=4)
    assert (rebuilt.lost, rebuilt.position, state.users) == (6, Position(10, 0), {})


async def test_an_events_topic_that_ends_before_is_not_the_one() -> None:
    world = World()
    with pytest.raises(DoesNotFitError, match="ends at 0, but has been matched up to 9: restore it"):
        await world.rebuild(committed=9)
