"""A worker process of the model, and the lane of each of its partitions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Protocol

from livepromo.engine.horizons import Horizons
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.decide import DecideOwner
from livepromo.worker.deliver import DeliverOwner
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.match import MatchOwner
from livepromo.worker.publishing import Publications
from livepromo.worker.shared import Shared, Topics
from simulation.faults import Faults
from simulation.kafka_model import Kafka, ModelLog, ModelOutbox
from simulation.redis_model import ModelTable, Redis
from simulation.scheduler import Process, Scheduler, Sleep, Task

CATALOGUE = "catalogue"
Owner = MatchOwner | DecideOwner | DeliverOwner


class Surroundings(Protocol):
    """What a process needs of its world."""

    kafka: Kafka
    redis: Redis
    faults: Faults
    scheduler: Scheduler
    topics: Topics
    horizons: Horizons
    slow: str

    def reached(self, process: WorkerProcess, step: str) -> None:
        """Take note that a process comes to a step; it may die or freeze there."""
        ...


@cache
def the_metrics() -> Metrics:
    """Return one set of metrics for all worlds: making one takes longer than a world."""
    return Metrics()


def void_records() -> float:
    """Return how many void records any reader has met so far."""
    [family] = the_metrics().void_records_total.collect()
    return sum(one.value for one in family.samples if one.name.endswith("_total"))


class Steps(Failpoints):
    """Failpoints of a model process: it can die or freeze at any of them."""

    def __init__(self, reach: Callable[[str], None]) -> None:
        super().__init__({})
        self._reach = reach

    def reach(self, step: str) -> None:
        """Have the world strike, if it is time."""
        self._reach(step)


class Answers:
    """What the feed of a partition knows of its end: every answer of the broker, as it arrived, and when the feed saw the last three.

    The next is asked for as soon as one has arrived; the feed sees only the newest that has, some time later. A process that is frozen
    finds an answer that is old, and sees it as of now.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._arrived = 0
        self.end = -1
        self.seen: deque[tuple[int, float]] = deque(maxlen=3)

    def arrive(self, end: int) -> None:
        """Take an answer."""
        self._arrived, self.end = self._arrived + 1, end

    def see(self) -> None:
        """Have the feed look."""
        if self._arrived and (not self.seen or self.seen[-1][0] != self._arrived):
            self.seen.append((self._arrived, self._monotonic()))

    def complete_until_s(self) -> float | None:
        """Return the instant before which nothing was appended that lies behind `end`."""
        return self.seen[0][1] if len(self.seen) == self.seen.maxlen else None


class Driver:
    """The lane of one partition of one stage, as `Stage` drives it."""

    def __init__(self, stage: str, number: int, owner: Owner, answers: Answers) -> None:
        self.answers = answers
        self.stage, self.number, self.owner = stage, number, owner
        self.offset = -1  # from which the next slice is read; -1 while taking over
        self.revoked = self.rebalanced = self.leaves = False
        self.task: Task | None = None


class WorkerProcess(Process):
    """A worker of some stages."""

    def __init__(self, world: Surroundings, name: str, stages: tuple[str, ...]) -> None:
        super().__init__(name)
        self.stages = stages
        self.drivers: dict[tuple[str, int], Driver] = {}
        self.ready = False
        self.suspected = False  # the group has given its partitions to others
        self.late_to_notice = False
        self.ending = False
        self.armed: str | None = None  # what happens to it, so many steps from now, or before at this one
        self.armed_at = ""
        self.countdown = 0
        self.steps = Steps(lambda step: world.reached(self, step))
        self.log = ModelLog(world.kafka, world.faults, world.scheduler, self, self.steps.reach, world.slow)
        self.table = ModelTable(world.redis, world.faults, self.log)
        self.publications = Publications(self.log, CATALOGUE)
        self.shared = Shared(
            topics=world.topics,
            log=self.log,
            outbox=ModelOutbox(self.log),
            horizons=world.horizons,
            denials=DenialFilter("all"),
            metrics=the_metrics(),
            failpoints=self.steps,
            monotonic=lambda: world.scheduler.now_ms / 1000,
            pause=lambda seconds: _sleep(int(seconds * 1000) + 1),
        )


async def _sleep(ms: int) -> None:
    await Sleep(ms)
