"""Exchange's calendar item as observations in canonical fields: a single one, or a master with its changed occurrences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.mailbox.exchange import props, zones
from engine.mailbox.exchange.recurrence import rule_of
from engine.mailbox.exchange.xml import T, children, find, flag_of, stamp, text_of, time_of
from engine.model import canonical
from engine.model.modules import EVENT_MODULES, Module
from engine.model.occurrences import plain
from engine.model.port import Account, Observation

URIS = (
    "item:Subject",
    "item:Sensitivity",
    "item:Body",
    "item:Categories",
    "item:LastModifiedTime",
    "calendar:Start",
    "calendar:End",
    "calendar:OriginalStart",
    "calendar:IsAllDayEvent",
    "calendar:LegacyFreeBusyStatus",
    "calendar:Location",
    "calendar:IsMeeting",
    "calendar:CalendarItemType",
    "calendar:MyResponseType",
    "calendar:RequiredAttendees",
    "calendar:OptionalAttendees",
    "calendar:Resources",
    "calendar:Recurrence",
    "calendar:ModifiedOccurrences",
    "calendar:DeletedOccurrences",
    "calendar:StartTimeZone",
    "calendar:EndTimeZone",
)
SHAPE = props.shape(URIS)

_REPLIES = {"Accept": "accepted", "Decline": "declined", "Tentative": "tentative"}

#: Between the id of a series and the original start of one occurrence, in the id that we give to the latter: Exchange
#: changes an occurrence's own id when it is changed for the first time. ``#`` is no sign of base64.
MARK = "#"


@dataclass(frozen=True, slots=True)
class Seen:
    """One calendar item, and of a master what the item says of its occurrences.

    Attributes:
        observation: the item or master.
        changed: Exchange's id of each changed occurrence, by its original start.
        deleted: original starts of deleted occurrences.
    """

    observation: Observation
    changed: Mapping[str, str] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()


def occurrence_id(series: str, occurrence: str) -> str:
    """Our id of one occurrence."""
    return f"{series}{MARK}{occurrence}"


def split_id(remote_id: str) -> tuple[str, str]:
    """Series and original start of an occurrence's id; the id itself and nothing for any other item."""
    series, _, occurrence = remote_id.partition(MARK)
    return series, occurrence


def observe(node: Any, account: Account) -> Seen | None:
    """One calendar item that is no occurrence; ``None`` for what is none (a booking, a note)."""
    identity, version = props.id_of(node)
    if not identity or node.tag != f"{T}CalendarItem":
        return None
    zone, raw_zone, all_day = _zone(node)
    fields = fields_of(node, account)
    extended = props.extended_of(node)
    kind = extended.get(props.KIND, "")
    native = native_of(node, kind, raw_zone)
    if find(node, "Recurrence") is not None:
        lines = rule_of(find(node, "Recurrence"), fields.get("start") or {}, zone or account.zone)
        if lines is not None:
            fields["rule"] = {"lines": lines}
        if lines is None or (raw_zone and zone is None):
            # A pattern or zone that we cannot tell: its times are nobody's to change but Exchange's.
            native["read_only"] = True
    observation = Observation(
        remote_id=identity,
        module=module_of(kind),
        fields=canonical.compact(fields),
        etag=version or None,
        marker=extended.get(props.KEY) or None,
        modified=props.modified_of(node),
        containers=tuple(props.container(name) for name in props.categories_of(node)),
        native=native,
    )
    changed = {}
    for one in children(node, "ModifiedOccurrences"):
        start = _original(text_of(one, "OriginalStart"), zone, all_day, account)
        inner = one.find(f"{T}ItemId")
        if start and inner is not None:
            changed[start] = str(inner.get("Id"))
    starts = (
        _original(text_of(one, "Start"), zone, all_day, account) for one in children(node, "DeletedOccurrences")
    )
    return Seen(observation, changed, tuple(sorted({start for start in starts if start})))


def observe_occurrence(node: Any, account: Account, series: str, occurrence: str) -> Observation | None:
    """A changed occurrence. Its version is made of its content: Exchange's change key is the whole series' own."""
    identity, version = props.id_of(node)
    if not identity:
        return None
    kind = props.extended_of(node).get(props.KIND, "")
    fields = canonical.compact(fields_of(node, account))
    native = native_of(node, kind, _zone(node)[1])
    native |= {"occurrence": identity, "version": version}
    return Observation(
        remote_id=occurrence_id(series, occurrence),
        module=module_of(kind),
        fields=fields,
        etag=content_version(fields),
        modified=props.modified_of(node),
        containers=tuple(props.container(name) for name in props.categories_of(node)),
        parent=series,
        occurrence=occurrence,
        native=native,
    )


