"""Everything that an installation knows of one user, read where it stands: journal, ledger, table, denials, the events themselves."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any, NamedTuple

from livepromo.behaviour.formats import FORMATS
from livepromo.documents.catalogue import Catalogue
from livepromo.engine.entries import CatalogueTaken, HistoryRead
from livepromo.engine.explaining import Counter, Seen, counters
from livepromo.engine.journalling import concerns, restore_part
from livepromo.engine.limits import row_of_user
from livepromo.engine.owing import home_of
from livepromo.engine.state import State
from livepromo.ledger.entries import GrantEntry
from livepromo.ledger.entries import decode as decode_entry
from livepromo.ledger.table import Table
from livepromo.model.documents import Campaign
from livepromo.model.ids import CampaignId, UserId, partition_of
from livepromo.model.records import Event, Position, content_id
from livepromo.settings import DENIED_TOPIC, Settings
from livepromo.streaming.journal import read_journal
from livepromo.streaming.log import Log
from livepromo.worker.dead_letters import Chosen, read_dead_letters
from livepromo.worker.horizons import horizons_of

MOST_OTHERS = 10_000
Moved = Callable[[float], None]


class Searched(NamedTuple):
    """What the events topic has of a user: the events of one id, in the order read, and the newest others."""

    found: list[Seen]
    others: list[Seen]


def homes_of(catalogue: Catalogue, partitions: int) -> dict[CampaignId, int]:
    """Return in which partition each campaign is decided."""
    documents = [entry.document for entry in catalogue.entries.values()]
    return {one.id: partition_of(home_of(one), partitions) for one in documents if isinstance(one, Campaign)}


async def read_user(log: Log, settings: Settings, partition: int, user: UserId, moved: Moved) -> State:
    """Return the state of a partition as its journal has it now, with nobody in it but one user. Raises FormatError, UnavailableError."""
    state, topic = State(horizons_of(settings)), settings.topic("state")
    at = 0
    async for some in read_journal(log, topic, partition, 0, await log.end(topic, partition)):
        for key, payload, _ in some:
            if concerns(key, user):
                restore_part(state, key, payload)
        moved(some[-1][2] + 1 - at)
        at = some[-1][2] + 1
    return state


def catalogue_at(state: State, offset: int) -> int:
    """Return up to which place of the catalogue publications held when the record at an offset was taken."""
    before = [
        (at, entry.position) for at, entry in state.entries.items() if isinstance(entry, CatalogueTaken) and at <= Position(offset, 1 << 62)
    ]
    return max(before, default=(None, 0))[1]


def unread_at(state: State, offset: int) -> frozenset[bytes]:
    """Return the rules whose look-backs had not been read when the record at an offset was taken."""
    later = (entry for at, entry in state.entries.items() if isinstance(entry, HistoryRead) and at.offset > offset)
    return frozenset(state.unready).union(*(entry.rules for entry in later))


async def read_grants(  # noqa: PLR0913, PLR0917 - where, and whose
    log: Log, settings: Settings, partitions: Collection[int], user: UserId, campaign: CampaignId | None, moved: Moved
) -> list[dict[str, Any]]:
    """Return a user's grants as published but for codes, which are null: whoever may look here need not know them."""
    topic, name = settings.topic("ledger"), user.encode()
    grants = []
    for partition in partitions:
        at = 0
        async for some in read_journal(log, topic, partition, 0, await log.end(topic, partition)):
            for _, payload, _ in some:
                if payload is None or name not in payload:
                    continue
                entry = decode_entry(payload)
                if isinstance(entry, GrantEntry) and entry.user == user and campaign in {None, entry.campaign}:
                    grants.append(_without_code(json.loads(entry.body)))
            moved(some[-1][2] + 1 - at)
            at = some[-1][2] + 1
    return sorted(grants, key=lambda grant: (grant["granted_at"], grant["grant_id"]))


def _without_code(grant: dict[str, Any]) -> dict[str, Any]:
    if "code" in grant["reward"]:
        grant["reward"]["code"] = None
    return grant


async def read_denials(log: Log, partition: int, user: UserId, campaigns: Collection[CampaignId], moved: Moved) -> list[dict[str, Any]]:
    """Return a user's denials of these campaigns as published, as far as their topic has them, each once."""
    key, found = user.encode(), {}
    begin, end = await log.begin(DENIED_TOPIC, partition), await log.end(DENIED_TOPIC, partition)
    async for records in log.read(DENIED_TOPIC, partition, begin, end):
        for record in records:
            if record.key == key and record.value is not None:
                denial = json.loads(record.value)
                if denial["campaign"] in campaigns:
                    found[record.value] = denial
        moved(len(records))
    return list(found.values())


async def read_counters(  # noqa: PLR0913, PLR0917 - of whom, of what, as of when
    table: Table, catalogue: Catalogue, homes: dict[CampaignId, int], user: UserId, campaigns: Collection[CampaignId], at_ms: int
) -> list[Counter]:
    """Return what the table has counted of a user. Raises the table's UnavailableError."""
    found: list[Counter] = []
    for campaign in sorted(campaigns):
        name, partition = row_of_user(campaign, user), homes[campaign]
        applied, _ = await table.progress(partition)
        rows = {} if applied is None else (await table.read(partition, applied.generation, [name]))[1]
        found += counters(catalogue.entries[f"campaign/{campaign}"], catalogue, user, rows.get(name, {}), at_ms)
    return found


async def search_event(  # noqa: PLR0913, PLR0917 - where, and whose
    log: Log, settings: Settings, partition: int, user: UserId, event_id: str, moved: Moved
) -> Searched:
    """Look for the events of a user that have an id, or whose content has that name, as far as the events topic has them."""
    searched = Searched([], [])
    others: deque[Seen] = deque(maxlen=MOST_OTHERS)
    async for seen in _events_of(log, settings, partition, user, moved):
        (searched.found if seen.event_id == event_id else others).append(seen)
    searched.others.extend(others)
    return searched


async def _events_of(log: Log, settings: Settings, partition: int, user: UserId, moved: Moved) -> AsyncIterator[Seen]:
    format_ = FORMATS[settings.format.value]
    key = user.encode()
    begin, end = await log.begin(settings.events, partition), await log.end(settings.events, partition)
    async for records in log.read(settings.events, partition, begin, end):
        for record in records:
            if record.key != key and key not in (record.value or b""):
                continue
            value = record.value if format_.whole is None else format_.whole(record.value, record.headers)
            event = format_.decode(value)
            if isinstance(event, Event) and event.user == user:
                yield Seen(event, event.event_id or content_id(event), min(event.ts_ms, record.timestamp_ms), record.offset)
        moved(len(records))


async def put_aside(log: Log, settings: Settings, partitions: int, partition: int, offset: int) -> str | None:
    """Return why a record of the events topic was put aside; None where it was not, or is not kept any more."""
    async for letters in read_dead_letters(log, settings.topic("dead-letters"), partitions, Chosen()):
        for letter in letters:
            if letter.origin == (settings.events, partition, offset):
                return letter.reason
    return None
