"""Everything that an installation sets, in one value read from the environment; nothing else reads `LIVEPROMO_` variables."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from livepromo.model.time import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, duration_ms, zone

PREFIX: Final = "LIVEPROMO_"
GRANTED_TOPIC: Final = "reward-granted"
DENIED_TOPIC: Final = "reward-denied"
METRICS_PORTS: Final = range(9464, 9480)  # where the first free one is taken from, unless one is set

Topic = Literal["catalogue", "codes", "candidates", "ledger", "state", "webhooks", "webhooks.dead-letters", "dead-letters"]
Stage = Literal["match", "decide", "deliver"]

_OWN_TOPICS: Final[tuple[Topic, ...]] = (
    "catalogue", "codes", "candidates", "ledger", "state", "webhooks", "webhooks.dead-letters", "dead-letters",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_LONGEST_NAMESPACE = 200  # a topic's name has at most 249 characters
_LONGEST_TOPIC = 249
_MOST_OPEN_WINDOWS = 1_000_000
_LARGEST_PORT = 65_535
_MOST_SHOWN = 100
_SECRET: Final = "SECRET_"  # noqa: S105 - it stands before the name of a secret
_FILE: Final = "_FILE"  # behind the name of what stands in a file


class SettingsError(Exception):
    """Arguments or settings are wrong: one line that names what is, its value (unless secret) and what is right."""


class Denials(StrEnum):
    """Which denials are written to `reward-denied`; metrics count every one."""

    ALL = "all"
    FIRST = "first"
    NONE = "none"


class Clock(StrEnum):
    """What moves stream time: records and, on an idle partition, ticks; or records alone, for replays of recorded data."""

    TICKS = "ticks"
    RECORDS = "records"


class Format(StrEnum):
    """How the records of the events topic are written."""

    LIVEPROMO = "livepromo"
    CLEVERTAP = "clevertap"
    SEGMENT = "segment"
    CLOUDEVENTS = "cloudevents"


class SecurityProtocol(StrEnum):
    """How connections to Kafka are kept private, and whether a client says who it is; Kafka's own words."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Mechanism(StrEnum):
    """How a client shows Kafka who it is, over SASL."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    OAUTHBEARER = "OAUTHBEARER"


class RedisMode(StrEnum):
    """What stands at the address of Redis: one server, the sentinels that know which one it is, or nodes of a Redis Cluster."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Secrets(msgspec.Struct, frozen=True):
    """The secrets by whose names endpoints are signed: their texts, and those that stand in files. `repr` shows names alone."""

    texts: dict[str, str] = {}
    files: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted({*self.texts, *self.files}))})"

    def text_of(self, name: str) -> str | None:
        """Return the secret that a document names, or None where there is none of that name.

        A file is read each time, so that a secret can be exchanged without a restart. Raises SettingsError where it cannot be read.
        """
        key = secret_key(name)
        path = self.files.get(key)
        return self.texts.get(key) if path is None else _content(f"{PREFIX}{_SECRET}{key}_FILE", path)


