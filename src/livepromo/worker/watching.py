"""What the gauges of campaigns say: their states, how much of their budgets is spent, and how many codes are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import NamedTuple

from livepromo.documents.catalogue import Catalogue, campaign_state
from livepromo.engine.limits import AMOUNT, most_of
from livepromo.engine.owing import home_of, own_pool, pool_of
from livepromo.ledger.deciding import pool_row, taken_of
from livepromo.ledger.shelf import Shelf
from livepromo.ledger.table import Table, UnavailableError
from livepromo.model.documents import Campaign
from livepromo.model.ids import CampaignId, partition_of
from livepromo.streaming import errors
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.match import MatchOwner
from livepromo.worker.shared import Shared


class Codes(NamedTuple):
    """How many codes a pool has, and how many of them have not been given."""

    size: int
    left: int


async def spent_units(table: Table, partition: int, campaign: CampaignId, slot: str = AMOUNT) -> int:
    """Return what a slot of a campaign's row says that it has given. Raises the table's UnavailableError."""
    applied, _ = await table.progress(partition)
    if applied is None:
        return 0
    _, rows = await table.read(partition, applied.generation, [campaign])
    return rows.get(campaign, {}).get(slot, 0)


async def codes_of(table: Table, shelf: Shelf, partition: int, pool: str) -> Codes:
    """Return what a pool has and has left. Raises the table's UnavailableError."""
    applied, _ = await table.progress(partition)
    rows = {} if applied is None else (await table.read(partition, applied.generation, [pool_row(pool)]))[1]
    size = (await shelf.stock(pool, 0, 0)).size  # asked for after the cursor, so that it is not behind it
    return Codes(size, max(0, size - taken_of(rows, pool)))


def shown_state(state: str, limit: int | None, spent: int, codes_left: int | None = None) -> str:
    """Return the state as R18 shows it: a running campaign with nothing left of its budget, or no codes, is exhausted."""
    used_up = (limit is not None and spent >= limit) or codes_left == 0
    return "exhausted" if state == "running" and used_up else state


async def report_campaigns(  # noqa: PLR0913, PLR0917 - all that the gauges are about
    catalogue: Catalogue, table: Table, shelf: Shelf, decided: Container[int], shared: Shared, now_ms: int
) -> None:
    """Set the gauges: states of all campaigns, budgets and codes of those that this process decides."""
    metrics = shared.metrics
    metrics.catalogue_position.set(catalogue.position)
    try:
        left = await _report_codes(catalogue, table, shelf, decided, shared)
        states = await _report_budgets(catalogue, table, decided, shared, left, now_ms)
    except UnavailableError as error:
        metrics.table_errors_total.labels(kind=error.kind.value).inc()
        return
    except errors.UnavailableError:
        return  # the codes' topic cannot be asked: the gauges stay as they are
    for state in ("scheduled", "preparing", "running", "paused", "exhausted", "sending", "ended", "stopped"):
        metrics.campaigns.labels(state=state).set(states[state])


async def _report_codes(catalogue: Catalogue, table: Table, shelf: Shelf, decided: Container[int], shared: Shared) -> dict[str, int]:
    """Set the gauges of the pools that this process decides; return the codes left of each."""
    found: dict[str, Codes] = {}
    for entry in catalogue.entries.values():
        pool = own_pool(entry.document)
        if pool is None:
            continue
        partition = partition_of(pool, shared.topics.candidate_partitions)
        if partition in decided:
            found[pool] = await codes_of(table, shelf, partition, pool)
    metrics = shared.metrics
    metrics.codes_size.clear()  # of pools that somebody else decides now
    metrics.codes_left.clear()
    for pool, codes in found.items():
        metrics.codes_size.labels(pool=pool).set(codes.size)
        metrics.codes_left.labels(pool=pool).set(codes.left)
    return {pool: codes.left for pool, codes in found.items()}


async def _report_budgets(  # noqa: PLR0913, PLR0917 - all that the gauges are about
    catalogue: Catalogue, table: Table, decided: Container[int], shared: Shared, left: dict[str, int], now_ms: int
) -> Counter[str]:
    """Set the gauges of budgets; return how many campaigns are in which state."""
    metrics = shared.metrics
    states: Counter[str] = Counter()
    for entry in catalogue.entries.values():
        campaign = entry.document
        if not isinstance(campaign, Campaign):
            continue
        limit, decimals, slot = most_of(campaign, catalogue)
        partition = partition_of(home_of(campaign), shared.topics.candidate_partitions)
        spent = 0
        if limit is not None and partition in decided:
            spent = await spent_units(table, partition, campaign.id, slot)
            metrics.budget_limit.set(campaign.id, limit / 10**decimals)
            metrics.budget_spent.set(campaign.id, spent / 10**decimals)
        pool = pool_of(campaign.reward)
        codes_left = None if pool is None else left.get(pool)
        states[shown_state(campaign_state(entry, now_ms), limit, spent, codes_left)] += 1
    return states


def report_windows(owners: Iterable[MatchOwner], metrics: Metrics) -> None:
    """Set the gauges of open windows, of all partitions that this process owns together."""
    found: Counter[CampaignId] = Counter()
    for owner in owners:
        found.update(owner.state.open_windows)
    for campaign, count in found.items():
        metrics.windows_open.set(campaign, count)
