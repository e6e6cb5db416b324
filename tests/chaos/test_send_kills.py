"""A campaign that is sent reaches each of its users once: whatever is killed half-way, paused or down when it is due, whoever joins."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from livepromo.telemetry import clock
from recount import Published, Simulated, check_candidates, check_delivered, check_same, ledger
from scrape import Scrape
from whole import In, Installation, Worker, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka")]

LIST, PARTITIONS = "regulars", 2
HOUR_MS = 3_600_000
DOCUMENTS = """
kind: wallet
id: shop
---
kind: list
id: regulars
---
kind: segment
id: staff
members: fed
---
kind: campaign
id: thanks
qualify: {{past: {{}}}}
who:
  all:
    - {{did: {{event: Charged, where: [{{property: Amount, op: gte, value: 20}}], count: {{gte: 2}}, within: 2h}}}}
    - {{did_not: {{event: Returned}}}}
    - {{property: plan, op: in, value: [gold, silver]}}
    - {{none: [{{segment: staff}}]}}
reward: {{points: {{wallet: shop, earn: {{random: {{min: 1, max: 50, favor: avg}}}}}}}}
when: {{send: "{send}"}}
---
kind: campaign
id: letter
qualify: {{list: regulars}}
reward: {{points: {{wallet: shop, earn: {{flat: 5}}}}}}
when: {{send: "{later}"}}
"""


def instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=PARTITIONS, clock="ticks", grace="1s")
    yield installation
    installation.close()


class Sending:
    """A past campaign that is due while it is paused and everyone's history is read, and a list campaign due while everything is down."""

    def __init__(self, installation: Installation, users: int, records: int, seed: int) -> None:
        self.installation, self.users, self.records = installation, users, records
        self.draw = random.Random(seed)
        self.exits: Counter[int] = Counter()
        self.worker = installation.worker()
        documents = installation.home / "documents.yaml"
        self.send_ms = clock.wall_ms() + 20_000
        self.later_ms = self.send_ms + 1_000
        documents.write_text(DOCUMENTS.format(send=instant(self.send_ms), later=instant(self.later_ms)))
        self.published = Published.of(documents)
        installation.cli("apply", documents)
        installation.cli("pause", "thanks")
        installation.cli("pause", "letter")
        assert clock.wall_ms() < self.send_ms, "too late: it may have been sent"

    def histories(self) -> Iterator[In]:
        """Yield what happened before the send, by its own time, in order."""
        draw = self.draw
        begin_ms = self.send_ms - 3 * HOUR_MS
        for n in range(self.records):
            ts = begin_ms + n * (3 * HOUR_MS - 16_000) // self.records
            user = f"u{draw.randrange(self.users)}"
            said: dict[str, object] = {"user": user, "ts": ts}
            match draw.random():
                case chance if chance < 0.2:
                    said |= {"type": "profile", "properties": {"plan": draw.choice(["gold", "silver", "basic", None])}}
                case chance if chance < 0.23:
                    said |= {"type": "segment", "segment": "staff", "member": draw.random() < 0.7}
                case chance if chance < 0.35:
                    said |= {"type": "segment", "segment": f"list/{LIST}", "member": draw.random() < 0.8}
                case chance if chance < 0.38:
                    said |= {"event": "Returned"}
                case _:
                    said |= {"event": "Charged", "id": f"e{n}", "properties": {"Amount": draw.randrange(10, 40)}}
            yield In(user, json.dumps(said).encode())

    def later(self) -> Iterator[In]:
        """Yield what happens after the send time: it must count for nobody."""
        now_ms = clock.wall_ms()
        assert now_ms > self.send_ms
        for n in range(self.users):
            event = {"user": f"u{n}", "ts": now_ms, "event": "Charged" if n % 2 else "Returned", "properties": {"Amount": 30}}
            yield In(f"u{n}", json.dumps(event).encode())

    def owed(self) -> tuple[set[str], set[str]]:
        """Return by the log alone who is owed a thank-you and who a letter."""
        paid: Counter[str] = Counter()
        returned, plans = set(), dict[str, object]()
        staff, listed = dict[str, bool](), dict[str, bool]()
        for record in self.installation.read(self.installation.events):
            said = json.loads(record.value or b"")
            user, ts = said["user"], said["ts"]
            match said.get("type", "event"):
                case "profile":
                    plans[user] = said["properties"]["plan"]
                case "segment":
                    (staff if said["segment"] == "staff" else listed)[user] = said["member"]
                case _ if said["event"] == "Returned":
                    if ts <= self.send_ms:
                        returned.add(user)
                case _:
                    if self.send_ms - 2 * HOUR_MS <= ts <= self.send_ms and said["properties"]["Amount"] >= 20:
                        paid[user] += 1
        thanked = {
            user for user, count in paid.items() if count >= 2 and user not in returned and plans.get(user) in {"gold", "silver"}
        }  # fmt: skip
        return {user for user in thanked if not staff.get(user)}, {user for user, member in listed.items() if member}

    def sent(self) -> int:
        """Return about how many were decided about: records of the ledger."""
        return sum(self.installation.kafka.ends(self.installation.topic("ledger")))

    def ended(self, worker: Worker, code: int) -> None:
        assert worker.code == code, f"ended with {worker.code}:\n{worker.said()[-4000:]}"
        self.exits[code] += 1

    def kill_at(self, step: str, nth: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Have a worker kill itself at a step of a send; another begins."""
        victim = self.installation.worker(failpoints=f"{step}=kill@{nth}")
        meanwhile()
        until(lambda: victim.code is not None, 90, lambda: f"{step} is reached {nth} times; {victim.said()[-2000:]}")
        self.ended(victim, -signal.SIGKILL)

    def judge(self, campaigns: set[str]) -> dict[str, int]:
        """Everyone who is owed something is granted it once, and nobody else is; as a simulation of the log says, too."""
        installation = self.installation
        owed = {(name, user) for name, users in zip(("thanks", "letter"), self.owed(), strict=True) for user in users if name in campaigns}

        def granted() -> set[tuple[str, str]]:
            return {(grant.campaign, grant.said["user"]) for grant in ledger(installation)}

        until(lambda: self.sent() >= len(owed) and granted() >= owed, 180, lambda: f"sent to all {len(owed)}: {len(granted())}")
        installation.until_done()
        grants = ledger(installation)
        assert granted() == owed, sorted(granted() - owed)[:3]
        assert len(grants) == len(owed)
        assert {(grant.campaign, grant.said["granted_at"]) for grant in grants} <= {("thanks", self.send_ms), ("letter", self.later_ms)}
        check_delivered(installation, grants)
        simulated = Simulated.of(installation)
        check_same(grants, simulated, self.published)
        check_candidates(installation, simulated)
        return Counter(campaign for campaign, _ in owed)


def run(installation: Installation, users: int, records: int, steps: tuple[tuple[str, int], ...]) -> None:
    sending = Sending(installation, users, records, seed=len(steps))
    installation.send(sending.histories())
    until(lambda: clock.wall_ms() > sending.later_ms + 3_000, 30, "both are due")
    installation.send(sending.later())
    installation.until_done(300)
    assert sending.sent() <= 8, "nothing was sent while it was paused: there are but markers"
    assert sending.worker.stop() == 0
    installation.cli("resume", "thanks", "--no-wait")

    # Paused half-way: the worker that stands still there takes the pause behind the visit that it is at.
    first = installation.worker(failpoints="visit.entry_appended=freeze@1", session="60s")
    first.wait_until_stopped(90)
    installation.cli("pause", "thanks", "--no-wait")
    first.thaw()
    (newest,) = installation.kafka.ends(installation.topic("catalogue"))
    until(lambda: first.said().count(f"took the catalogue up to {newest}") == PARTITIONS, 30, "it is paused")
    installation.until_done()
    halfway = {grant.said["user"] for grant in ledger(installation)}
    thanked, _ = sending.owed()
    assert halfway < thanked, "not all of it is sent while it is paused"
    assert first.stop() == 0, first.said()[-3000:]
    installation.cli("resume", "thanks", "--no-wait")

    # Killed in the midst of visits; one more joins half-way.
    for step, nth in steps:
        sending.kill_at(step, nth)
    workers = [installation.worker(), installation.worker()]
    found = sending.judge({"thanks"})
    for worker in workers:
        assert worker.stop() == 0, worker.said()[-3000:]
    assert sending.exits == {-signal.SIGKILL: len(steps)}

    # Due long since, and everything down: sent when it comes up again.
    installation.cli("resume", "letter", "--no-wait")
    port = free_ports(1)[0]
    last = installation.worker(metrics_port=str(port))
    found = sending.judge({"thanks", "letter"})
    cpu_s = Scrape.of(port).value("stage_cpu_seconds_total", stage="match")
    assert last.stop() == 0
    print(
        f"{records} records of {users} users: {dict(found)} sent once each, {len(halfway)} before the pause; "
        f"strikes {installation.struck()}; "
        f"the visits of the letter took match {cpu_s:.2f} s of CPU: {1e6 * cpu_s / users:.1f} us a user"
    )


@pytest.mark.timeout(400)
def test_two_kills_and_a_pause_half_way_leave_everyone_to_be_sent_to_once(installation: Installation) -> None:
    run(installation, 16_000, 48_000, (("visit.entry_appended", 1), ("match.candidates_appended", 1)))


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_five_kills_and_a_pause_half_way_leave_everyone_of_a_million_records_to_be_sent_to_once(installation: Installation) -> None:
    steps = (
        ("visit.entry_appended", 2),
        ("match.candidates_appended", 2),
        ("match.state_appended", 3),
        ("visit.entry_appended", 5),
        ("match.candidates_appended", 3),
    )
    run(installation, 150_000, 1_000_000, steps)
