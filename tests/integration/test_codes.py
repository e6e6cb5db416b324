"""Codes by the commands that operators use, on real servers: imported, given, counted, and never shown."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer, free_ports
from pools import CAMPAIGNS, COUPON, MARK, POOL, check_secret, look, payments, publish, shown, some_codes, write
from recount import ledger
from whole import LIVEPROMO, Installation, until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

VOUCHERS = """
kind: partner
id: amazon
---
kind: voucher_list
id: amazon/Holiday2025
"""
SINGLE = "\n{kind: coupon, id: welcome, type: single, code: HELLO}"


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path)
    yield installation
    installation.close()


@pytest.fixture
def with_pools(installation: Installation) -> Installation:
    installation.cli("apply", write(installation, "pools.yaml", f"{COUPON}---{VOUCHERS}---{SINGLE}"), "--no-wait")
    return installation


def put(installation: Installation, pool: str, *codes: str, code: int = 0) -> dict[str, object]:
    """Import codes and return what the command says of them."""
    done = installation.cli("codes", "import", pool, write(installation, "some.txt", "\n".join(codes)), "--json", code=code)
    assert MARK.encode() not in done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_an_import_says_what_was_added_what_was_there_and_which_lines_are_wrong(with_pools: Installation) -> None:
    assert put(with_pools, POOL, "SPR-1", " SPR-2", "SPR-1") == {"pool": POOL, "added": 2, "duplicate": 1, "invalid": 0, "size": 2}
    file = write(with_pools, "more.txt", f"\ufeffSPR-2\r\nSPR-3\r\n\r\n{'SPR-' * 64}\r\n")
    done = with_pools.cli("codes", "import", POOL, file)
    assert done.stdout == b""
    assert done.stderr.decode().splitlines() == [
        f"{file}: line 3: empty",
        f"{file}: line 4: longer than 255 characters",
        "coupon/spring: 1 added, 1 duplicate (0 in the file, 1 in the pool), 2 invalid; the pool has 3",
    ]
    vouchers = "voucher_list/amazon/Holiday2025"
    assert put(with_pools, vouchers, "SPR-3")["added"] == 1
    assert shown(with_pools, POOL)["codes_left"] == 3
    assert shown(with_pools, vouchers)["codes"] == 1


def test_codes_come_from_standard_input_and_from_packed_files(with_pools: Installation) -> None:
    plain = write(with_pools, "plain.txt", "SPR-1\nSPR-2\n")
    subprocess.run(["gzip", "-k", plain], check=True)
    with_pools.cli("codes", "import", POOL, f"{plain}.gz")
    done = subprocess.run(
        [LIVEPROMO, "codes", "import", POOL, "-", "--json"], input=b"SPR-2\nSPR-3", env=with_pools.environ, capture_output=True, timeout=60
    )
    assert json.loads(done.stdout) == {"pool": POOL, "added": 1, "duplicate": 1, "invalid": 0, "size": 3}


REFUSED = [
    ("coupon/sprin", "SPR-1", 'there is no bulk coupon or voucher list "coupon/sprin": did you mean coupon/spring?'),
    ("coupon/welcome", "SPR-1", "coupon/welcome gives everyone the one code of its document"),
    ("partner/amazon", "SPR-1", 'there is no bulk coupon or voucher list "partner/amazon"'),
    (POOL, "\n \n", "holds no code: write one per line, in UTF-8"),
]


def test_what_cannot_be_imported_is_refused(with_pools: Installation) -> None:
    for pool, text, said in REFUSED:
        done = with_pools.cli("codes", "import", pool, write(with_pools, "codes.txt", text), code=1)
        assert said in done.stderr.decode()
        assert MARK.encode() not in done.stderr
    assert "cannot be read" in with_pools.cli("codes", "import", POOL, with_pools.home / "nowhere.txt", code=1).stderr.decode()


def begun(installation: Installation, some: bytes) -> subprocess.Popen[bytes]:
    """Return an import that has appended some of these codes, and waits for more."""
    words: list[str | Path] = [LIVEPROMO, "codes", "import", POOL, "-", "--json"]
    before = sum(installation.kafka.ends(installation.topic("codes")))
    process = subprocess.Popen(
        words, env=installation.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    process.stdin.write(some)
    until(lambda: sum(installation.kafka.ends(installation.topic("codes"))) > before + 10, 60, "codes are in the topic")
    return process


def test_an_import_killed_half_way_and_run_again_has_every_code_once(with_pools: Installation) -> None:
    codes = some_codes(60_000, seed=4)
    half = begun(with_pools, "\n".join(codes[:35_000]).encode())
    half.kill()
    half.communicate(timeout=30)
    assert half.returncode == -signal.SIGKILL
    some = shown(with_pools, POOL)["codes"]
    assert 0 < some < 35_000
    again = put(with_pools, POOL, *codes)
    assert again == {"pool": POOL, "added": 60_000 - some, "duplicate": some, "invalid": 0, "size": 60_000}
    assert put(with_pools, POOL, *reversed(codes))["added"] == 0


def test_an_import_that_another_one_overtakes_goes_on_behind_it(with_pools: Installation) -> None:
    codes = some_codes(60_000, seed=5)
    first = begun(with_pools, "\n".join([*codes[:35_000], ""]).encode())
    second = put(with_pools, POOL, *codes[20_000:50_000])
    out, said = first.communicate("\n".join(codes[35_000:]).encode(), timeout=60)
    assert first.returncode == 0, said
    assert b"coupon/spring: another import has taken over; waiting for its end" in said
    assert MARK.encode() not in out + said
    found = json.loads(out)
    assert found["added"] + second["added"] == found["size"] == shown(with_pools, POOL)["codes"] == 60_000
    assert found["duplicate"] == 60_000 - found["added"]


def test_two_imports_that_begin_at_once_add_every_code_once(with_pools: Installation) -> None:
    codes = some_codes(90_000, seed=8)
    files = [write(with_pools, "low.txt", "\n".join(codes[:60_000])), write(with_pools, "high.txt", "\n".join(codes[30_000:]))]
    commands: list[list[str | Path]] = [[LIVEPROMO, "codes", "import", POOL, file, "--json"] for file in files]
    both = [subprocess.Popen(words, env=with_pools.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for words in commands]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = [json.loads(out) for out, _ in said]
    assert sum(one["added"] for one in found) == 90_000
    assert sum(one["duplicate"] for one in found) == 30_000
    assert shown(with_pools, POOL)["codes"] == 90_000


def test_a_campaign_needs_codes_when_it_is_published_and_is_warned_of_too_few(with_pools: Installation) -> None:
    campaigns = write(with_pools, "campaigns.yaml", CAMPAIGNS)
    refused = with_pools.cli("apply", campaigns, "--no-wait", code=1)
    assert refused.stderr.count(b"(R34)") == 2, refused.stderr.decode()
    put(with_pools, POOL, *some_codes(5, seed=6))
    most = write(with_pools, "most.yaml", CAMPAIGNS.replace("max_per_user: 1", "max_per_user: 1, max_per_campaign: 6"))
    warned = with_pools.cli("apply", most, "--no-wait")
    assert b"(R73)" in warned.stderr, warned.stderr.decode()


def scraped(port: int) -> dict[str, float]:
    """Return the metrics of a worker by name and labels."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert MARK not in text
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))}


