"""What `livepromo webhooks test` says of the calls that it made."""

from __future__ import annotations

from livepromo.cli.webhooks import summary
from livepromo.delivery.retries import Outcome, OutcomeKind, Why


def test_a_summary_counts_outcomes_and_answers_and_measures_latencies() -> None:
    outcomes = [Outcome(OutcomeKind.OK, status=200, seconds=n / 1000) for n in range(1, 99)]
    outcomes += [Outcome(OutcomeKind.REFUSED, Why.STATUS, 503, seconds=0.2), Outcome(OutcomeKind.TIMEOUT, Why.TIMEOUT, seconds=15.0)]
    assert summary("gift-api", outcomes, 4.0) == {
        "endpoint": "gift-api",
        "calls": 100,
        "seconds": 4.0,
        "calls_per_second": 25.0,
        "outcomes": {"ok": 98, "refused": 1, "timeout": 1},
        "answers": {"200": 98, "503": 1, "timeout": 1},
        "latency_ms": {"p50": 51.0, "p95": 95.0, "p99": 200.0, "max": 15000.0},
    }


def test_one_call_has_a_summary_too() -> None:
    found = summary("gift-api", [Outcome(OutcomeKind.BLOCKED, Why.BLOCKED, detail="private")], 1.0)
    assert (found["answers"], found["latency_ms"]["p50"]) == ({"blocked: private": 1}, 0.0)
