"""Canonical fields as an Exchange calendar item: whole for a create, only what changes for an update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from engine.mailbox.exchange import props, zones
from engine.mailbox.exchange.recurrence import Unwritable, excluded, pattern
from engine.mailbox.exchange.xml import element, field, leaf, stamp
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.port import Account, Write

ITEM = "t:CalendarItem"

#: Elements of a new item in the order that types.xsd demands.
_ORDER = (
    "Subject",
    "Sensitivity",
    "Body",
    "Categories",
    "ExtendedProperty",
    "Start",
    "End",
    "IsAllDayEvent",
    "LegacyFreeBusyStatus",
    "Location",
    "RequiredAttendees",
    "OptionalAttendees",
    "Recurrence",
    "StartTimeZone",
    "EndTimeZone",
)

_PATHS = {
    "Subject": "item:Subject",
    "Sensitivity": "item:Sensitivity",
    "Body": "item:Body",
    "Categories": "item:Categories",
    **{name: f"calendar:{name}" for name in _ORDER[5:]},
}


def create(write: Write, account: Account) -> str:
    """The ``t:CalendarItem`` of a create.

    Raises:
        Unwritable: Exchange cannot hold one of the values.
    """
    # Exchange's calendar holds nothing without a time.
    parts = _elements(write.fields, write, account, tuple({"start": None, **write.fields}))
    parts["Categories"] = categories(props.named(write.containers))
    body = "".join(
        props.marks(write.key, write.module.value) if name == "ExtendedProperty" else parts.get(name) or ""
        for name in _ORDER
    )
    return element(ITEM, body)


def changes(write: Write, account: Account) -> str:
    """The field changes (``t:SetItemField``, ``t:DeleteItemField``) of an update; empty when there is nothing to change.

    Raises:
        Unwritable: Exchange cannot hold one of the values.
    """
    names = set(write.patch)
    source = {**write.fields, **write.patch}
    if names & {"start", "end", "rule"}:
        # Start, end, zones and pattern belong together: Exchange checks each against the others.
        names |= {name for name in ("start", "end") if source.get(name)}
        if source.get("rule") and write.parent is None:
            names.add("rule")
    if write.parent is not None:
        names -= {"rule", "cancelled"}
    parts = _elements(source, write, account, sorted(names))
    native = write.native or {}
    if native.get("kind", "") != write.module.value and write.containers and write.parent is None:
        held = [str(name) for name in native.get("categories") or ()]
        wanted = props.named(write.containers)
        parts["Categories"] = categories([*held, *(name for name in wanted if name not in held)])
        parts["ExtendedProperty"] = props.extended(props.own(props.KIND), write.module.value)
    out = []
    for name in _ORDER:
        if name not in parts:
            continue
        path = props.own(props.KIND) if name == "ExtendedProperty" else field(_PATHS[name])
        value = parts[name]
        if value is None:
            out.append(element("t:DeleteItemField", path))
        else:
            out.append(element("t:SetItemField", path + element(ITEM, value)))
    return "".join(out)


def categories(names: Sequence[str]) -> str | None:
    """The element of an item's categories; ``None`` when it has none."""
    return element("t:Categories", "".join(leaf("t:String", name) for name in names)) if names else None


def _elements(fields: Fields, write: Write, account: Account, names: Sequence[str]) -> dict[str, str | None]:
    """Elements for the canonical fields ``names``; ``None`` clears one."""
    native = write.native or {}
    parts: dict[str, str | None] = {}
    for name in names:
        value = fields.get(name)
        match name:
            case "subject":
                parts["Subject"] = leaf("t:Subject", value or "")
            case "body":
                parts["Body"] = leaf("t:Body", value, BodyType="Text") if value else None
            case "location":
                parts["Location"] = leaf("t:Location", value) if value else None
            case "busy":
                parts["LegacyFreeBusyStatus"] = leaf(
                    "t:LegacyFreeBusyStatus", "Free" if value is False else "Busy"
                )
            case "private":
                parts["Sensitivity"] = leaf("t:Sensitivity", "Private" if value else "Normal")
            case "start":
                parts |= _times(fields, native, account)
            case "rule" if value:
                zone = zone_name(fields.get("start") or {}, native, account)
                start = fields.get("start") or {}
                parts["Recurrence"] = element("t:Recurrence", pattern(list(value["lines"]), start, zone))
            case "rule":
                parts["Recurrence"] = None
            case "attendees":
                parts |= _guests(native.get("guests") or (), value or ())
    return parts


