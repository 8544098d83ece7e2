"""Builds what a policy needs in a mailbox, calendar and task list, and reads it back.

Groups are in ``people_groups``, mail labels in ``gmail``; here they are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.mailbox.google import colours, gmail, people, tasks_map
from engine.mailbox.google.calendar import PAGE as EVENT_PAGE
from engine.mailbox.google.calendar_read import KIND
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.tasks import PAGE as TASK_PAGE
from engine.mailbox.google.wire import quota_user
from engine.model.modules import Module
from engine.model.port import Account, CalendarMode, Containers, Finding, Scope, Structure
from engine.net.errors import ProviderError

#: Google's alias of the calendar that bears the person's address.
PRIMARY = "primary"

#: Google's alias of the list that a person's tasks go to.
DEFAULT_LIST = "@default"

_DEFAULT_COLOUR = "#3f51b5"

#: What a calendar holds.
EVENTS_IN_ORDER = (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL)


async def ensure(
    client: GoogleClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> Containers:
    """Make what is missing, adopt what is there. Costs at most one read per kind of container when all is there.

    Needed at a first sync, after a change of the policy, and when ``verify`` misses something; not in every cycle.

    Raises:
        ProviderError: a call failed; what was made so far is found again by the next call.
    """
    ids: dict[str, str] = {}
    created: list[str] = []
    scopes: list[Scope] = []
    if structure.groups:
        groups, made = await people.ensure_groups(client, account, structure.groups, known)
        ids.update(groups)
        created += made
        scopes.append(people.scope_of(account))
    if structure.calendar_mode is not None:
        scope, calendar, made = await _ensure_calendar(client, account, structure, known)
        ids.update(calendar)
        created += made
        scopes.append(scope)
    if structure.tasks:
        ids["tasks"] = await task_list(client, account, known.get("tasks", ""))
        scopes.append(Scope("tasks", ids["tasks"], (Module.TASK,), account))
    if structure.labels:
        labels, made = await gmail.ensure_labels(client, account, structure.labels, known)
        ids.update(labels)
        created += made
        scopes.append(gmail.scope_of(account))
    return Containers(ids=ids, scopes=tuple(scopes), created=tuple(created))


async def _ensure_calendar(
    client: GoogleClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> tuple[Scope, dict[str, str], list[str]]:
    if structure.calendar_mode is CalendarMode.SEPARATE:
        calendar, made = await _separate_calendar(client, account, structure, known.get("calendar", ""))
        return Scope("calendar:crm", calendar, EVENTS_IN_ORDER, account), {"calendar": calendar}, made
    ids = {"calendar": PRIMARY}
    made = []
    if client.settings.event_labels:
        labels, made = await colours.ensure_labels(client, account, PRIMARY, structure.colours)
        ids.update({f"colour:{module.value}": f"label:{label}" for module, label in labels.items()})
    else:
        available = await colours.palette(client, account)
        chosen = colours.nearest(structure.colours, available)
        ids.update({f"colour:{module.value}": f"color:{number}" for module, number in chosen.items()})
    return Scope("calendar", PRIMARY, EVENTS_IN_ORDER, account), ids, made


def calendar_marker(account: Account) -> str:
    """What the description of our calendar says. It names the mailbox (as a hash), since calendars are shared and a
    colleague's CRM calendar may stand in the same list."""
    return f"[syncline:{quota_user(account)[:12]}]"


async def _separate_calendar(
    client: GoogleClient, account: Account, structure: Structure, known: str
) -> tuple[str, list[str]]:
    """Find our calendar by id, marker or name, else make it: ``calendars.insert`` has no key (providers.md 1.6)."""
    found = await find_calendar(client, account, structure.calendar_name, known)
    if found:
        return found, []
    marker = calendar_marker(account)
    body = {
        "summary": structure.calendar_name,
        "description": f"Appointments and calls of the CRM. {marker}",
        "timeZone": account.zone,
    }
    made = await client.execute(client.calendar.calendars.insert(body=body), account, idempotent=False)
    colour = next((shade for _, shade in structure.colours.values()), _DEFAULT_COLOUR)
    look = {"backgroundColor": colour, "foregroundColor": colours.readable_on(colour), "selected": True}
    await client.execute(
        client.calendar.calendarList.patch(calendarId=made["id"], colorRgbFormat=True, body=look),
        account,
        idempotent=True,
    )
    return str(made["id"]), [f"calendar {structure.calendar_name}"]


async def find_calendar(client: GoogleClient, account: Account, name: str, known: str) -> str | None:
    """The separate calendar of ours by its id, by our marker, or by its name; ``None`` when there is none.

    Raises:
        ProviderError: the list could not be read.
    """
    marker = calendar_marker(account)
    named: list[str] = []
    marked: list[str] = []
    page: dict[str, Any] = {}
    while True:
        request = client.calendar.calendarList.list(maxResults=250, showHidden=True, **page)
        answer = await client.execute(request, account, idempotent=True)
        for entry in answer.get("items") or ():
            if entry.get("accessRole") != "owner" or entry.get("primary") or entry.get("deleted"):
                continue
            if entry["id"] == known:
                return known
            if marker in str(entry.get("description") or ""):
                marked.append(str(entry["id"]))
            elif str(entry.get("summary") or "").casefold() == name.casefold():
                named.append(str(entry["id"]))
        if not answer.get("nextPageToken"):
            break
        page = {"pageToken": answer["nextPageToken"]}
    # The first in a fixed order, should an insert of unknown outcome have left two.
    return min(marked or named, default=None)


