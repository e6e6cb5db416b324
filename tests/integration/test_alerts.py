"""A real Prometheus that scrapes a real worker fires, and the worker's own word on its health is true while things break."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_client
import yaml
from confluent_kafka import Producer

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from whole import DATA, Installation, asked, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

DOCUMENTS = DATA / "twelve-campaigns.yaml"
RULES = Path(__file__).parents[2] / "deploy/prometheus/livepromo.rules.yaml"
OK = (200, "ok\n")


class Prometheus:
    """Prometheus with livepromo's rules, which asks one worker every second."""

    def __init__(self, home: Path, worker_port: int) -> None:
        (self.port,) = free_ports(1)
        home.mkdir()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "livepromo", "static_configs": [{"targets": [f"127.0.0.1:{worker_port}"]}]}],
        }
        (home / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self._log = (home / "log").open("ab")
        self.process = subprocess.Popen(
            [
                "prometheus", f"--config.file={home}/prometheus.yaml", f"--storage.tsdb.path={home}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def _result(self, path: str) -> Any:
        status, text = asked(self.port, path)
        return json.loads(text)["data"] if status == 200 else {}

    def scrapes(self) -> bool:
        """Whether it gets the worker's metrics."""
        return bool(self._result("/api/v1/query?query=livepromo_build_info").get("result"))

    def firing(self) -> set[str]:
        """Return the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self._result("/api/v1/alerts").get("alerts", ()) if alert["state"] == "firing"}

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    yield server.start()
    server.stop()


@pytest.fixture
def installation(kafka: KafkaCluster, own_redis: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    port = str(free_ports(1)[0])
    installation = Installation(kafka.bootstrap, own_redis.url, name, tmp_path, partitions=2, metrics_port=port)
    yield installation
    installation.close()


@pytest.fixture
def port(installation: Installation) -> int:
    return int(installation.environ["LIVEPROMO_METRICS_PORT"])


@pytest.fixture
def prometheus(port: int, tmp_path: Path) -> Iterator[Prometheus]:
    prometheus = Prometheus(tmp_path / "prometheus", port)
    yield prometheus
    prometheus.close()


def test_prometheus_fires_when_redis_was_emptied_and_not_before(
    installation: Installation, prometheus: Prometheus, own_redis: RedisServer, port: int
) -> None:
    records = year(seed=8, every=40)
    worker = installation.worker()
    installation.cli("apply", DOCUMENTS)
    until(prometheus.scrapes, 60, "prometheus has the worker's metrics")
    installation.send(records[: len(records) // 2])
    installation.until_done()
    assert prometheus.firing() == set()
    with redis_client.from_url(own_redis.url) as client:
        client.flushall()
    installation.send(records[len(records) // 2 :])
    installation.until_done()
    until(lambda: prometheus.firing() == {"LivepromoTableRegressed"}, 30, "the alert fires, and no other")
    listening = {c.laddr.port for c in psutil.Process(worker.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert listening == {port}, "Faust's own pages are off"
    assert worker.stop() == 0
    assert "\x1b" not in worker.said()


def test_a_violation_is_seen_by_prometheus_though_the_worker_ends(installation: Installation, prometheus: Prometheus, port: int) -> None:
    worker = installation.worker()
    until(prometheus.scrapes, 60, "prometheus has the worker's metrics")
    until(lambda: asked(port, "/readyz") == OK, 60, "the worker is ready")
    somebody = Producer({"bootstrap.servers": installation.bootstrap})
    somebody.produce(installation.topic("ledger"), value=None, key=b"gr_0", partition=0)
    assert somebody.flush(30) == 0
    assert worker.wait() == 1
    assert "has no value" in worker.said()
    until(lambda: "LivepromoInvariantViolated" in prometheus.firing(), 30, "the alert fires")


def test_a_worker_without_redis_is_alive_and_not_ready_until_it_is_back(
    installation: Installation, own_redis: RedisServer, port: int
) -> None:
    worker = installation.worker()
    until(lambda: asked(port, "/readyz") == OK, 60, "the worker is ready")
    installation.cli("apply", DOCUMENTS)
    own_redis.stop()
    installation.send(year(seed=9, every=80))
    until(lambda: asked(port, "/readyz")[0] == 503, 30, "the worker is not ready")
    assert "redis is away" in asked(port, "/readyz")[1]
    assert asked(port, "/livez") == OK
    lag = 'livepromo_lag_records{partition="%d",stage="decide"} '
    until(lambda: any(unread(port, lag % number) > 0 for number in (0, 1)), 30, "what is fetched and not decided counts as unread")
    own_redis.start()
    installation.until_done()
    until(lambda: asked(port, "/readyz") == OK, 30, "the worker is ready again")
    assert worker.stop() == 0


def test_a_worker_decides_nothing_while_redis_may_drop_rows(installation: Installation, own_redis: RedisServer, port: int) -> None:
    installation.worker()
    until(lambda: asked(port, "/readyz") == OK, 60, "the worker is ready")
    installation.cli("apply", DOCUMENTS)
    with redis_client.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        until(lambda: "maxmemory-policy to noeviction" in asked(port, "/readyz")[1], 30, "the worker says why it is not ready")
        before = sum(installation.kafka.ends(installation.topic("ledger")))
        installation.send(year(seed=9, every=80))
        until(lambda: read_by_match(installation), 60, "match goes on")
        assert asked(port, "/livez") == OK
        assert sum(installation.kafka.ends(installation.topic("ledger"))) == before
        client.config_set("maxmemory-policy", "noeviction")
    installation.until_done()
    assert sum(installation.kafka.ends(installation.topic("ledger"))) > before


def unread(port: int, series: str) -> float:
    """Return the value of a series of the metrics page, 0 where it is not there."""
    with contextlib.suppress(StopIteration):
        return float(next(line for line in asked(port, "/metrics")[1].splitlines() if line.startswith(series)).split()[-1])
    return 0.0


def read_by_match(installation: Installation) -> bool:
    """Whether match has read every event."""
    committed = installation.kafka.committed(f"{installation.name}.match", installation.events)
    return committed == installation.kafka.ends(installation.events)
