"""Whoever did in time what takes the reward away is never rewarded: whatever stands still meanwhile, and whatever clocks say."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from livepromo.telemetry import clock
from recount import Grant, Published, Simulated, check_candidates, check_delivered, check_same, ledger
from scrape import Scrape
from whole import GRANTED, In, Installation, asked, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

PARTITIONS = 2
WITHIN_MS, GRACE_MS = 4_000, 2_000
FAULT_S = (WITHIN_MS + GRACE_MS) / 1000 + 2
DOCUMENTS = """
kind: wallet
id: shop
---
kind: campaign
id: cart
qualify:
  live: {event: Added, unless: {event: Paid, within: 4s}, same: [Product ID]}
reward: {points: {wallet: shop, earn: {flat: 10}}}
when: {start: "2020-01-01T00:00Z"}
---
kind: campaign
id: trip
qualify:
  live: {event: Booked, unless: {event: [Travelled, Cancelled], within: 2h}}
reward: {points: {wallet: shop, earn: {flat: 5}}}
when: {start: "2020-01-01T00:00Z"}
"""
CLOCK = """
import os, sys, time
shift_s = int(os.environ["CLOCK_SHIFT_S"])
now_s, now_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: now_s() + shift_s, lambda: now_ns() + shift_s * 1_000_000_000
print("a clock of its own", round(time.time() - now_s()), file=sys.stderr, flush=True)
"""


class Carts:
    """An installation whose campaign rewards carts that are not paid; who is to be rewarded is written down here."""

    def __init__(self, installation: Installation, home: Path) -> None:
        self.installation, self.home = installation, home
        self.owed: set[tuple[str, str]] = set()
        self._named = 0
        self._documents = home / "documents.yaml"
        self._documents.write_text(DOCUMENTS)
        self.published = Published.of(self._documents)

    def publish(self) -> None:
        """Publish, and return when workers have taken it."""
        done = self.installation.cli("apply", self._documents)
        assert b"not taken" not in done.stderr, done.stderr

    def users(self, count: int = 30) -> list[str]:
        """Return so many new users."""
        self._named += count
        return [f"u{number}" for number in range(self._named - count, self._named)]

    def send(self, users: Iterable[str], event: str, ts_ms: int, product: str = "p1") -> None:
        said = [
            In(user, json.dumps({"user": user, "event": event, "ts": ts_ms, "properties": {"Product ID": product}}).encode())
            for user in users
        ]
        self.installation.send(said)

    def grants(self) -> set[tuple[str, str]]:
        """Return who was rewarded by which campaign, as delivered."""
        said = [json.loads(record.value or b"") for record in self.installation.read(GRANTED)]
        return {(one["campaign"], one["user"]) for one in said}

    def check(self) -> list[Grant]:
        """Wait until everyone is rewarded who is to be; object to anyone else, and to another result of a simulation."""

        def rewarded() -> bool:
            found = self.grants()
            assert found <= self.owed, sorted(found - self.owed)[:5]
            return found == self.owed

        until(rewarded, 60, lambda: f"rewarded: {sorted(self.owed - self.grants())[:5]}")
        self.installation.until_done()
        grants, simulated = ledger(self.installation), Simulated.of(self.installation)
        assert {(grant.campaign, grant.said["user"]) for grant in grants} == self.owed
        assert len(grants) == len(self.owed)
        check_delivered(self.installation, grants)
        check_same(grants, simulated, self.published)
        check_candidates(self.installation, simulated)
        return grants


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    settings = {"clock": "ticks", "grace": f"{GRACE_MS // 1000}s", "metrics_port": str(free_ports(1)[0])}
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=PARTITIONS, **settings)
    yield installation
    installation.close()


@pytest.fixture
def carts(installation: Installation, tmp_path: Path) -> Carts:
    return Carts(installation, tmp_path)


def passes(seconds: float) -> None:
    """Wait until so much time is over: what must not happen meanwhile cannot be waited for."""
    began = time.monotonic()
    until(lambda: time.monotonic() > began + seconds, seconds + 5, "time passes")


@pytest.mark.parametrize("fault", ["a worker down", "a worker frozen", "the broker cut off"])
def test_nobody_is_rewarded_whose_act_lies_unread(carts: Carts, kafka: KafkaCluster, fault: str) -> None:
    installation = carts.installation
    worker = installation.worker(session="60s" if fault == "a worker frozen" else "3s")
    carts.publish()
    users = carts.users()
    begun_ms = clock.wall_ms()
    carts.send(users, "Added", begun_ms)
    installation.until_done()
    (worker.kill if fault == "a worker down" else worker.freeze)()
    assert clock.wall_ms() < begun_ms + WITHIN_MS + GRACE_MS, "too late: the windows have been judged"
    carts.send(users[::3], "Paid", begun_ms + 1)
    carts.send(users[1::3], "Paid", begun_ms + WITHIN_MS - 1_000, product="p2")  # another product: it closes no window
    carts.owed |= {("cart", user) for place, user in enumerate(users) if place % 3}
    if fault == "the broker cut off":
        broker = kafka.brokers[0]
        broker.freeze()
        try:
            worker.thaw()
            passes(FAULT_S)
        finally:
            broker.thaw()
    else:
        passes(FAULT_S)
        if fault == "a worker down":
            installation.worker()
        else:
            worker.thaw()
    carts.check()
    assert fault == "a worker down" or worker.code is None, "it was not the frozen one that judged"


@pytest.mark.parametrize("shifts_s", [(10, -10), (2 * 86_400, -2 * 86_400)], ids=["seconds", "days"])
def test_no_clock_of_a_worker_has_a_say(carts: Carts, tmp_path: Path, shifts_s: tuple[int, int]) -> None:
    installation = carts.installation
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK)
    installation.environ["PYTHONPATH"] = f"{folder}:{os.environ.get('PYTHONPATH', '')}"
    workers, ports = {}, []
    for shift_s in shifts_s:
        installation.environ["CLOCK_SHIFT_S"] = str(shift_s)
        ports.append(free_ports(1)[0])
        workers[shift_s] = installation.worker(metrics_port=str(ports[-1]), session="60s")
    installation.environ["CLOCK_SHIFT_S"] = "0"
    until(lambda: all(owned(port) == 1 for port in ports), 90, "each worker has a partition")
    carts.publish()
    users = carts.users(60)
    begun_ms = clock.wall_ms()
    carts.send(users, "Added", begun_ms)
    installation.until_done()
    for worker in workers.values():
        worker.freeze()
    assert clock.wall_ms() < begun_ms + WITHIN_MS + GRACE_MS, "too late: the windows have been judged"
    carts.send(users[::2], "Paid", begun_ms + WITHIN_MS)  # at the deadline it still counts
    carts.owed |= {("cart", user) for user in users[1::2]}
    passes(FAULT_S)
    for worker in workers.values():
        worker.thaw()
    carts.check()
    for (shift_s, worker), port in zip(workers.items(), ports, strict=True):
        assert f"a clock of its own {shift_s}" in worker.said()
        assert Scrape.of(port).value("windows_total", campaign="cart", outcome="fired") > 0, f"this one has judged nothing: {shift_s} s"


def owned(port: int) -> float:
    """Return how many partitions of the events topic a worker has, by its metrics page."""
    return Scrape.of(port).value("partitions_assigned", stage="match") if asked(port, "/metrics")[0] else 0


def test_a_producer_whose_clock_is_fast_moves_no_window(carts: Carts) -> None:
    installation = carts.installation
    worker = installation.worker()
    carts.publish()
    users, fast = carts.users(), carts.users()
    begun_ms = clock.wall_ms()
    carts.send(users, "Added", begun_ms)
    carts.send(fast, "Added", begun_ms + 240_000)
    carts.send(fast[::2], "Paid", begun_ms + 240_001)
    carts.send(users[::2], "Paid", begun_ms + 1)
    carts.owed |= {("cart", user) for user in (*users[1::2], *fast[1::2])}
    for grant in carts.check():
        cause = grant.said["cause"]
        assert cause["ts"] - begun_ms in {0, 240_000}, "the time that the sender claims stands in the cause"
        assert cause["deadline"] - begun_ms < WITHIN_MS + 60_000, "the window is judged by when it was received"
    assert worker.stop() == 0


def test_an_upload_that_is_an_hour_late_rewards_nobody_who_acted(carts: Carts) -> None:
    installation = carts.installation
    worker = installation.worker()
    carts.publish()
    now_ms = clock.wall_ms()
    here, late, over = carts.users(), carts.users(), carts.users()
    carts.send(here, "Added", now_ms)
    hour_ago_ms = now_ms - 3_600_000
    carts.send(late, "Added", hour_ago_ms)  # its windows are over: none opens
    carts.send(late[::2], "Paid", hour_ago_ms + 1_000)
    carts.send(over[::2], "Travelled", hour_ago_ms + 2_000)  # before what it belongs to
    carts.send(over, "Booked", hour_ago_ms)
    carts.send(over[1::2], "Cancelled", hour_ago_ms + 2_000)
    carts.send(here[::2], "Paid", now_ms + 1)
    carts.owed |= {("cart", user) for user in here[1::2]}
    carts.check()
    scrape = Scrape.of(int(installation.environ["LIVEPROMO_METRICS_PORT"]))
    assert scrape.value("windows_total", campaign="cart", outcome="late_trigger") == len(late)
    assert scrape.value("windows_total", campaign="trip", outcome="done") == len(over)
    assert worker.stop() == 0


def test_one_trigger_on_an_idle_partition_fires_once_and_soon_and_the_metrics_say_so(carts: Carts) -> None:
    installation = carts.installation
    port = int(installation.environ["LIVEPROMO_METRICS_PORT"])
    first = installation.worker()
    carts.publish()
    begun_ms = clock.wall_ms()
    carts.send(["one"], "Added", begun_ms)
    carts.owed = {("cart", "one")}
    until(lambda: Scrape.of(port).samples.get(open_windows("cart")) == 1, 10, "the gauge shows an open window")
    first.kill()
    heir = installation.worker()
    carts.check()
    (record,) = installation.read(GRANTED)
    print(f"delivered {record.ms - begun_ms - WITHIN_MS} ms after the deadline")

    users = carts.users(2)
    begun_ms = clock.wall_ms()
    carts.send(users[:1], "Added", begun_ms)
    carts.owed.add(("cart", users[0]))
    carts.check()
    *_, record = sorted(installation.read(GRANTED), key=lambda one: one.ms)
    lateness_ms = record.ms - begun_ms - WITHIN_MS
    print(f"on an idle partition delivered {lateness_ms} ms after the deadline, grace {GRACE_MS} ms")
    assert GRACE_MS < lateness_ms <= GRACE_MS + 3_000
    scrape = Scrape.of(port)
    until(lambda: Scrape.of(port).samples.get(open_windows("cart")) == 0, 10, "the gauge shows that no window is open")
    for outcome in ("opened", "fired"):
        assert scrape.value("windows_total", campaign="cart", outcome=outcome) == 2
    assert scrape.value("window_lateness_seconds_count") == 2
    assert scrape.value("takeover_records_total", stage="match") > 0
    assert scrape.value("takeover_seconds_count", stage="match") >= 1
    assert heir.stop() == 0


def open_windows(campaign: str) -> tuple[str, frozenset[str]]:
    return "livepromo_windows_open", frozenset({f"campaign={campaign}"})
