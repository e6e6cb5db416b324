"""A log is one line an event, of words and `key=value`, and never says who a user is."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest

from livepromo.telemetry.logging import Log, configure


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure("INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_with_time_level_part_and_fields(written: io.StringIO) -> None:
    Log("worker.match").info("partition taken", partition=3, topic="livepromo.state", why='it is "ours"', missing=None)
    line = written.getvalue()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO worker\.match: partition taken "
        r'partition=3 topic=livepromo\.state why="it is \\"ours\\"" missing=None\n',
        line,
    )


def test_what_spans_lines_is_still_one_line(written: io.StringIO) -> None:
    Log("x").warning("a\nb", text="c\nd")
    assert written.getvalue().count("\n") == 1
    assert r'text="c\nd"' in written.getvalue()


def test_a_bug_has_its_traceback_in_its_line(written: io.StringIO) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        Log("x").bug("record put aside", offset=7)
    assert written.getvalue().count("\n") == 1
    assert "ZeroDivisionError: division by zero" in written.getvalue()
    assert "offset=7" in written.getvalue()


def test_levels_below_the_configured_one_are_not_written(written: io.StringIO) -> None:
    log = Log("x")
    log.debug("quiet")
    log.error("loud")
    assert "quiet" not in written.getvalue()
    assert "ERROR x: loud" in written.getvalue()


@pytest.mark.parametrize("name", ["user", "user_id", "password", "secret", "code", "properties", "url"])
def test_users_and_secrets_cannot_be_fields(name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        Log("x").info("something", **{name: "u1"})


def test_libraries_write_in_the_same_form_and_only_warnings(written: io.StringIO) -> None:
    logging.getLogger("aiokafka.consumer").info("joined")
    logging.getLogger("aiokafka.consumer").warning("lost %d", 3)
    assert "joined" not in written.getvalue()
    assert "WARNING aiokafka.consumer: lost 3\n" in written.getvalue()


def test_configuring_again_does_not_write_twice(written: io.StringIO) -> None:
    configure("INFO", written)
    Log("x").info("once")
    assert written.getvalue().count("once") == 1
