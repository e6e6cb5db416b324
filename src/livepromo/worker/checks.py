"""Whether Kafka and Redis are there and fit, asked before a worker begins."""

from __future__ import annotations

from livepromo.ledger.redis_table import RedisTable
from livepromo.settings import Settings
from livepromo.worker.topics import LARGEST, ORDINARY_MESSAGE_BYTES, fitting

HEADERS_BYTES = 1 << 10  # what the headers of a dead letter take, and the batch around it, at most


async def dead_letter_bytes(settings: Settings, table: RedisTable) -> int:
    """Return how long key and value of a dead letter may be together, once it is sure that a worker can work here.

    An embedded broker makes its topics as they are used, and has nothing to look at.

    Raises:
        UnavailableError: Kafka or Redis cannot be reached.
        DoesNotFitError, EvictingError: what is there does not fit; the message says what to do.
    """
    await table.check_server()
    if settings.embedded:
        return ORDINARY_MESSAGE_BYTES
    there = await fitting(settings)
    return int(there[settings.topic("dead-letters")].config[LARGEST]) - HEADERS_BYTES
