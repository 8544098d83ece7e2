"""15, 20, 21 at Exchange: series that are split, the edges of the window, values that a server rewrites."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from engine.service import Service
from tests.acceptance.mailroom import SERVICES, Item, Mailroom
from tests.acceptance.test_exchange import BOTH, cycle, settled
from tests.acceptance.town import day, engine, town
from tests.failure_cases.scene import TINY, crm_event, subjects

WEEKS = 8
FIRST = 9  # days from today


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailroom]:
    with town(tmp_path_factory.mktemp("town"), users=1, sizes=TINY, options=SERVICES) as place:
        yield Mailroom(place)


def week(number: int) -> str:
    """The date of an occurrence."""
    return day(FIRST + 7 * number)


def event(subject: str, start: str, end: str, more: str = "", *, body: str = "") -> str:
    """An appointment in the CRM's category, as Outlook makes one; times are UTC."""
    return (
        f"<t:CalendarItem><t:Subject>{escape(subject)}</t:Subject>{body}"
        "<t:Categories><t:String>CRM Appointment</t:String></t:Categories>"
        f"<t:Start>{start}</t:Start><t:End>{end}</t:End>{more}</t:CalendarItem>"
    )


def weekly(first: str, ends: str) -> str:
    """A weekly pattern."""
    weekday = datetime.fromisoformat(first).strftime("%A")
    return (
        f"<t:Recurrence><t:WeeklyRecurrence><t:Interval>1</t:Interval><t:DaysOfWeek>{weekday}</t:DaysOfWeek>"
        f"</t:WeeklyRecurrence>{ends}</t:Recurrence>"
    )


def counted(first: str, times: int) -> str:
    """So many occurrences."""
    return (
        f"<t:NumberedRecurrence><t:StartDate>{first}</t:StartDate>"
        f"<t:NumberOfOccurrences>{times}</t:NumberOfOccurrences></t:NumberedRecurrence>"
    )


def until(first: str, last: str) -> str:
    """Occurrences up to a day."""
    return f"<t:EndDateRecurrence><t:StartDate>{first}</t:StartDate><t:EndDate>{last}</t:EndDate></t:EndDateRecurrence>"


UTC_ZONES = '<t:StartTimeZone Id="UTC"/><t:EndTimeZone Id="UTC"/>'


def mail_series(room: Mailroom, subject: str, first: int, times: int, hour: str = "09") -> str:
    """A person makes a weekly series in Outlook; its id."""
    pattern = weekly(week(first), counted(week(first), times)) + UTC_ZONES
    item = event(subject, f"{week(first)}T{hour}:00:00Z", f"{week(first)}T{hour}:30:00Z", pattern)
    return room.create(room.place.users[0], "calendar", item)


def crm_series(room: Mailroom, subject: str, first: int, times: int) -> str:
    """A person makes a weekly series in the CRM; its id."""
    at = f"{week(first)}T09:00:00Z"
    return crm_event(
        room.place,
        room.place.users[0],
        subject,
        at,
        IsRecurrence2=True,
        Recurrence2PatternText=f"RRULE:FREQ=WEEKLY;COUNT={times}",
        Recurrence2PatternTimeZone="UTC",
        Recurrence2PatternStartDate=at,
    )


def crm_children(room: Mailroom, subject: str, series: str) -> dict[str, str]:
    """The CRM's ids of the occurrences of a series, by their day."""
    rows = room.place.soql(
        f"SELECT Id, StartDateTime FROM Event WHERE Subject = '{subject}' AND Id != '{series}'"
    )
    return {row["StartDateTime"][:10]: row["Id"] for row in rows}


