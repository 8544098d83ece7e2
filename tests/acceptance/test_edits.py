"""What people do on one side is on the other after the next cycle, once; then everything is quiet again."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from engine.service import Service
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    assert_no_doubles,
    day,
    engine,
    memberships,
    town,
)

SIZES = {
    "contacts": 120,
    "leads": 4,
    "appointments": 40,
    "calls": 4,
    "service_calls": 4,
    "tasks": 6,
    "opportunities": 6,
    "cases": 2,
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("edits"), users=1, sizes=SIZES) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(place: Town, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The company after its first sync; each test leaves it quiet."""
    async with engine(tmp_path_factory.mktemp("engine"), place.config(policy="enabled = true")) as running:
        assert_idle(await running.sync("Demo", "admin"))
        assert_idle(await running.sync("Demo", "admin"))
        yield running


async def cycle(service: Service) -> dict[str, Any]:
    """One cycle, which must end well."""
    report = await service.sync("Demo", "admin")
    assert_idle(report)
    return report


async def quiet(place: Town, service: Service) -> None:
    """No guest has heard of anything, and the next cycle writes nothing, neither here nor there."""
    assert place.stats()["google.mails"] == 0
    place.reset()
    assert (await cycle(service))["totals"]["writes"] == 0
    assert place.writes() == {}
    assert_no_doubles(place)
    await assert_all_green(service)


def by_mark(found: list[dict[str, Any]], record: str) -> dict[str, Any]:
    """The one item that mirrors a CRM record."""
    hits = [item for item in found if f"c.{record}." in str(item)]
    assert len(hits) == 1, f"{len(hits)} items carry the mark of {record}"
    return hits[0]


def phone_at_work(person: dict[str, Any]) -> str | None:
    return next((one["value"] for one in person.get("phoneNumbers", []) if one.get("type") == "work"), None)


def title_of(person: dict[str, Any]) -> str | None:
    return next((one.get("title") for one in person.get("organizations", [])), None)


async def test_edits_of_contacts_cross_over(place: Town, service: Service) -> None:
    """One edit on each side, then a hundred on each side: all of them are on the other side after one cycle."""
    user = place.users[0]
    for count in (1, 100):
        crm = place.edit("crm", user, count, seed=count)
        await cycle(service)
        people = place.contacts(user)
        for change in crm:
            person = by_mark(people, change["id"])
            shown = title_of(person) if change["field"] == "Title" else phone_at_work(person)
            assert shown == change["after"], change
        mailbox = place.edit("mailbox", user, count, seed=count + 1)
        await cycle(service)
        people = place.contacts(user)
        rows = {row["Id"]: row for row in place.soql("SELECT Id, Phone, Title FROM Contact")}
        for change in mailbox:
            person = next(one for one in people if one["resourceName"] == change["id"])
            record = person["clientData"][0]["value"].split(".")[1]
            if record in rows:  # a lead is edited like a contact
                column = "Title" if change["field"] == "title" else "Phone"
                assert rows[record][column] == change["after"], change
        await quiet(place, service)


async def test_a_contact_made_in_the_mailbox_appears_in_the_crm_once(place: Town, service: Service) -> None:
    """In the CRM's group it becomes a record; outside of it, it is nobody's business."""
    user = place.users[0]
    group = place.groups(user)["CRM Contacts"]
    for family, groups in (("Neumeier", [group]), ("Privatmann", [])):
        body = {
            "names": [{"givenName": "Nora", "familyName": family}],
            "emailAddresses": [{"value": f"nora@{family.lower()}.example", "type": "work"}],
            "memberships": [{"contactGroupMembership": {"contactGroupResourceName": one}} for one in groups],
        }
        place.google(user, "POST", "v1/people:createContact", json=body)
    await cycle(service)
    found = place.soql("SELECT LastName, Email, OwnerId FROM Contact WHERE FirstName = 'Nora'")
    assert [(row["LastName"], row["Email"], row["OwnerId"]) for row in found] == [
        ("Neumeier", "nora@neumeier.example", place.crm_user(user))
    ]
    await quiet(place, service)


