"""What the owners of partitions have in common: topics, outside, and how they wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from livepromo.behaviour.formats import LIVEPROMO, RecordFormat
from livepromo.engine.horizons import Horizons
from livepromo.ledger import table
from livepromo.streaming import errors
from livepromo.streaming.journal import RENEW_AFTER_S, Journal
from livepromo.streaming.log import Log
from livepromo.telemetry.health import Outside
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.ports import Outbox

Answer = TypeVar("Answer")
log = logging.getLogger("livepromo.worker")
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Topics:
    """The names of the topics, how many partitions they have, and how long a dead letter's value may be."""

    events: str
    state: str
    candidates: str
    ledger: str
    granted: str
    denied: str
    dead_letters: str
    webhooks: str
    dead_webhooks: str
    event_partitions: int
    candidate_partitions: int
    granted_partitions: int
    denied_partitions: int
    dead_letter_bytes: int = 1 << 20


@dataclass(frozen=True)
class Shared:
    """What all partitions of a worker share. `pause` waits for seconds, `monotonic` counts them; claims are renewed after so many.

    `format` is how records of the events topic are read.
    """

    topics: Topics
    log: Log
    outbox: Outbox
    horizons: Horizons
    denials: DenialFilter
    metrics: Metrics
    failpoints: Failpoints
    monotonic: Callable[[], float]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    renew_after_s: float = RENEW_AFTER_S
    format: RecordFormat = LIVEPROMO
    outside: Outside = field(default_factory=Outside)

    def journal(self, topic: str, partition: int) -> Journal:
        """Return a journal that nobody has claimed yet."""
        return Journal(self.log, topic, partition, monotonic=self.monotonic, renew_after_s=self.renew_after_s)

    async def patiently(self, what: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until Kafka and the table answer, with growing pauses. `ask` must be such that asking again is the same as once."""
        pause_s = 0.05
        while True:
            try:
                return await ask()
            except table.UnavailableError as error:
                self.metrics.table_errors_total.labels(kind=error.kind.value).inc()
                log.warning("%s: the table is away (%s); asking again in %.2f s", what, error, pause_s)
            except errors.UnavailableError as error:
                log.warning("%s: %s; asking again in %.2f s", what, error, pause_s)
            self.outside.failed()
            await self.pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
