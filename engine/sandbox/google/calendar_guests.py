"""Guests: copies in the calendars of known users, replies, what only the organizer may do, and mails."""

from __future__ import annotations

import json
from typing import Any

from engine.sandbox.google import calendar_fields as fields
from engine.sandbox.google import calendar_store as store
from engine.sandbox.google import calendar_times as times
from engine.sandbox.google import users
from engine.sandbox.google.calendar_store import Calendar
from engine.sandbox.google.call import ApiError, Call
from engine.sandbox.kit.world import World

Doc = dict[str, Any]
Span = tuple[int, int]


def is_organizer(doc: Doc, calendar_id: str) -> bool:
    """Whether the copy in this calendar is the organizer's."""
    return bool(doc.get("organizer", {}).get("email", calendar_id) == calendar_id)


def seen_from(doc: Doc, calendar_id: str) -> Doc:
    """The event with ``self`` and ``organizer`` marks as its copy in a calendar shows them."""
    out = dict(doc)
    organizer = doc["organizer"]["email"]
    for field in ("organizer", "creator"):
        if field in out:
            person = {name: value for name, value in out[field].items() if name != "self"}
            out[field] = {**person, "self": True} if person["email"] == calendar_id else person
    if "attendees" in out:
        out["attendees"] = [_marked(one, organizer, calendar_id) for one in out["attendees"]]
    return out


def _marked(attendee: Doc, organizer: str, calendar_id: str) -> Doc:
    out = {name: value for name, value in attendee.items() if name not in ("self", "organizer")}
    if attendee["email"] == organizer:
        out["organizer"] = True
    if attendee["email"] == calendar_id:
        out["self"] = True
    return out


def plain(attendees: list[Doc] | None) -> dict[str, Doc]:
    """Attendees by address without marks, for comparison."""
    return {
        one["email"]: {name: value for name, value in one.items() if name not in ("self", "organizer")}
        for one in attendees or []
    }


def check_guest(old: Doc, new: Doc, calendar_id: str) -> None:
    """Refuse a guest's change of what belongs to the organizer.

    A guest may change the own reply, private fields and, when allowed, invite others.

    Raises:
        ApiError: 403 ``forbiddenForNonOrganizer``.
    """
    if old.get("guestsCanModify"):
        return
    same = all(old.get(name) == new.get(name) for name in fields.SHARED)
    same = same and (old.get("extendedProperties") or {}).get("shared") == (
        new.get("extendedProperties") or {}
    ).get("shared")
    before, after = plain(old.get("attendees")), plain(new.get("attendees"))
    added = set(after) - set(before)
    if added and old.get("guestsCanInviteOthers") is False:
        same = False
    changed = [mail for mail in set(before) & set(after) if before[mail] != after[mail] and mail != calendar_id]
    if not same or any(
        before[mail].get("responseStatus") != after[mail].get("responseStatus") for mail in changed
    ):
        raise ApiError(
            403,
            "forbiddenForNonOrganizer",
            "Shared properties can only be changed by the organizer of the event.",
            domain="calendar",
        )


def guests_view(old: Doc, new: Doc) -> Doc:
    """A guest's new state with the attendees that the guest left out put back: only the organizer can disinvite."""
    before, after = plain(old.get("attendees")), plain(new.get("attendees"))
    out = dict(new)
    out["attendees"] = list({**before, **after}.values())
    if not out["attendees"]:
        del out["attendees"]
    return out


def spread(world: World, home: str, doc: Doc, span: Span, gone: Doc | None = None) -> None:
    """Bring the copies of an event in other users' calendars up to date.

    Args:
        world: where.
        home: the organizer's calendar.
        doc: the organizer's copy, stored already.
        span: its start and end in epoch milliseconds.
        gone: the state before, to find who is no longer invited.
    """
    if doc.get("privateCopy"):
        return
    invited = plain(doc.get("attendees"))
    for email in sorted(set(invited) | set(plain((gone or {}).get("attendees")))):
        if email == home or users.find(world, email) is None:
            continue
        row = store.event_row(world, email, doc["id"])
        old = json.loads(row["doc"]) if row else None
        if old is not None and old.get("iCalUID") != doc.get("iCalUID"):
            continue
        if email in invited and doc.get("status") != "cancelled":
            copy = times.shown_in(_copy(doc, old, email), store.zone_of(world, email))
            store.put_event(world, email, copy, span)
        elif old is not None and old.get("status") != "cancelled":
            store.put_event(world, email, {**old, "status": "cancelled"}, span)


def _copy(doc: Doc, old: Doc | None, email: str) -> Doc:
    out = {name: value for name, value in doc.items() if name not in ("reminders", "colorId", "eventLabelId")}
    out["reminders"] = {"useDefault": True}
    shared = (doc.get("extendedProperties") or {}).get("shared")
    out.pop("extendedProperties", None)
    properties: Doc = {"shared": shared} if shared else {}
    if old is not None:
        out.update({name: old[name] for name in fields.PRIVATE if name in old})
        own = (old.get("extendedProperties") or {}).get("private")
        if own:
            properties["private"] = own
    if properties:
        out["extendedProperties"] = properties
    return seen_from(out, email)


def reply(world: World, calendar: Calendar, new: Doc, span: Span) -> None:
    """Carry a guest's reply (and whom the guest invited) to the organizer's copy and from there to all others."""
    home = new["organizer"]["email"]
    row = store.event_row(world, home, new["id"])
    if row is None or home == calendar.id or row["status"] == "cancelled":
        return
    doc = json.loads(row["doc"])
    before, after = plain(doc.get("attendees")), plain(new.get("attendees"))
    attendees = {**{mail: one for mail, one in after.items() if mail not in before}}
    mine = after.get(calendar.id)
    doc["attendees"] = [
        mine if mail == calendar.id and mine is not None else one for mail, one in before.items()
    ] + list(attendees.values())
    if doc.get("guestsCanModify"):
        doc.update({name: new[name] for name in fields.SHARED if name in new})
        doc = times.shown_in(doc, store.zone_of(world, home))
    spread(world, home, store.put_event(world, home, seen_from(doc, home), span), span)


def mail(call: Call, calendar: Calendar, doc: Doc, kind: str, old: Doc | None = None) -> None:
    """Book the mails that Google would send to guests; counted in ``google.mails``.

    Args:
        call: its ``sendUpdates`` (or the older ``sendNotifications``) decides.
        calendar: of the acting user.
        doc: the event.
        kind: ``invitation``, ``update``, ``cancellation`` or ``reply``.
        old: the state before; guests who were removed are told too.
    """
    mode = call.params.get("sendUpdates") or ("all" if call.params.get("sendNotifications") else "none")
    if mode == "none":
        return
    people = set(plain(doc.get("attendees"))) | set(plain((old or {}).get("attendees")))
    if kind == "reply":
        people = {doc["organizer"]["email"]}
    for email in sorted(people - {calendar.id, calendar.owner}):
        if mode == "externalOnly" and users.find(call.world, email) is not None:
            continue
        call.world.counters["google.mails"] += 1
        call.world.db.execute(
            "INSERT INTO google_mails VALUES (?, ?, ?, ?, ?)",
            (call.world.clock.now_ms(), calendar.id, doc["id"], kind, email),
        )
