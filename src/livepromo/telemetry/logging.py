"""Logs: one line an event, `key=value` after its name; never a secret, never who a user is."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

_PLAIN = re.compile(r"[A-Za-z0-9_.:/+@,\[\]-]+", re.ASCII)
_NEVER: Final = frozenset({"user", "users", "user_id", "profile", "properties", "password", "secret", "token", "code", "url"})
_LOUD: Final = ("faust", "mode", "aiokafka", "aiohttp", "asyncio")  # of these, warnings and worse


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class _Line(logging.Formatter):
    """`2026-01-31T10:00:00.123Z INFO worker.match: partition taken partition=3`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        fields: dict[str, object] = getattr(record, "fields", {})
        said = " ".join(record.getMessage().split())
        words = [when, record.levelname, f"{record.name.removeprefix('livepromo.')}:", said]
        words += [f"{key}={_value(value)}" for key, value in fields.items()]
        if record.exc_info:
            words.append(f"traceback={_value(self.formatException(record.exc_info))}")
        return " ".join(words)


class Log:
    """A logger of one part of livepromo: `log.info("partition taken", partition=3)`."""

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"livepromo.{part}")

    def _write(self, level: int, event: str, fields: dict[str, object], *, traceback: bool = False) -> None:
        assert not _NEVER & fields.keys(), f"{sorted(_NEVER & fields.keys())} may not be logged"
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, extra={"fields": fields}, exc_info=traceback)

    def debug(self, event: str, **fields: object) -> None:
        """Say what only a developer wants to know."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Say what an operator wants to find later."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Say what an operator should look at."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Say what an operator must do something about."""
        self._write(logging.ERROR, event, fields)

    def bug(self, event: str, **fields: object) -> None:
        """Say that the exception being handled is a mistake of livepromo's, with its traceback in the same line."""
        self._write(logging.ERROR, event, fields, traceback=True)


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send the logs of this process, of livepromo from `level` on, to a stream: standard error unless another is given."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
