"""The deliver stage of one partition: the ledger → `reward-granted` and calls to endpoints, at least once, by grant id."""

from __future__ import annotations

from functools import lru_cache

from livepromo.ledger.entries import ERASED_KEY, POSITION_KEY, GrantEntry, decode
from livepromo.model.ids import partition_of
from livepromo.streaming.journal import MARKER, unseal
from livepromo.streaming.offsets import Slice
from livepromo.telemetry import clock
from livepromo.worker.calls import Named, PartitionCalls
from livepromo.worker.match import Sent
from livepromo.worker.shared import Shared

_home_of = lru_cache(maxsize=65_536)(partition_of)


class DeliverOwner:
    """Relays one partition of the ledger. Its place is the group's commit; what is relayed twice is the same, byte for byte.

    `calls` are told which grants make calls; they have a place of their own, and nothing here waits for them.
    """

    def __init__(self, partition: int, shared: Shared, calls: PartitionCalls | None = None) -> None:
        self.partition, self._shared, self._calls = partition, shared, calls
        self._newest_epoch = -1  # a record that names an older one, behind a newer owner's marker, is void

    async def take_over(self, committed: int | None = None) -> int | None:
        """Start where the group stands, or at the beginning of the ledger."""
        if self._calls is not None:
            await self._calls.start(committed or 0)
        return None

    async def keep(self) -> int | None:
        """Go on where the group stands: perhaps at records that were relayed already, of owners older than the newest seen."""
        self._newest_epoch = -1
        return None

    async def take_slice(self, piece: Slice) -> None:
        """Publish the grants of a slice; returns when all of them are durable."""
        topics = self._shared.topics
        sent: Sent = {}
        received: list[int] = []
        named: list[Named] = []
        for offset, key, value in zip(piece.offsets, piece.keys, piece.values, strict=True):
            assert value is not None, f"the ledger's record {offset} has no value"
            epoch, payload = unseal(value)
            if key == MARKER:
                self._newest_epoch = offset
                continue
            if epoch < self._newest_epoch:
                self._shared.metrics.void_records_total.labels(topic=topics.ledger).inc()
                continue
            self._newest_epoch = epoch
            if key in {POSITION_KEY, ERASED_KEY}:
                continue
            entry = decode(payload)
            assert isinstance(entry, GrantEntry), f"the ledger's record {offset} is no grant"
            headers = (
                ("grant-id", entry.grant_id.encode()),
                ("campaign", entry.campaign.encode()),
                ("reward-type", entry.reward_type.encode()),
            )
            number = _home_of(entry.user, topics.granted_partitions)
            sent.setdefault((topics.granted, number), []).append((entry.user.encode(), entry.body, headers))
            if entry.call is not None:
                named.append(Named(offset, entry.call, entry.grant_id))
            if entry.received_ms is not None:
                received.append(entry.received_ms)
        if sent:
            await self._shared.outbox.send_many(sent)
        self._shared.failpoints.reach("deliver.published")
        if self._calls is not None:
            self._calls.named(piece.first_offset, piece.next_offset, named)
        now_ms = clock.wall_ms()
        observe = self._shared.metrics.event_to_grant_seconds.observe
        for received_ms in received:
            observe(max(0, now_ms - received_ms) / 1000)

    async def look(self) -> None:
        """Nothing is due on an idle partition."""

    async def leave(self) -> None:
        """Say what became of calls; how far grants are relayed, the feed commits."""
        if self._calls is not None:
            await self._calls.leave()

    async def close(self) -> None:
        """Let go of the calls."""
        if self._calls is not None:
            await self._calls.close()
