"""What the records of a world are owed, by the rules, under what was in force where they stand.

Written from the rules alone. Of the product it uses the nouns and the published formulas (grant ids, content ids, samples); what stands
in topics it reads with nothing but msgpack and JSON.
"""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import msgspec

from livepromo.model.amounts import Rounding
from livepromo.model.conditions import Condition, Op
from livepromo.model.decisions import Cause, grant_id
from livepromo.model.documents import (
    Campaign,
    Coupon,
    CouponReward,
    Document,
    EventProperty,
    Fact,
    FactOf,
    Flat,
    Literal,
    Per,
    Percent,
    UserProperty,
    Wallet,
    key_of,
)
from livepromo.model.ids import UserId, sampled
from livepromo.model.records import Event, content_id
from simulation.drawing import Drawn
from simulation.kafka_model import Ever
from simulation.processes import CATALOGUE
from simulation.world import World


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


def sealed(value: bytes) -> tuple[int, bytes]:
    """Return epoch and payload of a journal's record."""
    return int.from_bytes(value[1:9], "big"), value[9:]


def in_force(records: list[Ever]) -> list[tuple[Ever, bytes | None]]:
    """Return a journal's records that count, with their payloads: no markers, nothing behind a newer owner's marker."""
    newest = -1
    found: list[tuple[Ever, bytes | None]] = []
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
    exact = amount * int(10**wallet.decimals)
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
    found: dict[str, Any] = {}
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
            every = [entry for _, entry in sorted(known.items())]
            mine = [one for one in every if isinstance(one.document, Campaign) and one.document.qualify.event == drawn.event]

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
        cause = Cause("did", named, drawn.event, drawn.ts)
        said = {"kind": "did", "event_id": named, "event": drawn.event, "ts": drawn.ts}
        if isinstance(campaign.reward, CouponReward):
            name = grant_id(campaign.id, UserId(drawn.user), cause)
            coupon = known[f"coupon/{campaign.reward.coupon}"].document
            assert isinstance(coupon, Coupon)
            reward = {
                "type": "coupon",
                "coupon": coupon.id,
                "kind": "bulk",
                "redeemable_at": time_ms + campaign.reward.redeem_after_ms,
                "redemption_allowance": coupon.user_redemption_limit,
            }
            head = {"grant_id": name, "campaign": campaign.id, "revision": entry.revision, "user": drawn.user, "granted_at": time_ms}
            body = {**head, "cause": said, "reward": reward}
            self.counted.owed[name] = Owed(campaign, self.number, offset, time_ms, drawn.user, 1, 0, body)
            return
        wallet = known[f"wallet/{campaign.reward.wallet}"].document
        assert isinstance(wallet, Wallet)
        units = "wallet_unavailable" if not wallet.active else amount_of(campaign, wallet, drawn.properties)
        valid = validity_of(campaign, time_ms)
        if isinstance(units, str) or isinstance(valid, str):
            why = units if isinstance(units, str) else valid
            refused = (campaign.id, entry.revision, drawn.user, time_ms, tuple(said.items()), why)
            self.counted.refused.append(Refused(self.number, offset, refused))
            return
        name = grant_id(campaign.id, UserId(drawn.user), cause)
        profile = self.counted.profiles.get(drawn.user, {})
        active_ms, expires_ms = valid
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
