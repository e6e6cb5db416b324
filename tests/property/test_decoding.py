"""Decoding against the standard library's reader and decimal arithmetic, and against whatever bytes there are."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from livepromo.behaviour.decoding import decode, decode_recorded
from livepromo.behaviour.users import User
from livepromo.behaviour.users import decode as decode_user
from livepromo.behaviour.users import encode as encode_user
from livepromo.model.json_text import json_bytes
from livepromo.model.records import DeadReason, Event, Malformed

TS = 1764547200000
LARGEST = Decimal(2**1024 - 2**970)

NUMBER_TEXTS = st.one_of(
    st.integers().map(str),
    st.integers(-(10**320), 10**320).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)


def json_texts(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]"),
            st.lists(st.tuples(TEXTS, inner), max_size=4).map(lambda pairs: "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in pairs) + "}"),
        ),
        max_leaves=12,
    )


LEAVES = st.one_of(NUMBER_TEXTS, st.sampled_from(["true", "false", "null"]), TEXTS.map(json.dumps))


BEYOND = object()


def number(text: str) -> Any:
    """A number's one form: exact if written as an integer, else what the nearest double's shortest decimal form stands for."""
    if abs(Decimal(text)) >= LARGEST:
        return BEYOND
    if text.lstrip("-").isdigit():
        return int(text)
    shortest = Decimal(repr(float(text)))
    return int(shortest) if shortest == shortest.to_integral_value() else float(text)


def has_beyond(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is BEYOND or any(map(has_beyond, inner))


@settings(max_examples=400, deadline=None)
@given(json_texts(LEAVES), st.booleans())
@example("1797693134862315807937289714053011991623806851620830000e255", False)
def test_a_property_is_read_as_the_standard_library_reads_it_with_exact_numbers(text: str, elsewhere: bool) -> None:
    name = b'"other"' if elsewhere else b'"properties":{"p"'
    value = b'{"user":"u1","event":"e","ts":1764547200000,%b:%b}%b' % (name, text.encode(), b"" if elsewhere else b"}")
    record = decode(value)
    expected = json.loads(text, parse_int=number, parse_float=number)
    if has_beyond(expected):
        assert record == Malformed(DeadReason.OUT_OF_RANGE)
        return
    assert isinstance(record, Event)
    if elsewhere:
        assert record.properties == {}
        return
    assert record.properties == ({} if expected is None else {"p": expected})
    assert repr(record.properties) == repr({} if expected is None else {"p": expected})


def is_json(text: str) -> bool:
    def refuse(word: str) -> Any:
        raise ValueError(word)

    try:
        json.loads(text, parse_constant=refuse, parse_int=len, parse_float=len)
    except ValueError:
        return False
    return True


GOOD = b'{"type":"event","id":"e-\\u00e9","user":"u1","event":"Ch\\"arged","ts":1764547200000,"properties":{"A":499.5,"B":[1,{"c":null}]}}'


@settings(max_examples=600, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(GOOD)),
            st.integers(0, 4),
            st.one_of(
                st.binary(max_size=3), st.sampled_from([b'"', b"\\", b"\\ud800", b"[", b"}", b",", b"0", b"e9", b"NaN", b"\xff", b"null"])
            ),
        ),
        max_size=3,
    )
)
def test_a_damaged_record_is_never_a_crash_and_no_json_exactly_if_it_is_none(damages: list[tuple[int, int, bytes]]) -> None:
    value = GOOD
    for at, cut, put in damages:
        value = value[:at] + put + value[at + cut :]
    record, _ = decode_recorded(value)
    assert record == decode(value) or isinstance(record, Malformed)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        assert record == Malformed(DeadReason.NOT_UNICODE)
        return
    assert (record == Malformed(DeadReason.NOT_JSON)) is (bool(value) and not is_json(text))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_have_an_answer(value: bytes) -> None:
    decode(value)
    decode_recorded(value)


def deepest(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(deepest, inner), default=0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["[", '{"k":', '["]}",', '[{},"\\\\",']), max_size=45))
def test_a_record_is_too_deep_exactly_if_it_nests_beyond_32(openings: list[str]) -> None:
    closing = {"[": "]", '{"k":': "}", '["]}",': "]", '[{},"\\\\",': "]"}
    text = "".join(openings) + "1" + "".join(closing[opening] for opening in reversed(openings))
    value = f'{{"user":"u1","event":"e","ts":{TS},"x":{text}}}'
    assert (decode(value.encode()) == Malformed(DeadReason.TOO_DEEP)) is (deepest(json.loads(value)) > 32)


@settings(max_examples=200, deadline=None)
@given(json_texts(LEAVES), st.sets(TEXTS))
def test_what_is_read_is_written_and_read_again_the_same(text: str, segments: set[str]) -> None:
    record = decode(b'{"user":"u1","event":"e","ts":1764547200000,"properties":{"p":%b}}' % text.encode())
    if isinstance(record, Event):
        assert repr(json.loads(json_bytes(record.properties))) == repr(record.properties)
        user = User(record.properties, frozenset(segments))
        read = decode_user(encode_user(user))
        assert read == user
        assert repr(read.properties) == repr(user.properties)
