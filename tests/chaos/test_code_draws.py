"""Whatever is killed or forgotten, whenever: each code of a pool is given once, and none is lost. Each fault proves that it struck."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Sequence

import pytest
import redis

from livepromo.sandbox.servers import RedisServer
from pools import check_draws, check_secret, look, payments, publish, shown, some_codes
from whole import In, Installation, Worker, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka")]

CODES, USERS, EACH = 15_000, 1_600, 10
SLICE = 100
MARKERS = 8  # which a takeover appends, one to each partition
STEPS = (
    "decide.ledger_appended",
    "decide.rows_written",
    "takeover.restored",
    "decide.denials_sent",
    "takeover.claimed",
    "match.state_appended",
)


class Draws:
    """One worker after another, under payments that come in portions."""

    def __init__(self, installation: Installation, redis_server: RedisServer, records: Sequence[In], portions: int) -> None:
        self.installation, self.records, self.sent = installation, records, 0
        self.redis = redis.Redis.from_url(redis_server.url)
        self.portion = len(records) // portions
        self.kills = 0

    def send(self, count: int) -> None:
        self.sent += self.installation.send(self.records[self.sent : self.sent + count])

    def send_slice(self, worker: Worker) -> None:
        """Send a few, and wait until they are matched, or the worker is gone."""
        before = sum(self.ends("candidates"))
        self.send(SLICE)
        until(lambda: worker.code is not None or sum(self.ends("candidates")) > before, 60, "a slice is matched")

    def kill_at(self, step: str, nth: int) -> None:
        """Have a worker kill itself in the midst of a portion, which comes in slices."""
        worker = self.installation.worker(failpoints=f"{step}=kill@{nth}")
        for _ in range(self.portion // SLICE):
            self.send_slice(worker)
        until(lambda: worker.code is not None, 60, lambda: f"{step} is reached {nth} times: {worker.said()[-2000:]}")
        assert worker.code == -signal.SIGKILL, worker.said()[-3000:]
        self.kills += 1

    def kill_somewhere(self, draw: random.Random) -> None:
        """Kill a worker from outside, a while after it began to give codes."""
        worker = self.installation.worker()
        begun = sum(self.ends("ledger"))
        self.send(self.portion)
        further = draw.randrange(1, self.portion // 2)
        until(lambda: sum(self.ends("ledger")) > begun + MARKERS + further, 60, "codes are given")
        worker.kill()
        self.kills += 1

    def ends(self, topic: str) -> list[int]:
        return self.installation.kafka.ends(self.installation.topic(topic))

    def forget(self, worker: Worker) -> None:
        """Have Redis forget everything in the midst of a portion."""
        self.installation.until_done()  # so that the worker has taken over, which folds as well
        before = worker.said().count("folding the ledger from there")
        begun = sum(self.ends("ledger"))
        self.send(self.portion // 2)
        until(lambda: sum(self.ends("ledger")) > begun, 60, "codes are given")
        self.redis.flushall()
        self.send(self.portion // 2)
        until(lambda: worker.said().count("folding the ledger from there") > before, 60, "the worker sees that Redis forgot")


def run(installation: Installation, own_redis: RedisServer, steps: Sequence[str], kills: int, forgets: int, seed: int) -> None:
    draw = random.Random(seed)
    codes = some_codes(CODES, seed)
    worker = installation.worker()
    publish(installation, codes)
    draws = Draws(installation, own_redis, payments(USERS, EACH), portions=(len(steps) + kills + forgets) * 3 // 2)  # the rest at last
    until(lambda: draws.redis.dbsize() >= CODES // 1_000, 60, "the codes are in Redis")
    worker.kill()
    draws.redis.flushall()  # before a code is given
    assert look(installation, CODES) == CODES
    for step in steps:
        draws.kill_at(step, draw.randrange(1, 4) if step.startswith(("decide", "match")) else 1)
        look(installation, CODES)
    for _ in range(kills):
        draws.kill_somewhere(draw)
        look(installation, CODES)
    worker = installation.worker()
    for _ in range(forgets):
        draws.forget(worker)
        look(installation, CODES)
    draws.send(len(draws.records))
    installation.until_done(180)
    assert look(installation, CODES) == 0
    assert len(installation.struck()) == len(steps)
    draws.redis.flushall()  # after the last
    assert look(installation, CODES) == 0
    more = payments(50, 2, first_user=USERS)
    installation.send(more)
    installation.until_done(60)
    assert look(installation, CODES) == 0
    assert {shown(installation, f"campaign/{name}")["state"] for name in ("once", "every")} == {"exhausted"}
    reasons = check_draws(installation, codes, len(draws.records) + len(more))
    assert reasons.keys() == {("once", "user_total"), ("once", "codes_exhausted"), ("every", "codes_exhausted")}, reasons
    check_secret(installation)
    installation.cli("ledger", "verify")
    assert worker.stop() == 0
    strikes = dict(Counter(line.split()[0] for line in installation.struck()))
    print(f"{CODES} codes given once each; {draws.kills} kills, at steps {strikes}, {forgets + 2} times Redis forgot; {dict(reasons)}")


@pytest.mark.timeout(400)
def test_each_code_is_given_once_under_two_kills_and_a_redis_that_forgets(installation: Installation, own_redis: RedisServer) -> None:
    run(installation, own_redis, STEPS[:2], kills=0, forgets=1, seed=11)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_each_code_is_given_once_under_twenty_kills_and_a_redis_that_keeps_forgetting(
    installation: Installation, own_redis: RedisServer
) -> None:
    run(installation, own_redis, STEPS * 2, kills=8, forgets=4, seed=12)
