"""Who owned a journal before can append no more: after a takeover, a compaction, a broker's kill, and however old the claims."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from livepromo.sandbox.servers import KafkaCluster
from livepromo.streaming import private_names
from livepromo.streaming.connecting import Connection
from livepromo.streaming.errors import FencedError, UnknownOutcomeError
from livepromo.streaming.journal import Journal, seal
from livepromo.streaming.kafka_log import KafkaLog, KafkaWriter
from livepromo.streaming.topics import TopicSpec, ensure

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

EXPIRY_S = 8
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.001",
    "max.compaction.lag.ms": "200",
    "delete.retention.ms": "0",
}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Yield a broker that forgets claims after 8 s and compacts at once."""
    settings = {
        "transactional.id.expiration.ms": str(EXPIRY_S * 1000),
        "transaction.remove.expired.transaction.cleanup.interval.ms": "500",
        "log.cleaner.backoff.ms": "100",
    }
    cluster = KafkaCluster(tmp_path_factory.mktemp("quick") / "cluster", settings=settings)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


class _Journals:
    """Journals of one topic, each as a process of its own would have it."""

    def __init__(self, servers: str, topic: str) -> None:
        self.servers, self.topic = servers, topic
        self.log = KafkaLog(Connection(servers=servers))
        self.all: list[Journal] = []

    async def make(self, **config: str) -> None:
        await ensure(Connection(servers=self.servers), [TopicSpec(self.topic, 2, config)])

    def new(self, partition: int = 0, name: str | None = None) -> Journal:
        self.all.append(Journal(self.log, self.topic, partition, monotonic=time.monotonic, name=name))
        return self.all[-1]

    async def owner(self, partition: int = 0, name: str | None = None) -> Journal:
        journal = self.new(partition, name)
        await journal.claim()
        return journal

    async def close(self) -> None:
        for journal in self.all:
            await journal.close()
        await self.log.close()


@pytest.fixture
async def journals(kafka: KafkaCluster, name: str) -> AsyncIterator[_Journals]:
    journals = _Journals(kafka.bootstrap, name)
    await journals.make()
    yield journals
    await journals.close()


@pytest.fixture
async def quick_journals(quick: KafkaCluster, name: str) -> AsyncIterator[_Journals]:
    journals = _Journals(quick.bootstrap, name)
    yield journals
    await journals.close()


async def restored(journal: Journal) -> dict[bytes, bytes | None]:
    return {key: payload async for records in journal.restore() for key, payload, _ in records}


async def test_after_a_takeover_the_old_owner_is_refused_and_nothing_of_it_is_in_the_log(journals: _Journals) -> None:
    old = await journals.owner()
    await old.append([(b"u1", b"old"), (b"@position", b"1")])
    new = await journals.owner()
    assert await restored(new) == {b"u1": b"old", b"@position": b"1"}
    end = await journals.log.end(journals.topic, 0)
    with pytest.raises(FencedError):
        await old.append([(b"u1", b"stale"), (b"@position", b"2")])
    assert await journals.log.end(journals.topic, 0) == end
    await new.append([(b"u1", b"new")])
    assert new.void == 0
    assert not await old.still_ours()
    assert await new.still_ours()


async def test_the_owner_of_one_partition_is_not_the_owner_of_another(journals: _Journals) -> None:
    first, second = await journals.owner(0), await journals.owner(1)
    await journals.owner(1)
    await first.append([(b"u1", b"still mine")])
    with pytest.raises(FencedError):
        await second.append([(b"u1", b"stale")])


async def test_owners_by_name_share_a_partition_and_each_fences_only_who_had_its_name(journals: _Journals) -> None:
    first, other = await journals.owner(name="coupon/a"), await journals.owner(name="coupon/b")
    second = await journals.owner(name="coupon/a")
    for journal in (other, second):
        await journal.append([(b"x", b"mine")])
    with pytest.raises(FencedError):
        await first.append([(b"coupon/a", b"stale")])
    markers = [
        (r.key, r.offset) async for some in journals.log.read(journals.topic, 0, 0, other.end) for r in some if r.value == seal(0, b"")
    ]
    assert markers == [(b"coupon/a", first.epoch), (b"coupon/b", other.epoch), (b"coupon/a", second.epoch)]


async def test_an_append_between_a_claim_and_its_marker_counts(journals: _Journals) -> None:
    old, new = await journals.owner(), journals.new()
    claim = journals.log.claim

    async def claim_late(topic: str, partition: int, name: str | None = None) -> KafkaWriter:
        writer = await claim(topic, partition, name)
        await old.append([(b"u1", b"between")])
        assert isinstance(writer, KafkaWriter)
        return writer

    journals.log.claim = claim_late  # type: ignore[method-assign]
    await new.claim()
    assert await restored(new) == {b"u1": b"between"}
    with pytest.raises(FencedError):
        await old.append([(b"u1", b"stale")])


async def test_two_that_claim_at_once_have_one_owner_and_what_was_acknowledged_before_is_there(journals: _Journals) -> None:
    for round_ in range(5):
        old = await journals.owner()
        await old.append([(b"round", b"%d" % round_)])
        rivals = [journals.new() for _ in range(3)]
        claimed = await asyncio.gather(*(rival.claim() for rival in rivals), return_exceptions=True)
        ended = await asyncio.gather(
            *(rival.append([(b"owner", b"%d" % i)]) for i, rival in enumerate(rivals) if not isinstance(claimed[i], BaseException)),
            return_exceptions=True,
        )
        assert all(isinstance(e, FencedError) for e in [*claimed, *ended] if isinstance(e, BaseException))
        newest = await journals.owner()
        assert (await restored(newest))[b"round"] == b"%d" % round_
        assert newest.void == 0
        for rival in [old, *rivals]:
            await rival.close()


