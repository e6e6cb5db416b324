"""Every metric that livepromo has, in one table: names, types and labels are a contract with whoever watches an installation."""

from __future__ import annotations

import platform
import re
import zoneinfo
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, disable_created_metrics

from livepromo.model.records import DeadReason
from livepromo.telemetry.families import (
    CampaignCounterOf,
    CampaignGaugeOf,
    Campaigns,
    CounterOf,
    Family,
    GaugeOf,
    HistogramOf,
)

_ANY: Final[tuple[str, ...]] = ()  # a label whose values nobody knows beforehand
_STAGES: Final = ("match", "decide", "deliver")
_STATES: Final = ("scheduled", "preparing", "running", "paused", "exhausted", "sending", "ended", "stopped")
_FAST: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_WAITS: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_TAKEOVER: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_COUNTS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)


class Metrics:
    """The metrics of one process, in a registry of their own; every attribute is a family of prometheus_client.

    `metrics.records_total.labels(outcome="taken").inc(n)`. Whoever counts often keeps what `labels` returns. A label never holds a
    user, grant, event or code.
    """

    build_info = GaugeOf("what runs; always 1", version=_ANY, python=_ANY, faust=_ANY, tzdata=_ANY)

    records_total = CounterOf("every record read, each once", outcome=("taken", "repeat", "ignored", "dead"))
    record_bytes_total = CounterOf("bytes read from the events topic")
    slice_records = HistogramOf("records in a slice", _COUNTS, stage=_STAGES)
    slice_seconds = HistogramOf("from fetched to acknowledged", _WAITS, stage=_STAGES)
    stage_cpu_seconds_total = CounterOf("CPU spent", stage=_STAGES)
    dead_letters_total = CounterOf("records put aside", reason=tuple(DeadReason))
    misplaced_records_total = CounterOf("records found in another partition than their user's")
    event_to_grant_seconds = HistogramOf("received by Kafka until the grant is visible in reward-granted; did campaigns", _WAITS)

    window_lateness_seconds = HistogramOf("deadline and grace until the window fired", _WAITS)
    windows_open = CampaignGaugeOf("open windows", campaign=_ANY)
    windows_total = CampaignCounterOf("what became of windows", campaign=_ANY, outcome=_ANY)

    candidates_total = CampaignCounterOf("rewards owed, before limits are looked at", campaign=_ANY)
    grants_total = CampaignCounterOf("rewards given", campaign=_ANY, reward=_ANY)
    granted_amount_total = CampaignCounterOf("points, credits or items given", campaign=_ANY)
    denials_total = CampaignCounterOf("rewards denied", campaign=_ANY, reason=_ANY)
    budget_limit = CampaignGaugeOf("the most that may be given, in points, credits or rewards", campaign=_ANY)
    budget_spent = CampaignGaugeOf("given so far, in points, credits or rewards", campaign=_ANY)
    codes_size = GaugeOf("codes imported", pool=_ANY)
    codes_left = GaugeOf("codes not given yet", pool=_ANY)
    campaigns = GaugeOf("published campaigns", state=_STATES)
    catalogue_position = GaugeOf("publications taken; differs between workers only for moments")

    lag_records = GaugeOf("unread records", stage=_STAGES, partition=_ANY)
    lag_seconds = GaugeOf("age of the oldest unread record", stage=_STAGES, partition=_ANY)
    stream_time_timestamp_seconds = GaugeOf("how far stream time is", partition=_ANY)
    history_complete_since_timestamp_seconds = GaugeOf("from when on look-backs are true", partition=_ANY)
    partitions_assigned = GaugeOf("partitions that this process owns", stage=_STAGES)
    rebalances_total = CounterOf("times that partitions were revoked and assigned", stage=_STAGES)
    takeover_seconds = HistogramOf("assigned until the first slice is taken", _TAKEOVER, stage=_STAGES)
    takeover_records_total = CounterOf("records restored or folded again", stage=_STAGES)
    void_records_total = CounterOf("records of older owners that were ignored", topic=_ANY)
    ledger_append_seconds = HistogramOf("an append to the ledger", _FAST)
    state_append_seconds = HistogramOf("an append to the state", _FAST)
    table_seconds = HistogramOf("a call to Redis", _FAST, call=("read", "write"))
    table_errors_total = CounterOf("calls to Redis that failed", kind=("connection", "timeout", "readonly", "oom", "loading", "other"))
    table_regressions_total = CounterOf("Redis was older than the ledger and was brought up from it")

    webhook_calls_total = CounterOf("calls to endpoints", endpoint=_ANY, outcome=("ok", "refused", "failed", "timeout", "blocked"))
    webhook_seconds = HistogramOf("a call to an endpoint", _WAITS, endpoint=_ANY)
    webhook_pending = GaugeOf("calls not made yet", endpoint=_ANY)
    webhook_oldest_pending_timestamp_seconds = GaugeOf("since when the oldest call is owed; 0 while none is", endpoint=_ANY)
    webhook_circuit_open = GaugeOf("1 while no calls are tried", endpoint=_ANY)

    invariant_violations_total = CounterOf("must stay 0; a worker that sees one ends", invariant=_ANY)
    loop_lag_seconds = HistogramOf("how long the event loop was busy", _FAST)

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # they would be names beside the contract
        self.registry = CollectorRegistry() if registry is None else registry
        campaigns = Campaigns()
        for name, family in TABLE.items():
            # Into the instance, where it hides the declaration of the class.
            self.__dict__[name] = family.make(self.registry, campaigns)
        self.build_info.labels(
            version=version("livepromo"), python=platform.python_version(), faust=version("faust-streaming"), tzdata=tzdata_version()
        ).set(1)


TABLE: Final[dict[str, Family]] = {name: value for name, value in vars(Metrics).items() if isinstance(value, Family)}


def tzdata_version() -> str:
    """Return the version of the time zone data that `zoneinfo` reads here, such as `2026b`; `unknown` where the system does not say."""
    for folder in zoneinfo.TZPATH:
        if not Path(folder, "UTC").exists():
            continue
        for file in ("tzdata.zi", "+VERSION"):
            try:
                with Path(folder, file).open(encoding="utf-8") as text:
                    found = re.search(r"\d{4}[a-z]+", text.readline())
            except OSError:
                continue
            if found:
                return found[0]
        return "unknown"
    return str(import_module("tzdata").IANA_VERSION)  # where the system has none, zoneinfo reads this package
