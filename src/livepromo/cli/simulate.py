"""livepromo simulate: what would documents have granted over recorded records?"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from livepromo.cli.errors import UsageError
from livepromo.cli.output import progress, say, table, writing
from livepromo.cli.problems import refuse_errors
from livepromo.documents.files import read_files
from livepromo.documents.reading import documents_of
from livepromo.documents.references import check_documents
from livepromo.model.documents import UserList, key_of
from livepromo.model.time import FOREVER_MS, instant_ms, zone
from livepromo.settings import Settings, load

if TYPE_CHECKING:
    from livepromo.simulation.run import Decision, Simulation

_POOL = re.compile(r"coupon/[^/]+|voucher_list/[^/]+/[^/]+")
_LIST = re.compile(r"list/[^/]+")
_Files = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def simulate(  # noqa: PLR0913 - the options of the command line
    *,
    documents: _Files = None,
    events: _Files = None,
    log: _Files = None,
    codes: _Files = None,
    users: _Files = None,
    out: str | None = None,
    until: str | None = None,
) -> None:
    """Run recorded records through documents, with the engine of the worker, and without Kafka or Redis.

    Everything is published at the time of the first record, `start: now` is before every record, `send: now` behind all of them, and
    all records are one partition. In the end time moves on until every window has closed and every campaign was sent, or to `--until`.
    A table with what was granted, refused and is left goes to standard error. With `--log`, files that `livepromo log` wrote are
    decided again, each at the places at which its worker decided: several files are several partitions with one set of limits.

    Example: `livepromo simulate --documents campaigns/ --events monday.jsonl.gz tuesday.jsonl.gz --out decisions.jsonl`

    Args:
        documents: YAML or JSON files, or directories of them.
        events: Records as they come in, a JSON object a line: .jsonl, .jsonl.gz, or - for standard input; read one after another.
        log: Instead of documents and events, files that `livepromo log` wrote.
        codes: Codes of pools, one a line, as coupon/ID=FILE or voucher_list/PARTNER/TAG=FILE. A pool that is not named has none.
        users: The users on lists, one a line, as list/ID=FILE: on them before the first record. A list that is not named has none.
        out: Write every decision there as a JSON line, in order of decision; - for standard output.
        until: Move stream time on to this instant at the end; without an offset it is in the account's zone.
    """
    from livepromo.behaviour.formats import FORMATS  # noqa: PLC0415 - slow to import
    from livepromo.simulation.run import Simulation, run_logged  # noqa: PLC0415 - slow to import
    from livepromo.worker.horizons import horizons_of  # noqa: PLC0415 - slow to import

    settings = load()
    until_ms = FOREVER_MS if until is None else _instant(until, settings)
    _check_goes_together(documents, events, log, users, until)
    simulation = Simulation(horizons_of(settings), _read_each("--codes", codes or [], _POOL, "codes"), FORMATS[settings.format])
    if log is not None:
        _decide(simulation, log, out, lambda paths, moved: run_logged(simulation, paths, moved))
        return
    lists = _read_each("--users", users or [], _LIST, "users")
    assert documents is not None
    assert events is not None
    _decide_recorded(simulation, documents, events, out, _Said(settings.timezone, lists, until_ms))


class _Said(NamedTuple):
    """What the command line says of a simulation besides its files: the account's zone, who is on which list, when it ends."""

    timezone: str
    lists: dict[str, tuple[str, ...]]
    until_ms: int


def _check_goes_together(documents: _Files, events: _Files, log: _Files, users: _Files, until: str | None) -> None:
    """Raise UsageError for options that do not go together."""
    if log is None:
        missing = [name for name, given in (("--documents", documents), ("--events", events)) if not given]
        if missing:
            raise UsageError(f"{' and '.join(missing)} must be given, or --log instead of both")
    elif documents is not None or events is not None:
        raise UsageError("--log stands instead of --documents and --events: a log has both in it")
    elif users is not None:
        raise UsageError("--users does not go with --log: a log has the memberships in it that were imported")
    elif until is not None:
        raise UsageError("--until does not go with --log: a log says how far its partition's time went")


def _read_each(option: str, given: list[str], name: re.Pattern[str], what: str) -> dict[str, tuple[str, ...]]:
    """Return the codes of pools, or the users of lists; says how many lines of a file are none. Raises UsageError, InputError."""
    from livepromo.simulation.files import read_texts  # noqa: PLC0415 - slow to import

    found: dict[str, tuple[str, ...]] = {}
    for one in given:
        key, equals, path = one.partition("=")
        if not equals or not path or not name.fullmatch(key):
            forms = "coupon/ID=FILE or voucher_list/PARTNER/TAG=FILE" if name is _POOL else "list/ID=FILE"
            raise UsageError(f"{option} {one}: write {forms}")
        if key in found:
            raise UsageError(f"{option}: {key} is named twice")
        read = read_texts(path)
        found[key] = read.texts
        if read.left_out:
            left_out = ", ".join(f"{count} {why}" for why, count in read.left_out.items())
            say(f"{path}: {len(read.texts)} {what} of {key}; lines left out: {left_out}")
    return found


def _decide_recorded(simulation: Simulation, documents: list[str], events: list[str], out: str | None, said: _Said) -> None:
    from livepromo.engine.owing import own_pool  # noqa: PLC0415 - slow to import
    from livepromo.simulation.files import read_lines  # noqa: PLC0415
    from livepromo.simulation.run import run_recorded  # noqa: PLC0415 - slow to import

    read, problems = read_files(documents, said.timezone)
    refuse_errors([*problems, *check_documents(read, None, now_ms=None, strict=False)])
    meant = documents_of(read)
    pools = {pool for pool in map(own_pool, meant) if pool is not None}
    for pool in simulation.pools:
        if pool not in pools:
            raise UsageError(f"--codes: none of the documents is {pool}, or its codes are not imported: there are {_named(pools)}")
    lists = {key_of(one) for one in meant if isinstance(one, UserList)}
    for name in said.lists:
        if name not in lists:
            raise UsageError(f"--users: none of the documents is {name}: there are {_named(lists)}")
    users = {name.removeprefix("list/"): some for name, some in said.lists.items()}
    _decide(
        simulation,
        events,
        out,
        lambda paths, moved: run_recorded(simulation, meant, read_lines(paths, moved), said.until_ms, lists=users),
    )


def _named(pools: set[str]) -> str:
    return ", ".join(sorted(pools)) or "none"


def _decide(
    simulation: Simulation,
    files: list[str],
    out: str | None,
    run: Callable[[Sequence[str], Callable[[int], None]], Iterator[Decision]],
) -> None:
    from livepromo.simulation.files import size_bytes  # noqa: PLC0415 - slow to import
    from livepromo.simulation.run import decision_line  # noqa: PLC0415 - slow to import

    with progress("simulating", size_bytes(files)) as moved:
        decisions = run(files, moved)
        if out is None:
            for _ in decisions:
                pass
        else:
            with writing(out) as file:
                file.writelines(map(decision_line, decisions))
    summary = simulation.summary
    for head, rows in (summary.table(), summary.windows_table(), summary.sends_table()):
        if rows:
            table(head, rows, sys.stderr)
    say(summary.records_text())


def _instant(text: str, settings: Settings) -> int:
    try:
        return instant_ms(text, zone(settings.timezone))
    except ValueError as error:
        raise UsageError(f"--until: {error}") from None
