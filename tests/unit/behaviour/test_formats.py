"""Records in the shapes of others: what they say is what a record of ours would say, and what is wrong with them is said the same way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from livepromo.behaviour.decoding import LARGEST_BYTES, decode
from livepromo.behaviour.formats import FORMATS
from livepromo.model.records import DeadReason, Event, Ignored, Malformed, Membership, Profile, Record
from livepromo.settings import Format

T_S, T_MS, T_TEXT = 1_772_359_200, 1_772_359_200_000, "2026-03-01T10:00:00.000Z"
OTHERS = ["clevertap", "segment", "cloudevents"]
CLEVERTAP: dict[str, Any] = {"type": "event", "identity": "u1", "evtName": "Charged", "evtData": {"Amount": 5.0}, "ts": T_S}
CLEVERTAP_PROFILE: dict[str, Any] = {"type": "profile", "identity": "u1", "profileData": {"plan": "gold", "phone": None}, "ts": T_S}
TRACK: dict[str, Any] = {
    "type": "track",
    "userId": "u1",
    "event": "Charged",
    "properties": {"Amount": 5.0},
    "messageId": "m1",
    "timestamp": T_TEXT,
}
IDENTIFY: dict[str, Any] = {"type": "identify", "userId": "u1", "traits": {"plan": "gold", "phone": None}, "timestamp": T_TEXT}
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "Charged",
    "subject": "u1",
    "time": T_TEXT,
    "data": {"Amount": 5.0},
}


def read(name: str, record: object, headers: dict[str, str] | None = None) -> Record:
    """Return what a record says in a format, as a worker reads it."""
    value = record if isinstance(record, bytes) or record is None else json.dumps(record).encode()
    found = FORMATS[name]
    sent = [(key, text.encode()) for key, text in (headers or {}).items()]
    return found.decode(value if found.whole is None else found.whole(value, sent))


def event(event_id: str | None) -> Event:
    return Event("u1", "Charged", T_MS, event_id, {"Amount": 5})  # type: ignore[arg-type] # a user id is a text


def test_every_format_of_the_setting_is_there() -> None:
    assert set(FORMATS) == set(Format)


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("clevertap", CLEVERTAP, event(None)),
        ("segment", TRACK, event("m1")),
        ("segment", {key: value for key, value in TRACK.items() if key != "timestamp"} | {"originalTimestamp": T_TEXT}, event("m1")),
        ("cloudevents", CLOUD, event("/shop/1")),
        ("cloudevents", CLOUD | {"datacontenttype": "application/json; charset=utf-8"}, event("/shop/1")),
        ("clevertap", CLEVERTAP_PROFILE, Profile("u1", T_MS, {"plan": "gold", "phone": None})),  # type: ignore[arg-type] # a text
        ("segment", IDENTIFY, Profile("u1", T_MS, {"plan": "gold", "phone": None})),  # type: ignore[arg-type] # a text
        (
            "cloudevents",
            CLOUD | {"type": "livepromo.profile", "data": {"plan": "gold", "phone": None}},
            Profile("u1", T_MS, {"plan": "gold", "phone": None}),  # type: ignore[arg-type] # a text
        ),
        (
            "cloudevents",
            CLOUD | {"type": "livepromo.segment", "data": {"segment": "loyal", "member": True}},
            Membership("u1", T_MS, "loyal", member=True),  # type: ignore[arg-type] # a text
        ),
    ],
    ids=["clevertap", "track", "original-time", "cloud", "cloud-media", "clevertap-profile", "identify", "cloud-profile", "cloud-segment"],
)
def test_a_record_says_what_one_of_ours_would_say(name: str, record: dict[str, Any], said: Record) -> None:
    assert read(name, record) == said


@pytest.mark.parametrize("name", OTHERS)
def test_memberships_that_livepromo_itself_writes_are_read_in_every_format(name: str) -> None:
    record = {"type": "segment", "user": "u1", "ts": T_MS, "segment": "list/vip", "member": False}
    assert read(name, record) == decode(json.dumps(record).encode()) == Membership("u1", T_MS, "list/vip", member=False)  # type: ignore[arg-type] # a text


BINARY = {f"ce_{key}": value for key, value in CLOUD.items() if key != "data"} | {"content-type": "application/json"}


@pytest.mark.parametrize("data", [{"Amount": 5}, {}, {"text": 'a "quoted", {curly} é'}], ids=["some", "empty", "text"])
def test_a_cloud_event_says_the_same_in_headers_as_in_its_value(data: dict[str, Any]) -> None:
    assert read("cloudevents", data, BINARY) == read("cloudevents", CLOUD | {"data": data})


def test_a_cloud_event_in_headers_may_have_no_data() -> None:
    assert read("cloudevents", None, BINARY) == Event("u1", "Charged", T_MS, "/shop/1", {})  # type: ignore[arg-type] # a text


@pytest.mark.parametrize(
    "value",
    [b'{},"type":"livepromo.profile"', b'{"a":1},"subject":"u2"', b"{} {}", b"{", b'{"a":NaN}'],
    ids=["type", "user", "two", "cut", "nan"],
)
def test_the_data_of_a_cloud_event_can_pass_itself_off_as_no_attribute(value: bytes) -> None:
    without_user = {name: text for name, text in BINARY.items() if name != "ce_subject"}
    assert read("cloudevents", value, without_user) == Malformed(DeadReason.NOT_JSON)


def test_an_attribute_that_is_called_data_is_not_the_data() -> None:
    assert read("cloudevents", {"Amount": 5}, BINARY | {"ce_data": "x"}) == event("/shop/1")


def test_headers_that_are_no_text_are_a_dead_letter() -> None:
    found = FORMATS["cloudevents"]
    assert found.whole is not None
    assert found.decode(found.whole(b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"\xff")])) == Malformed(DeadReason.NOT_UNICODE)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("clevertap", {"type": "profile_delete", "identity": "u1", "ts": T_S}),
        ("segment", TRACK | {"type": "page"}),
        ("segment", {key: value for key, value in TRACK.items() if key != "userId"} | {"anonymousId": "a1"}),
        ("segment", TRACK | {"userId": None, "anonymousId": "a1"}),
        ("clevertap", None),
        ("segment", None),
        ("cloudevents", None),
    ],
    ids=["other-type", "page", "not-known-yet", "null-user", "clevertap-nothing", "segment-nothing", "cloud-nothing"],
)
def test_what_is_none_of_ours_is_ignored(name: str, record: dict[str, Any] | None) -> None:
    assert read(name, record) == Ignored()


def without(record: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != field}


@pytest.mark.parametrize(
    ("name", "record", "reason"),
    [
        ("clevertap", without(CLEVERTAP, "identity"), "missing_field"),
        ("clevertap", without(CLEVERTAP, "evtName"), "missing_field"),
        ("clevertap", without(CLEVERTAP, "ts"), "missing_field"),
        ("clevertap", without(CLEVERTAP, "type"), "missing_field"),
        ("clevertap", CLEVERTAP | {"ts": T_TEXT}, "wrong_type"),
        ("clevertap", CLEVERTAP | {"ts": True}, "wrong_type"),
        ("clevertap", CLEVERTAP | {"ts": T_MS}, "bad_time"),
        ("clevertap", CLEVERTAP | {"identity": 7}, "wrong_type"),
        ("clevertap", CLEVERTAP | {"evtData": []}, "wrong_type"),
        ("clevertap", CLEVERTAP | {"evtName": "x" * 256}, "out_of_range"),
        ("segment", without(TRACK, "userId"), "missing_field"),
        ("segment", without(TRACK, "timestamp"), "missing_field"),
        ("segment", without(TRACK, "event"), "missing_field"),
        ("segment", TRACK | {"timestamp": T_MS}, "wrong_type"),
        ("segment", TRACK | {"timestamp": "2026-03-01"}, "bad_time"),
        ("segment", TRACK | {"properties": "x"}, "wrong_type"),
        ("segment", TRACK | {"messageId": ""}, "out_of_range"),
        ("cloudevents", without(CLOUD, "subject"), "missing_field"),
        ("cloudevents", without(CLOUD, "time"), "missing_field"),
        ("cloudevents", without(CLOUD, "id"), "missing_field"),
        ("cloudevents", without(CLOUD, "source"), "missing_field"),
        ("cloudevents", without(CLOUD, "specversion"), "missing_field"),
        ("cloudevents", CLOUD | {"specversion": "0.3"}, "wrong_type"),
        ("cloudevents", CLOUD | {"datacontenttype": "text/xml"}, "wrong_type"),
        ("cloudevents", CLOUD | {"data_base64": "eA=="}, "wrong_type"),
        ("cloudevents", CLOUD | {"data": [1]}, "wrong_type"),
        ("cloudevents", CLOUD | {"time": T_MS}, "wrong_type"),
        ("cloudevents", CLOUD | {"time": "2026-03-01T10:00:00"}, "bad_time"),
        ("cloudevents", CLOUD | {"id": "x" * 255}, "out_of_range"),
    ],
)
def test_what_is_wrong_is_a_dead_letter_with_its_reason(name: str, record: dict[str, Any], reason: str) -> None:
    assert read(name, record) == Malformed(DeadReason(reason))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not_json"),
        (b"[1]", "wrong_type"),
        (b'"\xff"', "not_unicode"),
        (b'{"a":"\\ud800"}', "not_unicode"),
        (b'{"a":1e999}', "out_of_range"),
        (b'{"a":' + b"9" * 310 + b"}", "out_of_range"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
        (b'"' + b"x" * LARGEST_BYTES + b'"', "too_large"),
    ],
    ids=["cut", "list", "bytes", "surrogate", "fraction", "integer", "deep", "large"],
)
def test_what_no_record_may_be_is_refused_in_every_format(name: str, value: bytes, reason: str) -> None:
    assert read(name, value) == decode(value) == Malformed(DeadReason(reason))
    if name == "cloudevents" and reason not in {"wrong_type", "too_large"}:
        assert read(name, value, BINARY) == Malformed(DeadReason(reason))


def test_numbers_of_every_format_are_read_as_ours_are() -> None:
    exact = {"n": 12345678901234567890, "f": 0.30000000000000004, "one": 1.0, "gone": None, "in": {"two": 2.0}}
    wanted = {"n": 12345678901234567890, "f": 0.30000000000000004, "one": 1, "in": {"two": 2}}
    for name, record in (
        ("clevertap", CLEVERTAP | {"evtData": exact}),
        ("segment", TRACK | {"properties": exact}),
        ("cloudevents", CLOUD | {"data": exact}),
    ):
        found = read(name, record)
        assert isinstance(found, Event)
        assert found.properties == wanted


PAGE = Path(__file__).parents[3] / "docs/formats.md"
_BLOCK = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("heading", "name"), [("CleverTap", "clevertap"), ("Segment and RudderStack", "segment"), ("CloudEvents", "cloudevents")]
)
def test_the_examples_of_the_page_are_read_as_it_says(heading: str, name: str) -> None:
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = [block.splitlines() for block in _BLOCK.findall(section)]
    assert blocks
    assert len(blocks) % 2 == 0
    for theirs, ours in zip(blocks[::2], blocks[1::2], strict=True):
        for their, our in zip(theirs, ours, strict=True):
            record = json.loads(their)
            said = read(name, record["value"], record["headers"]) if "headers" in record else read(name, record)
            assert said == decode(our.encode())
            assert isinstance(said, Event | Profile | Membership)
