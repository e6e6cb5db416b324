"""The judge: what a world owes, counted anew, held against everything that came out of it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from livepromo.model.documents import CouponReward
from livepromo.model.ids import partition_of
from simulation.drawing import POOL
from simulation.kafka_model import Ever
from simulation.owed import Counted, Owed, count, in_force, publications
from simulation.used import Used
from simulation.world import World

LIMIT_REASONS = ("user_total", "user_day", "user_week", "user_month", "campaign_limit", "user_budget", "campaign_budget")
_POOL = f"coupon/{POOL}"

Name = tuple[str, int]
"""What a partition owes, and which partition."""


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
            _, name, _, _, _, body, _, source, _, _, units, _ = msgspec.msgpack.decode(payload[1:])
            granted.append(Granted(name, body, source, units))
    return granted


class Judgement(NamedTuple):
    """Everything that nobody may see; the grants with their campaigns; the campaigns of which a limit refused or reduced something."""

    problems: list[str]
    grants: dict[str, tuple[str, bytes]]
    bound: set[str]


def judge(world: World) -> Judgement:
    """Count a world anew, and hold what came out against it."""
    problems: list[str] = []
    catalogues = publications(world)
    counted = [count(world, number, catalogues) for number in range(world.topics.event_partitions)]
    # A send may owe a user in several partitions, where records of the user went astray: once is granted.
    owed = {(name, one.partition): one for partition in counted for name, one in partition.owed.items()}
    ledgers = [ledger_of(world, number) for number in range(world.topics.candidate_partitions)]
    campaigns = {name: one.campaign.id for (name, _), one in owed.items()}
    bound: set[str] = set()
    for number, ledger in enumerate(ledgers):
        problems += _judge_ledger(world, number, ledger, owed, bound)
    grants = {one.name: one.body for ledger in ledgers for one in ledger}
    problems += [problem for partition in counted for problem in partition.problems]
    problems += _judge_relayed(world, grants)
    problems += _judge_order(world, counted)
    problems += _judge_dead(world, counted)
    problems += _judge_denials(world, counted, owed, grants)
    problems += _judge_owners(world, counted)
    return Judgement(problems, {name: (campaigns[name], body) for name, body in grants.items() if name in campaigns}, bound)


def _judge_ledger(world: World, number: int, ledger: list[Granted], owed: dict[Name, Owed], bound: set[str]) -> list[str]:
    problems, used = [], defaultdict[str, Used](Used)
    names = Counter(one.name for one in ledger)
    problems += [f"ledger[{number}] grants {name} {times} times" for name, times in names.items() if times > 1]
    missing = [
        (name, one)
        for (name, _), one in owed.items()
        if name not in names and partition_of(home_of(one), world.topics.candidate_partitions) == number
    ]
    codes = list(world.author.codes)  # those left of the pool
    for granted in ledger:
        one = owed.get((granted.name, granted.source))
        if one is None:
            problems.append(f"ledger[{number}] grants {granted.name}, which is not owed: {granted.body!r}")
            continue
        # Candidates of one source come in its order, so what is missing was refused before anything later of its source was granted.
        due = [(n, m) for n, m in missing if m.campaign.id == one.campaign.id and m.partition == one.partition and m.place < one.place]
        for name, late in due:
            missing.remove((name, late))
            problems += _judge_missing(number, name, late, used[late.campaign.id], bound, codes)
        mine = used[one.campaign.id]
        if (refusal := mine.refusal(one)) is not None:
            problems.append(f"ledger[{number}] grants {granted.name} beyond {refusal}")
        units = mine.given(one)
        if units != one.units:
            bound.add(one.campaign.id)
        if units != granted.units:
            problems.append(f"ledger[{number}] grants {granted.units} of {units} for {granted.name}")
        expected = _expected(one, granted.units)
        if draws(one):
            expected["reward"]["code"] = codes.pop(0) if codes else "none is left"
        if json.loads(granted.body, parse_float=Decimal) != expected:
            problems.append(f"ledger[{number}]: {granted.body!r} instead of {expected}")
        mine.take(one, granted.units)
    for name, late in missing:
        problems += _judge_missing(number, name, late, used[late.campaign.id], bound, codes)
    rows = {name: row for campaign, mine in used.items() for name, row in mine.rows(campaign).items()}
    if given := len(world.author.codes) - len(codes):
        rows["@" + _POOL] = {"taken": given}
    held = world.redis.held.get(number)
    found = {} if held is None else {name: row for (generation, name), row in held.rows.items() if generation == held.applied.generation}
    if found != rows:
        different = {name: (found.get(name), rows.get(name)) for name in found.keys() | rows if found.get(name) != rows.get(name)}
        problems.append(f"the table of ledger[{number}] is not what the ledger adds up to: {different}")
    return problems


def draws(owed: Owed) -> bool:
    """Say whether a reward is a code of the pool."""
    return isinstance(owed.campaign.reward, CouponReward)


def home_of(owed: Owed) -> str:
    """Return by what a reward finds the partition in which it is decided."""
    return _POOL if draws(owed) else owed.campaign.id


def _judge_missing(number: int, name: str, owed: Owed, used: Used, bound: set[str], codes: list[str]) -> list[str]:
    if used.refusal(owed) is None and not (draws(owed) and not codes):
        return [f"ledger[{number}] lacks {name} of events[{owed.partition}]@{owed.offset}, and no limit refused it: {owed.body}"]
    bound.add(owed.campaign.id)
    return []


def _expected(owed: Owed, units: int) -> dict[str, Any]:
    if draws(owed):
        return owed.body | {"reward": dict(owed.body["reward"])}
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
    problems: list[str] = []
    first: dict[tuple[str, Any], int] = {}  # what: when it first stood in a topic
    for number in range(world.topics.candidate_partitions):
        for ever in world.kafka.of("candidates", number).ever:
            assert ever.record.value is not None
            source, _, _, candidates, *_ = msgspec.msgpack.decode(ever.record.value[1:])
            for candidate in candidates:
                first.setdefault(("candidate", (candidate[0], source)), ever.sequence)
    for ever in world.kafka.of("dead-letters", 0).ever:
        headers = dict(ever.record.headers)
        first.setdefault(("dead", (int(headers["partition"]), int(headers["offset"]))), ever.sequence)
    for ever in world.kafka.of("denied", 0).ever:
        first.setdefault(("denial", _denial(ever)[0]), ever.sequence)
    # A denial does not say which partition it is of: where several owe the same it may be any's.
    of_many = Counter(("denial", one.body) for partition in counted for one in partition.refused)
    for number, partition in enumerate(counted):
        due: list[tuple[int, int, tuple[str, Any]]] = []
        due += [(one.offset, one.behind, ("candidate", (name, number))) for name, one in partition.owed.items()]
        due += [(offset, 0, ("dead", (number, offset))) for _, offset in partition.dead]
        due += [(one.offset, one.behind, ("denial", one.body)) for one in partition.refused]
        positions = _durable(world, number)
        last = positions[-1][0] if positions else -1
        for offset, entered, what in due:
            behind = next((sequence for sequence, position in positions if position > offset), last if entered else -1)
            if what not in first:
                problems.append(f"events[{number}]@{offset} owes {what}, which is in no topic")
            elif behind < first[what]:
                problems.append(f"events[{number}]@{offset}: the position stood in `state` before {what}")
            elif first[what] < entered and of_many[what] < 2:
                problems.append(f"events[{number}]@{offset}: {what} stood in a topic before the control entry that made it due")
    return problems


def _superseded(world: World) -> Callable[[Ever], bool]:
    """Return what says whether a record was written by a process after somebody had claimed an events partition that it still had.

    What such a one says beyond its position it may have made under older control entries: nobody takes its candidates, and its
    denials are superseded.
    """
    claims: list[tuple[int, str, int]] = []
    for number in range(world.topics.event_partitions):
        claims += [(e.sequence, e.by, number) for e in world.kafka.of("state", number).ever if e.record.key == b"@marker"]
    claims.sort()

    def judged(ever: Ever) -> bool:
        owners: dict[int, str] = {}
        owned: set[int] = set()
        for sequence, by, number in claims:
            if sequence < ever.sequence:
                owners[number] = by
                owned |= {number} if by == ever.by else set()
        return any(owners[number] != ever.by for number in owned)

    return judged


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


def _judge_denials(world: World, counted: list[Counted], owed: dict[Name, Owed], grants: dict[str, bytes]) -> list[str]:
    due = {one.body for partition in counted for one in partition.refused}
    known = {
        (one.campaign.id, one.body["revision"], one.user, one.time_ms, tuple(one.body["cause"].items())): (name, one)
        for (name, _), one in owed.items()
    }
    problems, said, superseded = [], set(), _superseded(world)
    for ever in world.kafka.of("denied", 0).ever:
        body, whole = _denial(ever)
        name, one = known.get(body[:5], ("", None))
        limited = body[5] in LIMIT_REASONS and "limit" in whole and "used" in whole
        if one is not None and (limited or (draws(one) and body[5] == "codes_exhausted")):
            said.add(name)
        elif body not in due and not superseded(ever):
            problems.append(f"reward-denied has {body}, which is not due")
    problems += [f"{name} is neither granted nor denied" for name in {name for name, _ in owed} - grants.keys() - said]
    return problems


def _judge_owners(world: World, counted: list[Counted]) -> list[str]:
    """What the last owners restored is what the log says."""
    problems = []
    for number, state in world.states.items():
        partition = counted[number]
        found = {user: state.user(user).properties for user in state.users}
        if found != partition.profiles:
            problems.append(f"the last owner of events[{number}] knows the profiles {found} instead of {partition.profiles}")
        windows = {campaign: count for campaign, count in state.open_windows.items() if count}
        if windows != partition.open:
            problems.append(f"the last owner of events[{number}] has windows open: {windows} instead of {partition.open}")
        horizons = world.horizons
        over = [hour for hour in state.id_parts if (hour + 1) * 3_600_000 <= state.stream_ms - horizons.lateness_ms - horizons.repeats_ms]
        if over:
            problems.append(f"the last owner of events[{number}] keeps ids of hours that are over: {over}")
        if (state.stream_ms if state.has_begun else None) != partition.stream_ms:
            problems.append(f"the last owner of events[{number}] has stream time {state.stream_ms} instead of {partition.stream_ms}")
    return problems
