"""The topics that an installation has are those of the specification, and those that are there are judged by what must hold."""

from __future__ import annotations

import pytest

from livepromo.settings import Settings
from livepromo.streaming.topics import TopicDescription
from livepromo.worker.topics import specs

DAY_MS = 86_400_000
SAFE = {"unclean.leader.election.enable": "false"}


def by_name(settings: Settings, *there: TopicDescription) -> dict[str, tuple[int | None, dict[str, str]]]:
    return {spec.name: (spec.partitions, dict(spec.config)) for spec in specs(settings, {topic.name: topic for topic in there})}


def a_topic(name: str, partitions: int = 8, replicas: int = 1, **config: str) -> TopicDescription:
    return TopicDescription(name, partitions, replicas, {key.replace("_", "."): value for key, value in config.items()})


def test_on_an_empty_cluster_all_topics_of_the_table_are_made_as_it_says() -> None:
    forever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    deleted = {"cleanup.policy": "delete"}
    brokers = {"message.timestamp.type": "LogAppendTime"}
    two_mib = {"max.message.bytes": str(2 * 1024 * 1024)}

    def days(count: int) -> dict[str, str]:
        return {"retention.ms": str(count * DAY_MS)}

    assert by_name(Settings()) == {
        "events": (8, SAFE | deleted | brokers | days(7)),
        "livepromo.catalogue": (1, SAFE | forever | brokers | {"max.message.bytes": str(8 * 1024 * 1024)}),
        "livepromo.state": (8, SAFE | {"cleanup.policy": "compact"} | brokers | two_mib),
        "livepromo.candidates": (8, SAFE | deleted | two_mib | days(14)),
        "livepromo.ledger": (8, SAFE | forever | two_mib),
        "livepromo.codes": (8, SAFE | forever | two_mib),
        "livepromo.webhooks": (8, SAFE | deleted | days(7)),
        "livepromo.webhooks.dead-letters": (8, SAFE | deleted | days(7)),
        "reward-granted": (8, SAFE | days(7)),
        "reward-denied": (8, SAFE | days(7)),
        "livepromo.dead-letters": (1, SAFE | deleted | days(30) | {"max.message.bytes": str(1_048_588 + 65_536)}),
    }


def test_names_follow_the_settings() -> None:
    names = set(by_name(Settings(namespace="shop", events="clicks")))
    assert {"clicks", "shop.catalogue", "shop.state", "reward-granted"} <= names
    assert not [name for name in names if name.startswith("livepromo")]


def test_state_has_as_many_partitions_as_events_and_the_ledger_as_many_as_candidates() -> None:
    found = by_name(Settings(), a_topic("events", 12), a_topic("livepromo.candidates", 3))
    assert found["livepromo.state"][0] == 12
    assert {found[f"livepromo.{name}"][0] for name in ("ledger", "codes", "webhooks", "webhooks.dead-letters")} == {3}
    assert found["events"][0] is None
    assert found["livepromo.candidates"][0] is None


def test_topics_that_must_match_in_number_are_compared_and_the_free_ones_are_not() -> None:
    found = by_name(Settings(), a_topic("livepromo.state", 4), a_topic("livepromo.catalogue", 2), a_topic("reward-granted", 30))
    assert found["livepromo.state"][0] == 8
    assert found["livepromo.catalogue"][0] == 1
    assert found["reward-granted"][0] is None


def test_of_events_that_are_there_only_what_must_hold_is_compared() -> None:
    found = by_name(Settings(), a_topic("events"))
    assert found["events"][1] == {"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime"}


def test_a_producers_time_may_be_trusted_but_new_topics_get_the_brokers() -> None:
    trusting = Settings(trust_producer_time=True)
    assert "message.timestamp.type" not in by_name(trusting, a_topic("events"))["events"][1]
    assert by_name(trusting)["events"][1]["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize(("has", "compared"), [("2097151", True), ("2097152", False), ("9000000", False)])
def test_a_limit_that_is_larger_than_needed_fits(has: str, *, compared: bool) -> None:
    assert (
        "max.message.bytes" in by_name(Settings(), a_topic("livepromo.ledger", max_message_bytes=has))["livepromo.ledger"][1]
    ) == compared


def test_dead_letters_take_what_events_take_and_64_kib_more() -> None:
    found = by_name(Settings(), a_topic("events", max_message_bytes="5000000"))
    assert found["livepromo.dead-letters"][1]["max.message.bytes"] == str(5_000_000 + 65_536)


@pytest.mark.parametrize(("replicas", "in_sync", "compared"), [(3, "1", True), (3, "2", False), (1, "1", False)])
def test_with_three_replicas_two_must_be_in_sync(replicas: int, in_sync: str, *, compared: bool) -> None:
    found = by_name(Settings(), a_topic("livepromo.ledger", replicas=replicas, min_insync_replicas=in_sync))
    assert (found["livepromo.ledger"][1].get("min.insync.replicas") == "2") == compared
