"""Real servers, topics and worker processes for the benchmarks, and what these cost: processor time of whole processes."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.request import urlopen

import msgspec
import psutil
from benchmarks.load import Given, Sent, given
from confluent_kafka import OFFSET_INVALID, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports

PRODUCTION_JVM = ("-Xmx1g", "-XX:-UseSerialGC", "-XX:+UseG1GC", "-XX:TieredStopAtLevel=4")
PARTITIONS = 8
GRANTED = "reward-granted"
STAGES = (("match", "events"), ("decide", "candidates"), ("deliver", "ledger"))
_ASSIGNED = re.compile(r"^livepromo_partitions_assigned\{.*\} (.+)$", re.MULTILINE)
_LIVEPROMO = Path(sys.executable).with_name("livepromo")
_ENVELOPE_BYTES = 9  # of a journal's record: a byte of format, eight of the owner's epoch


def say(text: str) -> None:
    """Say how far it is; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def until(holds: Callable[[], bool], seconds: float, what: str, pause_s: float = 0.05) -> None:
    """Ask until it holds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= end:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(pause_s)


class Kafka:
    """Reads and writes topics as a stranger would."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._consumers: dict[str, Consumer] = {}

    def make(self, *topics: str) -> None:
        """Make topics."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for future in admin.create_topics([NewTopic(topic, PARTITIONS) for topic in topics]).values():
            future.result(30)

    def _of(self, group: str) -> Consumer:
        if group not in self._consumers:
            settings = {"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0}
            self._consumers[group] = Consumer(settings | {"enable.partition.eof": True})
        return self._consumers[group]

    def close(self) -> None:
        """Leave."""
        for consumer in self._consumers.values():
            consumer.close()

    def ends(self, topic: str) -> list[int]:
        """Return the next offset of each partition."""
        consumer = self._of("-")
        numbers = sorted(consumer.list_topics(topic, 10).topics[topic].partitions)
        return [consumer.get_watermark_offsets(TopicPartition(topic, number), 10, cached=False)[1] for number in numbers]

    def committed(self, group: str, topic: str, partitions: int) -> list[int]:
        """Return how far a group has come in each partition."""
        found = self._of(group).committed([TopicPartition(topic, number) for number in range(partitions)], 10)
        return [0 if tp.offset == OFFSET_INVALID else tp.offset for tp in found]

    def send(self, topic: str, records: Iterable[Sent]) -> None:
        """Send all and return when they are there."""
        failed: list[str] = []

        def told(error: object, _: Message) -> None:
            if error is not None:
                failed.append(str(error))

        producer = Producer(
            {"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random", "linger.ms": 20, "compression.type": "lz4"}
            | {"enable.idempotence": True, "queue.buffering.max.messages": 1_000_000, "log_level": 0}
        )
        for at, record in enumerate(records):
            while True:
                try:
                    producer.produce(topic, value=record.value, key=record.user, on_delivery=told)
                    break
                except BufferError:
                    producer.poll(0.1)
            if not at % 1000:
                producer.poll(0)
        assert producer.flush(120) == 0, "not everything was sent"
        assert not failed, failed[:3]

    def read(self, topic: str, since: Sequence[int] | None = None) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Yield keys and values, partition by partition, in order."""
        consumer = self._of("reading")
        ends = self.ends(topic)
        starts = [0] * len(ends) if since is None else since
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if start >= end:
                continue
            consumer.assign([TopicPartition(topic, number, start)])
            at = start
            while at < end:
                for message in consumer.consume(10_000, 1.0):
                    if message.error() is not None:  # only that the end was reached
                        at = max(at, message.offset())
                        continue
                    at = message.offset() + 1
                    yield message.key(), message.value()


