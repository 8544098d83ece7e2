"""Calendars, the user's calendar list, colours and settings."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from typing import Any

from engine.sandbox.google import calendar_fields as fields
from engine.sandbox.google import calendar_store as store
from engine.sandbox.google import calendar_times as times
from engine.sandbox.google import tokens
from engine.sandbox.google.calendar_palette import CALENDAR_COLOURS, EVENT_COLOURS, best_match
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.errors import invalid, not_found
from engine.sandbox.google.users import find
from engine.sandbox.kit.world import transaction

Doc = dict[str, Any]
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_OWN = ("summaryOverride", "colorId", "hidden", "selected", "defaultReminders", "notificationSettings")
_CALENDAR = (
    "summary",
    "description",
    "location",
    "timeZone",
    "labelProperties",
    "conferenceProperties",
    "workingHours",
)
MOST_LABELS = 200


def _shown(calendar: store.Calendar) -> Doc:
    out = {"kind": "calendar#calendar", "etag": store.etag(calendar.seq), "id": calendar.id, **calendar.doc}
    out.setdefault("timeZone", "UTC")
    out["conferenceProperties"] = {"allowedConferenceSolutionTypes": ["hangoutsMeet"]}
    if calendar.id != calendar.owner:
        out["dataOwner"] = calendar.owner
    return out


def get_calendar(call: Call) -> Reply:
    """``calendars.get``, with the calendar's event labels."""
    return Reply(_shown(store.calendar(call.world, call.user, call.params["calendarId"])))


def insert_calendar(call: Call) -> Reply:
    """``calendars.insert``: not idempotent; the same title may be given twice."""
    with transaction(call.world):
        doc = _checked({name: call.body[name] for name in _CALENDAR if call.body.get(name) is not None})
        doc.setdefault("timeZone", "UTC")
        return Reply(_shown(store.create_secondary(call.world, call.user, doc)))


def patch_calendar(call: Call) -> Reply:
    """``calendars.patch``."""
    return _change_calendar(call, replace=False)


def update_calendar(call: Call) -> Reply:
    """``calendars.update``; labels that are not mentioned stay (discovery document)."""
    return _change_calendar(call, replace=True)


def _change_calendar(call: Call, *, replace: bool) -> Reply:
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    store.check_match(call.headers, store.etag(calendar.seq))
    with transaction(call.world):
        body = {name: call.body[name] for name in _CALENDAR if name in call.body}
        kept: Doc = {
            name: calendar.doc[name] for name in ("timeZone", "labelProperties") if name in calendar.doc
        }
        doc = _checked(fields.merged(kept if replace else calendar.doc, body))
        if not doc.get("summary"):
            raise ApiError(400, "required", "Missing title.")
        seq = store.put_calendar(call.world, calendar.id, doc)
        changed = store.Calendar(calendar.id, calendar.owner, doc.get("timeZone", "UTC"), doc, seq)
        _strip_labels(call, calendar, {one["id"] for one in fields.labels(changed)})
    return Reply(_shown(changed))


def _checked(doc: Doc) -> Doc:
    if "timeZone" in doc:
        times.zone(doc["timeZone"])
    listed = (doc.get("labelProperties") or {}).get("eventLabels")
    if listed is None:
        return doc
    if len(listed) > MOST_LABELS:
        raise invalid(f"A calendar can have at most {MOST_LABELS} event labels.", "labelProperties.eventLabels")
    seen: set[str] = set()
    labels = []
    for label in listed:
        label_id = label.get("id") or str(uuid.uuid4())
        try:
            uuid.UUID(label_id)
        except ValueError:
            raise invalid(f"Invalid event label id: {label_id}", "labelProperties.eventLabels") from None
        if label_id in seen:
            raise invalid(f"Duplicate event label id: {label_id}", "labelProperties.eventLabels")
        seen.add(label_id)
        if not _HEX.fullmatch(label.get("backgroundColor") or ""):
            raise invalid("Invalid event label background color.", "labelProperties.eventLabels")
        if len(label.get("name") or "") > 50:
            raise invalid("The event label name is too long.", "labelProperties.eventLabels")
        labels.append({"id": label_id, **{k: v for k, v in label.items() if k != "id" and v is not None}})
    return {**doc, "labelProperties": {"eventLabels": labels}}


def _strip_labels(call: Call, calendar: store.Calendar, left: set[str]) -> None:
    """Take labels that are gone off the events that bore them."""
    for label in {one["id"] for one in fields.labels(calendar)} - left:
        rows = call.world.db.execute(
            "SELECT doc, start_ms, end_ms FROM google_events WHERE calendar = ?"
            " AND json_extract(doc, '$.eventLabelId') = ?",
            (calendar.id, label),
        ).fetchall()
        for row in rows:
            doc = json.loads(row["doc"])
            del doc["eventLabelId"]
            store.put_event(call.world, calendar.id, doc, (row["start_ms"], row["end_ms"]))


