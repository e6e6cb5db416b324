"""Whatever is killed: every call that a grant owes is made or put aside, and no other; one body for an id; nobody else learns contacts."""

from __future__ import annotations

import base64
import json
import random
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis

from livepromo.delivery.given_up import dead_call
from livepromo.model.ids import partition_of
from livepromo.sandbox.servers import KafkaCluster, RedisServer
from receiving import Receiver
from whole import DENIED, GRANTED, In, Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka")]

OLD, NEW = ("whsec_" + base64.b64encode(word * 3).decode() for word in (b"an older secret ", b"the newer secret"))
TS_MS = 1_764_547_200_000
USERS = 40
STEPS = (
    "decide.calls_appended", "decide.ledger_appended", "deliver.published", "calls.claimed", "calls.named", "calls.noted",
    "calls.given_up", "takeover.restored",
)  # fmt: skip
DOCUMENTS = """
kind: item
id: watch
---
kind: endpoint
id: steady
url: {url}/steady
secret: shop
---
kind: endpoint
id: moody
url: {url}/moody
secret: shop
timeout: 1s
"""
CAMPAIGN = """
---
kind: campaign
id: {name}
qualify: {{live: {{event: Charged}}}}
when: {{start: "2025-01-01T00:00Z"}}
reward: {{custom: {{endpoint: {endpoint}, item: watch, metadata: [{{key: order, from: event.Order ID}}]}}}}
"""
CAMPAIGNS = {"steady-a": "steady", "steady-b": "steady", "moody-a": "moody", "moody-c": "moody"}  # of each endpoint one in each partition
TOPICS = (
    "catalogue", "candidates", "state", "ledger", "codes", "webhooks", "webhooks.dead-letters", "dead-letters", "events", GRANTED, DENIED,
)  # fmt: skip
MAY_TELL = {"candidates", "state", "webhooks", "webhooks.dead-letters", "events"}


def an_answer(path: str, headers: dict[str, str]) -> int:
    """Answer a steady endpoint's calls; of a moody one's refuse every twentieth for good and fail every fifth at its first try."""
    number = int(headers["webhook-id"][3:11], 16)
    if path == "/steady":
        return 200
    if number % 20 == 0:
        return 410
    tried = _tried[headers["webhook-id"]] = _tried[headers["webhook-id"]] + 1
    return 500 if number % 5 == 1 and tried == 1 else 204


_tried: dict[str, int] = defaultdict(int)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.answer = an_answer
    yield receiver
    receiver.close()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[KafkaCluster]:
    cluster = KafkaCluster(tmp_path / "own-kafka")
    try:
        yield cluster.start()
    finally:
        cluster.stop()


class Chaos:
    """An installation that owes calls, one worker that stays, and one that is killed, again and again."""

    def __init__(self, bootstrap: str, own_redis: RedisServer, receiver: Receiver, name: str, home: Path, seed: int) -> None:
        self.secret = home / "secret"
        self.secret.write_text(OLD)
        self.installation = Installation(
            bootstrap, own_redis.url, name, home, partitions=2, allow_http="true", secret_shop_file=str(self.secret)
        )
        self.redis, self.receiver, self.draw = own_redis, receiver, random.Random(seed)
        self.sent = 0
        documents = home / "documents.yaml"
        assert {(endpoint, partition_of(name, 2)) for name, endpoint in CAMPAIGNS.items()} == set(product(("steady", "moody"), (0, 1)))
        campaigns = [CAMPAIGN.format(name=name, endpoint=endpoint) for name, endpoint in CAMPAIGNS.items()]
        documents.write_text(DOCUMENTS.format(url=f"http://127.0.0.1:{receiver.port}") + "".join(campaigns))
        self.steady = self.installation.worker()
        self.installation.cli("apply", documents)
        self.installation.send([self._profile(n) for n in range(USERS)])

    def _profile(self, user: int) -> In:
        contacts = {"email": f"who-{user}@mail.example", "phone": f"+44 7700 {900000 + user}"}
        return In(f"u{user}", json.dumps({"type": "profile", "user": f"u{user}", "ts": TS_MS, "properties": contacts}).encode())

    def send(self, count: int) -> None:
        """Send some more records."""
        records = []
        for n in range(self.sent, self.sent + count):
            said: dict[str, Any] = {"user": f"u{n % USERS}", "event": "Charged", "id": f"e{n}", "ts": TS_MS + n}
            records.append(In(f"u{n % USERS}", json.dumps(said | {"properties": {"Order ID": f"o{n}"}}).encode()))
        self.sent += self.installation.send(records)

    def kill_at(self, step: str) -> None:
        """Have a worker kill itself at a step, while records come."""
        victim = self.installation.worker(failpoints=f"{step}=kill@{self.draw.randint(1, 3)}")

        def struck() -> bool:
            self.send(5)
            self.keep_one()
            return victim.code is not None

        until(struck, 90, f"{step} is reached")
        assert victim.code == -signal.SIGKILL, victim.said()[-4000:]

    def keep_one(self) -> None:
        """Object if the worker that stays ended, unless another had taken over, or Kafka was away as it began: then a new one begins."""
        if self.steady.code is not None:
            assert self.steady.code in {1, 3}, self.steady.said()[-4000:]
            assert re.search("claimed by somebody else|the worker ends: kafka at", self.steady.said()), self.steady.said()[-4000:]
            self.steady = self.installation.worker()

    def kill_steady(self) -> None:
        """Kill the worker that stays, so that nobody works for a moment."""
        self.steady.kill()
        self.send(20)
        self.steady = self.installation.worker()

    def finish(self) -> None:
        """Send some more, wait until everything is granted and every call made or given up, and end in good order."""
        self.send(200)

        def done() -> bool:
            self.keep_one()
            return self.installation.done()

        until(done, 120, lambda: f"everything is relayed: {self.installation.standing()}")
        owed = self.granted()
        until(
            lambda: not owed - self.receiver.taken().keys() - self.dead(),
            120,
            lambda: f"every call is made or given up; left are {sorted(owed - self.receiver.taken().keys() - self.dead())[:5]}",
        )
        assert self.steady.stop() == 0

    def granted(self) -> set[str]:
        """Return the ids of what was granted."""
        return {json.loads(one.value or b"")["grant_id"] for one in self.installation.read(GRANTED)}

    def dead(self) -> set[str]:
        """Return the ids of the calls that were given up."""
        found = (
            dead_call(one.partition, one.ms, one.key, one.value, one.headers)
            for one in self.installation.read(self.installation.topic("webhooks.dead-letters"))
        )
        return {one.grant_id for one in found if one is not None}


