"""The judge: what the specification says of the records and publications of a world, counted anew, and held against what came out.

Written from the rules alone. Of the product it uses the nouns and the published formulas (grant ids, content ids, samples); what stands
in topics it reads with nothing but msgpack and JSON.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cache
from math import floor
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from simulation.drawing import Drawn
from simulation.kafka_model import Ever
from simulation.world import CATALOGUE, World

from livepromo.model.amounts import Rounding
from livepromo.model.decisions import Cause, grant_id
from livepromo.model.documents import (
    Campaign,
    Condition,
    Document,
    EventProperty,
    Fact,
    FactOf,
    Flat,
    Literal,
    OnInsufficient,
    Op,
    Per,
    Percent,
    UserProperty,
    Wallet,
    key_of,
)
from livepromo.model.ids import CampaignId, UserId, partition_of, sampled
from livepromo.model.records import Event, content_id

LIMIT_REASONS = ("user_total", "user_day", "user_week", "user_month", "user_budget", "campaign_budget")


class Published(NamedTuple):
    """A document in force."""

    document: Document
    revision: int
    first_ms: int
    state: str


class Owed(NamedTuple):
    """A reward that a campaign owes for a cause; `units` is the amount before budgets."""

    campaign: Campaign
    partition: int
    offset: int
    time_ms: int
    user: str
    units: int
    decimals: int
    body: dict[str, Any]


class Refused(NamedTuple):
    """A denial that no limit causes."""

    partition: int
    offset: int
    body: tuple[Any, ...]


class Counted(NamedTuple):
    """What one events partition owes."""

    owed: dict[str, Owed]
    refused: list[Refused]
    dead: dict[tuple[int, int], str]
    profiles: dict[str, dict[str, Any]]
    stream_ms: int | None


# -- what is in the topics ---------------------------------------------------------------------------------------------


def sealed(value: bytes) -> tuple[int, bytes]:
    """Return epoch and payload of a journal's record."""
    return int.from_bytes(value[1:9], "big"), value[9:]


def in_force(records: list[Ever]) -> list[tuple[Ever, bytes | None]]:
    """Return a journal's records that count, with their payloads: no markers, nothing behind a newer owner's marker."""
    newest, found = -1, []
    for ever in records:
        _, _, key, value, _ = ever.record
        if value is None:
            found.append((ever, None))
            continue
        epoch, payload = sealed(value)
        if key == b"@marker":
            newest = ever.record.offset
        elif epoch >= newest:
            found.append((ever, payload))
    return found


def publications(world: World) -> list[dict[str, Published]]:
    """Return what was in force before each place of the catalogue."""
    catalogues: list[dict[str, Published]] = [{}]
    for ever in world.kafka.of(CATALOGUE, 0).ever:
        assert ever.record.value is not None
        said, at_ms, known = json.loads(ever.record.value[1:]), ever.record.timestamp_ms, dict(catalogues[-1])
        if said["type"] == "intervention":
            key = f"campaign/{said['campaign']}"
            before = known.get(key)
            if before is not None and before.state != "stopped":
                known[key] = before._replace(state={"pause": "paused", "resume": "running", "stop": "stopped"}[said["verb"]])
        else:
            documents = msgspec.convert(said["documents"], list[Document])
            fits = all((known[key].revision if key in known else 0) == revision for key, revision in said["expects"].items())
            if fits and not any(key_of(d) in known and known[key_of(d)].state == "stopped" for d in documents):
                for document in documents:
                    before = known.get(key_of(document), Published(document, 0, at_ms, "running"))
                    known[key_of(document)] = before._replace(document=document, revision=before.revision + 1)
        catalogues.append(known)
    return catalogues


def control_entries(world: World, number: int) -> list[tuple[int, int, int]]:
    """Return the control entries of an events partition: offset, step, catalogue."""
    entries = {}
    for ever, payload in in_force(world.kafka.of("state", number).ever):
        key = ever.record.key
        assert key is not None
        if key.startswith(b"@entry:") and payload is not None:
            offset, step = key[len(b"@entry:") :].split(b":")
            entries[int(offset), int(step)] = msgspec.msgpack.decode(payload)[0]
    return sorted((offset, step, catalogue) for (offset, step), catalogue in entries.items())


# -- what is owed ------------------------------------------------------------------------------------------------------