def _times(fields: Fields, native: Mapping[str, Any], account: Account) -> dict[str, str | None]:
    """Start, end, zones and the all-day flag, always together."""
    start, end = fields.get("start"), fields.get("end") or fields.get("start")
    if not start or not end:
        raise Unwritable("an event without a start cannot stand in a calendar")
    if ("date" in start) != ("date" in end):
        raise Unwritable("an event cannot begin on a day and end at a time")
    all_day = "date" in start
    zone = zone_name(start, native, account)
    windows = zones.windows_of(zone) or "UTC"
    if all_day:
        # A zone that Windows does not know cannot be named: then the day is that of Greenwich, which is a day, too.
        where = zone if windows != "UTC" else "UTC"
        first, last = date.fromisoformat(start["date"]), date.fromisoformat(end["date"])
        begins = zones.midnight(first, where)
        ends = zones.midnight(last, where)
        if last <= first:
            ends = zones.midnight(date.fromordinal(first.toordinal() + 1), where)
    else:
        begins, ends = canonical.instant(start), canonical.instant(end)
    return {
        "Start": leaf("t:Start", stamp(begins)),
        "End": leaf("t:End", stamp(ends)),
        "IsAllDayEvent": leaf("t:IsAllDayEvent", all_day),
        "StartTimeZone": element("t:StartTimeZone", Id=windows),
        "EndTimeZone": element("t:EndTimeZone", Id=windows),
    }


def zone_name(start: Mapping[str, Any], native: Mapping[str, Any], account: Account) -> str:
    """The IANA zone in which an event is written: its own, the one that it has in Exchange, or the mailbox's."""
    if "date" in start:
        return account.zone
    own = start.get("zone") or ""
    if own and zones.windows_of(own):
        return str(own)
    held = zones.iana_of(str(native.get("zone") or "")) if native.get("zone") else None
    return held or account.zone


def _guests(native: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """Both lists of guests: who stays keeps the name that Exchange has; who has no address of the internet stays, too."""
    known = {str(one.get("email", "")).casefold(): one for one in native}
    lists: dict[str, list[str]] = {"RequiredAttendees": [], "OptionalAttendees": []}
    for one in native:
        if one.get("routing", "SMTP") != "SMTP":
            lists[str(one["place"])].append(_attendee(one))
    for row in wanted:
        held = known.get(row["email"].casefold(), {})
        said = {"name": held.get("name") or row.get("name") or "", "email": row["email"]}
        lists["OptionalAttendees" if row.get("optional") else "RequiredAttendees"].append(_attendee(said))
    return {name: element(f"t:{name}", "".join(rows)) if rows else None for name, rows in lists.items()}


def _attendee(said: Mapping[str, Any]) -> str:
    name = leaf("t:Name", said["name"]) if said.get("name") else ""
    routing = leaf("t:RoutingType", said["routing"]) if said.get("routing") else ""
    return element(
        "t:Attendee", element("t:Mailbox", name + leaf("t:EmailAddress", said.get("email", "")) + routing)
    )


def left_out(write: Write, account: Account) -> list[str]:
    """Original starts that the rule of a new series leaves out; Exchange has no ``EXDATE``, there they are deleted."""
    rule = write.fields.get("rule")
    if not rule:
        return []
    zone = zone_name(write.fields.get("start") or {}, {}, account)
    return excluded(list(rule["lines"]), zone)
