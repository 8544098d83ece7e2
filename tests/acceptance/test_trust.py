"""Verify tells what is missing, and what is nobody's business stays where it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.town import Town, assert_all_green, assert_idle, day, engine, town

TINY = {
    "contacts": 10,
    "leads": 2,
    "appointments": 8,
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


async def test_verify_names_what_is_missing_or_there_twice(place: Town, tmp_path: Path) -> None:
    """A contact, a label's mail and the group are taken away, a contact is copied: each shows in its line."""
    user, other = place.users
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        assert_idle(await service.sync("Demo", "admin"))
        await assert_all_green(service)
        ours = [person for person in place.contacts(user) if "syncline_key" in str(person)]
        gone, copied = ours[0], ours[1]
        place.google(user, "DELETE", f"v1/{gone['resourceName']}:deleteContact")
        twin = {key: copied[key] for key in ("names", "clientData", "memberships") if key in copied}
        for entries in twin.values():
            for entry in entries:
                entry.pop("metadata", None)
        place.google(user, "POST", "v1/people:createContact", json=twin)
        labels = place.labels(user)
        mail = next(
            one
            for one in place.mails(user)
            if any("/Opportunities/" in labels.get(n, "") for n in one["labels"])
        )
        place.google(user, "POST", f"gmail/v1/users/me/messages/{mail['id']}/trash")
        rows = [row for row in await service.verify("Demo") if not row.ok]
        assert {row.mailbox for row in rows} == {user}
        found = {row.check: row for row in rows}
        kind = "leads" if "'c.00Q" in str(gone) else "contacts"
        assert found[kind].have == found[kind].want - 1
        assert gone["resourceName"] in found[kind].detail
        assert found["duplicates"].have == 1
        assert found["quick connect mails"].have == found["quick connect mails"].want - 1
        assert other not in {row.mailbox for row in await service.verify_report("Demo") if not row.ok}


async def test_no_secret_and_no_private_text_reaches_the_data_directory(place: Town, tmp_path: Path) -> None:
    """Keys, tokens and the text of private appointments are in no file of ours, whatever goes well or wrong."""
    user = place.users[0]
    body = {
        "Subject": "Doctor",
        "Description": "private words 4711",
        "StartDateTime": f"{day(10)}T10:00:00Z",
        "DurationInMinutes": 30,
        "IsPrivate": True,
        "OwnerId": place.crm_user(user),
    }
    record = place.crm("POST", "sobjects/Event", json=body)["id"]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        assert_idle(await service.sync("Demo", "admin"))
        [event] = [one for one in place.events(user) if f"c.{record}." in str(one)]
        assert event["visibility"] == "private"
        # What a person writes into it there is not wiped by what comes from the CRM.
        path = f"calendar/v3/calendars/primary/events/{event['id']}"
        place.google(user, "PATCH", path, json={"description": "bring the x-ray 0815"})
        place.change("Event", record, Location="Main street")
        assert_idle(await service.sync("Demo", "admin"))
        shown = place.google(user, "GET", path)
        assert shown["location"] == "Main street"
        assert shown["description"] == "bring the x-ray 0815"
        row = place.soql(f"SELECT Description FROM Event WHERE Id = '{record}'")[0]
        assert row["Description"] == "private words 4711"
        place.fault({"service": "*", "kind": "status", "status": 401, "times": 6})
        await service.sync("Demo", "admin")
        told = " ".join(line.text for lines in service.store.lines.values() for line in lines)
    google, salesforce = place.ready["google"], place.ready["salesforce"]
    key = json.loads(Path(google["credentials_file"]).read_text(encoding="utf-8"))
    secrets = (
        key["private_key"].splitlines()[1],
        Path(salesforce["client_secret_file"]).read_text(encoding="ascii").strip(),
        "ya29.",
        "private words 4711",
        "0815",
        "Bearer ",
    )
    files = [one for one in (tmp_path / "data").rglob("*") if one.is_file()]
    assert any(one.name.startswith("ledger") for one in files)
    for secret in secrets:
        assert secret not in told
        for one in files:
            assert secret.encode() not in one.read_bytes(), f"{secret!r} is in {one.name}"


async def test_two_policies_share_their_connections(place: Town, tmp_path: Path) -> None:
    """Each policy serves its own people; switching one off leaves the other alone."""
    ann, juan = place.users
    config = place.config(users=[ann], policy="enabled = true")
    config += '[policies.Second]\ncrm = "crm"\nmailbox = "mail"\nenabled = true\n'
    config += f'[[users]]\nemail = "{juan}"\npolicy = "Second"\n'
    async with engine(tmp_path, config) as service:
        assert_idle(await service.sync(None, "admin"))
        assert_idle(await service.sync(None, "admin"))
        await assert_all_green(service)
        owners = {one: place.crm_user(one) for one in place.users}
        for user in place.users:
            rows = place.soql(f"SELECT Id FROM Contact WHERE OwnerId = '{owners[user]}'")
            marked = str([person.get("clientData") for person in place.contacts(user)])
            held = service.store.users[user].held
            assert sum(row["Id"] in marked for row in rows) + held == len(rows)
        for user in place.users:
            mark = next(one["clientData"][0]["value"] for one in place.contacts(user) if "'c.003" in str(one))
            place.change("Contact", mark.split(".")[1], Title=f"Friend of {user}")
        place.reset()
        report = await service.sync("Second", "admin")
        assert [user["email"] for user in report["users"]] == [juan]
        assert f"Friend of {juan}" in str(place.contacts(juan))
        assert f"Friend of {ann}" not in str(place.contacts(ann))
        assert place.writes() == {"google.people.people.batchUpdateContacts": 1}
