"""7: a cursor that is gone, with deletes in the gap. 8: lost history of mails. 9: a cursor that dies between two pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.mailbox.google import calendar, people
from engine.mailbox.google.client import GoogleClient
from engine.model.modules import Module, Side
from engine.model.port import Page, Scope
from tests.acceptance.town import Town, assert_no_doubles, engine, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import PRIMARY, TINY, cycle, ours, record_of, settled, until_quiet
from tests.failure_cases.test_04_05_06_sources import MIRROR, away, forget_cursors, mirror_policy
from tests.sync.world import A, World


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY | {"contacts": 12, "appointments": 14, "tasks": 4}) as running:
        yield running


async def test_07_what_was_deleted_before_the_cursor_was_lost_is_noticed(place: Town, tmp_path: Path) -> None:
    """410 and its likes are no success: the complete read that follows finds what is missing, on both sides."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR), clock=HastyClock()) as service:
        await until_quiet(place, service)
        people_ = ours(place.contacts(user), "003")
        events = [one for one in ours(place.events(user), "00U") if "recurrence" not in one]
        place.google(user, "DELETE", f"v1/{people_[0]['resourceName']}:deleteContact")
        place.google(user, "DELETE", f"{PRIMARY}/{events[0]['id']}")
        place.remove("Contact", record_of(people_[1]))
        place.remove("Event", record_of(events[1]))
        forget_cursors(place)
        await until_quiet(place, service)
        assert all(place.struck().values())
        gone = f"'{record_of(people_[0])}', '{record_of(people_[1])}'"
        assert place.soql(f"SELECT Id FROM Contact WHERE Id IN ({gone})") == []
        gone = f"'{record_of(events[0])}', '{record_of(events[1])}'"
        assert place.soql(f"SELECT Id FROM Event WHERE Id IN ({gone})") == []
        left = {one.get("resourceName") for one in place.contacts(user)} | {
            one["id"] for one in place.events(user)
        }
        assert not left & {people_[1]["resourceName"], events[1]["id"]}
        assert len(place.soql("SELECT Id FROM Contact")) == len(people_) - 2
        await settled(place, service)


@pytest.mark.parametrize("gap", ["crm", "mail"])
async def test_07_what_the_recycle_bin_no_longer_tells_is_noticed_after_three_weeks(gap: str) -> None:
    """Of the two sides one has forgotten the cursor and the tombstone: the item goes on the other one all the same."""
    world = await World(policy=mirror_policy()).start()
    ids = [world.crm.add(A, Module.CONTACT, given="N", family=f"F{number:03d}") for number in range(30)]
    await world.settle(2)
    away(world, 21)
    if gap == "crm":
        del world.crm.shelf("Contact").now[ids[0]]
        log = world.crm.shelf("Contact").log
        log[:] = [thing for thing in log if thing.id != ids[0]]
    else:
        shelf = world.mail.shelf(f"{A}/contacts")
        thing = next(one for one in shelf.live() if one.fields["family"] == "F000")
        del shelf.now[thing.id]
        shelf.log[:] = [one for one in shelf.log if one.id != thing.id]
    await world.settle(3)
    wanted = [f"F{number:03d}" for number in range(1, 30)]
    assert world.names(Side.CRM) == world.names(Side.MAILBOX) == wanted
    await world.check()


@pytest.mark.parametrize("really", [False, True])
async def test_08_lost_history_of_mails_costs_one_look_and_no_endless_reading(
    place: Town, tmp_path: Path, really: bool
) -> None:
    """Gmail answers 404, or the history is truly too old; the cursor is taken first, and the next cycle is idle."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
        await until_quiet(place, service)
        mails, labels = len(place.mails(user)), place.labels(user)
        if really:
            place.advance(40 * 86_400)
        else:
            place.fault({"route": r"history\.list$", "status": 404})
        await cycle(service)
        for _ in range(2):
            place.reset()
            await cycle(service)
            stats = place.stats()
            assert stats["google.gmail.users.history.list"] == 1
            assert stats["google.gmail.users.getProfile"] == 0
            assert place.writes() == {}
        assert (len(place.mails(user)), place.labels(user)) == (mails, labels)


def pages_that_die(
    monkeypatch: pytest.MonkeyPatch, place: Town, module: Any, fault: dict[str, Any]
) -> list[int]:
    """A feed in small pages whose cursor dies when the page with the number in the list is asked for."""
    whole, when = module.changes, [-1]

    async def changes(client: GoogleClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        number = 0
        if when[0] == number:
            when[0] = -1
            place.fault(fault)
        async for page in whole(client, scope, cursor):
            number += 1
            if when[0] == number:
                when[0] = -1
                place.fault(fault)
            yield page

    monkeypatch.setattr(module, "changes", changes)
    return when


GONE = {"reason": "fullSyncRequired", "domain": "calendar", "message": "Sync token is no longer valid"}
EXPIRED = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "EXPIRED_SYNC_TOKEN"}]


async def test_09_a_cursor_that_dies_on_any_page_of_the_calendar(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar, "PAGE", 3)
    body = {"error": {"code": 410, "errors": [GONE], "message": GONE["message"]}}
    fault = {"route": r"calendar\.events\.list$", "status": 410, "body": body}
    when = pages_that_die(monkeypatch, place, calendar, fault)
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR), clock=HastyClock()) as service:
        await until_quiet(place, service)
        for page in range(4):
            events = [one for one in ours(place.events(user), "00U") if "recurrence" not in one]
            for event in events[1:]:
                place.google(user, "PATCH", f"{PRIMARY}/{event['id']}", json={"location": f"Room {page}"})
            place.google(user, "DELETE", f"{PRIMARY}/{events[0]['id']}")
            when[0] = page
            await cycle(service)
            assert when[0] == -1, "the feed has not so many pages"
            place.mend()
            rows = place.soql("SELECT Id, Location FROM Event")
            found = {row["Id"]: row["Location"] for row in rows}
            assert {found[record_of(event)] for event in events[1:]} == {f"Room {page}"}
            assert record_of(events[0]) not in found
        assert_no_doubles(place)
        await settled(place, service)


async def test_09_a_cursor_that_dies_on_any_page_of_the_contacts(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "PAGE_SIZE", 3)
    error = {"code": 400, "status": "FAILED_PRECONDITION", "message": "expired", "details": EXPIRED}
    fault = {"route": r"connections\.list$", "status": 400, "body": {"error": error}}
    when = pages_that_die(monkeypatch, place, people, fault)
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=MIRROR), clock=HastyClock()) as service:
        await until_quiet(place, service)
        for page in range(4):
            found = ours(place.contacts(user), "003")
            for person in found[1:]:
                place.google(
                    user,
                    "PATCH",
                    f"v1/{person['resourceName']}:updateContact",
                    params={"updatePersonFields": "biographies"},
                    json={"etag": person["etag"], "biographies": [{"value": f"Note {page}"}]},
                )
            place.google(user, "DELETE", f"v1/{found[0]['resourceName']}:deleteContact")
            when[0] = page
            await cycle(service)
            assert when[0] == -1, "the feed has not so many pages"
            place.mend()
            rows = {row["Id"]: row["Description"] for row in place.soql("SELECT Id, Description FROM Contact")}
            assert {rows[record_of(person)] for person in found[1:]} == {f"Note {page}"}
            assert record_of(found[0]) not in rows
        assert_no_doubles(place)
        await settled(place, service)
