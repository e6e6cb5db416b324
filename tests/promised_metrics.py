"""The metrics that are promised to operators, as the specification has them: names, types, labels."""

from __future__ import annotations

# The specification's table: name, type, labels.
CONTRACT = """
build_info gauge version python faust tzdata
records_total counter outcome
record_bytes_total counter
slice_records histogram stage
slice_seconds histogram stage
stage_cpu_seconds_total counter stage
dead_letters_total counter reason
misplaced_records_total counter
event_to_grant_seconds histogram
window_lateness_seconds histogram
windows_open gauge campaign
windows_total counter campaign outcome
candidates_total counter campaign
grants_total counter campaign reward
granted_amount_total counter campaign
denials_total counter campaign reason
budget_limit gauge campaign
budget_spent gauge campaign
codes_size gauge pool
codes_left gauge pool
campaigns gauge state
catalogue_position gauge
lag_records gauge stage partition
lag_seconds gauge stage partition
stream_time_timestamp_seconds gauge partition
history_complete_since_timestamp_seconds gauge partition
partitions_assigned gauge stage
rebalances_total counter stage
takeover_seconds histogram stage
takeover_records_total counter stage
void_records_total counter topic
ledger_append_seconds histogram
state_append_seconds histogram
table_seconds histogram call
table_errors_total counter kind
table_regressions_total counter
webhook_calls_total counter endpoint outcome
webhook_seconds histogram endpoint
webhook_pending gauge endpoint
webhook_oldest_pending_timestamp_seconds gauge endpoint
webhook_circuit_open gauge endpoint
invariant_violations_total counter invariant
loop_lag_seconds histogram
"""


def contract() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and labels of every metric, by name."""
    rows = (line.split() for line in CONTRACT.strip().splitlines())
    return {name: (kind, tuple(labels)) for name, kind, *labels in rows}
