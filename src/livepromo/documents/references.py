"""Whether documents fit one another and what is published: what they refer to, what may change, what is advised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from livepromo.documents.catalogue import Catalogue, Entry, State, references, starts_ms
from livepromo.documents.fields import whole
from livepromo.documents.reading import Link, Problem, ReadDocument, Severity
from livepromo.documents.rings import rings
from livepromo.documents.values import NOWHERE, shown
from livepromo.model.amounts import MILLI_DECIMALS
from livepromo.model.documents import (
    Campaign,
    Coupon,
    CouponReward,
    CouponType,
    Document,
    FromList,
    ItemGift,
    Live,
    Past,
    Points,
    Segment,
    VoucherReward,
    Wallet,
)
from livepromo.model.time import from_ms

_MOST_GUESSED = 100  # unknown names for which a near one is looked for: the hundred-and-first is the same mistake
_MOST_COMPARED = 5_000
_TAGS = {
    "$.qualify": ("live", "past", "list"),
    "$.reward": ("points", "coupon", "voucher", "custom"),
    "$.reward.custom": ("item", "credits"),
}


class _Known(NamedTuple):
    """What is known of a document that another one refers to; None where it does not apply, or a problem of its own hides it."""

    active: bool
    expires_ms: int | None = None
    external: bool | None = None
    decimals: int | None = None
    coupon_type: str | None = None


DEEPEST_SEGMENTS = 50
"""How deep segments may refer to one another."""
MOST_SEGMENTS = 1_000
"""How many segments may be asked for one, each as often as it is referred to."""


def check_documents(
    read: list[ReadDocument],
    catalogue: Catalogue | None,
    *,
    now_ms: int | None,
    strict: bool,
    codes_left: Mapping[str, int] | None = None,
) -> list[Problem]:
    """Return what is wrong with documents against one another and, where the catalogue is given, against what is published.

    Documents that have problems of their own are judged as far as they can be read; those that are published already, as they are,
    are not published again, and what they refer to may have become inactive since. `now_ms` is the instant of publishing. With `strict`,
    advice (R71) is an error. `codes_left` by kind/id, none where there is no such key; without it, codes are not judged.
    """
    surroundings = _Surroundings(read, catalogue, now_ms, codes_left)
    problems: list[Problem] = []
    first: dict[str, ReadDocument] = {}
    for document in read:
        other = first.setdefault(document.key, document) if document.key else document
        if other is not document:
            problems.append(problem_at(document, "$.id", f"{shown(document.key)} stands in {other.file} {_place_said(other)}already"))
    for document in read:
        entry = catalogue.entries.get(document.key) if catalogue is not None else None
        changed = entry is None or entry.document != document.document
        if changed:
            for link in document.links:
                problems += surroundings.judge(document, link)
        problems += [msgspec.structs.replace(one, severity="error") if strict else one for one in document.advice]
        if entry is not None and changed:
            problems += _changes(document, entry)
        if now_ms is not None and changed:
            problems += _times(document, entry, now_ms)
    return problems + list(_rings(first, catalogue))


def _place_said(document: ReadDocument) -> str:
    place = document.places.get("$.id") or document.places.get("$")
    return f"(line {place.line}) " if place else ""


def problem_at(document: ReadDocument, path: str, message: str, rule: str = "", severity: Severity = "error") -> Problem:
    """Return a problem at the place of its path or, where nothing is written there, of the nearest mapping around it."""
    around = path
    while around not in document.places and around:
        around = around[: max(around.rfind("."), around.rfind("["), 0)]
    line, column = document.places.get(around, NOWHERE)
    return Problem(document.file, document.key, path, line, column, rule, severity, message)


class _Surroundings:
    """Everything that documents may refer to: the files given, and what is published."""

    def __init__(
        self, read: list[ReadDocument], catalogue: Catalogue | None, now_ms: int | None, codes_left: Mapping[str, int] | None
    ) -> None:
        self._given = {document.key: document for document in read}
        self._entries = catalogue.entries if catalogue is not None else {}
        self._now_ms = now_ms
        self._codes_left = codes_left
        self._known: dict[str, _Known | None] = {}
        self._near: dict[str, str] = {}

    def judge(self, document: ReadDocument, link: Link) -> Iterator[Problem]:
        """Say what is wrong with what a document refers to."""
        kind, _, name = link.key.partition("/")
        what = f"the {kind.replace('_', ' ')} {shown(name)}"
        known = self._find(link.key)
        if known is None:
            yield problem_at(document, link.path, f"{what} does not exist{self._guess(kind, name)}", link.rule)
            return
        if not known.active:
            yield problem_at(document, link.path, f"{what} is not active", link.rule)
        if known.expires_ms is not None and self._now_ms is not None and known.expires_ms <= self._now_ms:
            yield problem_at(document, link.path, f"{what} has expired, at {_shown_ms(known.expires_ms)}", link.rule)
        yield from _fits_wallet(document, link, known, what)
        if link.coupon_type is not None and known.coupon_type is not None and link.coupon_type != known.coupon_type:
            path = f"{link.path.rpartition('.')[0]}.type"
            yield problem_at(document, path, f"{what} is {known.coupon_type}, not {link.coupon_type}", "R36")
        elif link.gives_codes and self._codes_left is not None:
            left = self._codes_left.get(link.key, 0)
            if left < 1:
                yield problem_at(document, link.path, f"{what} has no code left: import some with livepromo codes import {link.key}", "R34")
            elif link.most_codes is not None and link.most_codes.units > left:
                said = f"{link.most_codes.units} is more than the {left} codes that {what} has left"
                yield problem_at(document, link.most_codes.path, said, "R73", "warning")

    def _find(self, key: str) -> _Known | None:
        if key not in self._known:
            self._known[key] = self._look_up(key)
        return self._known[key]

    def _look_up(self, key: str) -> _Known | None:
        given = self._given.get(key)
        if given is not None:
            return _known_of(given.document) if given.document is not None else _known_as_written(given)
        entry = self._entries.get(key)
        return _known_of(entry.document) if entry is not None else None

    def _guess(self, kind: str, name: str) -> str:
        key = f"{kind}/{name}"
        if key not in self._near and len(self._near) < _MOST_GUESSED:
            of_kind = {one.removeprefix(f"{kind}/") for one in (*self._given, *self._entries) if one.startswith(f"{kind}/")}
            near = get_close_matches(name, sorted(of_kind), 1) if len(of_kind) <= _MOST_COMPARED else []
            self._near[key] = f": did you mean {shown(near[0])}?" if near else ""
        return self._near.get(key, "")


def _known_of(document: Document) -> _Known:
    wallet = document if isinstance(document, Wallet) else None
    return _Known(
        active=getattr(document, "active", True),
        expires_ms=getattr(document, "expires_ms", None),
        external=wallet.external if wallet is not None else None,
        decimals=wallet.decimals if wallet is not None else None,
        coupon_type=document.coupon_type if isinstance(document, Coupon) else None,
    )


def _known_as_written(document: ReadDocument) -> _Known:
    """Return what a document with problems of its own says all the same, so that those who refer to it are judged in the same run."""
    value = document.value
    decimals, external = whole(value.get("decimals", 0)), value.get("external", False)
    sound = decimals is not None and 0 <= decimals <= MILLI_DECIMALS
    return _Known(
        active=value.get("active") is not False,
        external=external if isinstance(external, bool) and document.key.startswith("wallet/") else None,
        decimals=decimals if sound else None,
        coupon_type=value.get("type") if value.get("type") in list(CouponType) else None,
    )


def _fits_wallet(document: ReadDocument, link: Link, wallet: _Known, what: str) -> Iterator[Problem]:
    if link.external is not None and wallet.external is not None and link.external != wallet.external:
        said = (
            "is not external, as that of credits must be" if link.external else "is external: it takes the credits of custom rewards alone"
        )
        yield problem_at(document, link.path, f"{what} {said}", "R52")
    if wallet.decimals is None:
        return
    for path, written, milli, rule in link.amounts:
        if milli % 10 ** (MILLI_DECIMALS - wallet.decimals):
            said = f"{shown(written)} has more decimals than {what}, which has {wallet.decimals}"
            yield problem_at(document, path, said, rule)


def _rings(given: Mapping[str, ReadDocument], catalogue: Catalogue | None) -> Iterator[Problem]:
    """Say which of the given segments refer to one another in a ring, be it through published ones."""
    edges: dict[str, list[str]] = {}
    for key, entry in catalogue.entries.items() if catalogue is not None else ():
        if isinstance(entry.document, Segment):
            edges[key] = [one for one in references(entry.document) if one.startswith("segment/")]
    links = {
        key: [link for link in one.links if link.key.startswith("segment/")] for key, one in given.items() if key.startswith("segment/")
    }
    edges.update({key: [link.key for link in of_segment] for key, of_segment in links.items()})
    in_ring = rings(edges)
    for key, of_segment in links.items():
        for link in of_segment:
            if key in in_ring and in_ring.get(link.key) == in_ring[key]:
                back = "itself" if link.key == key else f"{shown(link.key.partition('/')[2])}, which refers back to this one"
                yield problem_at(given[key], link.path, f"the segment refers to {back}: segments must not form a ring", "R5")
    if not in_ring:
        yield from _too_much(given, edges)


def _too_much(given: Mapping[str, ReadDocument], edges: Mapping[str, list[str]]) -> Iterator[Problem]:
    """Say which of the given segments refer through too many others: whoever judges a user asks all of them."""
    depths = dict.fromkeys(edges, 1)
    for _ in range(DEEPEST_SEGMENTS):
        depths = {key: min(DEEPEST_SEGMENTS, max((depths.get(one, 0) for one in to), default=0)) + 1 for key, to in edges.items()}
    asked: dict[str, int] = {}
    for key in sorted(edges, key=lambda key: depths[key]):
        asked[key] = min(MOST_SEGMENTS, sum(asked.get(one, 1) for one in edges[key])) + 1
    for key in edges.keys() & given.keys():
        if depths[key] > DEEPEST_SEGMENTS:
            yield problem_at(given[key], "$.who", f"refers to segments more than {DEEPEST_SEGMENTS} deep, one through the other", "R5")
        elif asked[key] > MOST_SEGMENTS:
            yield problem_at(given[key], "$.who", f"asks for more than {MOST_SEGMENTS} segments, one through the other", "R5")


def _kept(document: Document) -> dict[str, object]:
    """Return what a document keeps from one revision to the next (R18), each with its path."""
    match document:
        case Wallet():
            return {"$.decimals": document.decimals, "$.external": document.external}
        case Coupon():
            return {"$.type": document.coupon_type.value, "$.code": document.code}
        case Campaign():
            return {"$.timezone": document.timezone, **_kept_of_qualification(document), **_kept_of_reward(document)}
        case _:
            return {}


def _kept_of_qualification(campaign: Campaign) -> dict[str, object]:
    match campaign.qualify:
        case Past():
            return {"$.qualify": "past"}
        case FromList():
            return {"$.qualify": "list"}
        case Live(event=event, unless=unless, same=same):
            return {
                "$.qualify": "live",
                "$.qualify.live.event": event,
                "$.qualify.live.unless": unless is not None,
                "$.qualify.live.unless.event": unless.events if unless is not None else (),
                "$.qualify.live.same": same,
            }


def _kept_of_reward(campaign: Campaign) -> dict[str, object]:
    reward = campaign.reward
    match reward:
        case Points():
            return {"$.reward": "points", "$.reward.points.wallet": reward.wallet}
        case CouponReward():
            return {"$.reward": "coupon", "$.reward.coupon.coupon": reward.coupon}
        case VoucherReward():
            return {"$.reward": "voucher", "$.reward.voucher.partner": reward.partner, "$.reward.voucher.list_tag": reward.list_tag}
        case _:
            kept: dict[str, object] = {"$.reward": "custom", "$.reward.custom.endpoint": reward.endpoint}
            if isinstance(reward.gift, ItemGift):
                return {**kept, "$.reward.custom": "item", "$.reward.custom.item": reward.gift.item}
            return {**kept, "$.reward.custom": "credits", "$.reward.custom.credits.wallet": reward.gift.wallet}


def _kept_as_written(document: ReadDocument, before: Mapping[str, object]) -> dict[str, object]:
    """Return as much of that as a document with problems of its own says, so that it is judged in the same run."""
    found: dict[str, object] = {}
    for path, published in before.items():
        written: Any = document.value
        for name in path.split(".")[1:]:
            written = written.get(name) if isinstance(written, dict) else None
        if path in _TAGS and isinstance(written, dict):
            tags = [tag for tag in _TAGS[path] if tag in written]
            written = tags[0] if len(tags) == 1 else None
        if type(written) is type(published):
            found[path] = written
    return found


def _changes(document: ReadDocument, entry: Entry) -> Iterator[Problem]:
    if entry.state is State.STOPPED:
        yield problem_at(document, "$.id", "the campaign was stopped, which is final: publish it under another id", "R16")
        return
    before = _kept(entry.document)
    after = _kept(document.document) if document.document is not None else _kept_as_written(document, before)
    refused: list[str] = []
    for path, published in before.items():
        if path in after and after[path] != published and not any(path.startswith(f"{one}.") for one in refused):
            refused.append(path)
            name = path.rpartition(".")[2]
            if name == "unless":
                was = "stands there as published and" if published else "does not stand there as published, and"
            else:
                was = (
                    f"is {shown(published)} as published and" if isinstance(published, str | int) and name != "code" else "is published and"
                )
            yield problem_at(document, path, f"{name} {was} cannot change: publish it under another id", "R18")


def _times(document: ReadDocument, entry: Entry | None, now_ms: int) -> Iterator[Problem]:
    """Say what the instant of publishing makes wrong: a campaign that ends before it starts, a send that is over or has begun."""
    campaign = document.document
    if not isinstance(campaign, Campaign):
        return
    when = campaign.when
    if not isinstance(campaign.qualify, Live):
        if entry is not None and starts_ms(entry) <= now_ms:
            said = f"the send began, at {_shown_ms(starts_ms(entry))}: publish another one under another id"
            yield problem_at(document, "$.id", said, "R12")
        elif when.send_ms is not None and when.send_ms < now_ms:
            yield problem_at(document, "$.when.send", f"{_shown_ms(when.send_ms)} is over: give an instant that is to come, or now", "R13")
    elif when.start_ms is None and when.end_ms is not None:
        start_ms = now_ms if entry is None else entry.first_published_ms
        if when.end_ms <= start_ms:
            said = f"{_shown_ms(when.end_ms)} is not after the start, which is the instant of the first publication"
            yield problem_at(document, "$.when.end", said, "R17")


def _shown_ms(instant_ms: int) -> str:
    return f"{from_ms(instant_ms):%Y-%m-%dT%H:%M:%SZ}"
