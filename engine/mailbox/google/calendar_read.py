"""Google's event document as an observation in canonical fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.model import canonical
from engine.model.modules import EVENT_MODULES, Module
from engine.model.port import Observation

#: Names of our private extended properties (at most 44 characters; only this connector's calls see them).
KEY = "syncline_key"
KIND = "syncline_kind"

#: Events that Google makes by itself or that stand for a person's state; they are nobody's appointment.
SKIPPED_TYPES = frozenset({"birthday", "focusTime", "outOfOffice", "workingLocation", "fromGmail"})

_STATUS = {"accepted": "accepted", "declined": "declined", "tentative": "tentative"}


def observe(event: Mapping[str, Any]) -> Observation | None:
    """One event of a feed; ``None`` for the kinds of event that are never synchronised.

    A cancelled event is a tombstone, of which Google promises only the id. A cancelled occurrence of a series is an
    observation with ``fields == {"cancelled": True}``, its ``parent`` and its ``occurrence``.
    """
    if event.get("eventType") in SKIPPED_TYPES:
        return None
    parent = event.get("recurringEventId")
    module = kind_of(event)
    if event.get("status") == "cancelled":
        occurrence = occurrence_of(event.get("originalStartTime")) if parent else None
        if parent and occurrence:
            return Observation(
                remote_id=event["id"],
                module=module,
                fields={"cancelled": True},
                etag=event.get("etag"),
                modified=milliseconds(event.get("updated")),
                parent=parent,
                occurrence=occurrence,
                native={"kind": module.value, "cancelled": True},
            )
        return Observation(
            event["id"],
            module,
            etag=event.get("etag"),
            deleted=True,
            modified=milliseconds(event.get("updated")),
        )
    return Observation(
        remote_id=event["id"],
        module=module,
        fields=fields_of(event),
        etag=event.get("etag"),
        # An occurrence inherits the properties of its series, and with them the series' key: not its own marker.
        marker=None if parent else marker_of(event),
        modified=milliseconds(event.get("updated")),
        containers=containers_of(event),
        parent=parent,
        occurrence=occurrence_of(event.get("originalStartTime")) if parent else None,
        native=native_of(event),
    )


def fields_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Canonical fields of a live event, without empty ones. The description stays as it is, HTML or not."""
    lines = [str(line) for line in event.get("recurrence") or ()]
    fields = {
        "subject": canonical.text(event.get("summary")),
        "body": canonical.text(event.get("description")),
        "location": canonical.text(event.get("location")),
        "start": moment_of(event.get("start")),
        "end": moment_of(event.get("end")),
        "busy": event.get("transparency") != "transparent",
        "private": event.get("visibility") in {"private", "confidential"},
        "attendees": guests_of(event.get("attendees") or ()),
        "rule": {"lines": lines} if lines else None,
    }
    return canonical.compact(fields)


def kind_of(event: Mapping[str, Any]) -> Module:
    """The module that we wrote on the event; an event of somebody else is an appointment.

    Whether a colour or label makes it a call is for the engine to say: it sees them in ``containers``.
    """
    kind = _private(event).get(KIND)
    if kind in {module.value for module in EVENT_MODULES}:
        return Module(kind)
    return Module.APPOINTMENT


def marker_of(event: Mapping[str, Any]) -> str | None:
    """The idempotency key that we left on the event."""
    return _private(event).get(KEY) or None


def containers_of(event: Mapping[str, Any]) -> tuple[str, ...]:
    """Colour and label of the event as container ids: ``color:5``, ``label:<uuid>``."""
    found = []
    if event.get("colorId"):
        found.append(f"color:{event['colorId']}")
    if event.get("eventLabelId"):
        found.append(f"label:{event['eventLabelId']}")
    return tuple(found)


def native_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a later patch must know of Google's document: guests with all their attributes, the zone, whose it is."""
    native: dict[str, Any] = {"kind": _private(event).get(KIND) or ""}
    if event.get("attendees"):
        native["attendees"] = event["attendees"]
    zone = (event.get("start") or {}).get("timeZone")
    if zone:
        native["zone"] = zone
    organizer = event.get("organizer") or {}
    if organizer and not organizer.get("self"):
        # Only the organiser may change what everybody sees; a guest has his own reply.
        native["organizer"] = False
        native["read_only"] = True
    if event.get("locked"):
        native["read_only"] = True
    return native


def moment_of(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Canonical moment of an ``EventDateTime``; ``None`` when it is empty or unreadable."""
    if not value:
        return None
    if value.get("date"):
        return dict(canonical.all_day(str(value["date"])))
    try:
        at = datetime.fromisoformat(str(value["dateTime"]))
    except (KeyError, ValueError):
        return None
    zone = value.get("timeZone") or None
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone_info(zone))
    return dict(canonical.moment(at, zone))


def occurrence_of(value: Mapping[str, Any] | None) -> str | None:
    """Original start of an occurrence as the port writes it: a date, or a UTC date-time with Z."""
    moment = moment_of(value)
    if moment is None:
        return None
    return str(moment.get("date") or moment["utc"])


def guests_of(attendees: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Canonical attendees; meeting rooms and other resources are no guests."""
    return canonical.attendees(
        {
            "email": guest.get("email"),
            "name": guest.get("displayName"),
            "status": _STATUS.get(str(guest.get("responseStatus")), "none"),
            "optional": guest.get("optional", False),
        }
        for guest in attendees
        if not guest.get("resource")
    )


def milliseconds(stamp: str | None) -> int | None:
    """Epoch milliseconds of an RFC 3339 time stamp."""
    if not stamp:
        return None
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def zone_info(name: str | None) -> ZoneInfo:
    """The zone of that IANA name; UTC when it is empty or unknown."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _private(event: Mapping[str, Any]) -> Mapping[str, str]:
    properties = event.get("extendedProperties") or {}
    private = properties.get("private") or {}
    return private if isinstance(private, dict) else {}
