"""One seed, run and judged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from simulation.recount import judge
from simulation.second_opinion import differences
from simulation.world import World


class Verdict(NamedTuple):
    """What became of a seed."""

    world: World
    problems: list[str]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the worker's log to itself: what goes wrong here is meant to."""
    log = logging.getLogger("livepromo")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


def verdict_of(seed: int, folder: Path, *, keep_history: bool = False) -> Verdict:
    """Run a seed and judge it; a world that has problems of its own is not judged."""
    world = World(seed, keep_history=keep_history)
    with quiet():
        world.run()
        if world.problems:
            return Verdict(world, world.problems)
        judgement = judge(world)
        problems = judgement.problems or differences(world, judgement.bound, judgement.grants, folder)
    return Verdict(world, problems + ["a reader met void records"] * world.met_void)
