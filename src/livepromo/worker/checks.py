"""Whether Kafka and Redis are there and fit, asked before a worker begins."""

from __future__ import annotations

from livepromo.ledger.redis_table import RedisTable
from livepromo.settings import Settings
from livepromo.worker import topics


async def check_surroundings(settings: Settings) -> None:
    """Raise where a worker could not work: UnavailableError, DoesNotFitError, EvictingError, each with what to do.

    An embedded broker makes its topics as they are used, and has nothing to look at.
    """
    if not settings.embedded:
        await topics.fitting(settings)
    table = RedisTable(settings.redis, settings.namespace)
    try:
        await table.check_server()
    finally:
        await table.close()
