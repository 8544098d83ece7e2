"""The newcomer's story with Exchange: real processes and sockets, and all of it read back by plain SOAP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from engine.service import DisablePolicy, JobState, LeavePolicy, Service, UndoCycle
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.town import Town, assert_all_green, assert_idle, committed, day, engine, town

SIZES = {
    "contacts": 6,
    "leads": 2,
    "appointments": 8,
    "calls": 2,
    "service_calls": 2,
    "tasks": 2,
    "opportunities": 2,
    "cases": 1,
}
BOTH = 'enabled = true\nmailbox_deletes = "mirror"\n[policies.Demo.modules.task]\ndirection = "both"\n'


async def cycle(service: Service) -> dict[str, Any]:
    """One cycle, which must end well."""
    report = await service.sync("Demo", "admin")
    assert_idle(report)
    return report


async def settled(room: Mailroom, service: Service) -> None:
    """At most one more cycle of echoes, then one that writes nothing; nobody was mailed, nothing is there twice."""
    await cycle(service)
    room.place.reset()
    assert (await cycle(service))["totals"]["writes"] == 0
    assert room.writes() == {}
    assert room.place.stats()["exchange.mails"] == 0
    room.assert_no_doubles()
    await assert_all_green(service)


def subject_of(place: Town, record: str) -> str:
    """The subject that the CRM shows."""
    [row] = place.soql(f"SELECT Subject FROM Event WHERE Id = '{record}'")
    return str(row["Subject"])


async def test_from_an_empty_policy_to_idle_and_one_call_for_each_folder(tmp_path: Path) -> None:
    with town(tmp_path, sizes=SIZES, options=SERVICES) as place:
        room = Mailroom(place)
        own = {user: room.own_things(user) for user in place.users}
        assert all(len(things) > 10 for things in own.values())
        place.reset()
        async with engine(tmp_path, room.config()) as service:
            # A preview writes nothing, and what it shows is what then happens.
            report = await service.preview("Demo", "admin")
            assert (report.previewed, report.faults) == (2, ())
            assert room.writes() == {}
            shown = sum(one.create for one in report.sums)
            answer = await service.apply(room.config("enabled = true"), "x", "admin")
            assert answer.ok
            first = await cycle(service)
            assert first["totals"]["writes"] == shown
            assert place.stats()["exchange.mails"] == 0
            room.assert_no_doubles()
            await assert_all_green(service)
            for user in place.users:
                things = room.own_things(user)
                assert things == own[user]
            marked = {
                item.shown.get("Categories") for user in place.users for item in room.calendar(user) if item.key
            }
            assert marked == {"CRM Appointment", "CRM Phone Call", "CRM Service Call"}
            await cycle(service)

            place.reset()
            units = committed(service)
            idle = await cycle(service)
            assert idle["totals"]["writes"] == 0
            assert room.writes() == {}
            assert room.asked() == {"SyncFolderItems": 3 * len(place.users)}
            assert not {"record_page", "take_flight"} & set(units)


async def test_edits_of_both_sides_arrive_and_each_keeps_what_the_other_did_not_touch(tmp_path: Path) -> None:
    with town(tmp_path, users=1, sizes=SIZES, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        async with engine(tmp_path, room.config(BOTH)) as service:
            await cycle(service)
            await cycle(service)
            events = [item for item in room.calendar(user) if item.record.startswith("00U")]
            plain = [
                item for item in events if "Recurrence" not in item.shown and "IsAllDayEvent" in item.shown
            ]
            one, two, three = plain[:3]
            [contact, *_] = [item for item in room.contacts(user) if item.record.startswith("003")]
            [task, *_] = [item for item in room.tasks(user) if item.record]
            # Two people edit different fields of one contact; others edit elsewhere.
            place.change("Contact", contact.record, Title="Head of CRM side")
            room.change(
                user,
                contact,
                "Contact",
                CompanyName=contact.shown.get("CompanyName", "Acme"),
                Department="Mailbox side",
            )
            room.change(user, one, "CalendarItem", Subject="Renamed in Outlook")
            place.change("Event", two.record, Subject="Renamed in the CRM", Location="Room 1")
            room.change(user, task, "Task", Status="Completed")
            room.remove(user, three)
            made = room.create(
                user,
                "calendar",
                "<t:CalendarItem><t:Subject>Made in Outlook</t:Subject><t:Categories><t:String>CRM Appointment</t:String>"
                f"</t:Categories><t:Start>{day(3)}T09:00:00Z</t:Start><t:End>{day(3)}T10:00:00Z</t:End></t:CalendarItem>",
            )
            await cycle(service)
            await settled(room, service)
            seen = room.shown(user, contact.record)
            assert (seen.shown["JobTitle"], seen.shown["Department"]) == ("Head of CRM side", "Mailbox side")
            [row] = place.soql(f"SELECT Title, Department FROM Contact WHERE Id = '{contact.record}'")
            assert (row["Title"], row["Department"]) == ("Head of CRM side", "Mailbox side")
            assert subject_of(place, one.record) == "Renamed in Outlook"
            seen = room.shown(user, two.record)
            assert (seen.shown["Subject"], seen.shown["Location"]) == ("Renamed in the CRM", "Room 1")
            assert place.soql(f"SELECT Id FROM Event WHERE Id = '{three.record}'") == []
            [row] = place.soql("SELECT Id, DurationInMinutes FROM Event WHERE Subject = 'Made in Outlook'")
            assert row["DurationInMinutes"] == 60
            [made_item] = room.get(user, [made])
            assert made_item.shown["Subject"] == "Made in Outlook"
            assert place.soql(f"SELECT Status FROM Task WHERE Id = '{task.record}'")[0]["Status"] == "Completed"


async def at_rest(service: Service) -> None:
    """What was asked for is done."""
    async with asyncio.timeout(30):
        while any(row.state is JobState.RUNNING for row in service.store.jobs.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_cycle_is_undone_and_a_mailbox_left_clean(tmp_path: Path) -> None:
    with town(tmp_path, users=1, sizes=SIZES, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        own, empty = room.own_things(user), room.portrait(user)
        async with engine(tmp_path, room.config(BOTH)) as service:
            await cycle(service)
            await cycle(service)
            before = room.portrait(user)
            contacts = [item for item in room.contacts(user) if item.record.startswith("003")]
            for contact in contacts[:2]:
                place.change("Contact", contact.record, Title="A mistake")
            [event, *_] = [item for item in room.calendar(user) if "Recurrence" in item.shown and item.key]
            place.change("Event", event.record, Subject="Another")
            await cycle(service)
            assert room.shown(user, contacts[0].record).shown["JobTitle"] == "A mistake"
            wrong = next(row for row in await service.cycles(user) if row.wrote)
            assert (await service.do(UndoCycle(wrong.id), "admin")).ok
            await at_rest(service)
            assert room.portrait(user) == before

            assert (await service.do(DisablePolicy("Demo"), "admin")).ok
            await at_rest(service)
            assert (await service.do(LeavePolicy("Demo"), "admin")).ok
            await at_rest(service)
            assert room.own_things(user) == own
            assert room.portrait(user) == empty
