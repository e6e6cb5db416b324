"""Whether documents fit one another and what is published: what they refer to, what may change, what is advised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from livepromo.documents.catalogue import Catalogue, Entry, State
from livepromo.documents.fields import is_id, thousandths, whole
from livepromo.documents.reading import Problem, ReadDocument, Severity
from livepromo.documents.values import NOWHERE, shown
from livepromo.model.amounts import MILLI_DECIMALS
from livepromo.model.documents import Campaign, Live, Points, Wallet
from livepromo.model.time import from_ms

# Amounts of points, and the rule of each. They are asked for as written, so that a document with other problems is judged as well.
_AMOUNTS = (
    (("earn", "flat"), "R20"),
    (("earn", "points"), "R22"),
    (("earn", "random", "min"), "R23"),
    (("earn", "random", "max"), "R23"),
    (("max_per_reward",), "R26"),
    (("budget", "campaign"), "R30"),
    (("budget", "user"), "R31"),
)
_POINTS = ("reward", "points")


class _Known(NamedTuple):
    """What is known of a wallet that a campaign refers to; None where a problem of its own hides it."""

    active: bool | None
    decimals: int | None


def check_documents(read: list[ReadDocument], catalogue: Catalogue | None, *, now_ms: int | None, strict: bool) -> list[Problem]:
    """Return what is wrong with documents against one another and, where the catalogue is given, against what is published.

    Documents that have problems of their own are judged as far as they can be read. `now_ms` is the instant of publishing.
    With `strict`, advice (R71) is an error.
    """
    problems: list[Problem] = []
    first: dict[str, ReadDocument] = {}
    for document in read:
        other = first.setdefault(document.key, document) if document.key else document
        if other is not document:
            problems.append(_problem(document, ("id",), f"{shown(document.key)} stands in {other.file} {_place_said(other)}already"))
    wallets = _wallets(read, catalogue)
    for document in read:
        problems += _against_wallet(document, wallets)
        if document.key.startswith("campaign/"):
            problems += _advice(document, "error" if strict else "warning")
        if catalogue is not None and (entry := catalogue.entries.get(document.key)) is not None:
            problems += _changes(document, entry)
        if now_ms is not None:
            problems += _ends_before_it_starts(document, catalogue, now_ms)
    return problems


def _place_said(document: ReadDocument) -> str:
    place = document.places.get("$.id") or document.places.get("$")
    return f"(line {place.line}) " if place else ""


def _problem(document: ReadDocument, names: tuple[str, ...], message: str, rule: str = "", severity: Severity = "error") -> Problem:
    path = ".".join(("$", *names))
    place = NOWHERE
    for length in range(len(names), -1, -1):
        if found := document.places.get(".".join(("$", *names[:length]))):
            place = found
            break
    return Problem(document.file, document.key, path, place.line, place.column, rule, severity, message)


def _at(value: Any, *names: str) -> Any:  # noqa: ANN401 - any value as read
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _wallets(read: list[ReadDocument], catalogue: Catalogue | None) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    if catalogue is not None:
        for key, entry in catalogue.entries.items():
            if isinstance(entry.document, Wallet):
                known[key] = _Known(entry.document.active, entry.document.decimals)
    for document in read:
        if document.key.startswith("wallet/"):
            active, decimals = _at(document.value, "active"), whole(document.value.get("decimals", 0))
            sound = decimals is not None and 0 <= decimals <= MILLI_DECIMALS
            known[document.key] = _Known(True if active is None else active is not False, decimals if sound else None)
    return known


def _against_wallet(document: ReadDocument, wallets: dict[str, _Known]) -> Iterator[Problem]:
    name = _at(document.value, *_POINTS, "wallet")
    if not document.key.startswith("campaign/") or not isinstance(name, str):
        return
    wallet = wallets.get(f"wallet/{name}")
    if wallet is None:
        if is_id(name):
            yield _problem(document, (*_POINTS, "wallet"), f"the wallet {shown(name)} does not exist", "R19")
        return
    if not wallet.active:
        yield _problem(document, (*_POINTS, "wallet"), f"the wallet {shown(name)} is not active", "R19")
    if wallet.decimals is None:
        return
    for names, rule in _AMOUNTS:
        written = _at(document.value, *_POINTS, *names)
        milli = thousandths(written)
        if milli is not None and milli % 10 ** (MILLI_DECIMALS - wallet.decimals):
            said = f"{shown(written)} has more decimals than the wallet {shown(name)}, which has {wallet.decimals}"
            yield _problem(document, (*_POINTS, *names), said, rule)


def _advice(document: ReadDocument, severity: Severity) -> Iterator[Problem]:
    reward = _at(document.value, *_POINTS)
    if not isinstance(reward, dict) or _at(document.value, "qualify", "live") is None:
        return
    budget = reward.get("budget", {})
    if not isinstance(budget, dict):
        return  # that is an error already, and what it was to say is not known
    if "recurrence" not in reward and "user" not in budget:
        message = "there is no limit per user: give recurrence or budget.user"
        yield _problem(document, (*_POINTS, "recurrence"), message, "R71", severity)
    if "campaign" not in budget:
        message = "there is no limit per campaign: give budget.campaign"
        yield _problem(document, (*_POINTS, "budget", "campaign"), message, "R71", severity)


def _changes(document: ReadDocument, entry: Entry) -> Iterator[Problem]:
    before, after = entry.document, document.document
    if after == before:
        return
    if entry.state is State.STOPPED:
        yield _problem(document, ("id",), "the campaign was stopped, which is final: publish it under another id", "R16")
        return
    kept: list[tuple[tuple[str, ...], object, object]] = []
    if isinstance(before, Wallet):
        kept = [(("decimals",), before.decimals, whole(document.value.get("decimals", 0)))]
    elif isinstance(before, Campaign):
        assert isinstance(before.qualify, Live)
        assert isinstance(before.reward, Points)
        zone = after.timezone if isinstance(after, Campaign) else _at(document.value, "timezone")
        kept = [
            (("timezone",), before.timezone, zone),
            (("qualify", "live", "event"), before.qualify.event, _at(document.value, "qualify", "live", "event")),
            ((*_POINTS, "wallet"), before.reward.wallet, _at(document.value, *_POINTS, "wallet")),
        ]
    for names, published, written in kept:
        if type(written) is type(published) and written != published:
            said = f"{names[-1]} is {shown(published)} as published and cannot change: publish it under another id"
            yield _problem(document, names, said, "R18")


def _ends_before_it_starts(document: ReadDocument, catalogue: Catalogue | None, now_ms: int) -> Iterator[Problem]:
    campaign = document.document
    if not isinstance(campaign, Campaign) or campaign.when.start_ms is not None or campaign.when.end_ms is None:
        return
    entry = catalogue.entries.get(document.key) if catalogue is not None else None
    start_ms = now_ms if entry is None else entry.first_published_ms
    if campaign.when.end_ms <= start_ms:
        said = f"{from_ms(campaign.when.end_ms):%Y-%m-%dT%H:%M:%SZ} is not after the start, which is the instant of the first publication"
        yield _problem(document, ("when", "end"), said, "R17")
