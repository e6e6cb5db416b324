"""The table in Redis against the one in memory, whatever is done to both."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from livepromo.ledger.redis_address import RedisAddress
from livepromo.ledger.redis_table import RedisTable
from livepromo.ledger.sources import Source
from livepromo.ledger.table import Applied, MemoryTable, next_generation
from livepromo.model.records import Position
from livepromo.sandbox.servers import RedisServer

pytestmark = pytest.mark.integration

PARTITIONS = (0, 10)
NAMES = ["camp", "camp/u1", "camp/u2", "other/ü/{1}"]
partitions = st.sampled_from(PARTITIONS)
owners = st.integers(0, 1)
slots = st.dictionaries(st.sampled_from(["total", "amount", "day:739000", "week:3"]), st.integers(1, 10**15), min_size=1)
rows = st.dictionaries(st.sampled_from(NAMES), slots)
positions = st.builds(Position, st.integers(0, 2**40), st.integers(0, 3))
sources = st.dictionaries(
    st.integers(0, 3), st.builds(Source, st.integers(0, 99), positions, st.dictionaries(st.integers(0, 2**64 - 1), positions, max_size=3))
)


class Tables(RuleBasedStateMachine):
    """Two owners, each with what it last knew, on partitions of both tables; and a server that forgets, goes back, or loses its scripts."""

    run: Any
    in_redis: RedisTable
    client: redis.Redis

    @initialize()
    def begin(self) -> None:
        """Begin with two empty tables."""
        self.client.flushall()
        self.memory = MemoryTable()
        self.known: dict[tuple[int, int], Applied | None] = {}  # owner, partition
        self.generations: dict[int, set[int]] = {partition: {0} for partition in PARTITIONS}
        self.epoch = 0
        self.copies: list[tuple[dict[bytes, bytes], MemoryTable]] = []

    def both(self, call: str, *args: Any) -> Any:
        """Ask both tables; return what they agree on."""
        said = self.run(getattr(self.in_redis, call)(*args))
        assert said == self.run(getattr(self.memory, call)(*args))
        return said

    @rule(owner=owners, partition=partitions)
    def look(self, owner: int, partition: int) -> None:
        """Let an owner learn where the table stands."""
        self.known[owner, partition], _ = self.both("progress", partition)

    @rule(owner=owners, partition=partitions, further=st.integers(0, 3), rows=rows, sources=sources, offset=st.integers(0, 2**50))
    def write_on(self, owner: int, partition: int, further: int, rows: dict, sources: dict, offset: int) -> None:
        """Let an owner write what follows on what it knows."""
        known = self.known.get((owner, partition))
        applied = Applied(1, further) if known is None else Applied(known.generation, known.offset + further)
        if known is None:
            self.epoch += 1
            applied = Applied(self.epoch, further)
        self.write(owner, partition, applied, rows, sources, offset)

    @rule(owner=owners, partition=partitions, reached=st.integers(0, 9), rows=rows, sources=sources, offset=st.integers(0, 2**50))
    def begin_a_generation(self, owner: int, partition: int, reached: int, rows: dict, sources: dict, offset: int) -> None:
        """Let an owner fold from the start."""
        self.epoch += 1
        generation = next_generation(self.known.get((owner, partition)), self.epoch)
        self.write(owner, partition, Applied(generation, reached), rows, sources, offset)

    def write(self, owner: int, partition: int, applied: Applied, rows: dict, sources: dict, offset: int) -> None:
        """Write to both tables as the owner, who may be behind."""
        if self.both("write", partition, self.known.get((owner, partition)), applied, rows, sources, offset):
            self.known[owner, partition] = applied
            self.generations[partition].add(applied.generation)

    @rule(partition=partitions, data=st.data())
    def forget(self, partition: int, data: st.DataObject) -> None:
        """Forget all but a generation, the current one or not."""
        self.both("forget", partition, data.draw(st.sampled_from(sorted(self.generations[partition]))))

    @rule()
    def forget_everything(self) -> None:
        """Empty the server."""
        self.client.flushall()
        self.memory = MemoryTable()

    @rule()
    def lose_scripts(self) -> None:
        """Make the server forget its scripts."""
        self.client.script_flush()

    @rule()
    def keep_a_copy(self) -> None:
        """Keep a copy of what the server holds."""
        keys = self.client.keys()
        self.copies.append(({key: self.client.dump(key) for key in keys}, copy.deepcopy(self.memory)))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        """Put the server back to an old copy."""
        keys, memory = data.draw(st.sampled_from(self.copies))
        self.client.flushall()
        for key, value in keys.items():
            self.client.restore(key, 0, value)
        self.memory = copy.deepcopy(memory)

    @invariant()
    def every_row_of_every_generation_is_the_same(self) -> None:
        """Compare everything."""
        for partition in PARTITIONS:
            for generation in sorted(self.generations[partition])[-4:]:
                self.both("read", partition, generation, NAMES)
            self.both("progress", partition)


def test_the_table_in_redis_is_the_one_in_memory(redis_server: RedisServer) -> None:
    with asyncio.Runner() as runner, redis.Redis.from_url(redis_server.url) as client:
        in_redis = RedisTable(RedisAddress.parse(redis_server.url), "test")
        machine = type("TablesHere", (Tables,), {"run": staticmethod(runner.run), "in_redis": in_redis, "client": client})
        checks = [HealthCheck.too_slow, HealthCheck.filter_too_much]
        run_state_machine_as_test(
            machine, settings=settings(max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=checks)
        )
        runner.run(in_redis.close())
