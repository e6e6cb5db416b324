"""What a campaign owes for a cause: a reward of any type, complete but for what limits and codes decide, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, assert_never

import msgspec

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.limits import amount_limits, code_limits, item_limits
from livepromo.model.decisions import Cause, Limit, OwedCall, Reason
from livepromo.model.documents import (
    Campaign,
    Coupon,
    CouponReward,
    CouponType,
    Credits,
    Custom,
    Document,
    Item,
    ItemGift,
    OnInsufficient,
    Partner,
    Points,
    Reward,
    VoucherList,
    VoucherReward,
    Wallet,
    key_of,
)
from livepromo.model.ids import GrantId, UserId
from livepromo.model.json_text import json_bytes
from livepromo.model.records import Position
from livepromo.rewards.earning import compile_earn
from livepromo.rewards.metadata import Facts, compile_metadata
from livepromo.rewards.payloads import NO_CONTACTS, body_pieces
from livepromo.rewards.validity import compile_validity

Kind = TypeVar("Kind", bound=Document)


class Occasion(msgspec.Struct, frozen=True, gc=False):
    """A cause as the campaigns see it that owe something for it.

    `decided_ms` is the decision's own time, `received_ms` when Kafka had received the event that decides it, None where none does.
    A cause without an event has no event properties.
    """

    user: UserId
    decided_ms: int
    received_ms: int | None
    cause: Cause
    cause_json: bytes
    event_properties: Mapping[str, Any]
    user_properties: Mapping[str, Any]
    position: Position


class Owed(NamedTuple):
    """A reward: its pieces (see Candidate), its amount in smallest units or 1, what a grant of it counts, and whom it calls."""

    pieces: tuple[bytes, ...]
    amount_units: int
    limits: tuple[Limit, ...]
    call: OwedCall | None = None


class Owing(msgspec.Struct, frozen=True):
    """The reward of one revision of a campaign, compiled.

    `owe` returns what is owed on an occasion under a grant's name, or why nothing is: whatever neither limits nor codes cause, in order
    of precedence. A function of its arguments, so a repeat owes the same.
    """

    reward_type: str
    owe: Callable[[Occasion, GrantId], Owed | Reason]
    decimals: int = 0
    partial: bool = False
    pool: str | None = None


def pool_of(reward: Reward) -> str | None:
    """Return the pool that a reward's codes are taken from: `coupon/ID` for a bulk coupon, `voucher_list/PARTNER/TAG`, else None."""
    match reward:
        case CouponReward(coupon=coupon, coupon_type=CouponType.BULK):
            return f"coupon/{coupon}"
        case VoucherReward():
            return f"voucher_list/{reward.voucher_list}"
        case _:
            return None


def own_pool(document: Document) -> str | None:
    """Return the pool that a document is, if it is one: a bulk coupon, a voucher list."""
    is_pool = isinstance(document, VoucherList) or (isinstance(document, Coupon) and document.coupon_type is CouponType.BULK)
    return key_of(document) if is_pool else None


def home_of(campaign: Campaign) -> str:
    """Return what decides the partition in which a campaign's candidates are decided: its pool, else itself; the same in all revisions."""
    return pool_of(campaign.reward) or str(campaign.id)


def compile_reward(campaign: Campaign, catalogue: Catalogue) -> Owing:
    """Return what a campaign owes, as its reward and the documents that it refers to stand in the catalogue."""
    reward = campaign.reward
    match reward:
        case Points():
            return _points(campaign, reward, _found(catalogue, f"wallet/{reward.wallet}", Wallet))
        case CouponReward():
            return _coupon(campaign, reward, _found(catalogue, f"coupon/{reward.coupon}", Coupon))
        case VoucherReward():
            partner = _found(catalogue, f"partner/{reward.partner}", Partner)
            return _voucher(campaign, reward, partner, _found(catalogue, f"voucher_list/{reward.voucher_list}", VoucherList))
        case Custom(gift=ItemGift(item=item)):
            return _item(campaign, reward, _found(catalogue, f"item/{item}", Item))
        case Custom(gift=Credits(wallet=wallet)):
            return _credits(campaign, reward, _found(catalogue, f"wallet/{wallet}", Wallet))
        case Custom():
            raise AssertionError(campaign.id)
        case _:
            assert_never(reward)


def _found(catalogue: Catalogue, key: str, kind: type[Kind]) -> Kind:
    document = catalogue.entries[key].document
    assert isinstance(document, kind), key
    return document


def _expired(expires_ms: int | None, at_ms: int) -> bool:
    """Say whether what expires then has expired: at that instant it has."""
    return expires_ms is not None and at_ms >= expires_ms


def _facts(occasion: Occasion, name: GrantId) -> Facts:
    return Facts(occasion.user, occasion.user_properties, occasion.event_properties, name, occasion.cause)


