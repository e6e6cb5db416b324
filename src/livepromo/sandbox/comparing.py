"""Whether what was granted is what a simulation grants over the same records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from livepromo.model.decisions import Grant, Reason
from livepromo.model.documents import Campaign, Credits, Custom, Document, Live, OnInsufficient, Points
from livepromo.model.time import FOREVER_MS
from livepromo.sandbox.tally import DenialSaid, GrantSaid, amount_text, read_denial, read_grant
from livepromo.settings import Settings
from livepromo.simulation.files import read_lines
from livepromo.simulation.run import Simulation, run_recorded
from livepromo.worker.horizons import horizons_of

_SPENT = Reason.CAMPAIGN_BUDGET.value
_SHARED = {Reason.CAMPAIGN_LIMIT, Reason.CAMPAIGN_DAY, Reason.CAMPAIGN_WEEK, Reason.CAMPAIGN_MONTH, Reason.CODES_EXHAUSTED}


class _CauseSaid(msgspec.Struct, frozen=True):
    deadline: int | None = None


_read_cause = msgspec.json.Decoder(_CauseSaid).decode


def _deadline_ms(cause: msgspec.Raw) -> int:
    """Return when what was not done should have been done by; for any other cause, long ago."""
    deadline_ms = _read_cause(cause).deadline
    return -FOREVER_MS if deadline_ms is None else deadline_ms


class Decided(msgspec.Struct):
    """Grants and denials, each once, as published, of one campaign."""

    grants: dict[bytes, GrantSaid] = msgspec.field(default_factory=dict)
    denials: dict[bytes, DenialSaid] = msgspec.field(default_factory=dict)

    @property
    def given(self) -> Decimal:
        """How much was granted in all."""
        return sum((grant.reward.amount for grant in self.grants.values()), Decimal())

    def binds(self, cap: Decimal | None) -> bool:
        """Say whether the campaign's budget did not suffice for all."""
        cut = any(grant.reward.requested is not None for grant in self.grants.values())
        return any(denial.reason == _SPENT for denial in self.denials.values()) or (cut and self.given == cap)

    @property
    def is_short(self) -> bool:
        """Say whether a count or codes that all users share did not suffice for all."""
        return any(denial.reason in _SHARED for denial in self.denials.values())

    def causes(self) -> set[tuple[str, bytes]]:
        """Return user and cause of every decision."""
        granted = {(grant.user, bytes(grant.cause)) for grant in self.grants.values()}
        return granted | {(denial.user, bytes(denial.cause)) for denial in self.denials.values()}

    def without_open(self, until_ms: int, decided: Decided, grace_ms: int) -> Decided:
        """Return what is not about a window that may still be open at an instant, or is among what was decided."""
        known = decided.causes()

        def judged(one: GrantSaid | DenialSaid) -> bool:
            return _deadline_ms(one.cause) + grace_ms < until_ms or (one.user, bytes(one.cause)) in known

        grants = {body: grant for body, grant in self.grants.items() if judged(grant)}
        return Decided(grants, {body: denial for body, denial in self.denials.items() if judged(denial)})

    def asked(self) -> set[Decimal]:
        """Return every amount that was asked of the budget."""
        granted = {grant.reward.requested or grant.reward.amount for grant in self.grants.values()}
        return granted | {denial.requested for denial in self.denials.values() if denial.reason == _SPENT and denial.requested is not None}


class Decisions:
    """What became of records, by campaign."""

    def __init__(self) -> None:
        self.campaigns: dict[str, Decided] = {}

    def _of(self, campaign: str) -> Decided:
        return self.campaigns.setdefault(campaign, Decided())

    def add_grant(self, body: bytes, said: GrantSaid | None = None) -> None:
        """Add a grant; twice is once."""
        grant = said or read_grant(body)
        self._of(grant.campaign).grants[body] = grant

    def add_denial(self, body: bytes, said: DenialSaid | None = None) -> None:
        """Add a denial; twice is once."""
        denial = said or read_denial(body)
        self._of(denial.campaign).denials[body] = denial