def mail_dates(room: Mailroom, first: str, last: str, like: str) -> dict[str, list[str]]:
    """What the calendar shows between two days: the starts of each subject that begins so."""
    [user] = room.place.users
    answer = room.call(
        user,
        '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>Default</t:BaseShape></m:ItemShape>'
        f'<m:CalendarView StartDate="{first}T00:00:00Z" EndDate="{last}T00:00:00Z"/>'
        '<m:ParentFolderIds><t:DistinguishedFolderId Id="calendar"/></m:ParentFolderIds></m:FindItem>',
    )
    found: dict[str, list[str]] = {}
    for node in answer.iter("{*}CalendarItem"):
        subject = str(node.findtext("{*}Subject"))
        if subject.startswith(like):
            found.setdefault(subject, []).append(str(node.findtext("{*}Start"))[:16])
    return {subject: sorted(starts) for subject, starts in found.items()}


def crm_dates(room: Mailroom, like: str) -> dict[str, list[str]]:
    """The starts of the CRM's events by subject, occurrences one by one."""
    rows = room.place.soql(
        f"SELECT Subject, StartDateTime FROM Event WHERE Subject LIKE '{like}%' AND GroupEventType != '3'"
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["Subject"], []).append(row["StartDateTime"][:16])
    return {subject: sorted(starts) for subject, starts in found.items()}


def repattern(room: Mailroom, item: Item | str, pattern: str) -> None:
    """A person gives a series another pattern."""
    identity = item if isinstance(item, str) else item.id
    room.call(
        room.place.users[0],
        '<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly" '
        'SendMeetingInvitationsOrCancellations="SendToNone"><m:ItemChanges><t:ItemChange>'
        f'<t:ItemId Id="{identity}"/><t:Updates><t:SetItemField><t:FieldURI FieldURI="calendar:Recurrence"/>'
        f"<t:CalendarItem>{pattern}</t:CalendarItem></t:SetItemField></t:Updates></t:ItemChange></m:ItemChanges>"
        "</m:UpdateItem>",
    )


async def test_15_this_and_following_leaves_both_halves_on_both_sides(room: Mailroom, tmp_path: Path) -> None:
    """People split a series on either side, with a changed date in each half; four cycles later all of it stands."""
    [user] = room.place.users
    async with engine(tmp_path, room.config(BOTH)) as service:
        mine = mail_series(room, "Jour fixe mail", 0, WEEKS)
        theirs = crm_series(room, "Jour fixe crm", 0, WEEKS)
        await cycle(service)
        await cycle(service)
        # Outlook and the CRM do it alike: the old series ends, and the rest of it is a new one.
        repattern(room, mine, weekly(week(0), until(week(0), week(3))))
        later = mail_series(room, "Jour fixe mail, later", 4, 4, "11")
        room.change(user, room.occurrence(user, mine, 2), "CalendarItem", Location="Garden")
        room.change(user, room.occurrence(user, later, 2), "CalendarItem", Location="Garden")
        room.place.change("Event", theirs, Recurrence2PatternText="RRULE:FREQ=WEEKLY;COUNT=4")
        crm_series(room, "Jour fixe crm, later", 4, 4)
        for _ in range(4):
            await cycle(service)
        wanted = {
            "Jour fixe mail": [f"{week(number)}T09:00" for number in range(4)],
            "Jour fixe mail, later": [f"{week(number)}T11:00" for number in range(4, WEEKS)],
            "Jour fixe crm": [f"{week(number)}T09:00" for number in range(4)],
            "Jour fixe crm, later": [f"{week(number)}T09:00" for number in range(4, WEEKS)],
        }
        assert mail_dates(room, week(0), week(WEEKS), "Jour fixe") == wanted
        assert crm_dates(room, "Jour fixe") == wanted
        rows = room.place.soql("SELECT StartDateTime FROM Event WHERE Location = 'Garden'")
        assert sorted(row["StartDateTime"][:16] for row in rows) == [
            f"{week(1)}T09:00",
            f"{week(5)}T11:00",
        ]
        await settled(room, service)


