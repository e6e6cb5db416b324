"""livepromo explain: what is known of one user, and why did an event of theirs earn what it earned?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from livepromo.cli.errors import InputError
from livepromo.cli.naming import campaign_id, unknown
from livepromo.cli.output import progress, put, say, table
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue
from livepromo.model.amounts import amount_text
from livepromo.model.documents import Campaign
from livepromo.model.ids import CampaignId, UserId, partition_of
from livepromo.model.json_text import json_bytes
from livepromo.model.time import instant_text
from livepromo.settings import DENIED_TOPIC, Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.engine.explaining import Counter, Seen, Verdict
    from livepromo.engine.offers import Person
    from livepromo.engine.state import State
    from livepromo.streaming.kafka_log import KafkaLog
    from livepromo.worker.publishing import Publications

_MARKS = {True: "yes", False: "NO", None: ""}


async def explain(*, user: str, campaign: str | None = None, event: str | None = None, json: bool = False) -> None:
    """Show what is known of a user: properties and segments, what they did as campaigns count it, open windows, counters, grants, denials.

    With --event also why an event of theirs did or did not qualify: each condition of each campaign that names it, with what it saw.
    Profile and segments are those of now. Denials are kept for 7 days, events for as long as their topic keeps them. Codes are not shown.

    Example: `livepromo explain --user u1 --campaign cart-rescue --event e-81`

    Args:
        user: The user's id.
        campaign: Only what is about this campaign.
        event: The id of an event; of one without an id the name that stands in the cause of its grant, h-…
        json: Write one object: {user, partition, matched_to, known, properties, segments, occurrences, windows, counters, grants,
            denials, event}; times are in milliseconds.
    """
    from livepromo.worker.publishing import Publications  # noqa: PLC0415 - slow to import
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415

    settings = load()
    there = await partitions(settings, "catalogue", "state", "ledger", "dead-letters", events=True, others=[DENIED_TOPIC])
    async with kafka_log(settings) as log:
        publications = Publications(log, settings.topic("catalogue"))
        await publications.follow()
        found = await _Explaining(settings, log, there, publications, UserId(user), campaign).all_of_it(event)
    if json:
        put(json_bytes(found).decode())
    else:
        _show(found)


class _Explaining:
    """One user of one installation, whose every topic is read once."""

    def __init__(  # noqa: PLR0913, PLR0917 - where, of whom, of what
        self, settings: Settings, log: KafkaLog, there: dict[str, int], publications: Publications, user: UserId, campaign: str | None
    ) -> None:
        self._settings, self._log, self._there, self._publications, self._user = settings, log, there, publications, user
        self._partition = partition_of(user, there[settings.events])
        self._campaigns = _chosen(publications.newest, campaign)
        self._only = None if campaign is None else CampaignId(campaign_id(campaign))

    async def all_of_it(self, event_id: str | None) -> dict[str, Any]:
        from livepromo.behaviour.keeping import unpack  # noqa: PLC0415 - slow to import
        from livepromo.engine.explaining import occurrences, open_windows  # noqa: PLC0415
        from livepromo.engine.state import Known  # noqa: PLC0415
        from livepromo.worker.explaining import read_user  # noqa: PLC0415
        from livepromo.worker.horizons import horizons_of  # noqa: PLC0415

        settings, log, user = self._settings, self._log, self._user
        with progress("reading the state", await log.end(settings.topic("state"), self._partition)) as moved:
            state = await read_user(log, settings, self._partition, user, moved)
        kept = unpack(state.users.get(user, b""))
        person = Known(state, user, kept, {})
        catalogue = self._publications.at(state.catalogue)
        plan = self._publications.plan(state.catalogue, horizons_of(settings))
        found: dict[str, Any] = {
            "user": user,
            "partition": self._partition,
            "matched_to": state.position.offset,
            "known": user in state.users,
            "properties": dict(person.properties),
            "segments": sorted(person.segments),
            "occurrences": [one._asdict() for one in occurrences(catalogue, person, state.stream_ms) if one.campaign in self._campaigns],
            "windows": [one._asdict() for one in open_windows(kept.windows, plan) if one.campaign in self._campaigns],
            "counters": await self._counters(),
            "grants": await self._grants(),
            "denials": await self._denials(),
        }
        if event_id is not None:
            found["event"] = await self._event(event_id, state, person, found)
        return found

    async def _counters(self) -> list[dict[str, Any]] | None:
        from livepromo.ledger.redis_table import RedisTable  # noqa: PLC0415 - slow to import
        from livepromo.ledger.table import UnavailableError  # noqa: PLC0415
        from livepromo.worker.connecting import redis_of  # noqa: PLC0415
        from livepromo.worker.explaining import homes_of, read_counters  # noqa: PLC0415

        redis = RedisTable(redis_of(self._settings), self._settings.namespace)
        homes = homes_of(self._publications.newest, self._there[self._settings.topic("ledger")])
        try:
            counted = await read_counters(redis, self._publications.newest, homes, self._user, self._campaigns, clock.wall_ms())
        except UnavailableError as error:
            say(f"redis at {self._settings.redis_address} cannot be asked what was counted: {error}")
            return None
        finally:
            await redis.close()
        return [_counter(one) for one in counted]

    async def _grants(self) -> list[dict[str, Any]]:
        from livepromo.worker.explaining import homes_of, read_grants  # noqa: PLC0415 - slow to import

        topic = self._settings.topic("ledger")
        count = self._there[topic]
        homes = homes_of(self._publications.newest, count)
        numbers = range(count) if self._only is None else [homes[self._only]]
        ends = [await self._log.end(topic, number) for number in numbers]
        with progress("reading the ledger", sum(ends)) as moved:
            return await read_grants(self._log, self._settings, numbers, self._user, self._only, moved)

    async def _denials(self) -> list[dict[str, Any]]:
        from livepromo.worker.explaining import read_denials  # noqa: PLC0415 - slow to import

        number = partition_of(self._user, self._there[DENIED_TOPIC])
        held = await self._log.end(DENIED_TOPIC, number) - await self._log.begin(DENIED_TOPIC, number)
        with progress("reading denials", held) as moved:
            return await read_denials(self._log, number, self._user, self._campaigns, moved)

    async def _event(self, event_id: str, state: State, person: Person, known: Mapping[str, Any]) -> dict[str, Any]:
        from livepromo.worker.explaining import put_aside, search_event  # noqa: PLC0415 - slow to import

        settings, log, partition = self._settings, self._log, self._partition
        begin, end = await log.begin(settings.events, partition), await log.end(settings.events, partition)
        with progress("looking for the event", end - begin) as moved:
            searched = await search_event(log, settings, partition, self._user, event_id, moved)
        if not searched.found:
            raise InputError(
                f'there is no event "{event_id}" of user "{self._user}" in {settings.events}[{partition}], which holds offsets {begin} '
                f"to {end}: what is older is gone, and what stands in another partition than its user's is not found"
            )
        with progress("reading dead letters"):
            dead = [
                await put_aside(log, settings, self._there[settings.topic("dead-letters")], partition, one.offset) for one in searched.found
            ]
        at = next((place for place, reason in enumerate(dead) if reason is None), 0)
        seen, reason = searched.found[at], dead[at]
        catalogue, verdicts = self._judged(seen, state, person, searched.others)
        return {
            "id": event_id,
            "event": seen.event.event,
            "offset": seen.offset,
            "ts": seen.event.ts_ms,
            "time": seen.time_ms,
            "properties": seen.event.properties,
            "repeats": [one.offset for one in searched.found[at + 1 :]],
            "dead_letter": reason,
            "matched": seen.offset < state.position.offset,
            "named": _is_named(catalogue, seen.event.event),
            "campaigns": [_verdict(one, event_id, known) for one in verdicts if one.campaign in self._campaigns],
            "published_later": [name for name in self._published_later(seen, catalogue) if name in self._campaigns],
        }

    def _judged(self, seen: Seen, state: State, person: Person, others: list[Seen]) -> tuple[Catalogue, list[Verdict]]:
        from livepromo.engine.explaining import judge  # noqa: PLC0415 - slow to import
        from livepromo.worker.explaining import catalogue_at, unread_at  # noqa: PLC0415
        from livepromo.worker.horizons import horizons_of  # noqa: PLC0415

        catalogue = self._publications.at(catalogue_at(state, seen.offset))
        return catalogue, judge(seen, catalogue, person, horizons_of(self._settings), others, unread_at(state, seen.offset))

    def _published_later(self, seen: Seen, then: Catalogue) -> list[CampaignId]:
        from livepromo.engine.explaining import names  # noqa: PLC0415 - slow to import

        name = seen.event.event
        return [one for one in self._campaigns if names(self._publications.newest, one, name) and not names(then, one, name)]


def _chosen(catalogue: Catalogue, campaign: str | None) -> list[CampaignId]:
    """Return the campaigns that are asked for. Raises InputError for one that is none."""
    there = sorted(entry.document.id for entry in catalogue.entries.values() if isinstance(entry.document, Campaign))
    if campaign is None:
        return there
    if campaign_id(campaign) not in there:
        raise unknown("campaign", campaign_id(campaign), there)
    return [CampaignId(campaign_id(campaign))]


def _is_named(catalogue: Catalogue, event: str) -> bool:
    from livepromo.engine.plan import compile_plan  # noqa: PLC0415 - slow to import

    return event in compile_plan(catalogue).named


def _counter(one: Counter) -> dict[str, Any]:
    from msgspec import Raw  # noqa: PLC0415 - slow to import

    used, cap = (None if units is None else Raw(amount_text(units, one.decimals).encode()) for units in (one.used, one.cap))
    return {"campaign": one.campaign, "slot": one.slot, "period": period_text(one.slot), "used": used, "cap": cap}


def period_text(slot: str) -> str | None:
    """Return which period a slot of a row is, as people name it: a day, the Monday of a week, a month; None for what is none."""
    kind, colon, ordinal = slot.partition(":")
    if not colon:
        return None
    number = int(ordinal)
    match kind:
        case "day":
            return date.fromordinal(number).isoformat()
        case "week":
            return f"week of {date.fromordinal(7 * number + 1).isoformat()}"
        case _:
            return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _verdict(verdict: Verdict, event_id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verdict with what came of it: the grant, the denial, or the window that is still open."""
    came: dict[str, Any] = {"grant": None, "denial": None, "window": None}
    if verdict.role == "trigger":
        for name, among in (("grant", known["grants"]), ("denial", known["denials"])):
            came[name] = next(
                (one for one in among if one["campaign"] == verdict.campaign and one["cause"].get("event_id") == event_id), None
            )
        came["window"] = next(
            (one for one in known["windows"] if one["campaign"] == verdict.campaign and one["event_id"] == event_id), None
        )
    return {
        "campaign": verdict.campaign,
        "revision": verdict.revision,
        "role": verdict.role,
        "qualifies": verdict.qualifies,
        "asked": [{"path": one.path, "asks": one.asks, "holds": one.holds, "saw": one.saw} for one in verdict.findings],
        **came,
    }


