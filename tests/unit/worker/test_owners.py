"""What owners of partitions write and leave out though no slice asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import entry_key
from livepromo.ledger.entries import ErasedEntry, GrantEntry, PositionEntry, decode, encode
from livepromo.ledger.folding import fold_all
from livepromo.ledger.shelf import MemoryShelf
from livepromo.ledger.sources import CandidateBatch, Erasure, encode_batch
from livepromo.ledger.table import MemoryTable
from livepromo.model.decisions import Candidate, Limit, Reason
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.model.records import Position
from livepromo.streaming.journal import MARKER, seal, unseal
from livepromo.streaming.offsets import Partition, Slice
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.decide import POSITION_S, DecideOwner
from livepromo.worker.deliver import DeliverOwner
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.match import HOUR_S, MatchOwner
from livepromo.worker.publishing import Publications
from livepromo.worker.shared import Shared, Topics
from logs import MemoryLog
from unit.ledger.builders import a_candidate


class Sent:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], list[Any]] = {}

    async def send_many(self, batches: Mapping[tuple[str, int], Sequence[Any]]) -> None:
        for where, records in batches.items():
            self.sent.setdefault(where, []).extend(records)


class Surroundings:
    """All that an owner has around it, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s, self.log, self.outbox = 0.0, MemoryLog(), Sent()
        topics = Topics("events", "state", "candidates", "ledger", "granted", "denied", "dead", "webhooks", "dead-webhooks", 1, 1, 1, 1)
        self.shared = Shared(
            topics=topics,
            log=self.log,
            outbox=self.outbox,
            horizons=Horizons(),
            denials=DenialFilter("all"),
            metrics=Metrics(),
            failpoints=Failpoints.parse(""),
            monotonic=lambda: self.now_s,
        )


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


def a_slice(values: Sequence[bytes], first: int = 0, keys: Sequence[bytes | None] | None = None) -> Slice:
    count = len(values)
    return Slice(
        Partition("t", 0),
        first,
        first + count,
        offsets=list(range(first, first + count)),
        timestamps_ms=[0] * count,
        keys=list(keys or [None] * count),
        values=list(values),
        headers=[()] * count,
    )


async def test_a_decider_says_how_far_it_is_though_nothing_was_granted_for_a_minute(around: Surroundings) -> None:
    owner = DecideOwner(0, around.shared, MemoryTable(), MemoryShelf({}))
    await owner.take_over()
    await owner.take_slice(a_slice([encode_batch(CandidateBatch(0, 7, Position(5, 0)))]))
    await owner.look()
    assert len(around.log.records) == 1, "only the marker: a position is not due yet"
    around.now_s = POSITION_S
    await owner.look()
    value = around.log.records[-1].value
    assert value is not None
    assert decode(unseal(value)[1]) == PositionEntry(1, {0: (7, Position(5, 0))})


async def test_control_entries_whose_records_are_gone_are_dropped_but_for_the_one_that_holds_at_the_begin(around: Surroundings) -> None:
    owner = MatchOwner(0, around.shared, Publications(around.log, "catalogue"), "2026a")
    await owner.journal.claim()
    places = [Position(1, 0), Position(4, 0), Position(4, 1), Position(9, 0)]
    owner.state.entries = {at: number for number, at in enumerate(places)}
    owner.state.position = Position(12, 0)
    around.log.begin = lambda _topic, _partition: begin(6)  # type: ignore[method-assign, assignment]
    around.now_s = HOUR_S + 1
    await owner.look()
    assert list(owner.state.entries) == [Position(4, 1), Position(9, 0)]
    dropped = [record.key for record in around.log.records if record.value is None]
    assert dropped == [entry_key(Position(1, 0)), entry_key(Position(4, 0))]


