"""15: "this and following". 16: deleted occurrences that come back. 17: edits of a series that has exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger.schema import journal
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
from tests.failure_cases.test_04_05_06_sources import MIRROR, forget_cursors

WEEKS = 8
FIRST = 9  # days from today


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY) as running:
        yield running


def week(number: int) -> str:
    """The date of an occurrence."""
    return day(FIRST + 7 * number)


def mail_series(place: Town, subject: str, **more: Any) -> dict[str, Any]:
    body = {
        "start": {"dateTime": f"{week(0)}T09:00:00Z", "timeZone": "UTC"},
        "end": {"dateTime": f"{week(0)}T09:30:00Z", "timeZone": "UTC"},
        "recurrence": [f"RRULE:FREQ=WEEKLY;COUNT={WEEKS}"],
    }
    return mail_event(place, place.users[0], subject, **(body | more))


def utc(moment: dict[str, str]) -> str:
    """One of Google's times in UTC, to the minute."""
    return datetime.fromisoformat(moment["dateTime"]).astimezone(UTC).isoformat()[:16]


def crm_series(place: Town, subject: str, first: int = 0, count: int = WEEKS) -> str:
    return crm_event(
        place,
        place.users[0],
        subject,
        f"{week(first)}T09:00:00Z",
        IsRecurrence2=True,
        Recurrence2PatternText=f"RRULE:FREQ=WEEKLY;COUNT={count}",
        Recurrence2PatternTimeZone="UTC",
        Recurrence2PatternStartDate=f"{week(first)}T09:00:00Z",
    )


def mail_dates(place: Town, event_id: str) -> dict[str, str]:
    """Original date to start, of the occurrences that the mailbox shows."""
    found = place.google(place.users[0], "GET", f"{PRIMARY}/{event_id}/instances")["items"]
    return {utc(one["originalStartTime"])[:10]: utc(one["start"]) for one in found}


def crm_dates(place: Town, record: str) -> dict[str, str]:
    """Original date to start, of the occurrences that the CRM shows."""
    rows = place.soql(
        "SELECT Id, Syncline_Occurrence__c, StartDateTime FROM Event "
        f"WHERE RecurrenceActivityId = '{record}' AND GroupEventType != '3'"
    )
    return {row["Syncline_Occurrence__c"][:10]: row["StartDateTime"][:16] for row in rows}


def crm_row(place: Town, record: str, number: int) -> str:
    """The CRM's row of one occurrence."""
    rows = place.soql(
        f"SELECT Id, Syncline_Occurrence__c FROM Event WHERE RecurrenceActivityId = '{record}' AND GroupEventType != '3'"
    )
    return str(next(row["Id"] for row in rows if row["Syncline_Occurrence__c"][:10] == week(number)))


async def pairs(place: Town, service: Service) -> tuple[dict[str, Any], str, dict[str, Any], str]:
    """A series that was made in the mailbox and one that was made in the CRM, each as (event, record)."""
    mine = mail_series(place, "Jour fixe mail")
    theirs = crm_series(place, "Jour fixe crm")
    await cycle(service)
    await cycle(service)
    record = place.soql("SELECT Id FROM Event WHERE Subject = 'Jour fixe mail' AND GroupEventType = '3'")[0][
        "Id"
    ]
    return mine, record, shown(place, place.users[0], theirs), theirs


