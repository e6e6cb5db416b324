"""Recorded records and logs of partitions are decided by the engine of the worker, at the same places, with one set of limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from livepromo.documents.catalogue import Catalogue, Intervention, Publication, Verb, encode, revision_of, take
from livepromo.documents.files import check_content
from livepromo.documents.reading import documents_of
from livepromo.engine.entries import CatalogueTaken
from livepromo.engine.horizons import Horizons
from livepromo.model.documents import Document, key_of
from livepromo.model.ids import CampaignId
from livepromo.simulation import run
from livepromo.simulation.files import LOG_VERSION, EntryLine, InputError, LogHeader, LogLine, PublicationLine, record_line, write_line
from livepromo.simulation.run import Simulation, decision_line, run_logged, run_recorded
from unit.engine.builders import DAY, GROCERY, HOUR, MINUTE, T0, a_campaign


def meant(*documents: dict[str, Any]) -> list[Document]:
    read, problems = check_content(json.dumps(documents).encode(), "test.json", "UTC")
    assert not problems, [problem.text for problem in problems]
    return documents_of(read)


def line(user: str = "u1", ts: int = T0, **more: Any) -> bytes:
    return json.dumps({"user": user, "event": "Charged", "ts": ts, **more}).encode()


def simulated(lines: Sequence[bytes], *documents: dict[str, Any]) -> tuple[list[dict[str, Any]], Simulation]:
    """Return the decisions over recorded lines, as written, and the simulation."""
    simulation = Simulation(Horizons())
    decisions = run_recorded(simulation, meant(GROCERY, *documents), lines)
    return [json.loads(decision_line(one)) for one in decisions], simulation


def said(decisions: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the user and the points of each grant, or the reason of each denial."""
    return [(one["grant"]["user"], one["grant"]["reward"]["points"]) if "grant" in one else one["denial"]["reason"] for one in decisions]


# -- recorded records -------------------------------------------------------------------------------------------------


def test_decisions_are_lines_of_grants_and_denials_in_order_of_decision() -> None:
    decisions, _ = simulated([line(), line(ts=T0 + 1), line("u2")], a_campaign(recurrence={"total": 1}))
    assert [list(one) for one in decisions] == [["grant"], ["denial"], ["grant"]]
    assert said(decisions) == [("u1", 10), "user_total", ("u2", 10)]
    assert all(one[kind]["revision"] == 1 for one in decisions for kind in one)


def test_documents_are_published_at_the_first_records_time_though_that_record_is_a_dead_letter_later() -> None:
    _, simulation = simulated([b"{", b"", line(ts=T0 + HOUR, appended=T0), line(ts=T0)], a_campaign())
    entry = simulation.summary._catalogue.entries["campaign/c"]
    assert (entry.first_published_ms, entry.revision) == (T0 + HOUR, 1)


def test_start_now_is_before_every_record_whatever_its_time() -> None:
    decisions, _ = simulated([line("u1", T0), line("u2", T0 - DAY), line("u3", T0 - 5)], a_campaign(when={"start": "now"}))
    assert [one["grant"]["user"] for one in decisions] == ["u1", "u2", "u3"]


def test_a_fixed_start_and_an_end_in_the_past_hold_as_they_are() -> None:
    late = a_campaign("late", when={"start": "2025-12-01T00:00:00.001Z"})
    over = a_campaign("over", when={"start": "2020-01-01T00:00Z", "end": "2021-01-01T00:00Z"})
    gone = a_campaign("gone", when={"end": "2025-12-01T00:00Z"})
    decisions, _ = simulated([line("u1", T0), line("u2", T0 + 1), line("u3", T0 - 1)], late, over, gone)
    assert [(one["grant"]["campaign"], one["grant"]["user"]) for one in decisions] == [("late", "u2"), ("gone", "u3")]


@pytest.mark.parametrize("lines", [[], [b""], [b"{", b"\xff", b'{"type":"strange"}']])
def test_without_any_good_record_nothing_is_decided_and_every_campaign_is_told_of(lines: list[bytes]) -> None:
    decisions, simulation = simulated(lines, a_campaign())
    assert decisions == []
    assert [row[:2] for row in simulation.summary.table()[1]] == [["c", "0"]]


