"""What documents may say that the engine cannot do yet: refused, never ignored."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from livepromo.model.audiences import Sample
from livepromo.model.documents import Campaign, Document, FromList, Live, Past, Segment, UserList, kind_of


class Unsupported(NamedTuple):
    """What is not yet supported, where it stands, and the rule that asks for it."""

    path: str
    what: str
    rule: str


def unsupported(document: Document) -> list[Unsupported]:
    """Return what is not yet supported of a sound document; a document that is published has none of it."""
    match document:
        case Campaign():
            return _of_campaign(document)
        case Segment() | UserList():
            return [Unsupported("$.kind", f'the kind "{kind_of(document)}"', "R5")]
        case _:
            return []


def _of_campaign(campaign: Campaign) -> list[Unsupported]:
    found: list[Unsupported] = []
    match campaign.qualify:
        case Past():
            found.append(Unsupported("$.qualify.past", '"past"', "R2"))
        case FromList():
            found.append(Unsupported("$.qualify.list", '"list"', "R2"))
        case Live():
            pass
        case _:
            assert_never(campaign.qualify)
    if campaign.who is not None and not isinstance(campaign.who, Sample):
        found.append(Unsupported("$.who", "an audience other than a single sample", "R5"))
    if campaign.when.send_ms is not None:
        found.append(Unsupported("$.when.send", '"send"', "R12"))
    return found
