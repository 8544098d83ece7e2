"""18: exceptions beyond a clock change. 19: all-day items that slip by a day. 20: the edges of the window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from engine.service import Service
from tests.acceptance.town import TODAY, Town, day, engine, town
from tests.failure_cases.scene import (
    PRIMARY,
    TINY,
    crm_event,
    cycle,
    mail_event,
    settled,
    shown,
    subjects,
    summaries,
)

ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "Asia/Jerusalem",
    "Australia/Sydney",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Auckland",
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY) as running:
        yield running


def clock_changes(name: str) -> list[date]:
    """The next two days on which the clocks of a zone change."""
    zone, found = ZoneInfo(name), []
    at = datetime.combine(date.fromisoformat(TODAY), datetime.min.time(), UTC) + timedelta(days=16)
    while len(found) < 2:
        if at.astimezone(zone).utcoffset() != (at + timedelta(days=1)).astimezone(zone).utcoffset():
            found.append((at + timedelta(days=1)).astimezone(zone).date())
        at += timedelta(days=1)
    return found


def instant(stamp: str) -> str:
    """A time stamp in UTC, to the minute."""
    return datetime.fromisoformat(stamp).astimezone(UTC).isoformat()[:16]


def crm_starts(place: Town, series: str) -> list[str]:
    rows = place.soql(
        f"SELECT StartDateTime FROM Event WHERE RecurrenceActivityId = '{series}' AND GroupEventType != '3'"
    )
    return sorted(instant(row["StartDateTime"]) for row in rows)


def mail_starts(place: Town, event_id: str) -> list[str]:
    found = place.google(place.users[0], "GET", f"{PRIMARY}/{event_id}/instances")["items"]
    return sorted(instant(one["start"]["dateTime"]) for one in found)


async def test_18_exceptions_keep_their_hour_over_clock_changes_in_eight_zones(
    place: Town, tmp_path: Path
) -> None:
    """Weekly at nine by the wall in each zone, over either change of clocks, with one date moved beyond it."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        made: dict[str, tuple[str, list[str]]] = {}
        theirs: dict[str, tuple[str, list[str]]] = {}
        for name in ZONES:
            zone = ZoneInfo(name)
            for change in clock_changes(name):
                first = datetime.combine(change - timedelta(days=10), datetime.min.time()).replace(hour=9)
                walls = [first + timedelta(days=7 * number) for number in range(4)]
                wanted = [wall.replace(tzinfo=zone).astimezone(UTC).isoformat()[:16] for wall in walls]
                times = [
                    {"dateTime": (first + timedelta(minutes=each)).isoformat(), "timeZone": name}
                    for each in (0, 30)
                ]
                rule = "RRULE:FREQ=WEEKLY;COUNT=4"
                subject = f"Clock mail {name} {change}"
                event = mail_event(place, user, subject, *times, recurrence=[rule])
                theirs_at = wanted[0] + ":00Z"
                record = crm_event(
                    place,
                    user,
                    f"Clock crm {name} {change}",
                    theirs_at,
                    IsRecurrence2=True,
                    Recurrence2PatternText=rule,
                    Recurrence2PatternTimeZone=name,
                    Recurrence2PatternStartDate=theirs_at,
                )
                theirs[record] = (name, wanted)
                # The third date, beyond the change, is moved to two o'clock by the wall.
                moved = walls[2].replace(hour=14).replace(tzinfo=zone)
                dates = place.google(user, "GET", f"{PRIMARY}/{event['id']}/instances")["items"]
                body = {
                    "start": {"dateTime": moved.isoformat(), "timeZone": name},
                    "end": {"dateTime": (moved + timedelta(minutes=30)).isoformat(), "timeZone": name},
                }
                place.google(user, "PATCH", f"{PRIMARY}/{dates[2]['id']}", json=body)
                late = moved.astimezone(UTC).isoformat()[:16]
                made[subject] = (event["id"], sorted([*wanted[:2], late, wanted[3]]))
        await cycle(service)
        await cycle(service)
        rows = place.soql(
            "SELECT Id, Subject FROM Event WHERE Subject LIKE 'Clock mail%' AND GroupEventType = '3'"
        )
        assert sorted(row["Subject"] for row in rows) == sorted(made)
        for row in rows:
            event_id, wanted = made[row["Subject"]]
            assert mail_starts(place, event_id) == wanted, row["Subject"]
            assert crm_starts(place, row["Id"]) == wanted, row["Subject"]
        for record, (name, wanted) in theirs.items():
            assert crm_starts(place, record) == wanted, name
            assert mail_starts(place, shown(place, user, record)["id"]) == wanted, name
        await settled(place, service)


OFFSETS = [f"Etc/GMT{-hours:+d}" if hours else "UTC" for hours in range(-12, 15, 2)]


async def live_in(place: Town, service: Service, zone: str) -> None:
    """The owner of the mailbox moves to another zone."""
    config = place.config(policy="enabled = true") + f'zone = "{zone}"\n'
    assert (await service.apply(config, "demo.toml", "admin")).ok


