"""Worker processes of `livepromo dev`: started as anybody would start them, with a log of their own, and ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_RUN: Final = "import sys; from livepromo.cli import main; sys.exit(main())"
_METRICS: Final = re.compile(r"metrics are served port=(\d+)")
_TAIL_BYTES: Final = 20_000


class WorkerProcess:
    """One `livepromo worker`, in a session of its own: Ctrl-C at a terminal reaches `dev` alone, which then ends it in order."""

    def __init__(self, environ: Mapping[str, str], log: Path) -> None:
        self.log, self._asked = log, False
        with log.open("ab") as out:
            words = [sys.executable, "-c", _RUN, "worker"]
            self._process = subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - ourselves

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def ended_how(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with {code}"

    def metrics_port(self) -> int | None:
        """Return where its metrics are; None as long as it has not said so."""
        found = _METRICS.search(self._said())
        return int(found[1]) if found else None

    def tail(self, lines: int) -> list[str]:
        """Return the last lines of its log."""
        return self._said().splitlines()[-lines:]

    def _said(self) -> str:
        with self.log.open("rb") as file:
            start = file.read(_TAIL_BYTES)  # where the metrics are is said early
            size = file.seek(0, 2)
            if size > _TAIL_BYTES:
                file.seek(max(_TAIL_BYTES, size - _TAIL_BYTES))
                start += b"\n" + file.read()
        return start.decode(errors="replace")

    def ask_to_end(self) -> None:
        """Have it end in good order: SIGTERM, once."""
        if not self._asked and self._process.poll() is None:
            self._process.terminate()
        self._asked = True

    def end(self, seconds: float, impatient: Callable[[], bool]) -> int:
        """End it in good order and return its exit code; after so many seconds, or impatiently, at once."""
        self.ask_to_end()
        pause = threading.Event()
        for _ in range(int(seconds * 20)):
            if self._process.poll() is not None or impatient():
                break
            pause.wait(0.05)
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait(10)