async def test_15_this_and_following_leaves_both_halves_on_both_sides(place: Town, tmp_path: Path) -> None:
    """People split a series on either side; four cycles later nothing is gone and nothing is there twice."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR)) as service:
        await cycle(service)
        mine, record, event, theirs = await pairs(place, service)
        until = week(3).replace("-", "") + "T235959Z"
        place.google(
            user,
            "PATCH",
            f"{PRIMARY}/{mine['id']}",
            json={"recurrence": [f"RRULE:FREQ=WEEKLY;UNTIL={until}"]},
        )
        mail_series(
            place,
            "Jour fixe mail, later",
            start={"dateTime": f"{week(4)}T11:00:00Z", "timeZone": "UTC"},
            end={"dateTime": f"{week(4)}T11:30:00Z", "timeZone": "UTC"},
            recurrence=["RRULE:FREQ=WEEKLY;COUNT=4"],
        )
        place.change("Event", theirs, Recurrence2PatternText="RRULE:FREQ=WEEKLY;COUNT=4")
        crm_series(place, "Jour fixe crm, later", 4, 4)
        for _ in range(4):
            await cycle(service)
        wanted = ["Jour fixe crm", "Jour fixe crm, later", "Jour fixe mail", "Jour fixe mail, later"]
        assert subjects(place, "Jour fixe") == summaries(place, user, "Jour fixe") == wanted
        first = [week(number) for number in range(4)]
        for event_id, series in ((mine["id"], record), (event["id"], theirs)):
            assert sorted(mail_dates(place, event_id)) == sorted(crm_dates(place, series)) == first
        for row in place.soql(
            "SELECT Id, Subject FROM Event WHERE Subject LIKE 'Jour fixe%later' AND GroupEventType = '3'"
        ):
            [later] = [one for one in place.events(user) if one.get("summary") == row["Subject"]]
            assert len(mail_dates(place, later["id"])) == len(crm_dates(place, row["Id"])) == 4
        await settled(place, service)


async def test_16_deleted_occurrences_stay_deleted(place: Town, tmp_path: Path) -> None:
    """Cancelled here, deleted there, or left out by the rule: through edits of the series and a complete reading."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR)) as service:
        await cycle(service)
        mine, record, event, theirs = await pairs(place, service)
        for one in (mine, event):
            dates = place.google(user, "GET", f"{PRIMARY}/{one['id']}/instances")["items"]
            place.google(user, "DELETE", f"{PRIMARY}/{dates[2]['id']}")
        await cycle(service)
        for series in (record, theirs):
            place.remove("Event", crm_row(place, series, 4))
        await cycle(service)
        left = [week(number) for number in range(WEEKS) if number not in (2, 4)]
        at = week(1).replace("-", "") + "T090000Z"
        out = mail_series(
            place, "Left out", recurrence=[f"RRULE:FREQ=WEEKLY;COUNT={WEEKS}", f"EXDATE;TZID=UTC:{at[:-1]}"]
        )
        await cycle(service)
        excluded = place.soql("SELECT Id FROM Event WHERE Subject = 'Left out' AND GroupEventType = '3'")[0][
            "Id"
        ]
        for turn in range(3):
            for event_id, series in ((mine["id"], record), (event["id"], theirs)):
                assert sorted(mail_dates(place, event_id)) == sorted(crm_dates(place, series)) == left, turn
            for dates in (mail_dates(place, out["id"]), crm_dates(place, excluded)):
                assert sorted(dates) == [week(number) for number in range(WEEKS) if number != 1], turn
            if turn == 0:
                place.change("Event", record, Subject="Renamed there")
                place.google(user, "PATCH", f"{PRIMARY}/{event['id']}", json={"summary": "Renamed here"})
            elif turn == 1:
                forget_cursors(place)
            await cycle(service)
            await cycle(service)
        await settled(place, service)


