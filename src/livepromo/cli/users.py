"""livepromo users import: who is on a list."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from livepromo.cli.check import no_options
from livepromo.cli.errors import InputError, UsageError
from livepromo.cli.naming import unknown
from livepromo.cli.output import progress, put, say
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue
from livepromo.model.documents import UserList
from livepromo.model.ids import UserId
from livepromo.model.json_text import json_bytes
from livepromo.settings import Format, Settings, load


def _no_option(_: object, file: str) -> None:
    no_options(_, [file])


async def import_users(
    name: str,
    file: Annotated[str, Parameter(allow_leading_hyphen=True, validator=_no_option)],
    /,
    *,
    replace: bool = False,
    json: bool = False,
) -> None:
    """Put the users of a file, one id per line, on a list.

    Ids are taken as they are written, without blanks around them. For each a `segment` record named list/ID is written to the events
    topic, so the user is on the list for every later event, and for no earlier one. The same file can be imported again, also after it
    was interrupted: who is on the list stays on it. Lines that hold no id are named by number.

    Example: `livepromo users import list/vip-2026 vip.txt.gz --replace`

    Args:
        name: list/ID, as published.
        file: The users: plain, .gz, or - for standard input.
        replace: Also remove those who are on the list and not in the file. Who is on it is read from Kafka, which takes a while.
        json: Write {list, added, unchanged, removed, invalid} as JSON; without --replace nobody counts as unchanged.
    """
    from livepromo.simulation.files import read_lines, size_bytes  # noqa: PLC0415 - slow to import
    from livepromo.streaming.producer import Outbox  # noqa: PLC0415
    from livepromo.worker.connecting import kafka_of  # noqa: PLC0415
    from livepromo.worker.importing_users import UserImport  # noqa: PLC0415
    from livepromo.worker.publishing_changes import read_catalogue  # noqa: PLC0415

    settings = load()
    check_format(settings.format, settings.events)
    there = await partitions(settings, "catalogue", "state", events=True)
    check_is_list(name, await read_catalogue(settings))
    members = await _members(settings, there[settings.events], name) if replace else None
    outbox = Outbox(kafka_of(settings))
    await outbox.start()
    try:
        with progress("importing", size_bytes([file])) as moved:
            work = UserImport(outbox.send_many, settings.events, there[settings.events], name, members)
            imported = await work.run(read_lines([file], moved))
    finally:
        await outbox.close()
    for number, problem in imported.lines:
        say(f"{file}: line {number}: {problem.value}")
    if imported.invalid > len(imported.lines):
        say(f"{file}: {imported.invalid - len(imported.lines)} more lines hold no user")
    counts = {"added": imported.added, "unchanged": imported.unchanged, "removed": imported.removed, "invalid": imported.invalid}
    if json:
        put(json_bytes({"list": name, **counts}).decode())
    said = f"{imported.added} added, {imported.unchanged} unchanged, {imported.removed} removed" if replace else f"{imported.added} added"
    say(f"{name}: {said}, {imported.invalid} invalid")
    if not imported.added and not imported.unchanged:
        raise InputError(f"{file} holds no user: write one id per line, in UTF-8; nothing was changed")


def check_format(used: Format, events: str) -> None:
    """Raise UsageError unless the events topic takes records as livepromo writes them."""
    if used is not Format.LIVEPROMO:
        raise UsageError(
            f"the records of {events} are of the format {used.value}, which has no memberships that could be written: "
            "a list can be fed in an installation of the format livepromo only, see LIVEPROMO_FORMAT"
        )


def check_is_list(name: str, catalogue: Catalogue) -> None:
    """Raise InputError unless users can be imported onto what is published under this name."""
    entry = catalogue.entries.get(name)
    if entry is None or not isinstance(entry.document, UserList):
        raise unknown("list", name, (key for key, one in catalogue.entries.items() if isinstance(one.document, UserList)))


async def _members(settings: Settings, count: int, name: str) -> set[UserId]:
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415 - slow to import
    from livepromo.worker.standing import members_now  # noqa: PLC0415

    async with kafka_log(settings) as log:
        return await members_now(log, settings, count, name)
