"""4: a list that returns nothing. 5: a source that vanishes and comes back. 6: hundreds of deletes after days away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, ModuleSettings, Policy
from engine.model.port import Page
from engine.service import Settle, SettleHeld
from tests.acceptance.town import Town, engine, everything, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import TINY, cycle, until_quiet
from tests.sync.fakes import START_MS, FakeProvider
from tests.sync.world import A, World, faulty

#: Deletes of the mailbox reach the CRM, and nothing is held by its number: the worst that can be configured.
MIRROR = """enabled = true
mailbox_deletes = "mirror"
[policies.Demo.delete_safety]
contacts = { count = 999, percent = 100 }
appointments = { count = 999, percent = 100 }
tasks = { count = 999, percent = 100 }
other = { count = 999, percent = 100 }
"""
SEPARATE = '[policies.Demo.calendar]\nmode = "separate"\nname = "Customers"\n'

LISTS = {
    "contacts": (r"connections\.list$", {"connections": [], "nextSyncToken": "x"}),
    "events": (r"calendar\.events\.list$", {"items": [], "nextSyncToken": "x"}),
    "tasks": (r"tasks\.tasks\.list$", {"items": []}),
    "crm": ("/query", {"totalSize": 0, "done": True, "records": []}),
}
OBJECTS = ("Contact", "Event", "Task", "Opportunity", "Case")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    sizes = TINY | {"contacts": 16, "appointments": 20, "tasks": 14}
    with town(tmp_path, users=1, sizes=sizes) as running:
        yield running


def all_there(place: Town) -> dict[str, Any]:
    """Everything on both sides, by id."""
    found: dict[str, Any] = everything(place, place.users[0])
    found |= {task["id"]: task["title"] for task in place.tasks(place.users[0])}
    for name in OBJECTS:
        found |= {
            row["Id"]: row["SystemModstamp"] for row in place.soql(f"SELECT Id, SystemModstamp FROM {name}")
        }
    return found


def forget_cursors(place: Town) -> None:
    """The providers no longer know the cursors, once."""
    gone = {"reason": "fullSyncRequired", "domain": "calendar", "message": "Sync token is no longer valid"}
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "EXPIRED_SYNC_TOKEN"}]
    expired = {"code": 400, "status": "FAILED_PRECONDITION", "message": "expired", "details": details}
    place.fault(
        {
            "route": LISTS["events"][0],
            "status": 410,
            "body": {"error": {"code": 410, "errors": [gone], "message": gone["message"]}},
        },
        {"route": LISTS["contacts"][0], "status": 400, "body": {"error": expired}},
    )


async def test_04_an_empty_list_creates_nothing_and_deletes_nothing(place: Town, tmp_path: Path) -> None:
    """Every list answers 200 with nothing in it, first as news, then as the complete content."""
    async with engine(tmp_path, place.config(policy=MIRROR), clock=HastyClock()) as service:
        await until_quiet(place, service)
        before = all_there(place)
        for complete in (False, True):
            if complete:
                forget_cursors(place)
            place.fault(
                *({"route": route, "status": 200, "body": body, "times": 20} for route, body in LISTS.values())
            )
            place.reset()
            for _ in range(3):
                await service.sync("Demo", "admin")
            assert place.writes() == {}
            if complete:
                [user] = (await service.sync("Demo", "admin"))["users"]
                assert "returned nothing" in user["text"]
            place.mend()
            place.reset()
            await until_quiet(place, service)
            assert place.writes() == {}
            assert all_there(place) == before


@pytest.mark.parametrize("status", [403, 404])
async def test_05_access_that_is_lost_and_comes_back_costs_nothing(
    place: Town, tmp_path: Path, status: int
) -> None:
    async with engine(tmp_path, place.config(policy=MIRROR + SEPARATE), clock=HastyClock()) as service:
        await until_quiet(place, service)
        before = all_there(place)
        for name, (route, _) in LISTS.items():
            refusal: Any = None
            if name == "crm":
                code = "INSUFFICIENT_ACCESS" if status == 403 else "NOT_FOUND"
                refusal = [{"message": "no access", "errorCode": code}]
            place.fault({"route": route, "status": status, "body": refusal, "times": 50})
            place.reset()
            for _ in range(2):
                report = await service.sync("Demo", "admin")
            assert "failed" in {user["state"] for user in report["users"]} or report["users"][0]["text"], name
            assert place.writes() == {}, name
            place.mend()
        await until_quiet(place, service)
        place.reset()
        await cycle(service)
        assert place.writes() == {}
        assert all_there(place) == before


@pytest.mark.parametrize("way", ["the CRM is the authority", "approve", "restore"])
async def test_05_a_calendar_that_its_owner_deleted_takes_nothing_out_of_the_crm_by_itself(
    place: Town, tmp_path: Path, way: str
) -> None:
    """The calendar of the CRM's own goes with all that is in it: it is made anew, once, and everything else goes on.

    Its events come back, if deletes of the mailbox are not for the CRM; otherwise an admin says what becomes of them.
    """
    user, asked = place.users[0], way in {"approve", "restore"}
    policy = MIRROR + SEPARATE if asked else "enabled = true\n" + SEPARATE
    async with engine(tmp_path, place.config(policy=policy)) as service:
        await until_quiet(place, service)
        rows = place.soql("SELECT Id FROM Event ORDER BY Id")
        calendar, count = separate(place, user)
        place.google(user, "DELETE", f"calendar/v3/calendars/{calendar}")
        contact = place.soql("SELECT Id FROM Contact ORDER BY Id LIMIT 1")[0]["Id"]
        place.change("Contact", contact, Title="Chief of Maps")
        report = await service.sync("Demo", "admin")
        assert any("was deleted by somebody" in line.text for line in service.store.lines[user])
        assert ("Delete Safety" in report["users"][0]["text"]) is asked
        assert place.soql("SELECT Id FROM Event ORDER BY Id") == rows
        assert "Chief of Maps" in str(place.contacts(user))
        again, there = separate(place, user)
        assert again != calendar
        assert there == (0 if asked else count)
        if asked:
            await cycle(service)
            assert place.soql("SELECT Id FROM Event ORDER BY Id") == rows
            answer = await service.do(SettleHeld(user, None, Settle(way)), "admin")
            assert answer.ok, answer
        await until_quiet(place, service)
        assert separate(place, user) == (again, 0 if way == "approve" else count)
        assert (place.soql("SELECT Id FROM Event ORDER BY Id") == rows) is (way != "approve")
        assert place.stats()["google.mails"] == 0


def separate(place: Town, user: str) -> tuple[str, int]:
    """The calendar of the CRM's own: its id, and how many events are in it."""
    lists = place.google(user, "GET", "calendar/v3/users/me/calendarList")["items"]
    [calendar] = [one["id"] for one in lists if one["summary"] == "Customers"]
    events = place.google(user, "GET", f"calendar/v3/calendars/{calendar}/events")["items"]
    return calendar, sum(event["status"] != "cancelled" for event in events)


