"""The window of CalendarSynchronization, to the second: both sides of the edge, clock changes, whole days, all zones, series."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.sync.window import Window, ends_ms, is_in

#: Whole hours from UTC-12 to UTC+14 (the signs of these names are the other way round), and some with other offsets.
ZONES = [f"Etc/GMT{offset:+d}" for offset in range(-14, 13)] + [
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
]

#: 180 days before it, Europe and North America had another offset from UTC.
NOW = datetime(2026, 4, 15, 10, 30, 17, tzinfo=UTC)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def at(moment: datetime, zone: str | None = "UTC") -> dict[str, Any]:
    return {"utc": f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "zone": zone}


def event(start: datetime, end: datetime, zone: str = "UTC", **more: Any) -> dict[str, Any]:
    return {"start": at(start, zone), "end": at(end, zone), **more}


def days(first: str, after: str, **more: Any) -> dict[str, Any]:
    return {"start": {"date": first}, "end": {"date": after}, **more}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("past", [180, None])
def test_a_timed_item_is_judged_by_its_end_to_the_second(zone: str, past: int | None) -> None:
    window = Window(ms(NOW), past, zone)
    edge = NOW - timedelta(days=past or 0)
    start = edge - timedelta(hours=3)
    for second, inside in ((-1, False), (0, True), (1, True)):
        end = edge + timedelta(seconds=second)
        assert is_in(event(start, end, zone), window) is inside, (second, zone)
    # It begins long before the edge and ends after it; it ends before it although it is long.
    assert is_in(event(edge - timedelta(days=400), edge + timedelta(days=1)), window)
    assert not is_in(event(edge - timedelta(days=400), edge - timedelta(seconds=1)), window)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("past", [180, None])
def test_whole_days_end_at_midnight_of_the_mailbox(zone: str, past: int | None) -> None:
    """The edge is put on, a second before and a second after each local midnight."""
    for day in ("2026-03-29", "2025-10-26", "2026-01-15"):  # two clock changes, and an ordinary day
        midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        item = days((datetime.fromisoformat(day) - timedelta(days=1)).date().isoformat(), day)
        assert ends_ms(item, zone) == ms(midnight)
        for second, inside in ((-1, True), (0, True), (1, False)):
            edge = midnight + timedelta(seconds=second)
            now = edge + timedelta(days=past or 0)
            assert is_in(item, Window(ms(now), past, zone)) is inside, (day, second, zone)


def test_the_same_day_is_in_or_out_by_the_zone_of_the_mailbox() -> None:
    item = days("2025-10-17", "2025-10-18")
    inside = {zone for zone in ZONES if is_in(item, Window(ms(NOW), 180, zone))}
    # The edge is 17 October, 10:30:17 UTC: midnight has passed it already where the clocks are 14 hours or more ahead.
    assert {"Etc/GMT-14", "Pacific/Kiritimati"} & inside == set()
    assert {"Etc/GMT-13", "Etc/GMT+12", "Europe/Berlin", "Asia/Kathmandu"} <= inside


def test_180_days_are_the_same_length_across_a_clock_change() -> None:
    """At 10:00 in Berlin in summer, 180 days ago is 09:00 of the winter's clock."""
    zone = "Europe/Berlin"
    later = datetime(2026, 5, 15, 10, 0, tzinfo=ZoneInfo(zone))
    winter = datetime(2025, 11, 16, 9, 0, tzinfo=ZoneInfo(zone))
    window = Window(ms(later), 180, zone)
    assert is_in(event(winter - timedelta(hours=1), winter, zone), window)
    assert not is_in(event(winter - timedelta(hours=1), winter - timedelta(seconds=1), zone), window)


@pytest.mark.parametrize(
    ("lines", "inside"),
    [
        (["RRULE:FREQ=DAILY"], True),
        (["RRULE:FREQ=DAILY;COUNT=11"], True),  # the eleventh ends at the edge
        (["RRULE:FREQ=DAILY;COUNT=10"], False),
        (["RRULE:FREQ=DAILY;COUNT=11", "EXDATE:20251017T093017"], False),  # and it is left out
        (["RRULE:FREQ=DAILY;COUNT=3", "RDATE:20251017T093017"], True),
        (["RRULE:FREQ=DAILY;UNTIL=20251016T235959Z"], False),
        (["RRULE:FREQ=DAILY;UNTIL=20251017T235959Z"], True),
        (["RRULE:FREQ=NONSENSE"], True),  # what cannot be judged is not left out
    ],
)
def test_a_series_is_in_if_any_of_its_occurrences_is(lines: list[str], inside: bool) -> None:
    edge = NOW - timedelta(days=180)
    first = edge - timedelta(days=10, hours=1)
    item = event(first, first + timedelta(hours=1), rule={"lines": lines})
    assert is_in(item, Window(ms(NOW), 180, "UTC")) is inside


def test_a_series_keeps_its_wall_time_over_a_clock_change() -> None:
    """09:00 in Berlin is 07:00 UTC in summer and 08:00 UTC in winter: the last occurrence ends an hour later than the first."""
    zone = "Europe/Berlin"
    first = datetime(2026, 10, 20, 9, 0, tzinfo=ZoneInfo(zone))
    item = event(first, first + timedelta(minutes=30), zone, rule={"lines": ["RRULE:FREQ=DAILY;COUNT=8"]})
    last = datetime(2026, 10, 27, 8, 30, tzinfo=UTC)
    for second, inside in ((-1, True), (0, True), (1, False)):
        window = Window(ms(last + timedelta(seconds=second)), None, "UTC")
        assert is_in(item, window) is inside


@pytest.mark.parametrize("zone", ["Etc/GMT-14", "Europe/Berlin", "Etc/GMT+12"])
def test_a_series_of_whole_days_ends_at_the_midnight_of_its_last_day(zone: str) -> None:
    item = days("2026-10-20", "2026-10-21", rule={"lines": ["RRULE:FREQ=DAILY;COUNT=8"]})
    midnight = datetime(2026, 10, 28, tzinfo=ZoneInfo(zone))
    for second, inside in ((-1, True), (0, True), (1, False)):
        assert is_in(item, Window(ms(midnight + timedelta(seconds=second)), None, zone)) is inside


def test_what_has_no_times_is_in() -> None:
    assert is_in({"subject": "x"}, Window(ms(NOW), None, "UTC"))
