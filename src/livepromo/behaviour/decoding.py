"""What a record's bytes say: an event, a profile, a membership, nothing of ours, or why it can never be processed."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from itertools import accumulate
from math import inf
from typing import Annotated, Any, Final, Literal

import msgspec

from livepromo.model.ids import UserId
from livepromo.model.records import DeadReason, Erase, Event, Ignored, Malformed, Membership, Profile, Properties, Record
from livepromo.model.time import instant_ms

LARGEST_BYTES: Final = 256 * 1024
DEEPEST: Final = 32  # the record itself is 1
LONGEST_NAME: Final = 255  # characters
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
LATEST_MS: Final = 4_102_444_800_000 - 1  # the last of 2099
_BEYOND: Final = 2**1024 - 2**970  # the least integer that rounds to no finite double
_BEYOND_DIGITS: Final = 309
_EXACT: Final = 2**53  # below it an integral double is its own shortest decimal form

Translate = Callable[[dict[str, Any]], dict[str, Any] | None]

_IGNORED = Ignored()
_MALFORMED = {reason: Malformed(reason) for reason in DeadReason}
_json = msgspec.json.Decoder().decode
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]


class _Plain(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Most of what is read: an event with all that it needs and nothing else. Any other record is looked at field by field.

    It accepts nothing that is refused there, and reads the same from what it accepts; it takes a third of the time.
    """

    user: _Name
    event: _Name
    ts: Annotated[int, msgspec.Meta(ge=EARLIEST_MS, le=LATEST_MS)]
    properties: dict[str, Any]
    id: _Name | None = None
    type: Literal["event"] | None = None


_plain = msgspec.json.Decoder(_Plain).decode
_OPENING = ord("[")  # looking for a byte takes a tenth of the time that looking for bytes does
_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DEPTH = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class RefusedError(Exception):
    """A record that is a dead letter, on the way to where that is said."""

    def __init__(self, reason: DeadReason) -> None:
        self.reason = reason


def normal_number(value: float) -> int | float:
    """Return the one form of a number: an integer where its shortest decimal form is one, so that equal numbers are equal values."""
    if isinstance(value, int) or not value.is_integer():
        return value
    return int(value) if -_EXACT < value < _EXACT else int(Decimal(repr(value)))


def decode(value: bytes | None) -> Record:  # noqa: C901 - a call less for every record
    """Return what a record of the events topic says.

    Of several things that are wrong the first counts, in this order: too_large; too_deep; not_unicode where the bytes are no UTF-8;
    not_json; not_unicode where an escape is a lone surrogate; out_of_range where a number is beyond a double; wrong_type where the
    record is no object or `type` no string; then, unless it is of a type that is ignored, wrong_type, missing_field, out_of_range
    (lengths of names) and bad_time, each over all of its fields. Of what a repeated key overrides only size, depth and syntax count.
    A function of the bytes alone, so a repeat reads the same.
    """
    if not value:
        return _IGNORED
    if len(value) > LARGEST_BYTES:
        return _MALFORMED[DeadReason.TOO_LARGE]
    if (_OPENING in value or value.count(b"{") > DEEPEST) and _too_deep(value):
        return _MALFORMED[DeadReason.TOO_DEEP]
    may_be_beyond = len(value) >= _BEYOND_DIGITS
    try:
        plain = _plain(value)
    except (msgspec.DecodeError, UnicodeDecodeError):  # also of another shape: a ValidationError is a DecodeError
        pass
    else:
        properties = plain.properties
        if not may_be_beyond or not _has_beyond(properties):
            for item in properties.values():
                what = type(item)
                if what is str or what is int:
                    continue
                if what is not bool and (what is not float or item.is_integer()):
                    properties = _present(properties)
                    break
            return Event(plain.user, plain.event, plain.ts, plain.id, properties)  # type: ignore[arg-type] # UserId(user): one call more
    try:
        return _read(parsed(value), may_be_beyond=may_be_beyond)
    except RefusedError as refused:
        return _MALFORMED[refused.reason]


def decode_with(value: bytes | None, translate: Translate) -> Record:
    """Return what a record of another format says, which `translate` puts into the fields of ours; None: it is one to be ignored.

    Everything is refused that `decode` refuses, in the same order; `translate` may raise RefusedError.
    """
    if not value:
        return _IGNORED
    if len(value) > LARGEST_BYTES:
        return _MALFORMED[DeadReason.TOO_LARGE]
    if _too_deep(value):
        return _MALFORMED[DeadReason.TOO_DEEP]
    try:
        return _read(parsed(value), may_be_beyond=len(value) >= _BEYOND_DIGITS, translate=translate)
    except RefusedError as refused:
        return _MALFORMED[refused.reason]


def decode_recorded(value: bytes, decode: Callable[[bytes | None], Record] = decode) -> tuple[Record, int | None]:
    """Return what a record of a recorded file says, and when Kafka had received it (`appended`, epoch ms), where it says so.

    An `appended` that is no integer is wrong_type, one outside 2000 to 2099 bad_time; what `decode` refuses comes first.
    """
    record = decode(value)
    if isinstance(record, Ignored | Malformed):
        return record, None
    appended = parsed(value).get("appended")
    if appended is None:
        return record, None
    if type(appended) is not int:
        return _MALFORMED[DeadReason.WRONG_TYPE], None
    if not EARLIEST_MS <= appended <= LATEST_MS:
        return _MALFORMED[DeadReason.BAD_TIME], None
    return record, appended


