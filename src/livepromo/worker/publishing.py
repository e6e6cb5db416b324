"""The catalogue as it stands in its topic: read, followed, and added to."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from livepromo.documents.catalogue import Catalogue, Intervention, Publication, decode, take
from livepromo.engine.horizons import Horizons
from livepromo.engine.plan import Plan, compile_plan
from livepromo.streaming.errors import DoesNotFitError
from livepromo.streaming.log import Log

PARTITION = 0


class Taken(NamedTuple):
    """A record of the catalogue, and whether it counts; `catalogue` is what holds behind it."""

    offset: int
    published_ms: int
    publication: Publication | Intervention
    valid: bool
    catalogue: Catalogue


class Publications:
    """Everything that was ever published, in order, and the plans that partitions ask for. Grows by `follow`."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log, self._topic = log, topic
        self.taken: list[Taken] = []
        self._plans: dict[int, Plan] = {}
        self._read_to = 0

    @property
    def newest(self) -> Catalogue:
        """The catalogue behind everything that was read."""
        return self.taken[-1].catalogue if self.taken else Catalogue()

    async def follow(self) -> bool:
        """Read what was published since; return whether there was anything. Raises UnavailableError, FormatError."""
        end = await self._log.end(self._topic, PARTITION)
        if end <= self._read_to:
            return False
        async for records in self._log.read(self._topic, PARTITION, self._read_to, end):
            for record in records:
                if record.offset < self._read_to:
                    continue  # another call has read it while this one waited
                assert record.value is not None, f"the catalogue's record {record.offset} has no value"
                publication = decode(record.value)
                catalogue, valid = take(self.newest, record.offset, record.timestamp_ms, publication)
                self.taken.append(Taken(record.offset, record.timestamp_ms, publication, valid, catalogue))
                self._read_to = record.offset + 1
        self._read_to = max(self._read_to, end)
        return True

    async def follow_to(self, position: int) -> None:
        """Read at least up to `position`. Raises UnavailableError, FormatError, and DoesNotFitError where the catalogue ends before it."""
        if self.newest.position < position:
            await self.follow()
        if self.newest.position < position:
            raise DoesNotFitError(
                f"{self._topic} ends at {self.newest.position}, but publications up to {position} were taken: "
                "restore it from the backup set"
            )

    def at(self, position: int) -> Catalogue:
        """Return the catalogue of the publications before `position`, which must have been read."""
        at = bisect_left(self.taken, position, key=lambda taken: taken.offset)
        return self.taken[at - 1].catalogue if at else Catalogue()

    def plan(self, position: int, horizons: Horizons) -> Plan:
        """Return the plan of the catalogue at a position; compiled once, whatever the number of partitions that ask."""
        plan = self._plans.get(position)
        if plan is None:
            if len(self._plans) > 16:  # noqa: PLR2004 - partitions stand at a few positions at most
                self._plans.clear()
            plan = self._plans[position] = compile_plan(self.at(position), horizons)
        return plan