async def task_list(client: GoogleClient, account: Account, known: str) -> str:
    """The list that tasks go to: the known one if it is still there, else the person's own first list.

    That one has an alias, is always there and cannot be deleted (tasklists.delete), so it costs no call.
    """
    if known in {"", DEFAULT_LIST}:
        return DEFAULT_LIST
    try:
        await client.execute(client.tasks.tasklists.get(tasklist=known), account, idempotent=True)
    except ProviderError as error:
        if error.status != 404:
            raise
        return DEFAULT_LIST
    return known


async def verify(
    client: GoogleClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> list[Finding]:
    """Read the structure back: one finding per group, calendar, colour, list and label, with counts of our items.

    Raises:
        ProviderError: a read failed.
    """
    findings: list[Finding] = []
    if structure.groups:
        findings += await people.verify_groups(client, account, structure.groups, known)
    if structure.calendar_mode is not None:
        findings += await _verify_calendar(client, account, structure, known)
    if structure.tasks:
        findings.append(await _verify_tasks(client, account, known.get("tasks", "")))
    if structure.labels:
        findings += await gmail.verify_labels(client, account, structure.labels, known)
    return findings


async def _verify_calendar(
    client: GoogleClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> list[Finding]:
    calendar = known.get("calendar", PRIMARY)
    request = client.calendar.calendarList.get(calendarId=calendar)
    try:
        entry = await client.execute(request, account, idempotent=True)
    except ProviderError as error:
        if error.status != 404:
            raise
        return [
            Finding(False, "calendar", f"calendar {calendar} is not there", "Run a full sync to make it again")
        ]
    title = f"{entry.get('summary', calendar)} ({entry.get('accessRole', '?')})"
    if structure.calendar_mode is CalendarMode.SEPARATE:
        count = len(await _events(client, account, calendar))
        return [Finding(True, "calendar", f"{title}: {count} events")]
    findings = [Finding(True, "calendar", title)]
    available = await _shades(client, account, calendar)
    for module, (name, _) in structure.colours.items():
        findings.append(
            await _verify_colour(
                client, account, calendar, module, name, known.get(f"colour:{module.value}", ""), available
            )
        )
    return findings


async def _shades(client: GoogleClient, account: Account, calendar: str) -> dict[str, str]:
    """Colour or label ids that the calendar has, as container id to ``#rrggbb``."""
    if not client.settings.event_labels:
        return {f"color:{number}": shade for number, shade in (await colours.palette(client, account)).items()}
    document = await client.execute(
        client.calendar.calendars.get(calendarId=calendar), account, idempotent=True
    )
    labels = (document.get("labelProperties") or {}).get("eventLabels") or ()
    return {f"label:{label['id']}": str(label.get("backgroundColor") or "") for label in labels}


async def _verify_colour(
    client: GoogleClient,
    account: Account,
    calendar: str,
    module: Module,
    name: str,
    container: str,
    available: Mapping[str, str],
) -> Finding:
    check = f"colour {module.value}"
    if container not in available:
        return Finding(
            False, check, f"{name}: {container or 'no colour'} is not there", "Run a full sync to set it again"
        )
    events = await _events(client, account, calendar, privateExtendedProperty=f"{KIND}={module.value}")
    marked = sum(
        container in {f"color:{event.get('colorId')}", f"label:{event.get('eventLabelId')}"} for event in events
    )
    detail = f"{name}: {marked} of {len(events)} events carry {available[container]}"
    # A person may give an event another colour; that is his choice and no fault.
    return Finding(True, check, detail)


async def _events(
    client: GoogleClient, account: Account, calendar: str, **filters: str
) -> list[dict[str, Any]]:
    """Events and masters of series, without changed occurrences; ids and marks only."""
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    while True:
        request = client.calendar.events.list(
            calendarId=calendar,
            singleEvents=False,
            maxResults=EVENT_PAGE,
            fields="nextPageToken,items(id,colorId,eventLabelId,recurringEventId,status)",
            **filters,
            **page,
        )
        answer = await client.execute(request, account, idempotent=True)
        found += [
            item
            for item in answer.get("items") or ()
            if not item.get("recurringEventId") and item.get("status") != "cancelled"
        ]
        if not answer.get("nextPageToken"):
            return found
        page = {"pageToken": answer["nextPageToken"]}


async def _verify_tasks(client: GoogleClient, account: Account, known: str) -> Finding:
    if not known:
        return Finding(False, "tasks", "no task list is known", "Run a full sync to find it")
    count = 0
    page: dict[str, Any] = {}
    try:
        entry = await client.execute(client.tasks.tasklists.get(tasklist=known), account, idempotent=True)
        while True:
            request = client.tasks.tasks.list(
                tasklist=known, maxResults=TASK_PAGE, showCompleted=True, showHidden=True, **page
            )
            answer = await client.execute(request, account, idempotent=True)
            notes = (item.get("notes") for item in answer.get("items") or ())
            count += sum(tasks_map.split_notes(text)[1] is not None for text in notes)
            if not answer.get("nextPageToken"):
                break
            page = {"pageToken": answer["nextPageToken"]}
    except ProviderError as error:
        if error.status != 404:
            raise
        return Finding(False, "tasks", "the task list is not there", "Run a full sync to find another")
    return Finding(True, "tasks", f"{entry.get('title', 'list')}: {count} tasks of the CRM")
