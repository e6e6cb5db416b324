"""An independent recount of what an installation has granted: its own small restatement of the rules, over the topics as they stand."""

from __future__ import annotations

import json
import struct
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import yaml

from livepromo.engine.journalling import read_position
from livepromo.ledger.sources import decode_batch
from livepromo.model.records import Position
from whole import DENIED, GRANTED, Installation, Out

Cause = tuple[str, str, str]  # campaign, user, the cause's JSON


class Published(NamedTuple):
    """What was published: wallets by id, campaigns by id and revision."""

    campaigns: dict[tuple[str, int], dict[str, Any]]

    @classmethod
    def of(cls, *files: Path) -> Published:
        """Read files in the order in which they were published; a campaign in a later one is its next revision."""
        campaigns: dict[tuple[str, int], dict[str, Any]] = {}
        for file in files:
            for document in yaml.safe_load_all(file.read_text()):
                if document["kind"] == "campaign":
                    revision = 1 + sum(one == document["id"] for one, _ in campaigns)
                    campaigns[document["id"], revision] = document
        return cls(campaigns)

    def shared(self) -> set[str]:
        """Return the campaigns whose budget serves everybody and binds, by their description."""
        return {name for (name, _), document in self.campaigns.items() if document.get("description") == "shared"}

    def partial(self) -> set[str]:
        """Return the campaigns that grant what is left."""
        return {name for (name, _), document in self.campaigns.items() if document["reward"]["points"].get("on_insufficient") == "partial"}


class Grant(NamedTuple):
    """A grant of the ledger: the JSON as published, and what it says."""

    body: bytes
    said: dict[str, Any]

    @property
    def campaign(self) -> str:
        """Return whose it is."""
        return str(self.said["campaign"])

    @property
    def points(self) -> Decimal:
        """Return how much it is."""
        return Decimal(self.said["reward"]["points"])


def _json(text: bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


def sealed(records: Iterable[Out]) -> list[tuple[Out, bytes]]:
    """Return the records of a journal with their payloads, markers left out. None may be void: the broker fences."""
    found = []
    newest: dict[int, int] = defaultdict(lambda: -1)
    for record in records:
        if record.value is None:
            continue
        version, epoch = struct.unpack_from(">BQ", record.value)
        assert version == 1, record
        if record.key == b"@marker":
            newest[record.partition] = record.offset
            continue
        assert epoch >= newest[record.partition], f"void: {record.partition}@{record.offset} of epoch {epoch}, behind {newest}"
        newest[record.partition] = epoch
        found.append((record, record.value[9:]))
    return found


def ledger(installation: Installation) -> list[Grant]:
    """Return every grant of the ledger, in order within each of its partitions."""
    grants = []
    for record, payload in sealed(installation.read(installation.topic("ledger"))):
        if record.key == b"@position":
            continue
        assert payload[0] == 2, record
        entry = msgspec.msgpack.decode(payload[1:])
        body = next(part for part in entry if isinstance(part, bytes) and part.startswith(b"{"))
        grants.append(Grant(body, _json(body)))
        assert record.key == grants[-1].said["grant_id"].encode(), record
    return grants


def check_limits(grants: Iterable[Grant], published: Published) -> None:
    """Object to the first grant with which a limit of its revision is passed (R27, R30, R31), counted in the zone's calendar."""
    counts: Counter[tuple[object, ...]] = Counter()
    amounts: defaultdict[tuple[str, ...], Decimal] = defaultdict(Decimal)
    for grant in grants:
        said = grant.said
        campaign, user = said["campaign"], said["user"]
        document = published.campaigns[campaign, said["revision"]]
        points = document["reward"]["points"]
        local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=said["granted_at"])
        local = local.astimezone(ZoneInfo(document.get("timezone", "UTC")))
        slots = {
            "total": (),
            "day": local.timetuple()[:3],
            "week": local.isocalendar()[:2],
            "month": local.timetuple()[:2],
        }
        for kind, slot in slots.items():
            counts[campaign, user, kind, *slot] += 1
            cap = points.get("recurrence", {}).get(kind)
            used = counts[campaign, user, kind, *slot]
            assert cap is None or used <= cap, f"the {used}th of {cap} a {kind}: {grant.body!r}"
        for kind, whose in (("campaign", (campaign,)), ("user", (campaign, user))):
            amounts[whose] += grant.points
            cap = points.get("budget", {}).get(kind)
            assert cap is None or amounts[whose] <= Decimal(str(cap)), f"{amounts[whose]} of {cap} per {kind}: {grant.body!r}"


def check_delivered(installation: Installation, grants: Sequence[Grant]) -> int:
    """Object unless what is delivered is the ledger, each grant once or more, repeats byte for byte; return how many are repeats."""
    bodies = {grant.said["grant_id"]: grant.body for grant in grants}
    assert len(bodies) == len(grants), "a grant stands twice in the ledger"
    seen: dict[str, Out] = {}
    repeats = 0
    for record in installation.read(GRANTED):
        assert record.value is not None
        said = _json(record.value)
        name = said["grant_id"]
        assert bodies.get(name) == record.value, f"delivered, but not as in the ledger: {record}"
        assert record.key == said["user"].encode(), record
        wanted = {"grant-id": name.encode(), "campaign": said["campaign"].encode(), "reward-type": said["reward"]["type"].encode()}
        assert dict(record.headers) == wanted, record
        before = seen.setdefault(name, record)
        assert (before.value, before.key, before.headers, before.partition) == (record.value, record.key, record.headers, record.partition)
        repeats += before is not record
    missing = bodies.keys() - seen.keys()
    assert not missing, f"{len(missing)} grants of the ledger were not delivered: {sorted(missing)[:3]}"
    return repeats


