"""The fields of the kinds that campaigns refer to: wallets, coupons, partners, voucher lists, items, segments, lists."""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple

from livepromo.documents.audiences import audience
from livepromo.documents.fields import LONGEST_CODE, Part, boolean, count, instant, text, whole, word
from livepromo.documents.reading import Link
from livepromo.documents.shapes import fields_of
from livepromo.model.amounts import MILLI_DECIMALS, Rounding
from livepromo.model.documents import Coupon, CouponType, Item, Partner, Segment, UserList, VoucherList, Wallet

FED = "fed"


class Naming(NamedTuple):
    """What every kind has: an id (None: it could not be read), and what people are told."""

    id: str | None
    name: str | None
    description: str | None


def _active(outer: Part) -> bool:
    active = boolean(outer, "active")
    return True if active is None else active


def wallet(outer: Part, naming: Naming) -> Wallet | None:
    """Return the wallet; not to be used where a problem was found."""
    outer.only(fields_of("wallet"))
    decimals = whole(outer.fields.get("decimals", 0))
    if decimals is None or not 0 <= decimals <= MILLI_DECIMALS:
        outer.wrong("decimals", "a whole number from 0 to 3", "R19")
        decimals = 0
    rounding = word(outer, "rounding", Rounding, "R26")
    active, external = _active(outer), boolean(outer, "external")
    if naming.id is None:
        return None
    return Wallet(naming.id, decimals, rounding or Rounding.DOWN, active, naming.name, naming.description, external or False)


def coupon(outer: Part, naming: Naming, zone: tzinfo) -> Coupon | None:
    """Return the coupon; its code is never said."""
    outer.only(fields_of("coupon"))
    kind = word(outer, "type", CouponType, "R35", wanted="single or bulk")
    single = kind is CouponType.SINGLE
    code = text(outer, "code", "R35", wanted="the code that everyone gets" if single else "", longest=LONGEST_CODE, hidden=True)
    if kind is CouponType.BULK and "code" in outer:
        outer.error("code", "belongs to a single coupon: the codes of a bulk one are imported", "R35")
    elif code is not None and (code != code.strip() or not code.isprintable()):
        outer.error("code", "has blanks around it, or a character that cannot be printed", "R35")
    limit = count(outer, "user_redemption_limit", "R37")
    expires_ms = instant(outer, "expires", zone, "R34")
    active = _active(outer)
    if naming.id is None or kind is None:
        return None
    return Coupon(naming.id, kind, code, limit or 1, expires_ms, active, naming.name, naming.description)


def partner(outer: Part, naming: Naming) -> Partner | None:
    """Return the partner; not to be used where a problem was found."""
    outer.only(fields_of("partner"))
    active = _active(outer)
    return Partner(naming.id, active, naming.name, naming.description) if naming.id is not None else None


def voucher_list(outer: Part, naming: Naming, zone: tzinfo) -> VoucherList | None:
    """Return the list; not to be used where a problem was found."""
    outer.only(fields_of("voucher_list"))
    limit = count(outer, "user_redemption_limit", "R44")
    expires_ms = instant(outer, "expires", zone, "R42")
    active = _active(outer)
    if naming.id is None:
        return None
    found = VoucherList(naming.id, limit or 1, expires_ms, active, naming.name, naming.description)
    outer.findings.links.append(Link(outer.at("id"), f"partner/{found.partner}", "R41"))
    return found


def item(outer: Part, naming: Naming) -> Item | None:
    """Return the item; not to be used where a problem was found."""
    outer.only(fields_of("item"))
    active = _active(outer)
    return Item(naming.id, active, naming.name, naming.description) if naming.id is not None else None


def segment(outer: Part, naming: Naming, zone: tzinfo) -> Segment | None:
    """Return the segment; not to be used where a problem was found."""
    outer.only(fields_of("segment"))
    outer.one_of(("who", "members"), "R5", "definition")
    if "members" in outer and outer.fields["members"] != FED:
        outer.wrong("members", f'"{FED}", which is all that it may be', "R5")
    who = audience(outer, "who", zone)
    return Segment(naming.id, who, naming.name, naming.description) if naming.id is not None else None


def user_list(outer: Part, naming: Naming) -> UserList | None:
    """Return the list; its users are imported."""
    outer.only(fields_of("list"))
    return UserList(naming.id, naming.name, naming.description) if naming.id is not None else None