def secret_key(name: str) -> str:
    """Return how a secret's name stands in a variable's: in capitals, dots and hyphens as underscores."""
    return name.upper().replace(".", "_").replace("-", "_")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation sets. `repr` and `redis_address` do not show the secrets; what stands from `failpoints` on is internal."""

    kafka: str = "localhost:9092"
    redis: str = "redis://localhost:6379/0"
    namespace: str = "livepromo"
    events: str = "events"
    timezone: str = "UTC"
    grace_ms: int = 5 * SECOND_MS
    lateness_ms: int = 24 * HOUR_MS
    repeats_ms: int = 24 * HOUR_MS
    ahead_ms: int = 5 * MINUTE_MS
    open_windows: int = 1000
    denials: Denials = Denials.ALL
    clock: Clock = Clock.TICKS
    trust_producer_time: bool = False
    format: Format = Format.LIVEPROMO
    metrics_port: int | None = None
    # -- who we are to Kafka
    kafka_security_protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    kafka_mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    kafka_user: str = ""
    kafka_password: str = ""
    kafka_ca: str = ""
    kafka_certificate: str = ""
    kafka_key: str = ""
    kafka_key_password: str = ""
    kafka_token_file: str = ""
    kafka_token_url: str = ""
    kafka_scope: str = ""
    # -- who we are to Redis
    redis_mode: RedisMode = RedisMode.SINGLE
    redis_master: str = "mymaster"
    redis_user: str = ""
    redis_password: str = ""
    redis_sentinel_user: str = ""
    redis_sentinel_password: str = ""
    redis_ca: str = ""
    redis_certificate: str = ""
    redis_key: str = ""
    # -- calls to endpoints
    allow_http: bool = False
    secrets: Secrets = Secrets()
    # -- internal
    failpoints: str = ""
    embedded: bool = False
    session_ms: int = 10 * SECOND_MS
    renew_ms: int = DAY_MS

    def __repr__(self) -> str:
        hidden = {setting.field: "…" for setting in _SETTINGS.values() if setting.secret and getattr(self, setting.field)}
        shown = {name: getattr(self, name) for name in self.__struct_fields__} | hidden | {"redis": self.redis_address}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def redis_address(self) -> str:
        """Where Redis is, without user and password: for messages and logs."""
        url = urlsplit(self.redis)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"

    def topic(self, name: Topic) -> str:
        """Return the name of one of our topics; `events`, `GRANTED_TOPIC` and `DENIED_TOPIC` stand outside the namespace."""
        return f"{self.namespace}.{name}"

    def group(self, stage: Stage) -> str:
        """Return the consumer group of a stage."""
        return f"{self.namespace}.{stage}"


def _text(right: str, holds: Callable[[str], bool]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not holds(text):
            raise ValueError(right)
        return text

    return read


def _duration(shortest_ms: int, longest_ms: int, right: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        with contextlib.suppress(ValueError):
            length = duration_ms(text)
            if shortest_ms <= length <= longest_ms:
                return length
        raise ValueError(f"{right}: a whole number and one of s, m, h, d, w")

    return read


def _whole(first: int, last: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not first <= int(text) <= last:
            raise ValueError(f"a whole number from {first} to {last}")
        return int(text)

    return read


def _word(words: type[StrEnum]) -> Callable[[str], StrEnum]:
    def read(text: str) -> StrEnum:
        if text not in set(words):
            raise ValueError(" or ".join(words))
        return words(text)

    return read


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("true or false")
    return text == "true"


def _zone(text: str) -> str:
    try:
        return zone(text).key
    except ValueError:
        raise ValueError("an IANA time zone, such as Asia/Kolkata") from None


def _is_addresses(text: str) -> bool:
    for address in text.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or "/" in host or not _WHOLE.fullmatch(port) or not 1 <= int(port) <= _LARGEST_PORT:
            return False
    return True


def _is_redis(text: str) -> bool:
    url = urlsplit(text)
    _, _, hosts = url.netloc.rpartition("@")
    if url.scheme not in {"redis", "rediss"} or url.query or url.fragment or not re.fullmatch(r"/?|/[0-9]{1,4}", url.path):
        return False
    for address in hosts.split(","):
        try:
            one = urlsplit(f"//{address}")
            if not one.hostname or one.port == 0:
                return False
        except ValueError:  # a port that is none
            return False
    return True


def _file(text: str) -> str:
    try:
        with Path(text).open("rb"):
            return text
    except OSError as error:
        raise ValueError(f"a file that can be read: {error.strerror}") from None


def _is_token_url(text: str) -> bool:
    url = urlsplit(text)
    return url.scheme in {"http", "https"} and bool(url.hostname) and "@" not in url.netloc


def _is_topic(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and len(text) <= _LONGEST_TOPIC and text not in {".", ".."}


_not_empty = _text("not empty", bool)


class _Setting(NamedTuple):
    field: str
    read: Callable[[str], object]  # raises ValueError with what would be right
    secret: bool = False


_longest = _duration(SECOND_MS, 3660 * DAY_MS, "a duration from 1s to 3660d")
_SETTINGS: Final[dict[str, _Setting]] = {
    "KAFKA": _Setting("kafka", _text("host:port, or several with commas between them", _is_addresses)),
    "REDIS": _Setting(
        "redis",
        _text("redis://[user:password@]host:port/database (several host:port with commas), or rediss:// for TLS", _is_redis),
        secret=True,
    ),
    "NAMESPACE": _Setting(
        "namespace",
        _text(
            f"1 to {_LONGEST_NAMESPACE} letters, digits, dots, hyphens, underscores",
            lambda text: bool(_NAME.fullmatch(text)) and len(text) <= _LONGEST_NAMESPACE,
        ),
    ),
    "EVENTS": _Setting("events", _text("the name of a topic: 1 to 249 letters, digits, dots, hyphens, underscores", _is_topic)),
    "TIMEZONE": _Setting("timezone", _zone),
    "GRACE": _Setting("grace_ms", _duration(SECOND_MS, 24 * HOUR_MS, "a duration from 1s to 24h")),
    "LATENESS": _Setting("lateness_ms", _longest),
    "REPEATS": _Setting("repeats_ms", _longest),
    "AHEAD": _Setting("ahead_ms", _longest),
    "OPEN_WINDOWS": _Setting("open_windows", _whole(1, _MOST_OPEN_WINDOWS)),
    "DENIALS": _Setting("denials", _word(Denials)),
    "CLOCK": _Setting("clock", _word(Clock)),
    "TRUST_PRODUCER_TIME": _Setting("trust_producer_time", _truth),
    "FORMAT": _Setting("format", _word(Format)),
    "METRICS_PORT": _Setting("metrics_port", _whole(1, _LARGEST_PORT)),
    "KAFKA_SECURITY_PROTOCOL": _Setting("kafka_security_protocol", _word(SecurityProtocol)),
    "KAFKA_MECHANISM": _Setting("kafka_mechanism", _word(Mechanism)),
    "KAFKA_USER": _Setting("kafka_user", _not_empty),
    "KAFKA_PASSWORD": _Setting("kafka_password", _not_empty, secret=True),
    "KAFKA_CA": _Setting("kafka_ca", _file),
    "KAFKA_CERTIFICATE": _Setting("kafka_certificate", _file),
    "KAFKA_KEY": _Setting("kafka_key", _file),
    "KAFKA_KEY_PASSWORD": _Setting("kafka_key_password", _not_empty, secret=True),
    "KAFKA_TOKEN_FILE": _Setting("kafka_token_file", _file),
    "KAFKA_TOKEN_URL": _Setting("kafka_token_url", _text("the http:// or https:// URL of a token endpoint", _is_token_url)),
    "KAFKA_SCOPE": _Setting("kafka_scope", _not_empty),
    "REDIS_MODE": _Setting("redis_mode", _word(RedisMode)),
    "REDIS_MASTER": _Setting("redis_master", _not_empty),
    "REDIS_USER": _Setting("redis_user", _not_empty),
    "REDIS_PASSWORD": _Setting("redis_password", _not_empty, secret=True),
    "REDIS_SENTINEL_USER": _Setting("redis_sentinel_user", _not_empty),
    "REDIS_SENTINEL_PASSWORD": _Setting("redis_sentinel_password", _not_empty, secret=True),
    "REDIS_CA": _Setting("redis_ca", _file),
    "REDIS_CERTIFICATE": _Setting("redis_certificate", _file),
    "REDIS_KEY": _Setting("redis_key", _file),
    "ALLOW_HTTP": _Setting("allow_http", _truth),
    "FAILPOINTS": _Setting("failpoints", str),
    "EMBEDDED": _Setting("embedded", _truth),
    "SESSION": _Setting("session_ms", _duration(SECOND_MS, 30 * MINUTE_MS, "a duration from 1s to 30m")),
    "RENEW": _Setting("renew_ms", _duration(SECOND_MS, DAY_MS, "a duration from 1s to 24h")),
}
_FROM_FILES: Final = {f"{name}{_FILE}": name for name, setting in _SETTINGS.items() if setting.secret}


def _unknown(variable: str) -> SettingsError:
    known = [*_SETTINGS, *_FROM_FILES]
    near = get_close_matches(variable.removeprefix(PREFIX), known, n=1)
    secrets = f"{PREFIX}{_SECRET}<NAME> is the secret of that name, and {PREFIX} may be followed by"
    meant = f": did you mean {PREFIX}{near[0]}?" if near else f": {secrets} {', '.join(known)}"
    return SettingsError(f"{variable} is no setting{meant}")


def _shown(text: str) -> str:
    """Return a text as one short line."""
    return json.dumps(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…", ensure_ascii=False)


def _content(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        # A secret that was put here by mistake is not a path, as a rule: it is not shown.
        where = _shown(path) if path.startswith(("/", ".")) else "the file that it names (give its whole path)"
        raise SettingsError(f"{variable}: cannot read {where}: {why}") from None


def _secrets(source: Mapping[str, str]) -> Secrets:
    """Return the secrets of an environment. Raises SettingsError where one is given twice, is empty, or cannot be read."""
    secrets = Secrets({}, {})
    named: dict[str, str] = {}
    for variable in sorted(source):
        if not variable.startswith(PREFIX + _SECRET):
            continue
        name = variable.removeprefix(PREFIX + _SECRET)
        in_file = name.upper().endswith(_FILE) and len(name) > len(_FILE)
        key = secret_key(name[: -len(_FILE)] if in_file else name)
        if not key:
            raise SettingsError(f"{variable} names no secret: it must be {PREFIX}{_SECRET} and the name that an endpoint gives")
        if key in named:
            raise SettingsError(f"{named[key]} and {variable} are both set, for the same secret: set one of them")
        named[key] = variable
        (secrets.files if in_file else secrets.texts)[key] = source[variable]
        if not secrets.text_of(key):
            raise SettingsError(f"{variable} is empty: it must hold a secret, or several with blanks or new lines between them")
    return secrets


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of an environment, by default the process's. Raises SettingsError at the first that is wrong or unknown."""
    source = os.environ if environ is None else environ
    found: dict[str, object] = {}
    for variable in sorted(source):
        name = variable.removeprefix(PREFIX)
        if name == variable or name.startswith(_SECRET):
            continue
        text = source[variable]
        if name in _FROM_FILES:
            name = _FROM_FILES[name]
            if PREFIX + name in source:
                raise SettingsError(f"{PREFIX}{name} and {variable} are both set: set one of them")
            text = _content(variable, text)
        if name not in _SETTINGS:
            raise _unknown(variable)
        setting = _SETTINGS[name]
        try:
            found[setting.field] = setting.read(text)
        except ValueError as error:
            value = "has a wrong value (it is secret, so not shown)" if setting.secret else f"is {_shown(text)}"
            raise SettingsError(f"{variable} {value}: it must be {error}") from None
    found["secrets"] = _secrets(source)
    settings: Settings = msgspec.convert(found, Settings)
    ours = {settings.topic(name) for name in _OWN_TOPICS} | {GRANTED_TOPIC, DENIED_TOPIC}
    if settings.events in ours:
        raise SettingsError(f'{PREFIX}EVENTS is "{settings.events}": livepromo writes that topic itself, so events need another one')
    for holds, wrong in _combinations(settings):
        if holds:
            raise SettingsError(wrong)
    return settings


