"""One run of `livepromo dev`: servers, documents, workers, traffic, and what becomes of it, until somebody ends it."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, NamedTuple, Self

from livepromo.documents.catalogue import Catalogue, Publication, publication_of
from livepromo.documents.reading import ReadDocument, documents_of
from livepromo.sandbox.broker import Client, EmbeddedBroker, redis_binary
from livepromo.sandbox.comparing import Decisions, differences, judged, missing, simulated
from livepromo.sandbox.receiver import DevReceiver, secret_names, sent_there
from livepromo.sandbox.servers import KafkaCluster, RedisServer, ServerError, wait_until
from livepromo.sandbox.showing import Screen
from livepromo.sandbox.tally import Tally, read_denial, read_grant
from livepromo.sandbox.traffic import Shop
from livepromo.sandbox.workers import WorkerProcess
from livepromo.settings import DENIED_TOPIC, GRANTED_TOPIC, PREFIX, Settings, load, secret_key
from livepromo.telemetry import clock
from livepromo.worker import topics
from livepromo.worker.publishing_changes import not_taken_by, publish, read_catalogue

OURS: Final = (f"{PREFIX}TIMEZONE", f"{PREFIX}METRICS_PORT")  # what is taken from the environment; everything else is dev's own
SECRET: Final = f"whsec_{base64.b64encode(os.urandom(24)).decode()}"  # calls are signed with it, while this process lives
READ_S: Final = 0.05
SUMMARY_S: Final = 5.0
READY_S: Final = 60.0
DONE_S: Final = 60.0  # a worker that was killed while its group was being put together is missed after half of it
SLOW_S: Final = 2.0
END_S: Final = 20.0
LOG_LINES: Final = 12
_EXHAUSTED: Final = "campaign_budget"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Asked(NamedTuple):
    """What a run is asked to do. `kafka`: a real broker; `seconds` None: until somebody ends it."""

    documents: list[ReadDocument]
    where: Sequence[str]
    rate: float
    seed: int
    seconds: float | None
    record: str | None
    verify: bool
    kafka: bool
    workers: int


class Interrupts:
    """Ctrl-C, SIGTERM and SIGHUP while it is entered: raised as KeyboardInterrupt once at most, and until `note`; else only counted."""

    def __init__(self) -> None:
        self.count = 0
        self._raises = True
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {one: signal.signal(one, self._heard) for one in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)

    def note(self) -> None:
        """From now on they are only counted."""
        self._raises = False

    def _heard(self, _: int, __: FrameType | None) -> None:
        self.count += 1
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt


def run(asked: Asked, environ: Mapping[str, str], screen: Screen, table: Callable[[list[str], list[list[str]]], None]) -> int:
    """Run, and return the exit code: 1 where a worker died, or what was granted is not what is simulated.

    Whatever happens, nothing is left running. `table` shows one. Raises ServerError, and what publishing raises.
    """
    with Interrupts() as interrupts, ExitStack() as stack:
        one = _Run(asked, environ, screen, interrupts, stack)
        try:
            one.start()
        except KeyboardInterrupt:
            screen.say("ended before anything was sent")
            return 0
        return one.go_on(table)


class _Run:
    """The parts of a run, in the order in which they begin; `stack` ends them the other way round."""

    def __init__(self, asked: Asked, environ: Mapping[str, str], screen: Screen, interrupts: Interrupts, stack: ExitStack) -> None:
        self._asked, self._screen, self._interrupts, self._stack = asked, screen, interrupts, stack
        self._home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livepromo-dev-", ignore_cleanup_errors=True)))
        self._outside = {name: value for name, value in environ.items() if not name.startswith(PREFIX) or name in OURS}
        self._settings = Settings()
        self._environ: dict[str, str] = {}
        self._workers: list[WorkerProcess] = []
        self._published = 0
        self._tally, self._decisions = Tally(), Decisions()
        self._ended_ms = 0  # when the last record had been sent

    # -- beginning

    def start(self) -> None:
        """Start everything but the traffic; returns when every partition has taken the documents."""
        self._receiver = DevReceiver(SECRET)
        self._stack.callback(self._receiver.stop)
        self._asked = self._asked._replace(documents=sent_there(self._asked.documents, self._receiver.url))
        own = {"REDIS": self._start_redis(), **(self._start_kafka() if self._asked.kafka else self._start_embedded())}
        own |= {"EMBEDDED": "false" if self._asked.kafka else "true", "TRUST_PRODUCER_TIME": "false" if self._asked.kafka else "true"}
        own["ALLOW_HTTP"] = "true"  # endpoints on this machine
        own |= {"ALLOW_HTTP": "true", **{f"SECRET_{secret_key(name)}": SECRET for name in secret_names(self._asked.documents)}}
        self._environ = self._outside | {PREFIX + name: value for name, value in own.items()}
        self._settings = settings = load(self._environ)
        if self._asked.kafka:
            asyncio.run(topics.make(settings))
        taken = asyncio.run(publish(settings, self._publication))
        assert taken is not None, "a broker of our own holds nothing yet"
        self._published = taken.offset + 1
        self._client = Client(settings.kafka)
        self._stack.callback(self._client.close)
        self._start_workers()
        self._client.follow((GRANTED_TOPIC, DENIED_TOPIC))  # now: on the embedded broker it is the worker's use that makes them
        self._records: IO[bytes] | None = self._open_records()
        self._say_where()

    def _publication(self, catalogue: Catalogue) -> Publication | None:
        return publication_of(self._asked.documents, catalogue, "livepromo dev")

    def _start_redis(self) -> str:
        redis = RedisServer(self._home / "redis", {"maxmemory-policy": "noeviction"}, redis_binary())
        self._stack.callback(redis.stop)
        return redis.start().url

    def _start_embedded(self) -> dict[str, str]:
        broker = EmbeddedBroker()
        self._stack.callback(broker.stop)
        self._screen.say(
            "an embedded broker (librdkafka's mock plays Kafka: one worker, gentle traffic, windows and sends by this machine's clock, "
            "nothing kept) and an embedded Redis; --broker kafka is the real thing",
            "dim",
        )
        return {"KAFKA": broker.bootstrap}

    def _start_kafka(self) -> dict[str, str]:
        self._screen.say("starting Apache Kafka; the first time Maven fetches it, which takes a minute", "dim")
        cluster = KafkaCluster(self._home / "kafka")
        self._stack.callback(cluster.stop)
        return {"KAFKA": cluster.start().bootstrap}

    def _start_workers(self) -> None:
        self._interrupts.note()  # none may come between a process and the note that it has to be ended
        for number in range(self._asked.workers):
            environ = dict(self._environ)
            if number:
                environ.pop(f"{PREFIX}METRICS_PORT", None)  # one port serves one process
            worker = WorkerProcess(environ, self._home / f"worker-{number + 1}.log")
            self._workers.append(worker)
            self._stack.callback(worker.end, END_S, self._impatient)

        def ready() -> bool:
            if self._interrupts.count:
                raise KeyboardInterrupt
            for worker in self._workers:
                if worker.code is not None:
                    self._show_end(worker)
                    raise ServerError(f"the worker {worker.ended_how} before it was ready")
            return all(worker.metrics_port() for worker in self._workers) and not self._not_taken()

        wait_until(ready, READY_S, lambda: "the worker has not taken the documents\n" + "\n".join(self._workers[0].tail(LOG_LINES)))

    def _not_taken(self) -> list[int]:
        return asyncio.run(not_taken_by(self._settings, self._published, 0))

    def _open_records(self) -> IO[bytes] | None:
        if self._asked.record is None and not self._asked.verify:
            return None
        self._records_path = Path(self._asked.record) if self._asked.record is not None else self._home / "events.jsonl"
        return self._stack.enter_context(self._records_path.open("wb"))

    def _say_where(self) -> None:
        settings, embedded = self._settings, "" if self._asked.kafka else f" {PREFIX}EMBEDDED=true"
        facts = [("metrics", f"http://127.0.0.1:{worker.metrics_port()}/metrics") for worker in self._workers]
        facts += [("worker", f"process {worker.pid}, its log is {worker.log}") for worker in self._workers]
        facts.append(("receiver", f"{self._receiver.url}, of the calls that custom rewards make"))
        facts += [("documents", str(path)) for path in self._asked.where]
        facts.append(("look", f"{PREFIX}KAFKA={settings.kafka} {PREFIX}REDIS={settings.redis}{embedded} livepromo get"))
        facts.append(("end", "Ctrl-C" if self._asked.seconds is None else f"after {self._asked.seconds:g} s, or Ctrl-C"))
        self._screen.facts(facts)

    # -- going on

    def go_on(self, table: Callable[[list[str], list[list[str]]], None]) -> int:
        """Send and show until somebody ends it, or no worker is left; then finish what was sent, and compare."""
        sent = self._send_and_show()
        self._client.flush()
        self._ended_ms = clock.wall_ms()
        if self._records is not None:
            self._records.flush()
        done = bool(self._workers) and self._finish()
        codes = self._end_workers()
        head, rows = self._tally.table()
        if rows:
            table(head, rows)
        self._screen.say(f"{sent} records sent, {self._tally.grants} grants")
        if not codes:
            what = "Kafka and Redis end with dev" if self._asked.kafka else "the embedded broker forgets"
            self._screen.say(f"no worker is left: {what}; start again", "bold red")
            return 1
        code = self._verify(done=done) if self._asked.verify and self._interrupts.count <= 1 else 0
        self._screen.say("Kafka and Redis end with dev" if self._asked.kafka else "the embedded broker forgets all of it", "dim")
        return 1 if codes != {0} else code

    def _end_workers(self) -> set[int]:
        """End those that are left, and return their exit codes."""
        for worker in self._workers:
            worker.ask_to_end()
        codes = set()
        for worker in self._workers:
            codes.add(worker.end(END_S, self._impatient))
            if worker.code != 0:
                self._screen.say(f"the worker (process {worker.pid}) {worker.ended_how} instead of in good order", "bold red")
        return codes

    def _impatient(self) -> bool:
        return self._interrupts.count > 1

    def _send_and_show(self) -> int:
        shop, began_s = Shop(self._asked.seed), clock.monotonic_s()
        sent, begun, summary_s = 0, 0.0, began_s
        while not self._interrupts.count and self._still_working():
            now_s = clock.monotonic_s()
            if self._asked.seconds is not None and now_s - began_s >= self._asked.seconds:
                break
            # After a pause (a machine that slept) the traffic goes on as gently as before; it does not catch up.
            begun = max(begun, (now_s - began_s) * self._asked.rate - self._asked.rate)
            while begun < (now_s - began_s) * self._asked.rate:
                record = shop.next(clock.wall_ms())
                self._client.send(self._settings.events, record.user, record.value)
                if self._records is not None:
                    self._records.write(record.value + b"\n")
                sent += 1
                begun += 1
            self._show()
            if now_s - summary_s >= SUMMARY_S:
                summary_s = now_s
                self._summarise()
        return sent

    def _still_working(self) -> bool:
        for worker in [worker for worker in self._workers if worker.code is not None]:
            self._workers.remove(worker)
            self._show_end(worker)
            self._screen.say(f"the worker (process {worker.pid}) {worker.ended_how}", "bold red")
            if self._workers:
                self._screen.say("the others take its partitions over, when its session has ended")
        return bool(self._workers)

    def _show_end(self, worker: WorkerProcess) -> None:
        for line in worker.tail(LOG_LINES):
            self._screen.say(line, "dim")

    def _show_calls(self) -> None:
        for call in self._receiver.received():
            signed = "signed" if call.verified else "REFUSED, its signature does not verify"
            self._screen.say(f"called: {call.path} for {call.campaign}, {signed}: {call.body}", "" if call.verified else "bold red")

    def _show(self) -> None:
        self._show_calls()
        for record in self._client.read(READ_S):
            if record.topic == GRANTED_TOPIC:
                grant = read_grant(record.value)
                if self._tally.add_grant(grant):
                    self._screen.grant(grant)
                if self._asked.verify:
                    self._decisions.add_grant(record.value, grant)
            else:
                denial = read_denial(record.value)
                if self._tally.add_denial(denial) and denial.reason == _EXHAUSTED:
                    self._screen.say(f"{denial.campaign}: its budget does not suffice any more", "yellow")
                if self._asked.verify:
                    self._decisions.add_denial(record.value, denial)

    def _summarise(self) -> None:
        denied = self._tally.denials_since()
        if denied:
            self._screen.say(f"denied: {denied}", "yellow")

    # -- the end

    def _finish(self) -> bool:
        """Show what becomes of all that was sent; return whether all of it was delivered, in time and before another Ctrl-C."""
        settings, before, deadline_s = self._settings, self._interrupts.count, clock.monotonic_s() + DONE_S
        waiting = [
            (settings.group("match"), settings.events),
            (settings.group("decide"), settings.topic("candidates")),
            (settings.group("deliver"), settings.topic("ledger")),
        ]
        ends: dict[str, dict[int, int]] = {}
        expected: Decisions | None = None
        slow_s: float | None = clock.monotonic_s() + SLOW_S
        while self._interrupts.count <= before and clock.monotonic_s() < deadline_s and self._still_working():
            self._show()
            if slow_s is not None and clock.monotonic_s() > slow_s:
                self._screen.say("finishing what was sent; Ctrl-C once more ends it at once", "dim")
                slow_s = None
            while waiting and self._client.acknowledged(*waiting[0]):
                del waiting[0]
            if not waiting:
                ends = ends or {topic: self._client.ends(topic) for topic in (GRANTED_TOPIC, DENIED_TOPIC)}
                if all(self._client.has_read(topic, end) for topic, end in ends.items()):
                    if self._asked.verify:  # windows that are due by now fire without a record: they are waited for
                        expected = expected or self._simulated()
                        if missing(self._decisions, self._judged(expected)):
                            continue
                    self._summarise()
                    return True
        self._summarise()
        return False

    def _simulated(self) -> Decisions:
        return simulated(documents_of(self._asked.documents), self._records_path, self._settings)

    def _judged(self, expected: Decisions) -> Decisions:
        return judged(self._decisions, expected, documents_of(self._asked.documents), self._settings, self._ended_ms)

    def _verify(self, *, done: bool) -> int:
        if not done:
            self._screen.say("not compared: not everything was decided and delivered when it ended", "bold red")
            return 1
        if asyncio.run(read_catalogue(self._settings)).position != self._published:
            self._screen.say("not compared: something was published meanwhile, a simulation knows the first documents alone", "bold red")
            return 1
        found = differences(self._decisions, self._judged(self._simulated()), documents_of(self._asked.documents))
        for line in found:
            self._screen.say(line, "red")
        if found:
            self._screen.say("the grants are not those of a simulation", "bold red")
            return 1
        self._screen.say(f"verified: the {self._tally.grants} grants and the denials are those of livepromo simulate", "bold green")
        return 0
