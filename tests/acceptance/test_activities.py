"""The next activities of a record stand in its quick connect mail, and follow the CRM without another call."""

from __future__ import annotations

import base64
import email
import email.policy
from collections import Counter
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.mails import opportunity, record_labels
from tests.acceptance.test_filing import SIZES
from tests.acceptance.town import Town, assert_idle, engine, town


def quick_connect(place: Town, user: str, label: str) -> tuple[str, set[str], EmailMessage]:
    """The one mail in a record's label: its id, labels and content."""
    found = place.google(user, "GET", "gmail/v1/users/me/messages", params={"labelIds": label})
    (row,) = found["messages"]
    whole = place.google(user, "GET", f"gmail/v1/users/me/messages/{row['id']}", params={"format": "raw"})
    mail = email.message_from_bytes(base64.urlsafe_b64decode(whole["raw"] + "=="), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return row["id"], set(whole["labelIds"]), mail


def text(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def calls(place: Town) -> int:
    """Calls of the CRM since the last reset."""
    stats: Counter[str] = place.stats()
    return sum(
        count for name, count in stats.items() if name.startswith("salesforce.") and name != "salesforce.logins"
    )


@pytest.mark.asyncio
async def test_next_activities_stand_in_the_mail_and_follow(tmp_path: Path) -> None:
    with town(tmp_path / "town", users=1, sizes=SIZES | {"tasks": 0}) as place:
        user = place.users[0]
        name = place.soql("SELECT Name FROM Opportunity WHERE IsClosed = false")[0]["Name"]
        record = opportunity(place, name)

        def make(sobject: str, **fields: Any) -> str:
            body = {"WhatId": record, "OwnerId": place.crm_user(user), **fields}
            return str(place.crm("POST", f"sobjects/{sobject}", json=body)["id"])

        task = make("Task", Subject="Send <the> offer", ActivityDate="2027-01-04", Status="Not Started")
        make("Task", Subject="Some day", Status="Not Started")
        make("Task", Subject="Long done", ActivityDate="2027-01-01", Status="Completed")
        event = {"DurationInMinutes": 60, "StartDateTime": "2027-01-03T13:30:00.000+0000"}
        make("Event", Subject="Meet the board", **event)
        make("Event", Subject="Nobody's business", IsPrivate=True, **event)
        async with engine(tmp_path, place.config(policy="enabled = true")) as service:
            assert_idle(await service.sync("Demo", "admin"))
            label = record_labels(place, user)[name]
            first, labels, mail = quick_connect(place, user, label)
            plain, page = text(mail, "plain"), text(mail, "html")
            lines = [line for line in plain.splitlines() if line.startswith("- ")]
            assert [line.partition(" appointment")[0].partition(" task")[0] for line in lines][1:] == [
                "- 2027-01-04",
                "- no date",
            ]
            assert lines[0].endswith("appointment: Meet the board")
            assert "T13:30" not in lines[0]  # the mailbox's own time
            assert "Send &lt;the&gt; offer" in page
            assert "Long done" not in plain
            assert "Nobody's business" not in plain
            assert not labels & {"UNREAD", "INBOX"}

            assert_idle(await service.sync("Demo", "admin"))
            place.reset()
            assert_idle(await service.sync("Demo", "admin"))
            idle = calls(place)
            assert quick_connect(place, user, label)[0] == first

            # What is done goes; the mail is replaced in its place, and is not unread for it. It costs one call of the CRM.
            place.change("Task", task, Status="Completed")
            place.reset()
            assert_idle(await service.sync("Demo", "admin"))
            assert calls(place) == idle + 1
            second, labels, mail = quick_connect(place, user, label)
            assert second != first
            assert not labels & {"UNREAD", "INBOX"}
            assert "Send <the> offer" not in text(mail, "plain")
            assert "Meet the board" in text(mail, "plain")
            place.crm(
                "DELETE",
                f"sobjects/Event/{place.soql('SELECT Id FROM Event WHERE IsPrivate = false')[0]['Id']}",
            )
            assert_idle(await service.sync("Demo", "admin"))
            assert "Meet the board" not in text(quick_connect(place, user, label)[2], "plain")

        # Another policy: without activities the mails lose them, and the CRM is asked as before.
        off = place.config(policy="enabled = true\nlabels = { activities = 0 }")
        async with engine(tmp_path, off) as service:
            assert_idle(await service.sync("Demo", "admin"))
            assert "Next activities" not in text(quick_connect(place, user, label)[2], "plain")
            assert_idle(await service.sync("Demo", "admin"))
            place.reset()
            assert_idle(await service.sync("Demo", "admin"))
            assert calls(place) == idle