def holds(condition: Condition, properties: dict[str, Any]) -> bool:
    """Say whether a condition holds."""
    value, values = properties.get(condition.property), condition.values
    number = type(value) in {int, float}
    scalar = number or type(value) in {str, bool}

    def equal(other: Any) -> bool:
        if type(value) is bool or type(other) is bool:
            return value is other
        return bool(value == other)

    match condition.op:
        case Op.NOT_EXISTS:
            return value is None
        case Op.EXISTS:
            return scalar
        case Op.EQ | Op.IN:
            return scalar and any(map(equal, values))
        case Op.NE | Op.NOT_IN:
            return scalar and not any(map(equal, values))
        case Op.GTE:
            return number and value >= values[0]  # type: ignore[operator]
        case Op.LT:
            return number and value < values[0]  # type: ignore[operator]
        case Op.BETWEEN:
            return number and values[0] <= value <= values[1]  # type: ignore[operator]
        case _:
            raise AssertionError(condition.op)


def rounded(amount: Fraction, wallet: Wallet) -> int:
    """Return an amount in the wallet's smallest units."""
    exact = amount * 10**wallet.decimals
    match wallet.rounding:
        case Rounding.DOWN:
            return floor(exact)
        case Rounding.UP:
            return -floor(-exact)
        case Rounding.HALF_EVEN:
            return round(exact)


def amount_of(campaign: Campaign, wallet: Wallet, properties: dict[str, Any]) -> int | str:
    """Return what a reward is worth before budgets, in smallest units, or why there is none."""
    earn = campaign.reward.earn
    if isinstance(earn, Flat):
        amount = Fraction(earn.milli, 1000)
    else:
        assert isinstance(earn, Percent | Per)
        value = properties.get(earn.of)
        if value is None:
            return "property_missing"
        if type(value) not in {int, float}:
            return "property_not_numeric"
        paid = Fraction(Decimal(repr(value)).quantize(Decimal("1e-9"), ROUND_HALF_EVEN))
        if paid <= 0:
            return "amount_not_positive"
        if isinstance(earn, Percent):
            amount = paid * Fraction(earn.percent_milli, 100_000)
        else:
            amount = floor(paid / Fraction(earn.per_milli, 1000)) * Fraction(earn.points_milli, 1000)
    units = rounded(amount, wallet)
    if campaign.reward.max_per_reward_milli is not None:
        units = min(units, int(Fraction(campaign.reward.max_per_reward_milli, 1000) * 10**wallet.decimals))
    if units <= 0:
        return "amount_not_positive"
    return units if units < 10**15 else "amount_too_large"


def validity_of(campaign: Campaign, time_ms: int) -> tuple[int, int | None] | str:
    """Return when a reward becomes active and when it expires."""
    validity = campaign.reward.validity
    active_ms = time_ms + validity.activate_after_ms
    if validity.expire_on_ms is not None:
        return "would_be_expired" if validity.expire_on_ms <= active_ms else (active_ms, validity.expire_on_ms)
    return active_ms, None if validity.expire_after_ms is None else active_ms + validity.expire_after_ms


def metadata_of(campaign: Campaign, drawn: Drawn, cause: Cause, grant: str, profile: dict[str, Any]) -> dict[str, Any]:
    """Return what a reward says about itself."""
    found = {}
    for row in campaign.reward.metadata:
        match row.source:
            case Literal(value):
                found[row.key] = value
            case EventProperty(name):
                found[row.key] = drawn.properties.get(name)
            case UserProperty(name):
                found[row.key] = profile.get(name)
            case FactOf(fact):
                facts: dict[Fact, Any] = {
                    Fact.USER_ID: drawn.user,
                    Fact.CAMPAIGN_NAME: campaign.name,
                    Fact.GRANT_ID: grant,
                    Fact.EVENT_TS: cause.ts_ms,
                }
                found[row.key] = facts[fact]
    return {key: value for key, value in found.items() if value is not None}


