"""The `livepromo` command: which commands there are, and how they end. Each is imported when it is run, and not before."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Final

from cyclopts import App, CycloptsError, Parameter, UnknownCommandError

from livepromo.cli.errors import USAGE, ending

_Commands = dict[str, tuple[str, str]]

COMMANDS: Final[dict[str, tuple[str | _Commands, str]]] = {
    "dev": ("livepromo.cli.dev:dev", "Try everything on embedded parts: nothing else is needed."),
    "init": ("livepromo.cli.init:init", "Make the topics that are missing and check the others."),
    "worker": ("livepromo.cli.worker:worker", "Work: match events, decide rewards, deliver grants."),
    "check": ("livepromo.cli.check:check", "Say what is wrong with documents."),
    "apply": ("livepromo.cli.apply:apply", "Publish documents, all or none."),
    "history": ("livepromo.cli.history:history", "Say who published, paused, stopped what and when."),
    "get": ("livepromo.cli.get:get", "Show what is published, and what is left of it."),
    "pause": ("livepromo.cli.pause:pause", "Let a campaign rest."),
    "resume": ("livepromo.cli.pause:resume", "Let a paused campaign go on."),
    "stop": ("livepromo.cli.pause:stop", "End a campaign for good."),
    "codes": (
        {"import": ("livepromo.cli.codes:import_codes", "Add codes that coupons and vouchers give.")},
        "Import the codes that coupons and vouchers give.",
    ),
    "users": (
        {"import": ("livepromo.cli.users:import_users", "Put users on a list.")},
        "Import the users of lists.",
    ),
    "simulate": ("livepromo.cli.simulate:simulate", "Run recorded records through documents, without Kafka or Redis."),
    "preview": ("livepromo.cli.preview:preview", "Show the reward that one event would earn."),
    "schema": ("livepromo.cli.schema:schema", "Write the JSON Schema of a kind, for editors."),
    "explain": ("livepromo.cli.explain:explain", "Show what is known of a user, and why an event earned what it earned."),
    "erase": ("livepromo.cli.erase:erase", "Forget a user."),
    "state": (
        {"rebuild": ("livepromo.cli.state:rebuild", "Make the state anew from the events topic.")},
        "The state of the partitions: make it anew.",
    ),
    "ledger": (
        {
            "verify": ("livepromo.cli.ledger:verify", "Compare Redis with the ledger topic."),
            "rebuild": ("livepromo.cli.ledger:rebuild", "Fill Redis from the ledger topic."),
        },
        "Compare Redis with the ledger topic, or fill it from there.",
    ),
    "webhooks": (
        {
            "list": ("livepromo.cli.given_up:list_calls", "Show the calls that were given up."),
            "replay": ("livepromo.cli.given_up:replay", "Send calls that were given up again."),
            "test": ("livepromo.cli.webhooks:call_endpoint", "Call an endpoint, marked as a test."),
        },
        "Calls to endpoints: those that were given up; try one out.",
    ),
    "dead-letters": (
        {
            "list": ("livepromo.cli.dead_letters:show", "List what could not be processed."),
            "replay": ("livepromo.cli.dead_letters:replay", "Send what could not be processed again."),
        },
        "Records that could not be processed: look at them, send them again.",
    ),
    "log": ("livepromo.cli.log:log", "Write one partition's records and control entries to a file."),
}
"""Name → (import path or commands below it, what it is for in a line)."""

_FILE_OPTIONS: Final = frozenset({"--documents", "--events", "--out", "--log"})
_INTERRUPTED: Final = 128 + signal.SIGINT
_NOBODY_READS: Final = 128 + signal.SIGPIPE
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def _app(words: Sequence[str]) -> App:
    """Return the parser. The help of the command in `words` is its docstring; the others have a line each, and are not imported."""
    chosen = (*words[:2], "", "")
    app = App(
        name="livepromo",
        help="Promotion campaigns on a stream of events.",
        help_epilogue="Settings are environment variables: LIVEPROMO_KAFKA, LIVEPROMO_REDIS and others.",
        help_format="markdown",
        version=lambda: version("livepromo"),
        default_parameter=Parameter(negative=()),
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for name, (where, line) in COMMANDS.items():
        if isinstance(where, dict):
            group = App(name=name, help=line)
            for below, (path, short) in where.items():
                group.command(path, name=below, help=None if (name, below) == chosen[:2] else short)
            app.command(group)
        else:
            app.command(where, name=name, help=None if name == chosen[0] else line)
    return app


def _unknown_command(words: Sequence[str]) -> str | None:
    """Return what to say of the first word that should be a command and is none."""
    known: dict[str, tuple[str | _Commands, str]] | _Commands = COMMANDS
    path = ""
    for word in words:
        if word.startswith("-"):
            return None
        if word not in known:
            near = get_close_matches(word, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"the commands are {', '.join(known)}"
            return f'there is no command "{path}{word}": {meant}'
        where = known[word][0]
        if isinstance(where, str):
            return None
        known, path = where, f"{path}{word} "
    return None


def _with_standard_streams(words: Sequence[str]) -> list[str]:
    """Return the words with `--events -` as `--events=-`: the parser takes a lone `-` as a file among positional arguments alone."""
    joined: list[str] = []
    option = ""
    for word in words:
        if word.startswith("--"):
            option = word.partition("=")[0]
        if word == "-" and option in _FILE_OPTIONS:
            if joined[-1] == option:
                joined.pop()
            joined.append(f"{option}=-")
        else:
            joined.append(word)
    return joined


def _forget_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end, and would complain


def _say(message: str) -> None:
    print(f"livepromo: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201 - what is for people goes to standard error


def _run(words: Sequence[str]) -> int:
    wrong = _unknown_command(words)
    if wrong is not None:
        _say(wrong)
        return USAGE
    try:
        code = _app(words)(_with_standard_streams(words), result_action="return_value")
        sys.stdout.flush()  # here, where it can still be said that nobody reads
    except CycloptsError as error:
        # cyclopts would import every command to name those that are near to an unknown one; commands were looked at above.
        unknown = isinstance(error, UnknownCommandError) and error.unused_tokens
        _say(f'there is no option "{unknown[0]}"' if unknown else str(error))
        return USAGE
    return code if isinstance(code, int) else 0


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error that is nobody's but ours is raised."""
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())  # else the log of a library would stand between the lines for people
    try:
        return _run(sys.argv[1:] if words is None else words)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return _NOBODY_READS
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            _forget_output()
            _say(f"what was to be written was not written, or not all of it: {error.strerror}")
            return USAGE
        known = ending(error)
        if known is None:
            raise
        _say(f"{error}{known.hint}")
        return known.code
