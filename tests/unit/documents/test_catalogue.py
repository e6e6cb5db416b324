"""Publications taken in order: revisions, states, and what is void."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.documents.catalogue import (
    Catalogue,
    Entry,
    FormatError,
    HistoryRow,
    Intervention,
    Publication,
    State,
    Verb,
    campaign_state,
    decode,
    encode,
    history,
    publication_of,
    take,
)
from livepromo.model.ids import CampaignId
from unit.documents.builders import CAMPAIGN, WALLET, P, a_campaign, changed, meaning, read_all

C = CampaignId("c")


def publication(catalogue: Catalogue, *documents: Any, by: str = "ann") -> Publication | None:
    read, problems = read_all(*documents)
    assert not problems
    return publication_of(read, catalogue, by)


def publish(catalogue: Catalogue, *documents: Any, at_ms: int = 1000) -> Catalogue:
    made = publication(catalogue, *documents)
    assert made is not None
    result, valid = take(catalogue, catalogue.position, at_ms, made)
    assert valid
    return result


def intervene(catalogue: Catalogue, verb: Verb, campaign: str = "c") -> tuple[Catalogue, bool]:
    return take(catalogue, catalogue.position, 5000, Intervention("bob", verb, CampaignId(campaign)))


def state_of(catalogue: Catalogue) -> State:
    return catalogue.entries["campaign/c"].state


def test_a_changed_document_makes_the_next_revision_and_the_same_one_changes_nothing() -> None:
    first = publish(Catalogue(), WALLET, CAMPAIGN, at_ms=1000)
    assert first.entries["campaign/c"] == Entry(meaning(CAMPAIGN), 1, 1000, 1000, "ann", State.RUNNING)
    assert publication(first, WALLET, CAMPAIGN) is None
    assert publication(first, WALLET, a_campaign({f"{P}.max_per_reward": 5, "name": "N"})) is not None
    second = publish(first, a_campaign({"name": "N"}), WALLET, at_ms=2000)
    entry = second.entries["campaign/c"]
    assert (entry.revision, entry.first_published_ms, entry.published_ms) == (2, 1000, 2000)
    assert second.entries["wallet/grocery"].revision == 1
    assert first.entries["campaign/c"].revision == 1  # never mutated
    assert second.position == 2


def test_the_same_means_once_read_and_filled_in_with_defaults() -> None:
    catalogue = publish(Catalogue(), WALLET, CAMPAIGN)
    spelled_out = a_campaign({
        "timezone": "UTC", "qualify.live.where": [], "when": {"start": "now", "end": "never"}, f"{P}.on_insufficient": "reject",
        f"{P}.validity": {}, f"{P}.metadata": [], f"{P}.earn.percent": 10.000, f"{P}.budget.campaign": 5e3,
    })  # fmt: skip
    assert publication(catalogue, changed(WALLET, {"rounding": "down", "active": True, "external": False}), spelled_out) is None


def test_a_publication_expects_what_it_saw_of_its_documents_and_of_those_that_they_refer_to() -> None:
    made = publication(Catalogue(), WALLET, CAMPAIGN)
    assert made is not None
    assert made.expects == {"wallet/grocery": 0, "campaign/c": 0}
    catalogue = publish(publish(Catalogue(), WALLET), changed(WALLET, {"name": "N"}))
    made = publication(catalogue, CAMPAIGN)
    assert made is not None
    assert made.expects == {"wallet/grocery": 2, "campaign/c": 0}
    assert [document.id for document in made.documents] == ["c"]


def test_two_people_publishing_at_once_cannot_both_win() -> None:
    catalogue = publish(Catalogue(), WALLET, CAMPAIGN)
    ours, theirs = publication(catalogue, a_campaign({"name": "A"})), publication(catalogue, a_campaign({"name": "B"}))
    assert ours is not None
    assert theirs is not None
    after, valid = take(catalogue, 1, 2000, ours)
    assert valid
    last, valid = take(after, 2, 3000, theirs)
    assert not valid
    assert last.entries == after.entries
    assert last.position == 3


def test_a_change_of_what_a_document_refers_to_makes_its_publication_void() -> None:
    catalogue = publish(Catalogue(), WALLET, CAMPAIGN)
    ours = publication(catalogue, a_campaign({"name": "A"}))
    assert ours is not None
    after = publish(catalogue, changed(WALLET, {"active": False}))
    assert take(after, 2, 3000, ours) == (Catalogue(3, after.entries), False)


def test_a_void_publication_changes_none_of_its_documents() -> None:
    catalogue = publish(Catalogue(), WALLET)
    stale = Publication("ann", {"wallet/grocery": 0, "campaign/c": 0}, (meaning(CAMPAIGN),))
    assert take(catalogue, 1, 2000, stale)[0].entries == catalogue.entries


@pytest.mark.parametrize(
    ("before", "verb", "after"),
    [
        (State.RUNNING, Verb.PAUSE, State.PAUSED), (State.RUNNING, Verb.RESUME, State.RUNNING), (State.RUNNING, Verb.STOP, State.STOPPED),
        (State.PAUSED, Verb.PAUSE, State.PAUSED), (State.PAUSED, Verb.RESUME, State.RUNNING), (State.PAUSED, Verb.STOP, State.STOPPED),
        (State.STOPPED, Verb.PAUSE, None), (State.STOPPED, Verb.RESUME, None), (State.STOPPED, Verb.STOP, State.STOPPED),
    ],
)  # fmt: skip
def test_pause_and_resume_are_not_final_and_stop_is(before: State, verb: Verb, after: State | None) -> None:
    catalogue = publish(Catalogue(), WALLET, CAMPAIGN)
    if before is not State.RUNNING:
        catalogue, _ = intervene(catalogue, Verb.PAUSE if before is State.PAUSED else Verb.STOP)
    result, valid = intervene(catalogue, verb)
    assert valid is (after is not None)
    assert state_of(result) is (after or before)
    assert result.entries["campaign/c"].revision == 1
    assert result.position == catalogue.position + 1


def test_an_intervention_on_what_is_no_published_campaign_is_void() -> None:
    catalogue = publish(Catalogue(), WALLET)
    for verb in Verb:
        assert intervene(catalogue, verb, "grocery") == (Catalogue(2, catalogue.entries), False)


def test_a_revision_of_a_paused_campaign_leaves_it_paused_and_of_a_stopped_one_is_void() -> None:
    running = publish(Catalogue(), WALLET, CAMPAIGN)
    paused, _ = intervene(running, Verb.PAUSE)
    assert state_of(publish(paused, a_campaign({"name": "N"}))) is State.PAUSED
    ours = publication(paused, a_campaign({"name": "N"}))
    assert ours is not None
    stopped, _ = intervene(paused, Verb.STOP)
    assert take(stopped, stopped.position, 9000, ours) == (Catalogue(stopped.position + 1, stopped.entries), False)


def test_offsets_may_have_gaps_and_never_go_back() -> None:
    made = publication(Catalogue(), WALLET)
    assert made is not None
    catalogue, _ = take(Catalogue(), 7, 1000, made)
    assert catalogue.position == 8
    with pytest.raises(AssertionError):
        take(catalogue, 7, 1000, made)


@pytest.mark.parametrize(
    ("when", "verb", "now_ms", "shown"),
    [
        ({}, None, 1000, "running"), ({}, Verb.PAUSE, 2000, "paused"), ({}, Verb.STOP, 2000, "stopped"), ({}, Verb.RESUME, 2000, "running"),
        ({"start": "1970-01-01T00:01Z"}, None, 59_999, "scheduled"), ({"start": "1970-01-01T00:01Z"}, None, 60_000, "running"),
        ({"start": "1970-01-01T00:01Z"}, Verb.PAUSE, 59_999, "paused"),
        ({"end": "1970-01-01T00:01Z"}, None, 59_999, "running"), ({"end": "1970-01-01T00:01Z"}, None, 60_000, "ended"),
        ({"end": "1970-01-01T00:01Z"}, Verb.PAUSE, 60_000, "ended"), ({"end": "1970-01-01T00:01Z"}, Verb.STOP, 60_000, "stopped"),
        ({}, None, 999, "scheduled"),
    ],
)  # fmt: skip
def test_how_a_campaign_is_shown(when: dict[str, str], verb: Verb | None, now_ms: int, shown: str) -> None:
    catalogue = publish(Catalogue(), WALLET, a_campaign({"when": when}), at_ms=1000)
    if verb:
        catalogue, _ = intervene(catalogue, verb)
    assert campaign_state(catalogue.entries["campaign/c"], now_ms) == shown


def test_what_is_encoded_is_decoded_with_every_number_exact() -> None:
    where = [
        {"property": "A", "op": "in", "value": [1, 1.5, True, "1", 10**300, -(10**30), 2**64, 5e-324, 0.1, 9007199254740993]},
        {"property": "é💰", "op": "exists"},
    ]
    document = a_campaign(
        {"qualify.live.where": where, f"{P}.metadata": [{"key": "a", "value": 2**70}, {"system": "grant_id"}], "who": {"sample": 5}}
    )
    for one in (
        Publication("ann", {"campaign/c": 0}, (meaning(document), meaning(WALLET))),
        Publication("", {}, (meaning(a_campaign({f"{P}.earn": {"random": {"min": 1, "max": 2, "favor": "max"}}})),)),
        Intervention("bob", Verb.STOP, C),
    ):
        value = encode(one)
        assert value[0] == 1
        again = decode(value)
        assert again == one
        assert repr(again) == repr(one)  # 1 and True, 1 and 1.0 are told apart


@pytest.mark.parametrize("value", [b"", b"\x02{}", b"{}", b"\x00"])
def test_another_format_version_is_refused_with_what_to_do(value: bytes) -> None:
    with pytest.raises(FormatError, match="reads 1: upgrade livepromo"):
        decode(value)


@pytest.mark.parametrize(
    "value", [b"\x01", b"\x01{}", b"\x01[1]", b"\x01\xff", b'\x01{"type":"publication","by":1}', b"\x01" + b"[" * 100_000]
)
def test_what_is_no_publication_is_refused(value: bytes) -> None:
    with pytest.raises(FormatError, match="does not read as one"):
        decode(value)


def test_history_says_who_did_what_and_what_was_void() -> None:
    first = publication(Catalogue(), WALLET, CAMPAIGN)
    stale = publication(Catalogue(), CAMPAIGN, by="eve")
    assert first is not None
    assert stale is not None
    rows = history([
        (0, 1000, first), (2, 2000, stale), (3, 3000, Intervention("bob", Verb.PAUSE, C)),
        (4, 4000, Intervention("bob", Verb.RESUME, CampaignId("x"))),
    ])  # fmt: skip
    assert rows == [
        HistoryRow(0, 1000, "ann", "published", "wallet/grocery", 1, False),
        HistoryRow(0, 1000, "ann", "published", "campaign/c", 1, False),
        HistoryRow(2, 2000, "eve", "published", "campaign/c", 1, True),
        HistoryRow(3, 3000, "bob", "paused", "campaign/c", 1, False),
        HistoryRow(4, 4000, "bob", "resumed", "campaign/x", 0, True),
    ]
