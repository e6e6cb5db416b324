"""The owner of a partition reads the past of rules that were published just now, whatever ends it, wherever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue, Publication, encode, revision_of
from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine.entries import CatalogueTaken, HistoryRead
from livepromo.engine.histories import preparing
from livepromo.ledger.sources import decode_batch
from livepromo.model.documents import key_of
from livepromo.streaming.errors import UnavailableError
from livepromo.streaming.log import LogRecord
from livepromo.streaming.offsets import Partition, Slice
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.match import MatchOwner
from livepromo.worker.publishing import Publications
from logs import MemoryLog, MemoryWriter
from unit.engine.builders import GROCERY, HOUR, T0, a_campaign
from unit.worker.test_owners import Surroundings

DONE = 5


class CrashError(Exception):
    """The process ends here."""


class Steps(Failpoints):
    """Failpoints that end the process at the `nth` of all steps."""

    def __init__(self, nth: int) -> None:
        super().__init__({})
        self.left, self.reached = nth, list[str]()

    def reach(self, step: str) -> None:
        self.reached.append(step)
        self.left -= 1
        if self.left == 0:
            raise CrashError(step)


class Logs:
    """A log for each topic."""

    def __init__(self) -> None:
        self.topics: dict[str, MemoryLog] = {}
        self.away = 0

    def of(self, topic: str) -> MemoryLog:
        return self.topics.setdefault(topic, MemoryLog())

    async def claim(self, topic: str, partition: int, name: str | None = None) -> MemoryWriter:
        return await self.of(topic).claim(topic, partition, name)

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        async for records in self.of(topic).read(topic, partition, start, end):
            if topic == "events" and self.away:
                self.away -= 1
                raise UnavailableError("away")
            yield records

    async def begin(self, topic: str, partition: int) -> int:
        return await self.of(topic).begin(topic, partition)

    async def at_time(self, topic: str, partition: int, instant_ms: int) -> int:
        return await self.of(topic).at_time(topic, partition, instant_ms)

    async def end(self, topic: str, partition: int) -> int:
        return await self.of(topic).end(topic, partition)


class World:
    """One partition, its topics, and the owner that there is just now."""

    def __init__(self) -> None:
        self.around, self.logs, self.published, self.metrics = Surroundings(), Logs(), Catalogue(), Metrics()
        self.owner = self.an_owner(Steps(0))

    def an_owner(self, steps: Steps) -> MatchOwner:
        self.shared = replace(self.around.shared, log=self.logs, failpoints=steps, metrics=self.metrics)
        self.publications = Publications(self.logs, "catalogue")
        return MatchOwner(0, self.shared, self.publications, "2026a")

    async def begin_anew(self, crash_at: int = 0) -> None:
        """Have another owner take over, which ends at a step."""
        self.owner = self.an_owner(Steps(crash_at))
        await self.publications.follow()
        await self.owner.take_over()

    def publish(self, *documents: dict[str, Any]) -> None:
        read, problems = check_content(json.dumps(documents).encode(), "test.json", "UTC")
        assert not problems
        meant = documents_of(read)
        expects = {key_of(one): revision_of(self.published, key_of(one)) for one in meant}
        self.logs.of("catalogue").write([(b"", encode(Publication("test", expects, tuple(meant))))])

    def happens(self, *events: tuple[str, str, int]) -> None:
        """Have events (name, user, time) arrive when they happen."""
        records = self.logs.of("events").records
        for event, user, ts in events:
            value = json.dumps({"user": user, "event": event, "ts": ts, "id": f"{event}-{user}-{ts}"}).encode()
            records.append(LogRecord(len(records), ts, None, value))

    async def take(self, stop: int | None = None) -> None:
        """Take what has arrived since."""
        start = self.owner.state.position.offset
        records = self.logs.of("events").records[start:stop]
        end = start + len(records)
        if records:
            columns: dict[str, Any] = {
                "offsets": [record.offset for record in records],
                "timestamps_ms": [record.timestamp_ms for record in records],
                "keys": [None] * len(records),
                "values": [record.value for record in records],
                "headers": [()] * len(records),
            }
            await self.owner.take_slice(Slice(Partition("events", 0), start, end, **columns))

    async def look(self) -> None:
        """Look as long as there is more."""
        await self.publications.follow()
        while await self.owner.look():
            pass

    @property
    def rewarded(self) -> list[str]:
        """Whom candidates are for, each grant once, in order."""
        found: dict[str, str] = {}
        for _, value, _ in self.around.outbox.sent.get(("candidates", 0), []):
            found |= {one.grant_id: str(one.user) for one in decode_batch(value).candidates}
        return sorted(found.values())


CAMPAIGN = a_campaign(
    "c", "Go", who={"did": {"event": "Paid", "within": "1h", "count": {"eq": DONE}}}, when={"start": "2025-12-01T00:00:00Z"}
)


async def a_world() -> World:
    """Return a partition in which u1 has paid so often and u2 once more, of all of which nothing was asked."""
    world = World()
    await world.begin_anew()
    world.happens(*((("Paid", user, T0 + at * 1000)) for at in range(DONE + 1) for user in ("u1", "u2") if at or user == "u2"))
    await world.take()
    world.publish(GROCERY, CAMPAIGN)
    return world


def went(at: int) -> list[tuple[str, str, int]]:
    return [("Go", user, T0 + at * 1000) for user in ("u1", "u2", "u3")]


async def test_what_was_done_before_anything_asked_counts() -> None:
    world = await a_world()
    await world.look()
    entries = list(world.owner.state.entries.values())
    assert [type(entry) for entry in entries] == [CatalogueTaken, HistoryRead]
    world.happens(*went(60))
    await world.take()
    assert world.rewarded == ["u1"]


async def test_nothing_is_judged_until_all_of_it_has_been_read() -> None:
    world = await a_world()
    await world.publications.follow()
    assert await world.owner.look(), "there is more to read"
    found = preparing(world.owner.state)
    assert (len(found.rules), 0 < found.share < 1) == (1, True)
    world.happens(*went(60))
    await world.take()
    assert world.rewarded == []
    await world.look()
    assert preparing(world.owner.state).share == 1
    world.happens(*went(61))
    await world.take()
    assert world.rewarded == ["u1"]


async def test_the_gauge_says_from_when_on_look_backs_are_true() -> None:
    world = await a_world()
    await world.publications.follow()
    await world.owner.look()
    labels = {"partition": "0"}
    said = [world.metrics.registry.get_sample_value("livepromo_history_complete_since_timestamp_seconds", labels)]
    await world.look()
    said.append(world.metrics.registry.get_sample_value("livepromo_history_complete_since_timestamp_seconds", labels))
    assert said == [T0 / 1000 + DONE, T0 / 1000]


async def test_only_records_that_may_matter_are_read() -> None:
    world = await a_world()
    world.happens(("Paid", "u3", T0 + 80 * HOUR), ("Paid", "u4", T0 + 81 * HOUR))
    await world.take()
    await world.look()
    reads = [start for start, _ in world.logs.of("events").reads]
    assert min(reads) == 2 * DONE + 1, "what is older than look-back, lateness and repeats together stays unread"


async def test_a_scan_that_kafka_interrupts_goes_on_with_the_next_look() -> None:
    world = await a_world()
    world.logs.away = 2
    await world.look()
    assert preparing(world.owner.state).rules
    await world.look()
    await world.look()
    world.happens(*went(60))
    await world.take()
    assert world.rewarded == ["u1"]


async def test_where_nothing_came_before_a_campaign_is_ready_at_once() -> None:
    world = World()
    await world.begin_anew()
    world.publish(GROCERY, CAMPAIGN)
    await world.look()
    assert list(world.owner.state.entries.values()) == [CatalogueTaken(1)]


async def test_more_rules_than_a_batch_holds_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livepromo.worker.match.ENTRY_PARTS", 2)
    for crash_at in range(1, 8):
        world = await a_world()
        world.publish(*(a_campaign(f"c{n}", "Go", who={"did": {"event": "Paid", "within": f"{n}m"}}) for n in range(1, 6)))
        strikes: list[Callable[[], Any]] = [nothing] * (crash_at - 1) + [crashed]
        world.logs.of("state").strikes = strikes
        with pytest.raises(CrashError):
            await world.look()
        await world.begin_anew()
        await world.look()
        state = world.owner.state
        assert (len(state.histories), len(state.scans), len(state.unready)) == (6, 1, 0)
        world.happens(*went(60))
        await world.take()
        assert world.rewarded.count("u1") == 6


async def nothing() -> None:
    """Strike nothing."""


async def crashed() -> None:
    raise CrashError("append")


STEPS = 17
"""How many steps there are from taking over to where the campaign is ready."""


@pytest.mark.parametrize("nth", range(1, STEPS + 2))
async def test_wherever_it_ends_what_was_done_counts_once(nth: int) -> None:
    world = await a_world()
    ended = False
    try:
        await world.begin_anew(crash_at=nth)
        await world.look()
    except CrashError:
        ended = True
    await world.begin_anew()
    await world.look()
    assert ended == (nth <= STEPS)
    world.happens(*went(60))
    await world.take()
    assert world.rewarded == ["u1"]


@pytest.mark.parametrize("nth", range(1, 19))
async def test_an_owner_that_ends_before_an_append_and_the_next_before_another_lose_nothing(nth: int) -> None:
    world = await a_world()
    for _ in range(2):
        world.logs.of("state").strikes = [nothing] * nth + [crashed]
        with suppress(CrashError):
            await world.begin_anew()
            await world.look()
    world.logs.of("state").strikes = []
    await world.begin_anew()
    await world.look()
    world.happens(*went(60))
    await world.take()
    assert world.rewarded == ["u1"]


async def test_a_rule_that_was_dropped_and_comes_back_is_read_anew() -> None:
    world = await a_world()
    await world.look()
    dropped = {**CAMPAIGN, "who": {"property": "plan", "op": "exists"}}
    world.published = world.publications.newest
    world.publish(dropped)
    await world.look()
    world.happens(("Paid", "u1", T0 + 30_000), ("Paid", "u2", T0 + 31_000))
    await world.take()
    world.published = world.publications.newest
    world.publish({**CAMPAIGN, "who": {"did": {"event": "Paid", "within": "1h", "count": {"eq": DONE + 1}}}})
    await world.look()
    world.happens(*went(60))
    await world.take()
    assert world.rewarded == ["u1"]
