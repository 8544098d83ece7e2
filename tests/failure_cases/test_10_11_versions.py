"""10: the version moves between our read and our write. 11: a stale base sent with a fresh version overwrites silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.crm.salesforce.connector import SalesforceConnector
from engine.ledger.schema import journal
from engine.mailbox.google.connector import GoogleConnector
from engine.model.port import Outcome, Scope, Write
from engine.service import Service
from tests.acceptance.town import Town, engine, town
from tests.failure_cases.scene import PRIMARY, TINY, cycle, ours, record_of, settled


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY | {"contacts": 4, "appointments": 6, "tasks": 2}) as running:
        yield running


def just_before_writing(
    monkeypatch: pytest.MonkeyPatch, connector: type[Any], act: Callable[[int], None], times: int = 1
) -> list[int]:
    """A person acts between our reading and our writing, so many times; the list says how often it happened."""
    whole, struck = connector.apply, [0]

    async def apply(self: Any, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        if struck[0] < times:
            struck[0] += 1
            act(struck[0])
        outcomes: list[Outcome] = await whole(self, scope, writes)
        return outcomes

    monkeypatch.setattr(connector, "apply", apply)
    return struck


def google_note(place: Town, user: str, resource: str, text: str) -> None:
    place.google(
        user,
        "PATCH",
        f"v1/{resource}:updateContact",
        params={"updatePersonFields": "biographies"},
        json={"etag": place.contact(user, resource)["etag"], "biographies": [{"value": text}]},
    )


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_10_an_etag_that_moves_several_times_delays_and_loses_nothing(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        await cycle(service)
        person = ours(place.contacts(user), "003")[0]
        place.change("Contact", record_of(person), Title="Chief")

        def note(number: int) -> None:
            google_note(place, user, person["resourceName"], f"note {number}")

        struck = just_before_writing(monkeypatch, GoogleConnector, note, times)
        for _ in range(4):
            await service.sync("Demo", "admin")
        assert struck == [times]
        now = place.contact(user, person["resourceName"])
        assert now["organizations"][0]["title"] == "Chief"
        assert now["biographies"][0]["value"] == f"note {times}"
        row = place.soql(f"SELECT Title, Description FROM Contact WHERE Id = '{record_of(person)}'")[0]
        assert (row["Title"], row["Description"]) == ("Chief", f"note {times}")
        await settled(place, service)


async def lost_values(service: Service) -> str:
    """What the journal keeps."""
    rows = await service._ledger.read(lambda connection: connection.execute(sa.select(journal)).all())
    return str([row.before for row in rows])


@pytest.mark.parametrize("same", [False, True])
async def test_11_an_edit_in_the_calendar_between_our_read_and_our_write(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """Another field stands beside ours; of one and the same field the newer is current and the other in the journal."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        await cycle(service)
        event = next(one for one in ours(place.events(user), "00U") if "recurrence" not in one)
        place.change("Event", record_of(event), Subject="From the CRM")
        body = {"summary": "By a person"} if same else {"location": "By a person"}
        struck = just_before_writing(
            monkeypatch,
            GoogleConnector,
            lambda _: place.google(user, "PATCH", f"{PRIMARY}/{event['id']}", json=body),
        )
        await cycle(service)
        assert struck == [1]
        await cycle(service)
        now = place.google(user, "GET", f"{PRIMARY}/{event['id']}")
        row = place.soql(f"SELECT Subject, Location FROM Event WHERE Id = '{record_of(event)}'")[0]
        assert (now["summary"], now.get("location")) == (row["Subject"], row["Location"])
        if same:
            assert now["summary"] == "By a person"
            assert "From the CRM" in await lost_values(service)
        else:
            assert (now["summary"], now["location"]) == ("From the CRM", "By a person")
        await settled(place, service)


async def test_11_an_edit_of_a_task_between_our_read_and_our_write(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        await cycle(service)
        task = next(one for one in place.tasks(user) if "[CRM:c." in str(one.get("notes")))
        record = task["notes"].split("[CRM:c.")[1].split(".")[0]
        path = f"tasks/v1/lists/{task['list']}/tasks/{task['id']}"
        place.change("Task", record, Subject="From the CRM")
        struck = just_before_writing(
            monkeypatch,
            GoogleConnector,
            lambda _: place.google(user, "PATCH", path, json={"due": "2027-03-04T00:00:00Z"}),
        )
        await cycle(service)
        assert struck == [1]
        await cycle(service)
        now = place.google(user, "GET", path)
        assert (now["title"], now["due"][:10]) == ("From the CRM", "2027-03-04")
        row = place.soql(f"SELECT Subject, ActivityDate FROM Task WHERE Id = '{record}'")[0]
        assert (row["Subject"], row["ActivityDate"]) == ("From the CRM", "2027-03-04")
        await settled(place, service)


@pytest.mark.parametrize("same", [False, True])
async def test_11_an_edit_in_the_crm_between_our_read_and_our_write(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        await cycle(service)
        person = ours(place.contacts(user), "003")[0]
        record = record_of(person)
        google_note(place, user, person["resourceName"], "From the mailbox")
        fields = {"Description": "By a person"} if same else {"Department": "By a person"}
        struck = just_before_writing(
            monkeypatch, SalesforceConnector, lambda _: place.change("Contact", record, **fields)
        )
        await cycle(service)
        assert struck == [1]
        await cycle(service)
        row = place.soql(f"SELECT Description, Department FROM Contact WHERE Id = '{record}'")[0]
        note = place.contact(user, person["resourceName"])["biographies"][0]["value"]
        assert note == row["Description"]
        if same:
            assert note == "By a person"
            assert "From the mailbox" in await lost_values(service)
        else:
            assert (row["Description"], row["Department"]) == ("From the mailbox", "By a person")
        await settled(place, service)
