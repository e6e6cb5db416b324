"""Candidates, limits and batches for the tests of the ledger's room, each made of what a test is about."""

from __future__ import annotations

from livepromo.ledger.sources import CandidateBatch
from livepromo.model.decisions import Candidate, Limit, Reason
from livepromo.model.ids import CampaignId, GrantId, UserId, hash_of
from livepromo.model.records import Position


def a_grant_id(number: int) -> GrantId:
    return GrantId("gr_" + hash_of("a cause", number).hex())


def a_candidate(
    *limits: Limit,
    number: int = 1,
    user: str = "u1",
    amount: int = 10,
    partial: bool = False,
    at: int | None = None,
    step: int = 0,
    decimals: int = 0,
    campaign: str = "camp",
    pool: str | None = None,
) -> Candidate:
    """Return a candidate; `number` names its cause, `at` (else the number) is the offset of its event."""
    return Candidate(
        grant_id=a_grant_id(number),
        campaign=CampaignId(campaign),
        revision=3,
        user=UserId(user),
        decided_at_ms=1_764_549_000_000,
        cause=b'{"kind":"did","event_id":"e%d","event":"Charged","ts":1764549000000}' % number,
        reward_type="points",
        reward_pieces=(b'{"type":"points","wallet":"main","points":', b',"active_at":1764549000000,"expires_at":null,"metadata":{}'),
        amount_units=amount,
        decimals=decimals,
        partial=partial,
        limits=limits,
        received_ms=1_764_549_000_123,
        position=Position(number if at is None else at, step),
        pool=pool,
    )


def user_total(cap: int | None, user: str = "u1") -> Limit:
    return Limit(Reason.USER_TOTAL, f"camp/{user}", "total", cap, 1)


def user_day(day: int, cap: int | None, user: str = "u1") -> Limit:
    return Limit(Reason.USER_DAY, f"camp/{user}", f"day:{day}", cap, 1, (day + 1) * 86_400_000)


def user_budget(cap: int | None, amount: int = 10, user: str = "u1") -> Limit:
    return Limit(Reason.USER_BUDGET, f"camp/{user}", "amount", cap, amount)


def campaign_budget(cap: int | None, amount: int = 10) -> Limit:
    return Limit(Reason.CAMPAIGN_BUDGET, "camp", "amount", cap, amount)


def a_batch(*numbers: int, epoch: int = 1, durable: int = 0, source: int = 0) -> CandidateBatch:
    """Return a batch of the candidates of these numbers, each at the offset of its number."""
    return CandidateBatch(source, epoch, Position(durable, 0), tuple(a_candidate(number=number) for number in numbers))
