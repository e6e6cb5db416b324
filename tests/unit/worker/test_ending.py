"""With what a worker ends, and that a catalogue which lost publications is a refusal and no bug."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from livepromo.ledger import table
from livepromo.ledger.redis_table import EvictingError
from livepromo.model import formats
from livepromo.streaming.errors import DoesNotFitError, FencedError, FormatError, UnavailableError, UnknownOutcomeError
from livepromo.streaming.log import LogRecord, Writer
from livepromo.worker.app import exit_code
from livepromo.worker.publishing import Publications


class EmptyLog:
    """A log whose topics hold nothing."""

    async def claim(self, topic: str, partition: int, name: str | None = None) -> Writer:
        """Nobody claims."""
        raise AssertionError((topic, partition, name))

    async def read(self, topic: str, partition: int, start: int, end: int) -> AsyncIterator[list[LogRecord]]:
        """Nothing is there to read."""
        raise AssertionError((topic, partition, start, end))
        yield []

    async def begin(self, _topic: str, _partition: int) -> int:
        """Return the begin."""
        return 0

    async def end(self, _topic: str, _partition: int) -> int:
        """Return the end."""
        return 0


@pytest.mark.parametrize(
    "error",
    [
        DoesNotFitError("x"),
        FormatError("x"),
        formats.FormatError("x"),
        EvictingError("x"),
        UnavailableError("x"),
        table.UnavailableError(table.Away.OOM, "x"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_what_kafka_and_redis_hold_or_cannot_say_ends_a_worker_with_3(error: Exception) -> None:
    assert exit_code(error) == 3


@pytest.mark.parametrize("error", [FencedError("x"), UnknownOutcomeError("x"), AssertionError("x")], ids=lambda error: type(error).__name__)
def test_a_worker_that_doubts_itself_ends_with_1(error: Exception) -> None:
    assert exit_code(error) == 1


async def test_a_catalogue_that_ends_before_what_was_taken_of_it_is_refused_with_what_to_do() -> None:
    with pytest.raises(DoesNotFitError, match="catalogue ends at 0, but publications up to 2 were taken: restore it from the backup set"):
        await Publications(EmptyLog(), "catalogue").follow_to(2)
