"""The fields that documents are made of, read one by one: each a sound value, or None and a problem at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from livepromo.documents.reading import Problem, ReadDocument
from livepromo.documents.values import NOWHERE, UNREADABLE, key_path, shown
from livepromo.model.amounts import AMOUNT_DIGITS, LARGEST_UNITS, MILLI_DECIMALS
from livepromo.model.records import Scalar
from livepromo.model.time import duration_ms, instant_ms

LONGEST_PROPERTY = 128
LONGEST_EVENT = 255
MOST_MILLI = 10**6 * 10**MILLI_DECIMALS  # of `percent`, `points` and `per`
ID_FORM = "1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit"
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{3})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII)
_LONGEST_NAME = 40  # of a field, to be compared with those that there are

Word = TypeVar("Word", bound=StrEnum)


class Findings:
    """The problems of one document, as they are found."""

    def __init__(self, read: ReadDocument) -> None:
        self._read = read
        self.problems: list[Problem] = []

    def error(self, path: str, message: str, rule: str = "", *, within: str = "$") -> None:
        """Note what is wrong at `path`; where nothing is written there, the place said is that of `within`."""
        places = self._read.places
        line, column = places.get(path) or places.get(within) or places.get("$", NOWHERE)
        self.problems.append(Problem(self._read.file, self._read.key, path, line, column, rule, "error", message))


class Part:
    """A mapping of a document."""

    def __init__(self, findings: Findings, fields: dict[str, Any], path: str) -> None:
        self.findings = findings
        self.fields = fields
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return key_path(self.path, name)

    def error(self, name: str, message: str, rule: str = "") -> None:
        """Note what is wrong with a field, or that it is missing."""
        self.findings.error(self.at(name), message, rule, within=self.path)

    def wrong(self, name: str, wanted: str, rule: str = "") -> None:
        """Note that a field, which is there, is not what is wanted; silent where reading has refused the value already."""
        value = self.fields[name]
        if value is not UNREADABLE:
            self.error(name, f"{shown(value)} is not {wanted}", rule)

    def present(self, name: str, rule: str = "", *, wanted: str = "") -> bool:
        """Say whether a field is there; with `wanted` it must be."""
        if name in self.fields:
            return True
        if wanted:
            self.error(name, f"is missing: give {wanted}", rule)
        return False

    def only(
        self, known: Iterable[str], *, later: Mapping[str, str] | None = None, misplaced: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        """Refuse every field but those `known`: `later` are not supported yet (name: rule), `misplaced` say why (name: message, rule)."""
        known, later, misplaced = list(known), later or {}, misplaced or {}
        for name in self.fields:
            if name in known:
                continue
            if name in later:
                self.error(name, f"{shown(name)} is not yet supported", later[name])
            elif name in misplaced:
                self.error(name, *misplaced[name])
            else:
                near = get_close_matches(name, [*known, *later], 1) if len(name) <= _LONGEST_NAME else []
                there = f"did you mean {shown(near[0])}?" if near else f"there are {', '.join(known)}" if known else "there are none here"
                self.error(name, f"unknown field {shown(name)}: {there}")

    def one_of(self, names: Iterable[str], rule: str, what: str) -> str | None:
        """Return the one of `names` that is there; none or several are an error of this mapping."""
        names = list(names)
        found = [name for name in names if name in self.fields]
        if len(found) == 1:
            return found[0]
        said = f"{' and '.join(found)} stand together" if found else "there is none"
        self.findings.error(self.path, f"exactly one {what} of {', '.join(names)} is wanted, but {said}", rule)
        return None


def part(outer: Part, name: str, rule: str = "", *, wanted: str = "") -> Part | None:
    """Return the mapping in a field; None where it is absent (an error with `wanted`) or no mapping."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    fields = outer.fields[name]
    if isinstance(fields, dict):
        return Part(outer.findings, fields, outer.at(name))
    outer.wrong(name, "a mapping", rule)
    return None


def parts(outer: Part, name: str, rule: str = "") -> list[Part]:
    """Return the mappings in a field's list; those that are none are errors."""
    if name not in outer.fields:
        return []
    items = outer.fields[name]
    if not isinstance(items, list):
        outer.wrong(name, "a list", rule)
        return []
    found = []
    for index, item in enumerate(items):
        path = f"{outer.at(name)}[{index}]"
        if isinstance(item, dict):
            found.append(Part(outer.findings, item, path))
        elif item is not UNREADABLE:
            outer.findings.error(path, f"{shown(item)} is not a mapping", rule)
    return found


