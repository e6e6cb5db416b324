"""Dead letters: each origin once, those that are chosen, and the same bytes back to their user's partition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from livepromo.cli.dead_letters import _as_json, _row, refusal
from livepromo.cli.errors import UsageError
from livepromo.cli.instants import since_ms
from livepromo.model.ids import partition_of
from livepromo.model.records import DeadReason
from livepromo.settings import Settings
from livepromo.streaming.log import LogRecord, Writer
from livepromo.worker import dead_letters
from livepromo.worker.dead_letters import Chosen, DeadLetter, Origin, letter_of, read_dead_letters, send_again
from livepromo.worker.ports import OutRecord

T0 = 1_767_225_600_000
ALL = Chosen()


class Held:
    """A topic of two partitions that can only be read."""

    def __init__(self, *partitions: Sequence[LogRecord]) -> None:
        self._partitions = partitions

    async def claim(self, topic: str, partition: int, name: str | None = None) -> Writer:
        raise AssertionError((topic, partition, name))

    async def read(self, _topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        for record in self._partitions[partition]:
            if start <= record.offset < end:
                yield [record]

    async def begin(self, _topic: str, _partition: int) -> int:
        return 0

    async def end(self, _topic: str, partition: int) -> int:
        return len(self._partitions[partition])


class Taken:
    """What was sent, by topic and partition."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], list[OutRecord]] = {}

    async def send_many(self, batches: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        for where, records in batches.items():
            self.sent.setdefault(where, []).extend(records)


def put_aside(at: int, reason: str = "bad_time", *, origin: int | None = None, key: bytes | None = b"u1", cut: bool = False) -> LogRecord:
    headers = [
        ("reason", reason.encode()),
        ("topic", b"events"),
        ("partition", b"5"),
        ("offset", b"%d" % (at if origin is None else origin)),
    ]
    return LogRecord(at, T0 + at, key, b"value %d \xff" % at, [*headers, ("truncated", b"true")] if cut else headers)


async def found(log: Held, chosen: Chosen = ALL, partitions: int = 1) -> list[int]:
    return [letter.origin.offset async for letters in read_dead_letters(log, "dead", partitions, chosen) for letter in letters]


async def test_one_that_was_put_aside_twice_is_one() -> None:
    assert await found(Held([put_aside(0), put_aside(1), put_aside(2, origin=0)])) == [0, 1]


async def test_every_partition_of_the_topic_is_read() -> None:
    assert await found(Held([put_aside(0)], [put_aside(0, origin=9)]), partitions=2) == [0, 9]


@pytest.mark.parametrize(
    ("chosen", "offsets"),
    [
        pytest.param(Chosen(), [0, 1, 2], id="all"),
        pytest.param(Chosen(frozenset({DeadReason.BUG})), [1], id="a reason"),
        pytest.param(Chosen(frozenset({DeadReason.BUG, DeadReason.BAD_TIME})), [0, 1], id="two reasons"),
        pytest.param(Chosen(since_ms=T0 + 1), [1, 2], id="since an instant, which counts"),
    ],
)
async def test_those_of_a_reason_and_since_an_instant_are_chosen(chosen: Chosen, offsets: list[int]) -> None:
    assert await found(Held([put_aside(0), put_aside(1, "bug"), put_aside(2, "not_json")]), chosen) == offsets


async def test_what_something_else_wrote_into_the_topic_is_left_alone() -> None:
    assert letter_of(LogRecord(0, T0, b"u1", b"{}", [("topic", b"events")])) is None
    assert letter_of(put_aside(0)._replace(headers=[*put_aside(0).headers[:3], ("offset", b"x")])) is None


async def test_they_are_sent_byte_for_byte_and_in_order_to_the_partition_of_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "AT_ONCE", 2)
    letters = [put_aside(at, key=b"u%d" % (at % 2)) for at in range(5)]
    outbox = Taken()
    sent = await send_again(read_dead_letters(Held(letters), "dead", 1, Chosen()), outbox, "events", 8)
    assert (sent.letters, sent.truncated) == (5, [])
    for user in ("u0", "u1"):
        mine = [(one.key, one.value, ()) for one in letters if one.key == user.encode()]
        assert [record for record in outbox.sent["events", partition_of(user, 8)] if record[0] == user.encode()] == mine
    assert sum(map(len, outbox.sent.values())) == 5


async def test_one_without_a_key_goes_back_to_where_it_came_from() -> None:
    outbox = Taken()
    await send_again(read_dead_letters(Held([put_aside(0, key=None)]), "dead", 1, Chosen()), outbox, "events", 8)
    assert list(outbox.sent) == [("events", 5)]


async def test_one_that_was_cut_is_not_sent_and_is_named() -> None:
    outbox = Taken()
    sent = await send_again(read_dead_letters(Held([put_aside(0, cut=True), put_aside(1)]), "dead", 1, Chosen()), outbox, "events", 8)
    assert (sent.letters, sent.truncated) == (1, [Origin("events", 5, 0)])
    assert sum(map(len, outbox.sent.values())) == 1
    assert refusal(sent.truncated).startswith("events[5]@0 was cut when put aside")
    assert "events[5]@4 and 2 others were cut" in refusal([Origin("events", 5, n) for n in range(7)])


def test_what_is_in_a_dead_letter_is_shown_only_when_asked_for() -> None:
    letter = letter_of(put_aside(3))
    assert letter is not None
    assert "value" not in repr(letter)
    assert _as_json(letter, show=False) == {
        "reason": "bad_time", "topic": "events", "partition": 5, "offset": 3, "at": T0 + 3, "size": 11, "truncated": False,
    }  # fmt: skip
    assert _as_json(letter, show=True).keys() >= {"key", "value_base64"}
    assert _row(letter, show=False) == ["2026-01-01T00:00:00.003Z", "bad_time", "events[5]@3", 11, ""]
    assert _row(letter, show=True)[5:] == ["u1", r"value 3 \xff"]


def test_a_terminal_is_shown_nothing_that_it_would_obey() -> None:
    letter = DeadLetter("not_json", Origin("events", 0, 0), T0, None, b"\x1b[2J" + b"x" * 500, truncated=False)
    (shown,) = _row(letter, show=True)[6:]
    assert str(shown).startswith(r"\x1b[2Jxxx")
    assert str(shown).endswith("x…")


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [("2h", T0 - 7_200_000), ("2026-01-01T00:00Z", T0), ("2026-01-01T00:00:01", T0 + 1000)],
    ids=["how long ago", "an instant", "in the account's zone"],
)
def test_since_is_an_instant_or_how_long_ago(text: str, instant_ms: int) -> None:
    assert since_ms(text, Settings(), T0) == instant_ms


def test_since_that_is_neither_says_what_would_be_right() -> None:
    with pytest.raises(UsageError, match=r"--since: .* nor is it a duration"):
        since_ms("yesterday", Settings(), T0)
