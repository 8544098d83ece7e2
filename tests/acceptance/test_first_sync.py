"""The newcomer's story: five mailboxes are switched on, and a quiet second cycle follows."""

from __future__ import annotations

import stat
from datetime import datetime
from pathlib import Path

from tests.acceptance.town import (
    assert_all_green,
    assert_idle,
    assert_no_doubles,
    committed,
    engine,
    everything,
    memberships,
    portrait,
    town,
)

SIZES = {
    "contacts": 75,
    "leads": 10,
    "appointments": 60,
    "calls": 10,
    "service_calls": 10,
    "tasks": 10,
    "opportunities": 10,
    "cases": 5,
}

#: One call per feed, whatever the number of items (sync.md section 9).
IDLE_CALLS = {
    "google.people.people.connections.list",
    "google.calendar.events.list",
    "google.tasks.tasks.list",
    "google.gmail.users.history.list",
}


async def test_five_mailboxes_from_one_key_press_to_idle(tmp_path: Path) -> None:
    """One key enables the policy; all users end idle, Verify is green, guests hear nothing, own things stay."""
    with town(tmp_path, users=5, sizes=SIZES) as place:
        own = {user: everything(place, user) for user in place.users}
        assert sum(map(len, own.values())) > 20  # a third of the mailboxes has a life of its own
        crm_before = place.soql("SELECT Id, SystemModstamp FROM Contact ORDER BY Id")
        place.reset()

        async with engine(tmp_path, place.config(policy="enabled = true")) as service:
            report = await service.sync("Demo", "newcomer")
            assert_idle(report)
            assert report["totals"]["writes"] > 150
            stats = place.stats()
            assert stats["google.mails"] == 0
            assert all(name.startswith("google.") for name in place.writes())
            await assert_all_green(service)
            assert_no_doubles(place)
            for user in place.users:
                after = everything(place, user)
                assert {one: after.get(one) for one in own[user]} == own[user]
            assert place.soql("SELECT Id, SystemModstamp FROM Contact ORDER BY Id") == crm_before

            for user in place.users:
                groups = place.groups(user)
                members = [person for person in place.contacts(user) if person.get("clientData")]
                ours = {groups["CRM Contacts"], groups["CRM Leads"]}
                assert all(ours & set(memberships(person)) for person in members)
                assert {"CRM", "CRM/Opportunities", "CRM/Cases"} <= set(place.labels(user).values())

            # The next cycle sees its own echoes and writes nothing, anywhere.
            place.reset()
            again = await service.sync("Demo", "newcomer")
            assert_idle(again)
            assert again["totals"]["writes"] == 0
            assert place.writes() == {}

            # The one after that costs one call per feed, and what it commits are the admin's request and the monitor's lines.
            place.reset()
            units = committed(service)
            idle = await service.sync("Demo", "newcomer")
            assert_idle(idle)
            assert idle["totals"]["calls_by_provider"] == {
                "Salesforce": 6,
                "Google People": 5,
                "Google Calendar": 5,
                "Google Tasks": 5,
                "Gmail": 5,
            }
            stats = place.stats()
            assert {name: stats[name] for name in IDLE_CALLS} == dict.fromkeys(IDLE_CALLS, len(place.users))
            assert stats["google.http"] == len(IDLE_CALLS) * len(place.users)
            assert sum(count for name, count in stats.items() if name.startswith("salesforce.")) == 6
            assert set(units) <= {"add_audit", "_record_run", "_flush"}

        ledger = tmp_path / "data" / "ledger.sqlite"
        assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
        assert stat.S_IMODE(ledger.parent.stat().st_mode) == 0o700


async def test_moved_and_cancelled_occurrences_come_along_with_their_series(tmp_path: Path) -> None:
    """An occurrence that somebody moved or cancelled in the CRM is moved or cancelled in the mailbox, however old."""
    sizes = dict.fromkeys(SIZES, 0) | {"appointments": 120, "contacts": 5}
    with town(tmp_path, users=1, sizes=sizes) as place:
        user = place.users[0]
        async with engine(tmp_path, place.config(policy="enabled = true")) as service:
            assert_idle(await service.sync("Demo", "admin"))
        series = {
            event["extendedProperties"]["private"]["syncline_key"].split(".")[1]: event["id"]
            for event in place.events(user)
            if event.get("recurrence") and "syncline_key" in str(event)
        }
        shown = {
            (event["recurringEventId"], moment(event["originalStartTime"])): event
            for event in place.events(user, showDeleted="true")
            if "recurringEventId" in event
        }
        columns = "Id, RecurrenceActivityId, Syncline_Occurrence__c, StartDateTime, Location, IsAllDayEvent"
        rows = place.soql(f"SELECT {columns} FROM Event WHERE IsRecurrence2Exception = true")
        changed = [row for row in rows if row["RecurrenceActivityId"] in series and not row["IsAllDayEvent"]]
        assert len(changed) >= 5
        for row in changed:
            event = shown[series[row["RecurrenceActivityId"]], at(row["Syncline_Occurrence__c"])]
            assert moment(event["start"]) == at(row["StartDateTime"]), row
            assert event.get("location") == row["Location"]
        assert sum(event["status"] == "cancelled" for event in shown.values()) >= 3


def moment(value: dict[str, str]) -> datetime:
    """The instant of one of Google's times; midnight UTC of a date."""
    return at(value.get("dateTime") or value["date"] + "T00:00:00Z")


def at(stamp: str) -> datetime:
    """The instant of a time stamp."""
    return datetime.fromisoformat(stamp)


async def test_a_restarted_engine_goes_on_without_writing(tmp_path: Path) -> None:
    """The engine is stopped and started again: nothing is written, nothing read twice."""
    with town(tmp_path) as place:
        async with engine(tmp_path, place.config(policy="enabled = true")) as service:
            assert_idle(await service.sync("Demo", "admin"))
        place.reset()
        async with engine(tmp_path, None) as service:
            report = await service.sync("Demo", "admin")
            assert_idle(report)
            assert report["totals"]["writes"] == 0
            assert place.writes() == {}
            await assert_all_green(service)
            exported = await service.export()
        async with engine(tmp_path / "other", exported) as second:
            assert await second.export() == exported


async def test_a_lost_ledger_adopts_what_is_there(tmp_path: Path) -> None:
    """The data directory is lost and made again: everything is recognised by its marks, nothing is made twice."""
    with town(tmp_path) as place:
        async with engine(tmp_path, place.config(policy="enabled = true")) as service:
            await service.sync("Demo", "admin")
        before = {user: portrait(place, user) for user in place.users}
        place.reset()
        async with engine(tmp_path / "again", place.config(policy="enabled = true")) as service:
            report = await service.sync("Demo", "admin")
            assert_idle(report)
            await assert_all_green(service)
        # Groups and labels are tried by their unique names: refused with 409, and adopted.
        tried = {"google.gmail.users.labels.create", "google.people.contactGroups.create"}
        assert set(place.writes()) <= tried
        assert {user: portrait(place, user) for user in place.users} == before
