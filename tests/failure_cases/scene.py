"""What the stories share: cycles of a real engine, and what people do on either side by plain HTTP."""

from __future__ import annotations

from typing import Any

from engine.service import Service
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    assert_no_doubles,
)

#: A mailbox with next to nothing in it.
TINY = {
    "contacts": 3,
    "leads": 0,
    "appointments": 3,
    "calls": 0,
    "service_calls": 0,
    "tasks": 1,
    "opportunities": 1,
    "cases": 0,
}
PRIMARY = "calendar/v3/calendars/primary/events"


async def cycle(service: Service) -> dict[str, Any]:
    """One cycle, which must end well."""
    report = await service.sync("Demo", "admin")
    assert_idle(report)
    return report


async def until_quiet(place: Town, service: Service, most: int = 8) -> None:
    """Run cycles until one ends well for everybody and writes nothing; at most so many."""
    for _ in range(most):
        place.reset()
        report = await service.sync("Demo", "admin")
        if {user["state"] for user in report["users"]} == {"idle"} and report["totals"]["writes"] == 0:
            assert place.writes() == {}
            return
    raise AssertionError(f"not quiet after {most} cycles: {report['users']}, {place.writes()}")


async def settled(place: Town, service: Service) -> None:
    """At most one more cycle of echoes, then one that writes nothing; nobody was mailed, nothing is there twice."""
    await cycle(service)
    assert place.stats()["google.mails"] == 0
    place.reset()
    assert (await cycle(service))["totals"]["writes"] == 0
    found = place.writes()
    assert not found, found
    assert_no_doubles(place)
    await assert_all_green(service)


def record_of(item: dict[str, Any]) -> str:
    """The CRM record that a contact or event of a mailbox mirrors."""
    for entry in item.get("clientData", []):
        if entry["key"] == "syncline_key":
            return str(entry["value"].split(".")[1])
    return str(item["extendedProperties"]["private"]["syncline_key"].split(".")[1])


def ours(found: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """Those items that mirror records of one object (``003`` contacts, ``00U`` events)."""
    return [one for one in found if f"'c.{prefix}" in str(one) and "recurringEventId" not in one]


def colour(place: Town, user: str) -> str:
    """The colour id that makes an event of the mailbox an appointment of the CRM."""
    return str(
        next(event for event in place.events(user) if "'syncline_kind': 'appointment'" in str(event))["colorId"]
    )


def mail_event(place: Town, user: str, summary: str, start: Any, end: Any, **more: Any) -> dict[str, Any]:
    """A person makes an appointment in the mailbox, in the CRM's colour."""
    body = {"summary": summary, "start": start, "end": end, "colorId": colour(place, user), **more}
    made: dict[str, Any] = place.google(user, "POST", PRIMARY, json=body)
    return made


def crm_event(place: Town, user: str, subject: str, start: str, **more: Any) -> str:
    """A person makes an appointment of half an hour in the CRM; returns its id."""
    body = {
        "Subject": subject,
        "StartDateTime": start,
        "DurationInMinutes": 30,
        "OwnerId": place.crm_user(user),
        **more,
    }
    return str(place.crm("POST", "sobjects/Event", json=body)["id"])


def shown(place: Town, user: str, record: str) -> dict[str, Any]:
    """The one event of the mailbox that mirrors a record."""
    [event] = [one for one in ours(place.events(user), "00U") if record_of(one) == record]
    return event


def subjects(place: Town, like: str) -> list[str]:
    """Subjects of the CRM's events that begin so, series as one."""
    rows = place.soql(
        f"SELECT Subject FROM Event WHERE Subject LIKE '{like}%' AND RecurrenceActivityId = null ORDER BY Subject"
    )
    return [row["Subject"] for row in rows]


def summaries(place: Town, user: str, like: str) -> list[str]:
    """Summaries of the mailbox's events that begin so, series as one."""
    return sorted(
        one["summary"]
        for one in place.events(user)
        if one.get("summary", "").startswith(like) and "recurringEventId" not in one
    )
