"""What a policy says is what happens: calendars of their own, directions, deletes, owners, conflicts, modules switched off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger.schema import journal
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

TINY = {
    "contacts": 12,
    "leads": 2,
    "appointments": 24,
    "calls": 2,
    "service_calls": 2,
    "tasks": 2,
    "opportunities": 4,
    "cases": 2,
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, sizes=TINY) as running:
        yield running


async def cycle(service: Service) -> dict[str, Any]:
    report = await service.sync("Demo", "admin")
    assert_idle(report)
    return report


async def settled(place: Town, service: Service) -> None:
    """Two quiet cycles: the echoes of the last writes, then nothing."""
    await cycle(service)
    place.reset()
    assert (await cycle(service))["totals"]["writes"] == 0
    assert place.writes() == {}
    assert_no_doubles(place)
    await assert_all_green(service)


def record_of(item: dict[str, Any]) -> str:
    """The CRM record that an item of a mailbox mirrors."""
    for entry in item.get("clientData", []):
        if entry["key"] == "syncline_key":
            return str(entry["value"].split(".")[1])
    return str(item["extendedProperties"]["private"]["syncline_key"].split(".")[1])


def ours(found: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Those items that mirror records of one object (``003`` contacts, ``00U`` events)."""
    return [one for one in found if f"'c.{prefix}" in str(one) and "recurringEventId" not in one]


async def test_a_calendar_of_its_own(place: Town, tmp_path: Path) -> None:
    """In mode ``separate`` the CRM's events stand in a calendar of their own, and everything in it is the CRM's."""
    user = place.users[0]
    own = {event["id"] for event in place.events(user)}
    policy = 'enabled = true\n[policies.Demo.calendar]\nmode = "separate"\nname = "Customers"'
    async with engine(tmp_path, place.config(policy=policy)) as service:
        await cycle(service)
        lists = place.google(user, "GET", "calendar/v3/users/me/calendarList")["items"]
        [calendar] = [one["id"] for one in lists if one["summary"] == "Customers"]
        path = f"calendar/v3/calendars/{calendar}/events"
        assert len(place.google(user, "GET", path)["items"]) > 10
        # What others invited the owner to stands in his default calendar as ever; nothing of ours does.
        assert not [
            event for event in place.events(user) if event["id"] not in own and "syncline" in str(event)
        ]
        body = {
            "summary": "Lunch with a customer",
            "start": {"dateTime": f"{day(11)}T12:00:00Z"},
            "end": {"dateTime": f"{day(11)}T13:00:00Z"},
        }
        place.google(user, "POST", path, json=body)
        await cycle(service)
        rows = place.soql("SELECT Id FROM Event WHERE Subject = 'Lunch with a customer'")
        assert len(rows) == 1
        await settled(place, service)


async def test_one_way_to_the_mailbox(place: Town, tmp_path: Path) -> None:
    """Contacts flow to the mailbox only: what is edited there stays there, and the CRM's later edit still comes."""
    user = place.users[0]
    policy = 'enabled = true\n[policies.Demo.modules.contact]\ndirection = "crm-to-mailbox"'
    async with engine(tmp_path, place.config(policy=policy)) as service:
        await cycle(service)
        [edit] = place.edit("mailbox", user)
        before = place.soql("SELECT Id, SystemModstamp FROM Contact ORDER BY Id")
        await cycle(service)
        assert place.soql("SELECT Id, SystemModstamp FROM Contact ORDER BY Id") == before
        person = place.contact(user, edit["id"])
        assert edit["after"] in str(person)
        place.change("Contact", record_of(person), Department="Brand new")
        await cycle(service)
        assert "Brand new" in str(place.contact(user, edit["id"]))
        assert place.soql(
            "SELECT Id, SystemModstamp FROM Contact WHERE Department != 'Brand new' ORDER BY Id"
        ) == [row for row in before if row["Id"] != record_of(person)]


