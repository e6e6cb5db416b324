"""`livepromo simulate` reads every kind of file, decides as documents say, and ends with the exit codes of the specification."""

from __future__ import annotations

import base64
import gzip
import io
import json
from pathlib import Path

import pytest

from livepromo.cli import main
from livepromo.documents.catalogue import Intervention, Publication, Verb, encode
from livepromo.documents.files import read_files
from livepromo.documents.reading import documents_of
from livepromo.engine.entries import CatalogueTaken
from livepromo.model.ids import CampaignId
from livepromo.simulation.files import EntryLine, LogHeader, PublicationLine, RecordLine, record_line, write_line

DOCUMENTS = """
kind: wallet
id: grocery
---
kind: campaign
id: cart
qualify: {live: {event: Bought}}
reward: {points: {wallet: grocery, earn: {flat: 10}, recurrence: {day: 2}, budget: {campaign: 45}}}
"""
T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def event(user: str, n: int, **more: object) -> str:
    return json.dumps({"id": f"{user}-{n}", "user": user, "event": "Bought", "ts": T0 + n, **more})


@pytest.fixture
def documents(tmp_path: Path) -> str:
    path = tmp_path / "documents.yaml"
    path.write_text(DOCUMENTS)
    return str(path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


def decisions(path: Path) -> list[tuple[str, str, object]]:
    """Return (kind, user, points or reason) of each line."""
    found = []
    for line in path.read_text().splitlines():
        ((kind, body),) = json.loads(line).items()
        found.append((kind, body["user"], body["reward"]["points"] if kind == "grant" else body["reason"]))
    return found


def test_several_files_plain_and_compressed_are_read_one_after_another(documents: str, tmp_path: Path, out: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    first.write_text(event("u1", 1) + "\n" + event("u2", 2) + "\n")
    second.write_bytes(gzip.compress((event("u1", 3) + "\r\n" + event("u1", 4)).encode()))
    assert main(["simulate", "--documents", documents, "--events", str(first), str(second), "--out", str(out)]) == 0
    assert decisions(out) == [("grant", "u1", 10), ("grant", "u2", 10), ("grant", "u1", 10), ("denial", "u1", "user_day")]
    repeated = out.with_suffix(".again")
    assert main(["simulate", "--documents", documents, "--events", str(first), "--events", str(second), "--out", str(repeated)]) == 0
    assert repeated.read_bytes() == out.read_bytes()


def test_a_dash_is_standard_input_and_standard_output(
    documents: str, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((event("u1", 1) + "\n").encode())))
    assert main(["simulate", "--documents", documents, "--events", "-", "--out", "-"]) == 0
    said = capsysbinary.readouterr()
    assert list(json.loads(said.out)) == ["grant"]
    assert b"1 records: 1 taken" in said.err


def test_the_summary_has_counts_amounts_budget_left_and_reasons(documents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "a.jsonl"
    lines = [event("u1", n) for n in range(3)] + [event(user, 5) for user in ("u2", "u3", "u4")]
    lines += [event("u1", 1), "{", '{"type":"other"}', "", event("u9", 6, appended=T0 - 10_000_000)]
    records.write_text("\n".join(lines) + "\n")
    assert main(["simulate", "--documents", documents, "--events", str(records)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    head, row, sentence = said.err.splitlines()[-3:]
    assert head.split() == ["campaign", "grants", "users", "amount", "budget", "left", "denials", "top", "reasons"]
    assert row.split() == ["cart", "4", "3", "40", "5", "2", "user_day", "1,", "campaign_budget", "1"]
    assert sentence == "11 records: 6 taken, 1 repeats, 2 ignored, 2 dead letters (not_json 1, in_the_future 1)"


def test_dead_letters_do_not_change_the_exit_code_and_neither_does_an_empty_file(documents: str, tmp_path: Path) -> None:
    records = tmp_path / "a.jsonl"
    records.write_text("{\n")
    assert main(["simulate", "--documents", documents, "--events", str(records)]) == 0
    records.write_text("")
    assert main(["simulate", "--documents", documents, "--events", str(records)]) == 0


def test_problems_in_documents_are_the_lines_of_check_and_end_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(DOCUMENTS.replace("flat: 10", "flat: 0"))
    assert main(["check", str(path)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "warning" not in line]
    assert main(["simulate", "--documents", str(path), "--events", str(tmp_path / "never-read")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert lines
    assert set(lines) <= set(said.err.splitlines())


def test_advice_is_said_and_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, records = tmp_path / "free.yaml", tmp_path / "a.jsonl"
    path.write_text(DOCUMENTS.replace(", recurrence: {day: 2}, budget: {campaign: 45}", ""))
    records.write_text(event("u1", 1))
    assert main(["simulate", "--documents", str(path), "--events", str(records)]) == 0
    assert capsys.readouterr().err.count("(R71)") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--documents and --events must be given"),
        (["--documents", "d.yaml"], "--events must be given"),
        (["--events", "e.jsonl"], "--documents must be given"),
        (["--log", "l", "--events", "e"], "--log stands instead of"),
        (["--log", "l", "--documents", "e"], "--log stands instead of"),
        (["--documents", "d", "--events", "e", "--until", "tomorrow"], '--until: "tomorrow" is no instant'),
        (["--documents", "d", "--events", "e", "--until", "2026-01-01"], "is no instant"),
        (["--documents", "d", "--events", "e", "--sudo"], "--sudo"),
    ],
)
def test_arguments_that_do_not_go_together_end_with_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("until", ["2026-02-01T00:00Z", "2026-02-01 00:00:00.5+05:30", "2026-02-01T00:00"])
def test_until_is_an_instant_with_an_offset_or_in_the_accounts_zone(documents: str, tmp_path: Path, until: str) -> None:
    (tmp_path / "a.jsonl").write_text(event("u1", 1))
    assert main(["simulate", "--documents", documents, "--events", str(tmp_path / "a.jsonl"), "--until", until]) == 0


def test_a_file_that_cannot_be_read_ends_with_1_and_is_named(documents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--documents", documents, "--events", str(tmp_path / "gone.jsonl")]) == 1
    assert "gone.jsonl cannot be read: No such file" in capsys.readouterr().err
    for content in (b"no gzip", gzip.compress(b"{}\n" * 1000)[:-20], gzip.compress(b"{}")[:10] + b"\xff" * 40):
        (tmp_path / "torn.jsonl.gz").write_bytes(content)
        assert main(["simulate", "--documents", documents, "--events", str(tmp_path / "torn.jsonl.gz")]) == 1
        assert "torn.jsonl.gz cannot be read" in capsys.readouterr().err
    assert main(["simulate", "--documents", str(tmp_path / "gone.yaml"), "--events", "x"]) == 1
    assert main(["simulate", "--documents", documents, "--events", str(tmp_path)]) == 1


def test_a_file_that_cannot_be_written_ends_with_2(documents: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text(event("u1", 1))
    words = ["simulate", "--documents", documents, "--events", str(tmp_path / "a.jsonl"), "--out", str(tmp_path / "no" / "x")]
    assert main(words) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_horizons_come_from_the_settings(documents: str, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text(event("u1", 7_200_000) + "\n" + event("u2", 0))
    words = ["simulate", "--documents", documents, "--events", str(tmp_path / "a.jsonl"), "--out", str(out)]
    assert main(words) == 0
    assert len(decisions(out)) == 2
    monkeypatch.setenv("LIVEPROMO_LATENESS", "1h")
    assert main(words) == 0
    assert decisions(out) == [("grant", "u1", 10)]


# -- logs of partitions


def publication_line(offset: int, path: str) -> PublicationLine:
    read = documents_of(read_files([path], "UTC")[0])
    publication = Publication("anna", {"wallet/grocery": 0, "campaign/cart": 0}, tuple(read))
    return PublicationLine(offset, T0, encode(publication).decode())


def pause_line(offset: int) -> PublicationLine:
    return PublicationLine(offset, T0, encode(Intervention("anna", Verb.PAUSE, CampaignId("cart"))).decode())


def write_log(path: Path, partition: int, *lines: PublicationLine | EntryLine | RecordLine) -> str:
    with path.open("wb") as file:
        write_line(file, LogHeader(1, "events", partition))
        for line in lines:
            write_line(file, line)
    return str(path)


def test_a_log_is_decided_at_the_places_at_which_its_worker_decided(documents: str, tmp_path: Path, out: Path) -> None:
    records = [record_line(n, T0 + n, event(f"u{n}", n).encode()) for n in range(4)]
    log = write_log(
        tmp_path / "p0.jsonl", 0, publication_line(0, documents), pause_line(1),
        records[0], EntryLine(1, 0, CatalogueTaken(1)), records[1], records[2], EntryLine(3, 0, CatalogueTaken(2)), records[3],
    )  # fmt: skip
    assert main(["simulate", "--log", log, "--out", str(out)]) == 0
    assert decisions(out) == [("grant", "u1", 10), ("grant", "u2", 10)]


def test_logs_of_several_partitions_share_their_limits_and_are_woven_by_time(documents: str, tmp_path: Path, out: Path) -> None:
    logs = []
    for partition in range(2):
        records = [record_line(n, T0 + n, event(f"p{partition}-{n}", n).encode()) for n in range(3)]
        logs.append(
            write_log(
                tmp_path / f"{partition}.jsonl", partition, publication_line(0, documents), EntryLine(0, 0, CatalogueTaken(1)), *records
            )
        )
    assert main(["simulate", "--log", *logs, "--out", str(out)]) == 0
    found = decisions(out)
    assert [kind for kind, _, _ in found].count("grant") == 4
    assert [what for kind, _, what in found if kind == "denial"] == ["campaign_budget"] * 2


def test_records_keep_their_bytes_in_a_log(tmp_path: Path) -> None:
    for value in (None, b"", b"{}", b"\xff\xfe", '{"a":"\u2028é"}'.encode(), b'{"a":"\x01\r\n"}'):
        assert record_line(1, 2, value).as_bytes() == value
    assert base64.b64decode(record_line(1, 2, b"\xff").value or "") == b"\xff"
    assert publication_line(0, _documents(tmp_path)).value.encode()[:1] == b"\x01"


def _documents(tmp_path: Path) -> str:
    (tmp_path / "d.yaml").write_text(DOCUMENTS)
    return str(tmp_path / "d.yaml")


@pytest.mark.parametrize("content", ["", "{}\n", '{"type":"log","version":9,"topic":"e","partition":0}\n', '{"type":"record"}\n'])
def test_a_file_that_is_no_log_ends_with_1(tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    assert main(["simulate", "--log", str(tmp_path / "x.jsonl")]) == 1
    assert "x.jsonl" in capsys.readouterr().err


def test_a_log_without_its_publications_and_the_same_log_twice_end_with_1(documents: str, tmp_path: Path) -> None:
    assert main(["simulate", "--log", write_log(tmp_path / "a.jsonl", 0, EntryLine(0, 0, CatalogueTaken(1)))]) == 1
    whole = write_log(tmp_path / "b.jsonl", 0, publication_line(0, documents), EntryLine(0, 0, CatalogueTaken(1)))
    assert main(["simulate", "--log", whole]) == 0
    assert main(["simulate", "--log", whole, whole]) == 1


# -- codes ------------------------------------------------------------------------------------------------------------

POOLS = """
{kind: coupon, id: spring, type: bulk}
---
{kind: partner, id: shop}
---
{kind: voucher_list, id: shop/A}
---
{kind: campaign, id: coupons, qualify: {live: {event: Bought}}, reward: {coupon: {type: bulk, coupon: spring, max_per_campaign: 9}}}
---
{kind: campaign, id: vouchers, qualify: {live: {event: Bought}}, reward: {voucher: {partner: shop, list_tag: A}}}
"""


@pytest.fixture
def pools(tmp_path: Path) -> list[str]:
    (tmp_path / "pools.yaml").write_text(POOLS)
    (tmp_path / "events.jsonl").write_text("\n".join(event("u1", n) for n in range(3)))
    return ["simulate", "--documents", str(tmp_path / "pools.yaml"), "--events", str(tmp_path / "events.jsonl")]


def given(path: Path) -> list[object]:
    """Return the code or the reason of each line."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [one["grant"]["reward"]["code"] if "grant" in one else one["denial"]["reason"] for one in found]


def test_codes_are_given_in_the_order_of_their_file_each_once(
    pools: list[str], tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spring.txt").write_bytes(b"\xef\xbb\xbfS-1 \r\nS-2\r\n\r\nS-1\r\n  S-3\n")
    (tmp_path / "holiday.txt").write_text("H-1\n")
    codes = [f"coupon/spring={tmp_path / 'spring.txt'}", f"voucher_list/shop/A={tmp_path / 'holiday.txt'}"]
    assert main([*pools, "--codes", codes[0], "--codes", codes[1], "--out", str(out)]) == 0
    assert given(out) == ["S-1", "H-1", "S-2", "codes_exhausted", "S-3", "codes_exhausted"]
    said = capsys.readouterr().err
    assert "3 codes of coupon/spring; lines left out: 1 empty, 1 repeated" in said
    assert not [code for code in ("S-1", "S-3", "H-1") if code in said]
    lines = said.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("campaign"))
    head, coupons, vouchers = (line.split() for line in lines[at : at + 3])
    assert " ".join(head) == "campaign grants users amount budget left codes left denials top reasons"
    assert coupons == ["coupons", "3", "1", "3", "6", "0", "0"]
    assert vouchers == ["vouchers", "1", "1", "1", "0", "2", "codes_exhausted", "2"]


def test_a_pool_without_codes_is_exhausted(pools: list[str], out: Path) -> None:
    assert main([*pools, "--out", str(out)]) == 0
    assert given(out) == ["codes_exhausted"] * 6


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ("spring.txt", "write coupon/ID=FILE"),
        ("coupon/spring=", "write coupon/ID=FILE"),
        ("item/watch=a.txt", "write coupon/ID=FILE"),
        ("voucher_list/A=a.txt", "write coupon/ID=FILE"),
        ("coupon/other=/dev/null", "there are coupon/spring, voucher_list/shop/A"),
    ],
)
def test_codes_that_belong_to_no_pool_are_refused(pools: list[str], codes: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*pools, "--codes", codes]) == 2
    assert said in capsys.readouterr().err


def test_a_file_of_codes_that_cannot_be_read_ends_with_1(pools: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*pools, "--codes", f"coupon/spring={tmp_path / 'gone.txt'}"]) == 1
    assert "gone.txt cannot be read" in capsys.readouterr().err
    assert main([*pools, "--codes", "coupon/spring=/dev/null", "--codes", "coupon/spring=/dev/null"]) == 2