@pytest.mark.parametrize("half", range(2))
async def test_19_whole_days_stay_whole_days_in_every_zone(place: Town, tmp_path: Path, half: int) -> None:
    """From UTC-12 to UTC+14: items of one and of three days from either side, then two cycles without a write."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        wanted: dict[str, tuple[str, str]] = {}
        for number, zone in enumerate(OFFSETS[half::2]):
            await live_in(place, service, zone)
            first, days = day(20 + number), 1 + 2 * (number % 2)
            last = day(19 + number + days)
            wanted |= {f"Day {side} {zone}": (first, last) for side in ("mail", "crm")}
            mail_event(place, user, f"Day mail {zone}", {"date": first}, {"date": day(20 + number + days)})
            crm_event(
                place,
                user,
                f"Day crm {zone}",
                f"{first}T00:00:00Z",
                IsAllDayEvent=True,
                DurationInMinutes=1440 * days,
            )
            await cycle(service)
        for zone in (OFFSETS[0], OFFSETS[-1], "UTC"):
            await live_in(place, service, zone)
            place.reset()
            for _ in range(2):
                assert (await cycle(service))["totals"]["writes"] == 0
            assert place.writes() == {}
        rows = place.soql(
            "SELECT Subject, StartDateTime, EndDateTime, IsAllDayEvent FROM Event WHERE Subject LIKE 'Day %'"
        )
        assert all(row["IsAllDayEvent"] for row in rows)
        found = {row["Subject"]: (row["StartDateTime"][:10], row["EndDateTime"][:10]) for row in rows}
        assert len(rows) == len(wanted)
        assert found == wanted
        events = [one for one in place.events(user) if one.get("summary", "").startswith("Day ")]
        assert len(events) == len(wanted)
        for event in events:
            last = (date.fromisoformat(event["end"]["date"]) - timedelta(days=1)).isoformat()
            assert (event["start"]["date"], last) == wanted[event["summary"]]


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "UTC", "Etc/GMT-14"])
async def test_20_items_at_the_edges_of_the_window_are_there_once_or_not_at_all(
    place: Town, tmp_path: Path, zone: str
) -> None:
    """Within fourteen hours of either edge, timed and all-day, from either side; then the window moves on by a day."""
    user = place.users[0]
    window = "enabled = true\n[policies.Demo.calendar]\npast_days = {past}\nfuture_days = {future}"
    config = place.config(policy=window.format(past=30, future=60)) + f'zone = "{zone}"\n'
    now = datetime.now(UTC).replace(microsecond=0)
    async with engine(tmp_path, config) as service:
        await cycle(service)
        names: list[str] = []
        for days in (-30, 60):
            for hours in (-14, -12, -1, 0, 1, 12, 14):
                start = now + timedelta(days=days, hours=hours)
                end = start + timedelta(minutes=30)
                name = f"Edge {days} {hours}"
                names += [f"{name} mail", f"{name} crm"]
                moments = ({"dateTime": each.isoformat()} for each in (start, end))
                mail_event(place, user, f"{name} mail", *moments)
                crm_event(place, user, f"{name} crm", start.strftime("%Y-%m-%dT%H:%M:%SZ"))
            for shift in (-1, 0, 1):
                at = (now + timedelta(days=days + shift)).date()
                name = f"Edge {days} day {shift}"
                names += [f"{name} mail", f"{name} crm"]
                mail_event(
                    place,
                    user,
                    f"{name} mail",
                    {"date": at.isoformat()},
                    {"date": (at + timedelta(days=1)).isoformat()},
                )
                crm_event(
                    place, user, f"{name} crm", f"{at}T00:00:00Z", IsAllDayEvent=True, DurationInMinutes=1440
                )
        await cycle(service)

        def once() -> tuple[list[str], list[str]]:
            both = subjects(place, "Edge "), summaries(place, user, "Edge ")
            for found in both:
                assert len(set(found)) == len(found)
            assert set(both[0]) >= {name for name in names if name.endswith("crm")}
            assert set(both[1]) >= {name for name in names if name.endswith("mail")}
            return both

        before = once()
        for side, found in zip(("mail", "crm"), before, strict=True):
            assert {f"Edge -30 14 {side}", f"Edge 60 -14 {side}", f"Edge -30 day 1 {side}"} <= set(found)
            assert not {f"Edge -30 -14 {side}", f"Edge 60 14 {side}"} & set(found)
        place.reset()
        for _ in range(2):
            await cycle(service)
        assert place.writes() == {}
        # A day later what has come into the window crosses over, and nothing that has left it goes.
        later = place.config(policy=window.format(past=29, future=61)) + f'zone = "{zone}"\n'
        assert (await service.apply(later, "later.toml", "admin")).ok
        await cycle(service)
        after = once()
        for was, found in zip(before, after, strict=True):
            assert set(was) <= set(found)
            assert len(found) > len(was)
        await settled(place, service)
