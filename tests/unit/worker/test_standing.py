"""How a campaign stands, by what its partitions have done (R18)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue, Intervention, Verb, publication_of, take
from livepromo.documents.files import check_content
from livepromo.engine.horizons import Horizons
from livepromo.engine.state import History, Scan, Sent, State
from livepromo.model.ids import CampaignId, UserId
from livepromo.worker.standing import Standing, depends_on_partitions, needs_of, stands

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
C = CampaignId("c")
BOUGHT = {"did": {"event": "Paid"}}
LIVE: dict[str, Any] = {"qualify": {"live": {"event": "Paid"}}}
PAST: dict[str, Any] = {"qualify": {"past": {}}, "who": BOUGHT}


def published(campaign: dict[str, Any], *verbs: Verb) -> Catalogue:
    documents = [
        {"kind": "wallet", "id": "grocery"},
        {"kind": "campaign", "id": C, "reward": {"points": {"wallet": "grocery", "earn": {"flat": 1}}}, **campaign},
    ]
    read, _ = check_content(json.dumps(documents).encode(), "d.json", "UTC")
    publication = publication_of(read, Catalogue(), "anna")
    assert publication is not None
    catalogue, _ = take(Catalogue(), 0, NOW, publication)
    for offset, verb in enumerate(verbs, 1):
        catalogue, _ = take(catalogue, offset, NOW, Intervention("anna", verb, C))
    return catalogue


def a_partition(catalogue: Catalogue, *, ready: bool = True) -> State:
    """Return a partition that has taken the catalogue, and has read what the campaign looks back on, or has yet to."""
    state = State(Horizons())
    state.put_scan(1, Scan(0, 0, 9, 0, 0, ready))
    for rule in needs_of(catalogue, catalogue.entries["campaign/c"]):
        state.put_history(rule, History(rule, 1, ()))
    return state


def stood(catalogue: Catalogue, *, sent: str = "", unready: str = "", now: int = NOW + 1) -> Standing:
    """Return how it stands in two partitions: those named in `sent` are over with it, those in `unready` have still to read its history."""
    entry = catalogue.entries["campaign/c"]
    states = []
    for number in range(2):
        state = a_partition(catalogue, ready=str(number) not in unready)
        if str(number) in sent:
            state.sent[C] = Sent(done=True, last=UserId("z"))
        states.append(state)
    return stands(catalogue, entry, now, states)


def test_a_campaign_that_is_sent_is_sending_until_every_partition_is_over_with_it() -> None:
    catalogue = published(PAST)
    assert stood(catalogue) == Standing("sending", (0, 2))
    assert stood(catalogue, sent="1") == Standing("sending", (1, 2))
    assert stood(catalogue, sent="01") == Standing("ended")


def test_one_that_has_begun_in_a_partition_is_not_over_with_it() -> None:
    catalogue = published(PAST)
    state = a_partition(catalogue)
    state.sent[C] = Sent(done=False, last=UserId("m"))
    assert stands(catalogue, catalogue.entries["campaign/c"], NOW, [state]) == Standing("sending", (0, 1))


def test_a_campaign_whose_history_is_being_read_is_preparing() -> None:
    assert stood(published(PAST), unready="0") == Standing("preparing", (1, 2))
    live = published({**LIVE, "who": BOUGHT})
    assert stood(live, unready="01") == Standing("preparing", (0, 2))
    assert stood(live) == Standing("running")


def test_a_campaign_that_a_partition_has_not_taken_yet_is_preparing() -> None:
    catalogue = published({**LIVE, "who": BOUGHT})
    states = [State(Horizons()), a_partition(catalogue)]
    assert stands(catalogue, catalogue.entries["campaign/c"], NOW, states) == Standing("preparing", (1, 2))


@pytest.mark.parametrize(
    ("campaign", "verbs", "state"),
    [
        (PAST, (Verb.PAUSE,), "paused"),
        (PAST, (Verb.STOP,), "stopped"),
        ({**PAST, "when": {"send": "2026-01-02T00:00Z"}}, (), "scheduled"),
        ({**LIVE, "who": BOUGHT, "when": {"start": "2026-01-02T00:00Z"}}, (), "scheduled"),
        ({**LIVE, "when": {"start": "2025-12-01T00:00Z", "end": "2026-01-01T00:00Z"}}, (), "ended"),
    ],
    ids=["paused", "stopped", "sent later", "starts later", "ended"],
)
def test_what_interventions_and_times_say_comes_first(campaign: dict[str, Any], verbs: tuple[Verb, ...], state: str) -> None:
    assert stood(published(campaign, *verbs), unready="01") == Standing(state)


def test_a_send_that_is_over_has_ended_also_where_the_campaign_was_paused_since() -> None:
    assert stood(published(PAST, Verb.PAUSE), sent="01") == Standing("ended")


@pytest.mark.parametrize(
    ("campaign", "depends"),
    [(LIVE, False), ({**LIVE, "who": {"sample": 5}}, False), ({**LIVE, "who": BOUGHT}, True), (PAST, True)],
    ids=["live", "a sample", "looks back", "past"],
)
def test_only_what_is_sent_or_looks_back_depends_on_the_partitions(campaign: dict[str, Any], depends: bool) -> None:
    catalogue = published(campaign)
    assert depends_on_partitions(catalogue, catalogue.entries["campaign/c"], NOW) is depends
