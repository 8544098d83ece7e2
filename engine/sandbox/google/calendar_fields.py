"""Fields of events: which a client may write, how a patch merges, and what is refused."""

from __future__ import annotations

import re
from typing import Any

from engine.sandbox.google import calendar_times as times
from engine.sandbox.google.calendar_store import Calendar
from engine.sandbox.google.call import ApiError, Call
from engine.sandbox.google.errors import invalid

Doc = dict[str, Any]

SHARED = (
    "summary",
    "description",
    "location",
    "start",
    "end",
    "recurrence",
    "guestsCanInviteOthers",
    "guestsCanModify",
    "guestsCanSeeOtherGuests",
    "source",
    "conferenceData",
    "attachments",
)
"""Fields that belong to the organizer and are the same in all copies (besides attendees and shared properties)."""

PRIVATE = ("reminders", "colorId", "eventLabelId", "transparency", "visibility")
"""Fields of each copy (besides private extended properties)."""

_WRITABLE = frozenset(
    (
        *SHARED,
        *PRIVATE,
        "attendees",
        "extendedProperties",
        "status",
        "anyoneCanAddSelf",
        "privateCopy",
        "eventType",
    )
) | {
    "birthdayProperties",
    "focusTimeProperties",
    "outOfOfficeProperties",
    "workingLocationProperties",
    "gadget",
}
_ENUMS = {
    "status": ("confirmed", "tentative", "cancelled"),
    "transparency": ("opaque", "transparent"),
    "visibility": ("default", "public", "private", "confidential"),
    "eventType": ("birthday", "default", "focusTime", "outOfOffice", "workingLocation"),
}
_DEFAULTS: Doc = {
    "transparency": "opaque",
    "visibility": "default",
    "guestsCanInviteOthers": True,
    "guestsCanModify": False,
    "guestsCanSeeOtherGuests": True,
    "anyoneCanAddSelf": False,
    "privateCopy": False,
}
_ADDRESS = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")
_MERGED = ("extendedProperties", "reminders", "start", "end", "source", "gadget")
_REPLIES = ("needsAction", "declined", "tentative", "accepted")

KEY_LENGTH, VALUE_LENGTH, MOST_PROPERTIES = 44, 1024, 300


def writable(call: Call) -> Doc:
    """What of the body a client may set on an event, after the version parameters had their say.

    ``eventLabelVersion=1`` takes ``eventLabelId`` and ignores ``colorId``; version 0 the other way round (discovery
    document). ``conferenceData`` and ``attachments`` count only when the client says that it knows them.
    """
    body = {name: value for name, value in call.body.items() if name in _WRITABLE}
    body.pop("colorId" if call.params.get("eventLabelVersion") == 1 else "eventLabelId", None)
    if call.params.get("conferenceDataVersion") != 1:
        body.pop("conferenceData", None)
    if not call.params.get("supportsAttachments"):
        body.pop("attachments", None)
    return body


def merged(old: Doc, patch: Doc) -> Doc:
    """``old`` after a patch: null clears, arrays replace, objects merge."""
    out = dict(old)
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        elif isinstance(value, dict) and (name in _MERGED or name in ("private", "shared")):
            below = merged(out.get(name) or {}, value)
            if below:
                out[name] = below
            else:
                out.pop(name, None)
        else:
            out[name] = value
    return out


def checked(doc: Doc, calendar: Calendar) -> tuple[Doc, tuple[int, int]]:
    """An event with all its fields validated and in normal form, and its span in epoch milliseconds.

    Raises:
        ApiError: 400.
    """
    out = {name: value for name, value in doc.items() if value is not None and _DEFAULTS.get(name) != value}
    for name, allowed in _ENUMS.items():
        if name in out and out[name] not in allowed:
            raise invalid(f"Invalid value for: {name}")
    if out.get("recurrence") == []:
        del out["recurrence"]
    recurring = "recurrence" in out
    for which in ("start", "end"):
        if which not in out:
            raise ApiError(400, "required", f"Missing {which} time.")
        out[which] = times.normal(out[which], calendar.zone, which, recurring=recurring)
    span = times.check_span(out["start"], out["end"], calendar.zone)
    if recurring:
        span = (span[0], times.series_end(out, *span))
    if "attendees" in out:
        out["attendees"] = _attendees(out["attendees"])
        if not out["attendees"]:
            del out["attendees"]
    if "extendedProperties" in out:
        out["extendedProperties"] = _properties(out["extendedProperties"])
    out["reminders"] = _reminders(out.get("reminders"))
    _check_colour(out, calendar)
    return out, span


def _attendees(listed: list[Doc]) -> list[Doc]:
    found: dict[str, Doc] = {}
    for one in listed:
        email = (one.get("email") or "").lower()
        if not email:
            raise ApiError(400, "required", "Missing attendee email.")
        if not _ADDRESS.fullmatch(email):
            raise invalid("Invalid attendee email.")
        reply = one.get("responseStatus", "needsAction")
        if reply not in _REPLIES:
            raise invalid("Invalid value for: responseStatus")
        kept = {name: value for name, value in one.items() if value not in (None, False)}
        kept = {name: value for name, value in kept.items() if name not in ("self", "organizer", "id")}
        found[email] = {**kept, "email": email, "responseStatus": reply}
    return list(found.values())


def _properties(given: Doc) -> Doc:
    out: Doc = {}
    for kind in ("private", "shared"):
        pairs = {name: value for name, value in (given.get(kind) or {}).items() if value is not None}
        if len(pairs) > MOST_PROPERTIES:
            raise invalid("Too many extended properties.")
        for name, value in pairs.items():
            if len(name) > KEY_LENGTH:
                raise invalid(f"The extended property name is too long: {name[:KEY_LENGTH]}...")
            if len(value) > VALUE_LENGTH:
                raise invalid(f"The value of extended property {name} is too long.")
        if pairs:
            out[kind] = pairs
    return out


def _reminders(given: Doc | None) -> Doc:
    if not given:
        return {"useDefault": True}
    overrides = given.get("overrides") or []
    if given.get("useDefault") and overrides:
        raise invalid(
            "Cannot specify both default reminders and overrides at the same time.",
            reason="cannotUseDefaultRemindersAndSpecifyOverride",
        )
    if len(overrides) > 5:
        raise invalid("Too many override reminders.")
    for one in overrides:
        minutes = one.get("minutes")
        if one.get("method") not in ("email", "popup") or minutes is None or not 0 <= minutes <= 40_320:
            raise invalid("Invalid reminder override.")
    out: Doc = {"useDefault": bool(given.get("useDefault", False))}
    if overrides:
        out["overrides"] = overrides
    return out


def labels(calendar: Calendar) -> list[Doc]:
    """The event labels that a calendar defines."""
    listed: list[Doc] = (calendar.doc.get("labelProperties") or {}).get("eventLabels") or []
    return listed


def _check_colour(doc: Doc, calendar: Calendar) -> None:
    colour = doc.get("colorId")
    if colour == "":
        del doc["colorId"]
    elif colour is not None and not (colour.isdigit() and 1 <= int(colour) <= 11):
        raise invalid("Invalid value for: colorId")
    label = doc.get("eventLabelId")
    if label == "":
        del doc["eventLabelId"]
    elif label is not None and label not in {one["id"] for one in labels(calendar)}:
        raise invalid("Invalid value for: eventLabelId")
