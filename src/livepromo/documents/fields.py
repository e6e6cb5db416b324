"""The fields that documents are made of, read one by one: each a sound value, or None and a problem at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import tzinfo
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

from livepromo.documents.reading import Link, Problem, ReadDocument, Severity, Written
from livepromo.documents.values import NOWHERE, UNREADABLE, key_path, shown
from livepromo.model.amounts import AMOUNT_DIGITS, LARGEST_UNITS, MILLI_DECIMALS
from livepromo.model.records import Scalar
from livepromo.model.time import duration_ms, instant_ms

LONGEST_PROPERTY = 128
LONGEST_EVENT = 255
LONGEST_CODE = 255
LONGEST_HEADER = 4096
LONGEST_URL = 2048
AMOUNT_MOST = LARGEST_UNITS
COUNT_MOST = LARGEST_UNITS
FACTOR_MOST = 10**6  # of `percent`, `points` and `per`
MOST_MILLI = FACTOR_MOST * 10**MILLI_DECIMALS
WHOLE_MILLI = 100 * 10**MILLI_DECIMALS  # a hundred percent
ID_FORM = "1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit"
TAG_FORM = "1 to 63 of A-Z, a-z, 0-9, dot, underscore and hyphen"
ID_PATTERN = "[a-z0-9][a-z0-9._-]{0,62}"
TAG_PATTERN = "[A-Za-z0-9._-]{1,63}"
LIST_ID_PATTERN = f"{ID_PATTERN}/{TAG_PATTERN}"
SECRET_PATTERN = "(?!whsec_)[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"  # noqa: S105 - the form of a name
HEADER_NAME = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}"
INSTANT_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\\.[0-9]{3})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
_ID = re.compile(ID_PATTERN)
_TAG = re.compile(TAG_PATTERN)
_INSTANT = re.compile(INSTANT_PATTERN)
_LONGEST_NAME = 40  # of a field, to be compared with those that there are

Word = TypeVar("Word", bound=StrEnum)


class Findings:
    """The problems of one document, what it refers to, and what it is advised, as they are found."""

    def __init__(self, read: ReadDocument) -> None:
        self._read = read
        self.problems: list[Problem] = []
        self.links: list[Link] = []
        self.advice: list[Problem] = []

    def error(self, path: str, message: str, rule: str = "", *, within: str = "$") -> None:
        """Note what is wrong at `path`; where nothing is written there, the place said is that of `within`."""
        self.problems.append(self._problem(path, message, rule, within, "error"))

    def advise(self, path: str, message: str, rule: str, *, within: str) -> None:
        """Note what is not wrong, but not advised."""
        self.advice.append(self._problem(path, message, rule, within, "warning"))

    def _problem(self, path: str, message: str, rule: str, within: str, severity: Severity) -> Problem:
        places = self._read.places
        line, column = places.get(path) or places.get(within) or places.get("$", NOWHERE)
        return Problem(self._read.file, self._read.key, path, line, column, rule, severity, message)


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

    def wrong(self, name: str, wanted: str, rule: str = "", *, hidden: bool = False) -> None:
        """Note that a field, which is there, is not what is wanted; silent where reading has refused the value already.

        A value that is `hidden` is not said: it may be a code or a secret.
        """
        value = self.fields[name]
        if value is not UNREADABLE:
            self.error(name, f"{'this' if hidden else shown(value)} is not {wanted}", rule)

    def present(self, name: str, rule: str = "", *, wanted: str = "") -> bool:
        """Say whether a field is there; with `wanted` it must be."""
        if name in self.fields:
            return True
        if wanted:
            self.error(name, f"is missing: give {wanted}", rule)
        return False

    def only(self, known: Collection[str], misplaced: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Refuse every field but those `known`: of the `misplaced` say why (name: message, rule), even where they are known."""
        for name in self.fields:
            if misplaced is not None and name in misplaced:
                self.error(name, *misplaced[name])
            elif name not in known:
                near = get_close_matches(name, known, 1) if len(name) <= _LONGEST_NAME else []
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


