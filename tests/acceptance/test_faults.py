"""Providers have bad days: nothing is doubled, nothing is missing, and whoever is not concerned goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.service import Service
from tests.acceptance.conftest import Portraits
from tests.acceptance.town import (
    assert_all_green,
    assert_idle,
    assert_like,
    assert_no_doubles,
    engine,
    town,
)
from tests.clocks import HastyClock

#: Every kind of create at Google: what its reply is called.
CREATES = {
    "groups": {"route": r"contactGroups\.create$", "verb": "POST"},
    "contacts": {"route": "batchCreateContacts", "verb": "POST"},
    "events": {"route": "/batch/calendar", "verb": "POST"},
    "tasks": {"route": r"tasks\.tasks\.insert$", "verb": "POST"},
    "labels": {"route": r"labels\.create$", "verb": "POST"},
    "mails and label batches": {"route": "^/batch$", "verb": "POST"},
}


async def until_quiet(service: Service, most: int = 8) -> list[dict[str, Any]]:
    """Run cycles until one ends well for everybody and writes nothing; at most so many."""
    reports = []
    for _ in range(most):
        reports.append(await service.sync("Demo", "admin"))
        states = {user["state"] for user in reports[-1]["users"]}
        if states == {"idle"} and reports[-1]["totals"]["writes"] == 0:
            return reports
    raise AssertionError(f"not quiet after {most} cycles: {reports[-1]['users']}")


@pytest.mark.parametrize("kind", ["lost_reply", "truncate"])
async def test_creates_whose_reply_is_lost_are_made_once(tmp_path: Path, calm: Portraits, kind: str) -> None:
    """The provider does what it is asked, and its answer never arrives, once for every kind of create."""
    with town(tmp_path) as place:
        place.fault(*({"service": "google", "kind": kind, "times": 2, **one} for one in CREATES.values()))
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
            await until_quiet(service)
            assert all(place.struck().values()), place.struck()
            assert_no_doubles(place)
            assert_like(place, calm)
            await assert_all_green(service)
        assert place.stats()["google.mails"] == 0


async def test_a_day_of_refusals_and_errors(tmp_path: Path, calm: Portraits) -> None:
    """503, 429 with Retry-After, lost requests, cut answers and slowness, at random and at both providers."""
    weather = [
        {"service": "*", "kind": "status", "status": 503, "probability": 0.12, "times": 12},
        {
            "service": "google",
            "kind": "status",
            "status": 429,
            "headers": {"Retry-After": "1"},
            "probability": 0.1,
            "times": 6,
        },
        {"service": "*", "kind": "lost_request", "probability": 0.08, "times": 6},
        {"service": "*", "kind": "lost_reply", "probability": 0.08, "times": 8},
        {"service": "*", "kind": "truncate", "probability": 0.08, "times": 8},
        {"service": "*", "kind": "latency", "seconds": 0.05, "probability": 0.2, "times": 40},
    ]
    with town(tmp_path) as place:
        place.fault(*weather)
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
            await until_quiet(service, 12)
            assert sum(place.struck().values()) > 20
            place.mend()
            assert_no_doubles(place)
            assert_like(place, calm)
            await assert_all_green(service)
        assert place.stats()["google.mails"] == 0


async def test_a_record_made_in_the_crm_once_although_the_reply_is_lost(tmp_path: Path) -> None:
    """Contacts made in the mailbox go to the CRM by their key: a repeat finds them."""
    with town(tmp_path, users=1) as place:
        user = place.users[0]
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
            await until_quiet(service)
            group = place.groups(user)["CRM Contacts"]
            for number in range(5):
                body = {
                    "names": [{"givenName": "Nora", "familyName": f"Neu{number}"}],
                    "memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}}],
                }
                place.google(user, "POST", "v1/people:createContact", json=body)
            place.fault(
                {
                    "service": "salesforce",
                    "kind": "lost_reply",
                    "route": "composite",
                    "verb": "POST",
                    "times": 2,
                }
            )
            await until_quiet(service)
            assert all(place.struck().values())
            rows = place.soql("SELECT LastName FROM Contact WHERE FirstName = 'Nora' ORDER BY LastName")
            assert [row["LastName"] for row in rows] == [f"Neu{number}" for number in range(5)]
            assert_no_doubles(place)
            await assert_all_green(service)


async def test_a_mailbox_without_access_fails_alone(tmp_path: Path) -> None:
    """A stranger to Google and a stranger to the CRM are named with what to do; the others are synchronised."""
    with town(tmp_path) as place:
        config = place.config(policy="enabled = true")
        config += f'[[users]]\nemail = "ghost@acme.example"\npolicy = "Demo"\ncrm_user = "{place.crm_user(place.users[0])}"\n'
        config += '[[users]]\nemail = "nobody@elsewhere.example"\npolicy = "Demo"\n'
        async with engine(tmp_path, config) as service:
            report = await service.sync("Demo", "admin")
            found = {user["email"]: user for user in report["users"]}
            for user in place.users:
                assert found[user]["state"] == "idle"
            assert found["ghost@acme.example"]["state"] == "failed"
            assert "ghost@acme.example" in found["ghost@acme.example"]["text"]
            assert "user of the domain" in found["ghost@acme.example"]["text"]
            stranger = found["nobody@elsewhere.example"]
            assert stranger["state"] == "failed"
            assert "no active user of the CRM has the address nobody@elsewhere.example" in stranger["text"]
            assert "crm_user" in stranger["text"]
            failed = {row.mailbox for row in await service.verify() if not row.ok}
            assert failed == {"ghost@acme.example", "nobody@elsewhere.example"}
            # Without a mend they do not come back by themselves; the others do, and stay quiet.
            again = await service.sync("Demo", "admin")
            assert again["totals"]["writes"] == 0


async def test_expired_tokens_and_sessions_are_renewed(tmp_path: Path) -> None:
    """Two hours later every token is stale; and one is refused before its time."""
    with town(tmp_path) as place:
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
            await until_quiet(service)
            place.advance(7200)
            assert_idle(await service.sync("Demo", "admin"))
            invalid = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
            place.fault(
                {"route": r"connections\.list$", "kind": "status", "status": 401, "times": 2},
                {"service": "salesforce", "kind": "status", "status": 401, "body": invalid, "times": 1},
            )
            place.reset()
            report = await service.sync("Demo", "admin")
            assert_idle(report)
            assert report["totals"]["writes"] == 0
            assert all(place.struck().values())
            assert place.writes() == {}


async def test_expired_cursors_cost_a_full_reading_and_nothing_else(tmp_path: Path) -> None:
    """People's token after eight days, Calendar's 410, Gmail's lost history: all is read again, nothing is written."""
    with town(tmp_path) as place:
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
            await until_quiet(service)
            place.reset()
            gone = {
                "reason": "fullSyncRequired",
                "domain": "calendar",
                "message": "Sync token is no longer valid",
            }
            expired = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "EXPIRED_SYNC_TOKEN",
                "domain": "people.googleapis.com",
            }
            place.fault(
                {
                    "route": r"calendar\.events\.list$",
                    "kind": "status",
                    "status": 410,
                    "times": 2,
                    "body": {"error": {"code": 410, "errors": [gone], "message": gone["message"]}},
                },
                {
                    "route": r"connections\.list$",
                    "kind": "status",
                    "status": 400,
                    "times": 2,
                    "body": {
                        "error": {
                            "code": 400,
                            "status": "FAILED_PRECONDITION",
                            "message": "Sync token is expired.",
                            "details": [expired],
                        }
                    },
                },
                {"route": r"history\.list$", "kind": "status", "status": 404, "times": 2},
            )
            await until_quiet(service)
            assert place.struck() == dict.fromkeys(place.struck(), 2)
            assert place.writes() == {}
            place.mend()
            # Eight days later People has forgotten its token, and every access token is stale.
            place.advance(8 * 86_400)
            await until_quiet(service)
            assert place.writes() == {}
            assert_no_doubles(place)
            await assert_all_green(service)
