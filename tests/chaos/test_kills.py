"""Whatever is killed, frozen or forgotten, whenever: the same grants, none missing, none twice. Each fault proves that it struck."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import redis

from livepromo.sandbox.servers import RedisServer
from livepromo.worker import failpoints
from recount import Published, Simulated, check_candidates, check_delivered, check_denied, check_limits, check_same, ledger
from whole import DATA, SESSION_S, In, Installation, Worker, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka")]

DOCUMENTS = DATA / "twelve-campaigns.yaml"
ROUND_S = 12.0  # about how long a fault takes, that the records may last
FENCED = "claimed by somebody else"
STEPS = {step for step in failpoints.STEPS if not step.startswith("calls.")}  # these call nobody
STRIKES = {  # how late at most: the nth time that a process comes to the step
    "catalogue.entry_appended": 3,
    "decide.calls_appended": 12,
    "decide.denials_sent": 12,
    "decide.ledger_appended": 12,
    "decide.rows_written": 12,
    "deliver.published": 12,
    "match.candidates_appended": 12,
    "match.state_appended": 12,
    "renew.claimed": 6,
    "takeover.claimed": 6,
    "takeover.restored": 6,
    "takeover.named": 3,
}
FREEZES = ("match.candidates_appended", "match.state_appended", "decide.denials_sent", "decide.ledger_appended", "deliver.published")


class Chaos:
    """An installation with one worker that stays and one that does not, under records that never cease."""

    def __init__(self, installation: Installation, redis_server: RedisServer, records: Sequence[In], rounds: int, seed: int) -> None:
        self.installation, self.redis_server = installation, redis_server
        self.draw = random.Random(seed)
        self._records, self._sent = records, 0
        self._a_second = len(records) / (rounds * ROUND_S)
        self._sent_at = time.monotonic()
        self.exits: Counter[int] = Counter()
        self.frozen = 0
        self._publications = 0
        self.steady = installation.worker()

    def send(self, count: int | None = None) -> None:
        """Send the next few of the records, as many as the time since the last few says, or so many."""
        now = time.monotonic()
        if count is None:
            count = int(min(1.0, now - self._sent_at) * self._a_second)
        if count:
            self._sent += self.installation.send(self._records[self._sent : self._sent + count])
            self._sent_at = now

    def send_until(self, holds: Callable[[], bool], what: str, seconds: float = 90) -> None:
        """Send a few at a time until it holds."""

        def sent() -> bool:
            self.send()
            self.keep_one()
            return holds()

        until(sent, seconds, what)

    def send_for(self, seconds: float) -> None:
        """Send for so long."""
        began = time.monotonic()
        self.send_until(lambda: time.monotonic() > began + seconds, "time passes")

    def until_done(self, seconds: float = 120) -> None:
        """Wait, without sending, until all stages have done everything."""

        def done() -> bool:
            self.keep_one()
            return self.installation.done()

        until(done, seconds, lambda: f"everything is read, decided and delivered: {self.installation.standing()}")

    def keep_one(self) -> None:
        """Object if the steady worker ended, unless it was so slow that another took over: then a new one begins."""
        if self.steady.code is not None:
            assert self.steady.code == 1, self.steady.said()[-4000:]
            assert FENCED in self.steady.said(), self.steady.said()[-4000:]
            self.steady = self.installation.worker()

    def kill_at(self, step: str) -> None:
        """Have a new worker kill itself at a step, and let a publication come along if the step is about one."""
        nth = self.draw.randint(1, STRIKES[step])
        settings = {"renew": "1s"} if step.startswith("renew") else {}
        victim = self.installation.worker(failpoints=f"{step}=kill@{nth}", **settings)
        published = 0.0

        def struck() -> bool:
            nonlocal published
            if step.startswith("catalogue") and time.monotonic() > published:
                self.publish()
                published = time.monotonic() + 2
            return victim.code is not None

        self.send_until(struck, f"{step} is reached {nth} times")
        self.ended(victim, -signal.SIGKILL)

    def publish(self) -> None:
        """Pause a campaign, or resume it."""
        self._publications += 1
        self.installation.cli("pause" if self._publications % 2 else "resume", "coupon-thanks", "--no-wait")

    def ended(self, worker: Worker, code: int) -> None:
        assert worker.code == code, f"ended with {worker.code}:\n{worker.said()[-4000:]}"
        self.exits[code] += 1

    def freeze_at(self, step: str) -> None:
        """Have a new worker stop itself at a step until others have taken over all that it had; then let it go on."""
        nth = self.draw.randint(1, STRIKES[step])
        victim = self.installation.worker(failpoints=f"{step}=freeze@{nth}")
        self.send_until(lambda: victim.stands_still, f"{step} is reached {nth} times")
        victim.wait_until_stopped()
        self.send_for(SESSION_S)
        self.until_done()  # hence by the others
        victim.thaw()
        self.frozen += 1
        self.send_for(SESSION_S)
        self.until_done()  # with the zombie, if it had nothing to append and is one of the group again
        if victim.code is None:
            victim.kill()
            self.ended(victim, -signal.SIGKILL)
        else:  # what it was about to append was refused
            assert FENCED in victim.said(), victim.said()[-4000:]
            self.ended(victim, 1)

    def kill_steady(self) -> None:
        """Kill the worker that stays, so that nobody works for a moment."""
        self.steady.kill()
        self.ended(self.steady, -signal.SIGKILL)
        self.send()
        self.steady = self.installation.worker()

    def forget(self) -> None:
        """Have Redis forget everything, in the midst of work."""
        self._noticed(lambda: redis.Redis.from_url(self.redis_server.url).flushall())

    def roll_back(self, holding: Path) -> None:
        """Have Redis come back with an older copy of itself."""
        self._noticed(lambda: self.redis_server.restart(holding))

    def _noticed(self, strike: Callable[[], object]) -> None:
        before = self._regressions()
        self.send(200)
        strike()
        self.send_until(lambda: self._regressions() > before, "a worker sees that Redis is older than the ledger")

    def _regressions(self) -> int:
        return sum(worker.said().count("folding the ledger from there") for worker in self.installation.workers)

    def finish(self) -> None:
        """Send the rest, and wait until everything is done."""
        self.send(len(self._records))
        self.until_done(300)
        assert self.steady.stop() == 0


def judge(chaos: Chaos) -> None:
    """The same result as without faults; nothing missing, nothing twice, nothing passed."""
    installation, published = chaos.installation, Published.of(DOCUMENTS)
    installation.cli("ledger", "verify")
    grants, simulated = ledger(installation), Simulated.of(installation)
    check_limits(grants, published)
    again = check_delivered(installation, grants)
    check_same(grants, simulated, published)
    check_denied(installation, grants, simulated, published)
    owed_again = check_candidates(installation, simulated)
    print(
        f"{len(grants)} grants, as simulated; {again} delivered twice, {owed_again} candidates made twice; "
        f"exits {dict(chaos.exits)}, {chaos.frozen} frozen, strikes {dict(Counter(line.split()[0] for line in installation.struck()))}"
    )


@pytest.mark.timeout(600)
def test_four_kills_a_frozen_worker_and_a_forgetful_redis_change_nothing(installation: Installation, own_redis: RedisServer) -> None:
    chaos = Chaos(installation, own_redis, year(seed=2, every=6), rounds=7, seed=2)
    installation.cli("apply", DOCUMENTS)
    kills = ("match.candidates_appended", "decide.ledger_appended", "takeover.restored", "deliver.published")
    for step in kills:
        chaos.kill_at(step)
    chaos.freeze_at("decide.denials_sent")
    chaos.forget()
    chaos.finish()
    assert [line.split()[0] for line in installation.struck()] == [*kills, "decide.denials_sent"]
    assert chaos.exits[-signal.SIGKILL] >= 4
    judge(chaos)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_every_step_killed_twice_five_frozen_workers_and_redis_lost_and_rolled_back_change_nothing(
    installation: Installation, own_redis: RedisServer
) -> None:
    assert STRIKES.keys() == STEPS
    faults: list[Callable[[Chaos], None]] = [lambda chaos, step=step: chaos.kill_at(step) for step in sorted(STEPS) for _ in range(2)]
    faults += [lambda chaos, step=step: chaos.freeze_at(step) for step in FREEZES]
    faults += [Chaos.kill_steady, Chaos.forget, Chaos.forget]
    random.Random(3).shuffle(faults)
    chaos = Chaos(installation, own_redis, year(seed=3), rounds=len(faults) + 1, seed=3)
    installation.cli("apply", DOCUMENTS)
    half = len(faults) // 2
    for fault in faults[:half]:
        fault(chaos)
    copy = own_redis.copy()
    for fault in faults[half:-3]:
        fault(chaos)
    chaos.roll_back(copy)
    for fault in faults[-3:]:
        fault(chaos)
    chaos.finish()
    hits = Counter(line.split()[0] for line in installation.struck())
    assert hits.keys() == STEPS
    assert min(hits.values()) >= 2, hits
    assert chaos.exits[-signal.SIGKILL] >= 20
    assert chaos.frozen == 5
    judge(chaos)