async def zone_of(room: Mailroom, service: Service, past: int, future: int, zone: str) -> None:
    """Another window, and another zone of the mailbox."""
    window = f"enabled = true\n[policies.Demo.calendar]\npast_days = {past}\nfuture_days = {future}"
    answer = await service.apply(room.config(window) + f'zone = "{zone}"\n', "window.toml", "admin")
    assert answer.ok, answer


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Etc/GMT-14"])
async def test_20_items_at_the_edges_of_the_window_are_there_once_or_not_at_all(
    room: Mailroom, tmp_path: Path, zone: str
) -> None:
    """Within fourteen hours of either edge, timed and all-day, from either side; then the window moves on by a day."""
    [user] = room.place.users
    tag = zone.rpartition("/")[2]
    now = datetime.now(UTC).replace(microsecond=0)
    names: set[str] = set()
    async with engine(tmp_path, room.config("enabled = true")) as service:
        await zone_of(room, service, 30, 60, zone)
        await cycle(service)
        for days in (-30, 60):
            for hours in (-14, -1, 1, 14):
                start, name = now + timedelta(days=days, hours=hours), f"Edge {tag} {days} {hours}"
                stamps = [f"{start + timedelta(minutes=each):%Y-%m-%dT%H:%M:%SZ}" for each in (0, 30)]
                room.create(user, "calendar", event(f"{name} mail", *stamps))
                crm_event(room.place, user, f"{name} crm", stamps[0])
                names |= {f"{name} mail", f"{name} crm"}
            for shift in (-1, 0, 1):
                at, name = (now + timedelta(days=days + shift)).date(), f"Edge {tag} {days} day {shift}"
                room.create(
                    user,
                    "calendar",
                    event(
                        f"{name} mail",
                        f"{at}T00:00:00Z",
                        f"{at + timedelta(days=1)}T00:00:00Z",
                        "<t:IsAllDayEvent>true</t:IsAllDayEvent>" + UTC_ZONES,
                    ),
                )
                crm_event(
                    room.place,
                    user,
                    f"{name} crm",
                    f"{at}T00:00:00Z",
                    IsAllDayEvent=True,
                    DurationInMinutes=1440,
                )
                names |= {f"{name} mail", f"{name} crm"}
        await cycle(service)

        def once() -> tuple[list[str], list[str]]:
            shown = [item.shown["Subject"] for item in room.calendar(user)]
            both = (
                subjects(room.place, f"Edge {tag} "),
                sorted(one for one in shown if one.startswith(f"Edge {tag} ")),
            )
            for found in both:
                assert len(set(found)) == len(found)
                assert set(found) <= names
            assert set(both[0]) >= {name for name in names if name.endswith("crm")}
            assert set(both[1]) >= {name for name in names if name.endswith("mail")}
            return both

        before = once()
        for side, found in zip(("mail", "crm"), before, strict=True):
            edge = f"Edge {tag}"
            assert {f"{edge} -30 14 {side}", f"{edge} 60 -14 {side}", f"{edge} -30 day 1 {side}"} <= set(found)
            assert not {f"{edge} -30 -14 {side}", f"{edge} 60 14 {side}"} & set(found)
        room.place.reset()
        for _ in range(2):
            await cycle(service)
        assert room.writes() == {}
        # A day later what has come into the window crosses over, and nothing that has left it goes.
        await zone_of(room, service, 29, 61, zone)
        await cycle(service)
        for was, found in zip(before, once(), strict=True):
            assert set(was) < set(found)
        await settled(room, service)


HTML = (
    '<html><head><meta http-equiv="Content-Type" content="text/html"></head><body><p><b>Agenda</b></p>'
    "<ol><li>Coffee ☕</li><li>&lt;none&gt; 🎉</li></ol></body></html>"
)