def test_the_time_of_receipt_counts_where_the_record_says_it() -> None:
    decisions, simulation = simulated(
        [line("u1", T0 + MINUTE, appended=T0), line("u2", T0 + HOUR, appended=T0), line("u3", T0 + HOUR)], a_campaign()
    )
    assert [(one["grant"]["user"], one["grant"]["granted_at"]) for one in decisions] == [("u1", T0), ("u3", T0 + HOUR)]
    assert simulation.summary.dead == {"in_the_future": 1}


def test_slices_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line(f"u{n % 7}", T0 + n * MINUTE, id=f"e{n % 60}", properties={"Amount": n}) for n in range(100)]
    campaign = a_campaign(earn={"percent": 10, "of": "Amount"}, recurrence={"day": 4}, budget={"campaign": 200}, on_insufficient="partial")
    expected, _ = simulated(lines, campaign)
    for records, size in ((1, 1 << 20), (7, 1 << 20), (2000, 1), (2000, 500)):
        monkeypatch.setattr(run, "SLICE_RECORDS", records)
        monkeypatch.setattr(run, "SLICE_BYTES", size)
        assert simulated(lines, campaign)[0] == expected


def test_a_long_file_is_decided_as_it_is_read() -> None:
    read = 0

    def lines() -> Any:
        nonlocal read
        for n in range(20_000):
            read += 1
            yield line("u1", T0 + n)

    decisions = run_recorded(Simulation(Horizons()), meant(GROCERY, a_campaign()), lines())
    next(decisions)
    assert read <= run.SLICE_RECORDS


# -- logs -------------------------------------------------------------------------------------------------------------


class Log:
    """The log of a partition being written: publications have offsets of their own, records take one each."""

    def __init__(self, partition: int, first: int = 0) -> None:
        self.lines: list[LogLine] = [LogHeader(LOG_VERSION, "events", partition)]
        self.offset, self.step = first, 0

    def record(self, value: bytes, received: int) -> Log:
        self.lines.append(record_line(self.offset, received, value))
        self.offset, self.step = self.offset + 1, 0
        return self

    def entry(self, catalogue: int) -> Log:
        self.lines.append(EntryLine(self.offset, self.step, CatalogueTaken(catalogue)))
        self.step += 1
        return self