def _combinations(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Yield what must not hold, and what to say where it does: settings that have no effect, or lack another one."""
    k = settings
    protocol, mechanism = k.kafka_security_protocol, k.kafka_mechanism
    sasl, tls = protocol.startswith("SASL"), protocol.endswith("SSL")
    token = mechanism is Mechanism.OAUTHBEARER
    how = f"{PREFIX}KAFKA_SECURITY_PROTOCOL is {protocol}"
    for name, value in (
        ("USER", k.kafka_user),
        ("PASSWORD", k.kafka_password),
        ("TOKEN_FILE", k.kafka_token_file),
        ("TOKEN_URL", k.kafka_token_url),
    ):
        yield bool(value) and not sasl, f"{PREFIX}KAFKA_{name} is set, but {how}: set it to SASL_SSL"
    for name, value in (("CA", k.kafka_ca), ("CERTIFICATE", k.kafka_certificate), ("KEY", k.kafka_key)):
        yield bool(value) and not tls, f"{PREFIX}KAFKA_{name} is set, but {how}: set it to SSL or SASL_SSL"
    named = bool(k.kafka_user and k.kafka_password)
    yield sasl and not token and not named, f"{how}: set {PREFIX}KAFKA_USER and {PREFIX}KAFKA_PASSWORD (or {PREFIX}KAFKA_PASSWORD_FILE) too"
    yield (
        sasl and token and not (k.kafka_token_file or (k.kafka_token_url and named)),
        (
            f"{PREFIX}KAFKA_MECHANISM is {mechanism}: set {PREFIX}KAFKA_TOKEN_FILE, or {PREFIX}KAFKA_TOKEN_URL with "
            f"{PREFIX}KAFKA_USER and {PREFIX}KAFKA_PASSWORD, the client's id and secret"
        ),
    )
    yield (
        bool(k.kafka_token_file and k.kafka_token_url),
        f"{PREFIX}KAFKA_TOKEN_FILE and {PREFIX}KAFKA_TOKEN_URL are both set: set one of them",
    )
    yield (
        bool(k.kafka_token_file or k.kafka_token_url) and not token,
        f"{PREFIX}KAFKA_MECHANISM is {mechanism}, but a token is set: set it to {Mechanism.OAUTHBEARER}",
    )
    url = urlsplit(k.redis)
    who, _, hosts = url.netloc.rpartition("@")
    several = "," in hosts
    yield (
        bool(who) and bool(k.redis_user or k.redis_password),
        (f"{PREFIX}REDIS names a user or a password, and {PREFIX}REDIS_USER or {PREFIX}REDIS_PASSWORD is set: set one of them"),
    )
    yield bool(k.redis_user) and not k.redis_password, f"{PREFIX}REDIS_USER is set: set {PREFIX}REDIS_PASSWORD too"
    yield (
        several and k.redis_mode is RedisMode.SINGLE,
        (f"{PREFIX}REDIS names several servers: set {PREFIX}REDIS_MODE to {RedisMode.SENTINEL} or {RedisMode.CLUSTER}"),
    )
    yield (
        k.redis_mode is RedisMode.CLUSTER and url.path.strip("/0") != "",
        (f"{PREFIX}REDIS_MODE is {RedisMode.CLUSTER}: a Redis Cluster has database 0 alone"),
    )
    yield (
        bool(k.redis_sentinel_password) and k.redis_mode is not RedisMode.SENTINEL,
        (f"{PREFIX}REDIS_SENTINEL_PASSWORD is set: set {PREFIX}REDIS_MODE to {RedisMode.SENTINEL}"),
    )
    for name, value in (("CA", k.redis_ca), ("CERTIFICATE", k.redis_certificate), ("KEY", k.redis_key)):
        yield bool(value) and url.scheme != "rediss", f"{PREFIX}REDIS_{name} is set, but {PREFIX}REDIS does not begin with rediss://"
