"""Series: patterns, changed and deleted occurrences, calendar views, iCalendar text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from exchangelib import CalendarItem, EWSDate, EWSDateTime, EWSTimeZone
from exchangelib.errors import ErrorItemNotFound, ErrorOccurrenceCrossingBoundary
from exchangelib.recurrence import (
    AbsoluteMonthlyPattern,
    DailyPattern,
    Recurrence,
    RelativeMonthlyPattern,
    RelativeYearlyPattern,
    WeeklyPattern,
)

from tests.sandbox.exchange.library import account
from tests.sandbox.exchange.office import Office

BERLIN = EWSTimeZone("Europe/Berlin")


def at(month: int, day: int, hour: int = 9, *, year: int = 2026) -> Any:
    return EWSDateTime(year, month, day, hour, 0, tzinfo=BERLIN)


def series(
    anna: Any, pattern: Any, start: Any, *, number: int | None = None, end: Any = None, **more: Any
) -> Any:
    item = CalendarItem(
        folder=anna.calendar,
        subject="Series",
        start=start,
        end=start + timedelta(hours=1),
        recurrence=Recurrence(pattern=pattern, start=start.date(), number=number, end=end),
        **more,
    )
    item.save()
    return item


def starts(anna: Any, low: Any, high: Any) -> list[Any]:
    return [one.start.astimezone(BERLIN) for one in anna.calendar.view(start=low, end=high)]


@pytest.mark.parametrize(
    ("pattern", "first", "expected"),
    [
        (DailyPattern(interval=2), at(3, 27), [at(3, 27), at(3, 29), at(3, 31), at(4, 2)]),
        (
            WeeklyPattern(interval=2, weekdays=["Monday", "Friday"], first_day_of_week="Monday"),
            at(10, 19),
            [at(10, 19), at(10, 23), at(11, 2), at(11, 6)],
        ),
        (
            AbsoluteMonthlyPattern(interval=1, day_of_month=31),
            at(1, 31),
            [at(1, 31), at(2, 28), at(3, 31), at(4, 30)],
        ),
        (
            RelativeMonthlyPattern(interval=1, weekday="Weekday", week_number="Last"),
            at(1, 30),
            [at(1, 30), at(2, 27), at(3, 31), at(4, 30)],
        ),
        (
            RelativeYearlyPattern(weekday="Thursday", week_number="Fourth", month="November"),
            at(11, 26),
            [at(11, 26), at(11, 25, year=2027), at(11, 23, year=2028), at(11, 22, year=2029)],
        ),
    ],
)
def test_occurrences_keep_the_wall_clock(
    exchange: Office, pattern: Any, first: Any, expected: list[Any]
) -> None:
    with account(exchange) as anna:
        item = series(anna, pattern, first, number=4)
        found = []
        for when in expected:
            found += starts(anna, when - timedelta(hours=1), when + timedelta(hours=3))
        assert found == expected
        master = next(one for one in anna.calendar.all() if one.subject == "Series")
        assert master.type == "RecurringMaster"
        assert (master.first_occurrence.start, master.last_occurrence.start) == (expected[0], expected[-1])
        assert master.uid
        item.delete()
        assert starts(anna, expected[0] - timedelta(days=1), expected[0] + timedelta(days=9)) == []


def test_a_changed_and_a_deleted_occurrence(exchange: Office) -> None:
    with account(exchange) as anna:
        master = series(anna, WeeklyPattern(interval=1, weekdays=["Monday"]), at(11, 2), number=5)
        moved = master.occurrence(index=2)
        moved.refresh()
        assert (moved.start, moved.type) == (at(11, 9), "Occurrence")
        moved.start, moved.end, moved.subject = at(11, 10, 14), at(11, 10, 15), "Moved"
        moved.save(update_fields=["start", "end", "subject"])
        gone = master.occurrence(index=4)
        gone.refresh()
        twin = master.occurrence(index=4)
        twin.refresh()
        gone.delete()
        shown = [
            (one.start.astimezone(BERLIN), one.subject, one.type)
            for one in anna.calendar.view(at(11, 1), at(12, 31))
        ]
        assert shown == [
            (at(11, 2), "Series", "Occurrence"),
            (at(11, 10, 14), "Moved", "Exception"),
            (at(11, 16), "Series", "Occurrence"),
            (at(11, 30), "Series", "Occurrence"),
        ]
        full = anna.calendar.get(subject="Series")
        assert [(one.start, one.original_start) for one in full.modified_occurrences] == [
            (at(11, 10, 14), at(11, 9))
        ]
        assert [one.start for one in full.deleted_occurrences] == [at(11, 23)]
        with pytest.raises(ErrorItemNotFound):
            twin.refresh()
        changes = list(anna.calendar.sync_items())
        assert [(kind, one.subject) for kind, one in changes] == [("create", "Series")]
        again = next(one for one in anna.calendar.view(at(11, 10), at(11, 11)))
        again.refresh()
        full_master = again.recurring_master()
        full_master.refresh()
        assert (full_master.subject, full_master.type) == ("Series", "RecurringMaster")


def test_a_change_of_one_occurrence_is_an_update_of_the_series(exchange: Office) -> None:
    with account(exchange) as anna:
        master = series(anna, DailyPattern(interval=1), at(11, 2), number=3)
        list(anna.calendar.sync_items())
        third = master.occurrence(index=3)
        third.refresh()
        third.delete()
        changes = list(anna.calendar.sync_items(sync_state=anna.calendar.item_sync_state))
        assert [(kind, one.type) for kind, one in changes] == [("update", "RecurringMaster")]


def test_an_occurrence_cannot_pass_its_neighbours(exchange: Office) -> None:
    with account(exchange) as anna:
        master = series(anna, DailyPattern(interval=1), at(11, 2), number=5)
        second = master.occurrence(index=2)
        second.refresh()
        second.start, second.end = at(11, 4, 7), at(11, 4, 8)
        with pytest.raises(ErrorOccurrenceCrossingBoundary):
            second.save(update_fields=["start", "end"])
        assert starts(anna, at(11, 3, 0), at(11, 4, 0)) == [at(11, 3)]


def test_another_time_of_the_series_forgets_what_was_changed_in_it(exchange: Office) -> None:
    with account(exchange) as anna:
        master = series(anna, DailyPattern(interval=1), at(11, 2), number=3)
        second = master.occurrence(index=2)
        second.refresh()
        second.subject = "Special"
        second.save(update_fields=["subject"])
        full = anna.calendar.get(subject="Series")
        full.location = "Room 5"
        full.save(update_fields=["location"])
        assert [one.subject for one in anna.calendar.view(at(11, 1), at(11, 9))] == [
            "Series",
            "Special",
            "Series",
        ]
        full = anna.calendar.get(subject="Series")
        full.start, full.end = at(11, 2, 11), at(11, 2, 12)
        full.save(update_fields=["start", "end"])
        assert [
            (one.subject, one.start.astimezone(BERLIN).hour) for one in anna.calendar.view(at(11, 1), at(11, 9))
        ] == [("Series", 11)] * 3


def test_a_series_without_end_is_shown_in_any_year(exchange: Office) -> None:
    with account(exchange) as anna:
        series(anna, WeeklyPattern(interval=1, weekdays=["Tuesday"]), at(1, 6, year=2015))
        assert starts(anna, at(11, 1, year=2031), at(11, 9, year=2031)) == [at(11, 4, year=2031)]


def test_whole_day_series_across_the_change_of_clocks(exchange: Office) -> None:
    with account(exchange) as anna:
        CalendarItem(
            folder=anna.calendar,
            subject="Fair",
            start=EWSDate(2026, 3, 28),
            end=EWSDate(2026, 3, 28),
            is_all_day=True,
            recurrence=Recurrence(pattern=DailyPattern(interval=1), start=EWSDate(2026, 3, 28), number=3),
        ).save()
        found = list(
            anna.calendar.view(at(3, 27, 0), at(4, 2, 0)).only("start", "end", "is_all_day", "subject")
        )
        assert len(found) == 3
        assert [one.start for one in found] == [EWSDate(2026, 3, day) for day in (28, 29, 30)]


def test_the_icalendar_text_of_a_series(exchange: Office) -> None:
    with account(exchange) as anna:
        master = series(
            anna, WeeklyPattern(interval=1, weekdays=["Monday"]), at(11, 2), number=5, location="A; B, C"
        )
        third = master.occurrence(index=3)
        third.refresh()
        third.delete()
        second = master.occurrence(index=2)
        second.refresh()
        second.subject = "Second"
        second.save(update_fields=["subject"])
        found = anna.calendar.all().only("mime_content", "subject").get(subject="Series")
        text = found.mime_content.decode().replace("\r\n ", "")
        lines = text.splitlines()
        assert "TZID:W. Europe Standard Time" in lines
        assert "RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10" in lines
        assert "DTSTART;TZID=W. Europe Standard Time:20261102T090000" in lines
        rule = next(line for line in lines if line.startswith("RRULE:FREQ=WEEKLY"))
        assert rule.startswith("RRULE:FREQ=WEEKLY;COUNT=5;INTERVAL=1;BYDAY=MO;WKST=")
        assert "EXDATE;TZID=W. Europe Standard Time:20261116T090000" in lines
        assert "RECURRENCE-ID;TZID=W. Europe Standard Time:20261109T090000" in lines
        assert "LOCATION;LANGUAGE=en-US:A\\; B\\, C" in lines
        assert text.count("BEGIN:VEVENT") == 2
