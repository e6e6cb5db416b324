"""Which candidates are new: batches as they stand in the candidates topic, and what is remembered of each source of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from livepromo.ledger.formats import unversioned, versioned
from livepromo.model.decisions import Candidate
from livepromo.model.ids import GrantId
from livepromo.model.records import Position

FORMAT = 3
NO_EPOCH = -1  # epochs are offsets of markers


class Erasure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rows of a user who is erased, by the record at `position`: they are dropped behind all candidates that came before it."""

    rows: tuple[str, ...]
    position: Position


class CandidateBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one slice of a source partition owes to one candidates partition; without candidates it only names epoch and position.

    `epoch` is the one of the source's owner, `durable` the position up to which its state was acknowledged when the batch was made.
    One with erasures has no candidates.
    """

    source: int
    epoch: int
    durable: Position
    candidates: tuple[Candidate, ...] = ()
    erasures: tuple[Erasure, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """What is remembered of a source partition: the newest epoch and the highest durable position that it named, and ids granted since.

    `ids` are those of grants made of candidates at or above `durable`, each with its position. A value: nobody changes `ids`.
    """

    epoch: int
    durable: Position
    ids: dict[int, Position]


UNKNOWN = Source(NO_EPOCH, Position(0, 0), {})  # a source that has named nothing yet

_batches = msgspec.msgpack.Decoder(CandidateBatch)


def encode_batch(batch: CandidateBatch) -> bytes:
    """Return the value of a record of the candidates topic."""
    return versioned(FORMAT, batch)


def decode_batch(value: bytes) -> CandidateBatch:
    """Return what `encode_batch` wrote. Raises FormatError."""
    return unversioned(value, FORMAT, _batches, "a batch of candidates")


def id_of(grant: GrantId) -> int:
    """Return the number by which a grant is remembered: the first 64 bits of the hash in its id."""
    return int(grant[3:19], 16)


def named(source: Source, epoch: int, durable: Position) -> Source:
    """Return the source after it has named an epoch and a durable position; neither goes back, and ids below the position are dropped."""
    epoch = max(epoch, source.epoch)
    if durable <= source.durable:
        return source if epoch == source.epoch else Source(epoch, source.durable, source.ids)
    return Source(epoch, durable, {number: at for number, at in source.ids.items() if at >= durable})


def _take(source: Source, batch: CandidateBatch, taken: set[int]) -> tuple[Source, list[Candidate]]:
    if batch.epoch < source.epoch:
        return source, []
    source = named(source, batch.epoch, batch.durable)
    durable, ids = source.durable, source.ids
    new: list[Candidate] = []
    for candidate in batch.candidates:
        number = int(candidate.grant_id[3:19], 16)
        if number not in taken and number not in ids and candidate.position >= durable:
            taken.add(number)
            new.append(candidate)
    return source, new


def admit(source: Source | None, batch: CandidateBatch) -> tuple[Source, list[Candidate]]:
    """Return the source after `batch`, and the candidates that are to be decided, in order.

    Dropped are: everything of an epoch older than the newest that the source named; candidates below its highest durable position
    (they came before it, or from an owner that is none any more); ids that were granted; repeats inside the batch. Between two
    batches of one source, what was granted must have been `remembered`; where several are decided together, use `admit_all`.
    """
    return _take(source or UNKNOWN, batch, set())


def admit_erasures(source: Source | None, batch: CandidateBatch) -> tuple[Source, list[str]]:
    """Return the source after `batch`, and the rows that are to be dropped.

    Dropped are the same batches as of `admit`. One that comes twice drops the rows twice, and nothing of the user lies between: what
    follows an erasure is sent only when it is durable, and from then on it is below the durable position.
    """
    source = source or UNKNOWN
    if batch.epoch < source.epoch:
        return source, []
    source = named(source, batch.epoch, batch.durable)
    return source, [row for erasure in batch.erasures if erasure.position >= source.durable for row in erasure.rows]


def admit_all(sources: Mapping[int, Source], batches: Iterable[CandidateBatch]) -> tuple[dict[int, Source], list[tuple[int, Candidate]]]:
    """Return the sources that changed, and the candidates to be decided together, each with its source, in order.

    The same as `admit` for each batch in turn, and an id that an earlier batch of the same source brought is dropped as well.
    """
    changed: dict[int, Source] = {}
    taken: dict[int, set[int]] = {}
    new: list[tuple[int, Candidate]] = []
    for batch in batches:
        number = batch.source
        before = changed.get(number) or sources.get(number) or UNKNOWN
        after, admitted = _take(before, batch, taken.setdefault(number, set()))
        if after is not before:
            changed[number] = after
        new += [(number, candidate) for candidate in admitted]
    return changed, new


def remembered(source: Source, granted: Sequence[tuple[GrantId, Position]]) -> Source:
    """Return the source that remembers these grants too. Denials need no memory: what is used only grows, so a repeat is denied again."""
    new = {id_of(grant): at for grant, at in granted if at >= source.durable}
    return Source(source.epoch, source.durable, source.ids | new) if new else source


def remember_all(sources: Mapping[int, Source], granted: Iterable[tuple[int, GrantId, Position]]) -> dict[int, Source]:
    """Return the sources that changed when these grants, each with its source, are remembered."""
    by_source: dict[int, list[tuple[GrantId, Position]]] = {}
    for number, grant, at in granted:
        by_source.setdefault(number, []).append((grant, at))
    changed = {number: remembered(sources.get(number) or UNKNOWN, grants) for number, grants in by_source.items()}
    return {number: source for number, source in changed.items() if source is not sources.get(number)}
