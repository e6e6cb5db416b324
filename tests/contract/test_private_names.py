"""What aiokafka does not promise, and we rely on: fails when another version moves it."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from livepromo.streaming import private_names
from livepromo.streaming.offsets import OffsetTracker, Partition, Slice

TP = TopicPartition("events", 0)
HERE = Partition("events", 0)


def a_batch(base: int, count: int, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=10**7
    )
    for i in range(count):
        builder.append(i, 1_700_000_000_000 + i, b"user%06d" % i, b"x" * 50, [("n", b"%d" % i)])
    raw = bytearray(builder.build())
    raw[0:8] = base.to_bytes(8, "big")  # not under the checksum
    return bytes(raw)


def without_its_tail(batch: bytes, last: int) -> bytes:
    """Return the batch as compaction leaves it whose records behind are gone: it covers the offsets up to base + last all the same."""
    raw = bytearray(batch)
    raw[23:27] = last.to_bytes(4, "big")
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


BATCHES = [  # last offset, bytes; a hole from 200 to 259, and from 305 to 309
    (149, a_batch(100, 50)),
    (199, a_batch(150, 50, 1)),
    (299, a_batch(260, 40, 3)),
    (309, without_its_tail(a_batch(300, 5), 9)),
]
END = 310


def a_fetched(offset: int, log: bytes | None = None) -> tuple[Any, Assignment]:
    if log is None:
        log = b"".join(raw for last, raw in BATCHES if last >= offset)  # a broker begins with the batch that holds the offset
    assignment = Assignment({TP})
    assignment.state_value(TP).reset_to(offset)
    assignment.state_value(TP).highwater = END
    records = PartitionRecords(TP, MemoryRecords(log), [], offset, None, None, True, 0)
    return FetchResult(TP, assignment=assignment, partition_records=records, backoff=0), assignment


def a_consumer(result: Any) -> Any:
    fetcher = SimpleNamespace(_records={TP: result}, _notify=lambda _: None, _wait_consume_future=None)
    return SimpleNamespace(_fetcher=fetcher)


@pytest.mark.parametrize("offset", [100, 120, 149, 150, 175, 200, 259, 260, 280, 304, 307])
@pytest.mark.parametrize("limit", [1, 60, 10**6])
async def test_columns_are_what_aiokafka_would_have_returned(offset: int, limit: int) -> None:
    rows = list(a_fetched(offset)[0].getall())
    result, assignment = a_fetched(offset)
    consumer = a_consumer(result)
    tracker = OffsetTracker()
    tracker.begin(HERE, offset)
    slices: list[Slice] = []
    while TP in consumer._fetcher._records:
        for piece in private_names.drain(consumer, [HERE], limit):
            for part in piece.cut(7):
                tracker.opened(part)  # asserts that each begins where the one before ended
                slices.append(part)
    assert [o for s in slices for o in s.offsets] == [row.offset for row in rows]
    assert [v for s in slices for v in s.values] == [row.value for row in rows]
    assert [k for s in slices for k in s.keys] == [row.key for row in rows]
    assert [t for s in slices for t in s.timestamps_ms] == [row.timestamp for row in rows]
    assert [tuple(h) for s in slices for h in s.headers] == [row.headers for row in rows]
    assert slices[-1].next_offset == assignment.state_value(TP).position == END
    assert slices[0].first_offset == offset
    assert slices[-1].at_end


async def test_nothing_of_a_lost_assignment_or_of_before_a_seek_is_returned() -> None:
    for lose in ("_unassign", "seek"):
        result, assignment = a_fetched(100)
        consumer = a_consumer(result)
        if lose == "seek":
            assignment.state_value(TP).seek(150)
        else:
            assignment._unassign()
        assert private_names.drain(consumer, [HERE], 10) == []
        assert consumer._fetcher._records == {}


async def test_an_error_of_a_partition_is_raised_once() -> None:
    consumer = a_consumer(FetchError(error=TopicAuthorizationFailedError("events"), backoff=0))
    with pytest.raises(TopicAuthorizationFailedError):
        private_names.drain(consumer, [HERE], 10)
    assert private_names.drain(consumer, [HERE], 10) == []


async def test_a_broken_batch_is_an_error() -> None:
    raw = bytearray(a_batch(100, 5))
    raw[-1] ^= 1
    result, _ = a_fetched(100, bytes(raw))
    with pytest.raises(CorruptRecordException, match="at or after offset 100"):
        private_names.drain(a_consumer(result), [HERE], 10)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (Fetcher, ["_notify", "_create_fetch_waiter", "error_future"]),
        (FetchResult, ["check_assignment", "has_more", "_update_position"]),
        (TransactionManager, ["set_pid_and_epoch", "producer_id", "producer_epoch", "has_pid"]),
        (GroupCoordinator, ["check_errors"]),
        (NoGroupCoordinator, ["check_errors"]),
        (SubscriptionState, ["abort_waiters"]),
        (AIOKafkaConsumer, ["highwater", "position", "last_poll_timestamp", "commit", "committed", "getmany", "seek"]),
    ],
)
def test_the_names_exist(owner: type, names: list[str]) -> None:
    assert [name for name in names if not hasattr(owner, name)] == []


def test_the_attributes_are_set_where_we_look_for_them() -> None:
    fetcher = inspect.getsource(Fetcher)
    assert all(f"self.{name} = " in fetcher for name in ("_records", "_wait_consume_future"))
    consumer = inspect.getsource(AIOKafkaConsumer)
    assert all(f"self.{name} = " in consumer for name in ("_fetcher", "_coordinator"))
    assert "self._txn_manager" in inspect.getsource(AIOKafkaProducer.__init__)


def test_an_answer_to_a_fetch_notes_the_end_of_the_partition_before_it_looks_for_records() -> None:
    """The end of an idle partition is known only because of this order."""
    source = inspect.getsource(Fetcher._proc_fetch_request)
    assert source.index("tp_state.highwater = highwater") < source.index("if records.has_next()")


async def test_a_producer_that_was_given_an_id_asks_for_none() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="x", enable_idempotence=True)
    try:
        private_names.give_id(producer, 7, 3)
        await producer._sender._maybe_wait_for_pid()  # would connect
        assert private_names.claimed_id(producer) == (7, 3)
    finally:
        producer._closed = True


async def test_errors_of_the_group_and_of_the_fetching_are_raised_while_waiting() -> None:
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    failed.set_exception(CorruptRecordException("gone"))
    fetcher = SimpleNamespace(error_future=failed, _records={})
    consumer = SimpleNamespace(_coordinator=SimpleNamespace(check_errors=lambda: None), _fetcher=fetcher)
    with pytest.raises(CorruptRecordException):
        await private_names.wait_for_records(consumer, [HERE], 5)

    def refuse() -> None:
        raise TopicAuthorizationFailedError("events")

    consumer._coordinator.check_errors = refuse
    with pytest.raises(TopicAuthorizationFailedError):
        await private_names.wait_for_records(consumer, [HERE], 5)


def test_columns_are_used_only_with_the_version_that_stands_under_these_tests() -> None:
    assert aiokafka.__version__ == private_names.TRIED
    assert private_names.columns_are_supported()