def text(  # noqa: PLR0913 - two of them say what is allowed
    outer: Part, name: str, rule: str = "", *, wanted: str = "", longest: int | None = None, hidden: bool = False
) -> str | None:
    """Return the text of a field; with `longest` it must not be empty. One that is `hidden` is not said."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    value = outer.fields[name]
    path = outer.at(name)
    if isinstance(value, str):
        return value if longest is None or fits(outer.findings, path, value, longest, rule, hidden=hidden) else None
    quote = ": put it in quotes" if isinstance(value, int | Decimal) else ""
    outer.wrong(name, f"a text{quote}", rule, hidden=hidden)
    return None


def fits(  # noqa: PLR0913 - a text, its place and what is allowed
    findings: Findings, path: str, value: str, longest: int, rule: str, *, hidden: bool = False
) -> bool:
    """Say whether a text is neither empty nor too long, and note what is wrong with it."""
    if not value:
        findings.error(path, "must not be empty", rule)
    elif len(value) > longest:
        findings.error(path, f"{'this' if hidden else shown(value)} has {len(value)} characters: at most {longest} are allowed", rule)
    return 0 < len(value) <= longest


def names(outer: Part, name: str, rule: str = "", *, wanted: str) -> tuple[str, ...] | None:
    """Return the names of events in a field, one or a list: in order, each once, since neither means anything."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    value, path = outer.fields[name], outer.at(name)
    if isinstance(value, str):
        return (value,) if fits(outer.findings, path, value, LONGEST_EVENT, rule) else None
    if not isinstance(value, list):
        outer.wrong(name, "the name of an event, or a list of them", rule)
        return None
    if not value:
        outer.error(name, "an empty list names no event: give at least one", rule)
        return None
    found = texts(outer, name, rule, longest=LONGEST_EVENT)
    return tuple(sorted(set(found))) if len(found) == len(value) else None


def texts(outer: Part, name: str, rule: str = "", *, longest: int) -> list[str]:
    """Return the texts of a field's list; those that are none are errors."""
    if name not in outer.fields:
        return []
    items = outer.fields[name]
    if not isinstance(items, list):
        outer.wrong(name, "a list", rule)
        return []
    found = []
    for index, item in enumerate(items):
        path = f"{outer.at(name)}[{index}]"
        if isinstance(item, str):
            if fits(outer.findings, path, item, longest, rule):
                found.append(item)
        elif item is not UNREADABLE:
            outer.findings.error(path, f"{shown(item)} is not a text", rule)
    return found


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


def reference(outer: Part, name: str, kind: str, rule: str, *, wanted: str = "") -> str | None:
    """Return the id of a document of a kind, which is looked for when all documents have been read."""
    found = identifier(outer, name, rule, wanted=wanted)
    if found is not None:
        outer.findings.links.append(Link(outer.at(name), f"{kind}/{found}", rule))
    return found


def is_tag(written: str) -> bool:
    """Say whether a text is a sound tag of a voucher list."""
    return _TAG.fullmatch(written) is not None


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


def percentage(value: object) -> int | None:
    """Return a percentage above 0, at most 100, with at most 3 decimals, in thousandths; else None."""
    milli = thousandths(value)
    return milli if milli is not None and milli <= WHOLE_MILLI else None


def amount(  # noqa: PLR0913 - each says what is allowed
    outer: Part, name: str, rule: str = "", *, wanted: str = "", most_milli: int | None = None, of_wallet: list[Written] | None = None
) -> int | None:
    """Return an amount in thousandths; it is noted in `of_wallet` where it must not be finer than the wallet's decimals."""
    if not outer.present(name, rule, wanted=wanted):
        return None
    found = thousandths(outer.fields[name])
    if found is None:
        outer.wrong(name, "a number above 0 with at most 3 decimals and 15 digits", rule)
    elif most_milli is not None and found > most_milli:
        outer.error(name, f"{shown(outer.fields[name])} is more than {most_milli // 1000}", rule)
    else:
        if of_wallet is not None:
            of_wallet.append(Written(outer.at(name), outer.fields[name], found, rule))
        return found
    return None


def duration(outer: Part, name: str, rule: str = "", *, wanted: str = "", longest: str = "3660d") -> int | None:
    """Return the milliseconds of a duration; from 1 s to `longest`."""
    found = text(outer, name, rule, wanted=wanted)
    if found is None:
        return None
    try:
        length_ms = duration_ms(found)
    except ValueError:
        outer.error(name, f'{shown(found)} is no duration: a whole number and one of s, m, h, d, w, as in "30m", up to {longest}', rule)
        return None
    if length_ms > duration_ms(longest):
        outer.error(name, f"{shown(found)} is longer than {longest}", rule)
        return None
    return length_ms


def instant(outer: Part, name: str, where: tzinfo, rule: str = "", *, wanted: str = "") -> int | None:
    """Return the milliseconds of an instant; without an offset it is wall-clock time in `where`."""
    found = text(outer, name, rule, wanted=wanted)
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
