"""4, 5, 6, 9 at Exchange: lists that return nothing, access that is lost, short lists, sync states that die between two pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from engine.service import Service, Settle, SettleHeld
from tests.acceptance.mailroom import MESSAGES, SERVICES, SOAP, TYPES, M, Mailroom, reference
from tests.acceptance.town import engine, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import TINY
from tests.failure_cases.test_04_05_06_sources import MIRROR, OBJECTS, SEPARATE

FOLDERS = ("contacts", "calendar", "tasks")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailroom]:
    sizes = TINY | {"contacts": 16, "appointments": 20, "tasks": 14}
    with town(tmp_path_factory.mktemp("town"), users=1, sizes=sizes, options=SERVICES) as place:
        yield Mailroom(place)


@asynccontextmanager
async def quiet_engine(room: Mailroom, folder: Path, policy: str = MIRROR) -> AsyncIterator[Service]:
    """An engine that has nothing left to do."""
    async with engine(folder, room.config(policy), clock=HastyClock()) as service:
        await until_quiet(room, service)
        yield service


async def until_quiet(room: Mailroom, service: Service, most: int = 8) -> None:
    """Run cycles until one ends well and writes nothing; at most so many."""
    for _ in range(most):
        room.place.reset()
        report = await service.sync("Demo", "admin")
        if {user["state"] for user in report["users"]} == {"idle"} and report["totals"]["writes"] == 0:
            assert room.writes() == {}
            assert room.place.stats()["exchange.mails"] == 0
            room.assert_no_doubles()
            return
    raise AssertionError(f"not quiet after {most} cycles: {report['users']}, {room.writes()}")


def all_there(room: Mailroom) -> dict[str, str]:
    """Everything on both sides, by id, with its version."""
    [user] = room.place.users
    found = {item.id: item.version for name in FOLDERS for item in room.folder_items(user, name)}
    for name in OBJECTS:
        rows = room.place.soql(f"SELECT Id, SystemModstamp FROM {name}")
        found |= {row["Id"]: row["SystemModstamp"] for row in rows}
    return found


def synced(changes: str = "", *, state: str = "AAAA", last: bool = True) -> str:
    """An answer to SyncFolderItems that says that it worked."""
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Body><m:SyncFolderItemsResponse>'
        '<m:ResponseMessages><m:SyncFolderItemsResponseMessage ResponseClass="Success">'
        f"<m:ResponseCode>NoError</m:ResponseCode><m:SyncState>{state}</m:SyncState>"
        f"<m:IncludesLastItemInRange>{str(last).lower()}</m:IncludesLastItemInRange><m:Changes>{changes}</m:Changes>"
        "</m:SyncFolderItemsResponseMessage></m:ResponseMessages></m:SyncFolderItemsResponse></s:Body></s:Envelope>"
    )


def refused(operation: str, code: str) -> str:
    """An answer whose only message is an error."""
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}"><s:Body><m:{operation}Response><m:ResponseMessages>'
        f'<m:{operation}ResponseMessage ResponseClass="Error"><m:MessageText>No.</m:MessageText>'
        f"<m:ResponseCode>{code}</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>"
        f"</m:{operation}ResponseMessage></m:ResponseMessages></m:{operation}Response></s:Body></s:Envelope>"
    )


def answer(body: str, times: int = 1, status: int = 200, route: str = "^SyncFolderItems$") -> dict[str, Any]:
    """A fault of the sandbox: so many calls get this answer."""
    return {"service": "exchange", "route": route, "status": status, "body": body, "times": times}


#: Exchange no longer knows the sync states, once for each folder.
FORGOTTEN = answer(refused("SyncFolderItems", "ErrorInvalidSyncStateData"), len(FOLDERS))


async def test_04_a_sync_that_lists_nothing_creates_nothing_and_deletes_nothing(
    room: Mailroom, tmp_path: Path
) -> None:
    """Every folder answers with nothing in it, first as news, then as its complete content."""
    async with quiet_engine(room, tmp_path) as service:
        before = all_there(room)
        for complete in (False, True):
            room.place.fault(*([FORGOTTEN] if complete else []), answer(synced(), 40))
            room.place.reset()
            for _ in range(3):
                report = await service.sync("Demo", "admin")
            assert room.writes() == {}
            if complete:
                assert "returned nothing" in report["users"][0]["text"]
            room.place.mend()
            await until_quiet(room, service)
            assert all_there(room) == before


LOST = {
    "ErrorAccessDenied": answer(refused("SyncFolderItems", "ErrorAccessDenied"), 50),
    "ErrorFolderNotFound": answer(refused("SyncFolderItems", "ErrorFolderNotFound"), 50),
    "ErrorSyncFolderNotFound": answer(refused("SyncFolderItems", "ErrorSyncFolderNotFound"), 50),
    "403": answer("", 50, status=403, route="asmx"),
    "404": answer("", 50, status=404, route="asmx"),
    "impersonation": {
        "service": "exchange",
        "route": "asmx",
        "status": 500,
        "body": {"code": "ErrorImpersonateUserDenied"},
        "times": 50,
    },
}


async def test_05_access_that_is_lost_and_comes_back_costs_nothing(room: Mailroom, tmp_path: Path) -> None:
    async with quiet_engine(room, tmp_path) as service:
        before = all_there(room)
        for name, how in LOST.items():
            room.place.fault(how)
            room.place.reset()
            for _ in range(2):
                report = await service.sync("Demo", "admin")
            assert report["users"][0]["text"], f"{name} is told"
            assert room.writes() == {}, name
            room.place.mend()
        await until_quiet(room, service)
        assert all_there(room) == before


@pytest.mark.parametrize("way", ["the CRM is the authority", "restore"])
async def test_05_a_calendar_that_its_owner_deleted_takes_nothing_out_of_the_crm_by_itself(
    tmp_path: Path, way: str
) -> None:
    """As at Google: it is made anew, once; its events come back, or an admin says what becomes of them."""
    asked = way == "restore"
    policy = MIRROR + SEPARATE if asked else "enabled = true\n" + SEPARATE
    with town(tmp_path / "town", users=1, sizes=TINY, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        async with quiet_engine(room, tmp_path, policy) as service:
            rows = place.soql("SELECT Id FROM Event ORDER BY Id")
            calendar, count = separate(room, user)
            assert count
            room.call(
                user,
                f'<m:DeleteFolder DeleteType="MoveToDeletedItems"><m:FolderIds>{reference(calendar)}</m:FolderIds>'
                "</m:DeleteFolder>",
            )
            contact = place.soql("SELECT Id FROM Contact ORDER BY Id LIMIT 1")[0]["Id"]
            place.change("Contact", contact, Title="Chief of Maps")
            report = await service.sync("Demo", "admin")
            assert any("was deleted by somebody" in line.text for line in service.store.lines[user])
            assert ("Delete Safety" in report["users"][0]["text"]) is asked
            assert place.soql("SELECT Id FROM Event ORDER BY Id") == rows
            assert room.shown(user, contact).shown["JobTitle"] == "Chief of Maps"
            again, there = separate(room, user)
            assert again != calendar
            assert there == (0 if asked else count)
            if asked:
                await service.sync("Demo", "admin")
                assert place.soql("SELECT Id FROM Event ORDER BY Id") == rows
                done = await service.do(SettleHeld(user, None, Settle(way)), "admin")
                assert done.ok, done
            await until_quiet(room, service)
            assert separate(room, user) == (again, count)
            assert place.soql("SELECT Id FROM Event ORDER BY Id") == rows


def separate(room: Mailroom, user: str) -> tuple[str, int]:
    """The calendar of the CRM's own: its id, and how many events are in it."""
    identity = room.folders(user, "calendar")["Customers"]
    return identity, len(room.folder_items(user, identity))


