"""The worker: a Faust app that runs the stages, what they share, and how it begins and ends."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NoReturn

import faust

from livepromo.behaviour.formats import FORMATS
from livepromo.ledger import table as table_port
from livepromo.ledger.redis_shelf import RedisChunks
from livepromo.ledger.redis_table import EvictingError, RedisTable
from livepromo.model.formats import FormatError
from livepromo.settings import DENIED_TOPIC, GRANTED_TOPIC, Clock, Settings
from livepromo.settings import Stage as StageName
from livepromo.streaming.errors import DoesNotFitError, FencedError, UnavailableError, UnknownOutcomeError
from livepromo.streaming.feed import SliceFeed
from livepromo.streaming.kafka_log import KafkaLog
from livepromo.streaming.offsets import Partition
from livepromo.streaming.producer import Outbox
from livepromo.telemetry import clock
from livepromo.telemetry.health import Health, Outside, bind, last_words, measure_loop
from livepromo.telemetry.metrics import Metrics, tzdata_version
from livepromo.worker.calling import Calling
from livepromo.worker.checks import dead_letter_bytes
from livepromo.worker.connecting import kafka_of, redis_of
from livepromo.worker.decide import DecideOwner
from livepromo.worker.deliver import DeliverOwner
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.horizons import horizons_of
from livepromo.worker.match import MatchOwner
from livepromo.worker.publishing import Publications
from livepromo.worker.shared import Shared, Topics, log
from livepromo.worker.shelf import TopicShelf
from livepromo.worker.stage import Owner, Stage
from livepromo.worker.topics import HEADROOM_BYTES
from livepromo.worker.watching import report_campaigns, report_windows

STAGES: tuple[StageName, ...] = ("match", "decide", "deliver")
LOOK_S = 0.25
REPORT_S = 2.0
SLICE_RECORDS = 5_000  # in a backlog; larger ones cost a little less, and hold the loop for longer than the 25 ms that these take
FAUST_SETTINGS: dict[str, Any] = {
    "agent_supervisor": "mode.CrashingSupervisor",  # an agent that raised is a bug: the process ends, nothing is acknowledged
    "topic_allow_declare": False,
    "topic_disable_leader": True,
    "web_enabled": False,
    "stream_buffer_maxsize": 4096,
    "store": "memory://",
}
_FITS_NOT = (DoesNotFitError, EvictingError, FormatError, table_port.RefusedError)
_NOT_OURS = (FencedError, UnknownOutcomeError)  # another owner goes on, or reads what happened: that is how it is meant to be
_DOUBT, _OUTSIDE = 1, 3


def exit_code(error: BaseException) -> int:
    """Return with what a worker ends: 3 where Kafka or Redis are away or hold what does not fit, 1 where it doubts itself."""
    return _OUTSIDE if isinstance(error, (*_FITS_NOT, UnavailableError, table_port.UnavailableError)) else _DOUBT


class Worker:
    """A process of some stages: all that they share, made when the event loop runs, and the Faust app that drives them."""

    def __init__(self, settings: Settings, stages: Sequence[StageName] = STAGES) -> None:
        self.settings = settings
        self.kafka = kafka_of(settings)
        self.metrics = Metrics()
        self._failpoints = Failpoints.parse(settings.failpoints)
        self.listening = bind(settings.metrics_port)
        self._prepared: asyncio.Task[None] | None = None
        self._closing: list[Callable[[], Awaitable[object]]] = []  # what was opened, in that order
        self._running = len(stages)
        self.shared: Shared | None = None
        self.publications: Publications | None = None
        self.calling: Calling | None = None
        self.table: RedisTable | None = None
        self.shelf: TopicShelf | None = None
        self._outside = Outside()
        self._looked_s = clock.monotonic_s()
        self._table_problem = ""
        self.app = faust.App(
            f"{settings.namespace}-worker",
            broker=f"kafka://{settings.kafka.split(',')[0]}",  # never used: the feeds have consumers of their own
            datadir=str(Path(gettempdir(), f"livepromo-{os.getpid()}")),
            **FAUST_SETTINGS,
        )

        class Boot(self.app.BootStrategy):  # type: ignore[misc, name-defined]
            enable_kafka_consumer = False
            enable_kafka_producer = False
            enable_web = False

        self.app.boot_strategy = Boot(self.app)
        topics = {"match": settings.events, "decide": settings.topic("candidates"), "deliver": settings.topic("ledger")}
        owners: dict[str, Callable[[int], Owner]] = {
            "match": self._match_owner,
            "decide": self._decide_owner,
            "deliver": self._deliver_owner,
        }
        self.stages = [
            Stage(
                name,
                self.app,
                topics[name],
                group=settings.group(name),
                kafka=self.kafka,
                make_owner=owners[name],
                prepare=self.prepare,
                release=self._release,
                end=self.end,
                metrics=self.metrics,
                feed_settings={"session_s": settings.session_ms / 1000, "slice_records": SLICE_RECORDS},
            )
            for name in stages
        ]
        self._add_timers()

    # -- what the stages share

    async def prepare(self) -> None:
        """Make what the stages share; whichever stage starts first does it, the others wait."""
        if self._prepared is None:
            self._prepared = asyncio.create_task(self._prepare())
        await asyncio.shield(self._prepared)

    async def _prepare(self) -> None:
        try:
            settings = self.settings
            health = Health(self.metrics.registry, self._not_live, self._not_ready)
            self._closing.append(health.stop)
            await health.start(self.listening)
            address = redis_of(settings)
            self.table = RedisTable(address, settings.namespace)
            kafka_log = KafkaLog(self.kafka, embedded=settings.embedded)
            chunks = RedisChunks(address, settings.namespace)
            self._closing += [self.table.close, chunks.close, kafka_log.close]
            largest = await dead_letter_bytes(settings, self.table)
            outbox = Outbox(self.kafka, largest_bytes=largest + HEADROOM_BYTES)
            self._closing.append(outbox.close)
            await outbox.start()
            self.publications = Publications(kafka_log, settings.topic("catalogue"))
            topics = Topics(
                events=settings.events,
                state=settings.topic("state"),
                candidates=settings.topic("candidates"),
                ledger=settings.topic("ledger"),
                granted=GRANTED_TOPIC,
                denied=DENIED_TOPIC,
                dead_letters=settings.topic("dead-letters"),
                webhooks=settings.topic("webhooks"),
                dead_webhooks=settings.topic("webhooks.dead-letters"),
                event_partitions=await outbox.partitions(settings.events),
                candidate_partitions=await outbox.partitions(settings.topic("candidates")),
                granted_partitions=await outbox.partitions(GRANTED_TOPIC),
                denied_partitions=await outbox.partitions(DENIED_TOPIC),
                dead_letter_bytes=largest,
            )
            self.shared = Shared(
                topics=topics,
                log=kafka_log,
                outbox=outbox,
                horizons=horizons_of(settings),
                denials=DenialFilter(settings.denials),
                metrics=self.metrics,
                failpoints=self._failpoints,
                monotonic=clock.monotonic_s,
                renew_after_s=settings.renew_ms / 1000,
                format=FORMATS[settings.format],
                outside=self._outside,
            )
            codes = settings.topic("codes")
            void = self.metrics.void_records_total.labels(topic=codes)
            self.shelf = TopicShelf(kafka_log, codes, topics.candidate_partitions, chunks, monotonic=clock.monotonic_s, void=void.inc)
            await self.shared.patiently("the catalogue", self.publications.follow)
            if any(stage.name == "deliver" for stage in self.stages):
                self.calling = Calling(self.shared, settings, self.end)
                self._closing.append(self.calling.close)
                self.calling.know(self.publications.newest)
            measuring = asyncio.create_task(measure_loop(self.metrics.loop_lag_seconds))
            self._closing.append(lambda: _cancelled(measuring))
        except Exception as error:  # noqa: BLE001 - the boundary: without these nothing can begin
            self.end(error)

    async def _release(self) -> None:
        """Close what the stages shared, once the last of them has stopped."""
        self._running -= 1
        if not self._running:
            self.shared = None  # the timers have nothing to look at any more
            for close in reversed(self._closing):
                await close()

    def _made(self) -> tuple[Shared, Publications, RedisTable, TopicShelf]:
        assert self.shared is not None, "prepared before any stage takes a partition"
        assert self.publications is not None
        assert self.table is not None
        assert self.shelf is not None
        return self.shared, self.publications, self.table, self.shelf

    def _match_owner(self, partition: int) -> MatchOwner:
        shared, publications, *_ = self._made()
        return MatchOwner(partition, shared, publications, tzdata_version(), complete_until_s=self._complete_until_s, owns=self._owns)

    def _match_feed(self) -> SliceFeed | None:
        return next(stage.feed for stage in self.stages if stage.name == "match")

    def _owns(self, partition: int) -> bool:
        """Say whether a partition of the events topic is ours, and not being given up."""
        feed = self._match_feed()
        return feed is not None and feed.owns(Partition(self.settings.events, partition))

    def _complete_until_s(self, partition: int) -> float | None:
        """Say until when a partition of the events topic is known to be matched; None where that moves no stream time on."""
        feed = self._match_feed()
        if feed is None or self.settings.clock is not Clock.TICKS:
            return None
        return feed.complete_until_s(Partition(self.settings.events, partition))

    def _decide_owner(self, partition: int) -> DecideOwner:
        shared, _, table, shelf = self._made()
        return DecideOwner(partition, shared, table, shelf)

    def _deliver_owner(self, partition: int) -> DeliverOwner:
        assert self.calling is not None, "prepared before any stage takes a partition"
        feed = next(stage.feed for stage in self.stages if stage.name == "deliver")
        assert feed is not None
        may_begin = partial(feed.owns, Partition(self.settings.topic("ledger"), partition))
        return DeliverOwner(partition, self._made()[0], self.calling.partition(partition, may_begin))

    # -- timers: they only ask the lanes to look, and watch

    def _add_timers(self) -> None:
        async def look() -> None:
            self._looked_s = clock.monotonic_s()
            if self.shared is None or self.publications is None:
                return
            await self._follow(self.publications)
            for stage in self.stages:
                stage.lanes.look()

        async def report() -> None:
            if self.shared is None:
                return
            shared, publications, table, shelf = self._made()
            for stage in self.stages:
                stage.report_lag()
            if self.calling is not None:
                self.calling.report()
            report_windows(
                [owner for stage in self.stages for owner in stage.owners.values() if isinstance(owner, MatchOwner)], self.metrics
            )
            await self._look_at_table(table)
            decided = next((stage.owners for stage in self.stages if stage.name == "decide"), {})
            try:
                await report_campaigns(publications.newest, table, shelf, decided, shared, clock.wall_ms())
            except _FITS_NOT as error:
                self.end(error)

        self.app.timer(LOOK_S)(look)
        self.app.timer(REPORT_S)(report)

    async def _follow(self, publications: Publications) -> None:
        try:
            await publications.follow()
        except UnavailableError as error:
            log.warning("the catalogue cannot be followed: %s", error)
            self._outside.failed()
        except _FITS_NOT as error:
            self.end(error)
        if self.calling is not None:
            self.calling.know(publications.newest)

    async def _look_at_table(self, table: RedisTable) -> None:
        try:
            await table.check_server()
            self._table_problem = ""
        except (table_port.UnavailableError, EvictingError) as error:
            if not self._table_problem:
                log.error("not ready: %s", error)
            self._table_problem = str(error)
            self._outside.failed()

    def _not_live(self) -> list[str]:
        since_s = self._outside.expects_progress_since()
        stuck = ["nothing looks at what is due any more"] if self._looked_s < since_s else []
        return [*stuck, *(what for stage in self.stages for what in stage.standing_still(since_s))]

    def _not_ready(self) -> list[str]:
        if self.shared is None:
            return ["starting"]
        stages = [f"{stage.name} {what}" for stage in self.stages if (what := stage.not_ready())]
        return [*stages, self._table_problem] if self._table_problem else stages

    # -- the end

    def end(self, error: BaseException) -> NoReturn:
        """End the process at once, without committing: whoever takes over reads in Kafka what happened."""
        code = exit_code(error)
        if code == _OUTSIDE or isinstance(error, _NOT_OURS):
            log.critical("the worker ends: %s", error)
            sys.stderr.flush()
        else:
            self.metrics.invariant_violations_total.labels(invariant=type(error).__name__).inc()
            log.critical("the worker ends: %r", error, exc_info=error)
            sys.stderr.flush()
            last_words(self.listening, self.metrics.registry)  # the event loop stands still meanwhile, and with it all work
        os._exit(code)

    def run(self) -> NoReturn:
        """Run until a signal ends it; exits with 0 after a clean end."""
        # What imports made stays for ever, and slices make thousands of objects that no cycle holds: the collector need not look so often.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        worker = faust.Worker(self.app, loglevel="WARNING", override_logging=False, redirect_stdouts=False, quiet=True)
        worker.spinner = None  # it would write escape sequences to standard output
        worker.execute_from_commandline()
        raise AssertionError("a Faust worker exits")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