async def test_an_appointment_in_our_colour_appears_in_the_crm_once(place: Town, service: Service) -> None:
    """An event that the owner paints in the colour of CRM appointments becomes one; any other stays private."""
    user = place.users[0]
    ours = next(event for event in place.events(user) if "'syncline_kind': 'appointment'" in str(event))
    mark = {"colorId": ours["colorId"]}
    times = {
        "start": {"dateTime": f"{day(10)}T10:00:00Z"},
        "end": {"dateTime": f"{day(10)}T11:00:00Z"},
    }
    path = "calendar/v3/calendars/primary/events"
    place.google(user, "POST", path, json={"summary": "Painted", **times, **mark})
    place.google(user, "POST", path, json={"summary": "Plain", **times})
    await cycle(service)
    rows = place.soql("SELECT Subject, StartDateTime FROM Event WHERE Subject IN ('Painted', 'Plain')")
    assert [(row["Subject"], row["StartDateTime"][:16]) for row in rows] == [("Painted", f"{day(10)}T10:00")]
    await quiet(place, service)


async def test_deletes_follow_the_policy(place: Town, service: Service) -> None:
    """What the CRM deletes leaves the mailbox; what the mailbox deletes stays in the CRM."""
    user = place.users[0]
    people = [person for person in place.contacts(user) if "'c.003" in str(person)]
    in_crm, in_mailbox = people[0], people[1]
    crm_id, kept_id = (one["clientData"][0]["value"].split(".")[1] for one in (in_crm, in_mailbox))
    place.remove("Contact", crm_id)
    place.google(user, "DELETE", f"v1/{in_mailbox['resourceName']}:deleteContact")
    event = next(one for one in place.events(user) if "c.00U" in str(one) and "recurrence" not in one)
    event_id = event["extendedProperties"]["private"]["syncline_key"].split(".")[1]
    place.remove("Event", event_id)
    await cycle(service)
    left = [person["resourceName"] for person in place.contacts(user)]
    assert in_crm["resourceName"] not in left
    assert in_mailbox["resourceName"] not in left  # it does not come back
    assert [row["Id"] for row in place.soql(f"SELECT Id FROM Contact WHERE Id = '{kept_id}'")] == [kept_id]
    assert event["id"] not in [one["id"] for one in place.events(user)]
    await quiet(place, service)


async def test_a_series_with_a_moved_and_a_cancelled_occurrence(place: Town, service: Service) -> None:
    """Moving and cancelling single occurrences in the mailbox is told to the CRM, whose own changes come back."""
    user = place.users[0]
    series = next(
        event
        for event in place.events(user)
        if "recurrence" in event and "dateTime" in event["start"] and "c.00U" in str(event)
    )
    record = series["extendedProperties"]["private"]["syncline_key"].split(".")[1]
    path = f"calendar/v3/calendars/primary/events/{series['id']}/instances"
    changed = {
        one["id"]
        for one in place.events(user, showDeleted="true")
        if one.get("recurringEventId") == series["id"]
    }
    free = [one for one in place.google(user, "GET", path)["items"] if one["id"] not in changed]
    moved, cancelled = free[-1], free[-2]
    assert moved["start"]["dateTime"] != cancelled["start"]["dateTime"]
    event_path = "calendar/v3/calendars/primary/events/"
    place.google(user, "PATCH", event_path + moved["id"], json={"summary": "Moved away", "location": "Room 9"})
    place.google(user, "DELETE", event_path + cancelled["id"])
    await cycle(service)
    rows = place.soql(
        "SELECT Subject, Location, IsRecurrence2Exception FROM Event "
        f"WHERE RecurrenceActivityId = '{record}' AND Subject = 'Moved away'"
    )
    assert [(row["Location"], row["IsRecurrence2Exception"]) for row in rows] == [("Room 9", True)]
    original = cancelled["originalStartTime"]["dateTime"]
    alive = place.soql(
        f"SELECT Id, Syncline_Occurrence__c FROM Event WHERE RecurrenceActivityId = '{record}' AND GroupEventType != '3'"
    )
    assert datetime.fromisoformat(original) not in [
        datetime.fromisoformat(row["Syncline_Occurrence__c"]) for row in alive
    ]
    await quiet(place, service)

    # The CRM moves another occurrence by an hour.
    other = free[-3]
    begin = datetime.fromisoformat(other["originalStartTime"]["dateTime"])
    row = next(one for one in alive if datetime.fromisoformat(one["Syncline_Occurrence__c"]) == begin)
    place.change("Event", row["Id"], **{"Location": "Moved by the CRM"})
    await cycle(service)
    shown = place.google(user, "GET", event_path + other["id"])
    assert shown["location"] == "Moved by the CRM"
    await quiet(place, service)


