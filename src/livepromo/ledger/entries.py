"""What stands in the ledger: grants, and positions that say how far candidates have been decided."""

from __future__ import annotations

from typing import assert_never

import msgspec

from livepromo.ledger.deciding import Add
from livepromo.ledger.formats import unversioned, versioned
from livepromo.model.decisions import Grant
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.model.records import Position

FORMAT = 2
WITHOUT_CALLS = 1  # the format before grants made calls; the ledger is kept for ever, so it is read as well
POSITION_KEY = b"@position"
ERASED_KEY = b"@erased"


class GrantEntry(msgspec.Struct, frozen=True, array_like=True, tag="g", gc=False):
    """A grant: as published (`body`), what it added to which rows, and of which candidate of which source it was made.

    `received_ms` is when Kafka received the event that decided it, None where none did. `call` is the offset at which the call of a
    custom reward stands in the partition of the same number of the topic of calls. `repr` has no body: a code may be in it.
    """

    grant_id: GrantId
    campaign: CampaignId
    reward_type: str
    user: UserId
    body: bytes
    adds: tuple[Add, ...]
    source: int
    position: Position
    received_ms: int | None
    amount_units: int
    call: int | None = None

    def __repr__(self) -> str:
        """Name the grant and what it added, without what was given."""
        return f"GrantEntry({self.grant_id} of {self.campaign} for {self.user!r}, {self.adds})"


class PositionEntry(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Candidates below `candidates_offset` are decided; sources as they named themselves by then: epoch, highest durable position.

    A source that is not named here is as an earlier entry has it.
    """

    candidates_offset: int
    sources: dict[int, tuple[int, Position]]


class ErasedEntry(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """Rows that were dropped here, because their user was erased: whatever was added to them before counts no more."""

    rows: tuple[str, ...]

    def __repr__(self) -> str:
        """Say how many rows, and not whose."""
        return f"ErasedEntry({len(self.rows)} rows)"


Entry = GrantEntry | PositionEntry | ErasedEntry

_entries: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(Entry)


def grant_entry(grant: Grant, source: int, call: int | None = None) -> GrantEntry:
    """Return the entry of a grant that was made of a candidate of `source`, and whose call, if it makes one, stands at `call`."""
    candidate = grant.candidate
    return GrantEntry(
        candidate.grant_id,
        candidate.campaign,
        candidate.reward_type,
        candidate.user,
        grant.as_json(),
        grant.adds,
        source,
        candidate.position,
        candidate.received_ms,
        grant.amount_units,
        call,
    )


def key_of(entry: Entry) -> bytes:
    """Return the key under which an entry stands in the ledger."""
    match entry:
        case GrantEntry():
            return entry.grant_id.encode()
        case PositionEntry():
            return POSITION_KEY
        case ErasedEntry():
            return ERASED_KEY
        case _:
            assert_never(entry)


def encode(entry: Entry) -> bytes:
    """Return the payload of an entry."""
    return versioned(FORMAT, entry)


def decode(payload: bytes) -> Entry:
    """Return what `encode` wrote. Raises FormatError."""
    version = WITHOUT_CALLS if payload[:1] == b"%c" % WITHOUT_CALLS else FORMAT
    return unversioned(payload, version, _entries, "an entry of the ledger")
