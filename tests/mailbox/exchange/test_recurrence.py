"""Rules to Exchange's patterns and back: the same days, or a refusal that says why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from lxml import etree

from engine.mailbox.exchange.recurrence import Unwritable, excluded, index_of, pattern, rule_of
from engine.mailbox.exchange.xml import TYPES, element
from engine.model.recurrence import occurrences

BERLIN = "Europe/Berlin"
START = {"utc": "2026-03-10T08:30:00Z", "zone": BERLIN}  # a Tuesday, the second of its month
WALL = datetime(2026, 3, 10, 9, 30)


def there_and_back(rule: str, start: dict[str, Any] = START, zone: str = BERLIN) -> str:
    text = element("t:Recurrence", pattern([f"RRULE:{rule}"], start, zone))
    node = etree.fromstring(text.replace("<t:Recurrence", f'<t:Recurrence xmlns:t="{TYPES}"', 1))
    lines = rule_of(node, start, zone)
    assert lines is not None
    return lines[0].removeprefix("RRULE:")


def days(rule: str, most: int = 60) -> list[datetime]:
    return list(islice(occurrences([f"RRULE:{rule}"], WALL), most))


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=3;COUNT=12",
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
        "FREQ=WEEKLY",
        "FREQ=WEEKLY;BYDAY=TU,TH;UNTIL=20260602T083000Z",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU;WKST=SU",
        "FREQ=MONTHLY",
        "FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=10;COUNT=5",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1",
        "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20270101",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1",
        "FREQ=MONTHLY;BYDAY=SA,SU;BYSETPOS=-1",
        "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2",
        "FREQ=YEARLY",
        "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1",
        "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
        "FREQ=YEARLY;INTERVAL=2;COUNT=4",
        "FREQ=YEARLY;INTERVAL=3;BYMONTH=3;BYDAY=2TU",
    ],
)
def test_a_rule_comes_back_with_the_same_days(rule: str) -> None:
    assert days(there_and_back(rule)) == days(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY",
        "FREQ=MONTHLY;BYMONTHDAY=1,15",
        "FREQ=MONTHLY;BYDAY=5MO",
        "FREQ=YEARLY;BYMONTH=1,7",
        "FREQ=YEARLY;BYWEEKNO=20",
        "FREQ=MONTHLY;BYMONTHDAY=-2",
        "FREQ=WEEKLY;BYDAY=MO;BYHOUR=9,17",
        "FREQ=YEARLY;INTERVAL=2;BYMONTH=5",
    ],
)
def test_what_exchange_cannot_repeat_is_refused_in_words(rule: str) -> None:
    with pytest.raises(Unwritable, match="Exchange"):
        pattern([f"RRULE:{rule}"], START, BERLIN)


def test_the_last_day_is_one_of_the_series_zone() -> None:
    # 09:30 on the 31st in Auckland is the 30th in UTC; the last occurrence is the one of the 31st.
    start = {"utc": "2026-03-09T20:30:00Z", "zone": "Pacific/Auckland"}
    text = pattern(["RRULE:FREQ=DAILY;UNTIL=20260330T203000Z"], start, "Pacific/Auckland")
    assert "<t:StartDate>2026-03-10</t:StartDate><t:EndDate>2026-03-31</t:EndDate>" in text
    assert there_and_back("FREQ=DAILY;UNTIL=20260330T203000Z", start, "Pacific/Auckland").endswith(
        "UNTIL=20260330T203000Z"
    )
    # An end before the hour of the series is the day before.
    text = pattern(["RRULE:FREQ=DAILY;UNTIL=20260401T000000Z"], START, BERLIN)
    assert "<t:EndDate>2026-03-31</t:EndDate>" in text


def test_an_occurrence_is_counted_over_clock_changes_and_deleted_ones() -> None:
    lines = ["RRULE:FREQ=WEEKLY;BYDAY=TU", "EXDATE:20260317T083000Z"]
    # The third Tuesday before, the fourth after the change to summer time of 29 March.
    assert index_of(lines, START, BERLIN, "2026-03-24T08:30:00Z") == 3
    assert index_of(lines, START, BERLIN, "2026-03-31T07:30:00Z") == 4
    assert index_of(lines, START, BERLIN, "2026-03-31T08:30:00Z") is None
    assert index_of(lines, START, BERLIN, "2026-03-25T08:30:00Z") is None
    assert index_of(["RRULE:FREQ=DAILY"], {"date": "2026-03-10"}, BERLIN, "2026-03-12") == 3
    assert excluded(lines, BERLIN) == ["2026-03-17T08:30:00Z"]
    assert excluded(["EXDATE;TZID=Asia/Tokyo:20260317T093000,20260318T093000"], BERLIN) == [
        "2026-03-17T00:30:00Z",
        "2026-03-18T00:30:00Z",
    ]
    assert excluded(["EXDATE;VALUE=DATE:20260317"], BERLIN) == ["2026-03-17"]


def test_eight_zones_keep_their_hour_over_both_clock_changes() -> None:
    """Case 18: an occurrence after a clock change is not an hour off."""
    for zone in (
        "Europe/Berlin",
        "Europe/London",
        "America/New_York",
        "America/Los_Angeles",
        "Australia/Sydney",
        "America/Santiago",
        "Asia/Tehran",
        "Pacific/Auckland",
    ):
        from zoneinfo import ZoneInfo

        first = datetime(2026, 1, 6, 9, 30, tzinfo=ZoneInfo(zone))
        start = {"utc": first.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "zone": zone}
        for week in range(53):
            at = (first + timedelta(weeks=week)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            assert index_of(["RRULE:FREQ=WEEKLY;BYDAY=TU"], start, zone, at) == week + 1
