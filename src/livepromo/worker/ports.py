"""What the steps of the worker need from outside, in no library's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

OutRecord = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Key, value and headers of a record that leaves."""


class Outbox(Protocol):
    """Appends to topics that have many writers."""

    async def send_many(self, batches: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        """Append records to partitions, in order within each, and return when all of them are durable.

        Waits while Kafka is away. Some may be appended twice, or appended though this raises.
        """
        ...

    async def place(self, topic: str, partition: int, records: Sequence[OutRecord]) -> Sequence[int]:
        """Append records to a partition as `send_many` does, and return the offset of each, in ascending order.

        One that was appended twice has one of the two.
        """
        ...
