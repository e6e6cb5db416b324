"""Which fields every mapping of a document has: the one table that the checker refuses by and the schemas are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from livepromo.documents.fields import (
    AMOUNT_MOST,
    COUNT_MOST,
    FACTOR_MOST,
    HEADER_NAME,
    ID_PATTERN,
    INSTANT_PATTERN,
    LIST_ID_PATTERN,
    LONGEST_CODE,
    LONGEST_EVENT,
    LONGEST_HEADER,
    LONGEST_PROPERTY,
    LONGEST_URL,
    SECRET_PATTERN,
)
from livepromo.model.amounts import MILLI_DECIMALS, Rounding
from livepromo.model.conditions import Op
from livepromo.model.documents import KINDS, CouponType, Favor, OnInsufficient, Retrigger

Schema = dict[str, Any]


class Field(NamedTuple):
    """A field: the schema of its value, what it is for, whether it must be there."""

    value: Schema
    about: str = ""
    required: bool = False


class Variant(NamedTuple):
    """Fields that stand together, and those that may stand beside them."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


class Shape(NamedTuple):
    """A mapping. Where it has variants, exactly one of them is there; fields of none may stand beside each. `more` is schema as it is."""

    about: str
    fields: dict[str, Field]
    variants: tuple[Variant, ...] = ()
    more: Schema = {}  # noqa: RUF012 - never changed


def shape(name: str) -> Schema:
    """Return the schema of a mapping of the table."""
    return {"$ref": f"#/definitions/{name}"}


def _list(item: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": item, **({"minItems": least} if least else {})}


def _words(words: Iterable[str], default: str | None = None) -> Schema:
    return {"enum": [str(word) for word in words], **({"default": default} if default else {})}


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _one(*names: str) -> tuple[Variant, ...]:
    return tuple(Variant((name,)) for name in names)


TEXT: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
ID: Schema = {"type": "string", "pattern": _whole(ID_PATTERN)}
TAG: Schema = {"type": "string", "pattern": _whole(LIST_ID_PATTERN.partition("/")[2])}
EVENT: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_EVENT}
EVENTS: Schema = {"anyOf": [EVENT, _list(EVENT, 1)]}
PROPERTY: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_PROPERTY}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
AMOUNT: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": AMOUNT_MOST}
FACTOR: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": FACTOR_MOST}
PERCENTAGE: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": COUNT_MOST}
FROM_ZERO: Schema = {"type": "integer", "minimum": 0, "maximum": COUNT_MOST}
DURATION: Schema = {"type": "string", "pattern": "^[1-9][0-9]*[smhdw]$"}
INSTANT: Schema = {"type": "string", "pattern": _whole(INSTANT_PATTERN)}
URL: Schema = {"type": "string", "maxLength": LONGEST_URL, "pattern": "^[hH][tT][tT][pP][sS]?://"}
SHARE: Schema = {"anyOf": [{"const": "predominantly"}, PERCENTAGE]}
CONDITIONS = _list(shape("condition"))
METADATA = _list(shape("metadata_row"))
AUDIENCE = shape("audience")
WITHIN: Schema = {"anyOf": [DURATION, shape("span")]}
_ACTIVE = Field({**BOOLEAN, "default": True}, "whether it can be given")
_EXPIRES = Field(INSTANT, "the instant from which on it is not given; in the account's zone")
_REDEMPTIONS = Field({**COUNT, "default": 1}, "how often a user may redeem what one reward gives")
_PER_USER = Field(COUNT, "the most rewards a user gets; live only")
_PER_CAMPAIGN = Field(COUNT, "the most rewards in all; live only")
_MOST = Field(AMOUNT, "a larger reward is cut to it; percent and per only")
_METADATA = Field(METADATA, "what the reward says about itself")
_RECURRENCE = Field(shape("recurrence"), "how often a user is rewarded")
_ON_INSUFFICIENT = Field(
    _words(OnInsufficient, "reject"), "what becomes of a reward larger than what is left of the budget: denied, or what is left is given"
)
_WALLET_EARN = {"earn": Field(shape("earn"), "how much", required=True), "max_per_reward": _MOST}


def _kind(kind: str, about: str, fields: dict[str, Field], more: Schema | None = None, identity: Schema = ID) -> Shape:
    common = {
        "kind": Field({"const": kind}, "the kind of document", required=True),
        "id": Field(identity, "what other documents and commands call it", required=True),
        "name": Field(TEXT, "for people"),
        "description": Field(TEXT, "for people"),
    }
    return Shape(about, {**common, **fields}, (), more or {})


