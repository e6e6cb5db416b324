"""The commands on real servers: what is published, shown, paused, written down, compared and rebuilt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from livepromo.cli.errors import Ending, ending
from livepromo.documents.catalogue import Catalogue, Publication, publication_of
from livepromo.documents.files import read_files
from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from livepromo.settings import load
from livepromo.worker.publishing_changes import VoidError, publish
from whole import GRANTED, In, Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

DOCUMENTS = """
kind: wallet
id: grocery
decimals: 1
---
kind: campaign
id: cart
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {flat: 10.5}, recurrence: {total: 3}, budget: {campaign: 1000.5}}}
---
kind: campaign
id: little
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {flat: 1}, recurrence: {total: 3}, budget: {campaign: 20}}}
"""
T0 = 1_767_225_600_000


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(kafka.bootstrap, redis_server.url, name, tmp_path)
    yield made
    made.close()


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "documents.yaml"
    path.write_text(DOCUMENTS.replace("---\nkind: campaign", "---\nkind: campaign\nwhen: {start: 2025-01-01T00:00:00Z}"))
    return path


def bought(*numbers: int) -> list[In]:
    """Return an event for each number, of 40 users."""
    made = []
    for n in numbers:
        record = {"id": f"e{n}", "user": f"u{n % 40}", "event": "Bought", "ts": T0 + n}
        made.append(In(f"u{n % 40}", json.dumps(record).encode()))
    return made


def shown(installation: Installation, *words: str) -> dict[str, dict[str, Any]]:
    return {f"{one['kind']}/{one['id']}": one for one in json.loads(installation.cli("get", *words, "--json").stdout)}


def said(installation: Installation, *words: str | Path, code: int = 0) -> str:
    return installation.cli(*words, code=code).stderr.decode()


def granted(installation: Installation) -> Counter[tuple[str, bytes]]:
    """Return how often each grant was published: its id and its bytes."""
    found: Counter[tuple[str, bytes]] = Counter()
    for record in installation.read(GRANTED):
        assert record.value is not None
        body = json.loads(record.value)
        if body["campaign"] in {"cart", "little"} and body["user"].startswith("u"):
            found[body["grant_id"], record.value] += 1
    return found


def simulated(installation: Installation, tmp_path: Path) -> set[bytes]:
    """Return the grants that the logs of all partitions make again, as they would be published."""
    out = tmp_path / "simulated.jsonl"
    installation.cli("simulate", "--log", *installation.logs(), "--out", out)
    return {line[len(b'{"grant":') : -1] for line in out.read_bytes().splitlines() if line.startswith(b'{"grant":')}


def test_the_commands_one_after_another(installation: Installation, documents: Path, redis_server: RedisServer, tmp_path: Path) -> None:
    assert "Redis" not in said(installation, "get")
    assert said(installation, "pause", "cart", code=1).startswith('livepromo: there is no campaign "cart"')
    worker = installation.worker()
    lines = said(installation, "apply", documents, "--by", "anna").splitlines()
    assert lines == [f"{key}: published revision 1" for key in ("campaign/cart", "campaign/little", "wallet/grocery")]
    assert said(installation, "apply", documents) == "nothing changed: all of it is published already\n"

    installation.send(bought(*range(30)))
    installation.until_done()
    found = shown(installation)
    assert [(one["state"], one["budget"], one["spent"], one["left"]) for one in found.values()] == [
        ("running", 1000.5, 315, 685.5),
        ("exhausted", 20, 20, 0),
        ("active", None, None, None),
    ]
    assert found["campaign/cart"]["by"] == "anna"
    assert found["campaign/cart"]["document"]["reward"]["wallet"] == "grocery"
    table = installation.cli("get", "campaign").stdout.decode().splitlines()
    assert table[0].split() == ["document", "state", "revision", "budget", "spent", "left"]
    assert table[1].split() == ["campaign/cart", "running", "1", "1000.5", "315", "685.5"]
    assert said(installation, "get", "campaign", "crat", code=1) == 'livepromo: there is no campaign "crat": did you mean cart?\n'

    assert said(installation, "pause", "cart", "--by", "berta") == "campaign/cart: paused\n"  # taken by all, so nothing else is said
    assert said(installation, "pause", "cart") == "campaign/cart: nothing changed, it is paused already\n"
    assert shown(installation, "campaign", "cart")["campaign/cart"]["state"] == "paused"
    installation.send(bought(*range(30, 50)))
    installation.until_done()
    assert shown(installation, "campaign/cart")["campaign/cart"]["spent"] == 315
    assert said(installation, "resume", "cart") == "campaign/cart: resumed\n"
    assert said(installation, "resume", "cart") == "campaign/cart: nothing changed, it is not paused\n"
    installation.send(bought(*range(50, 60)))
    installation.until_done()
    assert shown(installation)["campaign/cart"]["spent"] == 420
    assert said(installation, "stop", "little") == "campaign/little: stopped\n"
    assert "which is final" in said(installation, "resume", "little", code=1)
    documents.write_text(documents.read_text().replace("flat: 1}", "flat: 2}"))
    assert "$.id: the campaign was stopped" in said(installation, "apply", documents, code=1)

    history = json.loads(installation.cli("history", "--json").stdout)
    assert [(row["document"], row["what"], row["void"]) for row in history][3:] == [
        ("campaign/cart", "paused", False),
        ("campaign/cart", "resumed", False),
        ("campaign/little", "stopped", False),
    ]
    assert [row["by"] for row in history[:4]] == ["anna", "anna", "anna", "berta"]
    lines = installation.cli("history", "campaign/cart").stdout.decode().splitlines()
    assert [line.split()[3:] for line in lines[1:]] == [["published", "revision", "1"], ["paused"], ["resumed"]]
    assert "did you mean campaign/cart?" in said(installation, "history", "campaign/crat", code=1)

    grants = granted(installation)
    assert set(grants.values()) == {1}
    assert len(grants) == 40 + 20
    # Of `little`, whose budget is shared by all partitions, which users got the last of it depends on the order; how many does not.
    mine, theirs = {body for _, body in grants}, simulated(installation, tmp_path)
    assert {body for body in mine if b'"campaign":"cart"' in body} == {body for body in theirs if b'"campaign":"cart"' in body}
    assert len(mine) == len(theirs)
    installation.cli("log", "8", "--out", tmp_path / "x", code=2)
    zipped = tmp_path / "log.jsonl.gz"
    assert "control entries, " in said(installation, "log", "0", "--out", zipped)
    installation.cli("simulate", "--log", zipped)
    assert worker.stop() == 0
    check_the_ledger(installation, redis_server)


def check_the_ledger(installation: Installation, redis_server: RedisServer) -> None:
    """Verify, lose Redis, rebuild, break a row, and let workers go on."""
    assert installation.cli("ledger", "verify").stdout.decode().splitlines()[0].startswith("partition  grants  rows")
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        assert "redis holds nothing of 40 grants; a worker fills it" in said(installation, "ledger", "verify")
        assert shown(installation)["campaign/cart"]["spent"] is None
        assert "60 grants of 8 partitions" in said(installation, "ledger", "rebuild")
        installation.cli("ledger", "verify")
        assert shown(installation)["campaign/cart"]["spent"] == 420
        row = next(key for key in client.scan_iter(count=1000) if key.endswith(b"/cart/u5"))
        client.set(row, client.get(row).replace(b"total\x01", b"total\x02"))  # type: ignore[union-attr]
        broken = said(installation, "ledger", "verify", code=3)
        assert "cart/u5, total: the ledger says 1, redis holds 2" in broken
        assert "60 grants of 8 partitions" in said(installation, "ledger", "rebuild")
        installation.cli("ledger", "verify")
        worker = installation.worker()
        installation.send(bought(*range(60, 70)))
        installation.until_done()
        client.flushall()
        installation.send(bought(*range(70, 110)))  # the worker finds Redis empty, and fills it from the ledger
        installation.until_done()
    assert shown(installation)["campaign/cart"]["spent"] == 945
    installation.cli("ledger", "verify")
    assert said(installation, "ledger", "rebuild").startswith(f"{installation.name}.ledger: 110 grants")
    installation.send(bought(*range(110, 112)))
    assert worker.wait() != 0  # fenced: somebody else claimed its ledger
    again = installation.worker()
    # What the group committed says little here: the worker that ended did not come to it.
    until(lambda: len(granted(installation)) == 112, 60, "the next worker goes on where that one stood")
    installation.cli("ledger", "verify")
    assert shown(installation)["campaign/cart"]["spent"] == 966
    assert again.stop() == 0


def test_without_a_worker_the_partitions_that_have_not_taken_it_are_named(installation: Installation, documents: Path) -> None:
    found = said(installation, "apply", documents).splitlines()
    assert found[-1] == (
        f"published, but partitions 0, 1, 2, 3, 4, 5, 6, 7 of {installation.events} have not taken it yet: does no worker run?"
    )
    assert said(installation, "pause", "cart", "--no-wait") == "campaign/cart: paused\n"
    assert said(installation, "ledger", "verify") == ""
    assert "0 records up to 0, 0 control entries" in said(installation, "log", "7", "--out", "-")


async def test_who_publishes_what_somebody_else_changed_in_between_is_told_to_look_again(
    installation: Installation, tmp_path: Path
) -> None:
    files = []
    for n in range(3):
        files.append(tmp_path / f"{n}.yaml")
        files[-1].write_text(DOCUMENTS.replace("flat: 10.5", f"flat: {n + 1}"))
    installation.cli("apply", files[0], "--no-wait")
    read, _ = read_files([files[1]], "UTC")

    def overtaken(catalogue: Catalogue) -> Publication | None:
        publication = publication_of(read, catalogue, "late")
        installation.cli("apply", files[2], "--no-wait")  # after the look at the catalogue, before the append
        return publication

    with pytest.raises(VoidError, match="published in between: look again") as refused:
        await publish(load(installation.environ), overtaken)
    assert ending(refused.value) == Ending(1)
    history = json.loads(installation.cli("history", "campaign/cart", "--json").stdout)
    assert [(row["revision"], row["void"]) for row in history if not row["void"]] == [(1, False), (2, False)]
    assert [row["by"] for row in history if row["void"]] == ["late"]
    assert shown(installation)["campaign/cart"]["revision"] == 2
    assert "(void)" in installation.cli("history").stdout.decode()


def test_where_redis_is_away_get_shows_what_kafka_knows(installation: Installation, documents: Path) -> None:
    installation.cli("apply", documents, "--no-wait")
    (port,) = free_ports(1)
    installation.environ["LIVEPROMO_REDIS"] = f"redis://127.0.0.1:{port}/0"
    done = installation.cli("get", "campaign", "cart", "--json")
    assert f"redis at redis://127.0.0.1:{port}/0 cannot be asked what was spent" in done.stderr.decode()
    (one,) = json.loads(done.stdout)
    assert (one["state"], one["budget"], one["spent"], one["left"]) == ("running", 1000.5, None, None)
    installation.cli("ledger", "verify", code=3)
    installation.cli("ledger", "rebuild", code=3)


def test_commands_before_init_say_what_to_do(kafka: KafkaCluster, installation: Installation, documents: Path) -> None:
    installation.environ["LIVEPROMO_NAMESPACE"] = f"{installation.name}-not-made"
    for words in (["apply", str(documents)], ["get"], ["history"], ["pause", "x"], ["log", "0", "--out", "-"], ["ledger", "verify"]):
        assert said(installation, *words, code=3).endswith(": run livepromo init\n"), kafka.bootstrap
