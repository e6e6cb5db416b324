"""The names, types and labels of metrics are a contract; no label grows without bound."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from livepromo.telemetry import metrics as table
from livepromo.telemetry.families import MOST_CAMPAIGNS
from livepromo.telemetry.metrics import TABLE, Metrics, tzdata_version
from promised_metrics import contract


def scrape(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def test_the_table_is_the_contract() -> None:
    assert {name: (family.kind, tuple(family.labels)) for name, family in TABLE.items()} == contract()


def test_a_scrape_has_the_names_types_and_labels_of_the_contract_and_nothing_else() -> None:
    metrics = Metrics()
    for name, (kind, labels) in contract().items():  # so that every family has a sample
        if labels:
            family = getattr(metrics, name)
            if labels == ("campaign",) and kind == "gauge":
                family.set("c", 1)
            else:
                family.labels(*(f"a-{label}" for label in labels))
    said = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        suffix = "_total" if family.type == "counter" else ""
        said[family.name.removeprefix("livepromo_") + suffix] = (family.type, labels)
        assert family.name.startswith("livepromo_")
    assert said == {name: (kind, set(labels)) for name, (kind, labels) in contract().items()}


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("records_total", "outcome", ["taken", "repeat", "ignored", "dead"]),
        ("slice_seconds_count", "stage", ["match", "decide", "deliver"]),
        ("table_seconds_count", "call", ["read", "write"]),
        ("table_errors_total", "kind", ["connection", "timeout", "readonly", "oom", "loading", "other"]),
        ("rebalances_total", "stage", ["match", "decide", "deliver"]),
        ("campaigns", "state", ["scheduled", "preparing", "running", "paused", "exhausted", "sending", "ended", "stopped"]),
        (
            "dead_letters_total",
            "reason",
            [
                *("not_json", "not_unicode", "wrong_type", "missing_field", "out_of_range", "bad_time"),
                *("too_large", "too_deep", "too_old", "in_the_future", "bug"),
            ],
        ),
    ],
)
def test_known_label_values_start_at_0(name: str, label: str, values: list[str]) -> None:
    found = {labels: value for (sample, labels), value in scrape(Metrics().registry).items() if sample == f"livepromo_{name}"}
    assert found == {((label, value),): 0.0 for value in values}


def test_metrics_without_labels_start_at_0() -> None:
    found = scrape(Metrics().registry)
    for name in ("record_bytes_total", "misplaced_records_total", "table_regressions_total", "event_to_grant_seconds_count"):
        assert found[f"livepromo_{name}", ()] == 0.0


def test_build_info_says_what_runs() -> None:
    ((labels, value),) = [(dict(labels), value) for (name, labels), value in scrape(Metrics().registry).items() if "build_info" in name]
    assert value == 1.0
    assert labels["version"] == version("livepromo")
    assert labels["faust"] == version("faust-streaming")
    assert labels["python"].startswith("3.")
    assert labels["tzdata"] == tzdata_version()


def test_counting_is_seen_in_the_scrape_of_its_own_registry_alone() -> None:
    one, other = Metrics(), Metrics()
    one.records_total.labels(outcome="taken").inc(3)
    one.denials_total.labels("cart-rescue", "user_day").inc()
    one.granted_amount_total.labels("cart-rescue").inc(2.5)
    found = scrape(one.registry)
    assert found["livepromo_records_total", (("outcome", "taken"),)] == 3.0
    assert found["livepromo_denials_total", (("campaign", "cart-rescue"), ("reason", "user_day"))] == 1.0
    assert found["livepromo_granted_amount_total", (("campaign", "cart-rescue"),)] == 2.5
    assert scrape(other.registry)["livepromo_records_total", (("outcome", "taken"),)] == 0.0


def test_after_200_campaigns_the_rest_is_other_in_every_metric() -> None:
    metrics = Metrics()
    for number in range(MOST_CAMPAIGNS + 50):
        for _ in range(2):
            metrics.candidates_total.labels(f"c{number}").inc()
    metrics.grants_total.labels("c0", "points").inc()
    metrics.grants_total.labels("c249", "points").inc()
    found = scrape(metrics.registry)
    campaigns = {dict(labels)["campaign"] for name, labels in found if name == "livepromo_candidates_total"}
    assert len(campaigns) == MOST_CAMPAIGNS + 1
    assert found["livepromo_candidates_total", (("campaign", "c199"),)] == 2.0
    assert found["livepromo_candidates_total", (("campaign", "other"),)] == 100.0
    assert found["livepromo_grants_total", (("campaign", "c0"), ("reward", "points"))] == 1.0
    assert found["livepromo_grants_total", (("campaign", "other"), ("reward", "points"))] == 1.0


def test_the_gauge_of_the_other_campaigns_is_their_sum() -> None:
    metrics = Metrics()
    for number in range(MOST_CAMPAIGNS):
        metrics.budget_spent.set(f"c{number}", number)
    metrics.budget_spent.set("x", 5)
    metrics.budget_spent.set("y", 7)
    metrics.budget_spent.set("x", 6)
    found = scrape(metrics.registry)
    assert found["livepromo_budget_spent", (("campaign", "c199"),)] == 199.0
    assert found["livepromo_budget_spent", (("campaign", "other"),)] == 13.0


def test_the_version_of_time_zones_is_that_of_the_folder_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "UTC").touch()
    monkeypatch.setattr(table.zoneinfo, "TZPATH", (str(tmp_path / "absent"), str(tmp_path)))
    assert tzdata_version() == "unknown"
    (tmp_path / "tzdata.zi").write_text("# version 2026b\n# rest\n")
    assert tzdata_version() == "2026b"
    monkeypatch.setattr(table.zoneinfo, "TZPATH", ())
    assert tzdata_version() == __import__("tzdata").IANA_VERSION
