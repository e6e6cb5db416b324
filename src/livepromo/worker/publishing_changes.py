"""How something is published: appended to the catalogue, found valid when read in order, and taken by every partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from livepromo.documents.catalogue import Catalogue, Intervention, Publication, encode
from livepromo.engine.journalling import POSITION_KEY, read_position
from livepromo.settings import Settings
from livepromo.streaming.errors import RecordTooLargeError
from livepromo.streaming.journal import unseal
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.log import Log
from livepromo.streaming.producer import Outbox
from livepromo.telemetry import clock
from livepromo.worker.connecting import kafka_of
from livepromo.worker.publishing import PARTITION, Publications, Taken

TAIL_RECORDS = 200
ASK_AGAIN_S = 0.2


class VoidError(Exception):
    """Somebody else published in between, so what was appended does not count."""


class TooLargeError(Exception):
    """A publication that the catalogue does not take."""


@asynccontextmanager
async def kafka_log(settings: Settings) -> AsyncIterator[KafkaLog]:
    """Give a log to read, and close it."""
    log = KafkaLog(kafka_of(settings), embedded=settings.embedded)
    try:
        yield log
    finally:
        await log.close()


async def read_publications(settings: Settings) -> Publications:
    """Return everything that was published. Raises UnavailableError, FormatError."""
    async with kafka_log(settings) as log:
        publications = Publications(log, settings.topic("catalogue"))
        await publications.follow()
        return publications


async def read_catalogue(settings: Settings) -> Catalogue:
    """Return the catalogue as it stands. Raises UnavailableError, FormatError."""
    return (await read_publications(settings)).newest


async def publish(settings: Settings, make: Callable[[Catalogue], Publication | Intervention | None]) -> Taken | None:
    """Append what `make` returns for the newest catalogue; return it as taken, or None where `make` has nothing to publish.

    Raises VoidError where somebody published in between, TooLargeError, UnavailableError.
    """
    async with kafka_log(settings) as log:
        publications = Publications(log, settings.topic("catalogue"))
        await publications.follow()
        publication = make(publications.newest)
        if publication is None:
            return None
        before = len(publications.taken)
        value = encode(publication)
        outbox = Outbox(kafka_of(settings))
        await outbox.start()
        try:
            await outbox.send(settings.topic("catalogue"), PARTITION, [(None, value, ())])
        except RecordTooLargeError:
            raise TooLargeError(f"{len(value)} bytes are more than the catalogue takes in one publication: publish fewer at once") from None
        finally:
            await outbox.close()
        await publications.follow()
        ours = [taken for taken in publications.taken[before:] if taken.publication == publication]
        for taken in ours:
            if taken.valid:
                return taken
        raise VoidError("somebody else published in between: look again with livepromo get, then publish again")


async def not_taken_by(settings: Settings, position: int, wait_s: float) -> list[int]:
    """Wait until every partition has taken the catalogue up to `position`; return those that have not after `wait_s`."""
    deadline_s = clock.monotonic_s() + wait_s
    async with kafka_log(settings) as log:
        outbox = Outbox(kafka_of(settings))
        await outbox.start()
        try:
            waiting = list(range(await outbox.partitions(settings.topic("state"))))
        finally:
            await outbox.close()
        while True:
            waiting = [number for number in waiting if await _catalogue_of(log, settings.topic("state"), number) < position]
            if not waiting or clock.monotonic_s() >= deadline_s:
                return waiting
            await asyncio.sleep(ASK_AGAIN_S)


async def _catalogue_of(log: Log, topic: str, partition: int) -> int:
    """Return which place of the catalogue a partition has taken, by the newest position in its journal."""
    end = await log.end(topic, partition)
    tail = TAIL_RECORDS
    while end:
        start = max(0, end - tail)
        newest: int | None = None
        async for records in log.read(topic, partition, start, end):
            for record in records:
                if record.key == POSITION_KEY and record.value is not None:
                    newest = read_position(unseal(record.value)[1]).catalogue
        if newest is not None or start == 0:
            return newest or 0
        tail *= 8  # a batch may have thousands of records before its position
    return 0
