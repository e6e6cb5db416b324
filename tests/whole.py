"""An installation as its operators see it, for tests: topics, worker processes, commands, and everything that they leave in Kafka."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from livepromo.sandbox.servers import ServerError, wait_until

LIVEPROMO = Path(sys.executable).with_name("livepromo")
DATA = Path(__file__).with_name("data")
GRANTED, DENIED = "reward-granted", "reward-denied"
SESSION_S = 3
AT_ONCE = {"segment.ms": "200", "min.cleanable.dirty.ratio": "0.001", "max.compaction.lag.ms": "200", "delete.retention.ms": "0"}


def until(holds: Callable[[], bool], seconds: float, what: str | Callable[[], str]) -> None:
    """Ask until it holds, twenty times a second; after so many seconds object, with `what` should have become true."""
    try:
        wait_until(holds, seconds, what if callable(what) else lambda: what)
    except ServerError as error:
        raise AssertionError(f"not: {error}") from None


def asked(port: int, path: str) -> tuple[int, str]:
    """Return status and body of an answer; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class In(NamedTuple):
    """A record for the events topic."""

    user: str
    value: bytes | None


class Out(NamedTuple):
    """A record as it stands in a topic. `ms` is the record's time: the producer's or the broker's, as the topic has it."""

    partition: int
    offset: int
    ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Kafka:
    """Reads and writes topics as a stranger would."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._consumers: dict[str, Consumer] = {}
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "message.max.bytes": 4 << 20,
                "linger.ms": 5,
                "enable.idempotence": True,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        """Leave."""
        for consumer in self._consumers.values():
            consumer.close()

    def _of(self, group: str) -> Consumer:
        if group not in self._consumers:
            self._consumers[group] = Consumer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "group.id": group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "log_level": 0,
                }
            )
        return self._consumers[group]

    def partitions(self, topic: str) -> list[int]:
        """Return the numbers of a topic's partitions."""
        return sorted(self._of("-").list_topics(topic, 10).topics[topic].partitions)

    def begins(self, topic: str) -> list[int]:
        """Return the first offset of each partition."""
        return [self._marks(topic, p)[0] for p in self.partitions(topic)]

    def ends(self, topic: str) -> list[int]:
        """Return the next offset of each partition."""
        return [self._marks(topic, p)[1] for p in self.partitions(topic)]

    def _marks(self, topic: str, partition: int) -> tuple[int, int]:
        marks: list[tuple[int, int]] = []

        def answered() -> bool:
            with contextlib.suppress(KafkaException):  # right after a topic was made its partitions have no leader yet
                marks.append(self._of("-").get_watermark_offsets(TopicPartition(topic, partition), 10, cached=False))
            return bool(marks)

        until(answered, 30, f"{topic}[{partition}] has a leader")
        return marks[0]

    def committed(self, group: str, topic: str) -> list[int]:
        """Return how far a group has come in each partition."""
        asked = [TopicPartition(topic, p) for p in self.partitions(topic)]
        found = {tp.partition: tp.offset for tp in self._of(group).committed(asked, 10)}
        return [0 if found[tp.partition] == OFFSET_INVALID else found[tp.partition] for tp in asked]

    def send(self, topic: str, records: Iterable[In]) -> int:
        """Send in order and return how many, when all are there."""
        failed: list[str] = []

        def told(error: object, _: Message) -> None:
            if error is not None:
                failed.append(str(error))

        count = 0
        for user, value in records:
            while True:
                try:
                    self.producer.produce(topic, value=value, key=user.encode("utf-8", "surrogatepass"), on_delivery=told)
                    break
                except BufferError:
                    self.producer.poll(0.1)
            count += 1
            if not count % 1000:
                self.producer.poll(0)
        assert self.producer.flush(60) == 0
        assert not failed, failed[:3]
        return count

    def read(self, topic: str, since: Sequence[int] | None = None) -> list[Out]:
        """Return what stands in a topic, from these offsets on, partition by partition, in order."""
        ends, starts = self.ends(topic), self.begins(topic) if since is None else since
        consumer = self._of("reading")
        wanted = {p: (start, end) for p, (start, end) in enumerate(zip(starts, ends, strict=True)) if start < end}
        found: list[list[Out]] = [[] for _ in ends]
        consumer.assign([TopicPartition(topic, p, start) for p, (start, _) in wanted.items()])
        deadline = time.monotonic() + 60
        while wanted:
            assert time.monotonic() < deadline, f"{topic} is not read to its end: {wanted}"
            for message in consumer.consume(5000, 0.5):
                p, offset = message.partition(), message.offset()
                if message.error() is not None:  # the end, also of a partition whose last records were compacted away
                    wanted.pop(p, None)
                    continue
                headers = tuple((name, value) for name, value in message.headers() or ())
                found[p].append(Out(p, offset, message.timestamp()[1], message.key(), message.value(), headers))
        consumer.unassign()
        return [record for records in found for record in records]


