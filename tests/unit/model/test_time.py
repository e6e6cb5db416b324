"""Instants, durations, zones and calendar periods, where clocks behave and where they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from livepromo.model.time import HOUR_MS, MINUTE_MS, Calendar, calendar, duration_ms, from_ms, instant_ms, to_ms, zone


def utc_ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1s", 1000), ("30m", 1_800_000), ("48h", 172_800_000), ("7d", 604_800_000), ("26w", 15_724_800_000), ("3660d", 316_224_000_000)],
)
def test_a_duration_is_an_absolute_length(text: str, expected: int) -> None:
    assert duration_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["", "0s", "-1s", "1", "m", "1.5h", "1 h", "1H", "01m", "+1m", "1y", "1m ", "\u0661m", "3661d", "523w", "9" * 5000 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00"),
        ("2026-01-01 00:00Z", "2026-01-01T00:00:00"),
        ("2026-01-01T05:30+05:30", "2026-01-01T00:00:00"),
        ("2025-12-31T20:15:00-03:45", "2026-01-01T00:00:00"),
        ("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.100"),
        ("2026-01-01T00:00:00.9999Z", "2026-01-01T00:00:00.999"),
        ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123"),
        ("2024-02-29T12:00Z", "2024-02-29T12:00:00"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999"),
    ],
)
def test_an_instant_with_an_offset_is_absolute_and_cut_to_the_millisecond(text: str, expected: str) -> None:
    assert instant_ms(text, None) == instant_ms(text, zone("Asia/Kolkata")) == utc_ms(expected)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01",
        "2026-01-01T00Z",
        "2026-1-1T00:00Z",
        "20260101T000000Z",
        "2026-01-01T00:00z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00+0530",
        "2026-01-01T00:00+05",
        "2026-02-29T00:00Z",
        "2026-13-01T00:00Z",
        "2026-01-01T24:00Z",
        "2026-01-01T00:60Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00+24:00",
        "2026-01-01T00:00+05:60",
        "0000-01-01T00:00Z",
        "0001-01-01T00:00+05:00",  # of a year before the first, in UTC
        "9999-12-31T23:59-05:00",
        " 2026-01-01T00:00Z",
        "2026-01-01T00:00Z\n",
        "\u0662026-01-01T00:00Z",
        "",
        "2026-01-01T00:00:00." + "1" * 100_000 + "Z",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no instant"):
        instant_ms(text, zone("UTC"))


@pytest.mark.parametrize(("text", "name"), [("0001-01-01T00:00", "Asia/Kolkata"), ("9999-12-31T23:59", "America/New_York")])
def test_wall_clock_time_beyond_the_calendar_is_refused(text: str, name: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        instant_ms(text, zone(name))
    assert f"{from_ms(instant_ms(text, zone('UTC'))):%m}" == text[5:7]


def test_without_an_offset_there_must_be_a_zone() -> None:
    with pytest.raises(ValueError, match="no offset"):
        instant_ms("2026-01-01T00:00", None)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("2026-01-01T00:00", "Asia/Kolkata", "2025-12-31T18:30"),
        ("2026-01-01T00:00", "Asia/Kathmandu", "2025-12-31T18:15"),
        ("1971-06-01T00:00", "Africa/Monrovia", "1971-06-01T00:44:30"),
        ("1900-01-01T00:00", "Asia/Kolkata", "1899-12-31T18:38:50"),
        # Skipped: the first instant after the gap.
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00"),
        ("2026-03-29T02:00", "Europe/Berlin", "2026-03-29T01:00"),
        ("2026-03-29T02:59:59.999", "Europe/Berlin", "2026-03-29T01:00"),
        ("2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00"),
        ("2026-03-29T01:59:59.999", "Europe/Berlin", "2026-03-29T00:59:59.999"),
        ("2017-10-15T00:00", "America/Sao_Paulo", "2017-10-15T03:00"),
        ("2017-10-15T00:59", "America/Sao_Paulo", "2017-10-15T03:00"),
        ("2026-03-08T00:30", "America/Havana", "2026-03-08T05:00"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30"),
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00"),
        # Shown twice: the first.
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30"),
        ("2026-11-01T00:30", "America/Havana", "2026-11-01T04:30"),
        ("2018-02-17T23:30", "America/Sao_Paulo", "2018-02-18T01:30"),
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45"),
        ("2006-10-29T00:00:30", "America/St_Johns", "2006-10-29T02:30:30"),
    ],
)
def test_wall_clock_time_is_the_first_instant_that_it_can_mean(text: str, name: str, expected: str) -> None:
    assert instant_ms(text, zone(name)) == utc_ms(expected)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "asia/", "A\x00B", "Europe", "x" * 5000])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no IANA time zone"):
        zone(name)


def test_periods_are_those_of_the_zone_and_weeks_begin_on_monday() -> None:
    found = calendar("Asia/Kolkata").periods(utc_ms("2025-12-31T18:29:59.999"))
    after = calendar("Asia/Kolkata").periods(utc_ms("2025-12-31T18:30"))
    assert found.day_ends_ms == found.month_ends_ms == utc_ms("2025-12-31T18:30")
    assert found.week_ends_ms == after.week_ends_ms == utc_ms("2026-01-04T18:30")
    assert (after.day, after.week, after.month) == (found.day + 1, found.week, found.month + 1)
    assert calendar("Asia/Kolkata").periods(utc_ms("2026-01-04T18:30")).week == found.week + 1


def test_days_of_a_change_have_23_or_25_hours() -> None:
    berlin = calendar("Europe/Berlin")
    for date, hours in (("2026-03-28T23:00", 23), ("2026-10-24T22:00", 25), ("2026-06-01T22:00", 24)):
        start = utc_ms(date)
        assert berlin.periods(start).day_ends_ms - start == hours * HOUR_MS
        assert berlin.periods(start - 1).day == berlin.periods(start).day - 1
        assert berlin.periods(start - 1).day_ends_ms == start


def test_a_day_without_midnight_begins_when_the_clock_first_shows_it() -> None:
    gap = utc_ms("2017-10-15T03:00")
    before, after = (calendar("America/Sao_Paulo").periods(at) for at in (gap - 1, gap))
    assert before.day_ends_ms == gap
    assert after.day == before.day + 1
    assert after.day_ends_ms - gap == 23 * HOUR_MS


def test_a_midnight_shown_twice_begins_its_day_once() -> None:
    first = utc_ms("2026-11-01T04:00")
    havana = calendar("America/Havana")
    days = [havana.periods(first + minutes * MINUTE_MS).day for minutes in (-1, 0, 59, 60, 61, 1499, 1500)]
    assert [day - days[1] for day in days] == [-1, 0, 0, 0, 0, 0, 1]
    assert havana.periods(first).day_ends_ms == first + 25 * HOUR_MS
    assert havana.periods(first + 60 * MINUTE_MS).month_ends_ms == utc_ms("2026-12-01T05:00")


def test_a_day_that_begins_twice_ends_where_its_last_stretch_ends() -> None:
    # Newfoundland set its clocks back at 00:01: a minute of the new day, an hour of the old one again, then the new day for good.
    change = utc_ms("2006-10-29T02:31")
    johns = calendar("America/St_Johns")
    days = [johns.periods(change + minutes * MINUTE_MS) for minutes in (-2, -1, 0, 58, 59)]
    assert [found.day - days[0].day for found in days] == [0, 1, 0, 0, 1]
    assert [found.day_ends_ms - change for found in days[:4:2]] == [-MINUTE_MS, 59 * MINUTE_MS]
    assert days[1].day_ends_ms == days[4].day_ends_ms


def test_a_day_may_begin_in_the_middle_of_a_quarter_of_an_hour() -> None:
    midnight = utc_ms("1971-06-02T00:44:30")
    monrovia = Calendar("Africa/Monrovia")
    for _ in range(2):
        assert [monrovia.periods(midnight + ms).day_ends_ms - midnight for ms in (-1, 0, 1)] == [0, 24 * HOUR_MS, 24 * HOUR_MS]


def test_a_day_that_a_zone_skipped_is_not_there() -> None:
    apia = calendar("Pacific/Apia")
    gap = utc_ms("2011-12-30T10:00")
    assert apia.periods(gap).day - apia.periods(gap - 1).day == 2
    assert apia.periods(gap - 1).day_ends_ms == gap


@pytest.mark.parametrize("year", [2023, 2024, 2026, 2100])
def test_months_end_with_their_last_day(year: int) -> None:
    utc = calendar("UTC")
    for month in range(1, 13):
        first = datetime(year, month, 1, tzinfo=UTC)
        after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        last = utc.periods(to_ms(after) - 1)
        assert utc.periods(to_ms(first)).month == last.month == year * 12 + month - 1
        assert utc.periods(to_ms(first)).month_ends_ms == last.month_ends_ms == last.day_ends_ms == to_ms(after)


def test_weeks_are_those_of_iso_over_the_turn_of_years() -> None:
    utc = calendar("UTC")
    day = datetime(2019, 12, 1, tzinfo=UTC)
    for _ in range(500):
        same = utc.periods(to_ms(day)).week == utc.periods(to_ms(day + timedelta(days=1))).week
        assert same is (day.isocalendar()[:2] == (day + timedelta(days=1)).isocalendar()[:2])
        day += timedelta(days=1)


def test_an_answer_remembered_is_the_answer_worked_out_whatever_the_order_of_questions() -> None:
    start = utc_ms("2006-10-28T00:00")
    instants = [start + n * 7 * MINUTE_MS for n in range(700)]
    remembering = Calendar("America/St_Johns")
    forwards = [remembering.periods(at) for at in instants]
    backwards = [remembering.periods(at) for at in reversed(instants)]
    assert forwards == backwards[::-1] == [Calendar("America/St_Johns").periods(at) for at in instants]


def test_a_calendar_remembers_a_bounded_number_of_stretches() -> None:
    utc = Calendar("UTC")
    for n in range(5000):
        utc.periods(n * HOUR_MS)
    assert len(utc._starts) == len(utc._stretches) <= 4096


def test_an_instant_and_its_datetime_are_the_same() -> None:
    assert from_ms(1764547200123) == datetime(2025, 12, 1, 0, 0, 0, 123000, tzinfo=UTC)
    assert to_ms(datetime(2025, 12, 1, 5, 30, 0, 123999, tzinfo=ZoneInfo("Asia/Kolkata"))) == 1764547200123
    assert to_ms(datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)) == -1