class Process:
    """A process whose processor time is looked at from outside: all of its threads."""

    def __init__(self, words: Sequence[str | Path], environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self._popen = subprocess.Popen(words, env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self._process = psutil.Process(self._popen.pid)

    @property
    def code(self) -> int | None:
        """Return what it ended with; None while it runs."""
        return self._popen.poll()

    def said(self) -> str:
        """Return the end of what it said."""
        return self.log.read_text(errors="replace")[-3000:]

    def check(self) -> None:
        """Object if it has ended."""
        if self.code is not None:
            raise RuntimeError(f"a process ended with {self.code}: {self.said()}")

    def cpu_s(self) -> float:
        """Return its processor time so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """Return its resident memory."""
        return float(self._process.memory_info().rss) / 1e6

    def freeze(self) -> None:
        """Stop it for a while."""
        self._popen.send_signal(signal.SIGSTOP)
        until(lambda: self._process.status() == psutil.STATUS_STOPPED, 10, "it is frozen")

    def thaw(self) -> None:
        """Let it go on."""
        self._popen.send_signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int:
        """Wait for its end."""
        return self._popen.wait(seconds)

    def end(self) -> None:
        """End it in good order, or else at once."""
        if self.code is not None:
            return
        self._popen.send_signal(signal.SIGCONT)
        self._popen.terminate()
        try:
            self._popen.wait(20)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(20)


class Installation:
    """One livepromo on the servers: a namespace with documents, and workers that are started, frozen and looked at."""

    def __init__(self, servers: Servers, name: str, events: str, **settings: str) -> None:
        self.name, self.events, self._servers = name, events, servers
        self._workers: list[Process] = []
        self._waiting: list[Callable[[], bool]] = []
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith("LIVEPROMO_")} | {
            "LIVEPROMO_KAFKA": servers.kafka.bootstrap,
            "LIVEPROMO_REDIS": servers.redis.url,
            "LIVEPROMO_NAMESPACE": name,
            "LIVEPROMO_EVENTS": events,
            "LIVEPROMO_CLOCK": "records",
            "LIVEPROMO_SESSION": "20m",  # a frozen worker stays a member
            **{f"LIVEPROMO_{key.upper()}": value for key, value in settings.items()},
        }
        self.cli("init")

    def topic(self, stage: str) -> str:
        """Return the topic that a stage reads."""
        source = dict(STAGES)[stage]
        return self.events if source == "events" else f"{self.name}.{source}"

    def cli(self, *words: str | Path) -> str:
        """Run a command to its end and return what it says. Raises RuntimeError if it fails."""
        done = subprocess.run([_LIVEPROMO, *words], env=self.environ, capture_output=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"livepromo {words} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}")
        return done.stdout.decode()

    def worker(self, stages: str) -> Process:
        """Start a worker of some stages; `wait_ready` waits until it has taken all partitions over."""
        port = free_ports(1)[0]
        words: list[str | Path] = [_LIVEPROMO, "worker", "--stages", stages, "--log-level", "INFO"]
        log = self._servers.home / f"{self.name}-{stages}-{len(self._workers)}.log"
        process = Process(words, self.environ | {"LIVEPROMO_METRICS_PORT": str(port)}, log)
        self._workers.append(process)

        def ready() -> bool:
            process.check()
            try:
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    assigned = _ASSIGNED.findall(answer.read().decode())
                with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                    return sum(map(float, assigned)) == PARTITIONS * len(stages.split(","))
            except OSError:  # it does not listen yet, or says that it is not ready
                return False

        self._waiting.append(ready)
        return process

    def wait_ready(self) -> None:
        """Wait until every worker has taken all partitions of its stages over."""
        for ready in self._waiting:
            until(ready, 120, "the workers have taken over")
        self._waiting.clear()

    def apply(self, text: str) -> None:
        """Publish documents; every partition takes them."""
        file = self._servers.home / f"{self.name}.yaml"
        file.write_text(text)
        self.cli("apply", file)

    def done(self, stage: str) -> bool:
        """Say whether a stage has acknowledged all that there is."""
        for worker in self._workers:
            if worker.code:
                worker.check()
        kafka, topic = self._servers.client, self.topic(stage)
        ends = kafka.ends(topic)
        return all(at >= end for at, end in zip(kafka.committed(f"{self.name}.{stage}", topic, len(ends)), ends, strict=True))

    def ledger(self) -> Iterator[Given]:
        """Yield the grants of the ledger, in its order within each campaign."""
        for key, value in self._servers.client.read(f"{self.name}.ledger"):
            assert value is not None
            if key is None or key.startswith(b"@"):
                continue
            entry = msgspec.msgpack.decode(value[_ENVELOPE_BYTES + 1 :])
            yield given(next(part for part in entry if isinstance(part, bytes) and part.startswith(b"{")))

    def close(self) -> None:
        """End what runs."""
        for worker in self._workers:
            worker.end()


class RedisCost(NamedTuple):
    """What the Redis server has used and done so far."""

    cpu_s: float
    calls: int


class Servers:
    """One Kafka broker with the flags of production and one Redis 7 that keeps nothing on disk."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.kafka = KafkaCluster(home / "kafka")
        self.redis = RedisServer(home / "redis")
        self.client = Kafka(self.kafka.bootstrap)

    def redis_info(self) -> dict[str, str]:
        """Return what Redis says of itself."""
        said = subprocess.run(
            [Path(self.redis.binary).with_name("redis-cli"), "-p", str(self.redis.port), "INFO", "everything"],
            capture_output=True,
            check=True,
        ).stdout.decode()
        return dict(line.split(":", 1) for line in said.split("\r\n") if ":" in line)

    def redis_cost(self) -> RedisCost:
        """Return what the Redis server has used so far."""
        info = self.redis_info()
        return RedisCost(float(info["used_cpu_user"]) + float(info["used_cpu_sys"]), int(info["total_commands_processed"]))


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Start the servers in a folder of their own, and end them."""
    with TemporaryDirectory(prefix="livepromo-bench-", ignore_cleanup_errors=True) as home:
        both = Servers(Path(home))
        try:
            both.kafka.start(*PRODUCTION_JVM)
            both.redis.start()
            yield both
        finally:
            both.client.close()
            both.redis.stop()
            both.kafka.stop()


def measured(process: Process, done: Callable[[], bool], seconds: float) -> tuple[float, float]:
    """Thaw a frozen process, wait until it is done; return the processor seconds and the seconds that it took."""
    cpu, started = process.cpu_s(), time.monotonic()
    process.thaw()
    until(done, seconds, process.said(), pause_s=0.1)
    return process.cpu_s() - cpu, time.monotonic() - started


def granted_since(both: Servers, since: Sequence[int], topic: str = GRANTED) -> list[Given]:
    """Return what was published in a topic of grants since it stood there."""
    return [given(value) for _, value in both.client.read(topic, since) if value is not None]


def machine(both: Servers) -> dict[str, Any]:
    """Return on what, with what, and beside what it ran."""
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "redis_server": both.redis_info()["redis_version"],
        "kafka_server": "Apache Kafka, one broker, " + " ".join(PRODUCTION_JVM),
        **{package: version(package) for package in ("livepromo", "faust-streaming", "aiokafka", "redis", "hiredis", "msgspec")},
    }


def written(result: dict[str, Any], path: Path) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