def delete_calendar(call: Call) -> Reply:
    """``calendars.delete``: secondary calendars only."""
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    if calendar.id == calendar.owner:
        raise ApiError(
            403, "cannotDeletePrimaryCalendar", "Cannot delete a primary calendar.", domain="calendar"
        )
    with transaction(call.world):
        store.put_calendar(call.world, calendar.id, calendar.doc, deleted=True)
        store.put_entry(call.world, call.user, calendar.id, {}, deleted=True)
        call.world.db.execute("DELETE FROM google_events WHERE calendar = ?", (calendar.id,))
    return Reply(None)


def clear_calendar(call: Call) -> Reply:
    """``calendars.clear``: deletes all events of a primary calendar."""
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    if calendar.id != calendar.owner:
        raise invalid("Only a primary calendar can be cleared.", "calendarId")
    with transaction(call.world):
        rows = call.world.db.execute(
            "SELECT doc, start_ms, end_ms FROM google_events WHERE calendar = ? AND status <> 'cancelled'",
            (calendar.id,),
        ).fetchall()
        for row in rows:
            doc = {**json.loads(row["doc"]), "status": "cancelled"}
            store.put_event(call.world, calendar.id, doc, (row["start_ms"], row["end_ms"]))
    return Reply(None)


def _entry(call: Call, row: sqlite3.Row) -> Doc:
    base: Doc = {"kind": "calendar#calendarListEntry", "etag": store.etag(row["seq"]), "id": row["id"]}
    if row["deleted"]:
        return {**base, "deleted": True}
    found = call.world.db.execute(
        "SELECT owner, doc FROM google_calendars WHERE id = ?", (row["id"],)
    ).fetchone()
    doc, own = json.loads(found["doc"]), json.loads(row["doc"])
    colours = CALENDAR_COLOURS[own.get("colorId", "1")]
    out = base | {name: doc[name] for name in ("summary", "description", "location", "timeZone") if name in doc}
    out |= {"backgroundColor": colours[0], "foregroundColor": colours[1], "defaultReminders": []}
    out |= own | {
        "accessRole": "owner",
        "conferenceProperties": {"allowedConferenceSolutionTypes": ["hangoutsMeet"]},
    }
    if row["id"] == found["owner"]:
        out["primary"] = True
    else:
        out["dataOwner"] = found["owner"]
    return out


def _row(call: Call) -> sqlite3.Row:
    wanted = call.params["calendarId"]
    row: sqlite3.Row | None = call.world.db.execute(
        "SELECT * FROM google_calendar_list WHERE user = ? AND id = ? AND deleted = 0",
        (call.user, call.user if wanted == "primary" else wanted),
    ).fetchone()
    if row is None:
        raise not_found()
    return row


def get_entry(call: Call) -> Reply:
    """``calendarList.get``."""
    return Reply(_entry(call, _row(call)))


def list_entries(call: Call) -> Reply:
    """``calendarList.list``, full or since a sync token.

    Raises:
        ApiError: 400 for parameters that do not go together, 410 for a bad sync token.
    """
    params, world = call.params, call.world
    after, top, sync = 0, store.last_seq(world), None
    if "syncToken" in params:
        if "minAccessRole" in params or params.get("showDeleted") is False or params.get("showHidden") is False:
            raise ApiError(
                400, "badRequest", "This parameter cannot be combined with syncToken.", location="syncToken"
            )
        sync = tokens.decode(params["syncToken"])
        life = world.settings.get("google_calendar_token_seconds", 30 * 86_400)
        if sync is None or sync.get("list") != call.user or sync["at"] + life * 1000 < world.clock.now_ms():
            text = "Sync token is no longer valid, a full sync is required."
            raise ApiError(410, "fullSyncRequired", text, domain="calendar", location="syncToken")
        after = sync["seq"]
    if "pageToken" in params:
        page = tokens.decode(params["pageToken"])
        if page is None or page.get("page") != call.user:
            raise invalid("Invalid page token value.", "pageToken")
        after, top = page["seq"], page["top"]
    rows = world.db.execute(
        "SELECT * FROM google_calendar_list WHERE user = ? AND seq > ? AND seq <= ? ORDER BY seq",
        (call.user, after, top),
    ).fetchall()
    whole = sync is not None
    entries = [
        (row, _entry(call, row)) for row in rows if whole or params.get("showDeleted") or not row["deleted"]
    ]
    entries = [pair for pair in entries if whole or params.get("showHidden") or not pair[1].get("hidden")]
    size = min(params.get("maxResults", 100), 250)
    out: Doc = {
        "kind": "calendar#calendarList",
        "etag": store.etag(top),
        "items": [one for _, one in entries[:size]],
    }
    if len(entries) > size:
        out["nextPageToken"] = tokens.encode(
            {"page": call.user, "seq": entries[size - 1][0]["seq"], "top": top}
        )
    else:
        out["nextSyncToken"] = tokens.encode({"list": call.user, "seq": top, "at": world.clock.now_ms()})
    return Reply(out)