async def test_deletes_of_the_mailbox_are_mirrored_under_the_guard(place: Town, tmp_path: Path) -> None:
    """With ``mirror`` one delete reaches the CRM; a heap of deletes waits for an admin."""
    user = place.users[0]
    policy = 'enabled = true\nmailbox_deletes = "mirror"\n[policies.Demo.delete_safety]\ncontacts = { count = 3, percent = 100 }'
    async with engine(tmp_path, place.config(policy=policy)) as service:
        await cycle(service)
        await cycle(service)
        people = ours(place.contacts(user), "003")
        assert len(people) >= 5
        place.google(user, "DELETE", f"v1/{people[0]['resourceName']}:deleteContact")
        await cycle(service)
        assert place.soql(f"SELECT Id FROM Contact WHERE Id = '{record_of(people[0])}'") == []
        for person in people[1:]:
            place.google(user, "DELETE", f"v1/{person['resourceName']}:deleteContact")
        report = await service.sync("Demo", "admin")
        text = next(row["text"] for row in report["users"] if row["email"] == user)
        assert f"Delete Safety holds contact deletes in the crm: {len(people) - 1} deletes" in text
        kept = {row["Id"] for row in place.soql("SELECT Id FROM Contact")}
        assert {record_of(person) for person in people[1:]} <= kept
        assert service.store.users[user].held == len(people) - 1
        place.reset()
        await cycle(service)
        assert place.writes() == {}


async def test_a_contact_that_changes_its_owner_moves_to_the_other_mailbox(place: Town, tmp_path: Path) -> None:
    ann, juan = place.users
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        person = ours(place.contacts(ann), "003")[0]
        record = record_of(person)
        place.change("Contact", record, OwnerId=place.crm_user(juan))
        await cycle(service)
        assert [one for one in ours(place.contacts(ann), "003") if record_of(one) == record] == []
        [arrived] = [one for one in ours(place.contacts(juan), "003") if record_of(one) == record]
        assert place.groups(juan)["CRM Contacts"] in memberships(arrived)
        place.change("Contact", record, OwnerId=place.crm_user(ann))
        await cycle(service)
        assert len([one for one in ours(place.contacts(ann), "003") if record_of(one) == record]) == 1
        assert [one for one in ours(place.contacts(juan), "003") if record_of(one) == record] == []
        await settled(place, service)


@pytest.mark.parametrize(("rule", "winner"), [("crm", "From the CRM"), ("mailbox", "From the mailbox")])
async def test_the_same_field_on_both_sides(place: Town, tmp_path: Path, rule: str, winner: str) -> None:
    """The policy's rule decides, on both sides alike, and the loser can be read in the journal."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=f'enabled = true\nconflict = "{rule}"')) as service:
        await cycle(service)
        await cycle(service)
        event = next(one for one in ours(place.events(user), "00U") if "recurrence" not in one)
        place.change("Event", record_of(event), Subject="From the CRM")
        path = f"calendar/v3/calendars/primary/events/{event['id']}"
        place.google(user, "PATCH", path, json={"summary": "From the mailbox"})
        await cycle(service)
        row = place.soql(f"SELECT Subject FROM Event WHERE Id = '{record_of(event)}'")[0]
        assert (place.google(user, "GET", path)["summary"], row["Subject"]) == (winner, winner)
        loser = "From the mailbox" if rule == "crm" else "From the CRM"
        assert any("journal" in line.text for line in service.store.lines[user])
        found = await service._ledger.read(lambda connection: connection.execute(sa.select(journal)).all())
        assert any(loser in str(entry.before) for entry in found)
        await settled(place, service)


async def test_a_module_switched_off_deletes_nothing_and_comes_back(place: Town, tmp_path: Path) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        events = {event["id"] for event in place.events(user)}
        off = "enabled = true\n[policies.Demo.modules.appointment]\nenabled = false"
        assert (await service.apply(place.config(policy=off), "off.toml", "admin")).ok
        event = next(one for one in ours(place.events(user), "00U") if "recurrence" not in one)
        place.change("Event", record_of(event), Subject="Changed while off")
        await cycle(service)
        await cycle(service)
        assert {one["id"] for one in place.events(user)} == events
        assert (await service.apply(place.config(policy="enabled = true"), "on.toml", "admin")).ok
        await cycle(service)
        shown = {one["id"]: one for one in place.events(user)}
        assert set(shown) == events
        assert shown[event["id"]]["summary"] == "Changed while off"
        await settled(place, service)


async def test_a_series_is_moved_shortened_and_deleted(place: Town, tmp_path: Path) -> None:
    """A series is edited as a whole on either side, then deleted in the CRM with all its changed occurrences."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        series = next(
            one for one in ours(place.events(user), "00U") if "recurrence" in one and "dateTime" in one["start"]
        )
        record = record_of(series)
        path = f"calendar/v3/calendars/primary/events/{series['id']}"
        place.google(user, "PATCH", path, json={"summary": "Renamed series", "location": "Upstairs"})
        await cycle(service)
        row = place.soql(f"SELECT Subject, Location FROM Event WHERE Id = '{record}'")[0]
        assert (row["Subject"], row["Location"]) == ("Renamed series", "Upstairs")
        place.change("Event", record, Location="Downstairs")
        await cycle(service)
        assert place.google(user, "GET", path)["location"] == "Downstairs"
        await settled(place, service)
        place.remove("Event", record)
        await cycle(service)
        left = [one for one in place.events(user) if series["id"] in (one["id"], one.get("recurringEventId"))]
        assert [one for one in left if one["status"] != "cancelled"] == []
        await settled(place, service)