async def test_an_all_day_event_moves_by_a_day(place: Town, service: Service) -> None:
    """All-day is a date on both sides; nothing slips by a time zone."""
    user = place.users[0]
    event = next(
        one
        for one in place.events(user)
        if "date" in one["start"] and "recurrence" not in one and "c.00U" in str(one)
    )
    record = event["extendedProperties"]["private"]["syncline_key"].split(".")[1]
    path = f"calendar/v3/calendars/primary/events/{event['id']}"
    place.google(user, "PATCH", path, json={"start": {"date": day(33)}, "end": {"date": day(35)}})
    await cycle(service)
    row = place.soql(f"SELECT IsAllDayEvent, StartDateTime, EndDateTime FROM Event WHERE Id = '{record}'")[0]
    assert row["IsAllDayEvent"] is True
    assert (row["StartDateTime"][:10], row["EndDateTime"][:10]) == (day(33), day(34))
    place.change(
        "Event",
        record,
        **{"StartDateTime": f"{day(37)}T00:00:00.000Z", "EndDateTime": f"{day(37)}T00:00:00.000Z"},
    )
    await cycle(service)
    shown = place.google(user, "GET", path)
    assert (shown["start"]["date"], shown["end"]["date"]) == (day(37), day(38))
    await quiet(place, service)


async def test_a_task_is_ticked_off_on_either_side(place: Town, service: Service) -> None:
    """Done in the mailbox is done in the CRM, and the other way round."""
    user = place.users[0]
    open_tasks = [task for task in place.tasks(user) if task["status"] == "needsAction"]
    here, there = open_tasks[0], open_tasks[1]
    here_id, there_id = (task["notes"].split("[CRM:c.")[1].split(".")[0] for task in (here, there))
    path = f"tasks/v1/lists/{here['list']}/tasks/"
    place.google(user, "PATCH", path + here["id"], json={"status": "completed"})
    place.change("Task", there_id, **{"Status": "Completed"})
    await cycle(service)
    row = place.soql(f"SELECT Status, IsClosed FROM Task WHERE Id = '{here_id}'")[0]
    assert row["IsClosed"] is True
    assert place.google(user, "GET", path + there["id"])["status"] == "completed"
    await quiet(place, service)


async def test_a_new_stage_replaces_the_quick_connect_mail(place: Town, service: Service) -> None:
    """The drop label keeps exactly one mail, with the new stage; a closed record's label goes or stays as one."""
    user = place.users[0]
    labels = {name: one for one, name in place.labels(user).items() if name.startswith("CRM/Opportunities/")}
    row = next(
        one
        for one in place.soql("SELECT Id, Name, StageName FROM Opportunity WHERE IsClosed = false")
        if f"CRM/Opportunities/{one['Name'].replace('/', '-')}" in labels
    )
    label = labels[f"CRM/Opportunities/{row['Name'].replace('/', '-')}"]
    stage = "Negotiation/Review" if row["StageName"] != "Negotiation/Review" else "Qualification"
    place.change("Opportunity", row["Id"], **{"StageName": stage})
    await cycle(service)
    mails = [mail for mail in place.mails(user) if label in mail["labels"]]
    assert len(mails) == 1
    raw = place.google(user, "GET", f"gmail/v1/users/me/messages/{mails[0]['id']}", params={"format": "full"})
    text = "".join(
        base64.urlsafe_b64decode(part["body"]["data"]).decode()
        for part in raw["payload"].get("parts", [raw["payload"]])
        if part["mimeType"] == "text/plain"
    )
    assert stage in text
    await quiet(place, service)


async def test_both_sides_edit_different_fields_of_one_contact(place: Town, service: Service) -> None:
    """Nobody loses: a new title in the CRM and a new telephone in the mailbox stand together on both sides."""
    user = place.users[0]
    person = next(one for one in place.contacts(user) if "'c.003" in str(one))
    record = person["clientData"][0]["value"].split(".")[1]
    place.change("Contact", record, **{"Title": "Chief of Everything"})
    body = {
        "etag": person["etag"],
        "nicknames": [{"value": "Chief"}],
        "phoneNumbers": [{"value": "+49 30 901812", "type": "work"}],
    }
    place.google(
        user,
        "PATCH",
        f"v1/{person['resourceName']}:updateContact",
        params={"updatePersonFields": "phoneNumbers,nicknames"},
        json=body,
    )
    await cycle(service)
    shown = place.google(
        user,
        "GET",
        f"v1/{person['resourceName']}",
        params={"personFields": "organizations,phoneNumbers,nicknames,memberships"},
    )
    row = place.soql(f"SELECT Title, Phone FROM Contact WHERE Id = '{record}'")[0]
    assert title_of(shown) == row["Title"] == "Chief of Everything"
    assert phone_at_work(shown) == row["Phone"] == "+49 30 901812"
    assert shown["nicknames"][0]["value"] == "Chief"  # what we do not synchronise survives our write
    assert memberships(shown)
    await quiet(place, service)


