"""What authors publish, read, checked and filled in with defaults: valid by construction."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from livepromo.model.amounts import Rounding
from livepromo.model.audiences import Audience
from livepromo.model.conditions import Condition
from livepromo.model.ids import CampaignId
from livepromo.model.records import Scalar


class Unless(msgspec.Struct, frozen=True):
    """Absence: what closes a window, and how long it is; `events` in order, each once. `grace_ms` None: as the setting says."""

    events: tuple[str, ...]
    within_ms: int
    where: tuple[Condition, ...] = ()
    grace_ms: int | None = None


class Same(msgspec.Struct, frozen=True, order=True):
    """A constant property (R10), and what the `unless` events call it."""

    event: str
    unless: str


class Retrigger(StrEnum):
    """What a further trigger does while its window is open."""

    KEEP = "keep"
    RESTART = "restart"


class Live(msgspec.Struct, frozen=True, tag="live"):
    """Qualify by an event as it happens or, with `unless`, by what does not follow it. `same` in order, each once."""

    event: str
    where: tuple[Condition, ...] = ()
    unless: Unless | None = None
    same: tuple[Same, ...] = ()
    retrigger: Retrigger = Retrigger.KEEP


class Past(msgspec.Struct, frozen=True, tag="past"):
    """Everyone in the audience qualifies, at send time."""


class FromList(msgspec.Struct, frozen=True, tag="list"):
    """Everyone on the list (and in the audience, if there is one) qualifies, at send time."""

    list: str


Qualify = Live | Past | FromList


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


class CouponType(StrEnum):
    """Whether everyone gets the same code, or each a code of its own."""

    SINGLE = "single"
    BULK = "bulk"


class CouponReward(msgspec.Struct, frozen=True, tag="coupon"):
    """A coupon's code; the limits count rewards, None: no limit of that kind."""

    coupon: str
    coupon_type: CouponType
    max_per_user: int | None = None
    max_per_campaign: int | None = None
    redeem_after_ms: int = 0


class VoucherReward(msgspec.Struct, frozen=True, tag="voucher"):
    """A code of a partner's list."""

    partner: str
    list_tag: str
    max_per_user: int | None = None
    max_per_campaign: int | None = None

    @property
    def voucher_list(self) -> str:
        """Return the id of the list."""
        return f"{self.partner}/{self.list_tag}"


class ItemBudget(msgspec.Struct, frozen=True):
    """How many of an item may be given; None: no limit of that kind."""

    campaign: int | None = None
    day: int | None = None
    week: int | None = None
    month: int | None = None


class ItemGift(msgspec.Struct, frozen=True, tag="item"):
    """A physical or digital reward."""

    item: str
    budget: ItemBudget = ItemBudget()


class Credits(msgspec.Struct, frozen=True, tag="credits"):
    """Credits of an external wallet."""

    wallet: str
    earn: Earn
    max_per_reward_milli: int | None = None
    budget: Budget = Budget()
    on_insufficient: OnInsufficient = OnInsufficient.REJECT


class Identifiers(msgspec.Struct, frozen=True):
    """What the payload calls a user's id, email and phone."""

    user_id: str = "userId"
    email: str = "email"
    phone: str = "phone"


class Custom(msgspec.Struct, frozen=True, tag="custom"):
    """A call to an endpoint of another system."""

    endpoint: str
    gift: ItemGift | Credits
    recurrence: Recurrence = Recurrence()
    identifiers: Identifiers = Identifiers()
    metadata: tuple[MetadataRow, ...] = ()


Reward = Points | CouponReward | VoucherReward | Custom


class When(msgspec.Struct, frozen=True):
    """From when (None: now) until when (exclusive; None: never) a live campaign runs; when (None: now) another one is sent."""

    start_ms: int | None = None
    end_ms: int | None = None
    send_ms: int | None = None


class Campaign(msgspec.Struct, frozen=True, tag="campaign"):
    """A promotion."""

    id: CampaignId
    timezone: str
    qualify: Qualify
    reward: Reward
    who: Audience | None = None
    when: When = When()
    name: str | None = None
    description: str | None = None


class Wallet(msgspec.Struct, frozen=True, tag="wallet"):
    """What points are kept in or, where it is external, the credits of another system."""

    id: str
    decimals: int = 0
    rounding: Rounding = Rounding.DOWN
    active: bool = True
    name: str | None = None
    description: str | None = None
    external: bool = False


class Coupon(msgspec.Struct, frozen=True, tag="coupon"):
    """What campaigns give codes of; `code` is that of a single one, and not in `repr`. It has expired at `expires_ms` (None: never)."""

    id: str
    coupon_type: CouponType
    code: str | None = None
    user_redemption_limit: int = 1
    expires_ms: int | None = None
    active: bool = True
    name: str | None = None
    description: str | None = None

    def __repr__(self) -> str:
        """Say which coupon it is, without its code."""
        return f"Coupon({self.id}, {self.coupon_type.value})"


class Partner(msgspec.Struct, frozen=True, tag="partner"):
    """Whose vouchers are given."""

    id: str
    active: bool = True
    name: str | None = None
    description: str | None = None


class VoucherList(msgspec.Struct, frozen=True, tag="voucher_list"):
    """A partner's codes under one tag; `id` is `partner/tag`. It has expired at `expires_ms` (None: never)."""

    id: str
    user_redemption_limit: int = 1
    expires_ms: int | None = None
    active: bool = True
    name: str | None = None
    description: str | None = None

    @property
    def partner(self) -> str:
        """Return the id of the partner."""
        return self.id.partition("/")[0]

    @property
    def list_tag(self) -> str:
        """Return the tag."""
        return self.id.partition("/")[2]


class Item(msgspec.Struct, frozen=True, tag="item"):
    """A physical or digital reward that another system hands out."""

    id: str
    active: bool = True
    name: str | None = None
    description: str | None = None


class Endpoint(msgspec.Struct, frozen=True, tag="endpoint"):
    """Where custom rewards are sent; `secret` is a name. `headers` are (name, value), in order of the names in lower case."""

    id: str
    url: str
    secret: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    timeout_ms: int = 15_000
    max_in_flight: int = 16
    name: str | None = None
    description: str | None = None


class Segment(msgspec.Struct, frozen=True, tag="segment"):
    """A saved audience; `who` None: membership is fed from outside."""

    id: str
    who: Audience | None = None
    name: str | None = None
    description: str | None = None


class UserList(msgspec.Struct, frozen=True, tag="list"):
    """A list of users, who are imported."""

    id: str
    name: str | None = None
    description: str | None = None


Document = Campaign | Wallet | Coupon | Partner | VoucherList | Item | Endpoint | Segment | UserList

KINDS = ("campaign", "wallet", "coupon", "partner", "voucher_list", "item", "endpoint", "segment", "list")
"""The kinds of documents, as they are written."""


def kind_of(document: Document) -> str:
    """Return the kind of a document, as it is written."""
    return str(document.__struct_config__.tag)


def key_of(document: Document) -> str:
    """Return `kind/id`, by which documents are named everywhere."""
    return f"{kind_of(document)}/{document.id}"
