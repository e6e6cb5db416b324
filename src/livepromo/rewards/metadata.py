"""What a reward says about itself: the rows of metadata, filled in (R33)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, assert_never

from livepromo.model.decisions import Cause
from livepromo.model.documents import Campaign, EventProperty, Fact, FactOf, Literal, MetadataRow, UserProperty
from livepromo.model.ids import GrantId, UserId


class Facts(NamedTuple):
    """What the rows of a reward may refer to, as it is when the reward is decided."""

    user: UserId
    user_properties: Mapping[str, Any]
    event_properties: Mapping[str, Any]
    grant_id: GrantId
    cause: Cause


Metadata = Callable[[Facts], dict[str, Any]]
_Source = Callable[[Facts], Any]


def compile_metadata(rows: tuple[MetadataRow, ...], campaign: Campaign) -> Metadata:
    """Return what gives a reward's metadata: keys trimmed, in the order of the document, values with their JSON types.

    A reference that finds nothing (a property that is missing or null, a campaign without a name) leaves its key out.
    """
    if not rows:
        return lambda _facts: {}
    sources = tuple((row.key.strip(), _source(row, campaign)) for row in rows)

    def metadata(facts: Facts) -> dict[str, Any]:
        found = ((key, source(facts)) for key, source in sources)
        return {key: value for key, value in found if value is not None}

    return metadata


def _source(row: MetadataRow, campaign: Campaign) -> _Source:
    match row.source:
        case Literal(value):
            return lambda _facts: value
        case EventProperty(name):
            return lambda facts: facts.event_properties.get(name)
        case UserProperty(name):
            return lambda facts: facts.user_properties.get(name)
        case FactOf(fact):
            return _fact(fact, campaign)
        case _:
            assert_never(row.source)


def _fact(fact: Fact, campaign: Campaign) -> _Source:
    match fact:
        case Fact.USER_ID:
            return lambda facts: facts.user
        case Fact.CAMPAIGN_ID:
            return lambda _facts: campaign.id
        case Fact.CAMPAIGN_NAME:
            return lambda _facts: campaign.name
        case Fact.GRANT_ID:
            return lambda facts: facts.grant_id
        case Fact.EVENT_ID:
            return lambda facts: facts.cause.event_id
        case Fact.EVENT_NAME:
            return lambda facts: facts.cause.event
        case Fact.EVENT_TS:
            return lambda facts: facts.cause.ts_ms
        case _:
            assert_never(fact)
