"""A model of Redis behind the port `Table`: it loses replies, answers late, forgets everything, goes back to an older copy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from livepromo.ledger.deciding import Row
from livepromo.ledger.folding import Progress
from livepromo.ledger.sources import Source
from livepromo.ledger.table import Applied, Away, UnavailableError
from simulation.faults import Faults
from simulation.kafka_model import ModelLog
from simulation.scheduler import Call, Fate

Rows = dict[tuple[int, str], Row]  # generation and name


class Held(NamedTuple):
    """What a server holds of one ledger partition; never changed, so a copy is a reference."""

    applied: Applied
    progress: Progress
    rows: Rows


class Redis:
    """The server. Every method is what happens there, at once."""

    def __init__(self) -> None:
        self.held: dict[int, Held] = {}
        self.copies: list[dict[int, Held]] = []

    def copy(self) -> None:
        """Keep what is held now, to go back to."""
        self.copies.append(dict(self.held))

    def read(self, partition: int, generation: int, names: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        held = self.held.get(partition)
        if held is None:
            return None, {}
        return held.applied, {name: dict(held.rows[generation, name]) for name in names if (generation, name) in held.rows}

    def progress(self, partition: int) -> tuple[Applied | None, Progress | None]:
        held = self.held.get(partition)
        return (None, None) if held is None else (held.applied, held.progress)

    def write(
        self, partition: int, expected: Applied | None, applied: Applied, rows: Rows, sources: Mapping[int, Source], candidates_offset: int
    ) -> bool:
        held = self.held.get(partition)
        if (held and held.applied) != expected:
            return False
        goes_on = held is not None and held.applied.generation == applied.generation
        known = held.progress.sources if held is not None and goes_on else {}
        before = held.rows if held is not None else {}
        self.held[partition] = Held(applied, Progress(candidates_offset, {**known, **sources}), {**before, **rows})
        return True

    def forget(self, partition: int, generation: int) -> bool:
        held = self.held.get(partition)
        if held is None or held.applied.generation != generation:
            return False
        self.held[partition] = held._replace(rows={key: row for key, row in held.rows.items() if key[0] == generation})
        return True


class ModelTable:
    """`Table` of one process."""

    def __init__(self, redis: Redis, faults: Faults, log: ModelLog) -> None:
        self._redis, self._faults, self._log = redis, faults, log

    async def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        await self._log.about_to(f"table.{name}")
        fate = Fate.NORMAL
        for kind, meant in (
            ("table_request_lost", Fate.REQUEST_LOST),
            ("table_reply_lost", Fate.REPLY_LOST),
            ("table_late", Fate.LATE),
        ):
            if self._faults.strikes(kind):
                fate = meant
                break
        return await Call(effect, fate, lambda: UnavailableError(Away.TIMEOUT, "no reply"), self._log.delay_ms("table"))

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        names = tuple(rows)
        found: tuple[Applied | None, dict[str, Row]] = await self._call("read", lambda: self._redis.read(partition, generation, names))
        return found

    async def progress(self, partition: int) -> tuple[Applied | None, Progress | None]:
        found: tuple[Applied | None, Progress | None] = await self._call("progress", lambda: self._redis.progress(partition))
        return found

    async def write(
        self,
        partition: int,
        expected: Applied | None,
        applied: Applied,
        rows: Mapping[str, Row],
        sources: Mapping[int, Source],
        candidates_offset: int,
    ) -> bool:
        written = {(applied.generation, name): dict(row) for name, row in rows.items()}
        known = dict(sources)
        done: bool = await self._call("write", lambda: self._redis.write(partition, expected, applied, written, known, candidates_offset))
        return done

    async def forget(self, partition: int, generation: int) -> bool:
        done: bool = await self._call("forget", lambda: self._redis.forget(partition, generation))
        return done

    async def row_names(self, partition: int, generation: int) -> AsyncIterator[list[str]]:
        held = self._redis.held.get(partition)
        yield [] if held is None else [name for at, name in held.rows if at == generation]
