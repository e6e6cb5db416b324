"""Records that can never be processed are put aside one by one, with their reason, and nothing else changes: no grant, no memory."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from livepromo.sandbox.servers import KafkaCluster, RedisServer
from recount import Published, Simulated, check_delivered, check_limits, check_same, ledger
from whole import DATA, In, Installation, until
from year import year

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("kafka"), pytest.mark.timeout(300)]

DOCUMENTS = DATA / "twelve-campaigns.yaml"
HOSTILE = 20_000
GROWTH_BYTES = 50 << 20
TRUNCATED_FROM = 1_048_588 + (64 << 10)  # what the topic of dead letters takes: Kafka's own limit, and 64 KiB
EARLY_2017, YEAR_57886, YEAR_2098, YEAR_2001 = 1_483_272_000_000, 1_764_547_200_000_000, 4_040_000_000_000, 980_000_000_000


def _event(**changes: Any) -> bytes:
    """Return an event that would be rewarded, but for the changes; None leaves a field out."""
    fields = {"event": "purchase", "user": "1", "ts": EARLY_2017, "properties": {"amount": 50, "lines": 3, "store": "367", "discount": 6}}
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def _amount(text: str) -> bytes:
    return _event().replace(b"50", text.encode(), 1)


KINDS: list[tuple[str | None, int, Callable[[str], bytes | None]]] = [
    ("not_json", 8, lambda _: b"not json"),
    ("not_json", 8, lambda _: _event()[:-1]),
    ("not_json", 8, lambda _: _event() + b"}"),
    ("not_json", 8, lambda _: _amount("NaN")),
    ("not_json", 8, lambda _: _amount("Infinity")),
    ("not_json", 8, lambda _: _amount("-Infinity")),
    ("out_of_range", 8, lambda _: _amount("1e999")),
    ("out_of_range", 8, lambda _: _amount("-1e999")),
    ("out_of_range", 4, lambda _: _amount("7" * 4000)),
    ("out_of_range", 4, lambda _: _amount("-" + "7" * 310)),
    ("out_of_range", 8, lambda _: _event(user="")),
    ("out_of_range", 8, lambda _: _event(user="u" * 256)),
    ("out_of_range", 8, lambda _: _event(id="")),
    ("not_unicode", 8, lambda _: _event(user="\ud800")),
    ("not_unicode", 8, lambda _: _event(properties={"amount": 50, "store": "\udfff"})),
    ("not_unicode", 8, lambda _: _event().replace(b"367", b"\xff")),
    ("too_deep", 4, lambda _: _event(properties={"amount": 50, "deep": json.loads("[" * 40 + "]" * 40)})),
    ("wrong_type", 8, lambda _: _event(user=5)),
    ("wrong_type", 8, lambda _: _event(event=["purchase"])),
    ("wrong_type", 8, lambda _: _event(properties=[])),
    ("wrong_type", 8, lambda _: _event(ts=True)),
    ("wrong_type", 8, lambda _: _event(type=1)),
    ("wrong_type", 8, lambda _: _event(id=5)),
    ("wrong_type", 8, lambda _: b"[1]"),
    ("wrong_type", 8, lambda _: b'"text"'),
    ("wrong_type", 8, lambda user: _event(type="profile", user=user, properties=3)),
    ("wrong_type", 8, lambda user: _event(type="segment", user=user, segment="s", member="yes")),
    ("missing_field", 8, lambda _: _event(user=None)),
    ("missing_field", 8, lambda _: _event(event=None)),
    ("missing_field", 8, lambda _: _event(ts=None)),
    ("missing_field", 8, lambda _: b"{}"),
    ("bad_time", 8, lambda _: _event(ts=1)),
    ("bad_time", 8, lambda _: _event(ts=YEAR_57886)),
    ("bad_time", 8, lambda _: _event(ts="2017-01-01T00:00:00")),
    ("bad_time", 8, lambda _: _event(ts="yesterday")),
    ("too_old", 8, lambda user: _event(ts=YEAR_2001, user=user)),
    ("in_the_future", 8, lambda user: _event(ts=YEAR_2098, user=user)),
    (None, 8, lambda user: _event(type="page", user=user)),
    (None, 8, lambda _: None),
]
LARGE: list[tuple[str | None, int, Callable[[str], bytes | None]]] = [
    ("too_deep", 15, lambda _: _event(deep=0).replace(b'"deep": 0', b'"deep": ' + b"[" * 100_000 + b"]" * 100_000)),
    ("too_large", 15, lambda _: _event(properties={"amount": 50, "text": "x" * (1 << 20)})),
    ("too_large", 1, lambda _: _event(properties={"amount": 50, "text": "y" * (3 << 19)})),
]


def hostile(users: list[str], draw: random.Random) -> list[tuple[In, str | None]]:
    """Return hostile records, each with the reason for which it is put aside; None: it is ignored."""
    found = [(make, reason) for reason, count, make in LARGE for _ in range(count)]
    kinds, weights = [(make, reason) for reason, _, make in KINDS], [weight for _, weight, _ in KINDS]
    found += draw.choices(kinds, weights, k=HOSTILE - len(found))
    draw.shuffle(found)
    return [(In(user, make(user)), reason) for make, reason in found for user in (draw.choice(users),)]


def with_notes(records: list[In]) -> list[In]:
    """Return good records with large ones among the first of them, that no campaign asks for: what they take is no growth."""
    found: list[In] = []
    for at, record in enumerate(records):
        found.append(record)
        if at < 1000 and at % 8 == 0:
            said = json.loads(record.value or b"")
            note = {"event": "note", "user": record.user, "ts": said["ts"], "properties": {"text": "n" * 200_000}}
            found.append(In(record.user, json.dumps(note).encode()))
    return found


@pytest.fixture
def installation(kafka: KafkaCluster, redis_server: RedisServer, name: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(kafka.bootstrap, redis_server.url, name, tmp_path)
    yield installation
    installation.close()


def test_hostile_records_are_put_aside_each_with_its_reason_and_change_nothing(installation: Installation) -> None:
    draw = random.Random(5)
    good = with_notes(year(seed=5, every=8))
    bad = hostile(sorted({record.user for record in good}), draw)
    reasons = {record.value: reason for record, reason in bad}
    worker = installation.worker()
    installation.cli("apply", DOCUMENTS)
    warm = len(good) // 4
    installation.send(good[:warm])  # stream time has begun everywhere, and the worker has the memory that it needs for good ones
    installation.until_done()
    process = psutil.Process(worker.pid)
    before = process.memory_info().rss
    places = sorted(draw.choices(range(warm, len(good) + 1), k=len(bad)))
    mixed: list[In] = []
    at = warm
    for place, (record, _) in zip(places, bad, strict=True):
        mixed += [*good[at:place], record]
        at = place
    installation.send([*mixed, *good[at:]])
    most = before

    def done() -> bool:
        nonlocal most
        installation.check_alive([worker])
        most = max(most, process.memory_info().rss)
        return installation.done()

    until(done, 120, "everything is read, decided and delivered")
    grown = max(most, process.memory_info().rss) - before
    installation.cli("ledger", "verify")

    seen = check_put_aside(installation, reasons)
    assert seen.keys() >= {reason for reason in reasons.values() if reason}
    assert sum(seen.values()) + sum(reason is None for _, reason in bad) == HOSTILE
    events = installation.home / "good.jsonl"
    events.write_bytes(b"".join(json.dumps(json.loads(record.value or b"")).encode() + b"\n" for record in good))
    simulated = Simulated.of(installation, "--documents", DOCUMENTS, "--events", events)
    published = Published.of(DOCUMENTS)
    grants = ledger(installation)
    check_limits(grants, published)
    check_delivered(installation, grants)
    check_same(grants, simulated, published)
    print(f"{HOSTILE} hostile records: {dict(seen)}; {len(grants)} grants unchanged; memory grew by {grown / (1 << 20):.1f} MiB")
    assert grown < GROWTH_BYTES
    assert worker.stop() == 0


def check_put_aside(installation: Installation, reasons: dict[bytes | None, str | None]) -> Counter[str]:
    """Object unless exactly the hostile records are dead letters, each once, byte for byte; return how many of each reason."""
    records = {(record.partition, record.offset): record for record in installation.read(installation.events)}
    wanted = {place: reasons[record.value] for place, record in records.items() if reasons.get(record.value)}
    seen: Counter[str] = Counter()
    for letter in installation.read(installation.topic("dead-letters")):
        headers = dict(letter.headers)
        assert headers["topic"] == installation.events.encode()
        place = int(headers["partition"]), int(headers["offset"])
        record = records[place]
        assert headers["reason"].decode() == wanted.pop(place), (headers, record.value[:300] if record.value else None)
        assert letter.key == record.key
        assert record.value is not None
        assert letter.value is not None
        if len(record.value) + 2048 > TRUNCATED_FROM:
            assert headers["truncated"] == b"true"
            assert len(letter.value) > TRUNCATED_FROM - 4096
            assert record.value.startswith(letter.value)
        else:
            assert "truncated" not in headers
            assert letter.value == record.value
        seen[headers["reason"].decode()] += 1
    assert not wanted, (
        f"{len(wanted)} are not put aside: {[(reason, records[place].value) for place, reason in wanted.items()][:3]!r:.2000}"
    )
    return seen
