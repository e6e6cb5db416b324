"""How a user is forgotten: everything that is kept of one, part by part, as far as a batch has room."""

from __future__ import annotations

from collections.abc import Iterator

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.limits import row_of_user
from livepromo.engine.owing import home_of
from livepromo.engine.state import Changes, Erased, State, mark_of
from livepromo.engine.sweeping import BATCH_BYTES
from livepromo.model.documents import Campaign
from livepromo.model.ids import UserId


def was_erased_since(state: State, user: UserId, offset: int) -> bool:
    """Say whether a user was erased by a record behind an offset: what is older must not be remembered anew, whoever reads it again."""
    return state.erased.get(mark_of(user), -1) > offset


def erase(state: State, changes: Changes, user: UserId, offset: int) -> bool:
    """Remove all that is kept of a user because a record at `offset` says so, and say whether that was all.

    Where the batch has no room for more, what is left is for the next one, in which the same record is taken again. Ids are not
    removed: they are hashes that do not say whose they are, and are forgotten by themselves. Taken twice, it finds nothing more.
    """
    if user in state.users or user in changes.newcomers:
        kept = changes.changing(state, user)
        for group in list(kept.windows):
            if changes.size >= BATCH_BYTES:
                return False
            changes.put_windows(user, kept, {group: None})
        for memory in list(kept.remembered):
            if changes.size >= BATCH_BYTES:
                return False
            changes.forget_remembered(user, kept, memory)
        changes.forget(user)
    changes.put_erased(Erased(user, offset))
    return True


def rows_by_home(catalogue: Catalogue, user: UserId) -> Iterator[tuple[str, str]]:
    """Yield the row of a user in every campaign that was ever published, after what decides the partition in which it stands."""
    for entry in catalogue.entries.values():
        if isinstance(entry.document, Campaign):
            yield home_of(entry.document), row_of_user(entry.document.id, user)
