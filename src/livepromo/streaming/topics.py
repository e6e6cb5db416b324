"""Topics: make what is missing, say what differs in what is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from livepromo.streaming.connecting import SEE, Connection, failure, open_client
from livepromo.streaming.errors import DoesNotFitError, RefusedError, UnavailableError

REPLICAS = 3
IN_SYNC = "min.insync.replicas"
SEEN_S = 20.0
_LOOK = "Describe and DescribeConfigs on the topics"


class TopicSpec(msgspec.Struct, frozen=True):
    """What a topic must be: partitions (None: as many as it has, and it is never made) and the configs that matter."""

    name: str
    partitions: int | None
    config: Mapping[str, str] = msgspec.field(default_factory=dict)


class TopicDescription(msgspec.Struct, frozen=True):
    """What a topic is, with all its configs, defaults included."""

    name: str
    partitions: int
    replicas: int
    config: Mapping[str, str]


class TopicReport(msgspec.Struct, frozen=True):
    """What was found and done: `created` (or, in a dry run, would be), and what differs from the spec, in words."""

    name: str
    created: bool
    differences: tuple[str, ...] = ()
    missing: bool = False  # not there, and not ours to make


@asynccontextmanager
async def admin(kafka: Connection, right: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a client to administer with; `right` is what it needs. Raises UnavailableError, RefusedError."""
    client = AIOKafkaAdminClient(**kafka.options())
    what = f"kafka at {kafka.servers} does not do what was asked"
    try:
        await open_client(client, kafka)
        yield client
    except KafkaError as error:
        named = f" (topic {error.args[0]})" if error.args else ""
        raise failure(error, what, f"{right}{named}") from error
    except TimeoutError as error:
        raise UnavailableError(f"{what}: {error!r}") from error
    finally:
        await client.close()


async def describe(kafka: Connection, names: Sequence[str]) -> dict[str, TopicDescription]:
    """Return what the topics are, without those that are not there. Raises UnavailableError, RefusedError."""
    async with admin(kafka, _LOOK) as client:
        return await _describe(client, names)


async def ensure(
    kafka: Connection,
    specs: Sequence[TopicSpec],
    *,
    dry_run: bool = False,
) -> list[TopicReport]:
    """Make the topics that are missing and compare those that are there; a topic that is there is never changed.

    New topics get three replicas and two in sync where there are brokers enough, unless the spec says otherwise.

    Raises:
        UnavailableError: Kafka cannot be reached.
        RefusedError: Kafka does not let us.
        DoesNotFitError: the broker refuses a topic as specified.
    """
    async with admin(kafka, _LOOK) as client:
        there = await _describe(client, [spec.name for spec in specs])
        missing = [spec for spec in specs if spec.name not in there and spec.partitions is not None]
        if missing and not dry_run:
            await _create(client, missing)
            await _seen(client, missing)
    reports = []
    for spec in specs:
        found = there.get(spec.name)
        if found is not None:
            reports.append(TopicReport(spec.name, created=False, differences=tuple(_differences(spec, found))))
        else:
            reports.append(TopicReport(spec.name, created=spec.partitions is not None, missing=spec.partitions is None))
    return reports


def _differences(spec: TopicSpec, found: TopicDescription) -> list[str]:
    differences = []
    if spec.partitions is not None and found.partitions != spec.partitions:
        differences.append(f"has {found.partitions} partitions, not {spec.partitions}")
    for name, wanted in spec.config.items():
        has = found.config.get(name)
        if has != wanted:
            differences.append(f"{name} is {has}, not {wanted}")
    return differences


async def _create(client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    replicas = min(REPLICAS, len((await client.describe_cluster())["brokers"]))
    in_sync = "2" if replicas == REPLICAS else "1"
    topics = [NewTopic(spec.name, spec.partitions, replicas, topic_configs={IN_SYNC: in_sync, **spec.config}) for spec in specs]
    answer = await client.create_topics(topics)
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if error in {TopicAuthorizationFailedError, ClusterAuthorizationFailedError}:
            raise RefusedError(f"topic {name} cannot be made: give our user Create on it, or on the cluster, or make it yourself: {SEE}")
        if code and error is not TopicAlreadyExistsError:  # made by somebody else meanwhile: the same spec, as a rule
            raise DoesNotFitError(f"topic {name} cannot be made: {error.__name__}: {message[0] if message else ''}")


async def _seen(client: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Wait until the brokers show the topics with all their partitions: they hear of them one after the other."""
    async with asyncio.timeout(SEEN_S):
        while True:
            there = await _describe(client, [spec.name for spec in specs])
            if all(spec.name in there and there[spec.name].partitions == spec.partitions for spec in specs):
                return
            await asyncio.sleep(0.05)


async def _describe(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, TopicDescription]:
    found = {}
    for topic in await client.describe_topics(list(names)):
        error = for_code(topic["error_code"])
        if error is UnknownTopicOrPartitionError:
            continue
        if topic["error_code"]:
            raise error(topic["topic"])
        found[topic["topic"]] = topic["partitions"]
    if not found:
        return {}
    configs: dict[str, dict[str, str]] = {}
    for answer in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in found]):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(name, message)
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return {
        name: TopicDescription(name, len(partitions), len(partitions[0]["replicas"]) if partitions else 0, configs.get(name, {}))
        for name, partitions in found.items()
    }