async def test_21_emoji_html_and_events_without_length_keep_still(room: Mailroom, tmp_path: Path) -> None:
    """What Exchange and the CRM make of such texts is no edit, no delete and no new item."""
    [user] = room.place.users
    async with engine(tmp_path, room.config(BOTH)) as service:
        await cycle(service)
        at = f"{day(12)}T09:00:00Z"
        body = f'<t:Body BodyType="HTML">{escape(HTML)}</t:Body>'
        made = room.create(user, "calendar", event("Odd 🎉 mail", at, at, body=body))
        text = "<b>Agenda</b><br>1. Coffee ☕<br>2. &lt;none&gt; 🎉\r\n\r\n"
        record = crm_event(room.place, user, "Odd 🎉 crm", at, DurationInMinutes=0, Description=text)
        person = {
            "FirstName": "Zoë 🎈",
            "LastName": "O'Brien-Łukasz & <Sons>",
            "Description": "line\r\n\r\n\r\nline \u200b🎉",
            "OwnerId": room.place.crm_user(user),
        }
        contact = room.place.crm("POST", "sobjects/Contact", json=person)["id"]
        for _ in range(3):
            await cycle(service)
        wanted = ["Odd 🎉 crm", "Odd 🎉 mail"]
        shown = [item.shown["Subject"] for item in room.calendar(user)]
        assert sorted(one for one in shown if one.startswith("Odd")) == wanted
        assert subjects(room.place, "Odd") == wanted
        item = room.shown(user, record)
        assert item.shown["Start"] <= item.shown["End"]
        assert "Coffee ☕" in item.shown["Body"]
        [row] = room.place.soql("SELECT Id, Description FROM Event WHERE Subject = 'Odd 🎉 mail'")
        assert "Coffee ☕" in row["Description"]
        assert "<ol>" not in row["Description"]
        # The person's own text keeps its form while the CRM changes something else.
        room.place.change("Event", row["Id"], Location="Room 9")
        room.change(user, item, "CalendarItem", Subject="Odd 🎈 crm")
        room.place.change("Contact", contact, Title="Boss 🎉")
        await cycle(service)
        assert subjects(room.place, "Odd 🎈") == ["Odd 🎈 crm"]
        [own] = room.get(user, [made])
        assert own.shown["Location"] == "Room 9"
        assert room.shown(user, contact).shown["JobTitle"] == "Boss 🎉"
        await settled(room, service)
        [row] = room.place.soql(f"SELECT FirstName, LastName, Description FROM Contact WHERE Id = '{contact}'")
        assert row["FirstName"] == person["FirstName"]
        assert row["LastName"] == person["LastName"]
        assert row["Description"] == person["Description"]


async def test_what_we_wrote_of_a_series_is_told_by_the_feed_and_asked_for_no_more(
    room: Mailroom, tmp_path: Path
) -> None:
    """A series with a changed and a cancelled date goes to Exchange; an idle cycle then costs a call for each folder."""
    async with engine(tmp_path, room.config(BOTH)) as service:
        made = crm_series(room, "Told once", 1, 5)
        await cycle(service)
        children = crm_children(room, "Told once", made)
        room.place.change("Event", children[week(2)], Location="Garden")
        await cycle(service)
        await settled(room, service)
        [user] = room.place.users
        [series] = [one for one in room.calendar(user) if one.shown.get("Subject") == "Told once"]
        assert room.occurrence(user, series, 2).shown["Location"] == "Garden"
        room.place.reset()
        await cycle(service)
        assert set(room.asked()) == {"SyncFolderItems"}


async def test_17_a_series_that_goes_on_longer_keeps_its_exceptions(room: Mailroom, tmp_path: Path) -> None:
    """Exchange forgets every changed and deleted occurrence of a series that gets another rule; nobody must lose them for it."""
    async with engine(tmp_path, room.config(BOTH)) as service:
        made = crm_series(room, "Longer", 1, 5)
        await cycle(service)
        children = crm_children(room, "Longer", made)
        room.place.change("Event", children[week(2)], Subject="Longer, in the garden")
        room.place.remove("Event", children[week(3)])
        await cycle(service)
        await settled(room, service)
        room.place.change("Event", made, Recurrence2PatternText="RRULE:FREQ=WEEKLY;COUNT=6")
        await cycle(service)
        await settled(room, service)
        plain = [f"{week(number)}T09:00" for number in (1, 4, 5, 6)]
        expected = {"Longer": plain, "Longer, in the garden": [f"{week(2)}T09:00"]}
        assert mail_dates(room, week(0), week(8), "Longer") == expected
        assert crm_dates(room, "Longer") == expected
