"""How far a consumer group has come, and whether anybody is in it."""

from __future__ import annotations

from typing import NamedTuple

from aiokafka.errors import for_code

from livepromo.streaming.connecting import Connection
from livepromo.streaming.topics import admin

_LOOK = "Describe on the group"


class Standing(NamedTuple):
    """What a group has committed of a topic, by partition, and how many members it has."""

    committed: dict[int, int]
    members: int


async def standing(kafka: Connection, group: str, topic: str) -> Standing:
    """Return how far a group has come in a topic. Raises UnavailableError, RefusedError."""
    async with admin(kafka, _LOOK) as client:
        members = 0
        for answer in await client.describe_consumer_groups([group]):
            for code, _, state, _, _, some, *_ in answer.groups:
                if code:
                    raise for_code(code)(group)
                members += len(some) if state not in {"Dead", "Empty"} else 0
        offsets = await client.list_consumer_group_offsets(group)
        return Standing({tp.partition: one.offset for tp, one in offsets.items() if tp.topic == topic and one.offset >= 0}, members)