def judge(chaos: Chaos) -> None:
    receiver, granted, dead = chaos.receiver, chaos.granted(), chaos.dead()
    calls = defaultdict(list)
    for one in receiver.arrived:
        calls[one.id].append(one)
    assert calls.keys() == granted, "a call was made that no grant owes, or one is missing"
    taken = receiver.taken().keys()
    assert granted - taken == dead
    assert len(granted) == len(CAMPAIGNS) * chaos.sent
    assert {len({(one.body, one.path) for one in some}) for some in calls.values()} == {1}, "an id has one body"
    for one in receiver.arrived:
        assert one.verifies(OLD) or one.verifies(NEW)
        assert not one.verifies(OLD, body=one.body + b" ")
        assert not one.verifies(NEW, body=one.body + b" ")
    refused = [some for name, some in calls.items() if name in dead]
    assert all(len(some) >= 3 for some in refused), "given up after three refusals"
    repeated = sum(len(some) - 1 for some in calls.values())
    print(f"{len(granted)} calls owed, {len(dead)} given up, {repeated} made again")
    check_nobody_else_learns_contacts(chaos)


def check_nobody_else_learns_contacts(chaos: Chaos) -> None:
    """Object if an address or a number stands anywhere but where it must."""
    installation = chaos.installation
    words = (b"@mail.example", b"+44 7700 9000")
    telling = set()
    for name in TOPICS:
        topic = name if name in {GRANTED, DENIED} else installation.events if name == "events" else installation.topic(name)
        for record in installation.read(topic):
            said = b"\n".join((record.key or b"", record.value or b"", *(value for _, value in record.headers)))
            if any(word in said for word in words):
                telling.add(name)
    assert telling <= MAY_TELL
    assert {"webhooks", "candidates", "events"} <= telling, "it is looked for in the right way"
    held = redis.Redis.from_url(chaos.redis.url)
    for key in held.scan_iter(count=1000):
        kind = held.type(key)
        value = {b"string": held.get, b"hash": held.hgetall, b"list": lambda k: held.lrange(k, 0, -1), b"set": held.smembers}[kind](key)
        assert not any(word in repr(value).encode() + key for word in words), key
    for worker in installation.workers:
        assert not any(word.decode() in worker.said() for word in words), worker.log


@pytest.mark.timeout(300)
def test_two_kills_and_a_rotation_lose_no_call_and_make_none_that_is_not_owed(
    kafka: KafkaCluster, own_redis: RedisServer, receiver: Receiver, name: str, tmp_path: Path
) -> None:
    chaos = Chaos(kafka.bootstrap, own_redis, receiver, name, tmp_path, seed=4)
    try:
        chaos.kill_at("calls.named")
        chaos.secret.write_text(f"{OLD}\n{NEW}\n")
        chaos.kill_at("decide.calls_appended")
        chaos.finish()
        judge(chaos)
    finally:
        chaos.installation.close()


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_twenty_kills_a_broker_restarted_twice_and_a_rotation_lose_no_call_and_make_none_that_is_not_owed(
    own_kafka: KafkaCluster, own_redis: RedisServer, receiver: Receiver, name: str, tmp_path: Path
) -> None:
    chaos = Chaos(own_kafka.bootstrap, own_redis, receiver, name, tmp_path, seed=5)
    try:
        steps = [*STEPS, *STEPS]
        chaos.draw.shuffle(steps)
        for number, step in enumerate(steps):
            chaos.kill_at(step)
            if number % 4 == 3:
                chaos.kill_steady()
            if number in {5, 11}:
                own_kafka.brokers[0].kill()
                own_kafka.brokers[0].start()
                own_kafka.wait()
            if number == 6:
                chaos.secret.write_text(f"{OLD}\n{NEW}\n")
            if number == 12:
                chaos.secret.write_text(NEW)
        before = len(receiver.arrived)
        chaos.finish()
        assert all(one.verifies(NEW) for one in receiver.arrived[before:])
        assert len([line for line in chaos.installation.struck() if "kill" in line]) == len(STEPS) * 2
        judge(chaos)
    finally:
        chaos.installation.close()