def text(outer: Part, name: str, rule: str = "", *, wanted: str = "", longest: int | None = None) -> str | None:
    """Return the text of a field; with `longest` it must not be empty."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    value = outer.fields[name]
    if not isinstance(value, str):
        quote = ": put it in quotes" if isinstance(value, int | Decimal) else ""
        outer.wrong(name, f"a text{quote}", rule)
    elif longest is not None and not value:
        outer.error(name, "must not be empty", rule)
    elif longest is not None and len(value) > longest:
        outer.error(name, f"{shown(value)} has {len(value)} characters: at most {longest} are allowed", rule)
    else:
        return value
    return None


def is_id(written: str) -> bool:
    """Say whether a text is a sound id."""
    return _ID.fullmatch(written) is not None


def identifier(outer: Part, name: str, rule: str = "", *, wanted: str) -> str | None:
    """Return a document's id."""
    found = text(outer, name, rule, wanted=wanted)
    if found is None or is_id(found):
        return found
    outer.error(name, f"{shown(found)} is no id: {ID_FORM}", rule)
    return None


def word(outer: Part, name: str, words: type[Word], rule: str = "", *, wanted: str = "") -> Word | None:
    """Return one of a few words."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    value = outer.fields[name]
    if isinstance(value, str) and value in list(words):
        return words(value)
    near = get_close_matches(value, list(words), 1) if isinstance(value, str) and len(value) <= _LONGEST_NAME else []
    outer.wrong(name, f"one of {', '.join(words)}" + (f": did you mean {near[0]}?" if near else ""), rule)
    return None


def boolean(outer: Part, name: str) -> bool | None:
    """Return true or false."""
    if name not in outer.fields:
        return None
    value = outer.fields[name]
    if isinstance(value, bool):
        return value
    outer.wrong(name, "true or false")
    return None


def whole(value: object) -> int | None:
    """Return a number's value where it is whole and has at most 15 digits; 5.0 is 5."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() >= AMOUNT_DIGITS or value != value.to_integral_value():
            return None
        return int(value)
    return value if abs(value) <= LARGEST_UNITS else None


def count(outer: Part, name: str, rule: str = "") -> int | None:
    """Return a whole number from 1 to 10^15-1."""
    if name not in outer.fields:
        return None
    found = whole(outer.fields[name])
    if found is not None and found >= 1:
        return found
    outer.wrong(name, "a whole number from 1 to 999999999999999", rule)
    return None


def thousandths(value: object) -> int | None:
    """Return an amount in thousandths: a number above 0 with at most 3 decimals and 15 digits, judged by value; else None."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    exact = Decimal(value)
    if not exact.is_finite() or exact <= 0 or exact.adjusted() >= AMOUNT_DIGITS or exact.adjusted() < -MILLI_DECIMALS:
        return None
    _, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    significant = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(significant)
    if exponent < -MILLI_DECIMALS or len(significant) + max(exponent, 0) > AMOUNT_DIGITS:
        return None
    return int(significant) * int(10 ** (exponent + MILLI_DECIMALS))


def amount(outer: Part, name: str, rule: str = "", *, wanted: str = "", most_milli: int | None = None) -> int | None:
    """Return an amount in thousandths."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    found = thousandths(outer.fields[name])
    if found is None:
        outer.wrong(name, "a number above 0 with at most 3 decimals and 15 digits", rule)
    elif most_milli is not None and found > most_milli:
        outer.error(name, f"{shown(outer.fields[name])} is more than {most_milli // 1000}", rule)
    else:
        return found
    return None


def duration(outer: Part, name: str, rule: str = "") -> int | None:
    """Return the milliseconds of a duration; from 1 s to 3660 d."""
    found = text(outer, name, rule)
    if found is None:
        return None
    try:
        return duration_ms(found)
    except ValueError:
        outer.error(name, f'{shown(found)} is no duration: a whole number and one of s, m, h, d, w, as in "30m", up to 3660d', rule)
        return None


def instant(outer: Part, name: str, where: tzinfo, rule: str = "") -> int | None:
    """Return the milliseconds of an instant; without an offset it is wall-clock time in `where`."""
    found = text(outer, name, rule)
    if found is None:
        return None
    if not _INSTANT.fullmatch(found):
        outer.error(name, f"{shown(found)} is no instant: YYYY-MM-DDTHH:MM[:SS[.mmm]], then Z, an offset such as +05:30 or nothing", rule)
        return None
    try:
        return instant_ms(found, where)
    except ValueError:
        outer.error(name, f"{shown(found)} is no instant of the calendar", rule)
        return None


def scalar(findings: Findings, value: object, path: str, rule: str = "") -> Scalar | None:
    """Return a value as events' numbers are: exact integers, else the double nearest to what is written; null and others are errors."""
    match value:
        case str() | bool():
            return value
        case int():
            try:
                float(value)
            except OverflowError:
                findings.error(path, f"{shown(value)} is beyond the range of a double", rule)
                return None
            return value
        case Decimal():
            nearest = float(value)
            if math.isfinite(nearest):
                return int(Decimal(repr(nearest))) if nearest.is_integer() else nearest
            findings.error(path, f"{shown(value)} is no number within the range of a double", rule)
        case None:
            findings.error(path, "must not be null: null counts as absent", rule)
        case _ if value is UNREADABLE:
            pass
        case _:
            findings.error(path, f"{shown(value)} is not a text, number, true or false", rule)
    return None