def cancelled(series: str, module: Module, occurrence: str, modified: int | None) -> Observation:
    """A deleted occurrence."""
    return Observation(
        remote_id=occurrence_id(series, occurrence),
        module=module,
        fields={"cancelled": True},
        etag="cancelled",
        modified=modified,
        parent=series,
        occurrence=occurrence,
        native={"kind": module.value, "cancelled": True},
    )


def plain_occurrence(master: Observation, occurrence: str) -> Observation:
    """An occurrence that differs from its series no longer."""
    fields = plain(master.fields, occurrence)
    return Observation(
        remote_id=occurrence_id(master.remote_id, occurrence),
        module=master.module,
        fields=fields,
        etag=content_version(fields),
        modified=master.modified,
        containers=master.containers,
        parent=master.remote_id,
        occurrence=occurrence,
        native=dict(master.native or {}),
    )


def content_version(fields: Mapping[str, Any]) -> str:
    """A version that changes when, and only when, one of the synchronised values does."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def module_of(kind: str) -> Module:
    """The module that we wrote on the item; an item of somebody else is an appointment.

    Whether a category makes it a call is for the engine to say: it sees them in ``containers``.
    """
    return Module(kind) if kind in {module.value for module in EVENT_MODULES} else Module.APPOINTMENT


def fields_of(node: Any, account: Account) -> dict[str, Any]:
    """Canonical fields without the rule."""
    zone, _, all_day = _zone(node)
    return {
        "subject": canonical.text(text_of(node, "Subject")),
        "body": canonical.text(text_of(node, "Body")),
        "location": canonical.text(text_of(node, "Location")),
        "start": _edge(text_of(node, "Start"), zone, all_day, account),
        "end": _edge(text_of(node, "End"), _zone_of(node, "EndTimeZone")[0] or zone, all_day, account),
        "busy": text_of(node, "LegacyFreeBusyStatus") != "Free",
        "private": text_of(node, "Sensitivity") in {"Private", "Confidential", "Personal"},
        "attendees": guests_of(node),
    }


def _edge(value: str, zone: str | None, all_day: bool, account: Account) -> dict[str, Any] | None:
    at = time_of(value) if value else None
    if at is None:
        return None
    if all_day:
        # The end is exclusive on both sides: Exchange ends an all-day event at the midnight after it.
        return dict(canonical.all_day(zones.day_of(at, zone, account.zone)))
    return dict(canonical.moment(at, zone))


def _original(value: str, zone: str | None, all_day: bool, account: Account) -> str:
    at = time_of(value) if value else None
    if at is None:
        return ""
    return zones.day_of(at, zone, account.zone).isoformat() if all_day else stamp(at)


def _zone(node: Any) -> tuple[str | None, str, bool]:
    """IANA zone of an item (``None`` for one that no table has), what Exchange calls it, and whether it is all-day."""
    zone, raw = _zone_of(node, "StartTimeZone")
    return zone, raw, flag_of(node, "IsAllDayEvent")


def _zone_of(node: Any, name: str) -> tuple[str | None, str]:
    found = find(node, name)
    raw = "" if found is None else str(found.get("Id") or found.get("Name") or "")
    return (zones.iana_of(raw) if raw else None), raw


def guests_of(node: Any) -> list[dict[str, Any]] | None:
    """Canonical attendees; rooms and other resources are no guests."""
    return canonical.attendees(
        {
            "email": text_of(guest, "Mailbox", "EmailAddress"),
            "name": text_of(guest, "Mailbox", "Name"),
            "status": _REPLIES.get(text_of(guest, "ResponseType"), "none"),
            "optional": optional,
        }
        for optional, guests in ((False, "RequiredAttendees"), (True, "OptionalAttendees"))
        for guest in children(node, guests)
        if text_of(guest, "Mailbox", "RoutingType") in {"", "SMTP"}
    )


def native_of(node: Any, kind: str, raw_zone: str) -> dict[str, Any]:
    """What a later change must know of Exchange's item: zone, categories, guests as they are, whose meeting it is."""
    native: dict[str, Any] = {"kind": kind}
    if raw_zone:
        native["zone"] = raw_zone
    categories = props.categories_of(node)
    if categories:
        native["categories"] = list(categories)
    guests = [
        _guest(one, name) for name in ("RequiredAttendees", "OptionalAttendees") for one in children(node, name)
    ]
    if guests:
        native["guests"] = guests
    reply = text_of(node, "MyResponseType")
    if flag_of(node, "IsMeeting") and reply not in {"", "Unknown", "Organizer"}:
        # Only the organiser may change what everybody sees.
        native["read_only"] = True
    return native


def _guest(node: Any, place: str) -> dict[str, str]:
    box = find(node, "Mailbox")
    said = {
        name: text_of(box, tag)
        for name, tag in (("name", "Name"), ("email", "EmailAddress"), ("routing", "RoutingType"))
        if text_of(box, tag)
    }
    return said | {"place": place}
