"""A send that an owner did not live to finish is taken up by the next one just where it stopped: each user once, also for a replay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from livepromo.documents.catalogue import Publication, encode
from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine.entries import Visit
from livepromo.engine.horizons import Horizons
from livepromo.ledger.sources import Source, admit, decode_batch, remembered
from livepromo.model.documents import key_of
from livepromo.streaming.log import LogRecord
from livepromo.streaming.offsets import Partition, Slice
from livepromo.telemetry.metrics import Metrics
from livepromo.worker import match
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import FailpointError, Failpoints
from livepromo.worker.match import MatchOwner
from livepromo.worker.publishing import Publications
from livepromo.worker.shared import Shared, Topics
from logs import MemoryLog

TS_MS = 1_700_000_000_000
USERS = [f"u{number}" for number in range(7)]
DOCUMENTS = """
kind: list
id: vip
---
kind: wallet
id: points
---
kind: campaign
id: thanks
qualify: {list: vip}
reward: {points: {wallet: points, earn: {flat: 1}}}
"""
STEPS = ("visit.entry_appended", "match.candidates_appended", "match.state_appended")


class Outbox:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], list[Any]] = {}

    async def send_many(self, batches: Mapping[tuple[str, int], Sequence[Any]]) -> None:
        for where, records in batches.items():
            self.sent.setdefault(where, []).extend(records)


class StateLog(MemoryLog):
    """A log of the state beside an events topic in which nothing is unread."""

    async def end(self, topic: str, partition: int) -> int:
        return 0 if topic == "events" else await super().end(topic, partition)


class World:
    """A partition whose owners die at steps, and whoever decides its candidates."""

    def __init__(self) -> None:
        self.state_log, self.catalogue_log, self.outbox = StateLog(), MemoryLog(), Outbox()
        read, problems = check_content(DOCUMENTS.encode(), "d.yaml", "UTC")
        assert not problems
        documents = documents_of(read)
        publication = Publication("anna", {key_of(document): 0 for document in documents}, tuple(documents))
        self.catalogue_log.records.append(LogRecord(0, TS_MS, b"", encode(publication)))

    async def owner(self, failpoints: str) -> MatchOwner:
        shared = Shared(
            topics=Topics("events", "state", "candidates", "ledger", "granted", "denied", "dead", "webhooks", "dead-webhooks", 1, 1, 1, 1),
            log=self.state_log,
            outbox=self.outbox,
            horizons=Horizons(),
            denials=DenialFilter("all"),
            metrics=Metrics(),
            failpoints=Failpoints.parse(failpoints),
            monotonic=lambda: 0.0,
        )
        publications = Publications(self.catalogue_log, "catalogue")
        await publications.follow()
        return MatchOwner(0, shared, publications, "2026a")

    def granted(self) -> Counter[str]:
        """Return how often each user is granted something, by whoever decides with the memory of candidates that a decider has."""
        source: Source | None = None
        found: Counter[str] = Counter()
        for _, value, _ in self.outbox.sent["candidates", 0]:
            source, new = admit(source, decode_batch(value))
            source = remembered(source, [(one.grant_id, one.position) for one in new])
            found.update(one.user for one in new)
        return found


def the_records() -> Slice:
    values = [b'{"type":"segment","user":"%b","ts":%d,"segment":"list/vip","member":true}' % (user.encode(), TS_MS) for user in USERS]
    values += [b"?", b'{"user":"later","event":"any","ts":%d}' % (TS_MS + 60_000)]
    count = len(values)
    return Slice(
        Partition("events", 0), 0, count, offsets=list(range(count)), timestamps_ms=[TS_MS + 60_000] * count, keys=[None] * count,
        values=values, headers=[()] * count,
    )  # fmt: skip


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("looks_first", [False, True], ids=["slice-first", "look-first"])
async def test_each_user_is_sent_to_once_wherever_an_owner_ends(
    monkeypatch: pytest.MonkeyPatch, step: str, nth: int, looks_first: bool
) -> None:
    monkeypatch.setattr(match, "USERS_AT_ONCE", 3)
    world = World()
    failing = await world.owner("")
    await failing.take_over()
    await failing.look()  # takes the catalogue
    failing = await world.owner(f"{step}=fail@{nth}")
    await failing.take_over()
    with pytest.raises(FailpointError):
        await failing.take_slice(the_records())
    heir = await world.owner("")
    await heir.take_over()
    if looks_first:
        await heir.look()
    await heir.take_slice(the_records())
    await heir.look()
    assert world.granted() == Counter(USERS)
    visits = [entry for _, entry in sorted(heir.state.entries.items()) if isinstance(entry, Visit)]
    assert [visit.users for visit in visits] == [3, 3, 1], "a replay visits each once, too"
    assert [visit.done for visit in visits] == [False, False, True]


async def test_a_send_that_a_look_began_stops_where_the_partition_is_to_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "USERS_AT_ONCE", 3)
    world = World()
    owner = await world.owner("")
    await owner.take_over()
    records = the_records()
    await owner.take_slice(records)  # nothing is published yet
    owned = [True, False]  # once for what is due, once behind the first visit
    owner._owns = lambda _: owned.pop(0) if owned else False
    assert await owner.look(), "there is more to do"
    assert world.granted() == Counter(USERS[:2]), "one visit: of a user who is on no list, and of two"
    heir = await world.owner("")
    await heir.take_over()
    await heir.look()
    assert world.granted() == Counter(USERS)


async def test_others_run_while_a_large_state_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "RESTORED_AT_ONCE", 1)
    world = World()
    owner = await world.owner("")
    await owner.take_over()
    await owner.take_slice(the_records())
    ran = 0

    async def beat() -> None:
        nonlocal ran
        while True:
            ran += 1
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    heir = await world.owner("")
    await heir.take_over()
    beating.cancel()
    assert ran >= len(USERS), "a heartbeat would have come too late"