async def test_an_opportunity_comes_is_renamed_and_goes(place: Town, tmp_path: Path) -> None:
    """A new opportunity gets a drop label with one mail, which follows its name, and goes with it."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        body = {
            "Name": "Fresh deal",
            "StageName": "Prospecting",
            "CloseDate": day(70),
            "OwnerId": place.crm_user(user),
        }
        made = place.crm("POST", "sobjects/Opportunity", json=body)["id"]
        await cycle(service)
        [label] = [one for one, name in place.labels(user).items() if name == "CRM/Opportunities/Fresh deal"]
        assert len([mail for mail in place.mails(user) if label in mail["labels"]]) == 1
        place.change("Opportunity", made, Name="Fresher deal")
        await cycle(service)
        names = place.labels(user)
        assert names.get(label) == "CRM/Opportunities/Fresher deal"
        assert len([mail for mail in place.mails(user) if label in mail["labels"]]) == 1
        place.remove("Opportunity", made)
        await cycle(service)
        assert "CRM/Opportunities/Fresher deal" not in place.labels(user).values()
        await settled(place, service)


async def test_an_edit_beats_a_delete_again_and_again(place: Town, tmp_path: Path) -> None:
    """What the owner deleted comes back when the CRM changes it afterwards: once, for every kind of item, twice in a row."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        await cycle(service)
        contact = record_of(ours(place.contacts(user), "003")[0])
        event = record_of(next(one for one in ours(place.events(user), "00U") if "recurrence" not in one))
        task = next(one for one in place.tasks(user) if one["status"] == "needsAction")
        task_id = task["notes"].split("[CRM:c.")[1].split(".")[0]
        deal = place.soql(
            f"SELECT Id, Name FROM Opportunity WHERE IsClosed = false AND OwnerId = '{place.crm_user(user)}' ORDER BY Id"
        )[0]
        for turn in ("first", "second"):
            person = next(one for one in ours(place.contacts(user), "003") if record_of(one) == contact)
            place.google(user, "DELETE", f"v1/{person['resourceName']}:deleteContact")
            [shown] = [one for one in ours(place.events(user), "00U") if record_of(one) == event]
            place.google(user, "DELETE", f"calendar/v3/calendars/primary/events/{shown['id']}")
            [listed] = [one for one in place.tasks(user) if f"c.{task_id}." in str(one.get("notes"))]
            place.google(user, "DELETE", f"tasks/v1/lists/{listed['list']}/tasks/{listed['id']}")
            [label] = [one for one, name in place.labels(user).items() if deal["Name"] in name]
            place.google(user, "DELETE", f"gmail/v1/users/me/labels/{label}")
            await cycle(service)
            await cycle(service)
            assert label not in place.labels(user)
            assert [one for one in ours(place.events(user), "00U") if record_of(one) == event] == []
            place.change("Contact", contact, Title=f"Back {turn}")
            place.change("Event", event, Location=f"Back {turn}")
            place.change("Task", task_id, Subject=f"Back {turn}")
            place.change("Opportunity", deal["Id"], NextStep=f"Back {turn}")
            await cycle(service)
            [person] = [one for one in ours(place.contacts(user), "003") if record_of(one) == contact]
            assert f"Back {turn}" in str(person)
            [shown] = [one for one in ours(place.events(user), "00U") if record_of(one) == event]
            assert shown["location"] == f"Back {turn}"
            [listed] = [one for one in place.tasks(user) if f"c.{task_id}." in str(one.get("notes"))]
            assert listed["title"] == f"Back {turn}"
            [label] = [one for one, name in place.labels(user).items() if deal["Name"] in name]
            assert len([mail for mail in place.mails(user) if label in mail["labels"]]) == 1
            await settled(place, service)
