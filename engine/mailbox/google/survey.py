"""Finds what a policy needs in a mailbox, calendar and task list without making any of it: what a preview asks."""

from __future__ import annotations

from collections.abc import Mapping

from engine.mailbox.google import colours, gmail, gmail_labels, people, people_groups
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.ensure import EVENTS_IN_ORDER, PRIMARY, find_calendar, task_list
from engine.model.modules import Module
from engine.model.port import Account, CalendarMode, Containers, Scope, Structure


async def survey(
    client: GoogleClient, account: Account, structure: Structure, known: Mapping[str, str]
) -> Containers:
    """What is there already, recognised as ``ensure`` recognises it; at most one read per kind of container.

    Raises:
        ProviderError: a read failed.
    """
    ids: dict[str, str] = {}
    missing: list[str] = []
    scopes: list[Scope] = []
    if structure.groups:
        present = await people_groups.own_groups(client, account)
        for module, name in structure.groups.items():
            logical = people_groups.logical_name(module)
            earlier = known.get(logical)
            found = people_groups.named(present, name) or (earlier if earlier in present else None)
            if found is None:
                missing.append(f"group {name}")
            else:
                ids[logical] = found
        scopes.append(people.scope_of(account))
    if structure.calendar_mode is CalendarMode.SEPARATE:
        calendar = await find_calendar(client, account, structure.calendar_name, known.get("calendar", ""))
        if calendar is None:
            missing.append(f"calendar {structure.calendar_name}")
        else:
            ids["calendar"] = calendar
            scopes.append(Scope("calendar:crm", calendar, EVENTS_IN_ORDER, account))
    elif structure.calendar_mode is CalendarMode.COLOUR:
        ids["calendar"] = PRIMARY
        marks, made = await _colours(client, account, structure)
        ids |= {f"colour:{module.value}": mark for module, mark in marks.items()}
        missing += made
        scopes.append(Scope("calendar", PRIMARY, EVENTS_IN_ORDER, account))
    if structure.tasks:
        ids["tasks"] = await task_list(client, account, known.get("tasks", ""))
        scopes.append(Scope("tasks", ids["tasks"], (Module.TASK,), account))
    if structure.labels:
        labels = await gmail_labels.list_labels(client, account)
        for path in structure.labels:
            logical = gmail_labels.logical_name(path)
            label = gmail_labels.find(labels, path, known.get(logical))
            if label is None:
                missing.append(f"label {path}")
            else:
                ids[logical] = label
        scopes.append(gmail.scope_of(account))
    return Containers(ids=ids, scopes=tuple(scopes), missing=tuple(dict.fromkeys(missing)))


async def _colours(
    client: GoogleClient, account: Account, structure: Structure
) -> tuple[dict[Module, str], list[str]]:
    """The mark by module, and the event labels that the calendar lacks; plain colours are always there."""
    if not client.settings.event_labels:
        available = await colours.palette(client, account)
        chosen = colours.nearest(structure.colours, available)
        return {module: f"color:{number}" for module, number in chosen.items()}, []
    document = await client.execute(client.calendar.calendars.get(calendarId=PRIMARY), account, idempotent=True)
    labels = list((document.get("labelProperties") or {}).get("eventLabels") or ())
    ids, lacks = colours.matched(labels, structure.colours)
    return (
        {module: f"label:{label}" for module, label in ids.items()},
        [f"event label {label['name']}" for label in lacks],
    )
