"""The alerts: sound, of metrics that exist, each shown to fire, each with a section of the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from deploy.queries import names_and_labels, unknown
from livepromo.telemetry.families import HistogramOf
from livepromo.telemetry.metrics import TABLE

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus"
RULES, RULE_TESTS = PROMETHEUS / "livepromo.rules.yaml", PROMETHEUS / "livepromo.rules.test.yaml"
RUNBOOK = ROOT / "docs/runbook.md"
PARTS = ["**Means.**", "**Look at.**", "**Do.**"]


class Rule(NamedTuple):
    """A rule as Prometheus reads it; `name` is the alert's or the recorded series'."""

    name: str
    alerts: bool
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


def rules() -> list[Rule]:
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [
        Rule(rule.get("alert") or rule["record"], "alert" in rule, rule["expr"], rule.get("labels", {}), rule.get("annotations", {}))
        for group in groups
        for rule in group["rules"]
    ]


def alerts() -> list[str]:
    return sorted({rule.name for rule in rules() if rule.alerts})


RECORDED = {rule.name for rule in rules() if not rule.alerts}
each = pytest.mark.parametrize("alert", alerts())


def promtool(*words: str | Path) -> str:
    """Run promtool to its end, without an error."""
    assert shutil.which("promtool"), "the rules are checked by promtool: apt-get install prometheus, or `make prometheus`"
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def section(alert: str) -> str:
    _, found, rest = RUNBOOK.read_text(encoding="utf-8").partition(f"\n## {alert}\n")
    assert found, f"docs/runbook.md has no section {alert}"
    return rest.partition("\n## ")[0]


def test_prometheus_takes_the_rules_and_the_sample_of_its_configuration() -> None:
    promtool("check", "rules", RULES)
    promtool("check", "config", "--syntax-only", PROMETHEUS / "prometheus.yaml")


@pytest.mark.timeout(300)
def test_every_alert_fires_when_it_should_and_no_other_does() -> None:
    promtool("test", "rules", RULE_TESTS)


@each
def test_an_alert_is_shown_to_fire(alert: str) -> None:
    assert f'alertname="{alert}"' in RULE_TESTS.read_text(encoding="utf-8")


@each
def test_the_runbook_says_what_an_alert_means_what_to_look_at_and_what_to_do(alert: str) -> None:
    text = section(alert)
    assert re.findall(r"^\*\*.*?\*\*", text, re.MULTILINE) == PARTS
    assert all(len(said.split()) >= 3 for said in re.split(r"^\*\*.*?\*\*", text, flags=re.MULTILINE)[1:])


def test_the_runbook_has_a_section_for_alerts_alone() -> None:
    assert sorted(re.findall(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)) == alerts()


def test_every_alert_leads_to_its_section_and_says_how_urgent_it_is() -> None:
    for rule in rules():
        if rule.alerts:
            assert rule.annotations["runbook"] == f"docs/runbook.md#{rule.name.lower()}"
            assert rule.labels["severity"] in {"page", "ticket"}
            assert rule.annotations["summary"]


def test_rules_ask_for_metrics_and_labels_that_exist() -> None:
    assert len(rules()) > 50
    for rule in rules():
        assert unknown(rule.expr, RECORDED) == [], rule.name


def test_the_bounds_that_rules_ask_for_are_bounds_of_buckets() -> None:
    asked = 0
    for rule in rules():
        for name, _, values in names_and_labels(rule.expr):
            if "le" in values:
                family = TABLE[name.removeprefix("livepromo_").removesuffix("_bucket")]
                assert isinstance(family, HistogramOf)
                assert values["le"] in {str(bound) for bound in family.buckets}, rule.name
                asked += 1
    assert asked >= 9


def test_known_values_of_labels_are_the_ones_that_rules_ask_for() -> None:
    for rule in rules():
        for name, _, values in names_and_labels(rule.expr):
            family = TABLE.get(name.removeprefix("livepromo_"))
            for label, value in values.items() if family else ():
                known = family.labels[label] if family else ()
                assert not known or value in known, (rule.name, label, value)


def test_all_that_the_specification_asks_an_alert_for_has_one() -> None:
    asked = {name for rule in rules() for name, _, _ in names_and_labels(rule.expr)}
    assert {
        "livepromo_event_to_grant_seconds_bucket", "livepromo_records_total", "livepromo_lag_seconds", "livepromo_budget_spent",
        "livepromo_codes_left", "livepromo_window_lateness_seconds_bucket", "livepromo_table_regressions_total",
        "livepromo_webhook_calls_total", "livepromo_invariant_violations_total", "livepromo_void_records_total",
    } <= asked  # fmt: skip
