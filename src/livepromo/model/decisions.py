"""What becomes of a cause: a candidate, then a grant or a denial."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from livepromo.model.amounts import amount_text
from livepromo.model.ids import CampaignId, GrantId, UserId, hash_of
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Position


class Reason(StrEnum):
    """Why a reward is denied, in order of precedence: the first that fails is the one that is said."""

    PAUSED = "paused"
    WALLET_UNAVAILABLE = "wallet_unavailable"
    COUPON_UNAVAILABLE = "coupon_unavailable"
    PARTNER_UNAVAILABLE = "partner_unavailable"
    LIST_UNAVAILABLE = "list_unavailable"
    ITEM_UNAVAILABLE = "item_unavailable"
    PROPERTY_MISSING = "property_missing"
    PROPERTY_NOT_NUMERIC = "property_not_numeric"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_LARGE = "amount_too_large"
    WOULD_BE_EXPIRED = "would_be_expired"
    USER_TOTAL = "user_total"
    USER_DAY = "user_day"
    USER_WEEK = "user_week"
    USER_MONTH = "user_month"
    CAMPAIGN_LIMIT = "campaign_limit"
    CAMPAIGN_DAY = "campaign_day"
    CAMPAIGN_WEEK = "campaign_week"
    CAMPAIGN_MONTH = "campaign_month"
    USER_BUDGET = "user_budget"
    CAMPAIGN_BUDGET = "campaign_budget"
    CODES_EXHAUSTED = "codes_exhausted"


AMOUNT_REASONS = frozenset({Reason.USER_BUDGET, Reason.CAMPAIGN_BUDGET})  # limits of an amount; all others count rewards


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What made a candidate: an event (`did`), an event and a deadline (`did_not`), or a send (`past`, `list`: no event, no time).

    `ts_ms` is the event's own, as claimed.
    """

    kind: str
    event_id: str | None = None
    event: str | None = None
    ts_ms: int | None = None
    deadline_ms: int | None = None

    def as_json(self) -> bytes:
        """Return the cause as it stands in grants and denials."""
        said = {"kind": self.kind, "event_id": self.event_id, "event": self.event, "ts": self.ts_ms, "deadline": self.deadline_ms}
        return json_bytes({name: value for name, value in said.items() if value is not None})


def grant_id(campaign: CampaignId, user: UserId, cause: Cause) -> GrantId:
    """Return the name of the reward that a campaign owes a user for a cause; the same however often the cause is read."""
    deadline = () if cause.deadline_ms is None else (cause.deadline_ms,)
    return GrantId("gr_" + hash_of(campaign, user, cause.kind, cause.event_id, cause.event, cause.ts_ms, *deadline).hex())


class Limit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a grant adds to one slot of a row, and how much may stand there.

    `used + add <= cap` must hold; `cap` None only counts (a later revision may set a limit, and what was granted before counts).
    `add` is 1 for a limit that counts rewards and the amount in smallest units for a budget (`AMOUNT_REASONS`).
    A slot is `total`, `amount`, or a calendar period: `day:`, `week:` or `month:` and its ordinal.
    """

    reason: Reason
    row: str
    slot: str
    cap: int | None
    add: int
    resets_at_ms: int | None = None


class OwedCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an endpoint is to be told of a custom reward beyond what is published of it.

    `gift` is `item` or `wallet`, `gift_id` which. The body is `body_start`, the reward's value and the last of the reward's pieces (see
    Candidate). `repr` has no body: the user's email and phone may be in it.
    """

    endpoint: str
    gift: str
    gift_id: str
    body_start: bytes

    def __repr__(self) -> str:
        """Say where the call goes and what for."""
        return f"OwedCall({self.endpoint}, {self.gift} {self.gift_id})"


