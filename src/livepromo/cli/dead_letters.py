"""livepromo dead-letters list, replay: what could not be processed, and the same sent again."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from livepromo.cli.errors import InputError, UsageError
from livepromo.cli.instants import since_ms
from livepromo.cli.output import progress, put, say, table
from livepromo.cli.surroundings import partitions
from livepromo.model.json_text import json_bytes
from livepromo.model.records import DeadReason
from livepromo.model.time import instant_text
from livepromo.settings import Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.streaming.log import Log
    from livepromo.worker.dead_letters import Chosen, DeadLetter, Origin

_SHOWN_CHARACTERS = 200
_MOST_NAMED = 5


async def show(*, reason: list[str] | None = None, since: str | None = None, show: bool = False, json: bool = False) -> None:
    """List the dead letters: why each was put aside, where it comes from, when, and how large it is.

    What is in them is not shown unless asked for: they hold what users did and who they are.

    Example: `livepromo dead-letters list --reason bad_time --since 2h`

    Args:
        reason: Only those of this reason; may be repeated.
        since: Only those put aside since then: an instant, in the account's zone where it has no offset, or how long ago, as 2h.
        show: Show keys and contents, too; in the table the beginning of them.
        json: Write an array of {reason, topic, partition, offset, at, size, truncated}; with --show also key and value, or key_base64
            and value_base64 where they are no text. `at` is in milliseconds.
    """
    from livepromo.worker.dead_letters import read_dead_letters  # noqa: PLC0415 - slow to import
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415

    settings = load()
    chosen = _chosen(settings, reason, since)
    topic = settings.topic("dead-letters")
    count = (await partitions(settings, "dead-letters"))[topic]
    rows: list[list[object]] = []
    written = 0
    async with kafka_log(settings) as log:
        with progress("reading dead letters", await _held(log, topic, count)) as moved:
            async for letters in read_dead_letters(log, topic, count, chosen, moved):
                if json:  # as it comes: all of them together may be more than memory holds
                    for letter in letters:
                        put(("," if written else "[") + json_bytes(_as_json(letter, show=show)).decode())
                        written += 1
                else:
                    rows += [_row(letter, show=show) for letter in letters]
    if json:
        put("]" if written else "[]")
        return
    table(["when", "reason", "origin", "bytes", "cut", *(["key", "record"] if show else [])], rows)
    if rows:
        say(f"{_many(len(rows))}: " + ", ".join(f"{name} {number}" for name, number in Counter(str(row[1]) for row in rows).most_common()))
    else:
        say("no dead letters" + (" are chosen" if chosen.reasons or chosen.since_ms else ""))


async def replay(*, reason: list[str] | None = None, since: str | None = None) -> None:
    """Send dead letters to the events topic again, with the same keys and bytes, in the order in which they were put aside.

    For what was put aside by mistake: a bug that is mended, a limit that was raised. What still cannot be processed is put aside again.
    Sent twice, an event counts once, as long as its id is remembered; one that was put aside had not counted. One that was cut when it
    was put aside is refused: it has to come from its producer again. Exit code 1 where there are such.

    Example: `livepromo dead-letters replay --reason bug --since 2026-03-01T06:00Z`

    Args:
        reason: Only those of this reason; may be repeated.
        since: Only those put aside since then: an instant, in the account's zone where it has no offset, or how long ago, as 2h.
    """
    from livepromo.streaming.producer import Outbox  # noqa: PLC0415 - slow to import
    from livepromo.worker.connecting import kafka_of  # noqa: PLC0415
    from livepromo.worker.dead_letters import read_dead_letters, send_again  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415

    settings = load()
    chosen = _chosen(settings, reason, since)
    topic = settings.topic("dead-letters")
    there = await partitions(settings, "dead-letters", events=True)
    outbox = Outbox(kafka_of(settings))
    await outbox.start()
    try:
        async with kafka_log(settings) as log:
            with progress("sending again", await _held(log, topic, there[topic])) as moved:
                letters = read_dead_letters(log, topic, there[topic], chosen, moved)
                sent = await send_again(letters, outbox, settings.events, there[settings.events])
    finally:
        await outbox.close()
    say(f"{_many(sent.letters)} sent to {settings.events} again")
    if sent.truncated:
        raise InputError(refusal(sent.truncated))


def refusal(origins: Sequence[Origin]) -> str:
    """Return the sentence about dead letters that cannot be sent again."""
    named = ", ".join(f"{one.topic}[{one.partition}]@{one.offset}" for one in origins[:_MOST_NAMED])
    more = f" and {len(origins) - _MOST_NAMED} others" if len(origins) > _MOST_NAMED else ""
    was = "was" if len(origins) == 1 else "were"
    return f"{named}{more} {was} cut when put aside, as too large to keep, and cannot be sent again: have the producer send what is meant"


def _chosen(settings: Settings, reasons: Sequence[str] | None, since: str | None) -> Chosen:
    from livepromo.worker.dead_letters import Chosen  # noqa: PLC0415 - slow to import

    for one in reasons or ():
        if one not in set(DeadReason):
            raise UsageError(f'--reason: there is no reason "{one}": there are {", ".join(DeadReason)}')
    return Chosen(frozenset(map(DeadReason, reasons or ())), since_ms(since, settings, clock.wall_ms()))


async def _held(log: Log, topic: str, partitions: int) -> int:
    return sum([await log.end(topic, number) - await log.begin(topic, number) for number in range(partitions)])


def _many(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _row(letter: DeadLetter, *, show: bool) -> list[object]:
    origin = letter.origin
    row: list[object] = [
        instant_text(letter.at_ms),
        letter.reason,
        f"{origin.topic}[{origin.partition}]@{origin.offset}",
        letter.size,
        "cut" if letter.truncated else "",
    ]
    return [*row, _printable(letter.key), _printable(letter.value)] if show else row


def _printable(content: bytes | None) -> str:
    """Return the beginning of what a record has in it, without anything that a terminal would obey."""
    if content is None:
        return ""
    text = content[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:_SHOWN_CHARACTERS])
    return shown + ("…" if len(text) > _SHOWN_CHARACTERS or len(content) > 4 * _SHOWN_CHARACTERS else "")


def _as_json(letter: DeadLetter, *, show: bool) -> dict[str, Any]:
    origin = letter.origin
    said: dict[str, Any] = {
        "reason": letter.reason,
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "at": letter.at_ms,
        "size": letter.size,
        "truncated": letter.truncated,
    }
    if show:
        for name, content in (("key", letter.key), ("value", letter.value)):
            said |= _content(name, content)
    return said


def _content(name: str, content: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if content is None else content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(content or b"").decode()}