class Simulated(NamedTuple):
    """What `livepromo simulate` says should have become of the same log."""

    grants: list[Grant]
    denials: list[dict[str, Any]]

    @classmethod
    def of(cls, installation: Installation, *words: str | Path) -> Simulated:
        """Run it: over the logs of all partitions, unless told otherwise."""
        out = installation.home / "simulated.jsonl"
        if not words:
            words = tuple(word for path in installation.logs() for word in ("--log", path))
        installation.cli("simulate", *words, "--out", out, seconds=300)
        grants, denials = [], []
        for line in out.read_bytes().splitlines():
            if line.startswith(b'{"grant":'):
                body = line.removeprefix(b'{"grant":').removesuffix(b"}")
                grants.append(Grant(body, _json(body)))
            else:
                denials.append(_json(line)["denial"])
        return cls(grants, denials)

    def reasons(self) -> set[tuple[str, str]]:
        """Return campaign and reason of all denials."""
        return {(denial["campaign"], denial["reason"]) for denial in self.denials}


def check_same(grants: Sequence[Grant], simulated: Simulated, published: Published) -> dict[str, tuple[int, Decimal]]:
    """Object unless these are what was simulated: byte for byte where no shared budget binds, else count and sum (of parts: the sum)."""
    ours, theirs = _by_campaign(grants), _by_campaign(simulated.grants)
    shared, partial = published.shared(), published.partial()
    assert ours.keys() == theirs.keys()
    result = {}
    for campaign, mine in ours.items():
        expected = theirs[campaign]
        found = len(mine), sum(grant.points for grant in mine)
        if campaign not in shared:
            more, fewer = {g.body for g in mine} - {g.body for g in expected}, {g.body for g in expected} - {g.body for g in mine}
            assert not more, f"{campaign}: {len(more)} too many, {len(fewer)} missing: {sorted(more)[:2]}, {sorted(fewer)[:2]}"
            assert not fewer, f"{campaign}: {len(fewer)} missing: {sorted(fewer)[:2]}"
            assert len(mine) == len(expected), campaign
        else:
            wanted = len(expected), sum(grant.points for grant in expected)
            assert found[1] == wanted[1], f"{campaign}: {found} instead of {wanted}"
            assert campaign in partial or found[0] == wanted[0], f"{campaign}: {found} instead of {wanted}"
        result[campaign] = found
    return result


def _by_campaign(grants: Iterable[Grant]) -> dict[str, list[Grant]]:
    found: dict[str, list[Grant]] = {}
    for grant in grants:
        found.setdefault(grant.campaign, []).append(grant)
    return found


def cause_of(said: Mapping[str, Any]) -> Cause:
    """Return what a grant or a denial is about."""
    return said["campaign"], said["user"], json.dumps(said["cause"], sort_keys=True)


def check_candidates(installation: Installation, simulated: Simulated) -> int:
    """Object where the state names a position before all that is owed below it stands in the candidates; return how many are repeats.

    What is owed, also above it, must be there in the end; `simulated` says what that is.
    """
    made: dict[Cause, tuple[int, int, Position]] = {}  # the earliest: when, of which partition, at which position
    repeats = 0
    for record in installation.read(installation.topic("candidates")):
        assert record.value is not None
        batch = decode_batch(record.value)
        for candidate in batch.candidates:
            cause = candidate.campaign, candidate.user, _sorted(candidate.cause)
            repeats += cause in made
            found = record.ms, batch.source, candidate.position
            made[cause] = min(made.get(cause, found), found)
    owed = {cause_of(grant.said) for grant in simulated.grants}
    owed |= {cause_of(denial) for denial in simulated.denials if "limit" in denial}
    assert made.keys() == owed, (len(made.keys() - owed), len(owed - made.keys()))
    passed: dict[int, list[tuple[Position, int]]] = {}  # by partition: up to which position, first said when
    for record, payload in sealed(installation.read(installation.topic("state"))):
        if record.key == b"@position":
            passed.setdefault(record.partition, []).append((read_position(payload).position, record.ms))
    for cause, (ms, source, place) in made.items():
        positions = passed[source]
        at = bisect_right(positions, (place, 1 << 62))
        assert at < len(positions), f"{cause} of {source}@{place} is owed, the state stands at {positions[-1]}"
        assert ms <= positions[at][1], f"the state passed {source}@{place} at {positions[at]}, but {cause} was not there before {ms}"
    return repeats


def _sorted(cause: bytes) -> str:
    return json.dumps(json.loads(cause), sort_keys=True)


def check_denied(installation: Installation, grants: Iterable[Grant], simulated: Simulated, published: Published) -> None:
    """Object unless, where no shared budget binds, what was denied and not granted is what was simulated: every cause, and no other."""
    shared = published.shared()
    said = [_json(record.value or b"") for record in installation.read(DENIED)]
    granted = {cause_of(grant.said) for grant in grants}
    ours = {cause_of(denial) for denial in said if denial["campaign"] not in shared} - granted
    theirs = {cause_of(denial) for denial in simulated.denials if denial["campaign"] not in shared}
    assert not ours - theirs, sorted(ours - theirs)[:3]
    assert not theirs - ours, sorted(theirs - ours)[:3]
