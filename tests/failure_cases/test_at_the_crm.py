"""Cases that the other files tell of the mailbox, at the CRM: 1 a lost reply, 9 a dead query locator, 23 a quota."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.net import http
from tests.acceptance.town import Town, assert_all_green, assert_no_doubles, day, engine, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import TINY, cycle, mail_event, ours, record_of, subjects, until_quiet

ON = 'enabled = true\nmailbox_deletes = "mirror"\n'


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY) as running:
        yield running


def person(place: Town, family: str) -> None:
    """Somebody makes a contact in the mailbox, in the group that is synchronised."""
    user = place.users[0]
    group = place.groups(user)["CRM Contacts"]
    member = {"contactGroupMembership": {"contactGroupResourceName": group}}
    body = {"names": [{"familyName": family}], "memberships": [member]}
    place.google(user, "POST", "v1/people:createContact", json=body)


@pytest.mark.parametrize("kind", ["lost_reply", "truncate", "lost_request"])
async def test_01_the_crms_reply_is_lost_and_nothing_is_there_twice(
    place: Town, tmp_path: Path, kind: str
) -> None:
    """Creates in both objects that the mailbox feeds; the CRM did them, or did not, and nobody was told."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=ON), clock=HastyClock()) as service:
        await until_quiet(place, service)
        person(place, "Neu")
        times = ({"dateTime": f"{day(9)}T{hour}:00:00Z"} for hour in ("09", "10"))
        mail_event(place, user, "Lost and found", *times)
        route = {"service": "salesforce", "route": "composite", "verb": "POST", "kind": kind, "times": 3}
        place.fault(route)
        await until_quiet(place, service)
        assert all(place.struck().values())
        assert len(place.soql("SELECT Id FROM Contact WHERE LastName = 'Neu'")) == 1
        assert subjects(place, "Lost and found") == ["Lost and found"]
        assert len([one for one in place.contacts(user) if "Neu" in str(one["names"])]) == 1
        assert_no_doubles(place)
        await assert_all_green(service)


async def test_09_a_query_locator_of_the_crm_that_dies_between_two_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first page of what changed was read; the second is refused: nothing of it is lost, nothing taken for deleted."""
    monkeypatch.setattr(http, "_HEADERS", {**http._HEADERS, "sforce-query-options": "batchSize=200"})
    sizes = TINY | {"contacts": 215, "appointments": 0, "tasks": 0, "opportunities": 0}
    with town(tmp_path, users=1, sizes=sizes) as place:
        user = place.users[0]
        async with engine(tmp_path, place.config(policy=ON), clock=HastyClock()) as service:
            await until_quiet(place, service)
            found = ours(place.contacts(user), "003")
            place.remove("Contact", record_of(found[0]))
            for one in found[1:]:
                place.change("Contact", record_of(one), Title="Chief of Maps")
            refusal = [{"errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid query locator"}]
            place.fault({"service": "salesforce", "route": r"/query/\w", "status": 400, "body": refusal})
            await service.sync("Demo", "admin")
            assert all(place.struck().values()), "there was no second page"
            await until_quiet(place, service)
            shown = ours(place.contacts(user), "003")
            assert len(shown) == len(found) - 1
            assert all("Chief of Maps" in str(one["organizations"]) for one in shown)
            await assert_all_green(service)
            assert_no_doubles(place)


async def test_23_a_403_of_the_crms_quota_waits_and_loses_nothing(place: Town, tmp_path: Path) -> None:
    """REQUEST_LIMIT_EXCEEDED comes as a 403: no bad credential, no missing permission, and nothing for a person to do."""
    body = [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]
    async with engine(tmp_path, place.config(policy=ON), clock=HastyClock()) as service:
        await cycle(service)
        person(place, "Neu")
        for route in ("composite", "query"):
            place.fault({"service": "salesforce", "route": route, "status": 403, "body": body, "times": 2})
            report = await service.sync("Demo", "admin")
            assert not service.store.policies["Demo"].fault, "it waits for a person"
            assert "permission" not in str(report["users"]).casefold()
            assert "credential" not in str(report["users"]).casefold()
            place.mend()
        await until_quiet(place, service)
        assert len(place.soql("SELECT Id FROM Contact WHERE LastName = 'Neu'")) == 1
        assert_no_doubles(place)
        await assert_all_green(service)
