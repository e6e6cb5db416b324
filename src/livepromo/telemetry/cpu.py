"""How much processor time a coroutine takes, though others run in between."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from prometheus_client import Counter

from livepromo.telemetry.clock import cpu_s

Result = TypeVar("Result")


class Measured(Awaitable[Result]):
    """Awaits something, and adds to a counter the processor time of each stretch between two waits."""

    def __init__(self, inner: Awaitable[Result], seconds: Counter) -> None:
        self._inner, self._seconds = inner, seconds

    def __await__(self) -> Generator[Any, Any, Result]:
        steps = self._inner.__await__()
        if not hasattr(steps, "throw"):
            return (yield from steps)
        send, argument = steps.send, None  # type: Any, Any
        while True:
            before = cpu_s()
            try:
                waited_for = send(argument)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            finally:
                self._seconds.inc(cpu_s() - before)
            try:
                send, argument = steps.send, (yield waited_for)
            except BaseException as error:  # noqa: BLE001 - handed on to where it belongs, cancellation too
                send, argument = steps.throw, error