class _Partition:
    """One events partition, read from its beginning with its control entries."""

    def __init__(self, world: World, number: int) -> None:
        self.horizons = world.horizons
        self.counted = Counted({}, [], {}, {}, None)
        self.number = number
        self.stream_ms: int | None = None
        self._taken: dict[tuple[str, str], list[int]] = defaultdict(list)

    def take(self, offset: int, received_ms: int, drawn: Drawn, known: dict[str, Published]) -> None:
        """Take a record under what is in force."""
        if drawn.kind == "ignored":
            return
        if drawn.kind == "dead":
            self._die(offset, drawn.reason)
            return
        if drawn.ts - received_ms > self.horizons.ahead_ms:
            self._die(offset, "in_the_future")
            return
        time_ms = min(drawn.ts, received_ms)
        if drawn.kind == "event":
            if self.stream_ms is not None and self.stream_ms - time_ms > self.horizons.lateness_ms:
                self._die(offset, "too_old")
                return
            documents = [entry for _, entry in sorted(known.items()) if isinstance(entry.document, Campaign)]
            mine = [e for e in documents if isinstance(e.document, Campaign) and e.document.qualify.event == drawn.event]
            if mine:
                present = {name: value for name, value in drawn.properties.items() if value is not None}
                named = drawn.event_id or content_id(Event(UserId(drawn.user), drawn.event, drawn.ts, None, present))
                taken = self._taken[drawn.user, named]
                if any(abs(time_ms - before) <= self.horizons.repeats_ms for before in taken):
                    return
                taken.append(time_ms)
                for entry in mine:
                    self._qualify(offset, time_ms, drawn, named, entry, known)
        elif drawn.kind == "profile":
            profile = self.counted.profiles.setdefault(drawn.user, {})
            profile.update(drawn.properties)
        self.stream_ms = time_ms if self.stream_ms is None else max(self.stream_ms, time_ms)

    def _die(self, offset: int, reason: str) -> None:
        self.counted.dead[self.number, offset] = reason

    def _qualify(self, offset: int, time_ms: int, drawn: Drawn, named: str, entry: Published, known: dict[str, Published]) -> None:
        campaign = entry.document
        assert isinstance(campaign, Campaign)
        start_ms = entry.first_ms if campaign.when.start_ms is None else campaign.when.start_ms
        if (
            entry.state != "running"
            or time_ms < start_ms
            or (campaign.when.end_ms is not None and time_ms >= campaign.when.end_ms)
            or not all(holds(condition, drawn.properties) for condition in campaign.qualify.where)
            or (campaign.who is not None and not sampled(campaign.id, UserId(drawn.user), campaign.who.percent_milli))
        ):
            return
        wallet = known[f"wallet/{campaign.reward.wallet}"].document
        assert isinstance(wallet, Wallet)
        cause = Cause("did", named, drawn.event, drawn.ts)
        said = {"kind": "did", "event_id": named, "event": drawn.event, "ts": drawn.ts}
        units = "wallet_unavailable" if not wallet.active else amount_of(campaign, wallet, drawn.properties)
        valid = validity_of(campaign, time_ms)
        reason = units if isinstance(units, str) else valid
        if isinstance(reason, str):
            body = (campaign.id, entry.revision, drawn.user, time_ms, tuple(said.items()), reason)
            self.counted.refused.append(Refused(self.number, offset, body))
            return
        assert isinstance(units, int)
        name = grant_id(campaign.id, UserId(drawn.user), cause)
        profile = self.counted.profiles.get(drawn.user, {})
        active_ms, expires_ms = valid  # type: ignore[misc] # a reason was dealt with above
        self.counted.owed[name] = Owed(
            campaign,
            self.number,
            offset,
            time_ms,
            drawn.user,
            units,
            wallet.decimals,
            {
                "grant_id": name,
                "campaign": campaign.id,
                "revision": entry.revision,
                "user": drawn.user,
                "granted_at": time_ms,
                "cause": said,
                "reward": {
                    "type": "points",
                    "wallet": wallet.id,
                    "active_at": active_ms,
                    "expires_at": expires_ms,
                    "metadata": metadata_of(campaign, drawn, cause, name, profile),
                },
            },
        )


def count(world: World, number: int, catalogues: list[dict[str, Published]]) -> Counted:
    """Return what an events partition owes."""
    partition = _Partition(world, number)
    entries = control_entries(world, number)
    known: dict[str, Published] = {}
    at = 0
    for ever in world.kafka.of("events", number).ever:
        offset = ever.record.offset
        while at < len(entries) and entries[at][0] <= offset:
            known = catalogues[entries[at][2]]
            at += 1
        partition.take(offset, ever.record.timestamp_ms, world.drawn[number, offset], known)
    return partition.counted._replace(stream_ms=partition.stream_ms)


# -- limits ------------------------------------------------------------------------------------------------------------


