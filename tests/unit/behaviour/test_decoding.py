"""What bytes from the events topic mean (records, In)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livepromo.behaviour.decoding import decode, decode_recorded
from livepromo.model.records import DeadReason, Event, Ignored, Malformed, Membership, Profile

TS = 1764547200000
GOOD = {"user": "u1", "event": "Charged", "ts": TS}


def a_record(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def without(name: str, record: bytes) -> bytes:
    return json.dumps({key: value for key, value in json.loads(record).items() if key != name}).encode()


def with_property(text: str) -> bytes:
    return b'{"user":"u1","event":"Charged","ts":1764547200000,"properties":{"p":%b}}' % text.encode()


def with_other_field(text: str) -> bytes:
    return b'{"user":"u1","event":"Charged","ts":1764547200000,"other":%b}' % text.encode()


def the_property(text: str) -> Any:
    record = decode(with_property(text))
    assert isinstance(record, Event), record
    return record.properties["p"]


def test_an_event_is_read_whole() -> None:
    value = b'{"type":"event","id":"e-81","user":"u1","event":"Charged","ts":1764547200000,"properties":{"Amount":499.5,"Product ID":"p9"}}'
    assert decode(value) == Event("u1", "Charged", TS, "e-81", {"Amount": 499.5, "Product ID": "p9"})


def test_a_profile_is_read_whole_and_its_nulls_stay() -> None:
    value = b'{"type":"profile","user":"u1","ts":1764547200000,"properties":{"plan":"gold","score":2.0,"phone":null}}'
    record = decode(value)
    assert record == Profile("u1", TS, {"plan": "gold", "score": 2, "phone": None})
    assert isinstance(record, Profile)
    assert type(record.properties["score"]) is int


@pytest.mark.parametrize("member", [True, False])
def test_a_membership_is_read_whole(member: bool) -> None:
    value = json.dumps({"type": "segment", "user": "u1", "ts": TS, "segment": "loyal", "member": member}).encode()
    assert decode(value) == Membership("u1", TS, "loyal", member)


@pytest.mark.parametrize("missing", ["type", "id", "properties"])
def test_what_an_event_may_lack_may_be_missing_or_null(missing: str) -> None:
    whole = a_record(type="event", id="e-1", properties={"a": 1})
    expected = Event("u1", "Charged", TS, None if missing == "id" else "e-1", {} if missing == "properties" else {"a": 1})
    assert decode(without(missing, whole)) == expected
    assert decode(a_record(**{"type": "event", "id": "e-1", "properties": {"a": 1}, missing: None})) == expected


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (a_record(), "user"),
        (a_record(), "event"),
        (a_record(), "ts"),
        (a_record(type="profile"), "user"),
        (a_record(type="profile"), "ts"),
        (a_record(type="segment", segment="s", member=True), "user"),
        (a_record(type="segment", segment="s", member=True), "ts"),
        (a_record(type="segment", segment="s", member=True), "segment"),
        (a_record(type="segment", segment="s", member=True), "member"),
    ],
)
def test_what_a_record_needs_may_be_neither_missing_nor_null(record: bytes, field: str) -> None:
    assert not isinstance(decode(record), Malformed)
    assert decode(without(field, record)) == Malformed(DeadReason.MISSING_FIELD)
    assert decode(json.dumps({**json.loads(record), field: None}).encode()) == Malformed(DeadReason.MISSING_FIELD)


@pytest.mark.parametrize("field", ["user", "event", "id"])
def test_names_have_1_to_255_characters_however_many_bytes(field: str) -> None:
    for name in ("x", "😀" * 255):
        assert not isinstance(decode(a_record(**{field: name})), Malformed)
    for name in ("", "x" * 256):
        assert decode(a_record(**{field: name})) == Malformed(DeadReason.OUT_OF_RANGE)


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_segment_has_a_name_too(name: str) -> None:
    assert decode(a_record(type="segment", segment=name, member=True)) == Malformed(DeadReason.OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("ts", "expected_ms"),
    [
        ("2025-12-01T00:00:00Z", TS),
        ("2025-12-01T05:30:00+05:30", TS),
        ("2025-12-01 00:00Z", TS),
        ("2025-12-01T00:00:00.1239Z", TS + 123),
        ("2000-01-01T05:00:00+05:00", 946684800000),
        (946684800000, 946684800000),
        (4102444799999, 4102444799999),
        ("2099-12-31T23:59:59.9999Z", 4102444799999),
    ],
)
def test_a_time_is_epoch_milliseconds_or_an_instant_with_an_offset(ts: int | str, expected_ms: int) -> None:
    assert decode(a_record(ts=ts)) == Event("u1", "Charged", expected_ms, None, {})


@pytest.mark.parametrize(
    "ts",
    [
        1764547200,
        0,
        -1,
        1764547200000000,
        946684799999,
        4102444800000,
        10**30,
        "2025-12-01T00:00:00",
        "2025-12-01",
        "2025-02-30T00:00:00Z",
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "2000-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "2025-12-01T00:00:00+24:00",
        "2025-12-01T24:00:00Z",
        "1764547200000",
        "yesterday",
        "",
        "2" * 10_000,
    ],
)
def test_a_time_that_is_none_or_of_another_century_is_refused(ts: int | str) -> None:
    assert decode(a_record(ts=ts)) == Malformed(DeadReason.BAD_TIME)


@pytest.mark.parametrize("ts", [1764547200000.5, 1764547200000.0, True, [TS], {"ms": TS}])
def test_a_time_of_another_json_type_is_a_wrong_type(ts: Any) -> None:
    assert decode(a_record(ts=ts)) == Malformed(DeadReason.WRONG_TYPE)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("type", 1),
        ("type", ["event"]),
        ("type", False),
        ("user", 7),
        ("user", ["u"]),
        ("event", {}),
        ("id", 81),
        ("properties", []),
        ("properties", "a"),
        ("properties", 0),
    ],
)
def test_a_field_of_an_event_has_its_type(field: str, wrong: Any) -> None:
    assert decode(a_record(**{field: wrong})) == Malformed(DeadReason.WRONG_TYPE)


@pytest.mark.parametrize("fields", [{"segment": 3, "member": True}, {"segment": "s", "member": 1}, {"segment": "s", "member": "true"}])
def test_a_field_of_a_membership_has_its_type(fields: dict[str, Any]) -> None:
    assert decode(a_record(type="segment", **fields)) == Malformed(DeadReason.WRONG_TYPE)


@pytest.mark.parametrize("value", [b"[]", b"1", b"null", b'"event"', b"true", b"1.5"])
def test_a_record_is_an_object(value: bytes) -> None:
    assert decode(value) == Malformed(DeadReason.WRONG_TYPE)


@pytest.mark.parametrize("value", [None, b"", b'{"type":"forget","user":"u1","ts":1}', b'{"type":"order"}', b'{"type":"","user":4}'])
def test_no_value_and_another_type_are_ignored(value: bytes | None) -> None:
    assert decode(value) == Ignored()


def test_other_fields_are_ignored_whatever_they_hold() -> None:
    assert decode(a_record(appended="soon", segment=4, member=None, Properties=[1])) == Event("u1", "Charged", TS, None, {})


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"hello",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"{'user':1}",
        b'{"user":"a",}',
        b'{"user":"a\nb"}',
        b'{"user":"\\x"}',
        b'{"user":"\\ud8"}',
        b" ",
        *(with_property(word) for word in ("NaN", "Infinity", "-Infinity", "nan", "01", "1.", ".5", "+1", "0x10", "1_000", "tru", "")),
        *(with_other_field(word) for word in ("NaN", "Infinity", "-Infinity")),
    ],
)
def test_what_is_no_json_is_said_to_be_none(value: bytes) -> None:
    assert decode(value) == Malformed(DeadReason.NOT_JSON)


@pytest.mark.parametrize(
    "value",
    [
        b'{"user":"\xff","event":"e","ts":1764547200000}',
        b"\xff\xfe{",
        with_other_field('"\\ud800"'),
        with_property('"\\udc00"'),
        with_property('"\\ud800\\u0041"'),
        with_property('"\\ud800\\ud800\\udc00"'),
        with_property('["\\ud800"]'),
        with_property('{"\\ud800":1}'),
        with_other_field('{"a":{"\\udfff":1}}'),
        b'{"\\ud800":1,"user":"u1","event":"e","ts":1764547200000}',
        b'{"user":"u1","event":"e","ts":1764547200000,"x":"\xed\xa0\x80"}',
        b'{"user":"u1","event":"e","ts":1764547200000,"\xc0\x80":1}',
    ],
)
def test_a_string_that_is_no_unicode_is_refused_wherever_it_stands(value: bytes) -> None:
    assert decode(value) == Malformed(DeadReason.NOT_UNICODE)


def test_pairs_of_surrogates_and_escaped_names_are_ordinary() -> None:
    assert decode(b'{"\\u0075ser":"\\ud83d\\ude00","event":"e","ts":1764547200000}') == Event("😀", "e", TS, None, {})
    assert the_property('"\\\\ud800"') == "\\ud800"
    assert the_property('"\\u0000"') == "\x00"


LEAST = str(2**1024 - 2**970)  # halfway between the largest double and the next: rounds to none
BEYOND = ["1e999", "-1e999", "1E400", "9" * 310, "-" + "9" * 310, "9" * 4500, "9" * 200_000, "1" + "0" * 309, LEAST, f"{LEAST}.5"]


@pytest.mark.parametrize("number", BEYOND, ids=lambda text: text[:8] + f"…{len(text)}")
@pytest.mark.parametrize(
    "put", [with_property, with_other_field, lambda n: with_property(f'[{{"a":{n}}}]'), lambda n: with_other_field(f"[{n}]")]
)
def test_a_number_beyond_a_double_is_out_of_range_wherever_it_stands(put: Any, number: str) -> None:
    assert decode(put(number)) == Malformed(DeadReason.OUT_OF_RANGE)


def test_a_number_beyond_a_double_is_refused_in_every_kind_of_record() -> None:
    for text in ('{"type":"order","n":N}', '{"type":"profile","user":"u","ts":1764547200000,"properties":{"n":N}}', '{"ts":N}', "[N]", "N"):
        assert decode(text.replace("N", "9" * 310).encode()) == Malformed(DeadReason.OUT_OF_RANGE), text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18446744073709551616", 2**64),
        ("-9223372036854775809", -(2**63) - 1),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("0.30000000000000004", 0.30000000000000004),
        ("1.0", 1),
        ("-0.0", 0),
        ("-0", 0),
        ("1e2", 100),
        ("1e23", 10**23),
        ("1e22", 10**22),
        ("9007199254740993", 9007199254740993),
        ("9007199254740993.0", 9007199254740992),
        ("1.7976931348623157e308", 17976931348623157 * 10**292),
        ("9" * 308, int("9" * 308)),
        (str(2**1024 - 2**970 - 1), 2**1024 - 2**970 - 1),
        ("1e-400", 0),
        ("5e-324", 5e-324),
        ("true", True),
        ('"1"', "1"),
        ('[1.0,{"a":[-2.0,null,2.5]},true]', [1, {"a": [-2, None, 2.5]}, True]),
    ],
)
def test_numbers_are_exact_and_have_one_form(text: str, expected: Any) -> None:
    found = the_property(text)
    assert found == expected
    assert repr(found) == repr(expected)  # 1 and 1.0, True and 1 are equal, but not the same


def test_a_long_number_within_the_range_is_no_reason() -> None:
    assert the_property("9" * 20_000 + "e-20000") == 1
    assert the_property("0." + "3" * 5_000) == 0.3333333333333333


def test_null_properties_of_events_are_absent_and_nested_ones_stay() -> None:
    assert decode(a_record(properties={"a": None, "b": {"c": None}})) == Event("u1", "Charged", TS, None, {"b": {"c": None}})


def test_of_repeated_keys_the_last_counts() -> None:
    assert decode(b'{"user":7,"user":"u1","event":"e","ts":0,"ts":1764547200000,"properties":{"a":1,"a":2}}') == Event(
        "u1", "e", TS, None, {"a": 2}
    )
    assert decode(b'{"user":"u1","event":"e","ts":1764547200000,"properties":{"a":1},"properties":{"b":2}}') == Event(
        "u1", "e", TS, None, {"b": 2}
    )


@pytest.mark.parametrize("overridden", ["1e999", "9" * 310, '"\\ud800"', "[1e999]", "7"])
def test_what_a_repeated_key_overrides_is_of_no_account(overridden: str) -> None:
    text = '{"user":X,"user":"u1","event":"e","ts":1764547200000,"properties":{"a":X,"a":1},"other":X,"other":1}'
    assert decode(text.replace("X", overridden).encode()) == Event("u1", "e", TS, None, {"a": 1})
    assert decode(text.replace("X", "[" * 33 + "]" * 33).encode()) == Malformed(DeadReason.TOO_DEEP)


def test_a_record_may_have_262144_bytes_and_no_more() -> None:
    padding = 262_144 - len(a_record(x=""))
    assert isinstance(decode(a_record(x="a" * padding)), Event)
    assert decode(a_record(x="a" * (padding + 1))) == Malformed(DeadReason.TOO_LARGE)
    assert decode(b"x" * 1024 * 1024) == Malformed(DeadReason.TOO_LARGE)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("put", [with_property, with_other_field])
def test_a_record_may_nest_32_deep_and_no_more(put: Any, opening: str, closing: str) -> None:
    spare = 32 - (2 if put is with_property else 1)
    assert isinstance(decode(put(opening * spare + "1" + closing * spare)), Event)
    assert decode(put(opening * (spare + 1) + "1" + closing * (spare + 1))) == Malformed(DeadReason.TOO_DEEP)


def test_what_stands_beside_the_deepest_does_not_count() -> None:
    for deep, reason in ((30, None), (31, DeadReason.TOO_DEEP)):
        record = decode(with_property("[[]," * (deep - 1) + "[1]" + "]" * (deep - 1)))
        assert isinstance(record, Event) if reason is None else record == Malformed(reason)


@pytest.mark.parametrize("value", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 50_000, b'{"a":[' * 20_000 + b"]}" * 20_000])
def test_very_deep_nesting_is_too_deep_whether_closed_or_not(value: bytes) -> None:
    assert decode(value) == Malformed(DeadReason.TOO_DEEP)


def test_brackets_in_strings_and_beside_one_another_do_not_nest() -> None:
    assert isinstance(decode(a_record(properties={"a": '"[{\\' * 100, '{"' * 100: 1})), Event)
    assert isinstance(decode(a_record(properties={"a": [[], {}] * 100})), Event)


def test_of_several_faults_the_first_in_the_documented_order_is_said() -> None:
    both = {
        DeadReason.TOO_LARGE: b"[" * 300_000,
        DeadReason.TOO_DEEP: b"\xff" + b"[" * 40,
        DeadReason.NOT_UNICODE: b'\xff{"a":NaN',
        DeadReason.NOT_JSON: b'{"user":"\\ud800","a":1e999',
        DeadReason.OUT_OF_RANGE: b'{"type":5,"a":1e999}',
        DeadReason.WRONG_TYPE: b'{"event":"","ts":1,"user":4}',
        DeadReason.MISSING_FIELD: b'{"event":"","ts":1}',
    }
    assert {reason: decode(value) for reason, value in both.items()} == {reason: Malformed(reason) for reason in both}
    assert decode(a_record(user="", ts=5)) == Malformed(DeadReason.OUT_OF_RANGE)


def test_a_recorded_record_also_says_when_it_had_been_received() -> None:
    event = Event("u1", "Charged", TS, None, {})
    assert decode_recorded(a_record(appended=TS + 5)) == (event, TS + 5)
    assert decode_recorded(a_record(appended=None)) == (event, None)
    assert decode_recorded(a_record()) == (event, None)


@pytest.mark.parametrize("appended", ["2025-12-01T00:00:00Z", 1764547200000.5, True, []])
def test_a_time_of_receiving_is_an_integer(appended: Any) -> None:
    assert decode_recorded(a_record(appended=appended)) == (Malformed(DeadReason.WRONG_TYPE), None)


def test_a_time_of_receiving_in_another_unit_is_refused() -> None:
    assert decode_recorded(a_record(appended=TS // 1000)) == (Malformed(DeadReason.BAD_TIME), None)


def test_what_is_wrong_without_its_time_of_receiving_is_said_first() -> None:
    assert decode_recorded(a_record(appended="x", ts=4)) == (Malformed(DeadReason.BAD_TIME), None)
    assert decode_recorded(b'{"type":"order","appended":"x"}') == (Ignored(), None)
    assert decode_recorded(b"") == (Ignored(), None)
