"""What operators look into on real servers: dead letters, one user, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AdminClient

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from whole import In, Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

T0 = 1_767_225_600_000
DOCUMENTS = """
kind: wallet
id: grocery
decimals: 1
---
kind: campaign
id: cart
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Bought, where: [{property: Amount, op: gte, value: 10}]}}
reward: {points: {wallet: grocery, earn: {flat: 10.5}, recurrence: {day: 2}, budget: {campaign: 1000.5}}}
"""


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka.bootstrap, redis_server.url, name, tmp_path, partitions=2)
    yield made
    made.close()


def record(user: str, **fields: Any) -> In:
    return In(user, json.dumps({"user": user, "ts": T0, **fields}).encode())


def bought(user: str, number: int, **properties: Any) -> In:
    return record(user, id=f"e{number}", event="Bought", ts=T0 + number, properties=properties)


def apply(installation: Installation, tmp_path: Path, documents: str = DOCUMENTS) -> None:
    (tmp_path / "documents.yaml").write_text(documents)
    installation.cli("apply", tmp_path / "documents.yaml")


def said(installation: Installation, *words: str | Path, code: int = 0) -> str:
    return installation.cli(*words, code=code).stderr.decode()


def test_dead_letters_are_listed_and_sent_again(installation: Installation, tmp_path: Path) -> None:
    worker = installation.worker()
    apply(installation, tmp_path)
    wrong = [In("u1", b"{"), record("u2", event="Bought", ts="soon"), In("u3", b"[1]")]
    installation.send([*wrong, bought("u1", 1, Amount=20)])
    installation.until_done()
    listed = json.loads(installation.cli("dead-letters", "list", "--json").stdout)
    assert sorted(one["reason"] for one in listed) == ["bad_time", "not_json", "wrong_type"]
    assert {one["topic"] for one in listed} == {installation.events}
    assert not any("key" in one or "value" in one for one in listed)
    (one,) = json.loads(installation.cli("dead-letters", "list", "--reason", "not_json", "--since", "1h", "--show", "--json").stdout)
    assert (one["key"], one["value"], one["size"]) == ("u1", "{", 3)
    table = installation.cli("dead-letters", "list").stdout.decode()
    assert "bad_time" in table
    assert "soon" not in table
    assert "no dead letters are chosen" in said(installation, "dead-letters", "list", "--since", "2100-01-01T00:00Z")
    assert "there are not_json, not_unicode" in said(installation, "dead-letters", "list", "--reason", "nonsense", code=2)

    before = installation.kafka.read(installation.events)
    assert said(installation, "dead-letters", "replay", "--reason", "not_json", "--reason", "wrong_type").startswith(
        "2 dead letters sent to"
    )
    after = installation.kafka.read(installation.events)
    again = [(one.key, one.value) for one in after if one not in before]
    assert sorted(again, key=str) == sorted([(b"u1", b"{"), (b"u3", b"[1]")], key=str)
    installation.until_done()
    assert len(json.loads(installation.cli("dead-letters", "list", "--json").stdout)) == 5  # what is still wrong is put aside again
    assert worker.stop() == 0


RESCUE = """---
kind: campaign
id: rescue
when: {start: 2025-01-01T00:00:00Z}
qualify: {live: {event: Added, unless: {event: Bought, within: 30m}}}
who: {property: plan, op: eq, value: gold}
reward: {points: {wallet: grocery, earn: {flat: 1}}}
"""


def explained(installation: Installation, *words: str) -> dict[str, Any]:
    return json.loads(installation.cli("explain", *words, "--json").stdout)  # type: ignore[no-any-return]


def asked(found: dict[str, Any], campaign: str = "cart") -> dict[str, Any]:
    (one,) = (one for one in found["event"]["campaigns"] if one["campaign"] == campaign and one["role"] == "trigger")
    return one  # type: ignore[no-any-return]


def test_a_user_is_explained_with_what_each_event_earned(installation: Installation, tmp_path: Path) -> None:
    worker = installation.worker()  # "ann" is of this test alone: reward-denied is of the whole cluster
    apply(installation, tmp_path, DOCUMENTS + RESCUE)
    installation.send(
        [
            record("ann", type="profile", properties={"plan": "gold", "email": "a@example.org"}),
            record("ann", type="segment", segment="loyal", member=True),
            *(bought("ann", n, Amount=20) for n in range(1, 4)),
            bought("ann", 2, Amount=20),
            bought("ann", 4, Amount=9),
            In("ann", json.dumps({"user": "ann", "event": "Bought", "id": "old", "ts": T0 - 100_000_000}).encode()),
            record("ann", id="a1", event="Added", ts=T0 + 10),
            bought("u2", 5, Amount=20),
        ]
    )
    installation.until_done()
    found = explained(installation, "--user", "ann")
    assert found["known"]
    assert (found["properties"], found["segments"]) == ({"plan": "gold", "email": "a@example.org"}, ["loyal"])
    assert [grant["cause"]["event_id"] for grant in found["grants"]] == ["e1", "e2"]
    assert [(one["reason"], one["cause"]["event_id"]) for one in found["denials"]] == [("user_day", "e3")]
    assert [(one["campaign"], one["event_id"], one["deadline_ms"]) for one in found["windows"]] == [("rescue", "a1", T0 + 10 + 1_800_000)]
    used = {(one["campaign"], one["slot"].partition(":")[0]): (one["period"], one["used"]) for one in found["counters"] if one["used"]}
    assert used["cart", "day"] == ("2026-01-01", 2)
    assert used["cart", "week"] == ("week of 2025-12-29", 2)
    assert used["cart", "month"] == ("2026-01", 2)
    assert used["cart", "amount"] == (None, 21)
    assert not explained(installation, "--user", "nobody")["known"]
    assert explained(installation, "--user", "ann", "--campaign", "rescue")["grants"] == []

    table = installation.cli("explain", "--user", "ann", "--campaign", "cart").stdout.decode()
    assert "10.5 points of grocery" in table
    assert "did Bought e3" in table

    granted = explained(installation, "--user", "ann", "--event", "e2")
    assert asked(granted)["grant"]["grant_id"] == found["grants"][1]["grant_id"]
    assert len(granted["event"]["repeats"]) == 1
    assert asked(explained(installation, "--user", "ann", "--event", "e3"))["denial"]["reason"] == "user_day"
    refused = asked(explained(installation, "--user", "ann", "--event", "e4"))
    assert [(one["path"], one["saw"]) for one in refused["asked"] if one["holds"] is False] == [("$.qualify.live.where[0]", "9")]
    assert "nothing came of it: Amount gte 10, but saw 9" in installation.cli("explain", "--user", "ann", "--event", "e4").stdout.decode()
    late = installation.cli("explain", "--user", "ann", "--event", "old").stdout.decode()
    assert "it was put aside as a dead letter, too_old" in late
    window = asked(explained(installation, "--user", "ann", "--event", "a1"), "rescue")
    assert window["window"]["fires_ms"] == T0 + 10 + 1_805_000
    assert 'there is no event "e5" of user "ann"' in said(installation, "explain", "--user", "ann", "--event", "e5", code=1)
    assert "did you mean cart?" in said(installation, "explain", "--user", "ann", "--campaign", "crat", code=1)
    assert worker.stop() == 0
    installation.send([bought("ann", 6, Amount=20)])
    assert "it has not been matched yet" in installation.cli("explain", "--user", "ann", "--event", "e6").stdout.decode()


def test_an_erased_user_is_forgotten_and_a_redis_that_is_filled_again_does_not_know_better(
    installation: Installation, redis_server: RedisServer, tmp_path: Path
) -> None:
    worker = installation.worker()
    apply(installation, tmp_path, DOCUMENTS + RESCUE)
    installation.send(
        [
            record("u1", type="profile", properties={"plan": "gold"}),
            *(bought("u1", n, Amount=20) for n in range(1, 4)),
            record("u1", id="a1", event="Added", ts=T0 + 10),
            bought("u2", 9, Amount=20),
        ]
    )
    installation.until_done()
    installation.send([record("u1", type="erase", ts=T0 + 20)])
    installation.until_done()
    found = explained(installation, "--user", "u1")
    assert (found["known"], found["properties"], found["windows"]) == (False, {}, [])
    assert [one["used"] for one in found["counters"] if one["used"]] == []
    assert len(found["grants"]) == 2  # the ledger is never rewritten
    with redis.Redis.from_url(redis_server.url) as client:
        mine = [key for key in client.scan_iter(f"{{{installation.name}.*", count=1000) if key.endswith(b"/u1")]
        assert mine == []
        installation.cli("ledger", "verify")
        client.flushall()
    installation.cli("ledger", "rebuild")
    installation.cli("ledger", "verify")
    assert [one["used"] for one in explained(installation, "--user", "u1")["counters"] if one["used"]] == []
    assert [one["used"] for one in explained(installation, "--user", "u2")["counters"] if one["used"]] != []
    worker.wait()  # fenced by the rebuilding

    worker = installation.worker()
    installation.send([bought("u1", n, Amount=20) for n in range(11, 14)])
    installation.until_done()
    found = explained(installation, "--user", "u1")
    assert [grant["cause"]["event_id"] for grant in found["grants"]] == ["e1", "e2", "e11", "e12"]  # two a day, anew
    assert json.loads(installation.cli("get", "campaign", "cart", "--json").stdout)[0]["spent"] == 5 * 10.5
    installation.cli("ledger", "verify")
    simulated = tmp_path / "simulated.jsonl"
    installation.cli("simulate", "--log", *installation.logs(), "--out", simulated)
    assert sum(line.startswith(b'{"grant"') for line in simulated.read_bytes().splitlines()) == 5
    assert explained(installation, "--user", "u2")["known"]
    assert "what remains: grants in the ledger" in said(installation, "erase", "--user", "u2")
    installation.until_done()
    assert not explained(installation, "--user", "u2")["known"]
    assert worker.stop() == 0


def test_a_state_that_is_lost_is_made_anew_and_nothing_is_given_twice(installation: Installation, tmp_path: Path) -> None:
    worker = installation.worker()
    apply(installation, tmp_path, DOCUMENTS + RESCUE)
    assert "workers run" in said(installation, "state", "rebuild", code=3)
    users = [f"u{n}" for n in range(6)]
    installation.send([record(user, type="profile", properties={"plan": "gold"}) for user in users])
    installation.send([bought(user, n, Amount=20) for n, user in enumerate(users)])
    installation.send([record(user, id=f"a-{user}", event="Added", ts=T0 + 20) for user in users[:4]])
    installation.send([record("u0", type="erase", ts=T0 + 30), bought("u1", 100, Amount=20)])
    installation.until_done()
    before = {user: explained(installation, "--user", user) for user in users}
    assert worker.stop() == 0
    admin = AdminClient({"bootstrap.servers": installation.bootstrap})
    admin.delete_topics([installation.topic("state")])[installation.topic("state")].result(20)
    until(lambda: installation.topic("state") not in admin.list_topics(timeout=10).topics, 20, "the topic is gone")
    installation.cli("init")
    refused = installation.worker()
    assert refused.wait() == 3
    assert "run livepromo state rebuild" in refused.said()

    assert "2 partitions rebuilt; workers may start" in said(installation, "state", "rebuild")
    after = {user: explained(installation, "--user", user) for user in users}
    for user in users:
        for what in ("known", "properties", "windows", "grants", "matched_to"):
            assert after[user][what] == before[user][what], (user, what)
    said(installation, "state", "rebuild")  # twice is as once
    worker = installation.worker()
    installation.send([bought("u1", 100, Amount=20), *(record(user, id=f"late-{user}", event="Seen", ts=T0 + 2_000_000) for user in users)])
    installation.until_done()
    grants = [grant for user in users for grant in explained(installation, "--user", user)["grants"]]
    assert len({grant["grant_id"] for grant in grants}) == len(grants)
    assert sorted(grant["user"] for grant in grants if grant["campaign"] == "rescue") == ["u2", "u3"]  # u0 was erased, u1 bought
    assert sum(grant["campaign"] == "cart" for grant in grants) == 6 + 1
    assert worker.stop() == 0
