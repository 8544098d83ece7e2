"""The window of CalendarSynchronization on what Exchange gives: made in Outlook and made by us, in zones from UTC-12 to UTC+14.

Each item is asked about a second before its edge, on it and a second after it, as first and as later run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.mailbox.exchange import zones
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Account
from engine.sync.window import Window, is_in
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import create, done, read
from tests.sandbox.exchange.office import ANNA

#: Zone, and days on which its clocks change; Santiago's skip midnight.
ZONES: Mapping[str, tuple[str, ...]] = {
    "Etc/GMT+12": (),
    "Pacific/Marquesas": (),
    "America/St_Johns": ("2026-03-08", "2026-11-01"),
    "America/Santiago": ("2026-04-05", "2026-09-06"),
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "Asia/Kathmandu": (),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Pacific/Chatham": ("2026-04-05", "2026-09-27"),
    "Pacific/Kiritimati": (),
}
NOON = datetime(2026, 4, 15, 10, 30, 17, tzinfo=UTC)


def item(subject: str, zone: str, start: datetime, end: datetime, more: str = "") -> str:
    """An appointment as Outlook makes it."""
    name = zones.windows_of(zone)
    assert name is not None
    return (
        f"<t:CalendarItem><t:Subject>{subject}</t:Subject><t:Start>{stamp(start)}</t:Start><t:End>{stamp(end)}</t:End>"
        f'{more}<t:StartTimeZone Id="{name}"/><t:EndTimeZone Id="{name}"/></t:CalendarItem>'
    )


def stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def local(day: date, zone: str) -> datetime:
    """Where a day begins."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def ends(zone: str) -> dict[str, tuple[str, datetime]]:
    """What is made in a zone: subject to (element, the moment at which it ends)."""
    found: dict[str, tuple[str, datetime]] = {}
    for text in (*ZONES[zone], "2026-01-15"):
        for ahead in (-1, 0):  # it ends on the day of the change, and with the day after
            first = date.fromisoformat(text) + timedelta(days=ahead)
            start, end = local(first, zone), local(first + timedelta(days=1), zone)
            days = f"{zone} {first}"
            found[days] = (item(days, zone, start, end, "<t:IsAllDayEvent>true</t:IsAllDayEvent>"), end)
    for hours in (0, 11):
        end = NOON + timedelta(hours=hours)
        found[f"{zone} {end}"] = (item(f"{zone} {end}", zone, end - timedelta(days=2), end), end)
    return found


def assert_exact(fields: Mapping[str, Any], end: datetime, zone: str) -> None:
    """The item is in up to the second at which it ends, and out from the next one, in first and in later runs."""
    for past in (180, None):
        for second, inside in ((-1, True), (0, True), (1, False)):
            edge = end + timedelta(seconds=second)
            now = int((edge + timedelta(days=past or 0)).timestamp() * 1000)
            assert is_in(fields, Window(now, past, zone)) is inside, (fields, past, second)


@pytest.mark.parametrize("zone", ZONES)
async def test_both_sides_of_the_edge_are_exact_in_every_zone(box: Mailbox, zone: str) -> None:
    account = Account(ANNA, zone, "005A")
    scope = type(box.calendar)(box.calendar.key, box.calendar.remote_id, box.calendar.modules, account)
    _, cursor = await read(box.connector, scope)
    made = ends(zone)
    box.lab.office.call(
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:SavedItemFolderId><t:DistinguishedFolderId Id="calendar"/>'
        f"</m:SavedItemFolderId><m:Items>{''.join(text for text, _ in made.values())}</m:Items></m:CreateItem>"
    )
    seen, cursor = await read(box.connector, scope, cursor)
    by_subject = {one.fields["subject"]: one.fields for one in seen}
    assert by_subject.keys() == made.keys()
    for subject, (_, end) in made.items():
        assert_exact(by_subject[subject], end, zone)
        if "date" in by_subject[subject]["start"]:
            assert by_subject[subject]["start"]["date"] == subject.split()[-1]
    # Of our own making: what the write leaves, and what the feed then shows, is judged the same.
    days = [date.fromisoformat(text) for text in (*ZONES[zone], "2026-01-15")]
    writes = {
        f"ours {day}": {
            "start": dict(canonical.all_day(day)),
            "end": dict(canonical.all_day(day + timedelta(days=1))),
        }
        for day in days
    }
    writes["ours timed"] = {
        "start": dict(canonical.moment(NOON - timedelta(hours=1), zone)),
        "end": dict(canonical.moment(NOON, zone)),
    }
    left = await done(
        box.connector,
        scope,
        *(
            create(Module.APPOINTMENT, f"a.{name}", {"subject": name, **times})
            for name, times in writes.items()
        ),
    )
    for one in [*left, *(await read(box.connector, scope))[0]]:
        name = one.fields["subject"]
        if name == "ours timed":
            assert_exact(one.fields, NOON, zone)
        elif name.startswith("ours "):
            assert_exact(one.fields, local(date.fromisoformat(name[5:]) + timedelta(days=1), zone), zone)
