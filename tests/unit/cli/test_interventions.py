"""What pause, resume and stop may do to a campaign, and what get finds by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from livepromo.cli import main
from livepromo.cli.errors import InputError
from livepromo.cli.get import chosen
from livepromo.cli.naming import campaign_id, unknown, who
from livepromo.cli.pause import intervention
from livepromo.documents import catalogue
from livepromo.documents.catalogue import Catalogue, Intervention, Publication, State, Verb
from livepromo.documents.files import read_files
from livepromo.documents.reading import documents_of

DOCUMENTS = """
kind: wallet
id: grocery
---
kind: campaign
id: cart
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {flat: 10}}}
"""


@pytest.fixture
def published(tmp_path: Path) -> Catalogue:
    (tmp_path / "d.yaml").write_text(DOCUMENTS)
    documents = documents_of(read_files([tmp_path / "d.yaml"], "UTC")[0])
    return catalogue.take(Catalogue(), 0, 1, Publication("anna", {}, tuple(documents)))[0]


def standing(published: Catalogue, state: State) -> Catalogue:
    entry = msgspec.structs.replace(published.entries["campaign/cart"], state=state)
    return Catalogue(published.position, {**published.entries, "campaign/cart": entry})


@pytest.mark.parametrize(
    ("state", "word", "made"),
    [
        (State.RUNNING, "pause", Verb.PAUSE),
        (State.PAUSED, "pause", None),
        (State.PAUSED, "resume", Verb.RESUME),
        (State.RUNNING, "resume", None),
        (State.RUNNING, "stop", Verb.STOP),
        (State.PAUSED, "stop", Verb.STOP),
        (State.STOPPED, "stop", None),
    ],
)
def test_what_is_so_already_is_not_published_again(published: Catalogue, state: State, word: str, made: Verb | None) -> None:
    found = intervention(standing(published, state), word, "cart", "anna")  # type: ignore[arg-type]
    assert found == (None if made is None else Intervention("anna", made, "cart"))  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_stop_is_final(published: Catalogue, word: str) -> None:
    with pytest.raises(InputError, match="campaign/cart was stopped, which is final"):
        intervention(standing(published, State.STOPPED), word, "cart", "anna")  # type: ignore[arg-type]


def test_an_unknown_campaign_is_refused_with_the_one_that_was_meant(published: Catalogue) -> None:
    with pytest.raises(InputError, match='there is no campaign "crat": did you mean cart\\?'):
        intervention(published, "pause", "crat", "anna")
    with pytest.raises(InputError, match="nothing is published"):
        intervention(Catalogue(), "pause", "cart", "anna")


def test_get_chooses_all_a_kind_or_one(published: Catalogue) -> None:
    assert list(chosen(published, None, None)) == ["campaign/cart", "wallet/grocery"]
    assert list(chosen(published, "wallet", None)) == ["wallet/grocery"]
    assert list(chosen(published, "campaign", "cart")) == ["campaign/cart"]
    assert list(chosen(published, "campaign/cart", None)) == ["campaign/cart"]
    assert not chosen(Catalogue(), "wallet", None)
    with pytest.raises(InputError, match='there is no kind "walet": did you mean wallet\\?'):
        chosen(published, "walet", None)
    with pytest.raises(InputError, match='there is no wallet "gorcery": did you mean grocery\\?'):
        chosen(published, "wallet", "gorcery")


def test_names_that_are_far_from_all_are_answered_with_what_there_is() -> None:
    assert str(unknown("wallet", "x", ["abc"])) == 'there is no wallet "x": there is abc'
    assert str(unknown("wallet", "x", [f"long{n}" for n in range(7)])).endswith("there are long0, long1, long2, long3, long4 and others")


def test_who_did_something_is_as_said_or_the_login_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "berta")
    assert (who("anna"), who(None)) == ("anna", "berta")
    assert (campaign_id("cart"), campaign_id("campaign/cart")) == ("cart", "cart")


def test_apply_refuses_documents_that_are_wrong_by_themselves_before_kafka_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEPROMO_KAFKA", "127.0.0.1:1")
    (tmp_path / "bad.yaml").write_text(DOCUMENTS.replace("flat: 10", "flat: -1"))
    assert main(["apply", str(tmp_path / "bad.yaml")]) == 1
    said = capsys.readouterr()
    assert "$.reward.points.earn.flat" in said.err
    assert said.out == ""
    assert main(["apply"]) == 2
    assert main(["apply", "--strikt", "x.yaml"]) == 2
    assert main(["log", "three", "--out", "x"]) == 2
    assert main(["log", "3"]) == 2


@pytest.mark.parametrize("words", [["pause", "cart"], ["get"], ["history"], ["log", "0", "--out", "-"], ["ledger", "verify"]])
def test_a_kafka_that_is_not_there_is_one_line_and_exit_3(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEPROMO_KAFKA", "127.0.0.1:1")
    assert main(words) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "127.0.0.1:1" in said.err
