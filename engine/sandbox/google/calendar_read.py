"""Reading events: get, list (full, incremental, searching, expanded) and the instances of a series."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from engine.sandbox.google import calendar_store as store
from engine.sandbox.google import calendar_times as times
from engine.sandbox.google import tokens
from engine.sandbox.google.calendar_store import Calendar
from engine.sandbox.google.calendar_write import current, instance
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.errors import invalid, not_found

Doc = dict[str, Any]

TOKEN_DAYS = 30
LARGEST_PAGE = 2500
_NOT_WITH_SYNC = (
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
)
_NO_TOKEN_AFTER = ("iCalUID", "orderBy", "privateExtendedProperty", "q", "sharedExtendedProperty", "updatedMin")
_SAME_IN_SYNC = ("singleEvents", "eventTypes", "showHiddenInvitations")
_FAR = 2 * 366 * 86_400_000
"""How far beyond now an expansion without ``timeMax`` goes, in milliseconds."""


def get(call: Call) -> Reply:
    """``events.get``: cancelled events are given too."""
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    return Reply(_trimmed(call, current(call, calendar, call.params["eventId"])))


def _trimmed(call: Call, doc: Doc) -> Doc:
    if "timeZone" in call.params:
        doc = times.shown_in(doc, call.params["timeZone"])
    most = call.params.get("maxAttendees")
    if most is not None and len(doc.get("attendees", ())) > most:
        mine = [one for one in doc["attendees"] if one.get("self")]
        doc = {**doc, "attendees": mine, "attendeesOmitted": True}
    return doc


def list_(call: Call) -> Reply:
    """``events.list``.

    ``settings["google_calendar_token_seconds"]`` is the life of sync tokens (30 days unless told).

    Raises:
        ApiError: 400 for parameters that do not go together or a foreign page token, 404, 410 ``fullSyncRequired``.
    """
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    params = dict(call.params)
    sync = _opened(call, calendar, params) if "syncToken" in params else None
    if params.get("orderBy") == "startTime" and not params.get("singleEvents"):
        raise invalid("The requested ordering is not available for the particular query.", "orderBy")
    low = times.parse_stamp(params["timeMin"], "timeMin") if "timeMin" in params else None
    high = times.parse_stamp(params["timeMax"], "timeMax") if "timeMax" in params else None
    if low is not None and high is not None and low >= high:
        raise ApiError(
            400, "timeRangeEmpty", "The specified time range is empty.", domain="calendar", location="timeMax"
        )
    if sync is not None:
        low, high = sync.get("low"), sync.get("high")
    same = tokens.print_of(
        {k: v for k, v in params.items() if k not in ("pageToken", "maxResults", "quotaUser")}
    )
    page = {"after": sync["seq"] if sync else 0, "top": store.last_seq(call.world), "at": 0}
    if "pageToken" in params:
        given = tokens.decode(params["pageToken"])
        if given is None or given.get("of") != same:
            raise invalid("Invalid page token value.", "pageToken")
        page = given
    size = min(params.get("maxResults", 250), LARGEST_PAGE)
    window = _Window(call, calendar, low, high, sync is not None)
    if params.get("singleEvents") or params.get("orderBy"):
        listed = window.expanded(page) if params.get("singleEvents") else window.ordered(page)
        chosen = listed[page["at"] : page["at"] + size]
        more = {**page, "at": page["at"] + size} if len(listed) > page["at"] + size else None
        items = [_text(_trimmed(call, doc)) for doc in chosen]
    else:
        rows = window.rows(page["after"], page["top"], size + 1)
        more = {**page, "after": rows[size - 1]["seq"]} if len(rows) > size else None
        items = [window.shown(row) for row in rows[:size]]
    ends: Doc = {}
    if more is not None:
        ends["nextPageToken"] = tokens.encode({**more, "of": same})
    elif not any(name in params for name in _NO_TOKEN_AFTER):
        ends["nextSyncToken"] = tokens.encode(_token(call, calendar, params, page["top"], low, high))
    return Reply(_page(call, calendar, items, ends))


def _opened(call: Call, calendar: Calendar, params: Doc) -> Doc:
    """What a sync token holds, after all checks."""
    for name in _NOT_WITH_SYNC:
        if name in params:
            raise ApiError(400, "badRequest", f"{name} cannot be combined with syncToken.", location=name)
    if params.get("showDeleted") is False:
        raise ApiError(400, "badRequest", "showDeleted cannot be false with syncToken.", location="showDeleted")
    sync = tokens.decode(params["syncToken"])
    life = call.world.settings.get("google_calendar_token_seconds", TOKEN_DAYS * 86_400)
    if sync is None or sync.get("cal") != calendar.id or sync["at"] + life * 1000 < call.world.clock.now_ms():
        raise ApiError(
            410,
            "fullSyncRequired",
            "Sync token is no longer valid, a full sync is required.",
            domain="calendar",
            location="syncToken",
        )
    if sync["of"] != tokens.print_of({name: params.get(name) for name in _SAME_IN_SYNC}):
        raise ApiError(400, "badRequest", "The sync token was made by a query with other parameters.")
    return sync


def _token(call: Call, calendar: Calendar, params: Doc, top: int, low: int | None, high: int | None) -> Doc:
    return {
        "cal": calendar.id,
        "seq": top,
        "at": call.world.clock.now_ms(),
        "of": tokens.print_of({name: params.get(name) for name in _SAME_IN_SYNC}),
        "low": low,
        "high": high,
    }


def _text(doc: Doc) -> str:
    return json.dumps(doc, ensure_ascii=False, separators=(",", ":"))


def _page(call: Call, calendar: Calendar, items: Iterable[str], ends: Doc) -> bytes:
    """A page as JSON text; the items are joined as they are stored, which saves most of the time of a large page."""
    entry = call.world.db.execute(
        "SELECT doc FROM google_calendar_list WHERE user = ? AND id = ?", (call.user, calendar.id)
    ).fetchone()
    head: Doc = {
        "kind": "calendar#events",
        "etag": store.etag(store.last_seq(call.world)),
        "summary": calendar.doc.get("summary", ""),
        "description": calendar.doc.get("description", ""),
        "updated": store.stamp(call.world.clock.now_ms()),
        "timeZone": call.params.get("timeZone", calendar.zone),
        "accessRole": "owner",
        "defaultReminders": json.loads(entry["doc"]).get("defaultReminders", []) if entry else [],
        **ends,
    }
    return f'{_text(head)[:-1]},"items":[{",".join(items)}]}}'.encode()


class _Window:
    """The events that one query can see, as SQL and as filters."""

    def __init__(self, call: Call, calendar: Calendar, low: int | None, high: int | None, sync: bool) -> None:
        self._call = call
        self._calendar = calendar
        self._low = low
        self._high = high
        self._sync = sync
        params = call.params
        self._details = bool(params.get("showDeleted"))
        self._plain = not any(name in params for name in ("timeZone", "maxAttendees"))
        where = ["calendar = ?", "seq > ?", "seq <= ?"]
        self._values: list[Any] = []
        if not (self._details or sync or "updatedMin" in params):
            where.append("(status <> 'cancelled' OR master <> '')")
        if low is not None:
            where.append("(end_ms > ? OR (recurring = 0 AND status = 'cancelled' AND start_ms = 0))")
            self._values.append(low)
        if high is not None:
            where.append("start_ms < ?")
            self._values.append(high)
        if "iCalUID" in params:
            where.append("uid = ?")
            self._values.append(params["iCalUID"])
        if "updatedMin" in params:
            where.append("updated_ms >= ?")
            self._values.append(times.parse_stamp(params["updatedMin"], "updatedMin"))
        for kind in ("private", "shared"):
            for pair in params.get(f"{kind}ExtendedProperty", ()):
                name, equals, value = pair.partition("=")
                if not equals:
                    raise invalid(f"Invalid value: {pair}", f"{kind}ExtendedProperty")
                quoted = name.replace('"', "")
                where.append(
                    "instr(doc, ?) > 0 AND json_extract(doc, ?) = ?"
                )  # the first test is the cheap one
                self._values.append(json.dumps(value, ensure_ascii=False))
                self._values += [f'$.extendedProperties.{kind}."{quoted}"', value]
        if "eventTypes" in params:
            where.append(f"json_extract(doc, '$.eventType') IN ({','.join('?' * len(params['eventTypes']))})")
            self._values += params["eventTypes"]
        for word in params.get("q", "").split():
            where.append("instr(lower(doc), ?) > 0")
            self._values.append(word.lower())
        self._sql = f"SELECT * FROM google_events WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"  # noqa: S608

    def rows(self, after: int, top: int, most: int) -> list[sqlite3.Row]:
        """The stored events with numbers above ``after`` up to ``top``, oldest change first."""
        values = (self._calendar.id, after, top, *self._values, most)
        return self._call.world.db.execute(self._sql, values).fetchall()

    def shown(self, row: sqlite3.Row) -> str:
        """The JSON text of a row; of a cancelled one only what is guaranteed, unless deleted ones were asked for."""
        if row["status"] == "cancelled" and not (self._details and not row["master"]):
            return _text(_tombstone(json.loads(row["doc"])))
        if self._plain:
            text: str = row["doc"]
            return text
        return _text(_trimmed(self._call, json.loads(row["doc"])))

    def ordered(self, page: Doc) -> list[Doc]:
        """All events of the query by time of last change."""
        rows = self.rows(page["after"], page["top"], -1)
        return [
            json.loads(self.shown(row)) for row in sorted(rows, key=lambda row: (row["updated_ms"], row["id"]))
        ]

    def expanded(self, page: Doc) -> list[Doc]:
        """Single events and occurrences instead of series, by start."""
        out: dict[str, tuple[int, Doc]] = {}
        world, calendar = self._call.world, self._calendar
        high = self._high if self._high is not None else world.clock.now_ms() + _FAR
        low = self._low if self._low is not None else -ENDLESS_PAST
        for row in self.rows(page["after"], page["top"], -1):
            doc = json.loads(row["doc"])
            if not row["recurring"]:
                if row["status"] != "cancelled" or self._details or self._sync:
                    out[row["id"]] = (row["start_ms"], json.loads(self.shown(row)))
                continue
            if row["status"] == "cancelled" and not self._sync:
                continue
            replaced = {one["id"] for one in store.exceptions(world, calendar.id, row["id"])}
            for start, at in times.occurrences(doc, calendar.zone, low, high):
                one = instance(doc, start, calendar.zone)
                if one["id"] not in replaced:
                    out[one["id"]] = (at, _tombstone(one) if row["status"] == "cancelled" else one)
        return [doc for _, doc in sorted(out.values(), key=lambda pair: (pair[0], pair[1]["id"]))]


ENDLESS_PAST = store.ENDLESS


def _tombstone(doc: Doc) -> Doc:
    """What is guaranteed of a cancelled event: its id, and of an occurrence also whose and when it was."""
    names = ("kind", "etag", "id", "status", "recurringEventId", "originalStartTime")
    return {name: doc[name] for name in names if name in doc}


def instances(call: Call) -> Reply:
    """``events.instances``: the occurrences of a series, with their exceptions.

    Raises:
        ApiError: 400 for a foreign page token or an event that is no series, 404.
    """
    calendar = store.calendar(call.world, call.user, call.params["calendarId"])
    params = dict(call.params)
    row = store.event_row(call.world, calendar.id, params["eventId"])
    if row is None:
        raise not_found()
    master = json.loads(row["doc"])
    if not row["recurring"]:
        raise invalid("The event is not recurring.", "eventId")
    low = times.parse_stamp(params["timeMin"], "timeMin") if "timeMin" in params else -ENDLESS_PAST
    high = times.parse_stamp(params["timeMax"], "timeMax") if "timeMax" in params else None
    far = call.world.clock.now_ms() + _FAR if high is None else high
    stored = {one["id"]: one for one in store.exceptions(call.world, calendar.id, row["id"])}
    listed: list[tuple[int, Doc]] = []
    living = row["status"] != "cancelled"
    for start, at in times.occurrences(master, calendar.zone, low, far) if living else ():
        event_id = times.instance_id(master["id"], start)
        if event_id not in stored:
            listed.append((at, instance(master, start, calendar.zone)))
    for one in stored.values():
        if (
            (one["status"] != "cancelled" or params.get("showDeleted"))
            and one["end_ms"] > low
            and one["start_ms"] < far
        ):
            doc = json.loads(one["doc"])
            listed.append((one["start_ms"], _tombstone(doc) if one["status"] == "cancelled" else doc))
    if "originalStart" in params:
        listed = [pair for pair in listed if _starts(pair[1], calendar, params["originalStart"])]
    listed.sort(key=lambda pair: (pair[0], pair[1]["id"]))
    same = tokens.print_of(
        {k: v for k, v in params.items() if k not in ("pageToken", "maxResults", "quotaUser")}
    )
    at = 0
    if "pageToken" in params:
        given = tokens.decode(params["pageToken"])
        if given is None or given.get("of") != same:
            raise invalid("Invalid page token value.", "pageToken")
        at = given["at"]
    size = min(params.get("maxResults", 250), LARGEST_PAGE)
    ends = {"nextPageToken": tokens.encode({"at": at + size, "of": same})} if len(listed) > at + size else {}
    items = [_text(_trimmed(call, doc)) for _, doc in listed[at : at + size]]
    return Reply(_page(call, calendar, items, ends))


def _starts(doc: Doc, calendar: Calendar, wanted: str) -> bool:
    """Whether an occurrence's original start is ``wanted``, a date or an RFC 3339 time stamp."""
    original = doc.get("originalStartTime", {})
    if "date" in original or "T" not in wanted:
        return bool(original.get("date") == wanted)
    return times.to_ms(original, calendar.zone) == times.parse_stamp(wanted, "originalStart")
