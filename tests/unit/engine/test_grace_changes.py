"""Windows of a campaign whose revisions have different graces: what closes a window is its opening revision's (A3)."""

from __future__ import annotations

from typing import Any

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.plan import compile_plan
from livepromo.model.decisions import Candidate
from unit.engine.builders import SECOND, T0, Partition, a_campaign, a_catalogue, charged, publish

LATER = T0 + 120 * SECOND


def a_rescue(grace: str) -> dict[str, Any]:
    return a_campaign("c", "Added", qualify={"unless": {"event": "Charged", "within": "1m", "grace": grace}})


def rescued(partition: Partition) -> list[str]:
    found = partition.take(charged(LATER, "z", user="other", event="Viewed"))
    return [one.user for one in found if isinstance(one, Candidate)]


def revised(first: str, second: str) -> tuple[Partition, Catalogue]:
    catalogue = a_catalogue(a_rescue(first))
    return Partition(compile_plan(catalogue)), publish(catalogue, a_rescue(second))


def test_an_event_that_waits_under_a_longer_grace_closes_the_window_before_it_fires() -> None:
    partition, after = revised("5s", "10m")
    partition.take(charged(T0, "a", event="Added"))
    partition.plan = compile_plan(after)
    partition.take(charged(T0 + 30 * SECOND, "b"))
    assert rescued(partition) == []


def test_an_event_that_waits_under_a_longer_grace_holds_nothing_up_behind_it() -> None:
    partition, after = revised("10m", "5s")
    partition.take(charged(T0, "b"))
    partition.plan = compile_plan(after)
    partition.take(charged(T0 + 2 * SECOND, "a", event="Added"))
    assert rescued(partition) == ["u1"]
