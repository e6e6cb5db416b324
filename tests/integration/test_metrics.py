"""What a running worker's metrics page says is the contract, and true."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from promised_metrics import contract
from recount import check_delivered, ledger
from scrape import Scrape
from whole import DATA, DENIED, In, Installation, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

DOCUMENTS = DATA / "twelve-campaigns.yaml"
STAGES = {"match", "decide", "deliver"}
KNOWN = {  # label values that are there from the start, at 0
    "records_total": {"taken", "repeat", "ignored", "dead"},
    "slice_records": STAGES,
    "slice_seconds": STAGES,
    "stage_cpu_seconds_total": STAGES,
    "partitions_assigned": STAGES,
    "rebalances_total": STAGES,
    "takeover_seconds": STAGES,
    "takeover_records_total": STAGES,
    "table_seconds": {"read", "write"},
    "table_errors_total": {"connection", "timeout", "readonly", "oom", "loading", "other"},
    "dead_letters_total": {
        "not_json", "not_unicode", "wrong_type", "missing_field", "out_of_range", "bad_time", "too_large", "too_deep", "too_old",
        "in_the_future", "bug",
    },
}  # fmt: skip


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, metrics_port=str(free_ports(1)[0]))
    yield installation
    installation.close()


def test_a_worker_shows_every_metric_of_the_contract_and_what_it_has_done(installation: Installation) -> None:
    port = int(installation.environ["LIVEPROMO_METRICS_PORT"])
    worker = installation.worker()
    installation.cli("apply", DOCUMENTS)
    check_contract(Scrape.of(port))
    records = year(seed=6, every=8)
    bad = [b"?", b'{"user": 5}', b'{"type": "page"}', b'{"user": "1", "event": "purchase", "ts": 1}', None]
    records[100:100] = [In("1", value) for value in bad]
    installation.send(records)
    installation.cli("pause", "coupon-thanks")
    installation.until_done()
    grants = ledger(installation)

    until(lambda: settled(Scrape.of(port), len(grants)), 20, "the gauges show that nothing is left to do")
    scrape = Scrape.of(port)
    check_contract(scrape)
    check_records(scrape, installation, len(records))
    counted(scrape, "grants_total", Counter(("points", grant.campaign) for grant in grants), "reward={}", "campaign={}")
    denied = [json.loads(record.value or b"") for record in installation.read(DENIED)]
    counted(scrape, "denials_total", Counter((d["reason"], d["campaign"]) for d in denied), "reason={}", "campaign={}")
    assert check_delivered(installation, grants) == 0
    owed = Counter((d["campaign"],) for d in denied if "limit" in d) + Counter((grant.campaign,) for grant in grants)
    counted(scrape, "candidates_total", owed, "campaign={}")
    for document in yaml.safe_load_all(DOCUMENTS.read_text()):
        if document["kind"] == "campaign":
            spent = float(sum(grant.points for grant in grants if grant.campaign == document["id"]))
            assert scrape.value("budget_limit", campaign=document["id"]) == document["reward"]["points"]["budget"]["campaign"]
            assert scrape.value("budget_spent", campaign=document["id"]) == pytest.approx(spent, abs=1e-6)
            if spent:
                assert scrape.value("granted_amount_total", campaign=document["id"]) == pytest.approx(spent, abs=1e-6)
    for name in (
        "table_errors_total",
        "table_regressions_total",
        "misplaced_records_total",
        "void_records_total",
        "invariant_violations_total",
    ):
        assert not any(scrape.all(name).values()), scrape.all(name)
    assert worker.stop() == 0


def check_contract(scrape: Scrape) -> None:
    """Object where a name, a type or a label is not as promised, or one is there that is not."""
    promised = {f"livepromo_{name}": (kind, frozenset(labels)) for name, (kind, labels) in contract().items()}
    assert scrape.kinds == {name: kind for name, (kind, _) in promised.items()}
    for name, found in scrape.labels.items():
        assert found <= {promised[name][1]}, name
    for name, values in KNOWN.items():
        series = scrape.all(name) or scrape.all(f"{name}_count")
        assert {next(iter(labels)).partition("=")[2] for labels in series} == values, name


def settled(scrape: Scrape, grants: int) -> bool:
    """Say whether the gauges, which are set now and then, show the end."""
    states = {next(iter(labels)).partition("=")[2]: count for labels, count in scrape.all("campaigns").items()}
    lag = scrape.all("lag_records")
    return (
        states["paused"] == 1
        and sum(states.values()) == 12
        and len(lag) == 24
        and not any(lag.values())
        and not any(scrape.all("lag_seconds").values())
        and len(scrape.all("budget_spent")) == 12
        and abs(sum(scrape.all("budget_spent").values()) - sum(scrape.all("granted_amount_total").values())) < 1e-6
        and scrape.value("event_to_grant_seconds_count") == grants
        and scrape.value("catalogue_position") == 2
    )


def check_records(scrape: Scrape, installation: Installation, sent: int) -> None:
    """Object unless every record is counted once, and what is put aside by its reason."""
    outcomes = {outcome: scrape.value("records_total", outcome=outcome) for outcome in KNOWN["records_total"]}
    assert sum(outcomes.values()) == sent == sum(installation.kafka.ends(installation.events))
    assert outcomes["dead"] == 3
    assert outcomes["ignored"] == 2
    assert outcomes["repeat"] > 0.03 * sent
    for reason in KNOWN["dead_letters_total"]:
        assert scrape.value("dead_letters_total", reason=reason) == (reason in {"not_json", "wrong_type", "bad_time"}), reason
    read = installation.read(installation.events)
    assert scrape.value("record_bytes_total") == sum(len(record.value or b"") for record in read)
    assert scrape.value("slice_records_sum", stage="match") == sent
    for stage in STAGES:
        assert scrape.value("partitions_assigned", stage=stage) == 8
        assert scrape.value("rebalances_total", stage=stage) >= 1
        assert scrape.value("stage_cpu_seconds_total", stage=stage) > 0
        assert scrape.value("slice_seconds_count", stage=stage) == scrape.value("slice_records_count", stage=stage) > 0
        assert scrape.value("takeover_seconds_count", stage=stage) > 0
    newest: dict[int, int] = {}
    for record in read:
        if record.value and record.value not in {b"?", b'{"user": 5}', b'{"type": "page"}'}:
            ts = json.loads(record.value)["ts"]
            newest[record.partition] = max(newest.get(record.partition, 0), ts)
    for partition, ts in newest.items():
        assert scrape.value("stream_time_timestamp_seconds", partition=partition) == pytest.approx(ts / 1000)
    for name in ("state_append_seconds", "ledger_append_seconds", "loop_lag_seconds"):
        assert scrape.value(f"{name}_count") > 0 < scrape.value(f"{name}_sum"), name
    for call in ("read", "write"):
        assert scrape.value("table_seconds_count", call=call) > 0


def counted(scrape: Scrape, name: str, expected: Counter[tuple[str, ...]], *labels: str) -> None:
    """Object unless a counter by campaign says what was recounted."""
    wanted = {frozenset(text.format(value) for text, value in zip(labels, key, strict=True)): count for key, count in expected.items()}
    assert {labels: count for labels, count in scrape.all(name).items() if count} == wanted, name
