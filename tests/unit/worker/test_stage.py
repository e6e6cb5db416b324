"""What a stage says of its partitions: which stand still, and how old the oldest unread record of each is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from livepromo.streaming.connecting import Connection
from livepromo.streaming.feed import Lag
from livepromo.streaming.lanes import Lanes
from livepromo.streaming.offsets import Partition
from livepromo.telemetry.metrics import Metrics
from livepromo.worker import stage as stage_module
from livepromo.worker.stage import Stage

NOW_MS = 1_000_000


class Idle:
    """An owner that has nothing to do."""

    async def close(self) -> None:
        """Nothing is held."""


class Bench:
    """A stage without Kafka: its feed says what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms, self.lags = NOW_MS, dict[int, Lag | None]()
        monkeypatch.setattr(stage_module.clock, "wall_ms", lambda: self.now_ms)
        self.metrics = Metrics()
        app: Any = SimpleNamespace(channel=lambda **_: None, service=lambda _: None, agent=lambda *_, **__: lambda function: function)
        nothing: Any = None
        self.stage = Stage(
            "decide", app, "candidates", group="g", kafka=Connection(servers="s"), make_owner=nothing, prepare=nothing, release=nothing,
            end=nothing, metrics=self.metrics, feed_settings={},
        )  # fmt: skip
        self.stage.feed = SimpleNamespace(  # type: ignore[assignment]
            topics=["candidates"], should_stop=False, lag=lambda partition: self.lags[partition.number]
        )

    def seconds(self, number: int, lag: Lag | None) -> float | None:
        """Report, and return the age that the gauge shows."""
        self.lags[number] = lag
        self.stage.owners[number] = Idle()  # type: ignore[assignment]
        self.stage.report_lag()
        return self.metrics.registry.get_sample_value("livepromo_lag_seconds", {"stage": "decide", "partition": str(number)})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_a_record_that_is_fetched_and_not_decided_is_unread_and_as_old_as_it_is(bench: Bench) -> None:
    assert bench.seconds(3, Lag(1, NOW_MS - 90_000)) == 90.0
    assert bench.metrics.registry.get_sample_value("livepromo_lag_records", {"stage": "decide", "partition": "3"}) == 1


def test_a_record_that_is_not_fetched_is_as_old_as_the_report_that_first_found_it(bench: Bench) -> None:
    assert bench.seconds(3, Lag(0, None)) == 0
    bench.now_ms += 3_600_000
    assert bench.seconds(3, Lag(5, None)) == 0, "it is not as old as the one before it"
    bench.now_ms += 30_000
    assert bench.seconds(3, Lag(5, None)) == 30.0
    assert bench.seconds(3, Lag(0, None)) == 0
    bench.now_ms += 1_000
    assert bench.seconds(3, Lag(1, None)) == 0


def test_nothing_is_said_of_a_partition_of_which_the_broker_has_not_told_the_end(bench: Bench) -> None:
    assert bench.seconds(3, None) is None


async def test_the_gauges_of_a_partition_that_was_lost_are_gone(bench: Bench) -> None:
    assert bench.seconds(3, Lag(9, NOW_MS)) is not None
    assert bench.seconds(4, Lag(9, NOW_MS)) is not None
    await bench.stage.lost(Partition("candidates", 3))
    del bench.lags[3]
    assert 'partition="3"' not in str([family.samples for family in bench.metrics.registry.collect()])
    assert bench.seconds(4, Lag(9, NOW_MS)) == 0


def test_a_lane_stands_still_that_has_had_work_for_too_long(bench: Bench) -> None:
    lanes: Lanes = bench.stage.lanes
    for number, since_s in enumerate((None, 10.0, 20.0)):
        lanes.open(SimpleNamespace(partition=Partition("candidates", number), unfinished_since_s=since_s))  # type: ignore[arg-type]
    assert bench.stage.standing_still(15.0) == ["decide of candidates[1] stands still with work to do"]
    assert bench.stage.standing_still(float("-inf")) == []