# -- on a terminal


def _show(found: Mapping[str, Any]) -> None:
    from msgspec import Raw  # noqa: PLC0415 - slow to import

    def cell(value: Any) -> str:  # noqa: ANN401 - a cell of any column
        return "" if value is None else bytes(value).decode() if isinstance(value, Raw) else str(value)

    user, state = found["user"], f"partition {found['partition']}, matched up to offset {found['matched_to']}"
    put(f"user {user}: {'known' if found['known'] else 'no record was read'} ({state})")
    _section("properties", ["property", "value"], [[name, json_bytes(value).decode()] for name, value in found["properties"].items()])
    _section("segments", ["segment"], [[name] for name in found["segments"]])
    _section("occurrences", ["campaign", "counts", "times"], [[one["campaign"], one["asks"], one["times"]] for one in found["occurrences"]])
    _section(
        "open windows",
        ["campaign", "event", "opened", "deadline", "fires after", "same"],
        [
            [one["campaign"], one["event_id"], *(instant_text(one[at]) for at in ("time_ms", "deadline_ms", "fires_ms")), one["value"]]
            for one in found["windows"]
        ],
    )
    counted = [[one["campaign"], one["period"] or one["slot"], cell(one["used"]), cell(one["cap"])] for one in found["counters"] or ()]
    _section("counters", ["campaign", "what", "used", "at most"], counted)
    _section(
        "grants",
        ["granted", "campaign", "revision", "reward", "cause"],
        [[instant_text(one["granted_at"]), one["campaign"], one["revision"], _reward(one), _cause(one)] for one in found["grants"]],
    )
    _section(
        "denials",
        ["decided", "campaign", "revision", "reason", "used", "limit", "cause"],
        [
            [
                instant_text(one["decided_at"]),
                *(one.get(name) for name in ("campaign", "revision", "reason", "used", "limit")),
                _cause(one),
            ]
            for one in found["denials"]
        ],
    )
    if "event" in found:
        _show_event(found["event"])


