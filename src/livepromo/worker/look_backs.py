"""Whether look-backs that are published reach further than the events topic does (R6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from livepromo.behaviour.audiences import compile_audience
from livepromo.behaviour.occurrences import Rule
from livepromo.documents.catalogue import Catalogue, Entry
from livepromo.documents.reading import Problem, ReadDocument, Severity, documents_of
from livepromo.documents.references import problem_at
from livepromo.engine.plan import compile_plan
from livepromo.model.audiences import AllOf, AnyOf, Audience, Did, DidNot, InSegment, Interest, Leaf, NoneOf
from livepromo.model.documents import Campaign, Live, Segment
from livepromo.model.ids import CampaignId
from livepromo.model.time import from_ms
from livepromo.settings import Settings
from livepromo.streaming.log import Log
from livepromo.streaming.topics import describe
from livepromo.worker.connecting import kafka_of

RETENTION = "retention.ms"
_ANYTHING = Did(("anything",))
_GROUPS = {AllOf: "all", AnyOf: "any", NoneOf: "none"}


class Reach(NamedTuple):
    """How far back an events topic goes: what happened before `missing_ms` is missing from it; `begins_ms`: its oldest record."""

    missing_ms: int
    begins_ms: int


class _Place(NamedTuple):
    """A leaf, where it stands as written, and the constant properties of its group."""

    leaf: Leaf
    path: str
    written: Mapping[str, Any]
    same: tuple[str, ...]


def looks_back(read: Iterable[ReadDocument]) -> bool:
    """Say whether any of the documents looks back so far, and no further: only then is it of interest how far the topic does."""
    return any(
        getattr(place.leaf, "within", None) is not None or isinstance(place.leaf, InSegment) for one in read for place in _places(one)
    )


async def reach_of(log: Log, settings: Settings, partitions: int, now_ms: int) -> Reach | None:
    """Return how far back the events topic goes; None: nothing that ever was in it is missing, nor will be.

    A partition that has lost its first records goes back to the oldest that it has. One that has lost none is as good as its retention:
    what is not in it has not happened, as far as records are kept. One that has lost all that it ever had says nothing.
    Raises UnavailableError, RefusedError.
    """
    retention_ms = await _retention_ms(settings)
    missing: list[int] = []
    begins: list[int] = []
    lost_all = False
    for number in range(partitions):
        begin = await log.begin(settings.events, number)
        oldest_ms = await _oldest_ms(log, settings.events, number, begin)
        if begin > 0:
            if oldest_ms is None:
                lost_all = True
            else:
                missing.append(oldest_ms)
                begins.append(oldest_ms)
        elif retention_ms is not None:
            kept_ms = now_ms - retention_ms
            missing.append(kept_ms if oldest_ms is None else min(oldest_ms, kept_ms))
            if oldest_ms is not None:
                begins.append(oldest_ms)
    if not missing:
        return Reach(now_ms, now_ms) if lost_all else None
    return Reach(max(missing), max(begins, default=now_ms))


async def _retention_ms(settings: Settings) -> int | None:
    if settings.embedded:  # keeps what it has, and describes nothing
        return None
    found = (await describe(kafka_of(settings), [settings.events]))[settings.events]
    kept_ms = int(found.config.get(RETENTION, "-1"))
    return None if kept_ms < 0 else kept_ms


async def _oldest_ms(log: Log, topic: str, partition: int, begin: int) -> int | None:
    async with aclosing(log.read(topic, partition, begin, await log.end(topic, partition))) as records:  # type: ignore[type-var]
        async for some in records:
            return some[0].timestamp_ms
    return None


def judge_look_backs(
    read: list[ReadDocument], catalogue: Catalogue, reach: Reach | None, now_ms: int, *, accepted: bool
) -> Iterator[Problem]:
    """Yield a problem for each look-back of a new or changed document that reaches further than the topic; a warning where `accepted`.

    One of what is published already does not need the topic: what it counts has been kept since.
    """
    if reach is None:
        return
    kept = {rule.key for rules in compile_plan(catalogue).rules.values() for rule in rules}
    segments = {one.document.id: one.document for one in catalogue.entries.values() if isinstance(one.document, Segment)}
    segments.update({one.id: one for one in documents_of(read) if isinstance(one, Segment)})
    severity: Severity = "warning" if accepted else "error"
    for one in read:
        entry = catalogue.entries.get(one.key)
        if one.document is None or (entry is not None and entry.document == one.document):
            continue
        at_ms, sent_ms = _decided_ms(one, entry, now_ms)
        for place in _places(one):
            rules = [rule for rule in _rules(place, segments, sent_ms) if rule.key not in kept]
            reaches = [reached for rule in rules if (reached := rule.reach_ms(at_ms)) is not None and reached < reach.missing_ms]
            if reaches:
                said = _said(place, min(reaches), at_ms, reach)
                path = place.path if isinstance(place.leaf, InSegment) else f"{place.path}.within"
                yield problem_at(one, path, said, "R6", severity)


def _decided_ms(one: ReadDocument, entry: Entry | None, now_ms: int) -> tuple[int, int | None]:
    """Return as of when a document first decides, and when it is sent if that is when it decides all."""
    campaign = one.document
    if not isinstance(campaign, Campaign):
        return now_ms, None
    if isinstance(campaign.qualify, Live):
        return max(now_ms, campaign.when.start_ms or now_ms), None
    sent_ms = campaign.when.send_ms
    if sent_ms is None:
        sent_ms = now_ms if entry is None else entry.first_published_ms
    return sent_ms, sent_ms


def _said(place: _Place, reached_ms: int, at_ms: int, reach: Reach) -> str:
    what = "the segment looks back" if isinstance(place.leaf, InSegment) else "the look-back reaches"
    said = (
        f"{what} to {_shown(reached_ms)}, but the events topic holds nothing from before {_shown(max(reach.missing_ms, reach.begins_ms))}"
    )
    if isinstance(place.written.get("within"), dict):
        return f"{said}: what happened before that is not counted; let it begin there, or accept that with --accept-short-history"
    from_ms_on = reach.begins_ms + at_ms - reached_ms
    return f"{said}: it would be true from {_shown(from_ms_on)} on; to publish it all the same: --accept-short-history"


def _rules(place: _Place, segments: Mapping[str, Segment], sent_ms: int | None) -> list[Rule]:
    """Return what would have to be remembered for a leaf, where it stands."""
    leaf, same = place.leaf, place.same

    def rules(audience: Audience) -> tuple[Rule, ...]:
        return compile_audience(audience, CampaignId(""), segments, sent_ms=sent_ms).rules

    if isinstance(leaf, InSegment):
        # Segments are judged where they are published; but what is sent counts from the instant at which it is sent, which is another rule.
        return [] if sent_ms is None or leaf.segment not in segments else list(rules(leaf))
    if same and isinstance(leaf, Did):
        return list(rules(AllOf((leaf,), same)))
    if same and isinstance(leaf, DidNot):
        others = set(rules(AllOf((_ANYTHING,), same)))
        return [rule for rule in rules(AllOf((_ANYTHING, leaf), same)) if rule not in others]
    return list(rules(leaf))


def _places(one: ReadDocument) -> Iterator[_Place]:
    document = one.document
    if isinstance(document, Campaign | Segment) and document.who is not None:
        yield from _places_in(document.who, one.value["who"], "$.who", ())


def _places_in(audience: Audience, written: Mapping[str, Any], path: str, same: tuple[str, ...]) -> Iterator[_Place]:
    if isinstance(audience, AllOf | AnyOf | NoneOf):
        name = _GROUPS[type(audience)]
        of_group = audience.same if isinstance(audience, AllOf) else ()
        for index, (member, below) in enumerate(zip(audience.members, written[name], strict=True)):
            yield from _places_in(member, below, f"{path}.{name}[{index}]", of_group)
        return
    if isinstance(audience, InSegment):
        yield _Place(audience, f"{path}.segment", written, ())
    elif isinstance(audience, Did | DidNot | Interest):
        name = str(audience.__struct_config__.tag)
        yield _Place(audience, f"{path}.{name}", written[name], () if isinstance(audience, Interest) else same)


def _shown(instant_ms: int) -> str:
    return f"{from_ms(instant_ms):%Y-%m-%dT%H:%M:%SZ}"