async def test_a_renewal_keeps_the_owner_and_fences_nobody_but_itself(journals: _Journals) -> None:
    owner = await journals.owner()
    await owner.append([(b"u1", b"a")])
    for _ in range(3):
        await owner.renew()
        await owner.append([(b"u1", b"b")])
    other = await journals.owner()
    assert await restored(other) == {b"u1": b"b"}
    with pytest.raises(FencedError):
        await owner.renew()


async def test_after_the_log_was_compacted_the_old_owner_is_refused_and_the_newest_values_are_there(quick_journals: _Journals) -> None:
    journals = quick_journals
    await journals.make(**COMPACTED)
    old = await journals.owner()
    for i in range(50):
        await old.append([(b"u1", b"%d" % i), (b"gone", None if i == 49 else b"x")])
    new = await journals.owner()
    await new.append([(b"u1", b"new")])
    deadline = time.monotonic() + 60
    while True:  # the newest segment is not compacted, so keep writing
        await new.append([(b"pad", b"")])
        offsets = [r.offset async for rs in journals.log.read(journals.topic, 0, 0, await journals.log.end(journals.topic, 0)) for r in rs]
        if len([o for o in offsets if o < new.epoch]) <= 2:
            break
        assert time.monotonic() < deadline, "the log was never compacted"
        await asyncio.sleep(0.2)
    with pytest.raises(FencedError):
        await old.append([(b"u1", b"stale")])
    last = await journals.owner()
    found = await restored(last)
    assert {key: payload for key, payload in found.items() if payload is not None} == {b"u1": b"new", b"pad": b""}


async def test_after_a_kill_of_the_broker_the_owner_goes_on_and_the_old_one_is_refused(
    quick: KafkaCluster, quick_journals: _Journals
) -> None:
    journals = quick_journals
    await journals.make()
    old = await journals.owner()
    await old.append([(b"u1", b"old")])
    new = await journals.owner()
    await new.append([(b"u1", b"new")])
    quick.brokers[0].kill()
    late = asyncio.create_task(new.append([(b"u2", b"sent while the broker was away")]))
    claiming = asyncio.create_task(journals.owner(1))
    quick.brokers[0].start()
    await asyncio.to_thread(quick.wait)
    await asyncio.wait_for(late, 60)
    with pytest.raises(FencedError):
        await asyncio.wait_for(old.append([(b"u1", b"stale")]), 60)
    last = await journals.owner()
    assert await restored(last) == {b"u1": b"new", b"u2": b"sent while the broker was away"}
    await asyncio.wait_for(claiming, 60)


async def test_a_renewed_claim_outlives_the_brokers_memory_of_claims_and_one_that_was_not_renewed_does_not(
    quick_journals: _Journals,
) -> None:
    journals = quick_journals
    await journals.make()
    renewed, forgotten = await journals.owner(0), await journals.owner(1)

    def producer_id(journal: Journal) -> int:
        assert isinstance(journal._writer, KafkaWriter)
        return private_names.claimed_id(journal._writer._producer)[0]

    ids = [producer_id(renewed), producer_id(forgotten)]
    end = time.monotonic() + 2 * EXPIRY_S
    while time.monotonic() < end:  # the broker's own clock has to pass
        await renewed.renew()
        await renewed.append([(b"u1", b"mine")])
        await forgotten.append([(b"u1", b"mine")])
        await asyncio.sleep(1)
    new, new_of_forgotten = await journals.owner(0), await journals.owner(1)
    assert producer_id(new) == ids[0]
    with pytest.raises(FencedError):
        await renewed.append([(b"u1", b"stale")])
    assert producer_id(new_of_forgotten) != ids[1], "the broker remembers: this test would prove nothing about renewal"
    await forgotten.append([(b"u1", b"stale, and accepted: why an owner renews, and refuses to append with an old claim")])
    last = await journals.owner(1)
    assert (await restored(last))[b"u1"] == b"mine"
    assert last.void == 1


async def test_a_batch_that_the_topic_refuses_leaves_nothing_and_the_journal_unusable(kafka: KafkaCluster, name: str) -> None:
    journals = _Journals(kafka.bootstrap, name)
    try:
        await journals.make(**{"max.message.bytes": "20000"})
        owner = await journals.owner()
        end = owner.end
        incompressible = [(b"k%d" % i, bytes((i * j * 2654435761 >> 7) & 255 for j in range(2000))) for i in range(1, 40)]
        with pytest.raises(UnknownOutcomeError, match="MessageSizeTooLarge"):
            await owner.append(incompressible)
        assert await journals.log.end(name, 0) == end
        with pytest.raises(UnknownOutcomeError, match="an earlier append"):
            await owner.append([(b"k", b"small")])
        last = await journals.owner()
        assert await restored(last) == {}
    finally:
        await journals.close()


async def test_a_batch_stands_whole_and_without_a_gap(journals: _Journals) -> None:
    owner = await journals.owner()
    records = [(b"k%04d" % i, bytes(100)) for i in range(2_000)]
    appended = await owner.append(records)
    assert appended.offset == owner.epoch + 1
    assert owner.end == appended.offset + len(records)
    found = [r async for rs in journals.log.read(journals.topic, 0, appended.offset, owner.end) for r in rs]
    assert [r.offset for r in found] == list(range(appended.offset, owner.end))
    assert [(r.key, r.value) for r in found] == [(key, seal(owner.epoch, value)) for key, value in records]