async def test_a_series_made_in_the_mailbox_arrives_with_its_changed_occurrences(
    place: Town, service: Service
) -> None:
    """A weekly meeting in our colour, one date moved and one cancelled before anybody looked."""
    user = place.users[0]
    ours = next(event for event in place.events(user) if "'syncline_kind': 'appointment'" in str(event))
    path = "calendar/v3/calendars/primary/events"
    body = {
        "summary": "Weekly round",
        "colorId": ours["colorId"],
        "start": {"dateTime": f"{day(16)}T09:00:00", "timeZone": "UTC"},
        "end": {"dateTime": f"{day(16)}T09:30:00", "timeZone": "UTC"},
        "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=6"],
    }
    made = place.google(user, "POST", path, json=body)
    dates = place.google(user, "GET", f"{path}/{made['id']}/instances")["items"]
    place.google(user, "PATCH", f"{path}/{dates[1]['id']}", json={"location": "Garden"})
    place.google(user, "DELETE", f"{path}/{dates[2]['id']}")
    await cycle(service)
    await cycle(service)
    [series] = place.soql(
        "SELECT Id, Recurrence2PatternText FROM Event WHERE Subject = 'Weekly round' AND GroupEventType = '3'"
    )
    rows = place.soql(
        "SELECT Location, Syncline_Occurrence__c FROM Event "
        f"WHERE RecurrenceActivityId = '{series['Id']}' AND GroupEventType != '3' ORDER BY Syncline_Occurrence__c"
    )
    assert [(row["Syncline_Occurrence__c"][:10], row["Location"]) for row in rows] == [
        (day(16), None),
        (day(23), "Garden"),
        (day(37), None),
        (day(44), None),
        (day(51), None),
    ]
    await quiet(place, service)


async def test_an_own_contact_is_put_into_the_crms_group(place: Town, service: Service) -> None:
    """What was private becomes a CRM contact when its owner says so; taken out again, it stays linked."""
    user = place.users[0]
    group = place.groups(user)["CRM Contacts"]
    body = {"names": [{"givenName": "Otto", "familyName": "Eigen"}], "biographies": [{"value": "plays chess"}]}
    made = place.google(user, "POST", "v1/people:createContact", json=body)["resourceName"]
    await cycle(service)
    assert place.soql("SELECT Id FROM Contact WHERE LastName = 'Eigen'") == []
    members = f"v1/{group}/members:modify"
    place.google(user, "POST", members, json={"resourceNamesToAdd": [made]})
    await cycle(service)
    [row] = place.soql("SELECT Id, Description FROM Contact WHERE LastName = 'Eigen'")
    assert row["Description"] == "plays chess"
    place.google(user, "POST", members, json={"resourceNamesToRemove": [made]})
    await cycle(service)
    assert len(place.soql("SELECT Id FROM Contact WHERE LastName = 'Eigen'")) == 1
    assert place.contact(user, made)["names"][0]["familyName"] == "Eigen"
    await quiet(place, service)


async def test_a_task_written_in_the_mailbox_appears_in_the_crm_once(place: Town, service: Service) -> None:
    user = place.users[0]
    listed = next(task["list"] for task in place.tasks(user) if "[CRM:" in str(task.get("notes")))
    body = {"title": "Call the printer", "notes": "before noon", "due": f"{day(12)}T00:00:00Z"}
    place.google(user, "POST", f"tasks/v1/lists/{listed}/tasks", json=body)
    await cycle(service)
    rows = place.soql("SELECT Subject, Description, ActivityDate FROM Task WHERE Subject = 'Call the printer'")
    assert [(row["Description"], row["ActivityDate"]) for row in rows] == [("before noon", day(12))]
    await quiet(place, service)
