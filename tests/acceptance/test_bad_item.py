"""One bad item among five hundred: the other 499 arrive at the price of 500, and the mailbox is never in trouble."""

from __future__ import annotations

from pathlib import Path

from engine.service import Settle, SettleHeld, UserState, Waits
from tests.acceptance.town import engine, town
from tests.clocks import AheadClock, HastyClock

ALONE = dict.fromkeys(
    ("leads", "appointments", "calls", "service_calls", "tasks", "opportunities", "cases"), 0
) | {"contacts": 1}

NUMBER = 500
BAD = 321


#: Only the cycles that the test asks for, however far its clock is ahead.
POLICY = """enabled = true
[policies.Demo.scheduling]
label_check_minutes = 1440
workdays = { minutes = 1440 }
weekends = { minutes = 1440 }
"""


class Clock(AheadClock, HastyClock):
    """Ahead and hasty."""


async def test_one_bad_item_of_five_hundred(tmp_path: Path) -> None:
    clock = Clock()
    with town(tmp_path, users=1, sizes=ALONE) as place:
        user = place.users[0]
        async with engine(tmp_path, place.config(policy=POLICY), clock=clock) as service:
            await service.sync("Demo", "admin")
            idle = (await service.sync("Demo", "admin"))["totals"]["calls"]
            group = place.groups(user)["CRM Contacts"]
            people = [
                {
                    "names": [{"givenName": "Nora", "familyName": f"New{number:03d}"}],
                    "emailAddresses": [
                        {"value": "no address" if number == BAD else f"nora{number}@acme.example"}
                    ],
                    "memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}}],
                }
                for number in range(NUMBER)
            ]
            for start in range(0, NUMBER, 200):
                body = {
                    "contacts": [{"contactPerson": one} for one in people[start : start + 200]],
                    "readMask": "names",
                }
                place.google(user, "POST", "v1/people:batchCreateContacts", json=body)

            report = await service.sync("Demo", "admin")
            counts = report["users"][0]["modules"]["contact"]
            assert (counts["created"], counts["failed"]) == (NUMBER - 1, 1)
            assert report["users"][0]["state"] == "idle"
            rows = place.soql("SELECT LastName FROM Contact WHERE FirstName = 'Nora'")
            assert len({row["LastName"] for row in rows}) == len(rows) == NUMBER - 1
            # The floor: what an idle cycle reads, and a call for every 200 records; a handful more to tell the bad one.
            floor = idle + -(-NUMBER // 200)
            assert report["totals"]["calls"] <= floor + 6, (report["totals"], idle)
            lines = [line.text for line in service.store.lines[user]]
            assert any(text.startswith("item fault: contact 'Nora New321' to CRM: refused") for text in lines)

            # It comes back alone, ever more rarely, and is set aside after five tries; nobody waits for it.
            for wait in (30, 60, 120, 240):
                quiet = await service.sync("Demo", "admin")
                assert quiet["totals"]["writes"] == 0
                assert quiet["totals"]["calls"] == idle
                clock.ahead_ms += wait * 1000 + 1000
                tried = await service.sync("Demo", "admin")
                assert tried["totals"]["calls"] <= idle + 2
                assert service.store.users[user].state is UserState.IDLE
            (held,) = await service.waiting(user)
            assert (held.kind, held.name) == (Waits.QUARANTINE, "Nora New321")
            # Nobody need look for it: it is an incident, and one of its own.
            (incident,) = service.store.live_incidents.values()
            assert (incident.kind, incident.subject, incident.count) == ("quarantine", user, 1)
            assert incident.text.startswith("1 item was refused too often and set aside: ")
            assert incident.due_ms == incident.first_ms + 60_000
            told = (await service.explain("nora new321")).item
            assert told is not None
            assert told.answer.startswith("In quarantine after it was refused too often: ")

            answer = await service.do(SettleHeld(user, (held.id,), Settle.DISMISS), "alice")
            assert answer.ok
            assert "1 item dismissed: it comes back when it changes on either side" in answer.text
            assert await service.waiting(user) == []
            assert service.store.users[user].held == 0
            assert incident.state == "dismissed"
            page = await service.filtered(user)
            assert [(one.kind, one.count) for one in page.counts if one.kind == "dismissed"] == [
                ("dismissed", 1)
            ]
            place.reset()
            assert (await service.sync("Demo", "admin"))["totals"]["calls"] == idle
            assert place.writes() == {}

            # The person mends it: it crosses over.
            [person] = [one for one in place.contacts(user) if "New321" in str(one["names"])]
            mended = {"etag": person["etag"], "emailAddresses": [{"value": "nora321@acme.example"}]}
            path = f"v1/{person['resourceName']}:updateContact?updatePersonFields=emailAddresses"
            place.google(user, "PATCH", path, json=mended)
            await service.sync("Demo", "admin")
            assert (
                place.soql("SELECT Email FROM Contact WHERE LastName = 'New321'")[0]["Email"]
                == "nora321@acme.example"
            )