def _too_deep(value: bytes) -> bool:
    """Say whether brackets outside strings nest too deep: before parsing, whose own limit depends on the stack that it is called on."""
    if value.count(b"{") + value.count(b"[") <= DEEPEST:
        return False
    outside = b"".join(value.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    return any(depth > DEEPEST for depth in accumulate(map(_DEPTH.__getitem__, outside.translate(None, _BRACKETS))))


def parsed(value: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value of some bytes. Raises RefusedError."""
    try:
        return _json(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _parsed_slowly(value)


def _parsed_slowly(value: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value that the fast parser has refused, if there is one. Raises RefusedError.

    The fast parser refuses too much: some long numbers that are small, and what a repeated key makes of no account.
    """

    def integer(text: str) -> int:
        # Longer digits must not reach int(), which refuses them for its own reason.
        return int(text) if len(text) <= _BEYOND_DIGITS + 1 else _BEYOND

    def fraction(text: str) -> float:
        number = float(text)
        return number if -inf < number < inf else _BEYOND

    def bare_word(text: str) -> float:
        raise ValueError(text)

    try:
        read = json.loads(value.decode(), parse_int=integer, parse_float=fraction, parse_constant=bare_word)
        json.dumps(read, ensure_ascii=False).encode()  # raises where a string is no Unicode
    except UnicodeError:
        raise RefusedError(DeadReason.NOT_UNICODE) from None
    except ValueError:
        raise RefusedError(DeadReason.NOT_JSON) from None
    if _has_beyond(read):
        raise RefusedError(DeadReason.OUT_OF_RANGE)
    return read


def _has_beyond(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Say whether an integer in a value is beyond the range of a double; fractions beyond it have not been parsed."""
    for item in value.values() if type(value) is dict else value if type(value) is list else (value,):
        what = type(item)
        if what is int:
            if not -_BEYOND < item < _BEYOND:
                return True
        elif (what is dict or what is list) and _has_beyond(item):
            return True
    return False


def _normal(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value with every number in its one form."""
    if type(value) is float:
        return normal_number(value)
    if type(value) is dict:
        return {key: _normal(item) for key, item in value.items()}
    if type(value) is list:
        return [_normal(item) for item in value]
    return value


def _read(record: Any, *, may_be_beyond: bool, translate: Translate | None = None) -> Record:  # noqa: ANN401 - any JSON value
    """Return what a parsed record says. Raises RefusedError."""
    if may_be_beyond and _has_beyond(record):
        raise RefusedError(DeadReason.OUT_OF_RANGE)
    if type(record) is not dict:
        raise RefusedError(DeadReason.WRONG_TYPE)
    # `livepromo erase` writes one and the same record, whatever the format of the others.
    fields = record if translate is None or record.get("type") == ERASE else translate(record)
    return _IGNORED if fields is None else _read_fields(fields)


def _present(properties: Properties) -> Properties:
    return {name: _normal(item) for name, item in properties.items() if item is not None}


def _read_fields(record: dict[str, Any]) -> Record:
    """Return what any record says, however unusual. Raises RefusedError."""
    kind = "event" if record.get("type") is None else record["type"]
    if type(kind) is not str:
        raise RefusedError(DeadReason.WRONG_TYPE)
    types = FIELDS.get(kind)
    if types is None:
        return _IGNORED
    fields: dict[str, Any] = {name: record.get(name) for name in types}
    if any(field is not None and type(field) not in types[name] for name, field in fields.items()):
        raise RefusedError(DeadReason.WRONG_TYPE)
    if any(field is None and name not in OPTIONAL for name, field in fields.items()):
        raise RefusedError(DeadReason.MISSING_FIELD)
    if any(not 0 < len(fields[name]) <= LONGEST_NAME for name in NAMES if fields.get(name) is not None):
        raise RefusedError(DeadReason.OUT_OF_RANGE)
    user, ts_ms = UserId(fields["user"]), _time_ms(fields["ts"])
    match kind:
        case "segment":
            return Membership(user, ts_ms, fields["segment"], fields["member"])
        case "erase":
            return Erase(user, ts_ms)
        case "profile":
            return Profile(user, ts_ms, _normal(fields["properties"] or {}))
        case _:
            return Event(user, fields["event"], ts_ms, fields["id"], _present(fields["properties"] or {}))


ERASE: Final = "erase"
_USER_AND_TIME: dict[str, tuple[type, ...]] = {"user": (str,), "ts": (int, str)}
# What a record of a type has: its fields and their types; of NAMES each has 1 to LONGEST_NAME characters.
FIELDS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "event": {**_USER_AND_TIME, "event": (str,), "id": (str,), "properties": (dict,)},
    "profile": {**_USER_AND_TIME, "properties": (dict,)},
    "segment": {**_USER_AND_TIME, "segment": (str,), "member": (bool,)},
    ERASE: _USER_AND_TIME,
}
OPTIONAL: Final = frozenset({"id", "properties"})
NAMES: Final = ("user", "event", "id", "segment")


def _time_ms(ts: int | str) -> int:
    """Return when a record says that it was. Raises RefusedError."""
    if isinstance(ts, str):
        try:
            ts = instant_ms(ts, None)
        except ValueError:
            raise RefusedError(DeadReason.BAD_TIME) from None
    if not EARLIEST_MS <= ts <= LATEST_MS:
        raise RefusedError(DeadReason.BAD_TIME)
    return ts