class Published:
    """What was published, in order."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.lines: list[PublicationLine] = []

    def publish(self, *documents: dict[str, Any], at: int = T0, gap: int = 0) -> int:
        found = meant(*documents)
        return self._add(
            Publication("test", {key_of(one): revision_of(self.catalogue, key_of(one)) for one in found}, tuple(found)), at, gap
        )

    def intervene(self, verb: Verb) -> int:
        return self._add(Intervention("test", verb, CampaignId("c")), T0, 0)

    def _add(self, publication: Publication | Intervention, at: int, gap: int) -> int:
        offset = self.catalogue.position + gap
        self.lines.append(PublicationLine(offset, at, encode(publication).decode()))
        self.catalogue, _ = take(self.catalogue, offset, at, publication)
        return self.catalogue.position


def logged(tmp_path: Path, published: Published, *logs: Log) -> tuple[list[dict[str, Any]], Simulation]:
    paths = []
    for number, log in enumerate(logs):
        paths.append(tmp_path / f"{number}.jsonl")
        with paths[-1].open("wb") as file:
            for one in (log.lines[0], *published.lines, *log.lines[1:]):
                write_line(file, one)
    simulation = Simulation(Horizons())
    return [json.loads(decision_line(one)) for one in run_logged(simulation, [str(path) for path in paths])], simulation


def test_a_log_is_decided_at_the_places_where_its_partition_took_what_was_published(tmp_path: Path) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign(), at=T0)
    second = published.publish(a_campaign(earn={"flat": 20}), at=T0 + 5, gap=3)
    paused, resumed, stopped = (published.intervene(verb) for verb in (Verb.PAUSE, Verb.RESUME, Verb.STOP))
    log = Log(0, first=40)
    for number, catalogue in enumerate((None, first, second, paused, resumed, stopped)):
        if catalogue is not None:
            log.entry(catalogue)
        log.record(line(f"u{number}", T0 + number), T0 + number)
    decisions, simulation = logged(tmp_path, published, log)
    assert [(one["grant"]["user"], one["grant"]["revision"], one["grant"]["reward"]["points"]) for one in decisions] == [
        ("u1", 1, 10),
        ("u2", 2, 20),
        ("u4", 2, 20),
    ]
    assert simulation.summary.taken == 6


def test_an_inactive_wallet_denies_from_where_it_was_taken(tmp_path: Path) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign())
    second = published.publish(GROCERY | {"active": False})
    log = Log(0).entry(first).record(line(), T0).entry(second).record(line(ts=T0 + 1), T0 + 1)
    assert said(logged(tmp_path, published, log)[0]) == [("u1", 10), "wallet_unavailable"]


def test_in_a_log_start_now_is_the_instant_of_publishing(tmp_path: Path) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign(), at=T0)
    log = Log(0).entry(first).record(line("u1", T0 - 1), T0 + 9).record(line("u2", T0), T0 + 9)
    assert said(logged(tmp_path, published, log)[0]) == [("u2", 10)]


def test_partitions_are_woven_by_the_time_of_receipt_and_share_limits_but_not_ids_or_stream_time(tmp_path: Path) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign(budget={"campaign": 40}))
    one, other = Log(0).entry(first), Log(1).entry(first)
    one.record(line("a1", T0, id="x"), T0 + 10).record(line("a2", T0 + 3 * DAY), T0 + 3 * DAY + 40).record(
        line("a3", T0 + 3 * DAY), T0 + 3 * DAY + 60
    )
    other.record(line("b1", T0, id="x"), T0 + 20).record(line("b2", T0), T0 + 3 * DAY + 30).record(line("b3", T0), T0 + 3 * DAY + 50)
    decisions, _ = logged(tmp_path, published, one, other)
    assert said(decisions) == [("a1", 10), ("b1", 10), ("b2", 10), ("a2", 10), "campaign_budget", "campaign_budget"]
    assert said(logged(tmp_path, published, other, one)[0]) == said(decisions)


def test_times_of_receipt_of_a_log_bound_the_times_of_records(tmp_path: Path) -> None:
    published = Published()
    log = Log(0).entry(published.publish(GROCERY, a_campaign()))
    log.record(line("u1", T0 + MINUTE), T0 + 5).record(line("u2", T0 + HOUR), T0 + 6)
    decisions, simulation = logged(tmp_path, published, log)
    assert [one["grant"]["granted_at"] for one in decisions] == [T0 + 5]
    assert simulation.summary.dead == {"in_the_future": 1}


def test_what_was_recorded_in_a_log_need_not_be_text(tmp_path: Path) -> None:
    published = Published()
    log = Log(0).entry(published.publish(GROCERY, a_campaign())).record(b"\xff", T0).record(b"", T0).record(line(), T0)
    decisions, simulation = logged(tmp_path, published, log)
    assert said(decisions) == [("u1", 10)]
    assert (simulation.summary.dead, simulation.summary.ignored) == ({"not_unicode": 1}, 1)


def test_two_logs_of_one_partition_are_refused(tmp_path: Path) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign())
    with pytest.raises(InputError, match="two of the logs are of the same partition"):
        logged(tmp_path, published, Log(3).entry(first), Log(3).entry(first))


def test_a_log_whose_publications_are_missing_is_refused(tmp_path: Path) -> None:
    published = Published()
    published.publish(GROCERY, a_campaign())
    with pytest.raises(InputError, match="the publications before 2 are missing"):
        logged(tmp_path, published, Log(0).entry(2).record(line(), T0))


def test_a_publication_of_another_format_is_named(tmp_path: Path) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign())
    published.lines[0] = PublicationLine(0, T0, "\2{}")
    with pytest.raises(InputError, match="the publication at 0: a publication has format version 2"):
        logged(tmp_path, published, Log(0).entry(first).record(line(), T0))


def test_a_log_of_nothing_but_a_header_decides_nothing(tmp_path: Path) -> None:
    assert logged(tmp_path, Published(), Log(0))[0] == []


def test_slices_of_logs_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = Published()
    first = published.publish(GROCERY, a_campaign(recurrence={"day": 4}, budget={"campaign": 805}))
    logs = [Log(number).entry(first) for number in range(3)]
    for n in range(150):
        logs[n % 3].record(line(f"u{n % 21}", T0 + n * MINUTE), T0 + n * MINUTE)
    expected = logged(tmp_path, published, *logs)[0]
    assert len({one["denial"]["reason"] for one in expected if "denial" in one}) == 2
    for records, size in ((1, 1 << 20), (7, 1 << 20), (2000, 300)):
        monkeypatch.setattr(run, "SLICE_RECORDS", records)
        monkeypatch.setattr(run, "SLICE_BYTES", size)
        assert logged(tmp_path, published, *logs)[0] == expected
