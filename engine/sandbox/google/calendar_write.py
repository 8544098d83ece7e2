"""Writing events: insert, import, patch, update, delete, move; series with their exceptions."""

from __future__ import annotations

import base64
import json
import re
import secrets
from typing import Any

from engine.sandbox.google import calendar_fields as fields
from engine.sandbox.google import calendar_guests as guests
from engine.sandbox.google import calendar_store as store
from engine.sandbox.google import calendar_times as times
from engine.sandbox.google.calendar_store import Calendar
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.errors import invalid, not_found
from engine.sandbox.google.users import find
from engine.sandbox.kit.world import transaction

Doc = dict[str, Any]

_ID = re.compile(r"[0-9a-v]{5,1024}")
_SYSTEM = ("id", "iCalUID", "created", "creator", "organizer", "htmlLink", "sequence", "recurringEventId")


def insert(call: Call) -> Reply:
    """``events.insert``: own ids are kept, a used one (also of a deleted event) is refused with 409 ``duplicate``."""
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    with transaction(call.world):
        doc = _created(call, calendar, {"email": calendar.id})
        if doc.get("recurringEventId"):
            raise invalid("Invalid value for: recurringEventId")
        _check_free(call, calendar, doc)
        doc, span = fields.checked(doc, calendar)
        stored = store.put_event(call.world, calendar.id, guests.seen_from(doc, calendar.id), span)
        guests.spread(call.world, calendar.id, stored, span)
        guests.mail(call, calendar, stored, "invitation")
    return Reply(stored)


def import_(call: Call) -> Reply:
    """``events.import``: a private copy by iCalUID, without mails; the same UID again replaces the copy."""
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    with transaction(call.world):
        doc = _created(call, calendar, call.body.get("organizer") or {"email": calendar.id})
        doc["iCalUID"] = call.body["iCalUID"]
        doc["sequence"] = call.body.get("sequence", 0)
        row = store.event_by_uid(call.world, calendar.id, doc["iCalUID"])
        if row is not None:
            old = json.loads(row["doc"])
            doc |= {name: old[name] for name in ("id", "created", "creator", "htmlLink") if name in old}
        elif store.event_row(call.world, calendar.id, doc["id"]) is not None:
            raise _duplicate()
        doc, span = fields.checked(doc, calendar)
        stored = store.put_event(call.world, calendar.id, guests.seen_from(doc, calendar.id), span)
    return Reply(stored)


def _duplicate() -> ApiError:
    return ApiError(409, "duplicate", "The requested identifier already exists.")


