"""The traffic of `dev` is lively, readable by the engine, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import orjson

from livepromo.behaviour.decoding import decode
from livepromo.model.records import DeadReason, Event, Malformed, Profile
from livepromo.sandbox.traffic import Record, Shop

NOW_MS = 1_795_560_000_000


def _traffic(seed: int, count: int) -> list[Record]:
    shop = Shop(seed)
    return [shop.next(NOW_MS + 50 * n) for n in range(count)]


def test_the_same_seed_makes_the_same_records() -> None:
    assert _traffic(7, 3000) == _traffic(7, 3000)


def test_another_seed_makes_others() -> None:
    assert _traffic(7, 100) != _traffic(8, 100)


def test_all_but_those_cut_off_are_what_the_engine_reads() -> None:
    read = [decode(record.value) for record in _traffic(1, 3000)]
    broken = [one for one in read if isinstance(one, Malformed)]
    assert 1 <= len(broken) <= 60
    assert {one.reason for one in broken} == {DeadReason.NOT_JSON}
    assert all(isinstance(one, Event | Profile | Malformed) for one in read)


def test_a_record_stands_under_its_users_key() -> None:
    for record in _traffic(1, 1000):
        read = decode(record.value)
        if isinstance(read, Event | Profile):
            assert read.user == record.user


def test_everybody_signs_up_before_anything_else_and_once() -> None:
    there: set[str] = set()
    seen: set[bytes] = set()
    for record in _traffic(3, 2000):
        read = decode(record.value)
        if not isinstance(read, Event) or record.value in seen:
            continue
        seen.add(record.value)
        assert (read.event == "Signed Up") == (read.user not in there)
        there.add(read.user)
    assert len(there) > 50


def test_repeats_are_the_same_byte_for_byte_and_ids_are_never_used_for_another_event() -> None:
    times: Counter[bytes] = Counter()
    by_id: dict[str, set[bytes]] = {}
    for record in _traffic(1, 3000):
        read = decode(record.value)
        if isinstance(read, Event):
            assert read.event_id is not None
            times[record.value] += 1
            by_id.setdefault(read.event_id, set()).add(record.value)
    assert max(times.values()) > 1
    assert all(len(values) == 1 for values in by_id.values())


def test_no_record_is_of_a_later_time_than_it_was_asked_for() -> None:
    shop = Shop(1)
    for now_ms in range(NOW_MS, NOW_MS + 100_000, 50):
        read = decode(shop.next(now_ms).value)
        if not isinstance(read, Malformed):
            assert read.ts_ms <= now_ms  # type: ignore[union-attr] # nothing is ignored: see above


def test_people_look_buy_and_write_and_some_amounts_are_no_numbers() -> None:
    events: Counter[str] = Counter()
    amounts: list[object] = []
    for record in _traffic(1, 2000):
        if isinstance(read := decode(record.value), Event):
            events[read.event] += 1
            if read.event == "Charged":
                amounts.append(orjson.loads(record.value)["properties"]["Amount"])
    assert events.keys() == {"Signed Up", "Product Viewed", "Added To Cart", "Charged", "Review Written"}
    assert min(events.values()) > 50
    assert any(isinstance(amount, str) for amount in amounts)
    assert all(isinstance(amount, str) or 5 <= amount <= 160 for amount in amounts)  # type: ignore[operator]
