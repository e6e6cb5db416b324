"""What time it is, for measurements alone: no decision depends on these."""

from __future__ import annotations

import time

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def wall_ms() -> int:
    """Return the wall clock of this machine, to compare with times that other machines wrote down."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Return seconds that only grow, also while the machine sleeps where it can tell: to measure, and to know how old a claim is."""
    return time.clock_gettime(_BOOTTIME) if _BOOTTIME is not None else time.monotonic()


def cpu_s() -> float:
    """Return the processor time that this thread has used, in seconds."""
    return time.thread_time()
