"""What is published: publications taken in order, and the revisions and states that they make."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import assert_never

import msgspec

from livepromo.documents.reading import ReadDocument, documents_of
from livepromo.model.audiences import Audience, InSegment, OnList, leaves_of
from livepromo.model.documents import (
    Campaign,
    Coupon,
    CouponReward,
    Custom,
    Document,
    Endpoint,
    FromList,
    Item,
    ItemGift,
    Live,
    Partner,
    Points,
    Reward,
    Segment,
    UserList,
    VoucherList,
    VoucherReward,
    Wallet,
    key_of,
)
from livepromo.model.formats import FormatError
from livepromo.model.ids import CampaignId

FORMAT_VERSION = 1


class Verb(StrEnum):
    """What can be done to a published campaign besides publishing another revision."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class Publication(msgspec.Struct, frozen=True, tag="publication"):
    """Documents published together, all or none.

    `expects` names each of them, and those that they refer to, with the revision that was seen: 0 for none.
    """

    by: str
    expects: dict[str, int]
    documents: tuple[Document, ...]


class Intervention(msgspec.Struct, frozen=True, tag="intervention"):
    """A campaign paused, resumed or stopped by hand."""

    by: str
    verb: Verb
    campaign: CampaignId


class State(StrEnum):
    """What a campaign's interventions have made of it; documents of other kinds are always running."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Entry(msgspec.Struct, frozen=True):
    """A document as it is in force: its revision, when it was first published, when and by whom this revision was.

    `absences` are what each revision of a campaign with `unless`, the first on, says of windows: those that it opened keep to it (A3).
    """

    document: Document
    revision: int
    first_published_ms: int
    published_ms: int
    by: str
    state: State
    absences: tuple[Live, ...] = ()


class Catalogue(msgspec.Struct, frozen=True):
    """Every published document by kind/id; `position` is the next offset of the topic to take."""

    position: int = 0
    entries: dict[str, Entry] = {}


class HistoryRow(msgspec.Struct, frozen=True):
    """Who did what to a document, and when; `void` when something else had been published in between, or it was not possible."""

    offset: int
    at_ms: int
    by: str
    what: str  # published | paused | resumed | stopped
    document: str
    revision: int  # that it made, or found; 0 where there is none
    void: bool


def encode(publication: Publication | Intervention) -> bytes:
    """Return the value of a record of the catalogue's topic: a byte of format version, then JSON. Numbers stay exact."""
    return b"%c" % FORMAT_VERSION + json.dumps(msgspec.to_builtins(publication), ensure_ascii=False, separators=(",", ":")).encode()


def decode(value: bytes) -> Publication | Intervention:
    """Return what `encode` wrote. Raises FormatError."""
    if value[:1] != b"%c" % FORMAT_VERSION:
        said = f"format version {value[0]}" if value else "no format version"
        raise FormatError(f"a publication has {said}, this release of livepromo reads {FORMAT_VERSION}: upgrade livepromo")
    try:
        return msgspec.convert(json.loads(value[1:]), Publication | Intervention)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a publication has format version {FORMAT_VERSION}, but does not read as one: {error}") from error


def take(catalogue: Catalogue, offset: int, published_ms: int, publication: Publication | Intervention) -> tuple[Catalogue, bool]:
    """Return the catalogue after the publication at `offset`, and whether it holds; one that does not is void for every reader.

    A publication is void when something that it expects is at another revision, or when a campaign in it was stopped; an
    intervention when the campaign does not exist, or was stopped (stopping again changes nothing, nor does pausing again).
    Offsets are taken in order, each once.
    """
    assert offset >= catalogue.position, (offset, catalogue.position)
    match publication:
        case Publication():
            changed = _published(catalogue, published_ms, publication)
        case Intervention():
            changed = _intervened(catalogue, publication)
        case _:
            assert_never(publication)
    entries = catalogue.entries if not changed else {**catalogue.entries, **changed}
    return Catalogue(offset + 1, entries), changed is not None


def _published(catalogue: Catalogue, published_ms: int, publication: Publication) -> dict[str, Entry] | None:
    if any(revision_of(catalogue, key) != expected for key, expected in publication.expects.items()):
        return None
    changed: dict[str, Entry] = {}
    for document in publication.documents:
        key = key_of(document)
        before = catalogue.entries.get(key)
        if before is None:
            changed[key] = Entry(document, 1, published_ms, published_ms, publication.by, State.RUNNING, _absences(document))
        elif before.state is State.STOPPED:
            return None
        else:
            absences = before.absences + _absences(document)
            first_ms = before.first_published_ms
            changed[key] = Entry(document, before.revision + 1, first_ms, published_ms, publication.by, before.state, absences)
    return changed


def _absences(document: Document) -> tuple[Live, ...]:
    if isinstance(document, Campaign) and isinstance(document.qualify, Live) and document.qualify.unless is not None:
        return (document.qualify,)
    return ()


