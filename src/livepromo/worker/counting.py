"""What the metrics say of records, candidates, denials and windows that were taken."""

from __future__ import annotations

from collections import Counter

from livepromo.engine.state import Changes
from livepromo.model.decisions import Candidate, Denial
from livepromo.model.time import SECOND_MS
from livepromo.telemetry import clock
from livepromo.telemetry.metrics import Metrics


def count_taken(changes: Changes, metrics: Metrics) -> None:
    """Count what was taken, now that it is durable; what is taken again after a crash is counted again."""
    for outcome, number in (
        ("taken", changes.taken),
        ("repeat", changes.repeats),
        ("ignored", changes.ignored),
        ("dead", len(changes.dead)),
    ):
        metrics.records_total.labels(outcome=outcome).inc(number)
    for reason, number in Counter(reason.value for _, reason in changes.dead).items():
        metrics.dead_letters_total.labels(reason=reason).inc(number)
    made = Counter(one.campaign for one in changes.outcomes if isinstance(one, Candidate))
    for campaign, number in made.items():
        metrics.candidates_total.labels(campaign).inc(number)
    for (campaign, reason), number in Counter(
        (one.campaign, one.reason.value) for one in changes.outcomes if isinstance(one, Denial)
    ).items():
        metrics.denials_total.labels(campaign, reason).inc(number)
    for campaign, tally in changes.tally.items():
        for outcome, number in tally.items():
            metrics.windows_total.labels(campaign, outcome).inc(number)
    if changes.fired_ms:
        now_ms = clock.wall_ms()
        for due_ms in changes.fired_ms:
            metrics.window_lateness_seconds.observe(max(0, now_ms - due_ms) / SECOND_MS)
