"""Instants and periods against a clock that is watched minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from livepromo.model.time import Calendar, instant_ms

ZONES = [
    "America/Havana",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Eucla",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = 60_000
HOURS = 30  # no two zones, and no clock and its zone, are further apart


def ms(moment: datetime) -> int:
    return round((moment - EPOCH).total_seconds() * 1000)


def wall(instant: int, where: tzinfo) -> datetime:
    return (EPOCH + timedelta(milliseconds=instant)).astimezone(where).replace(tzinfo=None)


@lru_cache
def changes(name: str) -> list[int]:
    """The minutes between 2000 and 2037 at which a zone's offset changes."""
    where = ZoneInfo(name)

    def offset(minute: int) -> timedelta | None:
        return (EPOCH + timedelta(minutes=minute)).astimezone(where).utcoffset()

    days = range(ms(datetime(2000, 1, 1, tzinfo=UTC)) // MINUTE, ms(datetime(2037, 1, 1, tzinfo=UTC)) // MINUTE, 1440)
    offsets = [(day, offset(day)) for day in days]
    changed = [day for (day, before), (_, after) in pairwise(offsets) if before != after]
    return [minute for day in changed for minute in range(day + 1, day + 1441) if offset(minute) != offset(minute - 1)]


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """A zone and an instant, most often near a change of its clock."""
    name = draw(st.sampled_from(ZONES))
    known = changes(name)
    if known and draw(st.integers(0, 4)):
        near = (
            draw(st.sampled_from(known)) * MINUTE
            + draw(st.integers(-130, 130)) * MINUTE
            + draw(st.sampled_from([0, 0, -1, 1, 999, 30_000]))
        )
        return name, near - draw(st.sampled_from([0, 0, 1, 7, 28])) * 86_400_000
    return name, draw(st.integers(ms(datetime(2000, 1, 1, tzinfo=UTC)), ms(datetime(2099, 12, 31, tzinfo=UTC))))


def begins_after(day: date, where: tzinfo, instant: int) -> int:
    """The first instant after `instant` at which the clock goes from another day, earlier, to `day` or beyond it."""
    start = ms(datetime(day.year, day.month, day.day, tzinfo=UTC)) - HOURS * 60 * MINUTE
    minute = max(start, instant - instant % MINUTE) // MINUTE
    while not (wall(minute * MINUTE - 1, where).date() < day <= wall(minute * MINUTE, where).date() and minute * MINUTE > instant):
        minute += 1
    return minute * MINUTE


@settings(max_examples=100, deadline=None)
@given(moments())
@example(("America/Sao_Paulo", ms(datetime(2017, 10, 15, 2, 59, tzinfo=UTC))))
@example(("America/St_Johns", ms(datetime(2006, 10, 29, 2, 30, 30, tzinfo=UTC))))
@example(("America/St_Johns", ms(datetime(2006, 10, 29, 2, 31, tzinfo=UTC))))
@example(("America/Havana", ms(datetime(2026, 11, 1, 4, 30, tzinfo=UTC))))
@example(("Pacific/Apia", ms(datetime(2011, 12, 30, 9, 59, tzinfo=UTC))))
@example(("Asia/Kolkata", ms(datetime(2024, 2, 29, 18, 29, tzinfo=UTC))))
def test_periods_are_those_that_the_calendar_on_the_wall_shows(moment: tuple[str, int]) -> None:
    name, instant = moment
    where = ZoneInfo(name)
    today = wall(instant, where).date()
    monday = today - timedelta(days=today.weekday())
    next_month = date(today.year + today.month // 12, today.month % 12 + 1, 1)
    found = Calendar(name).periods(instant)
    assert date.fromordinal(found.day) == today
    assert date.fromordinal(found.week * 7 + 1) == monday
    assert divmod(found.month, 12) == (today.year, today.month - 1)
    assert found.day_ends_ms == begins_after(today + timedelta(days=1), where, instant)
    assert found.week_ends_ms == begins_after(monday + timedelta(days=7), where, instant)
    assert found.month_ends_ms == begins_after(next_month, where, instant)


@settings(max_examples=60, deadline=None)
@given(moments(), st.lists(st.integers(-3000, 3000), min_size=2, max_size=60))
def test_a_calendar_that_remembers_answers_as_a_new_one(moment: tuple[str, int], minutes: list[int]) -> None:
    name, instant = moment
    remembering = Calendar(name)
    for minute in [*minutes, *minutes]:
        at = instant + minute * 20_000
        assert remembering.periods(at) == Calendar(name).periods(at)


def first_shown(clock: datetime, where: tzinfo) -> int:
    """The first minute at which the clock shows `clock`, or else the one at which it jumps over it."""
    around = ms(clock.replace(tzinfo=UTC)) // MINUTE
    minutes = [(minute, wall(minute * MINUTE, where)) for minute in range(around - HOURS * 60, around + HOURS * 60)]
    for minute, shown in minutes:
        if shown == clock:
            return minute * MINUTE
    jumps = [minute for (_, before), (minute, after) in pairwise(minutes) if before < clock < after]
    assert len(jumps) == 1
    return jumps[0] * MINUTE


@settings(max_examples=100, deadline=None)
@given(moments())
@example(("America/St_Johns", ms(datetime(2006, 10, 29, 2, 30, tzinfo=UTC))))
@example(("America/Havana", ms(datetime(2026, 3, 8, 5, 0, tzinfo=UTC))))
def test_wall_clock_time_is_the_first_minute_at_which_the_clock_shows_it_or_jumps_over_it(moment: tuple[str, int]) -> None:
    name, instant = moment
    where = ZoneInfo(name)
    # Read in UTC, and then as wall-clock time, so that skipped times come up too.
    for zone in (UTC, where):
        clock = wall(instant, zone).replace(second=0, microsecond=0)
        if zone is UTC:
            clock += where.utcoffset(clock) or timedelta(0)
        assert instant_ms(clock.isoformat(timespec="minutes"), where) == first_shown(clock, where)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(ZONES).filter(lambda name: bool(changes(name))), st.data())
def test_a_time_around_a_change_is_the_first_minute_too(name: str, data: st.DataObject) -> None:
    where = ZoneInfo(name)
    change = data.draw(st.sampled_from(changes(name))) * MINUTE
    before, after = wall(change - MINUTE, where), wall(change, where)
    clock = min(before, after) + timedelta(minutes=data.draw(st.integers(-5, int(abs(after - before).total_seconds()) // 60 + 5)))
    assert instant_ms(clock.isoformat(" ", "minutes"), where) == first_shown(clock, where)
