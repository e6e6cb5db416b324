"""What befalls processes and servers from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepromo.worker.failpoints import STEPS
from simulation.processes import WorkerProcess

if TYPE_CHECKING:
    from simulation.world import World

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ANSWERED = "events.answered"  # the broker has said where the events end, and nobody has heard it
SELDOM = ("tick.entry_appended", "visit.entry_appended", "renew.claimed")
AIMS = sorted(step for step in STEPS if not step.startswith(("calls.", "history.")))


def freeze(world: World, process: WorkerProcess, kind: str) -> None:
    """Freeze a process for longer than its session; the group gives its partitions to others, and later it wakes up."""
    process.frozen = True
    taken: list[tuple[str, int]] = []

    def expire() -> None:
        if not process.alive:
            return
        process.suspected = True
        taken.extend(process.drivers)
        left = [p.stages for p in world.processes if p.alive and not p.suspected and not p.ending]
        if process.stages not in left:
            world.start()
        world.say(lambda: f"{process.name} is frozen, its session is over")
        world.assign()

    def wake() -> None:
        if not process.alive:
            return
        process.late_to_notice = True
        if world.rnd.random() < 0.3 and not any(p.frozen for p in world.processes if p is not process):
            world.scheduler.now_ms += 25 * HOUR_MS
        world.scheduler.thaw(process)
        world.say(lambda: f"{process.name} wakes up")
        if taken:
            world.faults.done(kind)
        world.later(world.rnd.randrange(1, 300), notice)

    def notice() -> None:
        if not process.alive:
            return
        process.suspected = process.late_to_notice = False
        world.say(lambda: f"{process.name} notices")
        world.assign(world.rnd.choice((0.0, 0.4)))
        for key, driver in process.drivers.items():
            if world.assigned.get(key) is process:
                driver.rebalanced = True

    session = world.rnd.randrange(5, 150)
    world.later(session, expire)
    world.later(session + world.rnd.randrange(5, 500), wake)


def stall(world: World, process: WorkerProcess) -> None:
    """Freeze a process for less than its session, so that nobody notices; users go on meanwhile."""
    process.frozen = True
    if world.produced:
        world.produce(world.rnd.randrange(1, 5))
    world.scheduler.now_ms += world.rnd.choice((200, 700, 5_000, 30_000))

    def wake() -> None:
        if process.alive:
            world.faults.done("stall")
            world.say(lambda: f"{process.name} goes on")
            world.scheduler.thaw(process)

    world.later(world.rnd.randrange(1, 30), wake)


def strike(world: World, kind: str) -> None:
    """Have a fault of the world strike, if it can now; one that arms a process, or freezes it, counts when it has done harm."""
    rnd, faults = world.rnd, world.faults
    running = [p for p in world.processes if p.alive and not p.frozen and p.drivers]
    if kind == "stall":
        running = [p for p in running if any(stage == "match" for stage, _ in p.drivers)]
    if kind in {"kill", "kill_at_step", "freeze", "freeze_at_step", "stall", "stop_cleanly", "rebalance", "move"} and not running:
        return
    process = rnd.choice(running) if running else None
    world.say(lambda: f"fault: {kind} {process}")
    match kind, process:
        case "kill", WorkerProcess():
            faults.done(kind)
            world.end(process, "killed")
        case "kill_at_step" | "freeze_at_step", WorkerProcess():
            process.armed, process.countdown, process.armed_at = kind, rnd.randrange(6), ""
            if rnd.random() < 0.7:
                process.countdown, process.armed_at = 400, rnd.choice(rnd.choice((AIMS, SELDOM)))
        case "stall", WorkerProcess():
            process.armed, process.countdown, process.armed_at = kind, 200, ANSWERED
        case "freeze", WorkerProcess():
            freeze(world, process, kind)
        case "stop_cleanly", WorkerProcess():
            if not process.ending and not process.suspected:
                faults.done(kind)
                process.ending = True
                for driver in process.drivers.values():
                    driver.revoked = driver.leaves = True
                world.assign()
                world.later(400, lambda: world.end(process, "did not stop in time"))
                world.replace()
        case "rebalance", WorkerProcess():
            faults.done(kind)
            for driver in process.drivers.values():
                driver.rebalanced = driver.rebalanced or (driver.offset >= 0 and not driver.revoked)
        case "move", _:
            if len(running) < (4 if world.split else 2):
                world.start()
            before = dict(world.assigned)
            world.assign(0.5)
            if before != world.assigned:
                faults.done(kind)
        case "table_forgets", _:
            if world.redis.held:
                faults.done(kind)
                world.redis.held = {}
        case "table_goes_back", _:
            world.redis.copy()
            older = rnd.choice(world.redis.copies[-4:])
            if older != world.redis.held:
                faults.done(kind)
                world.redis.held = dict(older)
        case "compaction", _:
            _clean_up(world)
        case "leap", _:
            faults.done(kind)
            _leap(world)
        case _:
            raise AssertionError(kind)


def _leap(world: World) -> None:
    """Let time pass for all. No request outlives it, and nobody stands for a week between looking at a claim's age and appending.

    (Then nothing but the epoch in the records would be left to tell old owners by, which makes them void.)
    """
    days = () if any(p.frozen for p in world.processes) else (25 * HOUR_MS, 50 * HOUR_MS, 8 * DAY_MS)
    leap_ms = world.rnd.choice((61_000, HOUR_MS + 60_000, *days))
    if leap_ms == 8 * DAY_MS:
        for process in list(world.processes):
            world.end(process, "nothing ran for a week")
    let_pass(world, leap_ms)


def let_pass(world: World, ms: int) -> None:
    """Let time pass for all."""
    world.scheduler.land()
    world.scheduler.now_ms += ms


def _clean_up(world: World) -> None:
    gone = 0
    for number in range(world.topics.event_partitions):
        state, events = world.kafka.of("state", number), world.kafka.of("events", number)
        gone += state.compact(world.rnd.randrange(state.end + 1))
        standing = [d.offset for p in world.processes for key, d in p.drivers.items() if key == ("match", number)]
        if standing and min(standing) > events.begin and world.rnd.random() < 0.5:
            events.retire(world.rnd.randrange(events.begin, min(standing) + 1))
    if gone:
        world.faults.done("compaction")
