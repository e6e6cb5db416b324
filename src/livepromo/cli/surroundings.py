"""What the commands that talk to Kafka and Redis ask first, and how they end when something is not there."""

from __future__ import annotations

from collections.abc import Sequence

from livepromo.settings import Settings, Topic


async def partitions(settings: Settings, *names: Topic, events: bool = False, others: Sequence[str] = ()) -> dict[str, int]:
    """Return how many partitions topics of ours have, by the topic's whole name.

    With `events` that one too, and `others`, which are not named after the installation. Asked before anything else: a client
    that reads a topic that is not there may make it, with the wrong settings.
    Raises UnavailableError, MissingTopicError.
    """
    from livepromo.streaming.errors import MissingTopicError  # noqa: PLC0415 - Kafka's client is slow to import
    from livepromo.streaming.producer import Outbox  # noqa: PLC0415
    from livepromo.streaming.topics import describe  # noqa: PLC0415
    from livepromo.worker.connecting import kafka_of  # noqa: PLC0415

    topics = [settings.topic(name) for name in names] + ([settings.events] if events else []) + list(others)
    if settings.embedded:  # an embedded broker makes topics as they are used, and describes none
        outbox = Outbox(kafka_of(settings))
        await outbox.start()
        try:
            return {topic: await outbox.partitions(topic) for topic in topics}
        finally:
            await outbox.close()
    there = await describe(kafka_of(settings), topics)
    missing = [topic for topic in topics if topic not in there]
    if missing:
        raise MissingTopicError(f"kafka at {settings.kafka} has no topic {', '.join(missing)}: run livepromo init")
    return {topic: there[topic].partitions for topic in topics}
