"""What the gauges of campaigns say: their states, and how much of their budgets is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from livepromo.documents.catalogue import Catalogue, campaign_state
from livepromo.engine.plan import units_of
from livepromo.ledger.table import Table, UnavailableError
from livepromo.model.documents import Campaign, Points, Wallet
from livepromo.model.ids import CampaignId, partition_of
from livepromo.worker.shared import Shared

AMOUNT = "amount"


async def spent_units(table: Table, partition: int, campaign: CampaignId) -> int:
    """Return what a campaign has given, in its wallet's smallest units. Raises the table's UnavailableError."""
    applied, _ = await table.progress(partition)
    if applied is None:
        return 0
    _, rows = await table.read(partition, applied.generation, [campaign])
    return rows.get(campaign, {}).get(AMOUNT, 0)


def budget_units(campaign: Campaign, catalogue: Catalogue) -> tuple[int | None, int]:
    """Return a campaign's budget in its wallet's smallest units (None: none), and the wallet's decimals."""
    points = campaign.reward
    assert isinstance(points, Points), campaign.id
    wallet = catalogue.entries[f"wallet/{points.wallet}"].document
    assert isinstance(wallet, Wallet), points.wallet
    return units_of(points.budget.campaign_milli, wallet.decimals), wallet.decimals


def shown_state(state: str, limit: int | None, spent: int) -> str:
    """Return the state as R18 shows it: a running campaign with nothing left of its budget is exhausted."""
    return "exhausted" if state == "running" and limit is not None and spent >= limit else state


async def report_campaigns(catalogue: Catalogue, table: Table, decided: Container[int], shared: Shared, now_ms: int) -> None:
    """Set the gauges: states of all campaigns, budgets of those that this process decides."""
    metrics = shared.metrics
    states: Counter[str] = Counter()
    metrics.catalogue_position.set(catalogue.position)
    for entry in catalogue.entries.values():
        campaign = entry.document
        if not isinstance(campaign, Campaign):
            continue
        state = campaign_state(entry, now_ms)
        limit, decimals = budget_units(campaign, catalogue)
        partition = partition_of(campaign.id, shared.topics.candidate_partitions)
        if limit is not None and partition in decided:
            try:
                spent = await spent_units(table, partition, campaign.id)
            except UnavailableError as error:
                metrics.table_errors_total.labels(kind=error.kind.value).inc()
                return
            metrics.budget_limit.set(campaign.id, limit / 10**decimals)
            metrics.budget_spent.set(campaign.id, spent / 10**decimals)
            state = shown_state(state, limit, spent)
        states[state] += 1
    for state in ("scheduled", "preparing", "running", "paused", "exhausted", "sending", "ended", "stopped"):
        metrics.campaigns.labels(state=state).set(states[state])