def _points(campaign: Campaign, points: Points, wallet: Wallet) -> Owing:
    earn = compile_earn(points.earn, points.max_per_reward_milli, wallet.decimals, wallet.rounding)
    validity = compile_validity(points.validity)
    metadata = compile_metadata(points.metadata, campaign)
    limits = amount_limits(campaign, points.recurrence, points.budget, wallet.decimals)
    head = b'{"type":"points","wallet":%b,"points":' % json_bytes(points.wallet)

    def owe(occasion: Occasion, name: GrantId) -> Owed | Reason:
        if not wallet.active:
            return Reason.WALLET_UNAVAILABLE
        amount_units = earn(occasion.event_properties, name)
        if isinstance(amount_units, Reason):
            return amount_units
        valid = validity(occasion.decided_ms)
        if isinstance(valid, Reason):
            return valid
        active_ms, expires_ms = valid
        expires = b"null" if expires_ms is None else b"%d" % expires_ms
        said = json_bytes(metadata(_facts(occasion, name)))
        tail = b',"active_at":%d,"expires_at":%b,"metadata":%b' % (active_ms, expires, said)
        return Owed((head, tail), amount_units, limits(occasion.user, amount_units, occasion.decided_ms))

    return Owing("points", owe, wallet.decimals, points.on_insufficient is OnInsufficient.PARTIAL)


def _coupon(campaign: Campaign, reward: CouponReward, coupon: Coupon) -> Owing:
    limits = code_limits(campaign, reward.max_per_user, reward.max_per_campaign)
    pool = pool_of(reward)
    head = b'{"type":"coupon","coupon":%b,"kind":"%b","code":' % (json_bytes(coupon.id), coupon.coupon_type.encode())
    delay_ms, allowance = reward.redeem_after_ms, coupon.user_redemption_limit

    def owe(occasion: Occasion, _name: GrantId) -> Owed | Reason:
        if not coupon.active or _expired(coupon.expires_ms, occasion.decided_ms):
            return Reason.COUPON_UNAVAILABLE
        tail = b',"redeemable_at":%d,"redemption_allowance":%d' % (occasion.decided_ms + delay_ms, allowance)
        pieces = (head, tail) if pool is not None else (head + json_bytes(coupon.code) + tail,)
        return Owed(pieces, 1, limits(occasion.user, 1, occasion.decided_ms))

    return Owing("coupon", owe, pool=pool)


def _voucher(campaign: Campaign, reward: VoucherReward, partner: Partner, codes: VoucherList) -> Owing:
    limits = code_limits(campaign, reward.max_per_user, reward.max_per_campaign)
    head = b'{"type":"voucher","partner":%b,"list_tag":%b,"code":' % (json_bytes(reward.partner), json_bytes(reward.list_tag))
    pieces = (head, b',"redemption_allowance":%d' % codes.user_redemption_limit)

    def owe(occasion: Occasion, _name: GrantId) -> Owed | Reason:
        if not partner.active:
            return Reason.PARTNER_UNAVAILABLE
        if not codes.active or _expired(codes.expires_ms, occasion.decided_ms):
            return Reason.LIST_UNAVAILABLE
        return Owed(pieces, 1, limits(occasion.user, 1, occasion.decided_ms))

    return Owing("voucher", owe, pool=pool_of(reward))


def _called(  # noqa: PLR0913, PLR0917 - what a call is made of
    custom: Custom, gift: str, gift_id: str, head: bytes, occasion: Occasion, metadata: bytes
) -> tuple[tuple[bytes, ...], OwedCall]:
    """Return the pieces of a custom reward as it is published, and the call, which alone tells email and phone (R67)."""
    before, behind = body_pieces(custom.identifiers, occasion.user, NO_CONTACTS, metadata)
    told, _ = body_pieces(custom.identifiers, occasion.user, occasion.user_properties, metadata)
    return (head, b',"payload":' + before, behind), OwedCall(custom.endpoint, gift, gift_id, told)


def _item(campaign: Campaign, custom: Custom, item: Item) -> Owing:
    assert isinstance(custom.gift, ItemGift), campaign.id
    limits = item_limits(campaign, custom.recurrence, custom.gift.budget)
    metadata = compile_metadata(custom.metadata, campaign)
    head = b'{"type":"custom","endpoint":%b,"item":%b,"value":' % (json_bytes(custom.endpoint), json_bytes(item.id))

    def owe(occasion: Occasion, name: GrantId) -> Owed | Reason:
        if not item.active:
            return Reason.ITEM_UNAVAILABLE
        pieces, call = _called(custom, "item", item.id, head, occasion, json_bytes(metadata(_facts(occasion, name))))
        return Owed(pieces, 1, limits(occasion.user, 1, occasion.decided_ms), call)

    return Owing("custom", owe)


def _credits(campaign: Campaign, custom: Custom, wallet: Wallet) -> Owing:
    given = custom.gift
    assert isinstance(given, Credits), campaign.id
    earn = compile_earn(given.earn, given.max_per_reward_milli, wallet.decimals, wallet.rounding)
    metadata = compile_metadata(custom.metadata, campaign)
    limits = amount_limits(campaign, custom.recurrence, given.budget, wallet.decimals)
    head = b'{"type":"custom","endpoint":%b,"wallet":%b,"value":' % (json_bytes(custom.endpoint), json_bytes(wallet.id))

    def owe(occasion: Occasion, name: GrantId) -> Owed | Reason:
        if not wallet.active:
            return Reason.WALLET_UNAVAILABLE
        amount_units = earn(occasion.event_properties, name)
        if isinstance(amount_units, Reason):
            return amount_units
        pieces, call = _called(custom, "wallet", wallet.id, head, occasion, json_bytes(metadata(_facts(occasion, name))))
        return Owed(pieces, amount_units, limits(occasion.user, amount_units, occasion.decided_ms), call)

    return Owing("custom", owe, wallet.decimals, given.on_insufficient is OnInsufficient.PARTIAL)
