"""Calls that were given up, asked from outside, and sent again; workers may go on."""

from __future__ import annotations

from collections.abc import Sequence

from livepromo.delivery.given_up import DeadCall, dead_call, sent_again
from livepromo.delivery.queue import REPLAY_KEY
from livepromo.settings import Settings
from livepromo.streaming.producer import Outbox
from livepromo.worker.connecting import kafka_of
from livepromo.worker.publishing_changes import kafka_log

TOGETHER = 500


async def given_up(settings: Settings, partitions: int) -> list[DeadCall]:
    """Return the calls that were given up and not sent again since, the oldest first: of each grant the last. Raises UnavailableError."""
    topic = settings.topic("webhooks.dead-letters")
    found: list[DeadCall] = []
    async with kafka_log(settings) as log:
        for partition in range(partitions):
            end = await log.end(topic, partition)
            last: dict[str, DeadCall] = {}  # a grant's calls are always in the same partition
            async for records in log.read(topic, partition, 0, end):
                for record in records:
                    dead = dead_call(partition, record.timestamp_ms, record.key, record.value, record.headers)
                    name = f"@{record.offset}" if record.key is None else record.key.decode()
                    last.pop(name, None)
                    if dead is not None:
                        last[name] = dead
            found += last.values()
    return sorted(found, key=lambda dead: (dead.given_up_ms, dead.grant_id))


async def send_again(settings: Settings, dead: Sequence[DeadCall]) -> int:
    """Put calls among those that workers make, under the same ids and with the same bytes; return how many.

    Those whose body is not kept any more are left out. Ended in between, it is asked again for those that it had not come to, and
    perhaps some more: they are made twice then. Raises UnavailableError.
    """
    calls, letters = settings.topic("webhooks"), settings.topic("webhooks.dead-letters")
    kept = sorted((one for one in dead if one.value is not None), key=lambda one: one.partition)
    outbox = Outbox(kafka_of(settings))
    await outbox.start()
    try:
        for at in range(0, len(kept), TOGETHER):
            some = kept[at : at + TOGETHER]
            for partition in sorted({one.partition for one in some}):
                here = [one for one in some if one.partition == partition]
                await outbox.send(calls, partition, [(REPLAY_KEY, one.value, ()) for one in here])
                await outbox.send(letters, partition, [sent_again(one.grant_id) for one in here])
    finally:
        await outbox.close()
    return len(kept)
