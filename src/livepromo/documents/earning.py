"""What rewards have in common: how much is earned, how often, and the limits that are advised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import Literal, NamedTuple

from livepromo.documents.fields import LONGEST_PROPERTY, MOST_MILLI, Part, amount, count, part, text, word
from livepromo.documents.reading import Written
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import shown
from livepromo.model.documents import Earn, Favor, Flat, Per, Percent, Random, Recurrence

Scheme = Literal["flat", "percent", "per", "random"]
Qualification = Literal["live", "past", "list"]
QUALIFICATIONS: tuple[Qualification, ...] = ("live", "past", "list")
_SCHEME_FIELDS: dict[str, Scheme] = {"flat": "flat", "percent": "percent", "points": "per", "per": "per", "random": "random"}
_SCHEME_RULES = {"flat": "R20", "percent": "R21", "per": "R22", "random": "R23"}
_AMOUNT_OF = 'the event property that is counted, such as "Amount"'
_SENT = "belongs to live campaigns, not to past and list ones"


class Setting(NamedTuple):
    """What the fields of a campaign depend on: its zone, and how it qualifies (None: that could not be read)."""

    zone: tzinfo
    qualify: Qualification | None

    @property
    def sent(self) -> bool:
        """Say whether it is a past or list campaign."""
        return self.qualify in {"past", "list"}

    def live_only(self, rules: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Return why the fields (name: rule) may not stand in a campaign that is sent."""
        return {name: (_SENT, rule) for name, rule in rules.items()} if self.sent else {}


def earning(outer: Part, setting: Setting, of_wallet: list[Written]) -> tuple[Scheme | None, Earn | None]:
    """Return the scheme, and what it says. Amounts in the wallet's units are noted in `of_wallet`."""
    earn = part(outer, "earn", "R20", wanted="one of flat, percent, per, random")
    if earn is None:
        return None, None
    schemes = list(dict.fromkeys(scheme for field, scheme in _SCHEME_FIELDS.items() if field in earn))
    misplaced = {
        name: (f"belongs inside random: random: {{{name}: …}}", "R23" if name != "favor" else "R25") for name in ("min", "max", "favor")
    }
    if len(schemes) != 1:
        earn.only(fields_of("earn"), misplaced)
        said = f"{' and '.join(schemes)} stand together" if schemes else "there is none"
        earn.findings.error(earn.path, f"exactly one scheme of flat, percent, per, random is wanted, but {said}", "R20")
        return None, None
    scheme = schemes[0]
    if scheme in {"flat", "random"}:
        misplaced["of"] = (f"belongs to percent and per, not to {scheme}", _SCHEME_RULES[scheme])
    elif setting.sent:
        misplaced["per" if scheme == "per" and "per" in earn else "points" if scheme == "per" else scheme] = (_SENT, _SCHEME_RULES[scheme])
    earn.only(fields_of("earn"), misplaced)
    return scheme, _scheme(earn, scheme, of_wallet)


def _scheme(earn: Part, scheme: Scheme, of_wallet: list[Written]) -> Earn | None:
    match scheme:
        case "flat":
            milli = amount(earn, "flat", "R20", of_wallet=of_wallet)
            return Flat(milli) if milli is not None else None
        case "percent":
            milli, of = amount(earn, "percent", "R21", most_milli=MOST_MILLI), _property(earn, "R21")
            return Percent(milli, of) if milli is not None and of is not None else None
        case "per":
            given = amount(earn, "points", "R22", wanted="how many points", most_milli=MOST_MILLI, of_wallet=of_wallet)
            unit, of = amount(earn, "per", "R22", wanted="for how much", most_milli=MOST_MILLI), _property(earn, "R22")
            return Per(given, unit, of) if given is not None and unit is not None and of is not None else None
        case "random":
            return _random(earn, of_wallet)


def _property(earn: Part, rule: str) -> str | None:
    return text(earn, "of", rule, wanted=_AMOUNT_OF, longest=LONGEST_PROPERTY)


def _random(earn: Part, of_wallet: list[Written]) -> Random | None:
    drawn = part(earn, "random", "R23")
    if drawn is None:
        return None
    drawn.only(fields_of("random"))
    low = amount(drawn, "min", "R23", wanted="the least that is given", of_wallet=of_wallet)
    high = amount(drawn, "max", "R23", wanted="the most that is given", of_wallet=of_wallet)
    favor = word(drawn, "favor", Favor, "R25", wanted="min, avg or max")
    if low is not None and high is not None and low >= high:
        drawn.error("max", f"{shown(drawn.fields['max'])} is not more than min, {shown(drawn.fields['min'])}", "R23")
        return None
    return Random(low, high, favor) if low is not None and high is not None and favor is not None else None


def clamp(reward: Part, scheme: Scheme | None, setting: Setting, of_wallet: list[Written]) -> int | None:
    """Return the most that one reward may be: of percent and per only, in a live campaign (R26)."""
    if "max_per_reward" in reward:
        if setting.sent:
            reward.error("max_per_reward", _SENT, "R26")
            return None
        if scheme in {"flat", "random"}:
            reward.error("max_per_reward", f"belongs to percent and per only, not to {scheme}", "R26")
    return amount(reward, "max_per_reward", "R26", of_wallet=of_wallet)


def recurrence_of(reward: Part, rule: str) -> Recurrence:
    """Return how often per user."""
    limits = part(reward, "recurrence", rule)
    if limits is None:
        return Recurrence()
    limits.only(fields_of("recurrence"))
    if not limits.fields:
        reward.error("recurrence", "is empty: give total, day, week or month, or leave it out", rule)
    return Recurrence(*(count(limits, name, rule) for name in ("total", "day", "week", "month")))


def advise_limits(reward: Part, setting: Setting, *, user: Mapping[str, str], campaign: Mapping[str, str]) -> None:
    """Advise a live campaign to have a limit per user and one per campaign (R71).

    Each is given by one of some fields (`budget.user` is one inside of another), which is the first to be named, with what it is.
    """
    if setting.qualify != "live":
        return
    for whose, fields in (("user", user), ("campaign", campaign)):
        if not any(_there(reward, *field.split(".")) for field in fields):
            first = next(iter(fields))
            message = f"there is no limit per {whose}: give {' or '.join(dict.fromkeys(fields.values()))}"
            reward.findings.advise(f"{reward.path}.{first}", message, "R71", within=reward.path)


def _there(reward: Part, name: str, below: str = "") -> bool:
    if name not in reward:
        return False
    inner = reward.fields[name]
    return not below or not isinstance(inner, dict) or below in inner  # what is no mapping is an error already
