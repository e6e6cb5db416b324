"""Whatever is killed or frozen while windows are open or fire: each that nobody closed fires once. Each fault proves that it struck."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from livepromo.telemetry import clock
from recount import Published, Simulated, check_candidates, check_delivered, check_same, ledger
from whole import SESSION_S, In, Installation, Worker, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka")]

GRACE_S = 2
FENCED = "claimed by somebody else"
MARKERS = 4  # which a takeover appends to the ledger, one to each partition
DOCUMENTS = """
kind: wallet
id: shop
---
kind: campaign
id: cart
qualify:
  live: {{event: Added, unless: {{event: Paid, within: {within_s}s, grace: {grace_s}s}}, same: [Product ID]}}
reward: {{points: {{wallet: shop, earn: {{flat: 10}}}}}}
when: {{start: "2020-01-01T00:00Z"}}
"""


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=4, clock="ticks")
    yield installation
    installation.close()


class Windows:
    """Windows that become due one after another, from `open_s` seconds after they were opened, over `spread_s` seconds."""

    def __init__(self, installation: Installation, users: int, open_s: int, spread_s: int, seed: int) -> None:
        self.installation, self.users, self.draw = installation, users, random.Random(seed)
        self.open_ms, self.spread_ms = open_s * 1000, spread_s * 1000
        self.within_ms = self.open_ms + self.spread_ms
        self.exits: Counter[int] = Counter()
        documents = installation.home / "documents.yaml"
        documents.write_text(DOCUMENTS.format(within_s=open_s + spread_s, grace_s=GRACE_S))
        self.published = Published.of(documents)
        self.worker: Worker | None = installation.worker()
        installation.cli("apply", documents)
        self.begun_ms = clock.wall_ms()
        installation.send(self._said(f"u{n}", "Added", self.begun_ms - self.spread_ms + n * self.spread_ms // users) for n in range(users))
        installation.until_done(180)
        self._paying = self.draw.sample(range(users), users // 2)

    @staticmethod
    def _said(user: str, event: str, ts_ms: int) -> In:
        return In(user, json.dumps({"user": user, "event": event, "ts": ts_ms, "properties": {"Product ID": "p"}}).encode())

    def open_now(self) -> int:
        """Return of how many triggers the window cannot have fired yet."""
        over_ms = clock.wall_ms() - self.begun_ms - self.open_ms - GRACE_S * 1000
        return self.users - max(0, min(self.users, over_ms * self.users // self.spread_ms))

    def pay(self, count: int) -> None:
        """Let the next few pay."""
        some, self._paying = self._paying[:count], self._paying[count:]
        self.installation.send(self._said(f"u{n}", "Paid", clock.wall_ms()) for n in some)

    def ended(self, worker: Worker, code: int) -> None:
        assert worker.code == code, f"ended with {worker.code}:\n{worker.said()[-4000:]}"
        self.exits[code] += 1

    def kill(self, portion: int) -> None:
        """Kill a worker in the midst of payments."""
        worker = self.worker or self.installation.worker()
        self.worker = None
        self.pay(portion // 2)
        self.installation.until_done()  # hence it has restored everything
        self.pay(portion // 2)
        worker.kill()
        self.ended(worker, -signal.SIGKILL)

    def while_paying(self, holds: Callable[[], bool], portion: int, what: str) -> None:
        """Let some pay, few at a time, until it holds."""
        few, left = max(1, portion // 100), portion

        def paid() -> bool:
            nonlocal left
            if left > 0:
                self.pay(few)
                left -= few
            return holds()

        until(paid, 90, what)

    def kill_at(self, step: str, portion: int) -> None:
        """Have a worker kill itself at a step, while some pay and others' windows fire."""
        nth = self.draw.randint(1, 3)
        assert self.worker is None
        victim = self.installation.worker(failpoints=f"{step}=kill@{nth}")
        self.while_paying(lambda: victim.code is not None, portion, f"{step} is reached {nth} times")
        self.ended(victim, -signal.SIGKILL)

    def freeze_at(self, step: str, portion: int) -> None:
        """Have a worker stop itself at a step until another has judged in its place; then it goes on, and must not append."""
        assert self.worker is None
        zombie = self.installation.worker(failpoints=f"{step}=freeze@2")
        self.while_paying(lambda: zombie.stands_still, portion, f"{step} is reached")
        zombie.wait_until_stopped()
        heir = self.installation.worker()
        fired = self.fired()
        until(lambda: self.fired() > fired + MARKERS, 60 + SESSION_S, "another fires windows")
        zombie.thaw()
        assert zombie.wait() == 1
        assert FENCED in zombie.said(), zombie.said()[-4000:]
        self.exits[1] += 1
        heir.kill()
        self.ended(heir, -signal.SIGKILL)

    def fired(self) -> int:
        return sum(self.installation.kafka.ends(self.installation.topic("ledger")))

    def compacted(self) -> None:
        """Return when the log cleaner has been through every partition of the state."""
        state = self.installation.topic("state")
        self.installation.compact_at_once("state")

        def cleaned() -> bool:
            self.pay(4)
            self.installation.send(In(f"other{n}", b'{"user":"other%d","event":"Seen","ts":%d}' % (n, clock.wall_ms())) for n in range(16))
            firsts: dict[int, int] = {}
            for record in self.installation.read(state):
                firsts.setdefault(record.partition, record.offset)
            return len(firsts) == 4 and min(firsts.values()) > 0

        until(cleaned, 60, "the state is compacted")

    def owed(self) -> set[str]:
        """Return, by the log alone, whose window nobody closed (A1): own times, but none later than when Kafka had received it."""
        began: dict[str, int] = {}
        closed: set[str] = set()
        for record in self.installation.read(self.installation.events):
            said = json.loads(record.value or b"")
            user, time_ms = said["user"], min(said["ts"], record.ms)
            if said["event"] == "Added":
                began[user] = time_ms
            elif said["event"] == "Paid" and began[user] < time_ms <= began[user] + self.within_ms:
                closed.add(user)
        assert len(began) == self.users
        return began.keys() - closed

    def judge(self) -> None:
        """Everyone who is owed something is granted it once, and nobody else is; as a simulation of the log says, too."""
        installation, owed = self.installation, self.owed()
        last = self.worker or installation.worker()
        seconds = (self.within_ms + 2 * self.spread_ms) / 1000 + 60
        until(lambda: self.fired() >= len(owed), seconds, lambda: f"all windows have fired: {self.fired()} records of {len(owed)}")

        def granted() -> bool:
            return {grant.said["user"] for grant in ledger(installation)} >= owed

        until(granted, seconds, "all windows have fired")
        installation.until_done()
        assert last.stop() == 0
        grants, simulated = ledger(installation), Simulated.of(installation)
        assert {grant.said["user"] for grant in grants} == owed
        assert len(grants) == len(owed)
        again = check_delivered(installation, grants)
        check_same(grants, simulated, self.published)
        made_again = check_candidates(installation, simulated)
        strikes = dict(Counter(line.split()[0] for line in installation.struck()))
        print(
            f"{self.users} windows, {len(grants)} fired once each, the others closed; {again} delivered twice, {made_again} candidates "
            f"made twice; exits {dict(self.exits)}, strikes {strikes}"
        )


@pytest.mark.timeout(300)
def test_two_kills_leave_every_window_to_fire_once(installation: Installation) -> None:
    windows = Windows(installation, users=4_000, open_s=10, spread_s=20, seed=5)
    assert windows.open_now() == 4_000
    windows.kill(400)
    windows.kill_at("tick.entry_appended", 400)
    windows.judge()
    assert windows.exits == {-signal.SIGKILL: 2}


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_ten_kills_two_zombies_and_compaction_leave_every_window_to_fire_once(installation: Installation) -> None:
    windows = Windows(installation, users=100_000, open_s=120, spread_s=150, seed=6)
    for _ in range(4):
        windows.kill(2_000)
    windows.worker = installation.worker()
    windows.compacted()
    windows.kill(2_000)
    print(f"{windows.open_now()} windows are open after {windows.exits}")
    assert windows.open_now() == 100_000
    for step in ("tick.entry_appended", "match.candidates_appended", "match.state_appended"):
        windows.kill_at(step, 4_000)
    windows.freeze_at("tick.entry_appended", 2_000)
    windows.freeze_at("match.candidates_appended", 2_000)
    windows.judge()
    assert windows.exits == {-signal.SIGKILL: 10, 1: 2}
