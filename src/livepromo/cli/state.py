"""livepromo state rebuild: the state of every partition anew from the events topic."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepromo.cli.errors import UnfitError
from livepromo.cli.ledger import shared_of
from livepromo.cli.output import progress, say, table
from livepromo.cli.surroundings import partitions
from livepromo.settings import Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.streaming.groups import Standing


_LEAVING_S = 2.0
_ASK_AGAIN_S = 0.5


async def _left(settings: Settings) -> Standing:
    """Return how far workers had come, once none is in the group any more. Raises UnfitError where some stay.

    One that was killed is a member until the session timeout is over.
    """
    from livepromo.streaming.groups import standing  # noqa: PLC0415 - Kafka's client is slow to import
    from livepromo.worker.connecting import kafka_of  # noqa: PLC0415

    deadline_s = clock.monotonic_s() + settings.session_ms / 1000 + _LEAVING_S
    while True:
        group = await standing(kafka_of(settings), f"{settings.namespace}.match", settings.events)
        if not group.members:
            return group
        if clock.monotonic_s() >= deadline_s:
            raise UnfitError(f"workers run: {settings.namespace}.match has {group.members} members; stop them all, then rebuild")
        await asyncio.sleep(_ASK_AGAIN_S)


async def rebuild(*, users_moved: bool = False) -> None:
    """Make the state of every partition anew from the events topic, silently, up to where it stands: no reward is given for what is read.

    For a state that is lost, or doubted, and after partitions were added. All workers must have been stopped. It claims every partition;
    where it is interrupted, workers refuse to start until it has been run to its end. What the events topic no longer holds is not in
    the new state: properties, segments, history and windows from before that are gone.

    Example: `livepromo state rebuild`

    Args:
        users_moved: Partitions were added: look for the users of each in all of them.
    """
    from livepromo.telemetry.metrics import tzdata_version  # noqa: PLC0415 - slow to import
    from livepromo.worker.publishing import Publications  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415
    from livepromo.worker.rebuilding import UNKNOWN, Rebuilding, Rebuilt, read_ledger  # noqa: PLC0415

    settings = load()
    there = await partitions(settings, "catalogue", "state", "ledger", events=True)
    events, state, ledger = settings.events, settings.topic("state"), settings.topic("ledger")
    if there[events] != there[state]:
        raise UnfitError(f"{state} has {there[state]} partitions, {events} has {there[events]}: give it as many, with Kafka's own tools")
    group = await _left(settings)
    found: list[Rebuilt] = []
    async with kafka_log(settings) as log:
        publications = Publications(log, settings.topic("catalogue"))
        await publications.follow()
        shared = shared_of(settings, log, there[events], there[ledger])
        newest = publications.plan(publications.newest.position, shared.horizons)
        with progress("reading the ledger", sum([await log.end(ledger, number) for number in range(there[ledger])])) as moved:
            known = await read_ledger(log, ledger, there[ledger], newest, moved)
        held = sum([await log.end(events, number) - await log.begin(events, number) for number in range(there[events])])
        with progress("rebuilding", held * (there[events] if users_moved else 1)) as moved:
            for number in range(there[events]):
                owner = Rebuilding(number, shared, publications, tzdata_version(), known.get(number, UNKNOWN), group.committed.get(number))
                found.append(await owner.run(users_moved=users_moved, moved=moved))
    table(
        ["partition", "records", "users", "from offset", "up to"],
        [[number, one.records, one.users, one.first, one.position.offset] for number, one in enumerate(found)],
    )
    for number, one in enumerate(found):
        if one.lost:
            say(f"{events}[{number}]: {one.lost} records were deleted before they were matched: they are not decided, and never will be")
    say(f"{state}: {len(found)} partitions rebuilt; workers may start")
