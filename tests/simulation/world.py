"""A whole installation in one thread, on a seed: the worker's own steps over models of Kafka and Redis, and all that may go wrong."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any
from unittest.mock import patch

from livepromo.documents.catalogue import Intervention, Publication, encode
from livepromo.engine import journalling, partition, sends, sweeping
from livepromo.engine.horizons import Horizons
from livepromo.engine.sends import next_send
from livepromo.engine.state import State
from livepromo.ledger.shelf import MemoryShelf
from livepromo.streaming.errors import FencedError, UnavailableError, UnknownOutcomeError
from livepromo.worker import decide, match
from livepromo.worker.decide import DecideOwner
from livepromo.worker.deliver import DeliverOwner
from livepromo.worker.match import MatchOwner
from livepromo.worker.shared import Topics
from simulation import havoc
from simulation.drawing import POOL, Author, Drawn, Traffic
from simulation.faults import Faults
from simulation.kafka_model import Kafka
from simulation.processes import CATALOGUE, Answers, Driver, Owner, WorkerProcess, void_records
from simulation.redis_model import Redis
from simulation.scheduler import Call, KilledError, Scheduler, Sleep, Task

BEGIN_MS = 1_764_547_200_000
WEEK_MS = 7 * 86_400_000
MOST_STEPS = 60_000
NEVER = 1 << 62
PATIENCE_MS = 15_000  # on an idle partition what is due is done within this
STAGES = ("match", "decide", "deliver")
TZDATA = "2025b"


class World:
    """One seed. `run` returns when everything that was produced is processed; `problems` then says what nobody may see."""

    def __init__(self, seed: int, *, keep_history: bool = False) -> None:
        rnd = self.rnd = Random(seed)
        self.seed = seed
        self.history: list[str] | None = [] if keep_history else None
        self.problems: list[str] = []
        self.scheduler = Scheduler(Random(rnd.random()), BEGIN_MS + rnd.randrange(WEEK_MS))
        self.kafka, self.redis, self.faults = Kafka(self.scheduler), Redis(), Faults(Random(rnd.random()))
        partitions, candidates = rnd.randint(1, 3), rnd.randint(1, 2)
        self.topics = Topics(
            events="events",
            state="state",
            candidates="candidates",
            ledger="ledger",
            granted="granted",
            denied="denied",
            dead_letters="dead-letters",
            webhooks="webhooks",
            dead_webhooks="webhooks.dead-letters",
            dead_letter_bytes=1_114_112,
            event_partitions=partitions,
            candidate_partitions=candidates,
            granted_partitions=2,
            denied_partitions=1,
        )
        self.inputs = {"match": ("events", partitions), "decide": ("candidates", candidates), "deliver": ("ledger", candidates)}
        hours = rnd.choice((1, 24))
        behaviour = Random(f"behaviour of {seed}")  # apart, as with codes: see Author
        self.horizons = Horizons(
            hours * 3_600_000,
            rnd.choice((1, 24)) * 3_600_000,
            300_000,
            grace_ms=behaviour.choice((1_000, 5_000)),
            open_windows=behaviour.choice((1, 2, 1_000)),
        )
        self.kafka.ahead_ms = {topic: behaviour.randrange(match.SKEW_MS) for topic in ("events", "state")}
        self.author = Author(Random(rnd.random()), self.scheduler.now_ms)
        self.traffic = Traffic(Random(rnd.random()), partitions, self.horizons.lateness_ms, self.horizons.ahead_ms)
        self.drawn: dict[tuple[int, int], Drawn] = {}
        self.span = rnd.choice((4, 12, 10_000))
        self.constants = {
            (match, "SPAN_OFFSETS"): self.span,
            (decide, "FOLD_ENTRIES"): rnd.choice((1, 3, 2_000)),
            (decide, "BATCH_CANDIDATE_BYTES"): rnd.choice((300, 2_000, 512 * 1024)),
            (decide, "POSITION_CANDIDATES"): rnd.choice((5, 10_000)),
            (partition, "BATCH_BYTES"): (batch_bytes := rnd.choice((400, 2_000, 512 * 1024))),
            (sweeping, "BATCH_BYTES"): batch_bytes,
            (sends, "BATCH_BYTES"): batch_bytes,
            (match, "USERS_AT_ONCE"): behaviour.choice((1, 3, 2_000)),
            (journalling, "IDS_IN_A_PART"): rnd.choice((2, 512)),
        }
        self.slow = rnd.choice(("", "", "state", "ledger", "candidates", "table"))
        self.split = rnd.random() < 0.3  # a stage a process
        self.wanted_processes = rnd.randint(3, 4) if self.split else rnd.randint(1, 3)
        self.processes: list[WorkerProcess] = []
        self.assigned: dict[tuple[str, int], WorkerProcess] = {}
        self.committed: dict[tuple[str, int], int] = {}
        self.struck_at: Counter[str] = Counter()
        self._started = 0
        self._publish_every = rnd.choice(((30, 150), (100, 600)))
        self._agenda: list[tuple[int, Callable[[], None]]] = []
        self._next = NEVER  # nothing of it is due before this step
        self._records_left = rnd.randint(60, 200)
        self.produced = False
        self._void_before = void_records()
        self.met_void = False  # a reader met records of older owners: with fencing it cannot
        self.states: dict[int, State] = {}  # what the last owners know

    def reached(self, process: WorkerProcess, step: str) -> None:
        """Strike at a step, if it is time."""
        if process.armed is None:
            return
        process.countdown -= 1
        if process.countdown >= 0 and step != process.armed_at:
            return
        verb, process.armed = process.armed, None
        self.struck_at[step] += 1
        self.say(lambda: f"{process.name}: {verb} at {step}")
        if verb == "kill_at_step":
            self.faults.done(verb)
            raise KilledError(step)
        if verb == "stall":
            havoc.stall(self, process)
        else:
            havoc.freeze(self, process, verb)

    def say(self, what: Callable[[], str]) -> None:
        """Note something for whoever reproduces the seed."""
        if self.history is not None:
            self.history.append(f"{self.scheduler.steps:6d} {self.scheduler.now_ms} {what()}")

    # -- the run -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until the faults have struck and all is processed; then end every process, start one, and let it come to rest."""
        with self._constants():
            self.publish(self.author.first())
            for _ in range(self.wanted_processes):
                self.start()
            self._plan()
            self._run_until(lambda: self._records_left <= 0 and not self.faults.pending, 30_000)
            if self.faults.pending:
                missing = [kind for kind in self.faults.wanted if not self.faults.struck[kind]]
                self.problems.append(f"faults that did not strike: {missing}")
            self._calm()
            self._run_until(self._at_rest, MOST_STEPS)
            havoc.let_pass(self, 3 * havoc.HOUR_MS)
            self._run_until(self._at_rest, MOST_STEPS)
            for process in list(self.processes):
                self.end(process, "the last restart")
            self.split = False
            self.start()
            self._run_until(self._at_rest, MOST_STEPS)
            self._keep_states()
            for process in list(self.processes):
                self.end(process, "over")
            self.met_void = void_records() != self._void_before

    @contextmanager
    def _constants(self) -> Iterator[None]:
        patches = [patch.object(module, name, value) for (module, name), value in self.constants.items()]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()

    def _run_until(self, done: Callable[[], bool], most: int) -> None:
        limit = self.scheduler.steps + most
        while not done():
            for _ in range(5):
                self._do_due()
                self.scheduler.step()
            if self.problems:
                return
            if self.scheduler.steps > limit:
                if most == MOST_STEPS:
                    self.problems.append(f"does not come to rest: {self._unfinished()}")
                return

    def _plan(self) -> None:
        self.later(self.rnd.randrange(1, 30), self._produce)
        self.later(self.rnd.randrange(60, 400), self._publish_now_and_then)
        self.later(self.rnd.randrange(20, 150), self._strike_now_and_then)

    def later(self, steps: int, action: Callable[[], None]) -> None:
        """Have something done so many steps from now."""
        self._agenda.append((self.scheduler.steps + steps, action))
        self._next = min(self._next, self.scheduler.steps + steps)

    def _do_due(self) -> None:
        steps = self.scheduler.steps
        if self._next <= steps:
            agenda, self._agenda = self._agenda, []
            for due, action in agenda:
                if due <= steps:
                    action()
                else:
                    self._agenda.append((due, action))
            self._next = min((due for due, _ in self._agenda), default=NEVER)

    def _calm(self) -> None:
        self.faults.over = True
        self._agenda.clear()
        for process in list(self.processes):
            if process.ending:
                self.end(process, "did not stop in time")
            process.armed = None
            process.late_to_notice = process.suspected = False
            if process.frozen:
                self.scheduler.thaw(process)
        self.replace()

    # -- what is put in --------------------------------------------------------------------------------------------

    def produce(self, count: int) -> None:
        """Append so many records to the events topic."""
        for _ in range(count):
            drawn = self.traffic.next(self.scheduler.now_ms)
            at = self.kafka.append("events", drawn.partition, [(drawn.user.encode(), drawn.value, ())], "producer").offset
            self.drawn[drawn.partition, at] = drawn
            self._records_left -= 1

    def _produce(self) -> None:
        if self.author.audiences and not self.produced and not self._first_is_taken():
            self.later(20, self._produce)  # what was done before would have to be looked back at
            return
        self.produced = True
        self.produce(self.rnd.choice((1, 2, 4, 8)))
        if self._records_left <= 0 and not self.faults.urgent:
            self.faults.urgent = True
            self.publish(self.author.last())
        rest = self.rnd.randrange(100, 300) if self.rnd.random() < 0.1 else 0  # now and then partitions are idle, and tick
        self.later(rest + self.rnd.randrange(5, 60) * (1 if self._records_left > 0 else 3), self._produce)

    def _first_is_taken(self) -> bool:
        owners = [driver.owner for process in self.processes for driver in process.drivers.values()]
        taken = {owner.partition for owner in owners if isinstance(owner, MatchOwner) and owner.state.catalogue}
        return len(taken) == self.topics.event_partitions

    def _publish_now_and_then(self) -> None:
        self.publish(self.author.next(self.scheduler.now_ms))
        self.later(self.rnd.randrange(*self._publish_every), self._publish_now_and_then)

    def publish(self, publication: Publication | Intervention) -> None:
        """Append to the catalogue."""
        at = self.kafka.append(CATALOGUE, 0, [(None, encode(publication), ())], "author").offset
        self.say(lambda: f"published at {at}: {publication}")

    # -- processes and the group -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a worker process."""
        self._started += 1
        stages: tuple[str, ...] = STAGES
        if self.split:
            there = Counter(stage for p in self.processes if not p.ending and not p.suspected for stage in p.stages)
            stages = (min(STAGES, key=lambda stage: there[stage]),)
        process = WorkerProcess(self, f"w{self._started}", stages)
        self.processes.append(process)
        self.say(lambda: f"{process.name} starts, {stages}")
        self.scheduler.spawn(process, "boot", self._boot(process), self._ended)
        self.assign()

    async def _boot(self, process: WorkerProcess) -> None:
        await process.shared.patiently("the catalogue", process.publications.follow)
        process.ready = True
        self._sync(process)
        while True:
            await Sleep(250)
            try:
                await process.publications.follow()
            except UnavailableError:
                continue

    def assign(self, moves: float = 0.0) -> None:
        """Give every partition to a process that the group believes in: mostly the one that has it."""
        every = [p for p in self.processes if p.alive and not p.suspected and not p.ending]
        for stage, (_, count) in self.inputs.items():
            members = [process for process in every if stage in process.stages]
            for number in range(count if members else 0):
                holder = self.assigned.get((stage, number))
                if holder not in members or self.rnd.random() < moves:
                    self.assigned[stage, number] = self.rnd.choice(members)
                    self._say_given(stage, number)
        for process in every:
            self._sync(process)

    def _say_given(self, stage: str, number: int) -> None:
        self.say(lambda: f"{stage}[{number}] is given to {self.assigned[stage, number].name}")

    def _sync(self, process: WorkerProcess) -> None:
        """Have a process act on what the group says, if it is able to notice."""
        if not process.ready or not process.alive or process.frozen or process.late_to_notice:
            return
        for key, driver in list(process.drivers.items()):
            if self.assigned.get(key) is not process and not driver.revoked:
                driver.revoked = True
                if self.rnd.random() < 0.5:  # it does not finish in time
                    self._cancel(process, key)
                else:
                    self.later(300, partial(self._cancel, process, key, driver))
        for key, holder in self.assigned.items():
            if holder is process and key not in process.drivers and not process.ending:
                self._drive(process, *key)

    def _cancel(self, process: WorkerProcess, key: tuple[str, int], only: Driver | None = None) -> None:
        driver = process.drivers.get(key)
        if driver is None or not process.alive or process.frozen or (only is not None and driver is not only):
            return
        self.say(lambda: f"{process.name} drops {key} where it stands")
        assert driver.task is not None
        self.scheduler.drop(driver.task)
        del process.drivers[key]
        self.scheduler.spawn(process, f"close {key}", driver.owner.close(), self._ended)
        self.later(1, lambda: self._sync(process))

    def _drive(self, process: WorkerProcess, stage: str, number: int) -> None:
        shared = process.shared
        owner: Owner
        answers = Answers(shared.monotonic)
        match_stage, decide_stage = stage == "match", stage == "decide"

        def complete_until_s(_: int) -> float | None:
            return answers.complete_until_s() if driver.offset >= answers.end >= 0 else None

        if match_stage:
            owner = MatchOwner(number, shared, process.publications, TZDATA, complete_until_s=complete_until_s)
        elif decide_stage:
            owner = DecideOwner(number, shared, process.table, MemoryShelf({f"coupon/{POOL}": self.author.codes}))
        else:
            owner = DeliverOwner(number, shared)
        driver = process.drivers[stage, number] = Driver(stage, number, owner, answers)
        if match_stage:
            self.scheduler.spawn(process, f"answers of {stage}[{number}]", self._ask(process, driver), self._ended)
        driver.task = self.scheduler.spawn(process, f"{stage}[{number}]", self._lane(process, driver), self._ended)

    async def _ask(self, process: WorkerProcess, driver: Driver) -> None:
        """Ask for the end of an events partition, again and again, as a feed does by fetching."""
        held = self.kafka.of("events", driver.number)

        def end() -> int:
            found = held.end
            if process.armed == "stall" and process.alive and not process.frozen:
                self.reached(process, havoc.ANSWERED)
            return found

        while process.drivers.get((driver.stage, driver.number)) is driver:
            driver.answers.arrive(await Call(end))
            if self.rnd.random() < 0.5:
                driver.answers.see()
            await Sleep(self.rnd.randrange(50, 250))

    async def _lane(self, process: WorkerProcess, driver: Driver) -> None:
        key, owner, rnd = (driver.stage, driver.number), driver.owner, self.rnd
        topic = self.inputs[driver.stage][0]
        offset = await owner.take_over(self.committed.get(key))
        while True:
            driver.offset = self.committed.get(key, 0) if offset is None else offset
            self.say(lambda: f"{process.name} {driver.stage}[{driver.number}] goes on at {driver.offset}")
            while not driver.rebalanced:
                if driver.revoked:
                    if driver.leaves:
                        try:
                            await owner.leave()
                        except FencedError:
                            self.say(lambda: f"{process.name} {key} is not left in order")
                    await owner.close()
                    process.drivers.pop(key, None)
                    self.later(1, lambda: self._sync(process))
                    return
                driver.answers.see()
                if rnd.random() < 0.2:
                    await owner.look()
                    continue
                piece = await process.log.fetch(topic, driver.number, driver.offset, rnd.choice((1, 3, 8, 50)), self.span)
                if piece is None:
                    await Sleep(rnd.randrange(20, 200))
                    driver.answers.see()
                    await owner.look()
                    continue
                await owner.take_slice(piece)
                driver.offset = piece.next_offset
                if rnd.random() < 0.4:
                    await self._commit(process, key, driver.offset)
            driver.rebalanced = False
            self.say(lambda: f"{process.name} {key} is given back")
            offset = await owner.keep()

    async def _commit(self, process: WorkerProcess, key: tuple[str, int], offset: int) -> None:
        def commit() -> None:
            if self.assigned.get(key) is process:  # the group refuses whoever is not a member any more
                self.committed[key] = offset

        await Call(commit)

    def _ended(self, task: Task, error: BaseException | None) -> None:
        process = task.process
        assert isinstance(process, WorkerProcess)
        if error is None:
            if process.ending and not process.drivers:
                self.end(process, "ended cleanly")
            return
        if not isinstance(error, KilledError | FencedError | UnknownOutcomeError) and not (
            isinstance(error, UnavailableError) and self.faults.struck["outbox_failed"]
        ):
            self.problems.append(f"{process.name} {task.name} ended with {error!r}:\n{''.join(traceback.format_exception(error))}")
        self.end(process, f"{task.name}: {error!r}")

    def end(self, process: WorkerProcess, why: str) -> None:
        """End a process at once; another one comes, and the group finds out."""
        if not process.alive:
            return
        self.say(lambda: f"{process.name} ends: {why}")
        self.scheduler.kill(process)
        process.drivers.clear()
        if process in self.processes:
            self.processes.remove(process)
        if why not in {"the last restart", "over"}:
            self.later(self.rnd.randrange(1, 60), self.replace)

    def replace(self) -> None:
        """Start as many processes as there should be, and let the group look around."""
        while self._too_few():
            self.start()
        self.assign()

    def _too_few(self) -> bool:
        members = [p for p in self.processes if not p.ending and not p.suspected]
        return len(members) < self.wanted_processes or {stage for p in members for stage in p.stages} < set(STAGES)

    # -- faults of the world ---------------------------------------------------------------------------------------

    def _strike_now_and_then(self) -> None:
        due = self.faults.due()
        if due:
            havoc.strike(self, self.rnd.choice(due))
        if self.rnd.random() < 0.6:
            self.redis.copy()
        self.later(self.rnd.randrange(10, 60 if self.faults.urgent else 200), self._strike_now_and_then)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _unfinished(self) -> list[str]:
        found = [f"{p.name} {'frozen' if p.frozen else 'ending'}" for p in self.processes if p.frozen or p.ending]
        for stage, (topic, count) in self.inputs.items():
            for number in range(count):
                holder = self.assigned.get((stage, number))
                driver = holder.drivers.get((stage, number)) if holder is not None and holder.alive else None
                end = self.kafka.of(topic, number).end
                if driver is None or driver.offset < end or driver.rebalanced or driver.revoked:
                    found.append(f"{stage}[{number}] of {holder} at {driver and driver.offset} of {end}")
                elif isinstance(driver.owner, MatchOwner):
                    found += self._undone(driver.owner)
        return found

    def _undone(self, owner: MatchOwner) -> list[str]:
        state, found = owner.state, []
        if state.catalogue < self.kafka.of(CATALOGUE, 0).end:
            found.append(f"match[{owner.partition}] has taken the catalogue to {state.catalogue}")
        send = next_send(state, owner._plan())
        due_ms = state.due_ms if send is None else min(state.due_ms, send.instant_ms)
        if due_ms < self.scheduler.now_ms - PATIENCE_MS:
            found.append(f"match[{owner.partition}] has something due at {due_ms}, stream time is {state.stream_ms}")
        return found

    def _at_rest(self) -> bool:
        return not self._unfinished() and self.scheduler.is_idle

    def _keep_states(self) -> None:
        for process in self.processes:
            for driver in process.drivers.values():
                if isinstance(driver.owner, MatchOwner):
                    self.states[driver.number] = driver.owner.state


def describe(world: World) -> dict[str, Any]:
    """Return in short what a world was made of."""
    names = {f"{module.__name__.rpartition('.')[2]}.{name}": value for (module, name), value in world.constants.items()}
    return {"seed": world.seed, "steps": world.scheduler.steps, "struck": dict(world.faults.struck), "at": dict(world.struck_at), **names}
