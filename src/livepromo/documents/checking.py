"""Whether one document is what its kind must be; all that is wrong with it, in one run."""

from __future__ import annotations

from datetime import UTC, tzinfo
from difflib import get_close_matches

import msgspec

from livepromo.documents.conditions import conditions
from livepromo.documents.fields import (
    LONGEST_EVENT,
    Findings,
    Part,
    boolean,
    identifier,
    instant,
    part,
    text,
    thousandths,
    whole,
    word,
)
from livepromo.documents.points import points
from livepromo.documents.reading import Problem, ReadDocument
from livepromo.documents.values import UNREADABLE, shown
from livepromo.model.amounts import MILLI_DECIMALS, Rounding
from livepromo.model.documents import Campaign, Document, Live, Sample, Wallet, When
from livepromo.model.ids import CampaignId
from livepromo.model.time import zone

_KINDS = ("campaign", "wallet")
_LATER_KINDS = ("coupon", "partner", "voucher_list", "item", "endpoint", "segment", "list")
_GROUPS = {"all": "R5", "any": "R5", "none": "R5"}
_LEAVES = {"segment": "R5", "list": "R2", "did": "R6", "did_not": "R7", "property": "R8", "op": "R8", "value": "R8", "interest": "R9"}
_WHOLE_SAMPLE_MILLI = 100_000


def check_document(read: ReadDocument, account_zone: str) -> tuple[ReadDocument, list[Problem]]:
    """Return the document with what it means, filled in with defaults, or as it was and everything that is wrong with it."""
    findings = Findings(read)
    document = _document(findings, read.value, account_zone)
    if findings.problems:
        return read, findings.problems
    return msgspec.structs.replace(read, document=document), []


def _document(findings: Findings, value: object, account_zone: str) -> Document | None:
    if not isinstance(value, dict):
        if value is not UNREADABLE:
            findings.error("$", f"{shown(value)} is no document: a document is a mapping with a kind and an id")
        return None
    outer = Part(findings, value, "$")
    kind = _kind(outer)
    name = (
        text(outer, "id", wanted="the document's own id")
        if kind == "voucher_list"
        else identifier(outer, "id", wanted="the document's own id")
    )
    match kind:
        case "campaign":
            return _campaign(outer, name, account_zone)
        case "wallet":
            return _wallet(outer, name)
        case _:
            return None


def _kind(outer: Part) -> str | None:
    kind = text(outer, "kind", wanted=f"one of {', '.join(_KINDS)}")
    if kind is None or kind in _KINDS:
        return kind
    if kind in _LATER_KINDS:
        outer.error("kind", f"the kind {shown(kind)} is not yet supported")
        return kind
    near = get_close_matches(kind[:40], [*_KINDS, *_LATER_KINDS], 1)
    outer.error("kind", f"{shown(kind)} is no kind: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(_KINDS)}"))
    return None


def _wallet(outer: Part, name: str | None) -> Wallet | None:
    outer.only(("kind", "id", "name", "description", "decimals", "rounding", "active", "external"))
    decimals = whole(outer.fields.get("decimals", 0))
    if decimals is None or not 0 <= decimals <= MILLI_DECIMALS:
        outer.wrong("decimals", "a whole number from 0 to 3", "R19")
        decimals = 0
    rounding = word(outer, "rounding", Rounding, "R26")
    active = boolean(outer, "active")
    if boolean(outer, "external"):
        outer.error("external", "a wallet of another system is not yet supported", "R52")
    title, description = text(outer, "name"), text(outer, "description")
    if name is None:
        return None
    return Wallet(name, decimals, rounding or Rounding.DOWN, True if active is None else active, title, description)


def _campaign(outer: Part, name: str | None, account_zone: str) -> Campaign | None:
    outer.only(("kind", "id", "name", "description", "timezone", "qualify", "who", "reward", "when"))
    zone_name, where = _timezone(outer, account_zone)
    live = _qualify(outer)
    who = _who(outer)
    reward = part(outer, "reward", "R11", wanted="what is given: points")
    given = None
    if reward is not None:
        reward.only(("points",), later={"coupon": "R34", "voucher": "R41", "custom": "R46"})
        reward.one_of(("points", "coupon", "voucher", "custom"), "R11", "reward type")
        given = points(reward, where)
    when = _when(outer, where)
    title, description = text(outer, "name"), text(outer, "description")
    if name is None or live is None or given is None:
        return None
    return Campaign(CampaignId(name), zone_name, live, given, who, when, title, description)


def _timezone(outer: Part, account_zone: str) -> tuple[str, tzinfo]:
    name = text(outer, "timezone")
    if name is None:
        return account_zone, zone(account_zone)
    try:
        return name, zone(name)
    except ValueError:
        outer.error("timezone", f'{shown(name)} is no IANA time zone, such as "Asia/Kolkata"')
        return name, UTC


def _qualify(outer: Part) -> Live | None:
    qualify = part(outer, "qualify", "R1", wanted="how users qualify: live: {event: …}")
    if qualify is None:
        return None
    qualify.only(("live",), later={"past": "R2", "list": "R2"})
    qualify.one_of(("live", "past", "list"), "R1", "kind of qualification")
    live = part(qualify, "live", "R3")
    if live is None:
        return None
    only_with_unless = ("stands only beside unless", "R10")
    if "unless" in live:
        live.only(("event", "where"), later={"unless": "R4", "same": "R10", "retrigger": "R4"})
    else:
        live.only(
            ("event", "where"),
            later={"unless": "R4"},
            misplaced={
                "same": only_with_unless,
                "retrigger": ("stands only beside unless", "R4"),
                "grace": ("stands only inside unless", "R4"),
            },
        )
    event = text(live, "event", "R3", wanted="the name of the event", longest=LONGEST_EVENT)
    where = conditions(live, "where")
    return Live(event, where) if event is not None else None


def _who(outer: Part) -> Sample | None:
    who = part(outer, "who")
    if who is None:
        return None
    who.only(("sample",), later={**_GROUPS, **_LEAVES})
    if not who.fields:
        outer.error("who", "is empty: give {sample: …}, or leave it out for everyone")
    if "sample" not in who:
        return None
    percent = thousandths(who.fields["sample"])
    if percent is None or percent > _WHOLE_SAMPLE_MILLI:
        who.wrong("sample", "a percentage above 0, at most 100, with at most 3 decimals", "R72")
        return None
    return Sample(percent)


def _when(outer: Part, where: tzinfo) -> When:
    when = part(outer, "when")
    if when is None:
        return When()
    qualify = outer.fields.get("qualify")
    if isinstance(qualify, dict) and "live" not in qualify and ("past" in qualify or "list" in qualify):
        when.only(("start", "end"), later={"send": "R12"})
    else:
        when.only(("start", "end"), misplaced={"send": ("belongs to past and list campaigns; a live one has start and end", "R12")})
    start = None if when.fields.get("start") == "now" else instant(when, "start", where, "R15")
    end = None if when.fields.get("end") == "never" else instant(when, "end", where, "R17")
    if start is not None and end is not None and end <= start:
        when.error("end", f"{shown(when.fields['end'])} is not after the start, {shown(when.fields['start'])}", "R17")
    return When(start, end)