def away(world: World, days: int) -> None:
    """So many days pass, and no provider knows a cursor any more."""
    world.clock.ms += days * 86_400_000
    for provider in (world.crm, world.mail):
        for shelf in provider.shelves.values():
            shelf.epoch += 1


def appointment(number: int) -> dict[str, Any]:
    """One of many appointments, one a day, from forty days ago on."""
    at = (datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(days=number - 40)).date().isoformat()
    return {
        "subject": f"visit {number:03d}",
        "start": {"utc": f"{at}T09:00:00Z", "zone": "UTC"},
        "end": {"utc": f"{at}T10:00:00Z", "zone": "UTC"},
    }


def mirror_policy() -> Policy:
    modules = {module: ModuleSettings() for module in (Module.CONTACT, Module.APPOINTMENT)}
    return Policy("sales", "crm", "mail", modules=modules, mailbox_deletes=DeleteMode.MIRROR)


async def test_06_after_two_weeks_away_nothing_is_taken_for_deleted() -> None:
    """Cursors have expired, the complete read breaks off in the middle, and the window has moved on."""
    world = await World(policy=mirror_policy()).start()
    for number in range(250):
        world.crm.add(A, Module.APPOINTMENT, **appointment(number))
        world.crm.add(A, Module.CONTACT, given="N", family=f"F{number:03d}")
    await world.settle(2)
    both = {module: world.names(Side.MAILBOX, A, module) for module in (Module.CONTACT, Module.APPOINTMENT)}
    assert len(both[Module.CONTACT]) == 250
    assert len(both[Module.APPOINTMENT]) == 250
    away(world, 14)
    for provider in (world.mail, world.crm):
        pages = 0

        def break_off(point: str, *_: object) -> str | None:
            nonlocal pages
            pages += point == "page"
            return "unavailable" if point == "page" and pages == 3 else None

        with faulty(provider, break_off):
            await world.cycle()
    await world.settle(3)
    assert not [line for line in world.mail.log + world.crm.log if line.startswith("delete")]
    assert {module: world.names(Side.MAILBOX, A, module) for module in both} == both
    assert len(world.crm.of(A, Module.APPOINTMENT)) == len(world.crm.of(A, Module.CONTACT)) == 250
    await world.check()


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_06_a_complete_read_that_is_silently_short_is_not_believed(where: str) -> None:
    """Only the first hundred are listed, and the list says that it is complete."""
    world = await World(policy=mirror_policy()).start()
    for number in range(250):
        world.crm.add(A, Module.CONTACT, given="N", family=f"F{number:03d}")
    await world.settle(2)
    away(world, 14)
    provider: FakeProvider = world.crm if where == "crm" else world.mail
    whole = provider.changes
    provider.changes = lambda scope, cursor: short(whole(scope, cursor), 100)  # type: ignore[method-assign]
    await world.settle(3)
    provider.changes = whole  # type: ignore[method-assign]
    await world.settle(2)
    assert not [line for line in world.mail.log + world.crm.log if line.startswith("delete")]
    assert len(world.names(Side.MAILBOX)) == len(world.names(Side.CRM)) == 250
    await world.check()


async def short(pages: AsyncIterator[Page], most: int) -> AsyncIterator[Page]:
    """The pages of a feed with at most so many items in all."""
    left = most
    async for page in pages:
        some: Sequence[Any] = page.observations[: max(0, left)]
        left -= len(some)
        yield Page(tuple(some), page.cursor, page.snapshot, page.total)


async def test_06_hundreds_of_real_deletes_wait_for_an_admin_and_the_rest_goes_on() -> None:
    world = await World(policy=mirror_policy()).start()
    ids = [world.crm.add(A, Module.CONTACT, given="N", family=f"F{n:03d}") for n in range(300)]
    await world.settle(2)
    for item in ids[:210]:
        world.crm.delete("Contact", item)
    world.crm.edit("Contact", ids[250], title="Boss")
    away(world, 14)
    result = await world.cycle()
    assert result is not None
    assert "Delete Safety" in result.faults[A]
    await world.settle(2)
    assert len(world.names(Side.MAILBOX)) == 300
    assert [one.fields["title"] for one in world.mail.of(A, Module.CONTACT) if "title" in one.fields] == [
        "Boss"
    ]