async def test_17_an_edit_of_the_series_keeps_its_exceptions(place: Town, tmp_path: Path) -> None:
    """Three occurrences were moved; then the series gets another title and place, from either side."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR)) as service:
        await cycle(service)
        mine, record, event, theirs = await pairs(place, service)
        wanted = {week(number): f"{week(number)}T09:00" for number in range(WEEKS)}
        for number in (1, 3, 5):
            wanted[week(number)] = f"{week(number)}T14:00"
            for one in (mine, event):
                dates = place.google(user, "GET", f"{PRIMARY}/{one['id']}/instances")["items"]
                times = {
                    "start": {"dateTime": f"{week(number)}T14:00:00Z"},
                    "end": {"dateTime": f"{week(number)}T14:30:00Z"},
                }
                place.google(user, "PATCH", f"{PRIMARY}/{dates[number]['id']}", json=times)
        await cycle(service)
        await cycle(service)
        for turn in range(2):
            place.change("Event", record, Location=f"Upstairs {turn}")
            place.google(user, "PATCH", f"{PRIMARY}/{event['id']}", json={"location": f"Upstairs {turn}"})
            await cycle(service)
            await cycle(service)
            for event_id, series in ((mine["id"], record), (event["id"], theirs)):
                assert mail_dates(place, event_id) == wanted
                assert crm_dates(place, series) == wanted
                assert place.google(user, "GET", f"{PRIMARY}/{event_id}")["location"] == f"Upstairs {turn}"
                row = place.soql(f"SELECT Location FROM Event WHERE Id = '{series}'")[0]
                assert row["Location"] == f"Upstairs {turn}"
        await settled(place, service)


async def test_17_a_series_with_exceptions_is_moved_by_an_hour(place: Town, tmp_path: Path) -> None:
    """Google drops the exceptions of a series that is moved: the CRM's follow, and what was changed is in the journal."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR)) as service:
        await cycle(service)
        mine, record, *_ = await pairs(place, service)
        dates = place.google(user, "GET", f"{PRIMARY}/{mine['id']}/instances")["items"]
        for number in (1, 3, 5):
            place.google(user, "PATCH", f"{PRIMARY}/{dates[number]['id']}", json={"location": "Garden"})
        await cycle(service)
        times = {
            "start": {"dateTime": f"{week(0)}T10:00:00Z", "timeZone": "UTC"},
            "end": {"dateTime": f"{week(0)}T10:30:00Z", "timeZone": "UTC"},
        }
        place.google(user, "PATCH", f"{PRIMARY}/{mine['id']}", json=times)
        await cycle(service)
        await cycle(service)
        moved = {week(number): f"{week(number)}T10:00" for number in range(WEEKS)}
        assert mail_dates(place, mine["id"]) == moved
        assert crm_dates(place, record) == moved
        rows = place.soql(f"SELECT Location FROM Event WHERE RecurrenceActivityId = '{record}'")
        assert not [row for row in rows if row["Location"] == "Garden"], "both sides show the same"
        query = sa.select(journal.c.before).where(
            journal.c.side == "crm", journal.c.why.like("%series was moved%")
        )
        lost = await service._ledger.read(lambda connection: connection.execute(query).scalars().all())
        assert [row["location"] for row in lost] == ["Garden"] * 3
        await settled(place, service)


async def test_17_the_window_moves_past_the_start_of_a_series(place: Town, tmp_path: Path) -> None:
    """A series that began before the window still crosses over, and loses nothing when the window moves on."""
    user = place.users[0]
    narrow = MIRROR + "[policies.Demo.calendar]\npast_days = 20\n"
    began = (date.fromisoformat(TODAY) - timedelta(days=28)).isoformat()
    async with engine(tmp_path, place.config(policy=MIRROR)) as service:
        await cycle(service)
        times = {
            "start": {"dateTime": f"{began}T09:00:00Z", "timeZone": "UTC"},
            "end": {"dateTime": f"{began}T09:30:00Z", "timeZone": "UTC"},
        }
        old = mail_series(place, "Old round", recurrence=["RRULE:FREQ=WEEKLY;COUNT=12"], **times)
        dates = place.google(user, "GET", f"{PRIMARY}/{old['id']}/instances")["items"]
        place.google(user, "PATCH", f"{PRIMARY}/{dates[0]['id']}", json={"location": "Garden"})
        await cycle(service)
        await cycle(service)
        record = place.soql("SELECT Id FROM Event WHERE Subject = 'Old round' AND GroupEventType = '3'")[0][
            "Id"
        ]
        before = crm_dates(place, record)
        assert len(before) == 12
        assert (await service.apply(place.config(policy=narrow), "narrow.toml", "admin")).ok
        await cycle(service)
        place.google(user, "PATCH", f"{PRIMARY}/{dates[9]['id']}", json={"location": "Attic"})
        await cycle(service)
        assert crm_dates(place, record) == before
        rows = place.soql(f"SELECT Location FROM Event WHERE RecurrenceActivityId = '{record}'")
        assert {"Garden", "Attic"} <= {row["Location"] for row in rows}
        assert utc(dates[0]["start"])[:10] == began
        assert summaries(place, user, "Old round") == ["Old round"]
        await settled(place, service)
