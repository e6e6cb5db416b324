"""livepromo history: who published, paused, stopped what and when?"""

from __future__ import annotations

from livepromo.cli.naming import unknown
from livepromo.cli.output import put, table
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import HistoryRow
from livepromo.documents.catalogue import history as rows_of
from livepromo.model.json_text import json_bytes
from livepromo.model.time import instant_text
from livepromo.settings import load


async def history(document: str | None = None, /, *, json: bool = False) -> None:
    """Say who published, paused, resumed and stopped what, and when, the oldest first.

    A row that is marked void had no effect: somebody else had published in between, or the campaign could not do that any more.

    Example: `livepromo history campaign/cart-rescue`

    Args:
        document: Only this one, as KIND/ID.
        json: Write an array of {at, by, what, document, revision, void}; `at` is in milliseconds.
    """
    from livepromo.worker.publishing_changes import read_publications  # noqa: PLC0415 - slow to import

    settings = load()
    await partitions(settings, "catalogue")
    taken = (await read_publications(settings)).taken
    rows = rows_of((one.offset, one.published_ms, one.publication) for one in taken)
    if document is not None:
        wanted = [row for row in rows if row.document == document]
        if not wanted:
            raise unknown("document", document, (row.document for row in rows))
        rows = wanted
    if json:
        put(json_bytes([_as_json(row) for row in rows]).decode())
    else:
        table(["when", "who", "document", "what"], [[instant_text(row.at_ms), row.by, row.document, _what(row)] for row in rows])


def _as_json(row: HistoryRow) -> dict[str, object]:
    return {"at": row.at_ms, "by": row.by, "what": row.what, "document": row.document, "revision": row.revision, "void": row.void}


def _what(row: HistoryRow) -> str:
    if row.void:
        return f"{row.what} (void)"
    return f"{row.what} revision {row.revision}" if row.what == "published" else row.what
