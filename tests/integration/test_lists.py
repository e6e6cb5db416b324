"""Lists by the commands that operators use, on real servers: imported, replaced, counted, sent to; and look-backs that reach too far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from livepromo.model.ids import partition_of
from livepromo.sandbox.servers import KafkaCluster, RedisServer
from pools import shown, write
from recount import ledger
from whole import Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

LISTS = "{kind: list, id: vip}\n---\n{kind: wallet, id: grocery}\n"
GIFT = """
kind: campaign
id: gift
qualify: {list: vip}
reward: {points: {wallet: grocery, earn: {flat: 5}}}
"""
REGULARS = "{kind: segment, id: regulars, who: {did: {event: Paid, within: 180d}}}"


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, clock="ticks")
    installation.cli("apply", write(installation, "lists.yaml", LISTS), "--no-wait")
    yield installation
    installation.close()


def put(installation: Installation, *users: str, replace: bool = False, code: int = 0) -> dict[str, object]:
    """Import users and return what the command says of them."""
    file = write(installation, "users.txt", "\n".join(users))
    done = installation.cli("users", "import", "list/vip", file, "--json", *(["--replace"] if replace else []), code=code)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def counts(added: int, unchanged: int = 0, removed: int = 0, invalid: int = 0) -> dict[str, object]:
    return {"list": "list/vip", "added": added, "unchanged": unchanged, "removed": removed, "invalid": invalid}


def test_users_are_imported_into_their_own_partitions_and_replaced_before_any_worker_ran(installation: Installation) -> None:
    assert put(installation, "anna", "", "bob", "carla") == counts(3, invalid=1)
    assert put(installation, "anna", "bob", "carla") == counts(3), "the same file again does no harm"
    records = installation.kafka.read(installation.events)
    partitions = len(installation.kafka.partitions(installation.events))
    for record in records:
        said = json.loads(record.value or b"")
        assert (said["type"], said["segment"], said["member"]) == ("segment", "list/vip", True)
        assert record.key == said["user"].encode()
        assert record.partition == partition_of(said["user"], partitions)
    assert put(installation, "anna", "david", replace=True) == counts(1, unchanged=1, removed=2)
    assert put(installation, "anna", "david", replace=True) == counts(0, unchanged=2)
    assert put(installation, " ", replace=True, code=1) == counts(0, invalid=1)


def test_what_cannot_be_imported_is_refused(installation: Installation) -> None:
    file = write(installation, "users.txt", "anna")
    refused = installation.cli("users", "import", "list/vipp", file, code=1)
    assert b'there is no list "list/vipp": did you mean list/vip?' in refused.stderr
    installation.environ["LIVEPROMO_FORMAT"] = "clevertap"
    refused = installation.cli("users", "import", "list/vip", file, code=2)
    assert b"of the format clevertap, which has no memberships" in refused.stderr


def test_a_list_campaign_is_sent_to_whoever_is_on_the_list_and_is_over_then(installation: Installation) -> None:
    installation.worker()
    put(installation, "anna", "bob", "carla", "david")
    installation.until_done(60)
    assert put(installation, "anna", "bob", "eva", replace=True) == counts(1, unchanged=2, removed=2)
    installation.until_done(60)
    assert shown(installation, "list/vip")["users"] == 3
    installation.cli("apply", write(installation, "gift.yaml", GIFT))
    until(lambda: shown(installation, "campaign/gift")["state"] == "ended", 60, "it has been sent")
    installation.until_done(60)
    assert sorted(grant.said["user"] for grant in ledger(installation)) == ["anna", "bob", "eva"]
    revised = write(installation, "gift.yaml", GIFT.replace("flat: 5", "flat: 6"))
    assert b"(R12)" in installation.cli("apply", revised, code=1).stderr


def test_a_look_back_further_than_the_topic_is_refused_unless_it_is_accepted(installation: Installation) -> None:
    file = write(installation, "regulars.yaml", REGULARS)
    refused = installation.cli("apply", file, "--no-wait", code=1).stderr.decode()
    assert "$.who.did.within: the look-back reaches to" in refused
    assert "it would be true from" in refused
    assert "(R6)" in refused
    accepted = installation.cli("apply", file, "--no-wait", "--accept-short-history").stderr.decode()
    assert "warning: the look-back reaches to" in accepted
    assert "segment/regulars: published revision 1" in accepted
    week = write(installation, "week.yaml", REGULARS.replace("180d", "7d").replace("regulars", "week"))
    installation.cli("apply", week, "--no-wait")