def _intervened(catalogue: Catalogue, intervention: Intervention) -> dict[str, Entry] | None:
    key = campaign_key(intervention.campaign)
    entry = catalogue.entries.get(key)
    if entry is None:
        return None
    match intervention.verb:
        case Verb.STOP:
            state = State.STOPPED
        case _ if entry.state is State.STOPPED:
            return None
        case Verb.PAUSE:
            state = State.PAUSED
        case Verb.RESUME:
            state = State.RUNNING
        case _:
            assert_never(intervention.verb)
    return {key: msgspec.structs.replace(entry, state=state)}


def campaign_key(campaign: CampaignId) -> str:
    """Return a campaign's kind/id."""
    return f"campaign/{campaign}"


def revision_of(catalogue: Catalogue, key: str) -> int:
    """Return a document's current revision; 0 where it was never published."""
    entry = catalogue.entries.get(key)
    return entry.revision if entry is not None else 0


def starts_ms(entry: Entry) -> int:
    """Return when a campaign starts, or is sent; `now` is the instant of its first publication, in all revisions (R12, R14)."""
    assert isinstance(entry.document, Campaign), entry
    when = entry.document.when
    start = when.start_ms if isinstance(entry.document.qualify, Live) else when.send_ms
    return entry.first_published_ms if start is None else start


def campaign_state(entry: Entry, now_ms: int) -> str:
    """Return how a campaign is shown (R18): scheduled, running (one that is sent: sending), paused, ended or stopped.

    Whether a send has ended is for the partitions to say: here it goes on.
    """
    assert isinstance(entry.document, Campaign), entry
    end_ms = entry.document.when.end_ms
    if entry.state is State.STOPPED:
        return "stopped"
    if end_ms is not None and now_ms >= end_ms:
        return "ended"
    if entry.state is State.PAUSED:
        return "paused"
    if now_ms < starts_ms(entry):
        return "scheduled"
    return "running" if isinstance(entry.document.qualify, Live) else "sending"


def references(document: Document) -> tuple[str, ...]:
    """Return the kind/id of everything that a document refers to."""
    match document:
        case Campaign():
            listed = (f"list/{document.qualify.list}",) if isinstance(document.qualify, FromList) else ()
            return (*listed, *_of_audience(document.who), *_of_reward(document.reward))
        case VoucherList():
            return (f"partner/{document.partner}",)
        case Segment():
            return _of_audience(document.who)
        case Wallet() | Coupon() | Partner() | Item() | Endpoint() | UserList():
            return ()
        case _:
            assert_never(document)


def _of_audience(audience: Audience | None) -> tuple[str, ...]:
    found: list[str] = []
    for leaf in () if audience is None else leaves_of(audience):
        if isinstance(leaf, InSegment):
            found.append(f"segment/{leaf.segment}")
        elif isinstance(leaf, OnList):
            found.append(f"list/{leaf.list}")
    return tuple(found)


def _of_reward(reward: Reward) -> tuple[str, ...]:
    match reward:
        case Points():
            return (f"wallet/{reward.wallet}",)
        case CouponReward():
            return (f"coupon/{reward.coupon}",)
        case VoucherReward():
            return (f"partner/{reward.partner}", f"voucher_list/{reward.voucher_list}")
        case Custom(endpoint=endpoint, gift=gift):
            return (f"endpoint/{endpoint}", f"item/{gift.item}" if isinstance(gift, ItemGift) else f"wallet/{gift.wallet}")
        case _:
            assert_never(reward)


def _relied_on(documents: list[Document], catalogue: Catalogue) -> set[str]:
    """Return the kind/id of documents, what they refer to, and what segments among that refer to in turn.

    Without the latter, two publications that each hold could close a ring of segments between them.
    """
    given = {key_of(document): document for document in documents}
    found: set[str] = set()
    waiting = list(given)
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        entry = catalogue.entries.get(key)
        document = given.get(key) or (entry.document if entry is not None else None)
        if document is not None and (key in given or isinstance(document, Segment)):
            waiting += references(document)
    return found


def publication_of(reads: list[ReadDocument], catalogue: Catalogue, by: str) -> Publication | None:
    """Return the publication of those documents that differ from what is published; None where none does."""
    documents = []
    for document in documents_of(reads):
        entry = catalogue.entries.get(key_of(document))
        if entry is None or entry.document != document:
            documents.append(document)
    if not documents:
        return None
    expects = {key: revision_of(catalogue, key) for key in sorted(_relied_on(documents, catalogue))}
    return Publication(by, expects, tuple(documents))


_DONE = {Verb.PAUSE: "paused", Verb.RESUME: "resumed", Verb.STOP: "stopped"}


def history(records: Iterable[tuple[int, int, Publication | Intervention]]) -> list[HistoryRow]:
    """Return what happened to each document, from the (offset, milliseconds, publication) of the topic, from its first on."""
    rows: list[HistoryRow] = []
    catalogue = Catalogue()
    for offset, at_ms, publication in records:
        catalogue, valid = take(catalogue, offset, at_ms, publication)
        match publication:
            case Publication(by=by, documents=documents):
                what, keys = "published", [key_of(document) for document in documents]
            case Intervention(by=by, verb=verb, campaign=campaign):
                what, keys = _DONE[verb], [campaign_key(campaign)]
            case _:
                assert_never(publication)
        rows += [HistoryRow(offset, at_ms, by, what, key, revision_of(catalogue, key), not valid) for key in keys]
    return rows
