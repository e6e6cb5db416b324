"""What authors publish, read, checked and filled in with defaults: valid by construction."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from livepromo.model.amounts import Rounding
from livepromo.model.ids import CampaignId
from livepromo.model.records import Scalar


class Op(StrEnum):
    """The operators of conditions."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    EXISTS = "exists"
    NOT_EXISTS = "not_exists"


class Condition(msgspec.Struct, frozen=True):
    """One condition on a property; `values` are one for most operators, two for between, none for exists, any number for in."""

    property: str
    op: Op
    values: tuple[Scalar, ...] = ()


class Live(msgspec.Struct, frozen=True, tag="live"):
    """Qualify by an event as it happens."""

    event: str
    where: tuple[Condition, ...] = ()


class Sample(msgspec.Struct, frozen=True, tag="sample"):
    """An audience: so many thousandths of a percent of all users."""

    percent_milli: int


class Flat(msgspec.Struct, frozen=True, tag="flat"):
    """Always the same; `milli` are thousandths, here and below."""

    milli: int


class Percent(msgspec.Struct, frozen=True, tag="percent"):
    """So many thousandths of a percent of a property."""

    percent_milli: int
    of: str


class Per(msgspec.Struct, frozen=True, tag="per"):
    """`points_milli` for every whole `per_milli` of a property."""

    points_milli: int
    per_milli: int
    of: str


class Favor(StrEnum):
    """Which part of the range a random amount prefers."""

    MIN = "min"
    AVG = "avg"
    MAX = "max"


class Random(msgspec.Struct, frozen=True, tag="random"):
    """Drawn between min and max, both possible."""

    min_milli: int
    max_milli: int
    favor: Favor


Earn = Flat | Percent | Per | Random


class Recurrence(msgspec.Struct, frozen=True):
    """How often per user; None: no limit of that kind."""

    total: int | None = None
    day: int | None = None
    week: int | None = None
    month: int | None = None


class Validity(msgspec.Struct, frozen=True):
    """From when and until when points can be spent; at most one of the two expiries."""

    activate_after_ms: int = 0
    expire_after_ms: int | None = None
    expire_on_ms: int | None = None


class Budget(msgspec.Struct, frozen=True):
    """The most that may be given, in thousandths; None: no limit of that kind."""

    campaign_milli: int | None = None
    user_milli: int | None = None


class OnInsufficient(StrEnum):
    """What becomes of a reward that is larger than what is left of a budget."""

    REJECT = "reject"
    PARTIAL = "partial"


class Literal(msgspec.Struct, frozen=True, tag="value"):
    """Metadata: this value."""

    value: Scalar


class EventProperty(msgspec.Struct, frozen=True, tag="event"):
    """Metadata: a property of the triggering event."""

    property: str


class UserProperty(msgspec.Struct, frozen=True, tag="user"):
    """Metadata: a property of the user."""

    property: str


class Fact(StrEnum):
    """Metadata: what the campaign, the user, the cause or the grant is."""

    USER_ID = "user.id"
    CAMPAIGN_ID = "campaign_id"
    CAMPAIGN_NAME = "campaign_name"
    GRANT_ID = "grant_id"
    EVENT_ID = "event_id"
    EVENT_NAME = "event_name"
    EVENT_TS = "event_ts"


class FactOf(msgspec.Struct, frozen=True, tag="fact"):
    """Metadata: one of the facts."""

    fact: Fact


class MetadataRow(msgspec.Struct, frozen=True):
    """One row of metadata."""

    key: str
    source: Literal | EventProperty | UserProperty | FactOf


class Points(msgspec.Struct, frozen=True, tag="points"):
    """Loyalty points."""

    wallet: str
    earn: Earn
    max_per_reward_milli: int | None = None
    recurrence: Recurrence = Recurrence()
    validity: Validity = Validity()
    budget: Budget = Budget()
    on_insufficient: OnInsufficient = OnInsufficient.REJECT
    metadata: tuple[MetadataRow, ...] = ()


class When(msgspec.Struct, frozen=True):
    """From when (None: now) until when (exclusive; None: never) a live campaign runs."""

    start_ms: int | None = None
    end_ms: int | None = None


class Campaign(msgspec.Struct, frozen=True, tag="campaign"):
    """A promotion."""

    id: CampaignId
    timezone: str
    qualify: Live
    reward: Points
    who: Sample | None = None
    when: When = When()
    name: str | None = None
    description: str | None = None


class Wallet(msgspec.Struct, frozen=True, tag="wallet"):
    """What points are kept in."""

    id: str
    decimals: int = 0
    rounding: Rounding = Rounding.DOWN
    active: bool = True
    name: str | None = None
    description: str | None = None


Document = Campaign | Wallet


def key_of(document: Document) -> str:
    """Return `kind/id`, by which documents are named everywhere."""
    return f"{type(document).__name__.lower()}/{document.id}"
