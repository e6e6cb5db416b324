"""Which topics an installation has, with which partitions and settings; and whether those that are there fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from livepromo.model.time import DAY_MS
from livepromo.settings import DENIED_TOPIC, GRANTED_TOPIC, Settings, Topic
from livepromo.streaming.errors import DoesNotFitError, MissingTopicError
from livepromo.streaming.topics import TopicDescription, TopicReport, TopicSpec, describe, ensure
from livepromo.worker.connecting import kafka_of

EVENTS_PARTITIONS: Final = 8
OUT_PARTITIONS: Final = 8
ORDINARY_MESSAGE_BYTES: Final = 1_048_588  # Kafka's own limit, where nobody set another
LARGEST_PUBLICATION_BYTES: Final = 8 << 20
_LARGEST_BATCH_BYTES: Final = 2 << 20
HEADROOM_BYTES: Final = 64 << 10

_POLICY: Final = "cleanup.policy"
_TIMES: Final = "message.timestamp.type"
LARGEST: Final = "max.message.bytes"
_SAFE: Final = {"unclean.leader.election.enable": "false"}
_FOR_EVER: Final = {_POLICY: "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_BROKERS_TIME: Final = {_TIMES: "LogAppendTime"}
_IN_SYNC: Final = "min.insync.replicas"
_REPLICAS_FOR_TWO_IN_SYNC: Final = 3


class _Wanted(NamedTuple):
    """`needed` must hold in a topic that is there, too, `chosen` only in one that is made; `fixed`: so must the partitions."""

    name: str
    partitions: int
    fixed: bool
    needed: dict[str, str]
    chosen: dict[str, str]


def _days(days: int) -> dict[str, str]:
    return {"retention.ms": str(days * DAY_MS)}


def _wanted(settings: Settings, there: Mapping[str, TopicDescription]) -> list[_Wanted]:
    def partitions(topic: str, unless: int) -> int:
        return there[topic].partitions if topic in there else unless

    def ours(name: Topic, count: int, needed: dict[str, str], chosen: dict[str, str] | None = None, *, fixed: bool = True) -> _Wanted:
        return _Wanted(settings.topic(name), count, fixed, _SAFE | needed, chosen or {})

    events = partitions(settings.events, EVENTS_PARTITIONS)
    candidates = partitions(settings.topic("candidates"), EVENTS_PARTITIONS)
    deletes, batches = {_POLICY: "delete"}, {LARGEST: str(_LARGEST_BATCH_BYTES)}
    largest_event = (
        int(there[settings.events].config.get(LARGEST, ORDINARY_MESSAGE_BYTES)) if settings.events in there else ORDINARY_MESSAGE_BYTES
    )
    dead_letters = {LARGEST: str(largest_event + HEADROOM_BYTES)}
    times = ({}, _BROKERS_TIME) if settings.trust_producer_time else (_BROKERS_TIME, {})
    return [
        _Wanted(settings.events, events, False, deletes | times[0], times[1] | _days(7) | _SAFE),
        ours("catalogue", 1, _FOR_EVER | _BROKERS_TIME | {LARGEST: str(LARGEST_PUBLICATION_BYTES)}),
        ours("state", events, {_POLICY: "compact"} | _BROKERS_TIME | batches),
        ours("candidates", candidates, deletes | batches, _days(14), fixed=False),
        ours("ledger", candidates, _FOR_EVER | batches),
        ours("codes", candidates, _FOR_EVER | batches),
        ours("webhooks", candidates, deletes, _days(7)),
        ours("webhooks.dead-letters", candidates, deletes, _days(7)),
        _Wanted(GRANTED_TOPIC, OUT_PARTITIONS, False, _SAFE, _days(7)),
        _Wanted(DENIED_TOPIC, OUT_PARTITIONS, False, _SAFE, _days(7)),
        ours("dead-letters", 1, deletes | dead_letters, _days(30), fixed=False),
    ]


def _differs(needed: dict[str, str], found: TopicDescription) -> dict[str, str]:
    """Return what of `needed` is to be compared letter for letter; a limit that is larger than needed is as good."""
    kept = dict(needed)
    if LARGEST in kept and int(found.config.get(LARGEST, ORDINARY_MESSAGE_BYTES)) >= int(kept[LARGEST]):
        del kept[LARGEST]
    if found.replicas >= _REPLICAS_FOR_TWO_IN_SYNC and int(found.config.get(_IN_SYNC, "1")) < 2:  # noqa: PLR2004 - one alone may be lost
        kept[_IN_SYNC] = "2"
    return kept


def specs(settings: Settings, there: Mapping[str, TopicDescription]) -> list[TopicSpec]:
    """Return what every topic must be, given those that are there: `state` has as many partitions as `events`, and so on."""
    found = []
    for wanted in _wanted(settings, there):
        if wanted.name in there:
            count = wanted.partitions if wanted.fixed else None
            found.append(TopicSpec(wanted.name, count, _differs(wanted.needed, there[wanted.name])))
        else:
            found.append(TopicSpec(wanted.name, wanted.partitions, wanted.chosen | wanted.needed))
    return found


async def _there(settings: Settings) -> dict[str, TopicDescription]:
    return await describe(kafka_of(settings), [wanted.name for wanted in _wanted(settings, {})])


async def make(settings: Settings, *, dry_run: bool = False) -> list[TopicReport]:
    """Make the topics that are missing, unless it is a dry run, and say what differs in the others, which are never changed.

    Raises what `livepromo.streaming.topics.ensure` raises. Running it again does nothing more.
    """
    return await ensure(kafka_of(settings), specs(settings, await _there(settings)), dry_run=dry_run)


async def fitting(settings: Settings) -> dict[str, TopicDescription]:
    """Return what the topics are, all of them there and as they must be.

    Raises:
        UnavailableError: Kafka cannot be reached.
        MissingTopicError: `livepromo init` has not been run.
        DoesNotFitError: one is not as it must be.
    """
    there = await _there(settings)
    wanted = specs(settings, there)
    missing = [spec.name for spec in wanted if spec.name not in there]
    if missing:
        raise MissingTopicError(f"kafka at {settings.kafka} has no topic {', '.join(missing)}: run livepromo init")
    for report in await ensure(kafka_of(settings), wanted, dry_run=True):
        if report.differences:
            raise DoesNotFitError(misfit(report))
    return there


def misfit(report: TopicReport) -> str:
    """Return in one line what differs in a topic, and what can be done about it."""
    return (
        f"topic {report.name} {' and '.join(report.differences)}: "
        "change it with Kafka's own tools, or choose other topics (LIVEPROMO_EVENTS, LIVEPROMO_NAMESPACE)"
    )
