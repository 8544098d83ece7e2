"""Containers and drop folders: made once, adopted, renamed, emptied of what is ours, and left where a person uses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.mailbox.exchange import folders
from engine.model.modules import Module
from engine.model.port import CalendarMode, Outcome, Result, Structure, Write, WriteKind
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import STRUCTURE, Lab, done, update

COLOURS = replace(STRUCTURE, calendar_mode=CalendarMode.COLOUR)
DEAL: dict[str, Any] = {
    "name": "Big/Deal",
    "amount": 1200.5,
    "currency": "EUR",
    "stage": "New",
    "link": "https://crm.example/006A",
    "description": "x" * 3000,
}


def record(box: Mailbox, key: str, fields: dict[str, Any], **more: Any) -> Write:
    branch = box.containers.ids["label:CRM/Opportunities"]
    return Write(
        WriteKind.CREATE,
        Module.OPPORTUNITY,
        key,
        fields=fields,
        patch=fields,
        containers=(f"label:{branch}", "path:CRM/Opportunities"),
        **more,
    )


def mail_in(box: Mailbox, folder: str) -> None:
    """A person files a mail."""
    box.lab.office.call(
        f'<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId><t:FolderId Id="{folder}"/>'
        "</m:SavedItemFolderId><m:Items><t:Message><t:Subject>Hello</t:Subject></t:Message></m:Items></m:CreateItem>"
    )


async def test_what_is_there_is_adopted_and_costs_little(place: Lab) -> None:
    async with place.connector() as connector:
        survey = await connector.survey(place.account, COLOURS, {})
        names = ("CRM Contacts", "CRM Leads", "CRM Appointment", "CRM Call", "CRM Service Call")
        assert survey.missing == (
            *(f"category {name}" for name in names),
            "folder CRM",
            "folder CRM/Opportunities",
            "folder CRM/Cases",
        )
        first = await connector.ensure(place.account, COLOURS, {})
        assert set(first.created) == {"label:CRM", "label:CRM/Opportunities", "label:CRM/Cases"}
        assert [scope.key for scope in first.scopes] == ["contacts", "calendar", "tasks", "mail"]
        assert first.ids["group:lead"] == "category:CRM Leads"
        assert first.ids["colour:call"] == "category:CRM Call"
        again = await connector.ensure(place.account, COLOURS, {})
        assert (again.ids, again.created) == (first.ids, ())
        place.asked()
        known = await connector.ensure(place.account, COLOURS, first.ids)
        assert (known.ids, known.created) == (first.ids, ())
        assert place.asked() == {"http": 4, "GetFolder": 3, "GetUserConfiguration": 1}
        assert (await connector.survey(place.account, COLOURS, first.ids)).missing == ()
        assert all(one.ok for one in await connector.verify(place.account, COLOURS, first.ids))


async def test_a_separate_calendar_is_made_below_the_persons_own(place: Lab) -> None:
    structure = Structure(calendar_mode=CalendarMode.SEPARATE, calendar_name="CRM")
    async with place.connector() as connector:
        first = await connector.ensure(place.account, structure, {})
        assert first.created == ("calendar CRM",)
        assert [scope.key for scope in first.scopes] == ["calendar:crm"]
        again = await connector.ensure(place.account, structure, {})
        assert (again.ids, again.created) == (first.ids, ())
        assert all(one.ok for one in await connector.verify(place.account, structure, first.ids))
        assert await connector.remove(place.account, first.ids) == {"calendar": ""}
        assert await connector.remove(place.account, first.ids) == {"calendar": ""}
        [finding] = await connector.verify(place.account, structure, first.ids)
        assert not finding.ok
        assert (await connector.survey(place.account, structure, first.ids)).missing == ("calendar CRM",)


async def test_a_folder_that_was_thrown_away_is_made_again_and_one_renamed_is_kept(box: Mailbox) -> None:
    ids = box.containers.ids
    await folders.rename(box.connector.client, box.lab.account, {ids["label:CRM/Cases"]: "Tickets"})
    box.lab.office.call(
        '<m:MoveFolder><m:ToFolderId><t:DistinguishedFolderId Id="deleteditems"/></m:ToFolderId><m:FolderIds>'
        f'<t:FolderId Id="{ids["label:CRM/Opportunities"]}"/></m:FolderIds></m:MoveFolder>'
    )
    again = await box.connector.ensure(box.lab.account, COLOURS, ids)
    assert again.ids["label:CRM/Cases"] == ids["label:CRM/Cases"]
    assert again.created == ("label:CRM/Opportunities",)


async def test_a_record_is_a_folder_with_one_mail_that_says_all_of_it(box: Mailbox) -> None:
    [made] = await done(box.connector, box.mail, record(box, "c.006A.aa.0", DEAL))
    [seen] = await box.connector.fetch(box.mail, [made.remote_id])
    assert seen.fields == DEAL
    assert seen.module is Module.OPPORTUNITY
    assert (seen.native or {})["message"] == (made.native or {})["message"]
    assert (seen.native or {})["name"] == "CRM/Opportunities/Big-Deal"
    patch = {"name": "Deal won", "stage": "Won", "description": None}
    [changed] = await done(
        box.connector, box.mail, update(seen, patch, containers=record(box, "", {}).containers)
    )
    [seen] = await box.connector.fetch(box.mail, [made.remote_id])
    assert seen.fields == changed.fields
    assert (seen.native or {})["name"] == "CRM/Opportunities/Deal won"
    [folder] = await folders.get(box.connector.client, box.lab.account, [made.remote_id])
    assert folder is not None
    assert folder.items == 1
    assert await box.connector.occupied(box.mail, [made.remote_id]) == set()


async def test_records_of_one_name_get_folders_of_their_own(box: Mailbox) -> None:
    made = await done(
        box.connector,
        box.mail,
        record(box, "c.006A.aa.0", {"name": "Deal", "number": "1"}),
        record(box, "c.006B.aa.0", {"name": "deal", "number": "2"}),
        record(box, "c.006C.aa.0", {"name": "Deal"}),
    )
    names = [str((one.native or {})["name"]).removeprefix("CRM/Opportunities/") for one in made]
    assert names[:2] == ["Deal", "deal (2)"]
    assert names[2].startswith("Deal (")
    assert len({one.remote_id for one in made}) == 3


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_record_whose_answer_was_lost_is_not_made_twice(box: Mailbox, lost: int) -> None:
    """Case 1, for the folder, for the look into it, and for its mail."""
    write = record(box, "c.006A.aa.0", DEAL)
    for _ in range(lost):
        box.lab.fault(route="asmx", kind="latency", seconds=0)
    box.lab.fault(route="asmx", kind="lost_reply")
    outcomes = await box.connector.apply(box.mail, [write])
    attempt = 1
    while outcomes[0].result is not Result.DONE:
        assert outcomes[0].result is Result.UNKNOWN
        outcomes = await box.connector.apply(box.mail, [replace(write, attempt=attempt)])
        attempt += 1
    branch = box.containers.ids["label:CRM/Opportunities"]
    [folder] = await folders.inside(box.connector.client, box.lab.account, branch)
    assert (folder.items, folder.key) == (1, "c.006A.aa.0")


async def test_a_folder_in_which_a_person_files_stays_and_loses_our_mail_alone(box: Mailbox) -> None:
    made = await done(
        box.connector,
        box.mail,
        record(box, "c.006A.aa.0", {"name": "Used"}),
        record(box, "c.006B.aa.0", {"name": "Unused"}),
    )
    mail_in(box, made[0].remote_id)
    ids = [one.remote_id for one in made]
    assert await box.connector.occupied(box.mail, ids) == {ids[0]}
    deletes = [Write(WriteKind.DELETE, Module.OPPORTUNITY, "d", remote_id=one) for one in ids]
    assert await box.connector.apply(box.mail, deletes) == [Outcome(Result.DONE)] * 2
    used, unused = await folders.get(box.connector.client, box.lab.account, ids)
    assert unused is None
    assert used is not None
    assert used.items == 1
    told = await box.connector.remove(
        box.lab.account,
        {name: value for name, value in box.containers.ids.items() if name.startswith("label:")},
    )
    assert told["label:CRM/Cases"] == ""
    assert "folders" in told["label:CRM/Opportunities"]
    assert "folders" in told["label:CRM"]
