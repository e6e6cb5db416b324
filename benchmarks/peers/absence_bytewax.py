"""Absence with Bytewax: a stateful operator for each user and product that asks to be woken, `notify_at`.

It wakes by the clock on the wall alone, so the events come at an even pace and `within` is as long as so many of them take. It reads no
Kafka and keeps nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import StatefulLogic
from bytewax.testing import TestingSink, run_main

task: dict[str, Any] = json.loads(sys.argv[1]) if __name__ == "__main__" else {}
values = Path(task["values"]).read_bytes().splitlines() if task else []
began: list[float] = []
fired: list[str] = []


class Paced(StatelessSourcePartition[bytes]):
    """Hands out each event when its time has come."""

    def __init__(self) -> None:
        self._at, self._started = 0, time.monotonic()

    def next_batch(self) -> list[bytes]:
        """Return what has come by now."""
        until = min(int((time.monotonic() - self._started) * task["rate"]), len(values))
        some = values[self._at : until]
        if self._at <= task["first"] < until:
            began.append(time.process_time())
        if self._at == until == len(values):
            Path(task["result"]).write_text(json.dumps({"cpu_s": time.process_time() - began[0], "fired": fired}))
            os._exit(0)
        self._at = until
        return some

    def next_awake(self) -> datetime:
        """Return when to ask again."""
        return datetime.now(UTC) + timedelta(milliseconds=20)


class Source(DynamicSource[bytes]):
    """One such part."""

    def build(self, _step: str, _worker: int, _workers: int) -> Paced:
        """Return it."""
        return Paced()


class Window(StatefulLogic[dict[str, Any], str, None]):
    """What is open of a user and product."""

    def __init__(self, _state: None) -> None:
        self._event: dict[str, Any] | None = None
        self._due: datetime | None = None

    def on_item(self, event: dict[str, Any]) -> tuple[list[str], bool]:
        """Open or close."""
        if event["event"] == "Added To Cart" and self._due is None:
            self._event = event
            self._due = datetime.now(UTC) + timedelta(seconds=task["open_events"] / task["rate"])
        elif event["event"] == "Charged":
            self._due = None
        return [], self._due is None

    def on_notify(self) -> tuple[list[str], bool]:
        """Fire."""
        assert self._event is not None
        fired.append(self._event["id"])
        return [self._event["id"]], True

    def on_eof(self) -> tuple[list[str], bool]:
        """Do nothing."""
        return [], False

    def notify_at(self) -> datetime | None:
        """Return when the window is due."""
        return self._due

    def snapshot(self) -> None:
        """Keep nothing."""


def keyed(value: bytes) -> tuple[str, dict[str, Any]]:
    """Return an event behind its user and product."""
    event = orjson.loads(value)
    return f"{event['user']}/{event['properties']['Product ID']}", event


if __name__ == "__main__":
    flow = Dataflow("absence")
    stream = op.map("decode", op.input("events", flow, Source()), keyed)
    op.output("fired", op.stateful("windows", stream, Window), TestingSink([]))
    run_main(flow)
