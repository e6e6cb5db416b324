"""A worker is dead when it gets nowhere though Kafka and Redis answer, and alive while it waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from livepromo.ledger.table import Away
from livepromo.ledger.table import UnavailableError as TableAway
from livepromo.settings import Settings
from livepromo.streaming.errors import UnavailableError as KafkaAway
from livepromo.streaming.offsets import Partition
from livepromo.telemetry.health import NO_PROGRESS_S, Outside
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.app import Worker
from livepromo.worker.shared import Shared

STUCK = "decide of candidates[3] stands still with work to do"
LONG_S = NO_PROGRESS_S + 1


class Bench:
    """A worker that does not run: its clock is moved by hand, and its lanes stand as the test says."""

    def __init__(self) -> None:
        self.now_s = 10_000.0
        self.worker = Worker(Settings(), ["decide"])
        self.outside = self.worker._outside = Outside(lambda: self.now_s)
        self.worker._looked_s = self.now_s

    def lane(self, unfinished_for_s: float | None) -> None:
        since_s = None if unfinished_for_s is None else self.now_s - unfinished_for_s
        lane: Any = SimpleNamespace(partition=Partition("candidates", 3), unfinished_since_s=since_s)
        self.worker.stages[0].lanes.open(lane)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.worker.listening.close()


@pytest.mark.parametrize("unfinished_for_s", [None, 0.0, NO_PROGRESS_S - 1], ids=["idle", "busy", "slow"])
def test_a_worker_that_gets_on_is_alive(bench: Bench, unfinished_for_s: float | None) -> None:
    bench.lane(unfinished_for_s)
    assert bench.worker._not_live() == []


def test_a_lane_that_stands_still_with_work_to_do_is_named(bench: Bench) -> None:
    bench.lane(LONG_S)
    assert bench.worker._not_live() == [STUCK]


def test_while_kafka_or_redis_are_away_a_lane_that_waits_is_no_reason_to_restart(bench: Bench) -> None:
    bench.lane(LONG_S)
    bench.outside.failed()
    assert bench.worker._not_live() == []
    bench.now_s += LONG_S
    bench.worker._looked_s = bench.now_s
    assert bench.worker._not_live() == [STUCK], "they answer again, and it has not got on"


def test_timers_that_stand_still_are_found(bench: Bench) -> None:
    bench.worker._looked_s -= LONG_S
    assert bench.worker._not_live() == ["nothing looks at what is due any more"]


def test_a_worker_that_has_not_made_what_its_stages_share_is_not_ready(bench: Bench) -> None:
    assert bench.worker._not_ready() == ["starting"]


@pytest.mark.parametrize("error", [TableAway(Away.TIMEOUT, "redis"), KafkaAway("kafka")], ids=["redis", "kafka"])
async def test_every_call_that_fails_is_noted(error: Exception) -> None:
    now_s, failures = 1000.0, [error, error]
    outside = Outside(lambda: now_s)
    nothing: Any = None

    async def pause(_: float) -> None:
        assert outside.expects_progress_since() == float("-inf")

    async def ask() -> str:
        if failures:
            raise failures.pop()
        return "answer"

    shared = Shared(
        topics=nothing, log=nothing, outbox=nothing, horizons=nothing, denials=nothing, metrics=Metrics(), failpoints=nothing,
        monotonic=lambda: now_s, pause=pause, outside=outside,
    )  # fmt: skip
    assert await shared.patiently("rows", ask) == "answer"
    assert failures == []
