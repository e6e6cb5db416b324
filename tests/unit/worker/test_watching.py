"""The gauges of campaigns: states as R18 shows them, and budgets in points, read from the table that decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from livepromo.documents.catalogue import Verb
from livepromo.engine.horizons import Horizons
from livepromo.engine.limits import most_of
from livepromo.ledger.deciding import Row
from livepromo.ledger.folding import Progress
from livepromo.ledger.shelf import MemoryShelf
from livepromo.ledger.table import Applied, Away, MemoryTable, UnavailableError
from livepromo.model.documents import Campaign
from livepromo.model.ids import CampaignId, partition_of
from livepromo.streaming.log import Log
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.ports import Outbox
from livepromo.worker.shared import Shared, Topics
from livepromo.worker.watching import report_campaigns, shown_state, spent_units
from unit.engine.builders import DAY, GROCERY, T0, a_campaign, a_catalogue, intervene, publish

C = CampaignId("c")
SHELF = MemoryShelf({})
PARTITIONS = 8
HOME = partition_of("c", PARTITIONS)


class AwayTable(MemoryTable):
    """A table that does not answer."""

    async def progress(self, partition: int) -> tuple[Applied | None, Progress | None]:
        """Fail."""
        raise UnavailableError(Away.TIMEOUT, f"{partition}")

    async def read(self, partition: int, generation: int, rows: Sequence[str]) -> tuple[Applied | None, dict[str, Row]]:
        """Fail."""
        raise UnavailableError(Away.TIMEOUT, f"{partition}, {generation}, {rows}")


@pytest.fixture
def shared() -> Shared:
    topics = Topics(
        "e",
        "s",
        "c",
        "l",
        "g",
        "d",
        "x",
        "w",
        "y",
        event_partitions=8,
        candidate_partitions=PARTITIONS,
        granted_partitions=8,
        denied_partitions=8,
    )
    nothing: Any = None
    return Shared(
        topics=topics,
        log=cast("Log", nothing),
        outbox=cast("Outbox", nothing),
        horizons=Horizons(),
        denials=DenialFilter("all"),
        metrics=Metrics(),
        failpoints=cast("Failpoints", nothing),
        monotonic=lambda: 0.0,
    )


def read(shared: Shared, name: str, **labels: str) -> float | None:
    return shared.metrics.registry.get_sample_value(f"livepromo_{name}", labels)


def states(shared: Shared) -> dict[str, float]:
    """Return the states that any campaign is in."""
    names = ("scheduled", "preparing", "running", "paused", "exhausted", "sending", "ended", "stopped")
    found = {name: read(shared, "campaigns", state=name) for name in names}
    return {name: count for name, count in found.items() if count}


async def spent(units: int, campaign: str = "c") -> MemoryTable:
    """Return a table that says that a campaign has given so much."""
    table = MemoryTable()
    rows = {campaign: {"amount": units, "total": 3}, f"{campaign}/u1": {"amount": 1}}
    assert await table.write(partition_of(campaign, PARTITIONS), None, Applied(1, 5), rows, {}, 0)
    return table


async def test_what_a_campaign_has_given_is_its_own_row_of_the_present_generation() -> None:
    table = await spent(1250)
    assert await spent_units(table, HOME, C) == 1250
    assert await spent_units(table, HOME, CampaignId("other")) == 0
    assert await table.write(HOME, Applied(1, 5), Applied(2, 0), {}, {}, 0)
    assert await spent_units(table, HOME, C) == 0


async def test_a_table_that_holds_nothing_has_given_nothing() -> None:
    assert await spent_units(MemoryTable(), HOME, C) == 0


@pytest.mark.parametrize(("decimals", "budget", "units"), [(0, 40, 40), (2, 12.5, 1250), (3, 0.001, 1), (2, None, None)])
def test_a_budget_is_in_the_wallets_smallest_units(decimals: int, budget: float | None, units: int | None) -> None:
    points = {} if budget is None else {"budget": {"campaign": budget}}
    catalogue = a_catalogue(a_campaign(**points), wallet=GROCERY | {"decimals": decimals})
    campaign = catalogue.entries["campaign/c"].document
    assert isinstance(campaign, Campaign)
    assert most_of(campaign, catalogue) == (units, decimals, "amount")


@pytest.mark.parametrize(
    ("state", "limit", "given", "shown"),
    [
        ("running", 100, 99, "running"),
        ("running", 100, 100, "exhausted"),
        ("running", 90, 100, "exhausted"),
        ("running", None, 100, "running"),
        ("paused", 100, 100, "paused"),
        ("scheduled", 100, 100, "scheduled"),
        ("ended", 100, 100, "ended"),
        ("stopped", 100, 100, "stopped"),
    ],
)
def test_exhausted_is_how_a_running_campaign_with_no_budget_left_is_shown(state: str, limit: int | None, given: int, shown: str) -> None:
    assert shown_state(state, limit, given) == shown


async def test_every_state_is_counted_at_an_instant(shared: Shared) -> None:
    catalogue = a_catalogue(
        a_campaign("running"),
        a_campaign("later", when={"start": "2026-01-01T00:00Z"}),
        a_campaign("over", when={"end": "2025-12-01T00:00Z"}),
        a_campaign("paused"),
        a_campaign("stopped"),
    )
    catalogue = intervene(intervene(catalogue, Verb.PAUSE, "paused"), Verb.STOP, "stopped")
    await report_campaigns(catalogue, MemoryTable(), SHELF, range(PARTITIONS), shared, T0)
    assert states(shared) == dict.fromkeys(("running", "scheduled", "ended", "paused", "stopped"), 1.0)
    assert read(shared, "catalogue_position") == 3
    await report_campaigns(catalogue, MemoryTable(), SHELF, range(PARTITIONS), shared, T0 + 31 * DAY)
    assert states(shared) == {"running": 2, "ended": 1, "paused": 1, "stopped": 1}


async def test_budgets_are_said_in_points_by_the_process_that_decides_the_campaign(shared: Shared) -> None:
    catalogue = a_catalogue(a_campaign(budget={"campaign": 12.5}), a_campaign("unbounded"))
    table = await spent(1250)
    others = [number for number in range(PARTITIONS) if number != HOME]
    await report_campaigns(catalogue, table, SHELF, others, shared, T0)
    assert read(shared, "budget_spent", campaign="c") is None
    assert states(shared) == {"running": 2}
    await report_campaigns(catalogue, table, SHELF, range(PARTITIONS), shared, T0)
    assert (read(shared, "budget_limit", campaign="c"), read(shared, "budget_spent", campaign="c")) == (12.5, 12.5)
    assert read(shared, "budget_limit", campaign="unbounded") is None
    assert states(shared) == {"running": 1, "exhausted": 1}


async def test_a_higher_budget_undoes_exhaustion(shared: Shared) -> None:
    catalogue, table = a_catalogue(a_campaign(budget={"campaign": 12.5})), await spent(1250)
    await report_campaigns(publish(catalogue, a_campaign(budget={"campaign": 12.51})), table, SHELF, range(PARTITIONS), shared, T0)
    assert states(shared) == {"running": 1}
    assert read(shared, "budget_limit", campaign="c") == 12.51


async def test_while_the_table_is_away_the_gauges_stay_as_they_were_and_it_is_counted(shared: Shared) -> None:
    catalogue = a_catalogue(a_campaign(budget={"campaign": 12.5}))
    await report_campaigns(catalogue, await spent(1250), SHELF, range(PARTITIONS), shared, T0)
    await report_campaigns(catalogue, AwayTable(), SHELF, range(PARTITIONS), shared, T0)
    assert states(shared) == {"exhausted": 1}
    assert read(shared, "budget_spent", campaign="c") == 12.5
    assert read(shared, "table_errors_total", kind="timeout") == 1