def _section(name: str, columns: list[str], rows: list[list[object]]) -> None:
    put(f"\n{name}{'' if rows else ': none'}")
    if rows:
        table(columns, rows)


def _reward(grant: Mapping[str, Any]) -> str:
    reward = grant["reward"]
    match reward["type"]:
        case "points":
            return f"{reward['points']} points of {reward['wallet']}"
        case "coupon":
            return f"coupon {reward['coupon']}"
        case "voucher":
            return f"voucher {reward['partner']}/{reward['list_tag']}"
        case _:
            return f"{reward['value']} of {reward.get('item') or reward.get('wallet')}"


def _cause(one: Mapping[str, Any]) -> str:
    cause = one["cause"]
    return " ".join(str(cause[name]) for name in ("kind", "event", "event_id") if name in cause)


def _show_event(event: Mapping[str, Any]) -> None:
    put(f"\nevent {event['id']}: {event['event']} at {instant_text(event['ts'])}, offset {event['offset']}")
    for line in what_happened(event):
        put(line)
    for one in event["campaigns"]:
        head = {"trigger": "is triggered by it", "unless": "has windows that it may close", "who": "may count it"}[one["role"]]
        put(f"\n{one['campaign']} (revision {one['revision']}) {head}")
        table(["holds", "asks", "saw", "where"], [[_MARKS[row["holds"]], row["asks"], row["saw"], row["path"]] for row in one["asked"]])
        if one["role"] == "trigger":
            put(outcome(one, event))


