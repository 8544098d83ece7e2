"""A town of Exchange mailboxes by the days from now on which its people meet, for runs of CalendarSynchronization."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.acceptance.mailroom import Mailroom

#: A company whose people have nothing but what the test gives them.
NOBODY_MEETS: Mapping[str, int] = dict.fromkeys(
    ("contacts", "leads", "appointments", "calls", "service_calls", "tasks", "opportunities", "cases"), 0
)

#: Lines of a policy that synchronises appointments and nothing else: it makes no folders.
OFF = "".join(
    f"[policies.Demo.modules.{name}]\nenabled = false\n"
    for name in ("contact", "lead", "task", "opportunity", "case")
)


@dataclass
class Calendars(Mailroom):
    """The calendars of both sides.

    Attributes:
        now: the moment from which days are counted, whole seconds.
    """

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def at(self, days: float) -> datetime:
        """The moment so many days from now."""
        return self.now + timedelta(days=days)

    def meet(self, user: str, subject: str, days: float, **more: Any) -> str:
        """An appointment of half an hour in the CRM that ends so many days from now; its record."""
        start = self.at(days) - timedelta(minutes=30)
        body = {
            "Subject": subject,
            "OwnerId": self.place.crm_user(user),
            "StartDateTime": stamp(start),
            "DurationInMinutes": 30,
            **more,
        }
        return str(self.place.crm("POST", "sobjects/Event", json=body)["id"])

    def meet_in_outlook(self, user: str, subject: str, days: float, whole: str = "") -> str:
        """The same in the person's mailbox, marked for the CRM; its id. ``whole``: a day, in the zone that Windows calls so."""
        end = self.at(days)
        start = end - (timedelta(days=1) if whole else timedelta(minutes=30))
        more = (
            f'<t:IsAllDayEvent>true</t:IsAllDayEvent><t:StartTimeZone Id="{whole}"/><t:EndTimeZone Id="{whole}"/>'
            if whole
            else ""
        )
        return self.create(
            user,
            "calendar",
            f"<t:CalendarItem><t:Subject>{subject}</t:Subject><t:Categories><t:String>CRM Appointment</t:String>"
            f"</t:Categories><t:Start>{stamp(start)}</t:Start><t:End>{stamp(end)}</t:End>{more}</t:CalendarItem>",
        )

    def in_outlook(self, user: str) -> list[tuple[str, str, str]]:
        """What a mailbox shows of the CRM: subject, start, end, sorted."""
        return sorted(
            (item.shown["Subject"], item.shown["Start"], item.shown["End"])
            for item in self.calendar(user)
            if item.shown.get("Categories") == "CRM Appointment"
        )

    def in_crm(self, user: str) -> list[tuple[str, str, str]]:
        """What the CRM shows of a person's appointments: subject, start, end, sorted."""
        rows = self.place.soql(
            "SELECT Subject, StartDateTime, EndDateTime FROM Event WHERE OwnerId = "
            f"'{self.place.crm_user(user)}'"
        )
        return sorted(
            (
                row["Subject"],
                *(
                    stamp(datetime.fromisoformat(row[name][:19]).replace(tzinfo=UTC))
                    for name in ("StartDateTime", "EndDateTime")
                ),
            )
            for row in rows
        )

    def subjects(self, user: str) -> list[str]:
        """Subjects in a mailbox of what it shares with the CRM, sorted."""
        return [subject for subject, _, _ in self.in_outlook(user)]

    def company(self, sizes: Mapping[str, int]) -> str:
        """The declarative file with a policy for each mailbox, at connections of other batch sizes: ``{user: size}``."""
        head, _, _ = self.config(users=[]).partition("[policies.Demo]")
        crm, _, mail = head.partition("[connections.mail]")
        lines = [crm]
        for number, (user, size) in enumerate(sizes.items()):
            lines += [f"[connections.mail{number}]", mail, f"batch_size = {size}", f"[policies.P{number}]"]
            lines += [
                "enabled = true",
                'crm = "crm"',
                f'mailbox = "mail{number}"',
                'mailbox_deletes = "mirror"',
            ]
            lines += ["[[users]]", f"email = {json.dumps(user)}", f'policy = "P{number}"']
        return "\n".join(lines) + "\n"


def stamp(moment: datetime) -> str:
    """A moment as both providers write it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
