"""A look-back that reaches further than the events topic is refused when it is published, with the instant from which it is true (R6)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue, publication_of, take
from livepromo.documents.files import check_content
from livepromo.documents.reading import Problem, ReadDocument
from livepromo.settings import Settings
from livepromo.streaming.log import LogRecord
from livepromo.worker import look_backs
from livepromo.worker.look_backs import Reach, judge_look_backs, looks_back, reach_of

DAY = 86_400_000
NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
WALLET = {"kind": "wallet", "id": "grocery"}
REACH = Reach(NOW - 7 * DAY, NOW - 3 * DAY)


def campaign(who: dict[str, Any], name: str = "c", **more: Any) -> dict[str, Any]:
    reward = {"points": {"wallet": "grocery", "earn": {"flat": 1}}}
    return {"kind": "campaign", "id": name, "qualify": {"live": {"event": "Paid"}}, "who": who, "reward": reward, **more}


def read(*documents: dict[str, Any]) -> list[ReadDocument]:
    found, problems = check_content(json.dumps([WALLET, *documents]).encode(), "d.json", "UTC")
    assert not [problem for problem in problems if problem.severity == "error"]
    return found


def judged(*documents: dict[str, Any], catalogue: Catalogue | None = None, reach: Reach = REACH, accepted: bool = False) -> list[Problem]:
    return list(judge_look_backs(read(*documents), catalogue or Catalogue(), reach, NOW, accepted=accepted))


def published(*documents: dict[str, Any]) -> Catalogue:
    publication = publication_of(read(*documents), Catalogue(), "anna")
    assert publication is not None
    return take(Catalogue(), 0, NOW - DAY, publication)[0]


def did(within: Any, leaf: str = "did") -> dict[str, Any]:
    return {leaf: {"event": "Paid", "within": within}}


def test_a_look_back_as_long_as_the_topic_reaches_is_sound_and_a_longer_one_says_from_when_it_is_true() -> None:
    assert judged(campaign(did("7d"))) == []
    [problem] = judged(campaign({"any": [{"sample": 1}, did("8d")]}))
    assert (problem.path, problem.rule, problem.severity) == ("$.who.any[1].did.within", "R6", "error")
    assert "reaches to 2025-12-24T00:00:00Z" in problem.message
    assert "true from 2026-01-06T00:00:00Z on" in problem.message, "8 days after the oldest record"


def test_that_is_a_warning_where_it_is_accepted() -> None:
    assert [problem.severity for problem in judged(campaign(did("8d")), accepted=True)] == ["warning"]


@pytest.mark.parametrize("leaf", ["did", "did_not", "interest"])
def test_every_leaf_that_looks_back_is_judged(leaf: str) -> None:
    more = {"property": "P", "value": 1, "share": 50} if leaf == "interest" else {}
    [problem] = judged({"kind": "segment", "id": "s", "who": {leaf: {**did("8d", leaf)[leaf], **more}}})
    assert problem.path == f"$.who.{leaf}.within"


def test_what_says_no_look_back_counts_what_there_is() -> None:
    assert judged(campaign({"did": {"event": "Paid"}})) == []


def test_what_is_published_already_is_kept_and_does_not_need_the_topic() -> None:
    before = published(campaign(did("30d")))
    assert judged(campaign(did("30d"), name="another"), catalogue=before) == []
    assert judged(campaign({"all": [did("30d"), {"sample": 5}]}), catalogue=before) == []
    assert len(judged(campaign({"all": [did("30d"), did("31d")]}), catalogue=before)) == 1
    assert len(judged(campaign({"all": [did("30d")], "same": ["P"]}), catalogue=before)) == 1, "values were not told apart"


def test_a_campaign_that_starts_later_looks_back_from_its_start() -> None:
    assert judged(campaign(did("8d"), when={"start": "2026-01-02T00:00Z"})) == []
    assert len(judged(campaign(did("8d"), when={"start": "2026-01-01T23:59Z"}))) == 1


def test_a_campaign_that_is_sent_looks_back_from_its_send_also_through_segments() -> None:
    segment = {"kind": "segment", "id": "s", "who": did("8d")}
    sent = {"qualify": {"past": {}}, "when": {"send": "2026-01-01T12:00Z"}}
    later = {"qualify": {"past": {}}, "when": {"send": "2026-01-02T00:00Z"}}
    before = published(segment)
    assert [one.path for one in judged(campaign({"segment": "s"}, **sent), segment, catalogue=before)] == ["$.who.segment"]
    assert judged(campaign({"segment": "s"}, **later), segment, catalogue=before) == []
    assert judged(campaign({"segment": "s"}), segment, catalogue=before) == [], "what the segment counts is kept"
    assert [one.path for one in judged(campaign(did("8d"), qualify={"past": {}}))] == ["$.who.did.within"]


def test_a_span_that_begins_before_the_topic_never_becomes_true() -> None:
    [problem] = judged(campaign(did({"from": "2025-12-01T00:00Z", "to": "2026-02-01T00:00Z"})))
    assert "let it begin there" in problem.message
    assert judged(campaign(did({"from": "2025-12-25T00:00Z", "to": "2026-02-01T00:00Z"}))) == []


def test_only_documents_that_look_back_need_the_topic() -> None:
    assert not looks_back(read(campaign({"did": {"event": "Paid"}})))
    assert looks_back(read(campaign(did("1s"))))


# -- how far the topic goes


class Log:
    """Partitions by their first offset and the time of the oldest record; None: there is none."""

    def __init__(self, *partitions: tuple[int, int | None]) -> None:
        self.partitions = partitions

    async def begin(self, _topic: str, partition: int) -> int:
        return self.partitions[partition][0]

    async def end(self, _topic: str, partition: int) -> int:
        begin, oldest_ms = self.partitions[partition]
        return begin + (oldest_ms is not None)

    async def read(self, _topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        oldest_ms = self.partitions[partition][1]
        if start < end and oldest_ms is not None:
            yield [LogRecord(start, oldest_ms, b"u", b"{}")]


@pytest.mark.parametrize(
    ("partitions", "retention_days", "reach"),
    [
        ([(9, NOW - 2 * DAY), (5, NOW - 3 * DAY)], 7, Reach(NOW - 2 * DAY, NOW - 2 * DAY)),
        ([(9, NOW - 2 * DAY), (5, None)], 7, Reach(NOW - 2 * DAY, NOW - 2 * DAY)),
        ([(0, NOW - 2 * DAY), (0, NOW - 1 * DAY)], 7, Reach(NOW - 7 * DAY, NOW - 1 * DAY)),
        ([(0, NOW - 9 * DAY)], 7, Reach(NOW - 9 * DAY, NOW - 9 * DAY)),
        ([(0, NOW - 2 * DAY), (0, None)], 7, Reach(NOW - 7 * DAY, NOW - 2 * DAY)),
        ([(0, None), (0, None)], 7, Reach(NOW - 7 * DAY, NOW)),
        ([(0, NOW - 2 * DAY), (0, None)], None, None),
        ([(9, NOW - 2 * DAY), (0, None)], None, Reach(NOW - 2 * DAY, NOW - 2 * DAY)),
        ([(9, None), (5, None)], 7, Reach(NOW, NOW)),
    ],
    ids=[
        "the one that begins last",
        "an empty one says nothing",
        "one that lost nothing goes as far as records are kept",
        "or further",
        "an empty one beside it changes nothing",
        "so does a new topic",
        "for ever",
        "but for what was deleted",
        "all is gone",
    ],
)
async def test_how_far_a_topic_reaches(
    partitions: list[tuple[int, int | None]], retention_days: int | None, reach: Reach | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def retention(_: Settings) -> int | None:
        return None if retention_days is None else retention_days * DAY

    monkeypatch.setattr(look_backs, "_retention_ms", retention)
    assert await reach_of(Log(*partitions), Settings(), len(partitions), NOW) == reach  # type: ignore[arg-type] # all that is used
