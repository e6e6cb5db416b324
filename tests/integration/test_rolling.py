"""Three workers are replaced one after the other under load: nothing is lost or given twice, and users hardly wait."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from recount import Published, Simulated, check_delivered, check_limits, check_same, ledger
from whole import DATA, GRANTED, In, Installation, asked, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

DOCUMENTS = DATA / "twelve-campaigns.yaml"
CHART = Path(__file__).parents[2] / "deploy/helm/values.yaml"
A_SECOND = 200
P99_S = 10.0


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path)
    yield installation
    installation.close()


class Load:
    """Records that never cease, some hundred a second."""

    def __init__(self, installation: Installation, records: list[In]) -> None:
        self._installation, self._records = installation, records
        self._sent, self._at_s = 0, time.monotonic()

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Send until it holds."""

        def sent() -> bool:
            now_s = time.monotonic()
            count = int((now_s - self._at_s) * A_SECOND)
            if count:
                self._sent += self._installation.send(self._records[self._sent : self._sent + count])
                self._at_s = now_s
            return holds()

        until(sent, seconds, what)
        assert self._sent < len(self._records), "the records have run out"

    def rest(self) -> None:
        """Send the next few and no more."""
        self._installation.send(self._records[self._sent : self._sent + A_SECOND])


def ready(port: int) -> bool:
    """Whether the worker behind a port says that it does its share."""
    return asked(port, "/readyz")[0] == 200


def test_a_rolling_restart_under_load_loses_nothing_and_lets_nobody_wait(installation: Installation) -> None:
    grace_s = yaml.safe_load(CHART.read_text(encoding="utf-8"))["terminationGracePeriodSeconds"]
    load = Load(installation, year(seed=11, every=1))
    ports = free_ports(3)
    workers = [installation.worker(metrics_port=str(port)) for port in ports]
    installation.cli("apply", DOCUMENTS)
    load.until(lambda: all(ready(port) for port in ports), 60, "three workers are ready")
    for number, port in enumerate(ports):
        leaving = workers[number]
        leaving.process.send_signal(signal.SIGTERM)
        load.until(lambda leaving=leaving: leaving.code is not None, grace_s, "the worker ends within its grace period")
        assert leaving.code == 0, leaving.said()[-4000:]
        workers[number] = installation.worker(metrics_port=str(port))
        load.until(lambda port=port: ready(port), 60, "the new worker is ready")
    load.rest()
    installation.until_done()
    installation.check_alive(workers)

    published, grants = Published.of(DOCUMENTS), ledger(installation)
    check_limits(grants, published)
    check_same(grants, Simulated.of(installation), published)
    check_delivered(installation, grants)
    waits = sorted(waited_s(installation))
    assert len(waits) == len(grants) > 1000
    assert waits[int(0.99 * len(waits))] < P99_S, [round(waits[len(waits) * share // 100], 2) for share in (50, 90, 95, 99)]


def waited_s(installation: Installation) -> list[float]:
    """Return, for every grant, the seconds from Kafka's receipt of its event until it was first sent to `reward-granted`."""
    received: dict[tuple[object, ...], int] = {}
    for record in installation.read(installation.events):
        event = json.loads(record.value or b"{}")
        at = event["user"], event.get("event"), event["ts"]
        received[at] = min(record.ms, received.get(at, record.ms))
    first: dict[str, float] = {}
    for record in installation.read(GRANTED):
        assert record.value
        said = json.loads(record.value)
        wait_s = (record.ms - received[said["user"], said["cause"]["event"], said["cause"]["ts"]]) / 1000
        first[said["grant_id"]] = min(wait_s, first.get(said["grant_id"], wait_s))
    return list(first.values())
