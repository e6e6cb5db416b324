"""The whole way on real servers: what is granted is what the same engine grants over the log, whoever publishes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from recount import Published, Simulated, check_delivered, check_denied, check_limits, check_same, ledger
from whole import DATA, Installation
from year import recorded, year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(600)]

NOW, LATER = DATA / "twelve-campaigns.yaml", DATA / "twelve-campaigns-later.yaml"


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path)
    yield installation
    installation.close()


def test_a_year_of_a_grocer_is_granted_as_simulated_while_campaigns_change(installation: Installation) -> None:
    published = Published.of(NOW, LATER)
    workers = [installation.worker(), installation.worker()]
    installation.cli("apply", NOW)
    records = year()
    assert len(recorded()) == 49_345
    assert len(records) > 1.05 * 49_345

    def send(start: float, end: float) -> None:
        installation.send(records[int(start * len(records)) : int(end * len(records))])

    send(0, 0.25)
    installation.cli("pause", "coupon-thanks")
    installation.cli("pause", "auckland", "--no-wait")
    send(0.25, 0.4)
    installation.cli("apply", LATER, "--by", "somebody")
    send(0.4, 0.6)
    installation.cli("resume", "auckland")
    send(0.6, 0.8)
    installation.cli("resume", "coupon-thanks", "--no-wait")
    send(0.8, 1)
    installation.until_done(300)
    assert [worker.stop() for worker in workers] == [0, 0]
    installation.cli("ledger", "verify")

    grants, simulated = ledger(installation), Simulated.of(installation)
    check_limits(grants, published)
    assert check_delivered(installation, grants) == 0, "nobody was killed, so nothing was delivered twice"
    result = check_same(grants, simulated, published)
    check_denied(installation, grants, simulated, published)
    assert len(result) == 12
    assert_they_bind(simulated)
    assert {grant.said["revision"] for grant in grants if grant.campaign == "lucky-much"} == {1, 2}
    assert result["coupon-thanks"][0] < 1000, "it was not paused"
    assert all(worker.said().count(" takes ") >= 3 for worker in workers), "one did not work"
    # No limit of this one binds, and nobody changes it: so what it owes can be said without any engine.
    owed = {(event["user"], event["ts"], points) for event in recorded() if (points := half_the_coupon(event["properties"]))}
    assert {(g.said["user"], g.said["cause"]["ts"], g.points) for g in grants if g.campaign == "half-the-coupon"} == owed
    shown = ", ".join(f"{name} {count}: {points}" for name, (count, points) in result.items())
    print(f"{len(records)} records, {len(grants)} grants, as simulated: {shown}")


def half_the_coupon(properties: dict[str, Any]) -> Decimal:
    """Return what the campaign of that name gives for an event with these properties: half of it in whole cents, rounded down."""
    if properties.get("lines", 0) < 3:
        return Decimal(0)
    return (Decimal(str(properties["coupon"])) / 2).quantize(Decimal("0.01"), ROUND_DOWN)


def assert_they_bind(simulated: Simulated) -> None:
    """At least three budgets and three recurrences bind, of every kind; else the comparison says little."""
    budgets = {campaign for campaign, reason in simulated.reasons() if reason in {"user_budget", "campaign_budget"}}
    recurrences = {campaign for campaign, reason in simulated.reasons() if reason in {"user_total", "user_day", "user_week", "user_month"}}
    assert len(budgets) >= 3, budgets
    assert len(recurrences) >= 3, recurrences
    wanted = {
        "user_budget",
        "campaign_budget",
        "user_total",
        "user_day",
        "user_week",
        "user_month",
        "amount_not_positive",
        "would_be_expired",
    }
    assert wanted <= {reason for _, reason in simulated.reasons()}
