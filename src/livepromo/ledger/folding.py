"""What the ledger's entries add up to: rows, and how far candidates have been decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from livepromo.ledger.deciding import Row, apply
from livepromo.ledger.entries import Entry, ErasedEntry, GrantEntry
from livepromo.ledger.sources import UNKNOWN, Source, named, remember_all
from livepromo.model.ids import GrantId
from livepromo.model.records import Position


class Progress(msgspec.Struct, frozen=True):
    """How far one partition has been decided: candidates below `candidates_offset`, and what is remembered of each source. A value."""

    candidates_offset: int
    sources: dict[int, Source]


NOTHING_DECIDED = Progress(0, {})


def rows_needed(entries: Iterable[Entry]) -> set[str]:
    """Return the names of the rows that `fold` must be given."""
    return {name for entry in entries if isinstance(entry, GrantEntry) for name, _, _ in entry.adds}


def fold(entries: Iterable[Entry], rows: Mapping[str, Row], progress: Progress) -> tuple[dict[str, Row], Progress]:
    """Return the rows that changed and the progress, after entries of one partition, in the ledger's order, on top of what is given.

    A row that was dropped is an empty one.

    Void entries are the reader's to leave out. Entries may be folded all at once or in any pieces; each must be folded once.
    """
    now = dict(rows)
    changed: dict[str, Row] = {}
    sources = dict(progress.sources)
    offset = progress.candidates_offset
    granted: list[tuple[int, GrantId, Position]] = []
    for entry in entries:
        if isinstance(entry, GrantEntry):
            apply(entry.adds, now, changed)
            granted.append((entry.source, entry.grant_id, entry.position))
        elif isinstance(entry, ErasedEntry):
            for name in entry.rows:
                now[name] = changed[name] = {}
        else:
            sources.update(remember_all(sources, granted))
            granted.clear()
            offset = entry.candidates_offset
            for number, (epoch, durable) in entry.sources.items():
                sources[number] = named(sources.get(number, UNKNOWN), epoch, durable)
    sources.update(remember_all(sources, granted))
    return changed, Progress(offset, sources)


def fold_all(entries: Iterable[Entry]) -> tuple[dict[str, Row], Progress]:
    """Return every row that the whole ledger of one partition makes, and the progress."""
    rows, progress = fold(entries, {}, NOTHING_DECIDED)
    return {name: row for name, row in rows.items() if row}, progress