def test_a_pool_that_is_used_up_denies_until_more_codes_are_imported(installation: Installation) -> None:
    [port] = free_ports(1)
    codes = some_codes(30, seed=7)
    installation.worker(metrics_port=str(port))
    publish(installation, codes[:20])
    assert look(installation, 20) == 20
    installation.send(payments(20, 1))  # 40 rewards
    installation.until_done(60)
    assert look(installation, 20) == 0
    until(lambda: scraped(port).get('livepromo_campaigns{state="exhausted"}') == 2, 30, "both campaigns are exhausted")
    assert scraped(port)[f'livepromo_codes_size{{pool="{POOL}"}}'] == 20
    assert scraped(port)[f'livepromo_codes_left{{pool="{POOL}"}}'] == 0
    assert {shown(installation, f"campaign/{name}")["state"] for name in ("once", "every")} == {"exhausted"}

    assert put(installation, POOL, *codes)["added"] == 10
    installation.send(payments(1, 3, first_user=50))  # at once: the worker has not looked since
    installation.until_done(60)
    assert look(installation, 30) == 6
    assert {shown(installation, f"campaign/{name}")["state"] for name in ("once", "every")} == {"running"}
    until(lambda: scraped(port)['livepromo_campaigns{state="running"}'] == 2, 30, "they run again")
    until(lambda: scraped(port)[f'livepromo_codes_left{{pool="{POOL}"}}'] == 6, 30, "the gauge says so")
    given = [grant.said["reward"]["code"] for grant in ledger(installation)]
    assert given == codes[:24], "in the order imported"
    check_secret(installation)
