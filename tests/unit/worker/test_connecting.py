"""Who we are to Kafka and Redis, as the settings say: what goes together, what is refused, and that no secret shows itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiokafka.errors import SaslAuthenticationFailed, TopicAuthorizationFailedError

from livepromo.ledger.redis_address import Tls
from livepromo.settings import SettingsError, load
from livepromo.streaming import private_names
from livepromo.streaming.connecting import EndpointTokens, FileTokens, failure, not_allowed
from livepromo.streaming.errors import RefusedError, UnavailableError
from livepromo.worker.connecting import kafka_of, redis_of

SECRETS = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_USER": "somebody",
    "KAFKA_PASSWORD": "hunter2",
    "KAFKA_KEY_PASSWORD": "hunter3",
    "REDIS": "redis://a:26379,b:26379/2",
    "REDIS_MODE": "sentinel",
    "REDIS_USER": "other",
    "REDIS_PASSWORD": "hunter4",
    "REDIS_SENTINEL_PASSWORD": "hunter5",
}


def settings(**values: str) -> dict[str, str]:
    return {f"LIVEPROMO_{name}": value for name, value in values.items()}


def test_without_settings_nobody_says_who_we_are() -> None:
    kafka, redis = kafka_of(load({})), redis_of(load({}))
    assert kafka.options() == {"bootstrap_servers": "localhost:9092", "security_protocol": "PLAINTEXT", "ssl_context": None}
    assert (redis.hosts, redis.mode, redis.database, redis.user, redis.password, redis.tls) == (
        (("localhost", 6379),),
        "single",
        0,
        "",
        "",
        None,
    )


def test_what_is_set_is_what_clients_are_made_of() -> None:
    found = load(settings(**SECRETS))
    options = kafka_of(found).options()
    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("somebody", "hunter2")
    redis = redis_of(found)
    assert redis.hosts == (("a", 26379), ("b", 26379))
    assert (redis.mode, redis.database, redis.master) == ("sentinel", 2, "mymaster")
    assert (redis.user, redis.password, redis.sentinel_password) == ("other", "hunter4", "hunter5")


def test_user_and_password_of_redis_may_stand_in_the_address() -> None:
    redis = redis_of(load(settings(REDIS="rediss://u%40x:p%3Aw@h:1/3")))
    assert (redis.user, redis.password, redis.tls) == ("u@x", "p:w", Tls())


def test_nothing_that_is_made_of_secrets_shows_them() -> None:
    found = load(settings(**SECRETS))
    for one in (found, kafka_of(found), redis_of(found)):
        assert "hunter" not in repr(one)
        assert "hunter" not in str(one)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"KAFKA_USER": "u"}, "SASL_SSL"),
        ({"KAFKA_PASSWORD": "hunter2"}, "SASL_SSL"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_PASSWORD_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_USER": "u"}, "KAFKA_PASSWORD"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_MECHANISM": "OAUTHBEARER"}, "KAFKA_TOKEN_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_MECHANISM": "OAUTHBEARER", "KAFKA_TOKEN_URL": "https://a/b"}, "KAFKA_PASSWORD"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_USER": "u", "KAFKA_PASSWORD": "hunter2", "KAFKA_TOKEN_URL": "https://a"},
            "OAUTHBEARER",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "SASL_PLAINTEXT"),
        ({"KAFKA_MECHANISM": "SCRAM"}, "SCRAM-SHA-256"),
        ({"KAFKA_TOKEN_URL": "https://u:hunter2@a"}, "token endpoint"),
        ({"KAFKA_CA": "/absent"}, "file that can be read"),
        ({"REDIS": "redis://a:1,b:2/0"}, "REDIS_MODE"),
        ({"REDIS": "redis://a:1,/0"}, "host:port"),
        ({"REDIS": "redis://a:1/3", "REDIS_MODE": "cluster"}, "database 0"),
        ({"REDIS_USER": "u"}, "REDIS_PASSWORD"),
        ({"REDIS": "redis://u:hunter2@a:1/0", "REDIS_PASSWORD": "hunter2"}, "one of them"),
        ({"REDIS_SENTINEL_PASSWORD": "hunter2"}, "REDIS_MODE"),
        ({"REDIS": "redis://a:1/0?db=3"}, "host:port"),
        ({"REDIS_MODE": "twin"}, "single or sentinel or cluster"),
    ],
)
def test_what_does_not_go_together_is_one_line_that_says_what_would(values: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(says)) as error:
        load(settings(**values))
    assert "\n" not in str(error.value)
    if "KAFKA_TOKEN_URL" not in values or "hunter2" not in values["KAFKA_TOKEN_URL"]:
        assert "hunter" not in str(error.value)


@pytest.mark.parametrize("name", ["KAFKA_CA", "KAFKA_CERTIFICATE", "KAFKA_KEY", "REDIS_CA", "REDIS_CERTIFICATE", "REDIS_KEY"])
def test_certificates_without_tls_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("x")
    with pytest.raises(SettingsError, match=name):
        load(settings(**{name: str(tmp_path / "pem")}))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CA": "PEM"}, "KAFKA_CA"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CERTIFICATE": "PEM"}, "KAFKA_CERTIFICATE"),
        ({"REDIS": "rediss://a:1/0", "REDIS_CA": "PEM"}, "REDIS_CA"),
        ({"REDIS": "rediss://a:1/0", "REDIS_CERTIFICATE": "PEM"}, "REDIS_CERTIFICATE"),
    ],
)
def test_a_file_that_holds_no_certificate_is_named(values: dict[str, str], name: str, tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("no certificate")
    found = load(settings(**{key: str(tmp_path / "pem") if value == "PEM" else value for key, value in values.items()}))
    with pytest.raises(SettingsError, match=name):
        _ = kafka_of(found), redis_of(found)


async def test_a_token_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    tokens = FileTokens(str(file))
    assert await tokens.token() == "one"
    file.write_text("two")
    assert await tokens.token() == "two"
    file.unlink()
    with pytest.raises(SaslAuthenticationFailed):
        await tokens.token()


async def test_a_token_endpoint_that_is_away_is_away_and_tells_no_secret() -> None:
    tokens = EndpointTokens("http://127.0.0.1:9/token", "somebody", "hunter2", "", None)
    with pytest.raises(ConnectionError) as error:
        await tokens.token()
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


def test_what_is_not_allowed_is_told_from_what_is_away() -> None:
    no = TopicAuthorizationFailedError("ledger")
    wrapped = SaslAuthenticationFailed("x")
    wrapped.__cause__ = no
    assert isinstance(failure(no, "sending failed", "Write on topic ledger"), RefusedError)
    assert "Write on topic ledger" in str(failure(no, "sending failed", "Write on topic ledger"))
    assert isinstance(not_allowed(wrapped, "a", "b"), RefusedError)
    assert isinstance(failure(SaslAuthenticationFailed("x"), "a", "b"), UnavailableError)


def test_every_broker_that_is_named_is_one_to_knock_at() -> None:
    assert sorted(private_names.addresses("a:1,b:2")) == [("a", 1), ("b", 2)]
