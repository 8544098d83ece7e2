"""Canonical fields as the body of a Google event: whole for an insert, only what changes for a patch."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from engine.mailbox.google.calendar_read import KEY, KIND, zone_info
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.port import Write, WriteKind

#: How often a create looks for a free id: a deleted event keeps its id for ever (providers.md 1.6).
GENERATIONS = 10

_STATUS = {"accepted": "accepted", "declined": "declined", "tentative": "tentative", "none": "needsAction"}


@lru_cache(maxsize=4096)
def event_id(key: str, generation: int = 0) -> str:
    """Our own id for the event of an idempotency key: base32hex, lower case, 52 characters.

    ``generation`` above 0 gives the substitutes for an id that is taken by a deleted or foreign event.
    """
    seed = key if generation == 0 else f"{key}#{generation}"
    digest = hashlib.sha256(seed.encode()).digest()
    return base64.b32hexencode(digest).decode().rstrip("=").lower()


def instance_id(parent: str, occurrence: str) -> str:
    """Google's id of one occurrence: ``<series>_20261121`` or ``<series>_20261121T080000Z``.

    The second half of a series that was split ("this and following") is called ``<series>_R<start>``, but its
    occurrences keep the first half's name.
    """
    base, split, _ = parent.rpartition("_R")
    return f"{base if split else parent}_{occurrence.replace('-', '').replace(':', '')}"


def insert_body(write: Write, zone: str) -> dict[str, Any]:
    """The document of a new event.

    Args:
        write: a create that is no occurrence.
        zone: IANA zone of the mailbox, for a series whose start names none.
    """
    body = body_of(write.fields, write, zone, names=tuple(write.fields))
    body = {name: value for name, value in body.items() if value is not None}
    for end in ("start", "end"):
        if end in body:
            body[end] = {name: value for name, value in body[end].items() if value is not None}
    body["extendedProperties"] = {"private": {KEY: write.key, KIND: write.module.value}}
    body.update(mark_of(write.containers))
    return body


def patch_body(write: Write, zone: str) -> dict[str, Any]:
    """The document of a patch: fields that the write names, ``None`` where one is cleared, nothing else.

    Google keeps what a patch does not name; arrays are replaced as a whole, hence guests are merged here.
    """
    names = set(write.patch)
    if "rule" in names and write.patch.get("rule"):
        # A series needs its zone on start and end; an event that becomes one may have none.
        names |= {name for name in ("start", "end") if write.fields.get(name)}
    source = {**write.fields, **write.patch}
    body = body_of(source, write, zone, names=tuple(sorted(names)))
    kind = (write.native or {}).get("kind", "")
    if kind != write.module.value and (kind or write.containers):
        body["extendedProperties"] = {"private": {KIND: write.module.value}}
        body.update(mark_of(write.containers))
    return body


def occurrence_body(write: Write, zone: str) -> dict[str, Any]:
    """The patch that makes one occurrence differ from its series (create or update)."""
    if write.patch:
        names = tuple(name for name in write.patch if name != "rule")
        source = {**write.fields, **write.patch}
    else:
        names = tuple(name for name in write.fields if name != "rule")
        source = dict(write.fields)
    body = body_of(source, write, zone, names=names)
    # An occurrence that somebody has cancelled stays so unless its status is set, too.
    if write.kind is WriteKind.CREATE or "cancelled" in names:
        body["status"] = "confirmed"
    return body


def body_of(fields: Fields, write: Write, zone: str, *, names: Sequence[str]) -> dict[str, Any]:
    """Google's properties for the canonical fields ``names``; empty ones become ``None``."""
    body: dict[str, Any] = {}
    series = bool(fields.get("rule"))
    native = write.native or {}
    for name in names:
        value = fields.get(name)
        match name:
            case "subject":
                body["summary"] = value
            case "body":
                body["description"] = value
            case "location":
                body["location"] = value
            case "start" | "end":
                body[name] = date_time(value, str(native.get("zone") or ""), zone, series=series)
            case "busy":
                body["transparency"] = "transparent" if value is False else "opaque"
            case "private":
                body["visibility"] = "private" if value else "default"
            case "attendees":
                body["attendees"] = merged_guests(native.get("attendees") or (), value or ())
            case "rule":
                body["recurrence"] = list(value["lines"]) if value else None
    return body


def date_time(
    value: Mapping[str, Any] | None, native_zone: str, account_zone: str, *, series: bool
) -> dict[str, Any] | None:
    """An ``EventDateTime`` with all three keys, so that a patch can turn a timed event into an all-day one and back.

    The zone is the moment's own, else the one the event has, else (only for a series, which must have one) the
    mailbox's.
    """
    if value is None:
        return None
    if "date" in value:
        return {"date": value["date"], "dateTime": None, "timeZone": None}
    zone = value.get("zone") or native_zone or (account_zone if series else "")
    info = zone_info(zone)
    if info.key == "UTC" and zone not in {"UTC", "Etc/UTC"}:
        # A name that we cannot read would shift the series' wall time; Google would refuse it.
        zone = account_zone if series else ""
        info = zone_info(zone)
    at = canonical.instant(value).astimezone(info)
    return {"date": None, "dateTime": at.isoformat(), "timeZone": zone or None}


def merged_guests(
    native: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Google's guests after a change: who stays keeps his reply and every attribute we do not know.

    Rooms stay. Only the mailbox's own reply is ours to give; others' replies are Google's.
    """
    known = {str(guest.get("email", "")).casefold(): guest for guest in native}
    guests = [dict(guest) for guest in native if guest.get("resource")]
    for row in wanted:
        guest = known.get(row["email"].casefold())
        if guest is None:
            fresh: dict[str, Any] = {
                "email": row["email"],
                "responseStatus": _STATUS.get(str(row.get("status")), "needsAction"),
            }
            if row.get("name"):
                fresh["displayName"] = row["name"]
            if row.get("optional"):
                fresh["optional"] = True
            guests.append(fresh)
            continue
        merged = dict(guest)
        if bool(guest.get("optional")) != bool(row.get("optional")):
            merged["optional"] = bool(row.get("optional"))
        if guest.get("self") and row.get("status") in _STATUS and row["status"] != "none":
            merged["responseStatus"] = _STATUS[row["status"]]
        guests.append(merged)
    return guests


def mark_of(containers: Sequence[str]) -> dict[str, str]:
    """Colour and label properties for container ids like ``color:5`` and ``label:<uuid>``."""
    mark = {}
    for container in containers:
        kind, _, value = container.partition(":")
        if kind == "color":
            mark["colorId"] = value
        elif kind == "label":
            mark["eventLabelId"] = value
    return mark


def label_version(body: Mapping[str, Any]) -> dict[str, int]:
    """The parameter without which Google ignores ``eventLabelId`` (and with which it ignores ``colorId``)."""
    return {"eventLabelVersion": 1} if "eventLabelId" in body else {}