SHAPES: dict[str, Shape] = {
    "campaign": _kind(
        "campaign",
        "A promotion: who qualifies, for what, when.",
        {
            "timezone": Field(TEXT, "the IANA zone of its days, weeks, months and instants; default: the account's"),
            "qualify": Field(shape("qualify"), "how users qualify", required=True),
            "who": Field(AUDIENCE, "which users; required for past"),
            "reward": Field(shape("reward"), "what is given", required=True),
            "when": Field(shape("when"), "when it runs, or is sent"),
        },
    ),
    "wallet": _kind(
        "wallet",
        "What points are kept in or, external, the credits of another system.",
        {
            "decimals": Field({"type": "integer", "minimum": 0, "maximum": MILLI_DECIMALS, "default": 0}, "of its amounts"),
            "rounding": Field(_words(Rounding, "down"), "of what does not fit the decimals"),
            "active": _ACTIVE,
            "external": Field({**BOOLEAN, "default": False}, "whether it is another system's, for reward.custom.credits only"),
        },
    ),
    "coupon": _kind(
        "coupon",
        "A coupon, with one code for all or imported codes.",
        {
            "type": Field(_words(CouponType), "one code for all, or a code of its own for every grant", required=True),
            "code": Field({"type": "string", "minLength": 1, "maxLength": LONGEST_CODE}, "the code of a single one"),
            "user_redemption_limit": _REDEMPTIONS,
            "expires": _EXPIRES,
            "active": _ACTIVE,
        },
        {"if": {"properties": {"type": {"const": "single"}}}, "then": {"required": ["code"]}, "else": {"properties": {"code": False}}},
    ),
    "partner": _kind("partner", "Whose vouchers are given.", {"active": _ACTIVE}),
    "voucher_list": _kind(
        "voucher_list",
        "A partner's codes under one tag; its id is partner/tag.",
        {"user_redemption_limit": _REDEMPTIONS, "expires": _EXPIRES, "active": _ACTIVE},
        identity={"type": "string", "pattern": _whole(LIST_ID_PATTERN)},
    ),
    "item": _kind("item", "A physical or digital reward.", {"active": _ACTIVE}),
    "endpoint": _kind(
        "endpoint",
        "Where custom rewards are sent.",
        {
            "url": Field(URL, "http or https", required=True),
            "secret": Field({"type": "string", "pattern": _whole(SECRET_PATTERN)}, "the name of the secret that calls are signed with"),
            "headers": Field(
                {
                    "type": "object",
                    "propertyNames": {"pattern": _whole(HEADER_NAME)},
                    "additionalProperties": {"type": "string", "maxLength": LONGEST_HEADER},
                },
                "sent with every call; no secrets",
            ),
            "timeout": Field({**DURATION, "default": "15s"}, "of a call"),
            "max_in_flight": Field({**COUNT, "default": 16}, "calls at a time"),
        },
    ),
    "segment": Shape(
        "A saved audience.",
        {
            **_kind("segment", "", {}).fields,
            "who": Field(AUDIENCE, "who is in it"),
            "members": Field({"const": "fed"}, "membership comes as segment records on the stream"),
        },
        _one("who", "members"),
    ),
    "list": _kind("list", "A list of users, who are imported.", {}),
    "qualify": Shape(
        "Exactly one of live, past, list.",
        {
            "live": Field(shape("live"), "by an event as it happens, or by what does not follow it"),
            "past": Field(shape("past"), "everyone whom `who` describes, at send time"),
            "list": Field(ID, "everyone on the list, at send time"),
        },
        _one("live", "past", "list"),
    ),
    "past": Shape("Has no fields.", {}),
    "live": Shape(
        "An event; with `unless`: that is not followed by another.",
        {
            "event": Field(EVENT, "the name of the event", required=True),
            "where": Field(CONDITIONS, "all of it must hold"),
            "unless": Field(shape("unless"), "what must not follow, and within which time"),
            "same": Field(_list({"anyOf": [PROPERTY, shape("same")]}), "constant event properties"),
            "retrigger": Field(_words(Retrigger, "keep"), "what a further trigger does while its window is open"),
        },
        (),
        {"dependencies": {"same": ["unless"], "retrigger": ["unless"]}},
    ),
    "unless": Shape(
        "What must not follow.",
        {
            "event": Field(EVENTS, "the name of the event, or several: any of them", required=True),
            "where": Field(CONDITIONS, "all of it must hold"),
            "within": Field(DURATION, "how long a user has; up to 180d", required=True),
            "grace": Field(DURATION, "how late an event may arrive and still count; 1s to 24h"),
        },
    ),
    "same": Shape(
        "A constant property that the two events name differently.",
        {"event": Field(PROPERTY, "of the trigger", required=True), "unless": Field(PROPERTY, "of what must not follow", required=True)},
    ),
    "condition": Shape(
        "A condition on a property.",
        {
            "property": Field(PROPERTY, "its name", required=True),
            "op": Field(_words(Op), "the operator", required=True),
            "value": Field({"anyOf": [SCALAR, _list(SCALAR, 1)]}, "what it is compared with; between takes [low, high]"),
        },
    ),
    "audience": Shape(
        "A group, or a single leaf.",
        {
            "all": Field(_list(AUDIENCE, 1), "who is in every one of these"),
            "any": Field(_list(AUDIENCE, 1), "who is in at least one of these"),
            "none": Field(_list(AUDIENCE, 1), "who is in none of these"),
            "same": Field(_list(PROPERTY), "constant properties of the group's own did and did_not"),
            "segment": Field(ID, "who is in the saved segment"),
            "list": Field(ID, "who is on the list"),
            "did": Field(shape("did"), "who did it"),
            "did_not": Field(shape("did_not"), "who did not do it, not once"),
            "property": Field(PROPERTY, "who has such a user property"),
            "op": Field(_words(Op), "the operator"),
            "value": Field({"anyOf": [SCALAR, _list(SCALAR, 1)]}, "what it is compared with"),
            "interest": Field(shape("interest"), "who mostly, or so often, shows a value"),
            "sample": Field(PERCENTAGE, "so many percent of the users, always the same"),
        },
        (
            Variant(("all",), ("same",)),
            *_one("any", "none", "segment", "list", "did", "did_not", "interest", "sample"),
            Variant(("property", "op"), ("value",)),
        ),
    ),
    "did": Shape(
        "What users did.",
        {
            "event": Field(EVENTS, "the name of the event, or several: any of them", required=True),
            "where": Field(CONDITIONS, "all of it must hold"),
            "count": Field(shape("count"), "how often; default: at least once"),
            "within": Field(WITHIN, "how far back, or from when to when"),
        },
    ),
    "did_not": Shape(
        "What users did not do.",
        {
            "event": Field(EVENTS, "the name of the event, or several: any of them", required=True),
            "where": Field(CONDITIONS, "all of it must hold"),
            "within": Field(WITHIN, "how far back, or from when to when"),
        },
    ),
    "count": Shape(
        "One operator with its number.",
        {
            **{op: Field(FROM_ZERO) for op in ("eq", "gte", "gt", "lte", "lt")},
            "between": Field({**_list(FROM_ZERO, 2), "maxItems": 2}, "[low, high]"),
        },
        _one("eq", "gte", "gt", "lte", "lt", "between"),
    ),
    "span": Shape(
        "[from, to).", {"from": Field(INSTANT, "inclusive", required=True), "to": Field(INSTANT, "exclusive", required=True)}
    ),
    "interest": Shape(
        "What users mostly, or so often, choose.",
        {
            "event": Field(EVENT, "the name of the event", required=True),
            "property": Field(PROPERTY, "of the event", required=True),
            "value": Field(SCALAR, "of the property", required=True),
            "share": Field(SHARE, "predominantly, or at least so many percent", required=True),
            "within": Field(WITHIN, "how far back, or from when to when"),
        },
    ),
    "reward": Shape(
        "Exactly one of points, coupon, voucher, custom.",
        {
            "points": Field(shape("points_reward"), "loyalty points"),
            "coupon": Field(shape("coupon_reward"), "a coupon's code"),
            "voucher": Field(shape("voucher_reward"), "a code of a partner's list"),
            "custom": Field(shape("custom_reward"), "a call to an endpoint: an item, or credits"),
        },
        _one("points", "coupon", "voucher", "custom"),
    ),
    "points_reward": Shape(
        "Loyalty points.",
        {
            "wallet": Field(ID, "which receives them", required=True),
            **_WALLET_EARN,
            "recurrence": _RECURRENCE,
            "validity": Field(shape("validity"), "from when and until when they can be spent"),
            "budget": Field(shape("points_budget"), "the most that is given, in points; live only"),
            "on_insufficient": _ON_INSUFFICIENT,
            "metadata": _METADATA,
        },
    ),
    "earn": Shape(
        "Exactly one scheme: flat, percent, per, random.",
        {
            "flat": Field(AMOUNT, "always the same"),
            "percent": Field(FACTOR, "so many percent of a property; live only"),
            "points": Field(FACTOR, "for every whole `per`; live only"),
            "per": Field(FACTOR, "of the property; live only"),
            "of": Field(PROPERTY, "the event property that is counted"),
            "random": Field(shape("random"), "drawn from a range"),
        },
        (Variant(("flat",)), Variant(("percent", "of")), Variant(("points", "per", "of")), Variant(("random",))),
    ),
    "random": Shape(
        "A range.",
        {
            "min": Field(AMOUNT, "the least", required=True),
            "max": Field(AMOUNT, "the most", required=True),
            "favor": Field(_words(Favor), "which part of the range is drawn most", required=True),
        },
    ),
    "recurrence": Shape(
        "How often per user; all of it holds.",
        {name: Field(COUNT, about) for name, about in {"total": "ever", "day": "a day", "week": "a week", "month": "a month"}.items()},
        (),
        {"minProperties": 1},
    ),
    "validity": Shape(
        "From when and until when points can be spent.",
        {
            "activate_after": Field(DURATION, "default: at once"),
            "expire_after": Field(DURATION, "after activation; default: never"),
            "expire_on": Field(INSTANT, "instead of expire_after"),
        },
        (),
        {"not": {"required": ["expire_after", "expire_on"]}},
    ),
    "points_budget": Shape(
        "The most that is given.",
        {"campaign": Field(AMOUNT, "to everyone together"), "user": Field(AMOUNT, "to one user")},
        (),
        {"minProperties": 1},
    ),
    "metadata_row": Shape(
        "A key with a literal, or with what is taken from the event, the user or the campaign; or a system key.",
        {
            "key": Field({"type": "string", "minLength": 1}, "of your own"),
            "value": Field(SCALAR, "a literal"),
            "from": Field(
                {"type": "string", "pattern": "^(?:event\\.[\\s\\S]+|user\\.[\\s\\S]+|campaign\\.(?:id|name))$"},
                "event.<property>, user.<property>, user.id, campaign.id or campaign.name",
            ),
            "system": Field({"type": "string", "minLength": 1}, "campaign_id, campaign_name, grant_id, event_id, event_name or event_ts"),
        },
        (Variant(("key", "value")), Variant(("key", "from")), Variant(("system",))),
    ),
    "coupon_reward": Shape(
        "A coupon's code.",
        {
            "type": Field(_words(CouponType), "that of the coupon", required=True),
            "coupon": Field(ID, "which", required=True),
            "max_per_user": _PER_USER,
            "max_per_campaign": _PER_CAMPAIGN,
            "redeem_after": Field(DURATION, "from when it can be redeemed; default: at once"),
        },
    ),
    "voucher_reward": Shape(
        "A code of a partner's list.",
        {
            "partner": Field(ID, "whose", required=True),
            "list_tag": Field(TAG, "of which list", required=True),
            "max_per_user": _PER_USER,
            "max_per_campaign": _PER_CAMPAIGN,
        },
    ),
    "custom_reward": Shape(
        "A call to an endpoint: an item, or credits of an external wallet.",
        {
            "endpoint": Field(ID, "which is called", required=True),
            "item": Field(ID, "a physical or digital reward"),
            "credits": Field(shape("credits"), "of an external wallet"),
            "recurrence": _RECURRENCE,
            "budget": Field(shape("custom_budget"), "item: counts; credits: amounts"),
            "on_insufficient": _ON_INSUFFICIENT,
            "identifiers": Field(shape("identifiers"), "what the payload calls a user's id, email and phone"),
            "metadata": _METADATA,
        },
        _one("item", "credits"),
    ),
    "credits": Shape(
        "Credits of an external wallet.", {"wallet": Field(ID, "which receives them", required=True), **_WALLET_EARN}
    ),
    "custom_budget": Shape(
        "Item: counts, of campaign, day, week, month. Credits: amounts, of campaign, user.",
        {
            "campaign": Field(AMOUNT, "to everyone together"),
            "day": Field(COUNT, "a day; items only"),
            "week": Field(COUNT, "a week; items only"),
            "month": Field(COUNT, "a month; items only"),
            "user": Field(AMOUNT, "to one user; credits only, and not with flat"),
        },
        (),
        {"minProperties": 1},
    ),
    "identifiers": Shape(
        "Payload keys.",
        {name: Field({"type": "string", "minLength": 1}, f"default: {default}") for name, default in
         {"user_id": "userId", "email": "email", "phone": "phone"}.items()},
    ),
    "when": Shape(
        "Live: start and end. Past and list: send.",
        {
            "start": Field({"anyOf": [{"const": "now"}, INSTANT], "default": "now"}, "live only"),
            "end": Field({"anyOf": [{"const": "never"}, INSTANT], "default": "never"}, "exclusive; live only"),
            "send": Field({"anyOf": [{"const": "now"}, INSTANT], "default": "now"}, "past and list only"),
        },
        (),
        {"not": {"anyOf": [{"required": ["send", "start"]}, {"required": ["send", "end"]}]}},
    ),
}  # fmt: skip
assert set(KINDS) < set(SHAPES)


def fields_of(name: str) -> tuple[str, ...]:
    """Return the names of the fields that a mapping may have."""
    return _NAMES[name]


_NAMES = {name: tuple(one.fields) for name, one in SHAPES.items()}
