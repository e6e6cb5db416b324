"""Users of a file come onto a list: a membership for each, in the user's own partition, and again without harm."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import pytest

from livepromo.behaviour import users
from livepromo.behaviour.decoding import EARLIEST_MS, decode
from livepromo.behaviour.users import User
from livepromo.engine.horizons import Horizons
from livepromo.engine.journalling import Surroundings, position_part
from livepromo.engine.parts import who_key
from livepromo.engine.state import State
from livepromo.ledger.codes import CodeProblem
from livepromo.model.ids import UserId, partition_of
from livepromo.model.records import Membership, Position
from livepromo.settings import Settings
from livepromo.streaming.journal import MARKER, seal
from livepromo.streaming.log import LogRecord
from livepromo.worker.importing_users import BATCH_USERS, MOST_LINES, ImportedUsers, UserImport
from livepromo.worker.ports import OutRecord
from livepromo.worker.standing import members_now

PARTITIONS = 3


class Topic:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.records: list[tuple[int, OutRecord]] = []
        self.sends = 0

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        self.sends += 1
        for (topic, partition), records in outputs.items():
            assert topic == "events"
            self.records += [(partition, record) for record in records]

    @property
    def said(self) -> list[tuple[str, bool]]:
        """Who is on the list, and who not, by user."""
        return sorted((json.loads(value or b"")["user"], json.loads(value or b"")["member"]) for _, (_, value, _) in self.records)


async def imported(topic: Topic, *lines: bytes, members: Iterable[str] | None = None) -> ImportedUsers:
    on_list = None if members is None else map(UserId, members)
    return await UserImport(topic.send, "events", PARTITIONS, "list/vip", on_list).run(lines)


async def test_every_user_gets_a_membership_in_the_users_own_partition() -> None:
    topic = Topic()
    found = await imported(topic, b"u1", b" \xc3\xbc2\r", b'with "quotes"')
    assert (found.added, found.unchanged, found.removed, found.invalid) == (3, 0, 0, 0)
    for partition, (key, value, headers) in topic.records:
        record = decode(value)
        assert isinstance(record, Membership)
        assert (key, partition) == (record.user.encode(), partition_of(record.user, PARTITIONS))
        assert (record.segment, record.member, record.ts_ms, headers) == ("list/vip", True, EARLIEST_MS, ())
    assert topic.said == [("u1", True), ('with "quotes"', True), ("ü2", True)]


async def test_the_time_of_a_membership_moves_no_stream_time_on() -> None:
    topic = Topic()
    await imported(topic, b"u1")
    [(_, (_, value, _))] = topic.records
    assert json.loads(value or b"")["ts"] == EARLIEST_MS


async def test_lines_without_a_user_are_named_by_number_the_first_few_of_them() -> None:
    topic = Topic()
    found = await imported(topic, b"\xef\xbb\xbfu1", b"", b"x" * 256, b"u2", b"\xff", *[b""] * 100)
    assert (found.added, found.invalid) == (2, 103)
    assert found.lines[:3] == [(2, CodeProblem.EMPTY), (3, CodeProblem.TOO_LONG), (5, CodeProblem.NOT_UTF8)]
    assert len(found.lines) == MOST_LINES
    assert topic.said == [("u1", True), ("u2", True)]


async def test_replacing_removes_who_is_not_in_the_file_and_writes_nothing_of_who_stays() -> None:
    topic = Topic()
    found = await imported(topic, b"stays", b"new", b"stays", members=["stays", "goes", "goes too"])
    assert (found.added, found.unchanged, found.removed) == (1, 1, 2)
    assert topic.said == [("goes", False), ("goes too", False), ("new", True)]


@pytest.mark.parametrize("lines", [(), (b"",), (b"\xff", b" ")], ids=["nothing", "blank", "no text"])
async def test_a_file_without_any_user_removes_nobody(lines: tuple[bytes, ...]) -> None:
    topic = Topic()
    found = await imported(topic, *lines, members=["stays"])
    assert (found.added, found.unchanged, found.removed) == (0, 0, 0)
    assert topic.records == []


async def test_a_file_that_breaks_off_removes_nobody() -> None:
    topic = Topic()

    def torn() -> Iterable[bytes]:
        yield b"new"
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        await UserImport(topic.send, "events", PARTITIONS, "list/vip", [UserId("goes")]).run(torn())
    assert ("goes", False) not in topic.said


async def test_a_long_file_is_sent_as_it_is_read() -> None:
    topic = Topic()
    found = await imported(topic, *(b"u%d" % n for n in range(2 * BATCH_USERS + 1)))
    assert found.added == len(topic.records) == 2 * BATCH_USERS + 1
    assert topic.sends == 3


# -- who is on a list now


class Logs:
    """Partitions of topics, to be read."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], list[LogRecord]] = {}

    def write(self, topic: str, partition: int, *records: tuple[bytes, bytes | None]) -> None:
        held = self.records.setdefault((topic, partition), [])
        held += [LogRecord(len(held) + at, 1, key, value) for at, (key, value) in enumerate(records)]

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        yield self.records.get((topic, partition), [])[start:end]

    async def end(self, topic: str, partition: int) -> int:
        return len(self.records.get((topic, partition), []))


def who(user: str, *segments: str, **properties: str) -> tuple[bytes, bytes]:
    return who_key(UserId(user)), seal(0, users.encode(User(dict(properties), frozenset(segments))))


def position(offset: int) -> tuple[bytes, bytes]:
    key, payload = position_part(State(Horizons()), Position(offset, 0), 0, Surroundings(1, "2026a"))
    assert payload is not None
    return key, seal(0, payload)


def membership(user: str, *, member: bool, segment: str = "list/vip") -> tuple[bytes, bytes]:
    return user.encode(), json.dumps({"type": "segment", "user": user, "ts": EARLIEST_MS, "segment": segment, "member": member}).encode()


async def members(logs: Logs, partitions: int = 1) -> set[str]:
    return set(await members_now(logs, Settings(), partitions, "list/vip"))  # type: ignore[arg-type] # all of it that is used


async def test_members_are_those_whom_the_newest_part_of_the_journal_has_on_the_list() -> None:
    logs = Logs()
    marker = MARKER, seal(0, b"")
    parts = [
        who("u1", "list/vip"),
        who("u2", "list/vip", "fed"),
        who("u3", "fed", note='"list/vip"'),
        who("u2", "fed"),
        who("u4", "list/vip"),
    ]
    logs.write("livepromo.state", 0, marker, *parts, (who_key(UserId("u4")), None), position(7))
    logs.write("livepromo.state", 1, marker, who("u9", "list/vip"), position(0))
    logs.write("events", 0, *[membership("before", member=True)] * 7)
    assert await members(logs, 2) == {"u1", "u9"}


async def test_members_are_also_those_of_records_that_no_worker_has_taken_yet() -> None:
    logs = Logs()
    logs.write("livepromo.state", 0, (MARKER, seal(0, b"")), who("u1", "list/vip"), position(1))
    taken, *news = [membership("u1", member=True), membership("u1", member=False), membership("u2", member=True), (b"u3", b"{")]
    logs.write("events", 0, taken, *news, membership("u3", member=True, segment="list/other"))
    assert await members(logs) == {"u2"}


async def test_before_any_worker_ran_members_are_those_of_the_whole_topic() -> None:
    logs = Logs()
    logs.write("events", 0, membership("u1", member=True), membership("u2", member=True), membership("u2", member=False))
    assert await members(logs) == {"u1"}