def _created(call: Call, calendar: Calendar, organizer: Doc) -> Doc:
    """The body as a new event with what the server adds."""
    event_id = call.body.get("id")
    if event_id is None:
        event_id = base64.b32hexencode(secrets.token_bytes(16)).decode().rstrip("=").lower()
    elif not _ID.fullmatch(event_id):
        raise invalid("Invalid resource id value.")
    person = find(call.world, call.user)
    creator: Doc = {"email": call.user}
    if person is not None and calendar.id != call.user:
        creator["displayName"] = person.name
    body = {"status": "confirmed", "eventType": "default", **fields.writable(call)}
    if body["status"] == "cancelled":
        raise invalid("Invalid value for: status")
    eid = base64.urlsafe_b64encode(f"{event_id} {calendar.id}".encode()).decode().rstrip("=")
    return body | {
        "id": event_id,
        "iCalUID": call.body.get("iCalUID") or f"{event_id}@google.com",
        "created": store.stamp(call.world.clock.now_ms() // 1000 * 1000),
        "creator": creator,
        "organizer": {**organizer, "email": organizer.get("email", calendar.id).lower()},
        "htmlLink": f"https://www.google.com/calendar/event?eid={eid}",
        "sequence": 0,
    }


def _check_free(call: Call, calendar: Calendar, doc: Doc) -> None:
    if store.event_row(call.world, calendar.id, doc["id"]) is not None:
        raise _duplicate()
    split = times.split_instance(doc["id"])
    if split is not None and store.event_row(call.world, calendar.id, split[0]) is not None:
        raise _duplicate()
    if call.body.get("iCalUID") and store.event_by_uid(call.world, calendar.id, doc["iCalUID"]) is not None:
        raise _duplicate()


def current(call: Call, calendar: Calendar, event_id: str) -> Doc:
    """An event as it stands: stored, or an occurrence computed from its series.

    Raises:
        ApiError: 404.
    """
    row = store.event_row(call.world, calendar.id, event_id)
    if row is not None:
        stored: Doc = json.loads(row["doc"])
        return stored
    found = occurrence(call, calendar, event_id)
    if found is None:
        raise not_found()
    return found


def occurrence(call: Call, calendar: Calendar, event_id: str) -> Doc | None:
    """The occurrence with that id as its series gives it, whatever exception is stored; None when there is none."""
    split = times.split_instance(event_id)
    if split is None:
        return None
    row = store.event_row(call.world, calendar.id, split[0])
    if row is None or not row["recurring"] or row["status"] == "cancelled":
        return None
    master = json.loads(row["doc"])
    start = times.original_start(master, calendar.zone, split[1])
    return None if start is None else instance(master, start, calendar.zone)


def instance(master: Doc, start: Doc, calendar_zone: str) -> Doc:
    """An occurrence of a series that has no exception of its own."""
    out = {name: value for name, value in master.items() if name != "recurrence"}
    event_id = times.instance_id(master["id"], start)
    eid = base64.urlsafe_b64encode(f"{event_id} {master['organizer']['email']}".encode()).decode().rstrip("=")
    out |= {
        "id": event_id,
        "recurringEventId": master["id"],
        "originalStartTime": start,
        "start": start,
        "end": times.shifted_end(master, start, calendar_zone),
        "htmlLink": f"https://www.google.com/calendar/event?eid={eid}",
    }
    return out


def patch(call: Call) -> Reply:
    """``events.patch``: null clears, arrays replace, objects merge."""
    return _change(call, replace=False)


def update(call: Call) -> Reply:
    """``events.update``: what the body leaves out is reset."""
    return _change(call, replace=True)


def _change(call: Call, *, replace: bool) -> Reply:
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    with transaction(call.world):
        old = current(call, calendar, call.params["eventId"])
        store.check_match(call.headers, old["etag"])
        if old.get("status") == "cancelled" and old.get("recurringEventId"):
            # A cancelled exception keeps nothing but its times: it comes back as its series has it.
            whole = occurrence(call, calendar, old["id"])
            if whole is not None:
                old = {**whole, "status": "cancelled", "etag": old["etag"]}
        body = fields.writable(call)
        if replace:
            kept = {name: old[name] for name in (*_SYSTEM, "originalStartTime", "eventType") if name in old}
            keep_colour = "colorId" if call.params.get("eventLabelVersion") == 1 else "eventLabelId"
            if keep_colour in old:
                kept[keep_colour] = old[keep_colour]
            new = {"status": "confirmed", **kept, **body}
        else:
            new = fields.merged(old, body)
        if body.get("colorId"):
            new.pop("eventLabelId", None)
        elif body.get("eventLabelId"):
            new.pop("colorId", None)
        if new.get("status") == "cancelled":
            stored = _cancelled(call, calendar, old)
        else:
            stored = _stored(call, calendar, old, new)
    return Reply(stored)


def _stored(call: Call, calendar: Calendar, old: Doc, new: Doc) -> Doc:
    """Validate and write a changed event, and carry the change to whom it concerns."""
    if new.get("recurringEventId"):
        new.pop("recurrence", None)
    guest = not guests.is_organizer(old, calendar.id)
    doc, span = fields.checked(new, calendar)
    if guest:
        doc = guests.guests_view(old, doc)
        guests.check_guest(old, doc, calendar.id)
    elif any(old.get(name) != doc.get(name) for name in ("start", "end", "recurrence")):
        doc["sequence"] = int(old.get("sequence", 0)) + 1
    only_private = _public(old) == _public(doc)
    doc["updated"] = old.get("updated", "")
    shown = guests.seen_from(doc, calendar.id)
    stored = store.put_event(call.world, calendar.id, shown, span, keep_updated=only_private)
    if guest:
        guests.reply(call.world, calendar, stored, span)
        guests.mail(call, calendar, stored, "reply")
        return stored
    if old.get("recurrence"):
        _realign(call, calendar, old, stored)
    guests.spread(call.world, calendar.id, stored, span, old)
    guests.mail(call, calendar, stored, "update", old)
    return stored


def _public(doc: Doc) -> Doc:
    return {name: value for name, value in doc.items() if name not in ("reminders", "etag", "updated", "kind")}


def _realign(call: Call, calendar: Calendar, old: Doc, new: Doc) -> None:
    """Carry a series' change to its exceptions: fields they had not overridden; those without occurrence are dropped."""
    moved = any(old.get(name) != new.get(name) for name in ("start", "recurrence"))
    changed = [
        name
        for name in (*fields.SHARED, "attendees", *fields.PRIVATE)
        if name not in ("start", "end", "recurrence") and old.get(name) != new.get(name)
    ]
    for row in store.exceptions(call.world, calendar.id, old["id"]):
        doc, span = json.loads(row["doc"]), (row["start_ms"], row["end_ms"])
        if row["status"] == "cancelled":
            continue
        split = times.split_instance(row["id"])
        alive = "recurrence" in new and split and times.original_start(new, calendar.zone, split[1])
        touched = [name for name in changed if doc.get(name) == old.get(name)]
        if moved and not alive:
            after = {**doc, "status": "cancelled"}
        elif touched:
            after = {name: value for name, value in doc.items() if name not in touched}
            after |= {name: new[name] for name in touched if name in new}
        else:
            continue
        guests.spread(call.world, calendar.id, store.put_event(call.world, calendar.id, after, span), span, doc)


def delete(call: Call) -> Reply:
    """``events.delete``: the event stays as a tombstone; a second delete is answered 410 ``deleted``."""
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    with transaction(call.world):
        old = current(call, calendar, call.params["eventId"])
        if old.get("status") == "cancelled":
            raise ApiError(410, "deleted", "Resource has been deleted")
        store.check_match(call.headers, old["etag"])
        _cancelled(call, calendar, old)
    return Reply(None)


def _cancelled(call: Call, calendar: Calendar, old: Doc) -> Doc:
    """Cancel an event, an occurrence or a series (with its exceptions), in all copies that depend on it."""
    world = call.world
    span = times.check_span(old["start"], old["end"], calendar.zone) if "start" in old else (0, 0)
    if old.get("recurringEventId"):
        names = (
            "id",
            "iCalUID",
            "recurringEventId",
            "originalStartTime",
            "organizer",
            "start",
            "end",
            "attendees",
        )
        doc = {name: old[name] for name in names if name in old} | {"status": "cancelled"}
    else:
        doc = {**old, "status": "cancelled"}
    stored = store.put_event(world, calendar.id, doc, span)
    for row in store.exceptions(world, calendar.id, old["id"]):
        if row["status"] != "cancelled":
            exception = {**json.loads(row["doc"]), "status": "cancelled"}
            store.put_event(world, calendar.id, exception, (row["start_ms"], row["end_ms"]))
            guests.spread(world, calendar.id, exception, (row["start_ms"], row["end_ms"]), exception)
    if guests.is_organizer(old, calendar.id):
        guests.spread(world, calendar.id, stored, span, old)
        guests.mail(call, calendar, old, "cancellation")
    else:
        mine = guests.plain(old.get("attendees"))
        if calendar.id in mine:
            mine[calendar.id]["responseStatus"] = "declined"
            guests.reply(world, calendar, {**old, "attendees": list(mine.values())}, span)
            # The organizer's news came back to this calendar as a living copy: it stays deleted.
            stored = store.put_event(world, calendar.id, doc, span)
        guests.mail(call, calendar, old, "reply")
    return stored


def move(call: Call) -> Reply:
    """``events.move``: to another calendar of the user, under the same id; a tombstone stays behind."""
    source = store.calendar(call.world, call.user, call.params["calendarId"])
    target = store.calendar(call.world, call.user, call.params["destination"])
    with transaction(call.world):
        old = current(call, source, call.params["eventId"])
        if old.get("recurringEventId") or not guests.is_organizer(old, source.id):
            raise ApiError(
                403, "cannotChangeOrganizer", "Cannot change the organizer of this event.", domain="calendar"
            )
        if store.event_row(call.world, target.id, old["id"]) is not None:
            raise _duplicate()
        doc, span = fields.checked({**old, "organizer": {"email": target.id}}, target)
        stored = store.put_event(call.world, target.id, guests.seen_from(doc, target.id), span)
        store.put_event(call.world, source.id, {**old, "status": "cancelled"}, span)
        guests.spread(call.world, target.id, stored, span)
    return Reply(stored)
