"""livepromo ledger verify, rebuild: the table in Redis against the ledger topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from livepromo.cli.errors import UnfitError
from livepromo.cli.output import progress, say, table
from livepromo.cli.surroundings import partitions
from livepromo.settings import DENIED_TOPIC, GRANTED_TOPIC, Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.ledger.entries import Entry
    from livepromo.ledger.redis_table import RedisTable
    from livepromo.streaming.kafka_log import KafkaLog
    from livepromo.worker.decide import DecideOwner
    from livepromo.worker.shared import Shared
    from livepromo.worker.verifying import Verified


async def verify() -> None:
    """Compare what Redis holds with what the ledger topic says, row by row, up to where Redis stands.

    Workers may go on meanwhile. That Redis is behind, or empty, is no difference: a worker brings it up before it decides again.
    Differences end with exit code 3.

    Example: `livepromo ledger verify`
    """
    from livepromo.worker.verifying import verify as verify_partition  # noqa: PLC0415 - slow to import

    settings = load()
    topic = settings.topic("ledger")
    count = (await partitions(settings, "ledger"))[topic]
    async with _kafka_and_redis(settings) as (log, redis):
        ends = [await log.end(topic, number) for number in range(count)]
        with progress("comparing", sum(ends)) as moved:
            found = [await verify_partition(log, topic, redis, number, moved) for number in range(count)]
    columns = ["partition", "grants", "rows", "ledger ends at", "redis stands at", "differences"]
    table(columns, [[one.partition, one.grants, one.rows, one.end, one.applied and one.applied.offset, one.differ] for one in found])
    _judge(found)


def _judge(found: Sequence[Verified]) -> None:
    """Say what is behind and what differs. Raises UnfitError where something does."""
    for one in found:
        if one.applied is None and one.grants:
            say(f"partition {one.partition}: redis holds nothing of {one.grants} grants; a worker fills it before it decides again")
        elif one.applied is not None and one.applied.offset < one.end:
            say(f"partition {one.partition}: redis is {one.end - one.applied.offset} records behind; a worker brings it up")
        for row, slot, ledger, held in one.differences:
            say(f"partition {one.partition}: {row}, {slot}: the ledger says {ledger}, redis holds {held}")
        if one.differ > len(one.differences):
            say(f"partition {one.partition}: {one.differ - len(one.differences)} more differences")
    if any(one.differ for one in found):
        raise UnfitError("redis does not hold what the ledger says: run livepromo ledger rebuild")


async def rebuild() -> None:
    """Fill Redis from the ledger topic, from its beginning, whatever Redis holds now.

    Every partition of the ledger is claimed first. So workers that run end, once, when they next decide; started again, as they are by
    whatever supervises them, they go on where they stood. Nothing is decided twice, and no limit is forgotten meanwhile.

    Example: `livepromo ledger rebuild`
    """
    from livepromo.ledger.entries import GrantEntry  # noqa: PLC0415 - slow to import

    settings = load()
    topic = settings.topic("ledger")
    count = (await partitions(settings, "ledger"))[topic]
    grants = rows = 0
    started_s = clock.cpu_s()
    async with _kafka_and_redis(settings) as (log, redis):
        await redis.check_server()
        ends = [await log.end(topic, number) for number in range(count)]
        with progress("rebuilding", sum(ends)) as moved:

            def told(entries: Sequence[Entry]) -> None:
                nonlocal grants
                grants += sum(isinstance(entry, GrantEntry) for entry in entries)
                moved(len(entries))

            for number in range(count):
                owner = _owner(settings, log, redis, number, count)
                try:
                    await owner.rebuild(told)
                finally:
                    await owner.close()
        used_s = clock.cpu_s() - started_s
        for number in range(count):
            rows += await _count_rows(redis, number)
    say(f"{topic}: {grants} grants of {count} partitions made {rows} rows in redis, in {used_s:.1f} s of processor time")


async def _count_rows(redis: RedisTable, partition: int) -> int:
    applied, _ = await redis.progress(partition)
    names: set[str] = set()
    if applied is not None:
        async for some in redis.row_names(partition, applied.generation):
            names.update(some)
    return len(names)


@asynccontextmanager
async def _kafka_and_redis(settings: Settings) -> AsyncIterator[tuple[KafkaLog, RedisTable]]:
    from livepromo.ledger.redis_table import RedisTable  # noqa: PLC0415 - slow to import
    from livepromo.worker.connecting import redis_of  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415

    redis = RedisTable(redis_of(settings), settings.namespace)
    try:
        async with kafka_log(settings) as log:
            yield log, redis
    finally:
        await redis.close()


def _owner(settings: Settings, log: KafkaLog, redis: RedisTable, number: int, count: int) -> DecideOwner:
    """Return what owns a partition of the ledger in a worker; all that it is asked for here is to fold."""
    from livepromo.ledger.shelf import MemoryShelf  # noqa: PLC0415 - slow to import
    from livepromo.worker.decide import DecideOwner  # noqa: PLC0415

    return DecideOwner(number, shared_of(settings, log, count, count), redis, MemoryShelf({}))


def shared_of(settings: Settings, log: KafkaLog, events: int, candidates: int) -> Shared:
    """Return what owners of partitions have in common, for a command that publishes nothing: its outbox is not started."""
    from livepromo.behaviour.formats import FORMATS  # noqa: PLC0415 - slow to import
    from livepromo.streaming.producer import Outbox  # noqa: PLC0415
    from livepromo.telemetry.metrics import Metrics  # noqa: PLC0415
    from livepromo.worker.connecting import kafka_of  # noqa: PLC0415
    from livepromo.worker.denials import DenialFilter  # noqa: PLC0415
    from livepromo.worker.failpoints import Failpoints  # noqa: PLC0415
    from livepromo.worker.horizons import horizons_of  # noqa: PLC0415
    from livepromo.worker.shared import Shared, Topics  # noqa: PLC0415

    topics = Topics(
        events=settings.events,
        state=settings.topic("state"),
        candidates=settings.topic("candidates"),
        ledger=settings.topic("ledger"),
        granted=GRANTED_TOPIC,
        denied=DENIED_TOPIC,
        dead_letters=settings.topic("dead-letters"),
        webhooks=settings.topic("webhooks"),
        dead_webhooks=settings.topic("webhooks.dead-letters"),
        event_partitions=events,
        candidate_partitions=candidates,
        granted_partitions=1,  # nothing is published
        denied_partitions=1,
    )
    return Shared(
        topics=topics,
        log=log,
        outbox=Outbox(kafka_of(settings)),
        horizons=horizons_of(settings),
        denials=DenialFilter(settings.denials),
        metrics=Metrics(),
        failpoints=Failpoints.parse(settings.failpoints),
        monotonic=clock.monotonic_s,
        format=FORMATS[settings.format],
    )
