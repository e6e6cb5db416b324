"""Settings come from the environment; what is wrong is one line that says what is right, and secrets are never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from livepromo.settings import Clock, Denials, Format, Settings, SettingsError, load


def test_without_variables_the_defaults_of_the_specification_hold() -> None:
    settings = load({})
    assert settings == Settings(
        kafka="localhost:9092",
        redis="redis://localhost:6379/0",
        namespace="livepromo",
        events="events",
        timezone="UTC",
        grace_ms=5_000,
        lateness_ms=86_400_000,
        repeats_ms=86_400_000,
        ahead_ms=300_000,
        open_windows=1000,
        denials=Denials.ALL,
        clock=Clock.TICKS,
        trust_producer_time=False,
        format=Format.LIVEPROMO,
        metrics_port=None,
        failpoints="",
        embedded=False,
    )


def test_every_setting_is_read_from_its_variable() -> None:
    settings = load(
        {
            "LIVEPROMO_KAFKA": "a:9092,[::1]:9093",
            "LIVEPROMO_REDIS": "rediss://user:secret@cache:6380/3",
            "LIVEPROMO_NAMESPACE": "shop",
            "LIVEPROMO_EVENTS": "clicks",
            "LIVEPROMO_TIMEZONE": "Asia/Kolkata",
            "LIVEPROMO_GRACE": "7s",
            "LIVEPROMO_LATENESS": "2d",
            "LIVEPROMO_REPEATS": "1w",
            "LIVEPROMO_AHEAD": "10m",
            "LIVEPROMO_OPEN_WINDOWS": "5",
            "LIVEPROMO_DENIALS": "first",
            "LIVEPROMO_CLOCK": "records",
            "LIVEPROMO_TRUST_PRODUCER_TIME": "true",
            "LIVEPROMO_FORMAT": "livepromo",
            "LIVEPROMO_METRICS_PORT": "9999",
            "LIVEPROMO_FAILPOINTS": "deliver.published=kill",
            "LIVEPROMO_EMBEDDED": "true",
        }
    )
    assert settings == Settings(
        kafka="a:9092,[::1]:9093",
        redis="rediss://user:secret@cache:6380/3",
        namespace="shop",
        events="clicks",
        timezone="Asia/Kolkata",
        grace_ms=7_000,
        lateness_ms=172_800_000,
        repeats_ms=604_800_000,
        ahead_ms=600_000,
        open_windows=5,
        denials=Denials.FIRST,
        clock=Clock.RECORDS,
        trust_producer_time=True,
        format=Format.LIVEPROMO,
        metrics_port=9999,
        failpoints="deliver.published=kill",
        embedded=True,
    )


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("KAFKA", "localhost", "host:port"),
        ("KAFKA", "a:9092,", "host:port"),
        ("KAFKA", "kafka://a:9092", "host:port"),
        ("KAFKA", "a:0", "host:port"),
        ("NAMESPACE", "", "letters"),
        ("NAMESPACE", "x" * 201, "200"),
        ("EVENTS", "our events", "name of a topic"),
        ("EVENTS", "..", "name of a topic"),
        ("TIMEZONE", "Mars/Olympus", "Asia/Kolkata"),
        ("GRACE", "5", "1s to 24h"),
        ("GRACE", "25h", "1s to 24h"),
        ("LATENESS", "0s", "1s to 3660d"),
        ("REPEATS", "one day", "1s to 3660d"),
        ("AHEAD", "-5m", "1s to 3660d"),
        ("OPEN_WINDOWS", "0", "from 1"),
        ("OPEN_WINDOWS", "1e3", "whole number"),
        ("DENIALS", "some", "all or first or none"),
        ("CLOCK", "wall", "ticks or records"),
        ("TRUST_PRODUCER_TIME", "yes", "true or false"),
        ("FORMAT", "csv", "livepromo"),
        ("METRICS_PORT", "70000", "65535"),
        ("METRICS_PORT", "", "whole number"),
        ("EMBEDDED", "1", "true or false"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_variable_the_value_and_what_is_right(name: str, value: str, right: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({f"LIVEPROMO_{name}": value})
    said = str(error.value)
    assert f"LIVEPROMO_{name}" in said
    assert right in said
    assert value[:100] in said
    assert "\n" not in said


@pytest.mark.parametrize("value", ["http://u:hunter2@h", "redis://u:hunter2@h:port", "redis://u:hunter2@h/db", "hunter2"])
def test_a_wrong_secret_is_not_shown(value: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({"LIVEPROMO_REDIS": value})
    assert "LIVEPROMO_REDIS" in str(error.value)
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


def test_what_settings_show_of_themselves_has_no_secret() -> None:
    settings = load({"LIVEPROMO_REDIS": "redis://somebody:hunter2@cache:6380/3"})
    assert settings.redis_address == "redis://cache:6380/3"
    assert "redis://cache:6380/3" in repr(settings)
    assert "hunter" not in repr(settings)
    assert "hunter" not in str(settings)
    assert "somebody" not in repr(settings)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "redis"
    file.write_text("redis://:hunter2@cache:6380/3\n")
    assert load({"LIVEPROMO_REDIS_FILE": str(file)}).redis == "redis://:hunter2@cache:6380/3"


def test_a_wrong_secret_in_a_file_names_the_variable_of_the_file_and_not_the_secret(tmp_path: Path) -> None:
    file = tmp_path / "redis"
    file.write_text("hunter2")
    with pytest.raises(SettingsError, match="LIVEPROMO_REDIS_FILE") as error:
        load({"LIVEPROMO_REDIS_FILE": str(file)})
    assert "hunter2" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'LIVEPROMO_REDIS_FILE: cannot read ".*absent"'):
        load({"LIVEPROMO_REDIS_FILE": str(tmp_path / "absent")})


def test_a_secret_that_is_set_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "redis"
    file.write_text("redis://a:1/0")
    with pytest.raises(SettingsError, match="both set"):
        load({"LIVEPROMO_REDIS": "redis://b:1/0", "LIVEPROMO_REDIS_FILE": str(file)})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LIVEPROMO_KAFFKA", "LIVEPROMO_KAFKA"),
        ("LIVEPROMO_KAFKA_TOKENFILE", "LIVEPROMO_KAFKA_TOKEN_FILE"),
        ("LIVEPROMO_TIME_ZONE", "LIVEPROMO_TIMEZONE"),
    ],
)
def test_an_unknown_variable_of_ours_is_refused_with_the_nearest_known(variable: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable} is no setting: did you mean {meant}\?"):
        load({variable: "x"})


def test_an_unknown_variable_near_to_none_is_refused_with_all_known() -> None:
    with pytest.raises(SettingsError, match=r"XYZZY is no setting: .*KAFKA.*METRICS_PORT"):
        load({"LIVEPROMO_XYZZY": "x"})


def test_variables_of_others_are_not_looked_at() -> None:
    assert load({"KAFKA": "x", "PATH": "/bin", "livepromo_kafka": "x"}) == load({})


def test_the_process_s_environment_is_read_unless_another_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEPROMO_NAMESPACE", "other")
    assert load().namespace == "other"
    assert load({}).namespace == "livepromo"


def test_topics_and_groups_stand_under_the_namespace() -> None:
    settings = load({"LIVEPROMO_NAMESPACE": "shop"})
    assert settings.topic("candidates") == "shop.candidates"
    assert settings.topic("webhooks.dead-letters") == "shop.webhooks.dead-letters"
    assert settings.group("match") == "shop.match"


@pytest.mark.parametrize("events", ["livepromo.ledger", "reward-granted", "reward-denied"])
def test_events_cannot_be_a_topic_that_livepromo_writes(events: str) -> None:
    with pytest.raises(SettingsError, match="LIVEPROMO_EVENTS"):
        load({"LIVEPROMO_EVENTS": events})


def test_without_the_setting_endpoints_are_called_over_https_alone() -> None:
    assert load({}).allow_http is False
    assert load({"LIVEPROMO_ALLOW_HTTP": "true"}).allow_http is True
    with pytest.raises(SettingsError, match=r'LIVEPROMO_ALLOW_HTTP is "yes": it must be true or false'):
        load({"LIVEPROMO_ALLOW_HTTP": "yes"})


@pytest.mark.parametrize("variable", ["LIVEPROMO_SECRET_GIFT_API", "LIVEPROMO_SECRET_gift-api", "LIVEPROMO_SECRET_Gift.Api"])
def test_a_secret_is_found_by_the_name_that_a_document_gives(variable: str) -> None:
    secrets = load({variable: "one two"}).secrets
    assert secrets.text_of("gift-api") == secrets.text_of("gift.api") == "one two"
    assert secrets.text_of("gift") is None


def test_a_secret_in_a_file_can_be_exchanged_while_it_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "gift"
    file.write_text("old\n")
    secrets = load({"LIVEPROMO_SECRET_GIFT_API_FILE": str(file)}).secrets
    assert secrets.text_of("gift-api") == "old"
    file.write_text("new\nold\n")
    assert secrets.text_of("gift-api") == "new\nold"
    file.unlink()
    with pytest.raises(SettingsError, match="LIVEPROMO_SECRET_GIFT_API_FILE: cannot read"):
        secrets.text_of("gift-api")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"LIVEPROMO_SECRET_A": ""}, "LIVEPROMO_SECRET_A is empty: it must hold a secret"),
        ({"LIVEPROMO_SECRET_A_FILE": "/nowhere/secret"}, 'LIVEPROMO_SECRET_A_FILE: cannot read "/nowhere/secret"'),
        ({"LIVEPROMO_SECRET_A": "x", "LIVEPROMO_SECRET_A_FILE": "/etc/hostname"}, "are both set, for the same secret"),
        ({"LIVEPROMO_SECRET_A_B": "x", "LIVEPROMO_SECRET_a-b": "x"}, "are both set, for the same secret"),
        ({"LIVEPROMO_SECRET_": "x"}, "names no secret"),
        ({"LIVEPROMO_SECRET": "x"}, "LIVEPROMO_SECRET is no setting"),
    ],
    ids=["empty", "no file", "text and file", "same name", "no name", "misspelt"],
)
def test_a_secret_that_cannot_be_used_is_an_error_at_start(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(environ)


def test_settings_show_the_names_of_secrets_and_nothing_else_of_them() -> None:
    assert "very-secret" not in repr(load({"LIVEPROMO_SECRET_GIFT": "very-secret"}))
    assert "Secrets(GIFT)" in repr(load({"LIVEPROMO_SECRET_GIFT": "very-secret"}))