def simulated(documents: Sequence[Document], records: Path, settings: Settings) -> Decisions:
    """Return what the same engine decides over recorded records, in one partition, without Kafka and Redis."""
    found = Decisions()
    simulation = Simulation(horizons_of(settings))
    for decision in run_recorded(simulation, documents, read_lines([str(records)])):
        if isinstance(decision, Grant):
            found.add_grant(decision.as_json())
        else:
            found.add_denial(decision.as_json())
    return found


def judged(ours: Decisions, theirs: Decisions, documents: Iterable[Document], settings: Settings, until_ms: int) -> Decisions:
    """Return those of `theirs` that must stand among `ours` once stream time is at an instant, or do: later windows may still be open."""
    found = Decisions()
    for document in documents:
        if not isinstance(document, Campaign) or (expected := theirs.campaigns.get(document.id)) is None:
            continue
        unless = document.qualify.unless if isinstance(document.qualify, Live) else None
        grace_ms = settings.grace_ms if unless is None or unless.grace_ms is None else unless.grace_ms
        mine = ours.campaigns.get(document.id, Decided())
        found.campaigns[document.id] = expected.without_open(until_ms, mine, grace_ms)
    return found


def missing(ours: Decisions, theirs: Decisions) -> bool:
    """Say whether a cause that is decided among `theirs` is not yet among `ours`."""
    return any(expected.causes() - ours.campaigns.get(name, Decided()).causes() for name, expected in theirs.campaigns.items())


def differences(ours: Decisions, theirs: Decisions, documents: Iterable[Document]) -> list[str]:
    """Return, a line each, what is not the same; nothing where all is.

    Where a campaign's budget does not suffice for all, which of the causes get the last of it depends on the order of partitions, how
    much is given does not: then every cause must have been decided, and the amounts are compared.
    """
    campaigns = {str(document.id): document for document in documents if isinstance(document, Campaign)}
    found = []
    for name in sorted(ours.campaigns.keys() | theirs.campaigns.keys()):
        if name not in campaigns:
            found.append(f"{name} is none of the documents")
            continue
        mine, expected = ours.campaigns.get(name, Decided()), theirs.campaigns.get(name, Decided())
        found += [f"{name}: {line}" for line in _differences(mine, expected, campaigns[name])]
    return found


def _differences(mine: Decided, expected: Decided, campaign: Campaign) -> list[str]:
    reward = campaign.reward.gift if isinstance(campaign.reward, Custom) else campaign.reward
    if not isinstance(reward, Points | Credits) and (mine.is_short or expected.is_short):
        return _same_causes(mine, expected)  # who got the last of it depends on the order
    milli = reward.budget.campaign_milli if isinstance(reward, Points | Credits) else None
    cap = None if milli is None else Decimal(milli) / 1000
    if cap is None or not (mine.binds(cap) or expected.binds(cap)):
        return [
            *_sets("grants", mine.grants.keys(), expected.grants.keys()),
            *_sets("denials", mine.denials.keys(), expected.denials.keys()),
        ]
    assert isinstance(reward, Points | Credits), campaign.id
    found = _same_causes(mine, expected)
    if mine.given > cap:
        found.append(f"{amount_text(mine.given)} were granted of a budget of {amount_text(cap)}")
    asked = mine.asked() | expected.asked()
    if reward.on_insufficient is OnInsufficient.PARTIAL or len(asked) == 1:
        if mine.given != expected.given:
            found.append(f"{amount_text(mine.given)} were granted, simulated are {amount_text(expected.given)}")
    else:
        refused = [denial.requested for denial in mine.denials.values() if denial.reason == _SPENT and denial.requested is not None]
        if refused and min(refused) <= cap - mine.given:
            found.append(f"{amount_text(min(refused))} were denied with {amount_text(cap - mine.given)} left")
    return found


def _same_causes(mine: Decided, expected: Decided) -> list[str]:
    different = mine.causes() ^ expected.causes()
    return [f"{len(different)} causes were decided on one side alone"] if different else []


def _sets(what: str, ours: Iterable[bytes], theirs: Iterable[bytes]) -> list[str]:
    mine, expected = set(ours), set(theirs)
    more, fewer = mine - expected, expected - mine
    if not more and not fewer:
        return []
    example = min(more or fewer).decode()
    return [f"{len(more)} {what} that are not simulated, {len(fewer)} simulated that are missing, such as {example}"]
