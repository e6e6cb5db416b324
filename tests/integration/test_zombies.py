"""A worker that was frozen until others had taken over appends nothing any more, and ends; compaction after that loses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from recount import Published, Simulated, check_candidates, check_delivered, check_limits, check_same, ledger
from whole import DATA, In, Installation, Worker, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

DOCUMENTS = DATA / "twelve-campaigns.yaml"
FENCED = "claimed by somebody else: nothing was appended"
TOO_OLD = "should have been renewed long ago"
NTH = 100
CLAIM = re.compile(r"claimed (\S+): producer id (\d+), epoch (\d+)")


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Yield a broker that forgets the names of claims after 8 s."""
    settings = {"transactional.id.expiration.ms": "8000", "transaction.remove.expired.transaction.cleanup.interval.ms": "500"}
    cluster = KafkaCluster(tmp_path_factory.mktemp("forgetful") / "cluster", settings=settings)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


class _Sending:
    """Sends records a few at a time."""

    def __init__(self, installation: Installation, records: Sequence[In]) -> None:
        self._installation, self._records, self._sent = installation, records, 0

    def some(self, count: int = 10) -> None:
        self._sent += self._installation.send(self._records[self._sent : self._sent + count])
        assert self._sent < len(self._records), "the records have run out"

    def rest(self) -> None:
        self._installation.send(self._records[self._sent :])


def claims(worker: Worker) -> dict[str, tuple[int, int]]:
    """Return the newest producer id and epoch that a worker claimed each partition of a journal with."""
    return {topic: (int(number), int(epoch)) for topic, number, epoch in CLAIM.findall(worker.said())}


def frozen_at(installation: Installation, sending: _Sending, step: str) -> Worker:
    """Return a worker that stopped itself at a step when it had come there `NTH` times: it is in the midst of records by then."""
    zombie = installation.worker(failpoints=f"{step}=freeze@{NTH}")

    def stopped() -> bool:
        sending.some()
        return zombie.stands_still

    until(stopped, 60, f"{step} is reached")
    zombie.wait_until_stopped()
    return zombie


def compacted(installation: Installation, sending: _Sending) -> None:
    """Return when the log cleaner has taken the first record of every partition of the state, the marker of the first owner."""
    state = installation.topic("state")

    def cleaned() -> bool:
        sending.some(40)
        firsts: dict[int, int] = {}
        for record in installation.read(state):
            firsts.setdefault(record.partition, record.offset)
        return min(firsts.values()) > 0

    until(cleaned, 60, "the state is compacted")


def zombies_end_and_nothing_is_lost(installation: Installation, said: str, renewals: int = 0) -> tuple[Worker, Worker, Worker]:
    """Freeze two workers, one before an append to `state`, one to `ledger`; return both and the one that took over.

    That one has to renew its claims so often.
    """
    published = Published.of(DOCUMENTS)
    installation.cli("apply", DOCUMENTS, "--no-wait")
    sending = _Sending(installation, year(seed=4, every=8))
    at_state = frozen_at(installation, sending, "match.candidates_appended")
    at_ledger = frozen_at(installation, sending, "decide.denials_sent")
    owner = installation.worker()
    installation.until_done()  # hence by the owner
    ends = {name: installation.kafka.ends(installation.topic(name)) for name in ("state", "ledger")}
    for zombie in (at_state, at_ledger):
        zombie.thaw()
    for zombie in (at_state, at_ledger):
        assert zombie.wait() == 1, zombie.said()[-4000:]
        assert said in zombie.said(), zombie.said()[-4000:]
    assert ends == {name: installation.kafka.ends(installation.topic(name)) for name in ("state", "ledger")}, "something was appended"

    installation.compact_at_once("state")
    compacted(installation, sending)
    for _ in range(renewals):
        claimed = len(CLAIM.findall(owner.said()))
        until(lambda before=claimed: len(CLAIM.findall(owner.said())) >= before + len(claims(owner)), 60, "the claims are renewed")
        sending.some()
    installation.check_alive([owner])
    owner.kill()
    heir = installation.worker()
    sending.rest()
    installation.until_done()
    assert heir.stop() == 0
    installation.cli("ledger", "verify")
    grants, simulated = ledger(installation), Simulated.of(installation)
    check_limits(grants, published)
    check_delivered(installation, grants)
    check_same(grants, simulated, published)
    check_candidates(installation, simulated)
    return at_state, at_ledger, owner


def test_the_broker_refuses_a_zombie_and_compaction_loses_nothing(
    kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path
) -> None:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path)
    try:
        at_state, at_ledger, owner = zombies_end_and_nothing_is_lost(installation, FENCED)
    finally:
        installation.close()
    news = claims(owner)
    for zombie in (at_state, at_ledger):
        olds = claims(zombie)
        assert olds
        for topic, (number, epoch) in olds.items():
            assert news[topic][0] == number, "the same name has the same producer id"
            assert news[topic][1] > epoch


def test_a_zombie_ends_where_the_broker_has_forgotten_its_claim_and_an_owner_renews_before_that(
    forgetful: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path
) -> None:
    installation = Installation(forgetful.bootstrap, redis_server.url, name, tmp_path, partitions=2, renew="3s", session="12s")
    try:
        at_state, at_ledger, owner = zombies_end_and_nothing_is_lost(installation, TOO_OLD, renewals=3)
    finally:
        installation.close()
    news = claims(owner)
    olds = {**claims(at_state), **claims(at_ledger)}
    assert any(news[topic][0] != number for topic, (number, _) in olds.items()), "the broker has forgotten no name: nothing was shown"
