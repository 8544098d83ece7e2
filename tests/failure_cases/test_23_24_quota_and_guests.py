"""23: quotas that are taken for bad credentials, and writes dropped by them. 24: guests who are mailed by a sync."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.town import Town, assert_all_green, assert_no_doubles, day, engine, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import TINY, crm_event, cycle, mail_event, ours, record_of, settled, until_quiet

CREATES = {
    "events": r"calendar\.events\.insert$",
    "contacts": "batchCreateContacts",
    "tasks": r"tasks\.tasks\.insert$",
    "labels": r"labels\.create$",
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=2, sizes=TINY | {"contacts": 8, "appointments": 12}) as running:
        yield running


def refusal(reason: str) -> dict[str, Any]:
    row = {"domain": "usageLimits", "reason": reason, "message": "Rate Limit Exceeded"}
    return {"error": {"code": 403, "errors": [row], "message": "Rate Limit Exceeded"}}


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded"])
async def test_23_a_403_of_a_quota_waits_and_loses_nothing(place: Town, tmp_path: Path, reason: str) -> None:
    """It is no bad credential and no missing permission: the mailbox is not stopped, and every write is made."""
    place.fault(
        *(
            {"service": "google", "route": route, "status": 403, "body": refusal(reason), "times": 1}
            for route in CREATES.values()
        )
    )
    async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
        for _ in range(3):
            report = await service.sync("Demo", "admin")
            assert "failed" not in {user["state"] for user in report["users"]}, report["users"]
            assert not service.store.policies["Demo"].fault
        assert sum(place.struck().values()) >= 3, place.struck()
        place.mend()
        await until_quiet(place, service)
        assert_no_doubles(place)
        await assert_all_green(service)
    assert place.stats()["google.mails"] == 0


async def test_23_a_403_of_a_permission_is_told_as_one(place: Town, tmp_path: Path) -> None:
    """The same status with another reason waits for a person, and says for what."""
    place.fault(
        {
            "route": r"connections\.list$",
            "status": 403,
            "body": refusal("insufficientPermissions"),
            "times": None,
        }
    )
    async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
        report = await service.sync("Demo", "admin")
        for user in report["users"]:
            assert "Domain-wide delegation" in user["text"]
        place.mend()
        await until_quiet(place, service)
        await assert_all_green(service)


async def test_24_no_guest_hears_of_the_first_or_the_second_users_sync(place: Town, tmp_path: Path) -> None:
    """Appointments with guests outside and inside the company: made, edited, deleted, and nobody gets a mail."""
    ann, juan = place.users
    guests = f"guest@elsewhere.example;Guest;none;false\n{juan};Juan;none;false"
    record = crm_event(place, ann, "With guests", f"{day(12)}T09:00:00Z", Syncline_Attendees__c=guests)
    async with engine(tmp_path, place.config(users=[ann], policy="enabled = true")) as service:
        await cycle(service)
        assert place.stats()["google.mails"] == 0
        [event] = [one for one in ours(place.events(ann), "00U") if record_of(one) == record]
        assert {guest["email"] for guest in event["attendees"]} >= {"guest@elsewhere.example", juan}
        # The second user, who is a guest of the first one's appointment, comes under the policy.
        config = place.config(policy="enabled = true")
        assert (await service.apply(config, "both.toml", "admin")).ok
        await cycle(service)
        await cycle(service)
        place.change("Event", record, StartDateTime=f"{day(12)}T11:00:00Z", EndDateTime=f"{day(12)}T11:30:00Z")
        await cycle(service)
        place.remove("Event", record)
        await cycle(service)
        await cycle(service)
        assert place.stats()["google.mails"] == 0
        await settled(place, service)


async def test_24_an_appointment_of_two_mailboxes_is_one_in_the_crm(place: Town, tmp_path: Path) -> None:
    """One invites the other; both paint it in the CRM's colour: one record, owned by who invited."""
    ann, juan = place.users
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        times = ({"dateTime": f"{day(12)}T{hour}:00:00Z"} for hour in ("09", "10"))
        event = mail_event(place, ann, "Shared", *times, attendees=[{"email": juan}])
        [copy] = [one for one in place.events(juan) if one.get("summary") == "Shared"]
        path = f"calendar/v3/calendars/primary/events/{copy['id']}"
        place.google(juan, "PATCH", path, json={"colorId": event["colorId"]}, params={"sendUpdates": "none"})
        for _ in range(3):
            await cycle(service)
        rows = place.soql("SELECT Id, OwnerId FROM Event WHERE Subject = 'Shared'")
        assert [row["OwnerId"] for row in rows] == [place.crm_user(ann)]
        for user in (ann, juan):
            assert len([one for one in place.events(user) if one.get("summary") == "Shared"]) == 1
        place.change("Event", rows[0]["Id"], Subject="Shared, renamed")
        for _ in range(2):
            await cycle(service)
        for user in (ann, juan):
            assert len([one for one in place.events(user) if one.get("summary") == "Shared, renamed"]) == 1
        await settled(place, service)
