"""livepromo check: are these documents sound?"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter

from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue
from livepromo.documents.files import read_files
from livepromo.documents.references import check_documents
from livepromo.model.json_text import json_bytes
from livepromo.settings import Settings, load


def no_option(_: object, file: str) -> None:
    """Refuse a file that looks like an option: `-` is one to cyclopts as well, and must be let through."""
    if file.startswith("-") and file != "-":
        raise ValueError(f"there is no option {file}")


def no_options(_: object, files: list[str]) -> None:
    """Refuse files that look like options."""
    for file in files:
        no_option(_, file)


def check(
    files: Annotated[list[str], Parameter(negative=(), allow_leading_hyphen=True, validator=no_options)],
    /,
    *,
    strict: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    published: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Say everything that is wrong with documents, without publishing them.

    One line per problem: `file: $.path: what is wrong (Rn)`, where Rn is the rule. The exit code is 1 where there are errors, else 0.

    Example: `livepromo check --strict campaigns/ wallets.yaml`

    Args:
        files: YAML or JSON files, directories of them, or - for standard input.
        strict: Advice (a limit per user and one per campaign) is an error, not a warning.
        json: Write an array of {file, document, path, rule, severity, message}.
        published: Judge them against what is published, too.
    """
    settings = load()
    catalogue = None
    if published:
        catalogue = asyncio.run(_published(settings))
    read, problems = read_files(files, settings.timezone)
    problems += check_documents(read, catalogue, now_ms=None, strict=strict)
    if json:
        sys.stdout.write(json_bytes([problem.as_json() for problem in problems]).decode() + "\n")
    else:
        sys.stdout.writelines(problem.text + "\n" for problem in problems)
    errors = sum(problem.severity == "error" for problem in problems)
    sys.stderr.write(f"{_counted(len(read), 'document')}: {_counted(errors, 'error')}, {_counted(len(problems) - errors, 'warning')}\n")
    return 1 if errors else 0


async def _published(settings: Settings) -> Catalogue:
    from livepromo.worker.publishing_changes import read_catalogue  # noqa: PLC0415 - Kafka's client is slow to import, and rarely needed

    await partitions(settings, "catalogue")
    return await read_catalogue(settings)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
