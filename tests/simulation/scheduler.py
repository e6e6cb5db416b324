"""Processes in one thread: coroutines driven by hand, calls that take their time, all in an order that a seed decides."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Generator, Sequence
from enum import Enum, auto
from random import Random
from typing import Any


class KilledError(BaseException):
    """The process was killed inside a step; nothing of it runs on."""


class Fate(Enum):
    """What becomes of a call on its way."""

    NORMAL = auto()
    REQUEST_LOST = auto()  # nothing happened, and the caller is told that it cannot know
    REPLY_LOST = auto()  # it happened, and the caller is told that it cannot know
    LATE = auto()  # the caller is told that it cannot know, and it happens afterwards
    REPEATED = auto()  # it happens, and once more later


class Call:
    """A request to a server: `effect` happens there, at once and whole, some time after the call was made."""

    __slots__ = ("delay_ms", "effect", "error", "fate", "result", "unknown", "waiter")

    def __init__(
        self, effect: Callable[[], Any], fate: Fate = Fate.NORMAL, unknown: Callable[[], Exception] = Exception, delay_ms: int = 0
    ) -> None:
        self.effect, self.fate, self.unknown, self.delay_ms = effect, fate, unknown, delay_ms
        self.waiter: Task | None = None
        self.result: Any = None
        self.error: Exception | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        yield (self,)
        if self.error is not None:
            raise self.error
        return self.result


class Together:
    """Several calls at once; ends when all have, with the first error."""

    __slots__ = ("calls",)

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = tuple(calls)

    def __await__(self) -> Generator[Any, None, None]:
        if self.calls:
            yield self.calls
        for call in self.calls:
            if call.error is not None:
                raise call.error


class Sleep:
    """So many milliseconds of the model's clock."""

    __slots__ = ("ms",)

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __await__(self) -> Generator[Any, None, None]:
        yield self.ms


class Process:
    """What lives and dies together. A frozen one stands still, and believes whatever it believed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive, self.frozen = True, False
        self.tasks: dict[Task, None] = {}
        self.held: list[Task] = []  # would run, were it not frozen

    def __repr__(self) -> str:
        return self.name


class Task:
    """A coroutine of a process."""

    __slots__ = ("coroutine", "name", "on_end", "process", "waits_for")

    def __init__(
        self, process: Process, name: str, coroutine: Coroutine[Any, Any, None], on_end: Callable[[Task, BaseException | None], None]
    ) -> None:
        self.process, self.name, self.coroutine, self.on_end = process, name, coroutine, on_end
        self.waits_for = 0


class Scheduler:
    """Steps: one task runs to its next call, or one call takes place. `rnd` picks which; the clock moves as little as it may."""

    def __init__(self, rnd: Random, now_ms: int) -> None:
        self.rnd, self.now_ms, self.steps = rnd, now_ms, 0
        self.flying: list[Call] = []
        self._ready: list[Task] = []
        self._later: list[tuple[int, int, Task | Call]] = []
        self._number = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self.flying and not any(isinstance(item, Call) for _, _, item in self._later)

    def spawn(
        self, process: Process, name: str, coroutine: Coroutine[Any, Any, None], on_end: Callable[[Task, BaseException | None], None]
    ) -> Task:
        """Start a task of a process."""
        task = Task(process, name, coroutine, on_end)
        process.tasks[task] = None
        self._wake(task)
        return task

    def drop(self, task: Task) -> None:
        """End a task where it stands; what it has sent may still arrive."""
        task.process.tasks.pop(task, None)
        task.coroutine.close()
        for call in [*self.flying, *(item for _, _, item in self._later if isinstance(item, Call))]:
            if call.waiter is task:
                call.waiter = None

    def kill(self, process: Process) -> None:
        """End a process where it stands; of what it has sent, some arrives."""
        process.alive = False
        tasks, process.tasks = process.tasks, {}
        for task in tasks:
            task.coroutine.close()
        lost = set()
        for call in [*self.flying, *(item for _, _, item in self._later if isinstance(item, Call))]:
            if call.waiter in tasks:
                call.waiter = None
                if self.rnd.random() < 0.5:
                    lost.add(call)
        self.flying = [call for call in self.flying if call not in lost]
        self._later = [item for item in self._later if item[2] not in lost]
        heapq.heapify(self._later)

    def land(self) -> None:
        """Have everything arrive that is on its way."""
        late = [item for _, _, item in self._later if isinstance(item, Call)]
        self._later = [item for item in self._later if not isinstance(item[2], Call)]
        heapq.heapify(self._later)
        flying, self.flying = self.flying + late, []
        for call in flying:
            self._arrive(call)

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on."""
        process.frozen = False
        held, process.held = process.held, []
        self._ready += held

    def step(self) -> None:
        """Do one thing, if there is any."""
        self.steps += 1
        self.now_ms += 1
        later = self._later
        if not self._ready and not self.flying and later:
            self.now_ms = max(self.now_ms, later[0][0])
        while later and later[0][0] <= self.now_ms:
            item = heapq.heappop(later)[2]
            if isinstance(item, Call):
                self.flying.append(item)
            else:
                self._wake(item)
        count = len(self._ready) + len(self.flying)
        if not count:
            return
        at = int(self.rnd.random() * count)
        if at < len(self._ready):
            self._ready[at], self._ready[-1] = self._ready[-1], self._ready[at]
            self._run(self._ready.pop())
        else:
            at -= len(self._ready)
            self.flying[at], self.flying[-1] = self.flying[-1], self.flying[at]
            self._arrive(self.flying.pop())

    def _put_later(self, ms: int, item: Task | Call) -> None:
        self._number += 1
        heapq.heappush(self._later, (self.now_ms + ms, self._number, item))

    def _wake(self, task: Task) -> None:
        (task.process.held if task.process.frozen else self._ready).append(task)

    def _run(self, task: Task) -> None:
        process = task.process
        if task not in process.tasks:  # dropped meanwhile
            return
        if process.frozen:
            process.held.append(task)
            return
        try:
            wanted = task.coroutine.send(None)
        except BaseException as error:  # noqa: BLE001 - whatever ended it, the world judges
            process.tasks.pop(task, None)
            task.on_end(task, None if isinstance(error, StopIteration) else error)
            return
        if isinstance(wanted, int):
            self._put_later(wanted, task)
            return
        task.waits_for = len(wanted)
        for call in wanted:
            call.waiter = task
            if call.delay_ms:
                self._put_later(call.delay_ms, call)
            else:
                self.flying.append(call)

    def _arrive(self, call: Call) -> None:
        fate = call.fate
        if fate is not Fate.REQUEST_LOST and fate is not Fate.LATE:
            try:
                call.result = call.effect()
            except Exception as error:  # noqa: BLE001 - the answer of the server
                call.error = error
        if fate is Fate.LATE or fate is Fate.REPEATED:
            self._put_later(self.rnd.randrange(1, 400), Call(call.effect))
        if fate not in {Fate.NORMAL, Fate.REPEATED}:
            call.error = call.unknown()
        task = call.waiter
        if task is not None:
            task.waits_for -= 1
            if not task.waits_for:
                self._wake(task)
