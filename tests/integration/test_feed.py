"""A Faust app on the feed loses nothing and counts nothing twice, whoever joins and leaves."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from livepromo.sandbox.servers import KafkaCluster
from livepromo.streaming.connecting import Connection
from livepromo.streaming.journal import Journal
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.producer import Outbox
from livepromo.streaming.topics import TopicSpec, ensure
from livepromo.telemetry import clock

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

WORKER = Path(__file__).with_name("feed_worker.py")
PARTITIONS = 8
USERS = 211


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < end, f"{holds.__qualname__} does not hold after {seconds} s"
        await asyncio.sleep(0.1)


class _Bench:
    """Topics of a test, workers on them, and the truth to compare with."""

    def __init__(self, name: str, servers: str, home: Path) -> None:
        self.name, self.servers, self.home = name, servers, home
        self.outbox = Outbox(Connection(servers=servers))
        self.log = KafkaLog(Connection(servers=servers))
        self.sent: list[Counter[bytes]] = [Counter() for _ in range(PARTITIONS)]
        self.serial = 0
        self.workers: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        endless = {"retention.ms": "-1"}
        specs = [
            TopicSpec(f"{self.name}-events", PARTITIONS, endless),
            TopicSpec(f"{self.name}-state", PARTITIONS, {"cleanup.policy": "compact"}),
        ]
        await ensure(Connection(servers=self.servers), specs)
        await self.outbox.start()

    async def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(30)
        await self.outbox.close()
        await self.log.close()

    async def send(self, count: int) -> None:
        outputs: dict[tuple[str, int], list[Any]] = {}
        for _ in range(count):
            self.serial += 1
            partition, key = self.serial % PARTITIONS, b"u%d" % (self.serial * 7919 % USERS)
            outputs.setdefault((f"{self.name}-events", partition), []).append((key, b"%d" % self.serial, []))
            self.sent[partition][key] += 1
        await self.outbox.send_many(outputs)

    def worker(self, **settings: float | str) -> int:
        number = len(self.workers)
        words = [sys.executable, WORKER, self.name, self.servers, self._notes(number), json.dumps({"slice_records": 50, **settings})]
        with (self.home / f"worker-{number}.log").open("wb") as out:
            self.workers.append(subprocess.Popen(words, stdout=out, stderr=out))
        return number

    def _notes(self, number: int) -> Path:
        return self.home / f"worker-{number}.notes"

    def notes(self, number: int, what: str) -> list[tuple[int, int | None]]:
        path = self._notes(number)
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [(partition, offset) for said, partition, offset in lines if said == what]

    async def end(self, number: int, how: signal.Signals = signal.SIGTERM) -> int:
        self.workers[number].send_signal(how)
        return await asyncio.to_thread(self.workers[number].wait, 30)

    def said(self, number: int) -> str:
        return (self.home / f"worker-{number}.log").read_text()

    async def committed(self) -> list[int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, group_id=f"{self.name}-count", enable_auto_commit=False)
        await consumer.start()
        try:
            return [await consumer.committed(TopicPartition(f"{self.name}-events", p)) or 0 for p in range(PARTITIONS)]
        finally:
            await consumer.stop()

    async def ends(self) -> list[int]:
        return [await self.log.end(f"{self.name}-events", p) for p in range(PARTITIONS)]

    async def all_committed(self) -> bool:
        return await self.committed() == await self.ends()

    async def counted(self) -> list[Counter[bytes]]:
        """Take every partition over and return what its journal holds."""
        found = []
        for partition in range(PARTITIONS):
            journal = Journal(self.log, f"{self.name}-state", partition, monotonic=time.monotonic)
            await journal.claim()
            counts: Counter[bytes] = Counter()
            async for records in journal.restore():
                counts.update({key: int(payload or b"0") - counts[key] for key, payload, _ in records if key != b"@position"})
            assert journal.void == 0
            await journal.close()
            found.append(counts)
        return found


@pytest.fixture
async def bench(kafka: KafkaCluster, name: str, tmp_path: Path) -> AsyncIterator[_Bench]:
    bench = _Bench(name, kafka.bootstrap, tmp_path)
    await bench.start()
    try:
        yield bench
    finally:
        await bench.close()


@pytest.mark.parametrize("as_columns", [True, False])
async def test_counts_are_exact_and_kept_partitions_go_on_when_workers_join_and_leave(bench: _Bench, as_columns: bool) -> None:
    await bench.send(4_000)
    first = bench.worker(as_columns=as_columns, work_s=0.02)

    async def half_way() -> bool:
        return sum(await bench.committed()) > 1_000

    await until(half_way)
    second = bench.worker(as_columns=as_columns, work_s=0.02)
    await bench.send(4_000)

    async def shared() -> bool:
        return len(bench.notes(second, "taken")) == PARTITIONS // 2

    await until(shared)
    await until(bench.all_committed)
    kept = bench.notes(first, "kept")
    assert len(kept) == PARTITIONS // 2
    assert all(offset is not None for _, offset in kept)
    assert sorted(p for p, _ in kept + bench.notes(first, "lost")) == list(range(PARTITIONS))
    assert bench.notes(first, "claimed anew") == []

    await bench.send(500)
    assert await bench.end(first) == 0, bench.said(first)
    await bench.send(500)
    await until(bench.all_committed)
    assert await bench.end(second) == 0, bench.said(second)
    assert await bench.counted() == bench.sent


async def test_a_killed_workers_partitions_are_counted_on_exactly(bench: _Bench) -> None:
    await bench.send(3_000)
    workers = [bench.worker(work_s=0.1, slice_records=5), bench.worker(work_s=0.1, slice_records=5)]

    async def under_way() -> bool:
        return sum(await bench.committed()) > 500

    await until(under_way)
    assert not await bench.all_committed(), "the kill must strike at work"
    await bench.end(workers[0], signal.SIGKILL)
    await bench.send(1_000)
    await until(bench.all_committed)
    assert await bench.end(workers[1]) == 0, bench.said(workers[1])
    assert await bench.counted() == bench.sent


@pytest.mark.parametrize("meanwhile", [0, 400])
async def test_an_owner_that_wakes_up_after_others_took_over_ends_or_claims_anew_and_counts_nothing_twice(
    bench: _Bench, meanwhile: int
) -> None:
    await bench.send(400)
    frozen = bench.worker()
    await until(bench.all_committed)
    bench.workers[frozen].send_signal(signal.SIGSTOP)
    other = bench.worker()
    await bench.send(meanwhile)

    async def taken_over() -> bool:
        return len(bench.notes(other, "taken")) == PARTITIONS and await bench.all_committed()

    await until(taken_over)
    bench.workers[frozen].send_signal(signal.SIGCONT)

    async def back() -> bool:
        refused = meanwhile > 0 and bench.workers[frozen].poll() is not None and "FencedError" in bench.said(frozen)
        return refused or len(bench.notes(frozen, "claimed anew")) == PARTITIONS // 2

    await until(back)
    assert bench.notes(frozen, "kept") == []
    await bench.send(400)
    await until(bench.all_committed)
    for number in (frozen, other):
        if bench.workers[number].poll() is None:
            assert await bench.end(number) == 0, bench.said(number)
    assert await bench.counted() == bench.sent


async def test_a_restore_that_takes_longer_than_the_session_loses_no_membership(bench: _Bench) -> None:
    await bench.send(400)
    number = bench.worker(take_s=8)
    await until(bench.all_committed)
    assert len(bench.notes(number, "taken")) == PARTITIONS
    assert bench.notes(number, "lost") == []
    assert await bench.end(number) == 0, bench.said(number)
    assert await bench.counted() == bench.sent


async def test_a_kill_of_the_broker_ends_no_worker_and_loses_nothing(tmp_path: Path, name: str) -> None:
    cluster = KafkaCluster(tmp_path / "cluster")
    try:
        cluster.start()
        bench = _Bench(name, cluster.bootstrap, tmp_path)
        await bench.start()
        try:
            number = bench.worker(work_s=0.1, slice_records=5)
            await bench.send(3_000)

            async def under_way() -> bool:
                return sum(await bench.committed()) > 500

            await until(under_way)
            assert not await bench.all_committed(), "the kill must strike at work"
            cluster.brokers[0].kill()
            sending = asyncio.create_task(bench.send(1_000))
            cluster.brokers[0].start()
            await asyncio.to_thread(cluster.wait)
            await asyncio.wait_for(sending, 60)
            await until(bench.all_committed)
            assert await bench.end(number) == 0, bench.said(number)
            assert await bench.counted() == bench.sent
        finally:
            await bench.close()
    finally:
        cluster.stop()


async def test_a_slice_that_raises_is_never_acknowledged_and_ends_the_process(bench: _Bench) -> None:
    await bench.send(800)
    number = bench.worker(fail_at=77)
    assert await asyncio.to_thread(bench.workers[number].wait, 60) != 0
    assert "told to fail at 77" in bench.said(number)
    assert max(await bench.committed()) <= 100
    again = bench.worker()
    await until(bench.all_committed)
    assert await bench.end(again) == 0, bench.said(again)
    assert await bench.counted() == bench.sent


async def test_a_position_that_the_log_does_not_hold_any_more_ends_the_process_and_says_so(bench: _Bench) -> None:
    await bench.send(400)
    number = bench.worker()
    await until(bench.all_committed)
    assert await bench.end(number) == 0, bench.said(number)
    await bench.send(400)
    admin = AIOKafkaAdminClient(bootstrap_servers=bench.servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(f"{bench.name}-events", 3): RecordsToDelete(before_offset=75)})
    finally:
        await admin.close()
    number = bench.worker()
    assert await asyncio.to_thread(bench.workers[number].wait, 60) != 0
    assert "to go on from offset 50, but the log holds 75 to 100" in bench.said(number)


@pytest.mark.parametrize("as_columns", [True, False])
async def test_with_read_committed_aborted_records_are_left_out_and_the_commit_reaches_the_end_behind_the_markers(
    bench: _Bench, as_columns: bool
) -> None:
    topic = f"{bench.name}-events"
    async with AIOKafkaProducer(bootstrap_servers=bench.servers, transactional_id=f"{bench.name}-tx") as producer:
        for number in range(6):
            await producer.begin_transaction()
            for i in range(40):
                await producer.send(topic, b"v", b"u%d" % i, partition=i % PARTITIONS)
            if number % 2:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
                for i in range(40):
                    bench.sent[i % PARTITIONS][b"u%d" % i] += 1
    number = bench.worker(as_columns=as_columns, isolation_level="read_committed")
    await until(bench.all_committed)
    assert await bench.end(number) == 0, bench.said(number)
    assert await bench.counted() == bench.sent


async def test_an_idle_partition_is_known_to_be_complete_until_shortly_before_now_and_a_backlog_is_not(bench: _Bench) -> None:
    await bench.send(80)
    number = bench.worker()

    async def complete_everywhere() -> bool:
        return {partition for partition, until_s in bench.notes(number, "look") if until_s is not None} == set(range(PARTITIONS))

    await until(complete_everywhere)
    now_s = clock.monotonic_s()
    claims = [until_s for _, until_s in bench.notes(number, "look") if until_s is not None]
    assert now_s - 60 < max(claims) <= now_s
    assert await bench.end(number) == 0, bench.said(number)