def listing(room: Mailroom, folder: str) -> list[str]:
    """What SyncFolderItems really lists of a folder from the beginning, entry by entry, as text."""
    [user] = room.place.users
    found = room.call(
        user,
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>"
        f"<m:SyncFolderId>{reference(folder)}</m:SyncFolderId><m:MaxChangesReturned>512</m:MaxChangesReturned>"
        "</m:SyncFolderItems>",
    )
    return [etree.tostring(entry).decode() for entry in next(found.iter(f"{M}Changes"))]


async def test_06_a_complete_list_that_is_silently_short_is_not_believed(
    room: Mailroom, tmp_path: Path
) -> None:
    """The sync states are gone, and each folder lists a third of itself and says that this is all."""
    async with quiet_engine(room, tmp_path) as service:
        before = all_there(room)
        parts = [entries[: len(entries) // 3] for entries in (listing(room, name) for name in FOLDERS)]
        room.place.fault(FORGOTTEN, *(answer(synced("".join(part))) for part in parts))
        room.place.reset()
        await service.sync("Demo", "admin")
        assert room.writes() == {}
        assert len(parts[0]) > 4
        room.place.mend()
        await until_quiet(room, service)
        assert all_there(room) == before


async def test_09_a_sync_state_that_dies_between_two_pages(room: Mailroom, tmp_path: Path) -> None:
    """Each folder gives a first page of a few items, and then does not know the state that came with it."""
    [user] = room.place.users
    async with quiet_engine(room, tmp_path) as service:
        before = all_there(room)
        contact = next(item for item in room.contacts(user) if item.record.startswith("003"))
        room.place.change("Contact", contact.record, Title="Between two pages")
        room.place.fault(*(answer(synced("".join(listing(room, name)[:4]), last=False)) for name in FOLDERS))
        for _ in range(2):
            await service.sync("Demo", "admin")
        assert room.place.stats()["exchange.ErrorInvalidSyncStateData"]
        await until_quiet(room, service)
        assert room.shown(user, contact.record).shown["JobTitle"] == "Between two pages"
        after = all_there(room)
        assert after.keys() == before.keys()
        assert {one for one in before if after[one] != before[one]} == {contact.id, contact.record}
