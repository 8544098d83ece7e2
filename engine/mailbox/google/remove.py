"""Takes away the containers that we made in a mailbox, when a policy leaves it: only those that hold nothing any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.mailbox.google import colours, people_groups, quickconnect
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.mailbox.google.gmail_labels import list_labels
from engine.mailbox.google.gmail_names import fold
from engine.mailbox.google.settings import Api
from engine.model.port import Account
from engine.net.errors import ProviderError

#: Google's alias of the calendar that bears the person's address; its event labels are ours, it is not.
PRIMARY = "primary"


async def remove(client: GoogleClient, account: Account, made: Mapping[str, str]) -> dict[str, str]:
    """Remove contact groups, a separate calendar, event labels and the label tree, as far as they are empty.

    Idempotent: what is gone already counts as removed.

    Args:
        client: Google.
        account: the mailbox.
        made: ids by logical name (``Containers.ids``) of what we made there.

    Returns:
        by logical name: why it stays, empty when it was removed.

    Raises:
        ProviderError: a call failed; a repeat goes on where it was.
    """
    told: dict[str, str] = {}
    groups = {name: value for name, value in made.items() if name.startswith("group:")}
    if groups:
        told |= await _groups(client, account, groups)
    calendar = made.get("calendar", PRIMARY)
    if calendar != PRIMARY:
        told["calendar"] = await _calendar(client, account, calendar)
    marks = {name: value for name, value in made.items() if value.startswith("label:")}
    marks = {name: value for name, value in marks.items() if name.startswith("colour:")}
    if marks:
        told |= await _event_labels(client, account, marks)
    labels = {name: value for name, value in made.items() if name.startswith("label:")}
    if labels:
        told |= await _labels(client, account, labels)
    # A colour of Google's palette was chosen, not made.
    return {**dict.fromkeys(made, ""), **told}


async def _groups(client: GoogleClient, account: Account, groups: Mapping[str, str]) -> dict[str, str]:
    present = await people_groups.own_groups(client, account)
    told: dict[str, str] = {}
    for name, resource in groups.items():
        group = present.get(resource)
        members = int((group or {}).get("memberCount") or 0)
        if members:
            told[name] = f"{members} contact{'' if members == 1 else 's'} of the person's own in it"
        elif group is not None and resource not in {groups[one] for one in told}:
            request = client.people.contactGroups.delete(resourceName=resource, deleteContacts=False)
            await _gone_or_done(client, account, request)
            present.pop(resource)
            told[name] = ""
    return told


async def _calendar(client: GoogleClient, account: Account, calendar: str) -> str:
    try:
        if any(one.get("status") != "cancelled" for one in await _events(client, account, calendar)):
            return "there are events of the person's own in it"
    except HttpFailure as error:
        if error.status in {404, 410}:
            return ""
        raise
    await _gone_or_done(client, account, client.calendar.calendars.delete(calendarId=calendar))
    return ""


async def _events(client: GoogleClient, account: Account, calendar: str) -> list[dict[str, Any]]:
    """Status and label of all events. Google lists cancelled occurrences of series even when nothing deleted is asked for."""
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    while True:
        request = client.calendar.events.list(
            calendarId=calendar, maxResults=2500, fields="nextPageToken,items(eventLabelId,status)", **page
        )
        answer = await client.execute(request, account, idempotent=True)
        found += answer.get("items") or ()
        if not answer.get("nextPageToken"):
            return found
        page = {"pageToken": answer["nextPageToken"]}


async def _event_labels(client: GoogleClient, account: Account, marks: Mapping[str, str]) -> dict[str, str]:
    """Take our event labels off the calendar's list; the list is written as a whole, guarded by its version."""
    used = await _used_labels(client, account)
    told = {
        name: "events of the person's own carry it" if value.removeprefix("label:") in used else ""
        for name, value in marks.items()
    }
    away = {value.removeprefix("label:") for name, value in marks.items() if not told[name]}
    for attempt in range(colours.TRIES):
        document = await client.execute(
            client.calendar.calendars.get(calendarId=PRIMARY), account, idempotent=True
        )
        labels = list((document.get("labelProperties") or {}).get("eventLabels") or ())
        left = [label for label in labels if str(label.get("id")) not in away]
        if len(left) == len(labels):
            return told
        request = client.calendar.calendars.patch(
            calendarId=PRIMARY, body={"labelProperties": {"eventLabels": left}}
        )
        if document.get("etag"):
            request.headers["If-Match"] = document["etag"]
        try:
            await client.execute(request, account, idempotent=True)
        except ProviderError as error:
            if error.status != 412 or attempt == colours.TRIES - 1:
                raise
            continue
        return told
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _used_labels(client: GoogleClient, account: Account) -> set[str]:
    return {
        str(event["eventLabelId"])
        for event in await _events(client, account, PRIMARY)
        if event.get("eventLabelId") and event.get("status") != "cancelled"
    }


async def _labels(client: GoogleClient, account: Account, labels: Mapping[str, str]) -> dict[str, str]:
    """The label tree from its leaves; a label under which anything is left stays."""
    names = {str(row["id"]): str(row["name"]) for row in await list_labels(client, account)}
    filed = await occupied(client, account, [value for value in labels.values() if value in names])
    told: dict[str, str] = {}
    for name in sorted(labels, key=lambda one: one.count("/"), reverse=True):
        identity = labels[name]
        if identity not in names:
            continue
        prefix = fold(names[identity]) + "/"
        if identity in filed:
            told[name] = "there are mails of the person's own under it"
        elif any(fold(other).startswith(prefix) for other in names.values()):
            told[name] = "there are labels below it"
        else:
            await _gone_or_done(client, account, client.gmail.users.labels.delete(userId="me", id=identity))
            names.pop(identity)
    return told


async def occupied(client: GoogleClient, account: Account, labels: Sequence[str]) -> set[str]:
    """Those of the labels under which other mails than our own are filed; one batch per 50 labels.

    Raises:
        ProviderError: a read failed.
    """
    requests = [
        client.gmail.users.messages.list(
            userId="me", labelIds=[label], q=f"-from:{quickconnect.SENDER}", maxResults=1
        )
        for label in labels
    ]
    parts = await client.execute_batch(Api.GMAIL, requests, account)
    found = set()
    for label, part in zip(labels, parts, strict=True):
        if part.error is not None and part.status not in {400, 404}:
            raise part.error
        if part.ok and part.body.get("messages"):
            found.add(label)
    return found


async def _gone_or_done(client: GoogleClient, account: Account, request: Any) -> None:
    """A delete that finds nothing has what it wants."""
    try:
        await client.execute(request, account, idempotent=True)
    except HttpFailure as error:
        if error.status not in {404, 410}:
            raise
