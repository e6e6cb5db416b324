"""livepromo erase: forget a user."""

from __future__ import annotations

from livepromo.cli.errors import UsageError
from livepromo.cli.output import say
from livepromo.cli.surroundings import partitions
from livepromo.model.ids import UserId, partition_of
from livepromo.model.json_text import json_bytes
from livepromo.settings import load
from livepromo.telemetry import clock

_LONGEST_USER = 255

REMAINS = (
    "what remains: grants in the ledger, which is never rewritten, so that no budget is passed and no code given twice; their copies and "
    "the user's events, calls and dead letters until their topics drop them; hashes of event ids, for 48 hours of stream time at most. "
    "A record of the user that comes later makes the user known again, as one who never was rewarded"
)


async def erase(*, user: str) -> None:
    """Forget a user: properties, segments, history, open windows, and then what campaigns have counted of the user.

    Writes one record to the events topic; a worker that takes it forgets, in order with everything else. Limits per user begin anew for
    whoever comes again under that id; budgets and limits of campaigns do not. What remains, and why, is said.

    Example: `livepromo erase --user u1`

    Args:
        user: The user's id.
    """
    from livepromo.streaming.producer import Outbox  # noqa: PLC0415 - Kafka's client is slow to import
    from livepromo.worker.connecting import kafka_of  # noqa: PLC0415

    if not 0 < len(user) <= _LONGEST_USER:
        raise UsageError(f"--user: an id has 1 to {_LONGEST_USER} characters, this one {len(user)}")
    settings = load()
    count = (await partitions(settings, events=True))[settings.events]
    number = partition_of(UserId(user), count)
    value = json_bytes({"type": "erase", "user": user, "ts": clock.wall_ms()})
    outbox = Outbox(kafka_of(settings))
    await outbox.start()
    try:
        await outbox.send(settings.events, number, [(user.encode(), value, ())])
    finally:
        await outbox.close()
    say(f"{settings.events}[{number}]: written; the user is forgotten as soon as a worker has taken the record")
    say(REMAINS)