async def test_that_somebody_was_erased_is_forgotten_with_the_records_from_before(around: Surroundings) -> None:
    owner = MatchOwner(0, around.shared, Publications(around.log, "catalogue"), "2026a")
    await owner.journal.claim()
    owner.state.erased = {b"a": 5, b"b": 6}
    around.log.begin = lambda _topic, _partition: begin(6)  # type: ignore[method-assign, assignment]
    around.now_s = HOUR_S + 1
    await owner.look()
    assert owner.state.erased == {b"b": 6}
    assert [record.key for record in around.log.records if record.value is None] == [b"x:a"]


async def test_the_rows_of_one_who_is_erased_go_where_they_were_counted_and_the_ledger_says_so(around: Surroundings) -> None:
    def of(user: str, number: int, at: int) -> Candidate:
        limit = Limit(Reason.USER_TOTAL, f"camp/{user}", "total", 1, 1)
        return a_candidate(limit, Limit(Reason.CAMPAIGN_LIMIT, "camp", "total", None, 1), number=number, user=user, at=at)

    table = MemoryTable()
    owner = DecideOwner(0, around.shared, table, MemoryShelf({}))
    await owner.take_over()
    erasure = Erasure(("camp/u1", "other/u1"), Position(7, 0))
    log = [
        CandidateBatch(0, 7, Position(5, 0), (of("u1", 1, 5), of("u2", 2, 5), of("u1", 3, 6))),
        CandidateBatch(0, 7, Position(5, 0), (), (erasure,)),
        CandidateBatch(0, 7, Position(5, 0), (), (erasure,)),
        CandidateBatch(0, 7, Position(8, 0), (of("u1", 4, 8), of("u2", 5, 8))),
        CandidateBatch(0, 6, Position(5, 0), (), (erasure,)),
        CandidateBatch(0, 8, Position(8, 0), (), (erasure,)),
    ]
    await owner.take_slice(a_slice([encode_batch(batch) for batch in log]))
    entries = [decode(unseal(record.value)[1]) for record in around.log.records[1:] if record.value is not None]
    assert [entry.user for entry in entries if isinstance(entry, GrantEntry)] == ["u1", "u2", "u1"]  # u1 again, as if for the first time
    assert [entry.rows for entry in entries if isinstance(entry, ErasedEntry)] == [("camp/u1",)]
    applied, progress = await table.progress(0)
    assert applied is not None
    rows = {"camp": {"total": 3}, "camp/u1": {"total": 1}, "camp/u2": {"total": 1}}
    assert (await table.read(0, applied.generation, ["camp", "camp/u1", "camp/u2", "other/u1"]))[1] == rows
    assert fold_all(entries)[0] == rows
    assert progress is not None
    assert progress.candidates_offset == 4  # what was not granted is not written yet
    assert owner.progress.candidates_offset == len(log)
    await DeliverOwner(0, around.shared).take_slice(
        a_slice([r.value for r in around.log.records if r.value is not None], keys=[r.key for r in around.log.records])
    )
    assert len(around.outbox.sent["granted", 0]) == 3


async def begin(offset: int) -> int:
    return offset


async def test_a_grant_behind_the_marker_of_a_newer_owner_is_void_and_not_delivered(around: Surroundings) -> None:
    def grant(name: str, epoch: int) -> bytes:
        body = b'{"grant_id":"%b"}' % name.encode()
        entry = GrantEntry(GrantId(name), CampaignId("c"), "points", UserId("u"), body, (), 0, Position(1, 0), 0, 1)
        return seal(epoch, encode(entry))

    owner = DeliverOwner(0, around.shared)
    ledger = [seal(0, b""), grant("gr_a", 0), seal(0, b""), grant("gr_void", 0), grant("gr_b", 2)]
    await owner.take_slice(a_slice(ledger, keys=[MARKER, b"gr_a", MARKER, b"gr_void", b"gr_b"]))
    assert [value for _, value, _ in around.outbox.sent["granted", 0]] == [b'{"grant_id":"gr_a"}', b'{"grant_id":"gr_b"}']