def insert_entry(call: Call) -> Reply:
    """``calendarList.insert``: shows a calendar again that was taken off the list."""
    calendar = store.calendar(call.world, call.user, call.body["id"])
    return _put_entry(call, calendar.id, {"selected": True, "colorId": "1"}, replace=False)


def patch_entry(call: Call) -> Reply:
    """``calendarList.patch``: own title, colour, visibility."""
    row = _row(call)
    store.check_match(call.headers, store.etag(row["seq"]))
    return _put_entry(call, row["id"], json.loads(row["doc"]), replace=False)


def update_entry(call: Call) -> Reply:
    """``calendarList.update``."""
    row = _row(call)
    store.check_match(call.headers, store.etag(row["seq"]))
    return _put_entry(call, row["id"], json.loads(row["doc"]), replace=True)


def _put_entry(call: Call, calendar_id: str, old: Doc, *, replace: bool) -> Reply:
    body = {name: call.body[name] for name in _OWN if name in call.body}
    if call.params.get("colorRgbFormat"):
        body.pop("colorId", None)
        for name in ("backgroundColor", "foregroundColor"):
            if not _HEX.fullmatch(call.body.get(name) or ""):
                raise invalid(f"Invalid value for: {name}", name)
            body[name] = call.body[name].lower()
        body["colorId"] = best_match(body["backgroundColor"])
    elif "colorId" in body:
        if body["colorId"] not in CALENDAR_COLOURS:
            raise invalid("Invalid value for: colorId", "colorId")
        old = {name: value for name, value in old.items() if name not in ("backgroundColor", "foregroundColor")}
    doc = {"colorId": old.get("colorId", "1"), **body} if replace else fields.merged(old, body)
    with transaction(call.world):
        store.put_entry(call.world, call.user, calendar_id, doc)
    row = call.world.db.execute(
        "SELECT * FROM google_calendar_list WHERE user = ? AND id = ?", (call.user, calendar_id)
    ).fetchone()
    return Reply(_entry(call, row))


def delete_entry(call: Call) -> Reply:
    """``calendarList.delete``: takes a secondary calendar off the list; the calendar stays."""
    row = _row(call)
    if row["id"] == call.user:
        raise ApiError(
            403, "cannotUnsubscribePrimaryCalendar", "Cannot remove a primary calendar.", domain="calendar"
        )
    with transaction(call.world):
        store.put_entry(call.world, call.user, row["id"], {}, deleted=True)
    return Reply(None)


def colors(call: Call) -> Reply:
    """``colors.get``: the classic palettes."""

    def shown(palette: dict[str, tuple[str, str]]) -> Doc:
        return {key: {"background": back, "foreground": front} for key, (back, front) in palette.items()}

    return Reply(
        {
            "kind": "calendar#colors",
            "updated": "2012-02-14T00:00:00.000Z",
            "calendar": shown(CALENDAR_COLOURS),
            "event": shown(EVENT_COLOURS),
        }
    )


def _settings(call: Call) -> list[Doc]:
    person = find(call.world, call.user)
    values = {
        "timezone": person.zone if person else "UTC",
        "locale": "en",
        "format24HourTime": "true",
        "weekStart": "1",
        "defaultEventLength": "60",
        "dateFieldOrder": "DMY",
        "autoAddHangouts": "false",
        "hideInvitations": "false",
        "hideWeekends": "false",
        "remindOnRespondedEventsOnly": "false",
        "showDeclinedEvents": "true",
        "useKeyboardShortcuts": "true",
    }
    return [
        {"kind": "calendar#setting", "etag": '"0"', "id": key, "value": value} for key, value in values.items()
    ]


def list_settings(call: Call) -> Reply:
    """``settings.list``."""
    token = tokens.encode({"settings": call.user, "at": call.world.clock.now_ms()})
    return Reply({"kind": "calendar#settings", "etag": '"0"', "nextSyncToken": token, "items": _settings(call)})


def get_setting(call: Call) -> Reply:
    """``settings.get``."""
    for one in _settings(call):
        if one["id"] == call.params["setting"]:
            return Reply(one)
    raise not_found()
