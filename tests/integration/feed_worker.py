"""A small worker for test_feed: counts records per key in a journal, through a Faust app, and writes down what happens to partitions."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import faust

from livepromo.streaming.connecting import Connection
from livepromo.streaming.feed import SliceFeed
from livepromo.streaming.journal import Journal
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.lanes import Lane, Lanes
from livepromo.streaming.offsets import Partition, Slice


class Owner:
    """The counts of one partition and the offset up to which they hold."""

    def __init__(self, log: KafkaLog, topic: str, partition: Partition, work_s: float) -> None:
        self.journal = Journal(log, topic, partition.number, monotonic=time.monotonic)
        self.counts: Counter[bytes] = Counter()
        self.position = 0
        self.work_s = work_s

    async def restore(self) -> None:
        """Take the partition over."""
        self.counts.clear()
        self.position = 0
        await self.journal.claim()
        async for records in self.journal.restore():
            for key, payload, _ in records:
                if key == b"@position":
                    self.position = int(payload or b"0")
                else:
                    self.counts[key] = int(payload or b"0")

    async def take(self, piece: Slice) -> None:
        """Count a slice, and make the counts durable with the position."""
        assert self.position == piece.first_offset, f"{piece!r} does not begin at {self.position}"
        assert piece.next_offset - piece.first_offset <= 10_000
        assert len(piece.parts) <= 3, "more slices in flight than allowed"
        changed = Counter(key or b"" for key in piece.keys)
        await asyncio.sleep(self.work_s)
        records = [(key, b"%d" % (self.counts[key] + n)) for key, n in changed.items()]
        await self.journal.append([*records, (b"@position", b"%d" % piece.next_offset)])
        self.counts += changed
        self.position = piece.next_offset


def worker(name: str, servers: str, notes: Path, settings: dict[str, float | int | bool]) -> faust.App:
    """Return the app."""
    app = faust.App(
        f"{name}-count",
        broker=f"kafka://{servers}",
        agent_supervisor="mode.CrashingSupervisor",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        stream_buffer_maxsize=4096,
        datadir=str(notes.with_suffix(".data")),
    )

    class Boot(app.BootStrategy):  # type: ignore[misc, name-defined]
        enable_kafka_consumer = False

    app.boot_strategy = Boot(app)
    slices = app.channel(maxsize=4096)
    lanes, owners = Lanes(), {}
    log = KafkaLog(Connection(servers=servers))
    work_s = float(settings.pop("work_s", 0.0))
    take_s = float(settings.pop("take_s", 0.0))
    fail_at = int(settings.pop("fail_at", -1))
    file = notes.open("a", buffering=1)

    def note(what: str, partition: Partition, offset: int | None) -> None:
        file.write(json.dumps([what, partition.number, offset]) + "\n")

    def fail(error: BaseException) -> None:
        app.log.error("a lane failed: %r", error, exc_info=error)
        app.loop.create_task(app.crash(error))

    async def taken(partition: Partition) -> int:
        owner = owners[partition] = Owner(log, f"{name}-state", partition, work_s)
        await owner.restore()
        await asyncio.sleep(take_s)

        async def on_slices(piece: Slice) -> None:
            if fail_at in piece.offsets:
                raise ValueError(f"told to fail at {fail_at}")
            await owner.take(piece)

        async def on_look() -> None:
            note("look", partition, feed().complete_until_s(partition))

        lanes.open(Lane(partition, on_slices=on_slices, on_look=on_look, on_error=fail, may_look=lambda: feed().owns(partition)))
        note("taken", partition, owner.position)
        return owner.position

    async def kept(partition: Partition) -> int:
        owner, lane = owners[partition], lanes.get(partition)
        assert lane is not None
        await lane.at_rest()
        ours = await owner.journal.still_ours()
        if not ours:
            await owner.restore()
        note("kept" if ours else "claimed anew", partition, owner.position)
        return owner.position

    async def lost(partition: Partition) -> None:
        await lanes.close([partition])
        owner = owners.pop(partition, None)
        if owner is not None:
            await owner.journal.close()
        note("lost", partition, None)

    feeds: list[SliceFeed] = []

    def feed() -> SliceFeed:
        return feeds[0]

    @app.service
    class Feed(SliceFeed):  # the app makes it
        def __init__(self, **_: object) -> None:
            super().__init__(
                app,
                slices,
                [f"{name}-events"],
                group=f"{name}-count",
                kafka=Connection(servers=servers),
                on_taken=taken,
                on_kept=kept,
                on_lost=lost,
                session_s=6,
                **settings,
            )
            feeds.append(self)

        async def on_shutdown(self) -> None:
            await log.close()

    @app.agent(slices)
    async def ingest(stream: faust.StreamT) -> None:
        async for piece in stream:
            lanes.put(piece)

    @app.timer(0.2)
    async def look() -> None:
        lanes.look()

    return app


if __name__ == "__main__":
    faust.Worker(worker(sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])), loglevel="info").execute_from_commandline()
