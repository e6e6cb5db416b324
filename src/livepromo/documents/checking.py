"""Whether one document is what its kind must be; all that is wrong with it, in one run."""

from __future__ import annotations

from datetime import UTC, tzinfo
from difflib import get_close_matches

import msgspec

from livepromo.documents import kinds
from livepromo.documents.audiences import audience
from livepromo.documents.coupons import coupon, voucher
from livepromo.documents.custom import custom
from livepromo.documents.earning import QUALIFICATIONS, Qualification, Setting
from livepromo.documents.endpoints import endpoint
from livepromo.documents.fields import ID_FORM, TAG_FORM, Findings, Part, identifier, is_id, is_tag, part, text
from livepromo.documents.points import points
from livepromo.documents.qualifying import qualifying, when
from livepromo.documents.reading import Problem, ReadDocument
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import UNREADABLE, shown
from livepromo.model.documents import KINDS, Campaign, Document, Reward
from livepromo.model.ids import CampaignId
from livepromo.model.time import zone

_REWARDS = {"points": points, "coupon": coupon, "voucher": voucher, "custom": custom}


def check_document(read: ReadDocument, account_zone: str) -> tuple[ReadDocument, list[Problem]]:
    """Return the document with what it means, or as it was and everything that is wrong with it."""
    findings = Findings(read)
    document = _document(findings, read.value, account_zone)
    assert document is not None or findings.problems or read.value is UNREADABLE, read.key
    found = msgspec.structs.replace(
        read,
        document=None if findings.problems else document,
        links=tuple(findings.links),
        advice=tuple(findings.advice),
    )
    return found, findings.problems


def _document(findings: Findings, value: object, account_zone: str) -> Document | None:  # noqa: C901 - a case per kind
    if not isinstance(value, dict):
        if value is not UNREADABLE:
            findings.error("$", f"{shown(value)} is no document: a document is a mapping with a kind and an id")
        return None
    outer = Part(findings, value, "$")
    kind = _kind(outer)
    name = _list_id(outer) if kind == "voucher_list" else identifier(outer, "id", wanted="the document's own id")
    if kind is None:
        return None
    naming = kinds.Naming(name, text(outer, "name"), text(outer, "description"))
    account = zone(account_zone)
    match kind:
        case "campaign":
            return _campaign(outer, naming, account_zone)
        case "wallet":
            return kinds.wallet(outer, naming)
        case "coupon":
            return kinds.coupon(outer, naming, account)
        case "partner":
            return kinds.partner(outer, naming)
        case "voucher_list":
            return kinds.voucher_list(outer, naming, account)
        case "item":
            return kinds.item(outer, naming)
        case "endpoint":
            return endpoint(outer, *naming)
        case "segment":
            return kinds.segment(outer, naming, account)
        case _:
            return kinds.user_list(outer, naming)


def _kind(outer: Part) -> str | None:
    kind = text(outer, "kind", wanted=f"one of {', '.join(KINDS)}")
    if kind is None or kind in KINDS:
        return kind
    near = get_close_matches(kind[:40], KINDS, 1)
    outer.error("kind", f"{shown(kind)} is no kind: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"))
    return None


def _list_id(outer: Part) -> str | None:
    name = text(outer, "id", wanted="the list's own id: partner/tag")
    if name is None:
        return None
    partner, slash, tag = name.partition("/")
    if slash and is_id(partner) and is_tag(tag):
        return name
    said = (
        "partner/tag"
        if not slash
        else f"partner/tag: the partner is {ID_FORM}"
        if not is_id(partner)
        else f"partner/tag: the tag is {TAG_FORM}"
    )
    outer.error("id", f"{shown(name)} is no id of a voucher list: {said}", "R42")
    return None


def _campaign(outer: Part, naming: kinds.Naming, account_zone: str) -> Campaign | None:
    outer.only(fields_of("campaign"))
    zone_name, where = _timezone(outer, account_zone)
    qualify = qualifying(outer)
    setting = Setting(where, _how(outer))
    who = audience(outer, "who", where)
    if setting.qualify == "past":
        outer.present("who", "R2", wanted="the audience that a past campaign is sent to")
    reward = _reward(outer, setting)
    times = when(outer, setting)
    if naming.id is None or qualify is None or reward is None:
        return None
    return Campaign(CampaignId(naming.id), zone_name, qualify, reward, who, times, naming.name, naming.description)


def _how(outer: Part) -> Qualification | None:
    qualify = outer.fields.get("qualify")
    found = [name for name in QUALIFICATIONS if isinstance(qualify, dict) and name in qualify]
    return found[0] if len(found) == 1 else None


def _reward(outer: Part, setting: Setting) -> Reward | None:
    rewards = part(outer, "reward", "R11", wanted=f"what is given: {', '.join(_REWARDS)}")
    if rewards is None:
        return None
    rewards.only(fields_of("reward"))
    rewards.one_of(_REWARDS, "R11", "reward type")
    found: Reward | None = None
    for name, read in _REWARDS.items():
        reward = part(rewards, name, "R11")
        if reward is not None:
            found = read(reward, setting)
    return found


def _timezone(outer: Part, account_zone: str) -> tuple[str, tzinfo]:
    name = text(outer, "timezone")
    if name is None:
        return account_zone, zone(account_zone)
    try:
        return name, zone(name)
    except ValueError:
        outer.error("timezone", f'{shown(name)} is no IANA time zone, such as "Asia/Kolkata"')
        return name, UTC