class Candidate(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A reward that a campaign owes for one cause, before limits are looked at; complete but for what is decided: a part, a code.

    The reward's JSON is `reward_pieces` and a closing brace. What is decided stands between every two pieces: a code where there is a
    `pool` that it is taken from, else the amount. One piece is a reward that is complete. `limits` stand in order of precedence.
    `received_ms`: when Kafka had received
    the event, None for what no event decides. A custom reward has a `call`. `repr` has no piece: a coupon's only code may be in it.
    """

    grant_id: GrantId
    campaign: CampaignId
    revision: int
    user: UserId
    decided_at_ms: int
    cause: bytes
    reward_type: str
    reward_pieces: tuple[bytes, ...]
    amount_units: int
    decimals: int
    partial: bool
    limits: tuple[Limit, ...]
    received_ms: int | None
    position: Position
    pool: str | None = None
    call: OwedCall | None = None

    @property
    def home(self) -> str:
        """What decides its partition: the pool, else the campaign."""
        return self.campaign if self.pool is None else self.pool

    def __repr__(self) -> str:
        """Name the reward that is owed, without what it consists of."""
        return f"Candidate({self.grant_id} of {self.campaign} for {self.user!r} at {self.position})"


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A decision to reward. `adds` are what it added: (row, slot, how much); `code` is the one taken from the candidate's pool."""

    candidate: Candidate
    amount_units: int
    adds: tuple[tuple[str, str, int], ...]
    code: str | None = None

    def __repr__(self) -> str:
        """Say what was granted, without the code."""
        return f"Grant({self.candidate!r}, {self.amount_units}, {self.adds})"

    def as_json(self) -> bytes:
        """Return the grant as published; a function of candidate, amount and code, so every repeat is the same, byte for byte.

        Where a code of a pool has not been taken, null stands in its place.
        """
        c = self.candidate
        decided = amount_text(self.amount_units, c.decimals).encode() if c.pool is None else json_bytes(self.code)
        requested = b""
        if self.amount_units != c.amount_units:
            requested = b',"requested":' + amount_text(c.amount_units, c.decimals).encode()
        return b"".join(
            (
                b'{"grant_id":"', c.grant_id.encode(), b'","campaign":"', c.campaign.encode(), b'","revision":', b"%d" % c.revision,
                b',"user":', json_bytes(c.user), b',"granted_at":', b"%d" % c.decided_at_ms, b',"cause":', c.cause,
                b',"reward":', decided.join(c.reward_pieces), requested, b"}}",
            )
        )  # fmt: skip

    def call_body(self) -> bytes:
        """Return what the endpoint of a custom reward is sent; every repeat is the same, byte for byte."""
        c = self.candidate
        assert c.call is not None, f"{c!r} calls nobody"
        return c.call.body_start + amount_text(self.amount_units, c.decimals).encode() + c.reward_pieces[-1]


class Denial(msgspec.Struct, frozen=True, gc=False):
    """A decision not to reward, and why. `limit`, `used` and `requested` come with limits; those of budgets are in smallest units."""

    campaign: CampaignId
    revision: int
    user: UserId
    decided_at_ms: int
    cause: bytes
    reason: Reason
    limit: int | None = None
    used: int | None = None
    requested: int | None = None
    resets_at_ms: int | None = None
    decimals: int = 0

    def as_json(self) -> bytes:
        """Return the denial as published."""
        parts = [
            b'{"campaign":"', self.campaign.encode(), b'","revision":', b"%d" % self.revision, b',"user":', json_bytes(self.user),
            b',"decided_at":', b"%d" % self.decided_at_ms, b',"cause":', self.cause, b',"reason":"', self.reason.encode(), b'"',
        ]  # fmt: skip
        decimals = self.decimals if self.reason in AMOUNT_REASONS else 0
        for name, units in ((b"limit", self.limit), (b"used", self.used), (b"requested", self.requested)):
            if units is not None:
                parts += [b',"', name, b'":', amount_text(units, decimals).encode()]
        if self.resets_at_ms is not None:
            parts += [b',"resets_at":', b"%d" % self.resets_at_ms]
        return b"".join((*parts, b"}"))