class Worker:
    """A worker process, its log, and what became of it."""

    def __init__(self, environ: dict[str, str], log: Path, words: Sequence[str]) -> None:
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen([LIVEPROMO, "worker", *words], env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid = self.process.pid
        self.frozen = False

    @property
    def code(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self.process.poll()

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it as a lost machine would."""
        self.process.kill()
        assert self.process.wait(30) == -signal.SIGKILL

    def freeze(self) -> None:
        """Stop it without ending it."""
        self.process.send_signal(signal.SIGSTOP)
        self.wait_until_stopped()

    def wait_until_stopped(self, seconds: float = 60) -> None:
        """Wait until it stands still: frozen from outside, or by a failpoint."""
        until(lambda: self.stands_still, seconds, f"process {self.pid} stands still")
        self.frozen = True

    @property
    def stands_still(self) -> bool:
        """Whether it is frozen; it must not have ended."""
        assert self.code is None, f"ended with {self.code}:\n{self.said()[-3000:]}"
        return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end and return its exit code."""
        until(lambda: self.code is not None, seconds, lambda: f"process {self.pid} ends; it said\n{self.said()[-3000:]}")
        assert self.code is not None
        return self.code

    def stop(self) -> int:
        """End it cleanly and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """End it whatever its condition: what a test leaves behind."""
        if self.code is None:
            self.process.kill()
            self.process.wait(30)


class Installation:
    """One installation on shared servers: its own namespace and events topic. `reward-granted` is shared: reading begins where it stood."""

    def __init__(self, bootstrap: str, redis_url: str, name: str, home: Path, *, partitions: int | None = None, **settings: str) -> None:
        self.name, self.home, self.bootstrap = name, home, bootstrap
        self.events = f"{name}.events"
        outside = {key: value for key, value in os.environ.items() if not key.startswith("LIVEPROMO_")}
        self.environ = outside | {
            "LIVEPROMO_KAFKA": bootstrap,
            "LIVEPROMO_REDIS": redis_url,
            "LIVEPROMO_NAMESPACE": name,
            "LIVEPROMO_EVENTS": self.events,
            "LIVEPROMO_CLOCK": "records",
            "LIVEPROMO_SESSION": f"{SESSION_S}s",
            **{f"LIVEPROMO_{key.upper()}": value for key, value in settings.items()},
        }
        self.kafka = Kafka(bootstrap)
        self.workers: list[Worker] = []
        self.strikes = home / "strikes"
        if partitions is not None:  # else as many as `init` makes
            self._make(partitions)
        self.cli("init")
        self._since = {topic: self.kafka.ends(topic) for topic in (GRANTED, DENIED)}

    def _make(self, partitions: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        topics = [
            NewTopic(
                self.events, partitions, config={"message.timestamp.type": "LogAppendTime", "unclean.leader.election.enable": "false"}
            ),
            NewTopic(
                self.topic("candidates"), partitions, config={"max.message.bytes": str(2 << 20), "unclean.leader.election.enable": "false"}
            ),
        ]
        for future in admin.create_topics(topics).values():
            future.result(20)

    def compact_at_once(self, name: str) -> None:
        """Have the log cleaner compact one of its topics as soon as there is anything to compact."""
        self._set(ResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})
        self._set(ResourceType.TOPIC, self.topic(name), AT_ONCE)

    def _set(self, kind: ResourceType, name: str, config: dict[str, str]) -> None:
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
        resource = ConfigResource(kind, name, incremental_configs=entries)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(20)

    def topic(self, name: str) -> str:
        """Return the name of one of its topics."""
        return f"{self.name}.{name}"

    def close(self) -> None:
        """End whatever runs."""
        for worker in self.workers:
            worker.end()
        self.kafka.close()

    def cli(self, *words: str | Path, code: int = 0, seconds: float = 120) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end; it must exit with `code`."""
        done = subprocess.run([LIVEPROMO, *words], env=self.environ, capture_output=True, timeout=seconds)
        said = f"{done.stdout[-2000:].decode(errors='replace')}\n{done.stderr[-4000:].decode(errors='replace')}"
        assert done.returncode == code, f"livepromo {words} ended with {done.returncode}:\n{said}"
        return done

    def worker(self, *words: str, failpoints: str = "", **settings: str) -> Worker:
        """Start a worker; of failpoints that strike it leaves a line in `strikes`."""
        environ = self.environ | {f"LIVEPROMO_{key.upper()}": value for key, value in settings.items()}
        if failpoints:
            environ["LIVEPROMO_FAILPOINTS"] = f"{failpoints},log={self.strikes}"
        worker = Worker(environ, self.home / f"worker-{len(self.workers)}.log", words)
        self.workers.append(worker)
        return worker

    def struck(self) -> list[str]:
        """Return the lines that failpoints left: step, verb, count, `pid`, the process."""
        return self.strikes.read_text().splitlines() if self.strikes.exists() else []

    def send(self, records: Iterable[In]) -> int:
        """Send records to the events topic, in order; return how many, when all are there."""
        return self.kafka.send(self.events, records)

    def check_alive(self, workers: Iterable[Worker]) -> None:
        """Object if one of these has ended."""
        for worker in workers:
            assert worker.code is None, f"a worker ended with {worker.code}:\n{worker.said()[-4000:]}"

    def done(self) -> bool:
        """Say whether every stage has acknowledged all that stands before it."""
        return all(
            all(at >= end for at, end in zip(self.kafka.committed(f"{self.name}.{stage}", topic), self.kafka.ends(topic), strict=True))
            for stage, topic in (("match", self.events), ("decide", self.topic("candidates")), ("deliver", self.topic("ledger")))
        )

    def until_done(self, seconds: float = 120) -> None:
        """Wait until nothing is left to do; workers that run and are not frozen must go on running."""
        alive = [worker for worker in self.workers if worker.code is None and not worker.frozen]

        def done() -> bool:
            self.check_alive(alive)
            return self.done()

        until(done, seconds, lambda: f"everything is read, decided and delivered: {self.standing()}")

    def standing(self) -> dict[str, tuple[list[int], list[int]]]:
        """Return how far each stage has come, and how far it has to."""
        return {
            stage: (self.kafka.committed(f"{self.name}.{stage}", topic), self.kafka.ends(topic))
            for stage, topic in (("match", self.events), ("decide", self.topic("candidates")), ("deliver", self.topic("ledger")))
        }

    def read(self, topic: str) -> list[Out]:
        """Return what this installation left in a topic."""
        return self.kafka.read(topic, self._since.get(topic))

    def logs(self) -> list[Path]:
        """Return the logs of all partitions, as `livepromo log` writes them."""
        paths = []
        for partition in self.kafka.partitions(self.events):
            paths.append(self.home / f"log-{partition}.jsonl")
            self.cli("log", str(partition), "--out", paths[-1])
        return paths
