"""Named steps at which a test can end, freeze or fail the process, to prove that nothing is lost there; inert unless asked for."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, NamedTuple

from livepromo.settings import PREFIX, SettingsError

_ASKED = re.compile(r"([a-z_.]+)=([a-z]+)(?:@([1-9][0-9]{0,8}))?", re.ASCII)

STEPS: Final = frozenset({
    "match.candidates_appended",
    "match.state_appended",
    "decide.denials_sent",
    "decide.calls_appended",
    "decide.ledger_appended",
    "decide.rows_written",
    "deliver.published",
    "takeover.claimed",
    "takeover.restored",
    "takeover.named",
    "calls.claimed",
    "calls.given_up",
    "calls.named",
    "calls.noted",
    "catalogue.entry_appended",
    "tick.entry_appended",
    "visit.entry_appended",
    "history.read_appended",
    "history.entry_appended",
    "renew.claimed",
})  # fmt: skip


class FailpointError(Exception):
    """A failpoint was asked to fail here: it stands for whatever a step might raise."""


class Verb(StrEnum):
    """What a failpoint does: SIGKILL to itself, SIGSTOP to itself, raise FailpointError."""

    KILL = "kill"
    FREEZE = "freeze"
    FAIL = "fail"


class Strike(NamedTuple):
    """What happens when a step is reached for the `nth` time in this process."""

    verb: Verb
    nth: int


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"{PREFIX}FAILPOINTS: {what}")


class Failpoints:
    """Strikes at steps. Before one strikes, a line with its step, verb and count is in the log file, if there is one."""

    def __init__(self, strikes: Mapping[str, tuple[Strike, ...]], log: str | None = None) -> None:
        self._strikes = dict(strikes)
        self._log = log
        self._reached = dict.fromkeys(strikes, 0)

    @staticmethod
    def parse(text: str) -> Failpoints:
        """Read `step=verb@nth,…`, such as `decide.rows_written=kill@3,log=/tmp/strikes`; nth is 1 if not said. Raises SettingsError."""
        strikes: dict[str, tuple[Strike, ...]] = {}
        log: str | None = None
        for part in filter(None, text.split(",")):
            if part.startswith("log="):
                log = part.removeprefix("log=")
                continue
            asked = _ASKED.fullmatch(part)
            if not asked:
                raise _wrong(f'"{part}" is no step=verb@nth, such as decide.rows_written=kill@3, nor log=PATH')
            step, verb, nth = asked.groups()
            if step not in STEPS:
                near = get_close_matches(step, STEPS, n=1)
                raise _wrong(
                    f'"{step}" is no step: ' + (f"did you mean {near[0]}?" if near else f"the steps are {', '.join(sorted(STEPS))}")
                )
            if verb not in set(Verb):
                raise _wrong(f'"{verb}" is not what a failpoint does: {", ".join(Verb)}')
            strikes[step] = (*strikes.get(step, ()), Strike(Verb(verb), int(nth or 1)))
        return Failpoints(strikes, log)

    def reach(self, step: str) -> None:
        """Say that `step` is done; where nothing was asked for, a look into an empty dict. Raises FailpointError if asked to."""
        if step in self._strikes:
            self._count(step)

    def _count(self, step: str) -> None:
        self._reached[step] += 1
        for verb, nth in self._strikes[step]:
            if nth == self._reached[step]:
                self._note(f"{step} {verb} {nth} pid {os.getpid()}\n")
                self._strike(step, verb)

    def _note(self, line: str) -> None:
        if self._log is None:
            return
        handle = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, line.encode())  # one write: lines of several processes do not mix, and a SIGKILL cannot lose it
        finally:
            os.close(handle)

    def _strike(self, step: str, verb: Verb) -> None:
        match verb:
            case Verb.KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            case Verb.FREEZE:
                os.kill(os.getpid(), signal.SIGSTOP)
            case Verb.FAIL:
                raise FailpointError(f"failpoint {step}")