def what_happened(event: Mapping[str, Any]) -> list[str]:
    """Return what is to be said of an event before any campaign is asked."""
    said = []
    if event["dead_letter"] is not None:
        said.append(f"it was put aside as a dead letter, {event['dead_letter']}: no campaign has seen it")
    elif not event["matched"]:
        said.append("it has not been matched yet: what follows is what would be asked")
    if event["ts"] != event["time"]:
        said.append(f"its time is later than when kafka had received it, so it counts as of {instant_text(event['time'])}")
    if event["repeats"]:
        said.append(f"the same id stands again at {', '.join(map(str, event['repeats']))}: repeats are ignored while ids are remembered")
    if not event["named"]:
        said.append(f"no document that was published then names {event['event']}")
    if event["published_later"]:
        said.append(f"published only after it was read: {', '.join(event['published_later'])}")
    return said


def outcome(one: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """Return in one line what came of an event for a campaign that it triggers."""
    if one["grant"] is not None:
        return f"granted: {_reward(one['grant'])}, {one['grant']['grant_id']}"
    if one["denial"] is not None:
        denial = one["denial"]
        about = f": {denial['used']} of {denial['limit']} used" if "limit" in denial else ""
        return f"denied: {denial['reason']}{about}"
    if one["window"] is not None:
        return f"its window is open; it fires once stream time is beyond {instant_text(one['window']['fires_ms'])}"
    if event["dead_letter"] is not None:
        return "nothing came of it: it is a dead letter"
    if not event["matched"]:
        return "nothing came of it yet"
    failed = next((row for row in one["asked"] if row["holds"] is False), None)
    if failed is not None:
        return f"nothing came of it: {failed['asks']}, but saw {failed['saw']}"
    return (
        "nothing came of it that is still to be seen: it may wait to be decided, or its denial was not said or is older than 7 days, or "
        "profile and segments were others then, or its window was moved by a further trigger, closed, or never opened, as it came too late"
    )
