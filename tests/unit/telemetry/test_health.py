"""Whoever watches a process sees its metrics, whether it gets on and whether it is ready, on a port that is free."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from math import inf

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from livepromo.settings import METRICS_PORTS, SettingsError
from livepromo.telemetry import health
from livepromo.telemetry.health import LAST_WORDS_S, NO_PROGRESS_S, Health, Outside, bind, last_words, measure_loop


@pytest.fixture
def some_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        yield probe.getsockname()[1]


class Process:
    """What the server asks."""

    def __init__(self) -> None:
        self.stuck: list[str] = []
        self.missing: list[str] = []


@contextlib.asynccontextmanager
async def serving(process: Process, registry: CollectorRegistry) -> AsyncIterator[aiohttp.ClientSession]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = Health(registry, lambda: process.stuck, lambda: process.missing)
    await server.start(listening)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            yield client
    finally:
        await server.stop()


async def _ask(client: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with client.get(path) as answer:
        return answer.status, await answer.text()


async def test_livez_is_about_progress_and_gives_reasons() -> None:
    process = Process()
    async with serving(process, CollectorRegistry()) as client:
        assert await _ask(client, "/livez") == (200, "ok\n")
        process.stuck = ["match 3: unread records and nothing taken for 120 s", "decide 0: the same"]
        assert await _ask(client, "/livez") == (503, "match 3: unread records and nothing taken for 120 s\ndecide 0: the same\n")
        assert (await _ask(client, "/readyz"))[0] == 200


async def test_readyz_says_what_is_missing() -> None:
    process = Process()
    process.missing = ["partitions are being taken over"]
    async with serving(process, CollectorRegistry()) as client:
        assert await _ask(client, "/readyz") == (503, "partitions are being taken over\n")
        process.missing = []
        assert await _ask(client, "/readyz") == (200, "ok\n")


async def test_metrics_are_those_of_the_registry_as_text() -> None:
    registry = CollectorRegistry()
    Counter("livepromo_things_total", "things", registry=registry).inc(2)
    async with serving(Process(), registry) as client, client.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "livepromo_things_total 2.0" in await answer.text()


async def test_prometheus_gets_the_format_that_it_asks_for() -> None:
    asked = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with serving(Process(), CollectorRegistry()) as client, client.get("/metrics", headers=asked) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await answer.text()).endswith("# EOF\n")


async def test_other_paths_are_not_there() -> None:
    async with serving(Process(), CollectorRegistry()) as client:
        assert (await _ask(client, "/"))[0] == 404


def test_without_a_setting_the_first_free_port_of_the_range_is_taken(monkeypatch: pytest.MonkeyPatch, some_port: int) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    free_port = free.getsockname()[1]
    free.close()
    monkeypatch.setattr(health, "METRICS_PORTS", (some_port, free_port))
    with bind(None, "127.0.0.1") as listening:
        assert listening.getsockname()[1] == free_port


def test_the_range_is_that_of_the_specification() -> None:
    assert (METRICS_PORTS[0], METRICS_PORTS[-1]) == (9464, 9479)


def test_a_range_that_is_taken_altogether_is_an_error_that_says_which_setting_helps(
    monkeypatch: pytest.MonkeyPatch, some_port: int
) -> None:
    monkeypatch.setattr(health, "METRICS_PORTS", (some_port,))
    with pytest.raises(SettingsError, match="LIVEPROMO_METRICS_PORT"):
        bind(None, "127.0.0.1")


def test_a_port_that_is_set_and_taken_is_an_error_that_names_it(some_port: int) -> None:
    with pytest.raises(SettingsError, match=f"LIVEPROMO_METRICS_PORT is {some_port}"):
        bind(some_port, "127.0.0.1")


async def test_loop_lag_is_measured_until_cancelled() -> None:
    registry = CollectorRegistry()
    lag = Histogram("lag", "lag", registry=registry)
    observed = asyncio.Event()
    observe = lag.observe
    lag.observe = lambda value: (observe(value), observed.set())  # type: ignore[method-assign]
    task = asyncio.create_task(measure_loop(lag, every_s=0.001))
    async with asyncio.timeout(10):
        await observed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (registry.get_sample_value("lag_sum") or 0.0) >= 0.0
    assert registry.get_sample_value("lag_count")


def test_progress_is_expected_of_work_that_has_waited_for_longer_than_a_call_outside_takes() -> None:
    now_s = 1000.0
    outside = Outside(lambda: now_s)
    assert outside.expects_progress_since() == now_s - NO_PROGRESS_S
    assert NO_PROGRESS_S > 40 + 5, "a call to Kafka waits for an answer, and then a pause is made"


def test_while_kafka_or_redis_are_away_and_for_a_while_after_no_progress_is_expected() -> None:
    now_s = 1000.0
    outside = Outside(lambda: now_s)
    outside.failed()
    for since_s in (0.0, 50.0, NO_PROGRESS_S):
        now_s = 1000.0 + since_s
        assert outside.expects_progress_since() == -inf
    now_s = 1000.1 + NO_PROGRESS_S
    assert outside.expects_progress_since() > 1000.0


async def test_a_process_that_ends_shows_what_it_counted_last_until_somebody_has_seen_it() -> None:
    registry = CollectorRegistry()
    violations = Counter("livepromo_violations_total", "violations", registry=registry)
    listening = socket.create_server(("127.0.0.1", 0))
    server = Health(registry, list, list)
    await server.start(listening)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
        assert (await _ask(client, "/metrics"))[0] == 200
        violations.inc()
        ending = asyncio.create_task(asyncio.to_thread(last_words, listening.dup(), registry))
        await server.stop()
        assert await _ask(client, "/livez") == (503, "ending\n")
        assert not ending.done(), "nobody has seen the metrics yet"
        async with client.get("/metrics") as answer:
            assert "livepromo_violations_total 1.0" in await answer.text()
        await asyncio.wait_for(ending, 10)


def test_the_end_is_not_held_up_by_a_client_that_never_asks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        last_words(listening, CollectorRegistry(), most_s=0.01)
    assert LAST_WORDS_S <= 30
