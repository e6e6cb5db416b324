"""When something is: instants as integer milliseconds UTC, durations, zones, calendar periods."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
FOREVER_MS = 1 << 62
"""An instant that no instant is after: never, or without an end."""

_UNIT_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"([1-9][0-9]*)([smhdw])")
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MS, _LAST_MS = ((moment - _EPOCH) // _MILLISECOND for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)))
LONGEST_DURATION_MS = 3660 * DAY_MS
_STRETCHES = 4096


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration such as `30m`; from 1 s to 3660 d. Raises ValueError."""
    found = _DURATION.fullmatch(text) if len(text) < 20 else None  # noqa: PLR2004 - longer is beyond 3660 d, or no duration
    if not found:
        raise ValueError(f'"{text}" is no duration: a whole number and one of s, m, h, d, w, as in "30m"')
    length = int(found[1]) * _UNIT_MS[found[2]]
    if length > LONGEST_DURATION_MS:
        raise ValueError(f'"{text}" is longer than 3660 days')
    return length


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the IANA time zone of that name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'"{name}" is no IANA time zone, such as "Asia/Kolkata"') from None


def to_ms(moment: datetime) -> int:
    """Return the milliseconds since the epoch of an aware datetime; finer is cut."""
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(instant_ms: int, where: tzinfo = UTC) -> datetime:
    """Return the aware datetime of an instant."""
    return (_EPOCH + instant_ms * _MILLISECOND).astimezone(where)


def instant_text(instant: int) -> str:
    """Return an instant as people read it: ISO 8601 in UTC, with milliseconds."""
    return f"{from_ms(instant):%Y-%m-%dT%H:%M:%S}.{instant % 1000:03d}Z"


def duration_text(length_ms: int) -> str:
    """Return a duration as a document has it, in the largest unit that it is a whole number of."""
    return next(f"{length_ms // unit_ms}{unit}" for unit, unit_ms in reversed(_UNIT_MS.items()) if not length_ms % unit_ms)


def _wall_ms(wall: datetime, where: tzinfo) -> int:
    """Return the first instant at which the clock of a zone shows `wall`, or, when it skips it, the first instant after the gap."""
    early, late = (to_ms(wall.replace(tzinfo=where, fold=fold)) for fold in (0, 1))
    if early <= late:
        return early  # shown once, or twice: the first
    # Skipped: fold=1 reads it with the offset after the change, which is an instant before it; fold=0 the other way round.
    low, high = late, early
    after = from_ms(high, where).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if from_ms(middle, where).utcoffset() == after:
            high = middle
        else:
            low = middle
    return high


def instant_ms(text: str, where: tzinfo | None) -> int:
    """Return the milliseconds of an ISO 8601 instant; finer than a millisecond is cut.

    Without an offset it is wall-clock time in `where`: a time that the clock skips means the first valid instant after it, one that
    it shows twice the first. With `where` None an offset is required. Raises ValueError.
    """
    found = _INSTANT.fullmatch(text) if len(text) < 64 else None  # noqa: PLR2004 - no instant is longer
    if not found:
        raise ValueError(f'"{text}" is no instant: YYYY-MM-DDTHH:MM[:SS[.mmm]], then Z, an offset such as +05:30 or nothing')
    year, month, day, hour, minute = (int(found[n]) for n in range(1, 6))
    offset = found[8]
    if offset is None and where is None:
        raise ValueError(f'"{text}" has no offset: add Z or one such as +05:30')
    try:
        wall = datetime(year, month, day, hour, minute, int(found[6] or 0), int((found[7] or "").ljust(6, "0")[:6]))  # noqa: DTZ001
        if offset is None:
            assert where is not None
            instant = _wall_ms(wall, where)
        else:
            instant = to_ms(wall.replace(tzinfo=UTC if offset == "Z" else _offset(offset)))
    except (ValueError, OverflowError):
        instant = _LAST_MS + 1
    if not _FIRST_MS <= instant <= _LAST_MS:  # in UTC, too: an offset may move it out of the first year or the last
        raise ValueError(f'"{text}" is no instant of the calendar')
    return instant


def _offset(text: str) -> timezone:
    hours, minutes = int(text[1:3]), int(text[4:])
    if minutes > 59:  # noqa: PLR2004
        raise ValueError(text)
    whole = timedelta(hours=hours, minutes=minutes)
    return timezone(-whole if text[0] == "-" else whole)


class PeriodKind(StrEnum):
    """The calendar periods of limits."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Periods(NamedTuple):
    """The calendar periods that hold an instant: an ordinal each, and the instant at which the next one begins."""

    day: int
    week: int
    month: int
    day_ends_ms: int
    week_ends_ms: int
    month_ends_ms: int


def _starts_ms(day: date, where: tzinfo, after_ms: int) -> int:
    """Return the first instant after `after_ms` at which the clock of a zone begins `day`."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    first = _wall_ms(midnight, where)
    return first if first > after_ms else to_ms(midnight.replace(tzinfo=where, fold=1))


def _periods(instant: int, where: tzinfo) -> Periods:
    today = from_ms(instant, where).date()
    ordinal, month = today.toordinal(), today.year * 12 + today.month - 1
    monday = ordinal - today.weekday()
    following = month + 1
    return Periods(
        ordinal,
        monday // 7,
        month,
        _starts_ms(date.fromordinal(ordinal + 1), where, instant),
        _starts_ms(date.fromordinal(monday + 7), where, instant),
        _starts_ms(date(following // 12, following % 12 + 1, 1), where, instant),
    )


class Calendar:
    """The periods of one zone; remembers the stretches that it has worked out, so that most answers are a look-up.

    A stretch is a local day on which the zone's offset does not change, or else a quarter of an hour, so every instant of it has the
    same answer.
    """

    def __init__(self, name: str) -> None:
        self._zone = zone(name)
        self._starts: list[int] = []
        self._stretches: list[tuple[int, Periods]] = []

    def periods(self, instant: int) -> Periods:
        """Return the periods that hold `instant`."""
        at = bisect_right(self._starts, instant) - 1
        if at >= 0 and instant < self._stretches[at][0]:
            return self._stretches[at][1]
        found = _periods(instant, self._zone)
        start, end = self._day(instant, found) or self._quarter(instant, found) or (instant, instant + 1)
        if len(self._starts) >= _STRETCHES:
            self._starts.clear()
            self._stretches.clear()
        at = bisect_left(self._starts, start)
        self._starts.insert(at, start)
        self._stretches.insert(at, (end, found))
        return found

    def _day(self, instant: int, found: Periods) -> tuple[int, int] | None:
        """Return the local day that holds `instant`, if the offset is the same all through it."""
        midnight = from_ms(instant, self._zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        start, end = _wall_ms(midnight, self._zone), found.day_ends_ms
        if not start <= instant < end <= start + DAY_MS:
            return None
        offset = from_ms(instant, self._zone).utcoffset()
        steady = all(from_ms(at, self._zone).utcoffset() == offset for at in (*range(start, end, HOUR_MS), end - 1))
        return (start, end) if steady else None

    def _quarter(self, instant: int, found: Periods) -> tuple[int, int] | None:
        """Return the quarter of an hour that holds `instant`; offsets change on quarters in every zone of this century."""
        start = instant - instant % (15 * MINUTE_MS)
        end = start + 15 * MINUTE_MS
        return (start, end) if _periods(start, self._zone) == found == _periods(end - 1, self._zone) else None


@lru_cache(maxsize=1024)
def calendar(name: str) -> Calendar:
    """Return the calendar of a zone."""
    return Calendar(name)