@cache
def periods_of(zone: str, hour: int, quarter: int) -> tuple[tuple[str, int], ...]:
    """Return the day, the week and the month of an instant, as they stand in rows."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=15 * quarter)).astimezone(ZoneInfo(zone)).date()
    monday = at - timedelta(days=at.weekday())
    return ("day", at.toordinal()), ("week", monday.toordinal() // 7), ("month", at.year * 12 + at.month - 1)


class Used:
    """What a campaign's grants have used up, counted in the ledger's order."""

    def __init__(self) -> None:
        self.count = self.units = 0
        self.user_count: Counter[str] = Counter()
        self.user_units: Counter[str] = Counter()
        self.user_periods: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)

    def refusal(self, owed: Owed) -> str | None:
        """Return which limit refuses a reward here, if one does."""
        caps, budget = owed.campaign.reward.recurrence, owed.campaign.reward.budget
        if caps.total is not None and self.user_count[owed.user] + 1 > caps.total:
            return "user_total"
        for kind, ordinal in self.periods(owed):
            cap = {"day": caps.day, "week": caps.week, "month": caps.month}[kind]
            kept = self.user_periods[owed.user, kind]
            forgotten = ordinal not in kept and len(kept) == 3 and ordinal < min(kept)
            if cap is not None and (forgotten or kept.get(ordinal, 0) + 1 > cap):
                return f"user_{kind}"
        partial = owed.campaign.reward.on_insufficient is OnInsufficient.PARTIAL
        for reason, milli, used in (
            ("user_budget", budget.user_milli, self.user_units[owed.user]),
            ("campaign_budget", budget.campaign_milli, self.units),
        ):
            if milli is not None:
                left = self.cap_units(milli, owed) - used
                if left <= 0 or (left < owed.units and not partial):
                    return reason
        return None

    @staticmethod
    def cap_units(milli: int, owed: Owed) -> int:
        return milli * 10**owed.decimals // 1000

    @staticmethod
    def periods(owed: Owed) -> tuple[tuple[str, int], ...]:
        quarters = owed.time_ms // 900_000
        return periods_of(owed.campaign.timezone, quarters // 4, quarters % 4)

    def given(self, owed: Owed) -> int:
        """Return how much is given here, if nothing refuses."""
        budget = owed.campaign.reward.budget
        left = [owed.units]
        if budget.user_milli is not None:
            left.append(self.cap_units(budget.user_milli, owed) - self.user_units[owed.user])
        if budget.campaign_milli is not None:
            left.append(self.cap_units(budget.campaign_milli, owed) - self.units)
        return min(left)

    def take(self, owed: Owed, units: int) -> None:
        """Count a grant."""
        self.count += 1
        self.units += units
        self.user_count[owed.user] += 1
        self.user_units[owed.user] += units
        for kind, ordinal in self.periods(owed):
            kept = self.user_periods[owed.user, kind]
            if ordinal in kept or len(kept) < 3 or ordinal > min(kept):
                kept[ordinal] = kept.get(ordinal, 0) + 1
                while len(kept) > 3:
                    del kept[min(kept)]

    def rows(self, campaign: str) -> dict[str, dict[str, int]]:
        """Return the rows that the table must hold."""
        if not self.count:
            return {}
        rows = {campaign: {"total": self.count, "amount": self.units}}
        for user, times in self.user_count.items():
            row = rows[f"{campaign}/{user}"] = {"total": times, "amount": self.user_units[user]}
            for kind in ("day", "week", "month"):
                row |= {f"{kind}:{ordinal}": used for ordinal, used in self.user_periods[user, kind].items()}
        return rows


# -- the judgement -----------------------------------------------------------------------------------------------------


class Granted(NamedTuple):
    """A grant as the ledger has it."""

    name: str
    body: bytes
    source: int
    units: int


def ledger_of(world: World, number: int) -> list[Granted]:
    """Return the grants of a ledger partition, in order."""
    granted = []
    for ever, payload in in_force(world.kafka.of("ledger", number).ever):
        assert payload is not None
        if ever.record.key != b"@position":
            _, name, _, _, _, body, _, source, _, _, units = msgspec.msgpack.decode(payload[1:])
            granted.append(Granted(name, body, source, units))
    return granted


def judge(world: World) -> tuple[list[str], set[str]]:
    """Return everything that nobody may see, and the campaigns of which a limit refused something."""
    problems: list[str] = []
    catalogues = publications(world)
    counted = [count(world, number, catalogues) for number in range(world.topics.event_partitions)]
    owed = {name: one for partition in counted for name, one in partition.owed.items()}
    ledgers = [ledger_of(world, number) for number in range(world.topics.candidate_partitions)]
    bound: set[str] = set()
    for number, ledger in enumerate(ledgers):
        problems += _judge_ledger(world, number, ledger, owed, bound)
    grants = {one.name: one.body for ledger in ledgers for one in ledger}
    problems += _judge_relayed(world, grants)
    problems += _judge_order(world, counted)
    problems += _judge_dead(world, counted)
    problems += _judge_denials(world, counted, owed, grants)
    problems += _judge_owners(world, counted)
    return problems, bound


def _judge_ledger(world: World, number: int, ledger: list[Granted], owed: dict[str, Owed], bound: set[str]) -> list[str]:
    problems, used = [], defaultdict[str, Used](Used)
    names = Counter(one.name for one in ledger)
    problems += [f"ledger[{number}] grants {name} {times} times" for name, times in names.items() if times > 1]
    missing = [
        (name, one)
        for name, one in owed.items()
        if name not in names and partition_of(one.campaign.id, world.topics.candidate_partitions) == number
    ]
    for granted in ledger:
        one = owed.get(granted.name)
        if one is None:
            problems.append(f"ledger[{number}] grants {granted.name}, which is not owed: {granted.body!r}")
            continue
        # Candidates of one source come in its order, so what is missing was refused before anything later of its source was granted.
        due = [(n, m) for n, m in missing if m.campaign.id == one.campaign.id and m.partition == one.partition and m.offset < one.offset]
        for name, late in due:
            missing.remove((name, late))
            problems += _judge_missing(number, name, late, used[late.campaign.id], bound)
        mine = used[one.campaign.id]
        if (refusal := mine.refusal(one)) is not None:
            problems.append(f"ledger[{number}] grants {granted.name} beyond {refusal}")
        units = mine.given(one)
        if units != granted.units or one.partition != granted.source:
            problems.append(f"ledger[{number}] grants {granted.units} of {units} from {granted.source} for {granted.name}")
        if json.loads(granted.body, parse_float=Decimal) != _expected(one, granted.units):
            problems.append(f"ledger[{number}]: {granted.body!r} instead of {_expected(one, granted.units)}")
        mine.take(one, granted.units)
    for name, late in missing:
        problems += _judge_missing(number, name, late, used[late.campaign.id], bound)
    rows = {name: row for campaign, mine in used.items() for name, row in mine.rows(campaign).items()}
    held = world.redis.held.get(number)
    found = {} if held is None else {name: row for (generation, name), row in held.rows.items() if generation == held.applied.generation}
    if found != rows:
        different = {name: (found.get(name), rows.get(name)) for name in found.keys() | rows if found.get(name) != rows.get(name)}
        problems.append(f"the table of ledger[{number}] is not what the ledger adds up to: {different}")
    return problems


def _judge_missing(number: int, name: str, owed: Owed, used: Used, bound: set[str]) -> list[str]:
    if used.refusal(owed) is None:
        return [f"ledger[{number}] lacks {name} of events[{owed.partition}]@{owed.offset}, and no limit refused it: {owed.body}"]
    bound.add(owed.campaign.id)
    return []


def _expected(owed: Owed, units: int) -> dict[str, Any]:
    reward = owed.body["reward"] | {"points": Decimal(units).scaleb(-owed.decimals)}
    if units != owed.units:
        reward["requested"] = Decimal(owed.units).scaleb(-owed.decimals)
    # A property that is a fraction is written in its shortest form, which is what repr says.
    metadata = {key: Decimal(repr(value)) if type(value) is float else value for key, value in reward["metadata"].items()}
    return owed.body | {"reward": reward | {"metadata": metadata}}


def _judge_relayed(world: World, grants: dict[str, bytes]) -> list[str]:
    problems, relayed = [], set()
    for number in range(world.topics.granted_partitions):
        for ever in world.kafka.of("granted", number).ever:
            name = dict(ever.record.headers)["grant-id"].decode()
            relayed.add(name)
            if ever.record.value != grants.get(name):
                problems.append(f"reward-granted has {ever.record.value!r}, the ledger {grants.get(name)!r}")
    problems += [f"reward-granted lacks {name}" for name in grants.keys() - relayed]
    return problems


def _durable(world: World, number: int) -> list[tuple[int, int]]:
    """Return (sequence, offset) of the positions in a journal of `state`, in order."""
    return [
        (ever.sequence, msgspec.msgpack.decode(payload)[0][0])
        for ever, payload in in_force(world.kafka.of("state", number).ever)
        if ever.record.key == b"@position" and payload is not None
    ]


def _judge_order(world: World, counted: list[Counted]) -> list[str]:
    """Nothing of a slice may be missing in the topics when the position behind the slice stands in `state`."""
    problems, first = [], {}
    for number in range(world.topics.candidate_partitions):
        for ever in world.kafka.of("candidates", number).ever:
            assert ever.record.value is not None
            for candidate in msgspec.msgpack.decode(ever.record.value[1:])[3]:
                first.setdefault(("candidate", candidate[0]), ever.sequence)
    for ever in world.kafka.of("dead-letters", 0).ever:
        headers = dict(ever.record.headers)
        first.setdefault(("dead", (int(headers["partition"]), int(headers["offset"]))), ever.sequence)
    for ever in world.kafka.of("denied", 0).ever:
        first.setdefault(("denial", _denial(ever)[0]), ever.sequence)
    for number, partition in enumerate(counted):
        due: list[tuple[int, tuple[str, Any]]] = [(one.offset, ("candidate", name)) for name, one in partition.owed.items()]
        due += [(offset, ("dead", (number, offset))) for _, offset in partition.dead]
        due += [(one.offset, ("denial", one.body)) for one in partition.refused]
        positions = _durable(world, number)
        for offset, what in sorted(due, key=lambda one: one[0]):
            behind = next((sequence for sequence, position in positions if position > offset), None)
            if what not in first:
                problems.append(f"events[{number}]@{offset} owes {what}, which is in no topic")
            elif behind is None or behind < first[what]:
                problems.append(f"events[{number}]@{offset}: the position stood in `state` before {what}")
    return problems


def _judge_dead(world: World, counted: list[Counted]) -> list[str]:
    due = {origin: reason for partition in counted for origin, reason in partition.dead.items()}
    problems, found = [], {}
    for ever in world.kafka.of("dead-letters", 0).ever:
        headers = dict(ever.record.headers)
        origin = int(headers["partition"]), int(headers["offset"])
        found[origin] = headers["reason"].decode()
        if ever.record.value != world.drawn[origin].value or found[origin] != due.get(origin):
            problems.append(f"events{origin} is a dead letter for {found[origin]}, due for {due.get(origin)}: {ever.record.value!r}")
    problems += [f"events{origin} is no dead letter, due for {reason}" for origin, reason in due.items() if origin not in found]
    return problems


def _denial(ever: Ever) -> tuple[tuple[Any, ...], dict[str, Any]]:
    assert ever.record.value is not None
    said = json.loads(ever.record.value)
    cause = tuple(said["cause"].items())
    return (said["campaign"], said["revision"], said["user"], said["decided_at"], cause, said["reason"]), said


def _judge_denials(world: World, counted: list[Counted], owed: dict[str, Owed], grants: dict[str, bytes]) -> list[str]:
    due = {one.body for partition in counted for one in partition.refused}
    known = {
        (one.campaign.id, one.body["revision"], one.user, one.time_ms, tuple(one.body["cause"].items())): name for name, one in owed.items()
    }
    problems, said = [], set()
    for ever in world.kafka.of("denied", 0).ever:
        body, whole = _denial(ever)
        name = known.get(body[:5])
        if name is not None and body[5] in LIMIT_REASONS and "limit" in whole and "used" in whole:
            said.add(name)
        elif body not in due:
            problems.append(f"reward-denied has {body}, which is not due")
    problems += [f"{name} is neither granted nor denied" for name in owed.keys() - grants.keys() - said]
    return problems


def _judge_owners(world: World, counted: list[Counted]) -> list[str]:
    """What the last owners restored is what the log says."""
    problems = []
    for number, state in world.states.items():
        partition = counted[number]
        profiles = {user: {k: v for k, v in known.items() if v is not None} for user, known in partition.profiles.items()}
        found = {user: known.properties for user, known in state.users.items() if known.properties}
        if found != {user: known for user, known in profiles.items() if known}:
            problems.append(f"the last owner of events[{number}] knows the profiles {found} instead of {profiles}")
        if (state.stream_ms if state.has_begun else None) != partition.stream_ms:
            problems.append(f"the last owner of events[{number}] has stream time {state.stream_ms} instead of {partition.stream_ms}")
    return problems
