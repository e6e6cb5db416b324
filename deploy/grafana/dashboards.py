"""Writes the dashboards: `python deploy/grafana/dashboards.py` makes every file of `deploy/grafana/dashboards` anew."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

SOURCE = DataSourceRef(type_val="prometheus", uid="$datasource")


class Graph(NamedTuple):
    """A panel: its title, unit, and queries with their legends; `{job` becomes the chosen installation."""

    title: str
    unit: str
    queries: dict[str, str]
    says: str = ""
    now: bool = False  # a number instead of a graph


def _quantiles(histogram: str, by: str = "", of: tuple[str, ...] = ("0.5", "0.99")) -> dict[str, str]:
    """Return queries for quantiles of a histogram, for each value of a label if one is named."""
    legend = f"{{{{{by}}}}} " if by else ""
    labels = ", ".join(filter(None, [by, "le"]))
    return {
        f"{legend}p{float(q) * 100:g}": f"histogram_quantile({q}, sum by ({labels}) (rate({histogram}_bucket{{job}}[$__rate_interval])))"
        for q in of
    }


def _rate(counter: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({counter}{{job{more}}}[$__rate_interval]))"


MONEY = {
    "Given": [
        Graph("Grants a second", "ops", {"{{campaign}} {{reward}}": _rate("livepromo_grants_total", "campaign, reward")}),
        Graph("Points, credits or items a second", "none", {"{{campaign}}": _rate("livepromo_granted_amount_total", "campaign")}),
        Graph("Denials a second", "ops", {"{{campaign}} {{reason}}": _rate("livepromo_denials_total", "campaign, reason")}),
        Graph("Owed before limits, a second", "ops", {"{{campaign}}": _rate("livepromo_candidates_total", "campaign")}),
    ],
    "Left": [
        Graph(
            "Share of the budget that is given",
            "percentunit",
            {"{{campaign}}": "max by (campaign) (livepromo_budget_spent{job}) / max by (campaign) (livepromo_budget_limit{job})"},
            "At 1 the campaign denies.",
        ),
        Graph(
            "Budget in 24 hours, at the rate of the last 6",
            "percentunit",
            {
                "{{campaign}}": "max by (campaign) (predict_linear(livepromo_budget_spent{job}[6h], 86400))"
                " / max by (campaign) (livepromo_budget_limit{job})"
            },
        ),
        Graph("Codes left", "short", {"{{pool}}": "min by (pool) (livepromo_codes_left{job})"}),
        Graph(
            "Share of the codes that is given",
            "percentunit",
            {"{{pool}}": "1 - min by (pool) (livepromo_codes_left{job}) / max by (pool) (livepromo_codes_size{job})"},
        ),
    ],
    "Campaigns": [
        Graph("Campaigns", "short", {"{{state}}": "max by (state) (livepromo_campaigns{job})"}),
        Graph("Publications", "short", {"{{instance}}": "max by (instance) (livepromo_catalogue_position{job})"}),
    ],
}
PIPELINE = {
    "Is it well?": [
        Graph(
            "Grants slower than 5 s, last hour",
            "percentunit",
            {
                "slow": '1 - sum(rate(livepromo_event_to_grant_seconds_bucket{job, le="5.0"}[1h]))'
                " / sum(rate(livepromo_event_to_grant_seconds_count{job}[1h]))"
            },
            "The objective is at most 0.5 % in 30 days.",
            now=True,
        ),
        Graph(
            "Dead letters, last hour",
            "percentunit",
            {"dead": 'sum(rate(livepromo_records_total{job, outcome="dead"}[1h])) / sum(rate(livepromo_records_total{job}[1h]))'},
            "The objective is at most 0.1 % in 30 days.",
            now=True,
        ),
        Graph("Oldest unread record", "s", {"oldest": "max(livepromo_lag_seconds{job})"}, now=True),
        Graph("Workers", "short", {"workers": "count(livepromo_build_info{job})"}, now=True),
    ],
    "Flow": [
        Graph("Records a second", "ops", {"{{outcome}}": _rate("livepromo_records_total", "outcome")}),
        Graph("Event to grant", "s", _quantiles("livepromo_event_to_grant_seconds", of=("0.5", "0.95", "0.99"))),
        Graph("Age of the oldest unread record", "s", {"{{stage}}": "max by (stage) (livepromo_lag_seconds{job})"}),
        Graph("Unread records", "short", {"{{stage}}": "sum by (stage) (livepromo_lag_records{job})"}),
        Graph("Dead letters a second", "ops", {"{{reason}}": _rate("livepromo_dead_letters_total", "reason")}),
        Graph("Bytes read a second", "Bps", {"events": "sum(rate(livepromo_record_bytes_total{job}[$__rate_interval]))"}),
    ],
    "Work": [
        Graph("Processors in use", "short", {"{{stage}}": _rate("livepromo_stage_cpu_seconds_total", "stage")}),
        Graph(
            "Records in a slice",
            "short",
            {"{{stage}}": f"{_rate('livepromo_slice_records_sum', 'stage')} / {_rate('livepromo_slice_records_count', 'stage')}"},
        ),
        Graph("A slice, from fetched to acknowledged", "s", _quantiles("livepromo_slice_seconds", "stage")),
        Graph("Event loop busy", "s", _quantiles("livepromo_loop_lag_seconds", "instance", ("0.99",))),
    ],
    "Kafka and Redis": [
        Graph("Append to the ledger", "s", _quantiles("livepromo_ledger_append_seconds")),
        Graph("Append to the state", "s", _quantiles("livepromo_state_append_seconds")),
        Graph("A call to Redis", "s", _quantiles("livepromo_table_seconds", "call")),
        Graph("Calls to Redis that fail, a second", "ops", {"{{kind}}": _rate("livepromo_table_errors_total", "kind")}),
    ],
    "Owners": [
        Graph("Partitions", "short", {"{{instance}} {{stage}}": "max by (instance, stage) (livepromo_partitions_assigned{job})"}),
        Graph("Rebalances", "short", {"{{stage}}": "sum by (stage) (increase(livepromo_rebalances_total{job}[$__rate_interval]))"}),
        Graph("Takeovers", "s", _quantiles("livepromo_takeover_seconds", "stage", ("0.99",))),
        Graph("Records read by takeovers, a second", "ops", {"{{stage}}": _rate("livepromo_takeover_records_total", "stage")}),
    ],
    "Must stay at 0": [
        Graph(
            "Since the workers began",
            "short",
            {
                "violations {{invariant}}": "sum by (invariant) (livepromo_invariant_violations_total{job})",
                "void records {{topic}}": "sum by (topic) (livepromo_void_records_total{job})",
                "table regressions": "sum(livepromo_table_regressions_total{job})",
                "misplaced records": "sum(livepromo_misplaced_records_total{job})",
            },
        ),
        Graph("Alerts", "short", {"{{alertname}} {{severity}}": 'count by (alertname, severity) (ALERTS{job, alertstate="firing"})'}),
    ],
}
WINDOWS = {
    "Windows": [
        Graph("Open", "short", {"{{campaign}}": "sum by (campaign) (livepromo_windows_open{job})"}),
        Graph("A second", "ops", {"{{outcome}}": _rate("livepromo_windows_total", "outcome")}),
        Graph("Fired a second", "ops", {"{{campaign}}": _rate("livepromo_windows_total", "campaign", ', outcome="fired"')}),
        Graph(
            "Over the limit of open windows, a second",
            "ops",
            {"{{campaign}}": _rate("livepromo_windows_total", "campaign", ', outcome="over_limit"')},
        ),
        Graph("From deadline and grace until fired", "s", _quantiles("livepromo_window_lateness_seconds", of=("0.5", "0.99"))),
    ],
    "Stream time": [
        Graph(
            "Behind the clock", "s", {"{{partition}}": "time() - max by (partition) (livepromo_stream_time_timestamp_seconds{job})"},
            "Time moves with records, and with ticks while there are none.",
        ),
        Graph(
            "Look-backs are true for",
            "s",
            {"{{partition}}": "time() - max by (partition) (livepromo_history_complete_since_timestamp_seconds{job})"},
        ),
    ],
}  # fmt: skip
WEBHOOKS = {
    "Calls": [
        Graph("A second", "ops", {"{{endpoint}} {{outcome}}": _rate("livepromo_webhook_calls_total", "endpoint, outcome")}),
        Graph(
            "Share that succeeds",
            "percentunit",
            {
                "{{endpoint}}": _rate("livepromo_webhook_calls_total", "endpoint", ', outcome="ok"')
                + " / "
                + _rate("livepromo_webhook_calls_total", "endpoint")
            },
        ),
        Graph("A call", "s", _quantiles("livepromo_webhook_seconds", "endpoint")),
    ],
    "Waiting": [
        Graph("Calls that wait", "short", {"{{endpoint}}": "sum by (endpoint) (livepromo_webhook_pending{job})"}),
        Graph(
            "Age of the oldest",
            "s",
            {
                "{{endpoint}}": "(time() - min by (endpoint) (livepromo_webhook_oldest_pending_timestamp_seconds{job} > 0))"
                " and sum by (endpoint) (livepromo_webhook_pending{job}) > 0"
            },
            "At 24 hours a call is given up.",
        ),
        Graph("Circuit open", "short", {"{{endpoint}}": "max by (endpoint) (livepromo_webhook_circuit_open{job})"}),
    ],
}
DASHBOARDS = {"money": MONEY, "pipeline": PIPELINE, "windows": WINDOWS, "webhooks": WEBHOOKS}


def _panel(graph: Graph, number: int) -> stat.Panel | timeseries.Panel:
    if graph.now:
        panel = stat.Panel().span(6).height(4).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    else:
        legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
        panel = timeseries.Panel().span(12).height(8).legend(legend)
    panel.id(number).title(graph.title).unit(graph.unit).datasource(SOURCE)
    if graph.says:
        panel.description(graph.says)
    for letter, (legend, query) in zip("ABCDEF", graph.queries.items(), strict=False):
        expr = query.replace("{job", '{job="$job"')
        panel.with_target(prometheus.Dataquery().ref_id(letter).expr(expr).legend_format(legend))
    return panel


def made(name: str) -> str:
    """Return the JSON of a dashboard."""
    board = (
        dashboard.Dashboard(f"livepromo: {name}")
        .uid(f"livepromo-{name}")
        .tags(["livepromo"])
        .timezone("browser")
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Installation")
            .datasource(SOURCE)
            .query("label_values(livepromo_build_info, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    )
    numbers = count(1)
    for title, graphs in DASHBOARDS[name].items():
        board.with_row(dashboard.Row(title).id(next(numbers)))
        for graph in graphs:
            board.with_panel(_panel(graph, next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def main(folder: Path) -> None:
    """Write every dashboard into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (folder / f"{name}.json").write_text(made(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("dashboards"))
