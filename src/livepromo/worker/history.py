"""The silent scan of past records for rules that were asked for just now: a bounded number of records with every look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from livepromo.engine.boundary import decode_all, scan_all
from livepromo.engine.histories import (
    Asked,
    Reading,
    Scanned,
    asked_by,
    behind,
    complete_since_ms,
    met_more,
    new_rules,
    next_scan,
    nothing_scanned,
    reach_ms,
)
from livepromo.engine.partition import Batch
from livepromo.engine.plan import Plan
from livepromo.engine.state import Changes, State
from livepromo.model.records import DeadReason, Malformed, Record
from livepromo.streaming.errors import UnavailableError
from livepromo.streaming.log import LogRecord
from livepromo.worker.shared import Shared, log

_BUG: Record = Malformed(DeadReason.BUG)
_NOTHING: list[LogRecord] = []

MakeDurable = Callable[[Changes], Awaitable[None]]


class History:
    """Reads the past of one partition for its owner, who calls this between slices. It holds nothing that a restart would miss."""

    def __init__(self, partition: int, shared: Shared) -> None:
        self._partition, self._shared = partition, shared
        self._topic = shared.topics.events
        self._name: int | None = None  # the scan being read
        self._met: Scanned = nothing_scanned(shared.horizons)
        self._reading: AsyncIterator[list[LogRecord]] | None = None

    async def asked_by(self, state: State, before: Plan, after: Plan) -> Asked:
        """Return what the plan `after`, about to follow `before`, asks to be read. Waits while Kafka is away."""
        shared, firsts, known = self._shared, dict[bytes, int](), dict[int | None, int]()
        for rule in new_rules(state, after):
            from_ms = reach_ms(state, after, shared.horizons, rule)
            if from_ms not in known:
                known[from_ms] = await shared.patiently("where a look-back begins", partial(self._offset_at, from_ms))
            firsts[rule.key] = known[from_ms]
        return asked_by(state, before, after, firsts)

    async def _offset_at(self, at_ms: int | None) -> int:
        log_of = self._shared.log
        if at_ms is None:
            return await log_of.begin(self._topic, self._partition)
        return await log_of.at_time(self._topic, self._partition, max(0, at_ms))

    async def read(self, state: State, plan: Plan, make_durable: MakeDurable) -> bool:
        """Read the next records for the oldest scan, if there is one, and make durable what they add; say whether more wait.

        Where Kafka is away it says no, and the next look tries again.
        """
        name = next_scan(state)
        if name is None or name != self._name:
            await self.close()
        if name is None:
            return False
        try:
            records = await self._next(state, name)
        except UnavailableError as error:
            log.warning("the past of %s[%d] cannot be read: %s", self._topic, self._partition, error)
            await self.close()
            return False
        await self._take(state, plan, name, records, make_durable)
        return next_scan(state) is not None

    async def _next(self, state: State, name: int) -> list[LogRecord]:
        if self._reading is None:
            at = state.scans[name]
            self._name, self._met = name, nothing_scanned(self._shared.horizons)
            start = at.first if at.next == at.first else min(at.next, max(at.first, await self._offset_of_ids(at.stream_ms)))
            self._reading = self._shared.log.read(self._topic, self._partition, start, at.end)
        return await anext(self._reading, _NOTHING)

    async def _offset_of_ids(self, stream_ms: int) -> int:
        """Return from where to read again, to know what was read before and may still be repeated."""
        horizons = self._shared.horizons
        return await self._offset_at(stream_ms - horizons.lateness_ms - horizons.repeats_ms)

    async def _take(self, state: State, plan: Plan, name: int, records: list[LogRecord], make_durable: MakeDurable) -> None:
        shared = self._shared
        whole = shared.format.whole
        values = [record.value if whole is None else whole(record.value, record.headers) for record in records]
        decoded, _ = decode_all(values, shared.format.decode, _BUG)
        batch = Batch([record.offset for record in records], decoded, [record.timestamp_ms for record in records])
        to = behind(batch, len(records)) or state.scans[name].end  # there is nothing behind the last records
        while True:
            changes, more, bugs = scan_all(Reading(state, plan, shared.horizons, name), self._met, batch, to=to)
            for at, text in bugs.items():
                log.error("a bug left %s[%d]@%d out of the past:\n%s", self._topic, self._partition, batch.offsets[at], text)
            if changes.scans:
                await make_durable(changes)
                shared.failpoints.reach("history.read_appended")
            self._met = met_more(self._met, more)
            if changes.took == len(batch.records):
                return
            batch = batch.behind(changes.took)

    def report(self, state: State) -> None:
        """Set the gauge of what is known of the past."""
        if state.has_begun:
            gauge = self._shared.metrics.history_complete_since_timestamp_seconds
            gauge.labels(partition=str(self._partition)).set(complete_since_ms(state) / 1000)

    async def close(self) -> None:
        """Stop reading; `read` goes on where the state says."""
        reading, self._reading, self._name = self._reading, None, None
        if reading is not None:
            await reading.aclose()  # type: ignore[attr-defined] # every reading is a generator

    def forget(self) -> None:
        """Say nothing of this partition any more."""
        self._shared.metrics.history_complete_since_timestamp_seconds.remove_by_labels({"partition": str(self._partition)})
