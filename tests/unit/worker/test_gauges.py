"""Gauges say what campaigns have spent, in points, credits or rewards, and how many codes are left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.horizons import Horizons
from livepromo.ledger.shelf import MemoryShelf
from livepromo.ledger.table import Applied, Away, MemoryTable, UnavailableError
from livepromo.model.ids import partition_of
from livepromo.streaming import errors
from livepromo.telemetry.metrics import Metrics
from livepromo.worker.denials import DenialFilter
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.shared import Shared, Topics
from livepromo.worker.watching import report_campaigns, shown_state
from unit.engine.builders import GROCERY, T0, a_campaign, a_coupon, a_voucher, an_item, publish, some_credits, supplies

COUNT = 4
TOPICS = Topics("events", "state", "candidates", "ledger", "granted", "denied", "dead-letters", "webhooks", "dead-webhooks", 1, COUNT, 1, 1)
LIST = "voucher_list/amazon/Holiday"
CATALOGUE = publish(
    Catalogue(),
    GROCERY,
    *supplies(),
    a_campaign("coupons", reward=a_coupon(max_per_campaign=5)),
    a_campaign("vouchers", reward=a_voucher()),
    a_campaign("items", reward=an_item(budget={"campaign": 7})),
    a_campaign("credits", reward=some_credits(budget={"campaign": 8.5})),
    at=T0,
)
ROWS: dict[str, dict[str, dict[str, int]]] = {  # by home
    "coupon/spring": {"coupons": {"total": 2}, "@coupon/spring": {"taken": 3}},
    LIST: {"@" + LIST: {"taken": 1}},
    "items": {"items": {"total": 7, "day:1": 9}},
    "credits": {"credits": {"total": 3, "amount": 250}},
}
SHELF = MemoryShelf({"coupon/spring": ("a", "b", "c", "d"), LIST: ("e",)})


async def a_table() -> MemoryTable:
    table, rows = MemoryTable(), {}
    for home, some in ROWS.items():
        rows.setdefault(partition_of(home, COUNT), {}).update(some)
    for number, some in rows.items():
        assert await table.write(number, None, Applied(0, 5), some, {}, 0)
    return table


def reported(decided: Any, shelf: Any = SHELF) -> Any:
    """Return what asks for a gauge, after a report."""
    metrics = Metrics()
    shared: Any = Shared(
        topics=TOPICS,
        log=None,  # type: ignore[arg-type] # nothing is read
        outbox=None,  # type: ignore[arg-type] # nothing is sent
        horizons=Horizons(),
        denials=DenialFilter("all"),
        metrics=metrics,
        failpoints=Failpoints({}),
        monotonic=lambda: 0.0,
    )

    async def report() -> None:
        await report_campaigns(CATALOGUE, await a_table(), shelf, decided, shared, T0 + 1)

    asyncio.run(report())
    return lambda name, **labels: metrics.registry.get_sample_value("livepromo_" + name, labels)


def test_budgets_are_in_points_credits_or_rewards() -> None:
    gauge = reported(range(COUNT))
    found = {name: (gauge("budget_limit", campaign=name), gauge("budget_spent", campaign=name)) for name in ("coupons", "items", "credits")}
    assert found == {"coupons": (5, 2), "items": (7, 7), "credits": (8.5, 2.5)}
    assert gauge("budget_limit", campaign="vouchers") is None


def test_pools_have_their_size_and_what_is_left() -> None:
    gauge = reported(range(COUNT))
    assert [(gauge("codes_size", pool=pool), gauge("codes_left", pool=pool)) for pool in ("coupon/spring", LIST)] == [(4, 1), (1, 0)]


def test_a_campaign_without_budget_or_codes_left_is_exhausted() -> None:
    gauge = reported(range(COUNT))
    assert (gauge("campaigns", state="exhausted"), gauge("campaigns", state="running")) == (2, 2)  # items, vouchers


def test_a_process_reports_only_what_it_decides() -> None:
    gauge = reported([partition_of(LIST, COUNT)])
    assert gauge("codes_left", pool=LIST) == 0
    assert gauge("codes_left", pool="coupon/spring") is None


@pytest.mark.parametrize("error", [UnavailableError(Away.TIMEOUT, "away"), errors.UnavailableError("away")])
def test_while_something_is_away_the_gauges_stay_as_they_are(error: Exception) -> None:
    class Gone:
        async def stock(self, pool: str, start: int, count: int) -> Any:  # noqa: ARG002 - nobody answers
            raise error

    assert reported(range(COUNT), Gone())("campaigns", state="running") == 0


@pytest.mark.parametrize(
    ("state", "limit", "spent", "left", "shown"),
    [
        ("running", None, 9, None, "running"),
        ("running", 10, 9, 1, "running"),
        ("running", 10, 10, None, "exhausted"),
        ("running", None, 0, 0, "exhausted"),
        ("paused", 10, 10, 0, "paused"),
    ],
)
def test_only_a_running_campaign_is_shown_as_exhausted(state: str, limit: int | None, spent: int, left: int | None, shown: str) -> None:
    assert shown_state(state, limit, spent, left) == shown
