"""`livepromo dev` says what it cannot do before it starts anything."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from livepromo.cli import main
from livepromo.sandbox import broker
from livepromo.sandbox.servers import RedisServer, ServerError


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr(RedisServer, "start", start)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "0"], "--rate is 0"),
        (["--rate", "201"], "--broker kafka bears more"),
        (["--broker", "kafka", "--rate", "2001"], "at most 2000"),
        (["--rate", "nan"], "--rate is nan"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--workers", "2"], "the embedded broker serves one worker; add --broker kafka"),
        (["--broker", "kafka", "--workers", "9"], "from 1 to 8"),
        (["--record", "/nowhere/at/all"], "--record /nowhere/at/all cannot be written"),
        (["--broker", "tansu"], "tansu"),
    ],
)
def test_options_that_do_not_go_together_end_it_with_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dev", *words]) == 2
    assert said in capsys.readouterr().err


def test_wrong_documents_end_it_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("kind: wallet\nid: shop\ncolour: red\n")
    assert main(["dev", "--documents", str(file)]) == 1
    assert "$.colour" in capsys.readouterr().err


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ServerError, match=r"confluent-kafka: pip install 'livepromo\[dev\]'$"):
        broker.EmbeddedBroker()


def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed() -> str:
        raise ServerError("no redis-server 7 or newer on PATH")

    monkeypatch.setattr(RedisServer, "installed", installed)


def test_without_a_redis_on_path_the_one_of_the_package_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_redis(monkeypatch)
    assert Path(broker.redis_binary()).name == "redis-server"


def test_without_any_redis_it_says_what_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _no_redis(monkeypatch)

    def nothing(_: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(ServerError, match=r"pip install 'livepromo\[dev\]'$"):
        broker.redis_binary()
