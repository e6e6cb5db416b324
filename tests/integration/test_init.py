"""`livepromo init` on a real broker: it makes what is missing, twice is once, and what does not fit is refused with what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from livepromo.sandbox.servers import KafkaCluster, free_ports
from livepromo.settings import Settings
from livepromo.streaming.connecting import Connection
from livepromo.streaming.errors import DoesNotFitError, MissingTopicError
from livepromo.streaming.topics import describe
from livepromo.worker.topics import fitting, make, specs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.xdist_group("init")]


def livepromo(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {f"LIVEPROMO_{name.upper()}": value for name, value in settings.items()} | {"PATH": "/usr/bin:/bin"}
    return subprocess.run([Path(sys.prefix, "bin", "livepromo"), *words], capture_output=True, text=True, env=environment, timeout=60)


def test_init_makes_what_is_missing_and_twice_is_once(kafka: KafkaCluster, name: str) -> None:
    settings = {"kafka": kafka.bootstrap, "namespace": name, "events": f"{name}-events"}
    would = livepromo("init", "--dry-run", **settings)
    assert would.returncode == 0
    assert f"{name}.ledger: would be made" in would.stderr
    first = livepromo("init", **settings)
    assert first.returncode == 0
    assert f"{name}.ledger: made" in first.stderr
    again = livepromo("init", **settings)
    assert again.returncode == 0
    assert f"{name}.ledger: there, as it should be" in again.stderr
    assert "made" not in again.stderr
    assert first.stdout == ""


async def test_documents_cannot_be_judged_against_a_catalogue_that_is_not_there_and_asking_makes_none(
    kafka: KafkaCluster, name: str, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text("{kind: wallet, id: w}")
    asked = livepromo("check", "--published", str(tmp_path), kafka=kafka.bootstrap, namespace=name)
    assert asked.returncode == 3
    assert asked.stderr.endswith(f"has no topic {name}.catalogue: run livepromo init\n")
    assert await describe(Connection(servers=kafka.bootstrap), [f"{name}.catalogue"]) == {}


async def test_what_was_made_is_what_the_specification_says(kafka: KafkaCluster, name: str) -> None:
    settings = Settings(kafka=kafka.bootstrap, namespace=name, events=f"{name}-events")
    with pytest.raises(MissingTopicError, match=r"run livepromo init"):
        await fitting(settings)
    await make(settings)
    wanted = specs(settings, {})
    there = await describe(Connection(servers=kafka.bootstrap), [spec.name for spec in wanted])
    for spec in wanted:
        if not spec.name.startswith("reward-"):  # those are outside the namespace: other tests may have made them
            assert there[spec.name].partitions == spec.partitions
            assert {key: there[spec.name].config[key] for key in spec.config} == spec.config
    assert set(await fitting(settings)) == set(there)


async def test_events_with_the_producers_time_are_refused_unless_it_is_trusted(kafka: KafkaCluster, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(f"{name}-events", 3, 1, topic_configs={"message.timestamp.type": "CreateTime"})])
    await admin.close()
    settings = {"kafka": kafka.bootstrap, "namespace": name, "events": f"{name}-events"}
    refused = livepromo("init", **settings)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-1] == (
        f"livepromo: topic {name}-events message.timestamp.type is CreateTime, not LogAppendTime: "
        "change it with Kafka's own tools, or choose other topics (LIVEPROMO_EVENTS, LIVEPROMO_NAMESPACE)"
    )
    with pytest.raises(DoesNotFitError, match="CreateTime"):
        await fitting(Settings(kafka=kafka.bootstrap, namespace=name, events=f"{name}-events"))
    assert livepromo("init", **settings, trust_producer_time="true").returncode == 0
    there = await describe(Connection(servers=kafka.bootstrap), [f"{name}.state", f"{name}.ledger"])
    assert {topic.name.removeprefix(name): topic.partitions for topic in there.values()} == {".state": 3, ".ledger": 8}


async def test_a_journal_with_another_number_of_partitions_is_refused(kafka: KafkaCluster, name: str) -> None:
    settings = Settings(kafka=kafka.bootstrap, namespace=name, events=f"{name}-events")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(f"{name}.state", 5, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    await make(settings)
    with pytest.raises(DoesNotFitError, match=f"topic {name}.state has 5 partitions, not 8"):
        await fitting(settings)


def test_a_kafka_that_is_not_there_is_one_line_and_exit_3() -> None:
    (port,) = free_ports(1)
    done = livepromo("init", kafka=f"127.0.0.1:{port}")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "LIVEPROMO_KAFKA" in done.stderr
