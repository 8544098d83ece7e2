"""Properties of appointments that the server works out from what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.sandbox.exchange import calendar, ids, store, times, zones
from engine.sandbox.exchange.nodes import Node, attribute, flag, parent, text, truth
from engine.sandbox.exchange.store import Item

if TYPE_CHECKING:
    from engine.sandbox.exchange.views import View

_CONSTANTS = {
    "IsAllDayEvent": "false",
    "LegacyFreeBusyStatus": "Busy",
    "IsCancelled": "false",
    "IsResponseRequested": "true",
    "MeetingRequestWasSent": "false",
    "AllowNewTimeProposal": "true",
    "AppointmentSequenceNumber": "0",
    "ConferenceType": "0",
    "IsOnlineMeeting": "false",
}
_ATTENDEES = ("RequiredAttendees", "OptionalAttendees", "Resources")


def value(view: View, name: str) -> Node | None:
    """A calendar property that is not stored; None where there is none."""
    worker = _WORKERS.get(name)
    return worker(view) if worker is not None else _CONSTANTS.get(name)


def is_meeting(view: View) -> bool:
    """Whether others are invited, or the owner was."""
    return received(view) or any(view.item.doc.get(name) for name in _ATTENDEES)


def received(view: View) -> bool:
    """Whether the owner was invited by somebody else."""
    return "_received" in view.item.doc


def _type(view: View) -> Node:
    if view.item.tag != "CalendarItem":
        return "RecurringMaster" if calendar.recurs(view.item.doc) else "Single"
    if view.item.master:
        return "Exception" if view.item.row else "Occurrence"
    return "RecurringMaster" if calendar.recurs(view.item.doc) else "Single"


def _recurring(view: View) -> Node:
    # The reference's page on IsRecurring: the master says false to its organizer, occurrences say true.
    return flag(bool(view.item.master) or (calendar.recurs(view.item.doc) and received(view)))


def _organizer(view: View) -> Node:
    mailbox = view.call.box(view.item.mailbox)
    return parent(
        ("Mailbox", parent(("Name", mailbox.name), ("EmailAddress", mailbox.email), ("RoutingType", "SMTP"),
                           ("MailboxType", "Mailbox") if view.call.since("Exchange2010") else ("MailboxType", None)))
    )  # fmt: skip


def _response(view: View) -> Node:
    return "NoResponseReceived" if received(view) else "Organizer"


def _state(view: View) -> Node:
    # Bits of PidLidAppointmentStateFlags: 1 meeting, 2 received, 4 cancelled.
    bits = (1 if is_meeting(view) else 0) | (2 if received(view) else 0)
    return str(bits | (4 if truth(view.item.doc.get("IsCancelled")) else 0))


def _duration(view: View) -> Node:
    start, end = calendar.span(view.item.doc)
    return zones.written(times.from_ms(end) - times.from_ms(start))


def _zone_name(view: View) -> Node | None:
    name = attribute(view.item.doc.get("StartTimeZone"), "Name")
    return name or None


def _zone_id(which: str) -> Callable[[View], Node | None]:
    def worker(view: View) -> Node | None:
        return attribute(view.item.doc.get(which), "Id") or None

    return worker


def _wall(which: str, zone: str) -> Callable[[View], Node | None]:
    def worker(view: View) -> Node | None:
        name = attribute(view.item.doc.get(zone), "Id")
        if not name or which not in view.item.doc:
            return None
        moment = times.parse(text(view.item.doc[which])).astimezone(calendar.zone_of(view.item.doc))
        return moment.isoformat()

    return worker


def _meeting_zone(view: View) -> Node | None:
    name = attribute(view.item.doc.get("StartTimeZone"), "Id")
    if not name or calendar.CUSTOM_ZONE in view.item.doc:
        return None
    return zones.meeting_zone(name, times.from_ms(calendar.span(view.item.doc)[0]).year)


def _master(view: View) -> bool:
    return not view.item.master and view.item.tag == "CalendarItem" and calendar.recurs(view.item.doc)


def _info(view: View, own: Item) -> Node:
    identity = {"Id": store.item_id(view.call.box(own.mailbox).guid, own)}
    identity["ChangeKey"] = ids.change_key(own.tag, store.key_seq(view.item))
    return parent(
        ("ItemId", {"a": identity, "t": ""}),
        ("Start", times.stamp(own.start_ms)),
        ("End", times.stamp(own.end_ms)),
        ("OriginalStart", times.stamp(own.original)),
    )


def _changed(view: View) -> dict[int, Item]:
    return {own.original: own for own in store.changed_occurrences(view.call.world, view.item.row)}


def _first(view: View) -> Node | None:
    if not _master(view):
        return None
    own = next(calendar.occurrences(view.item, _changed(view), store.NEVER), None)
    return None if own is None else _info(view, own)


def _last(view: View) -> Node | None:
    if not _master(view) or view.item.end_ms >= store.NEVER:
        return None
    found = list(calendar.occurrences(view.item, _changed(view), store.NEVER))
    return _info(view, found[-1]) if found else None


def _modified(view: View) -> Node | None:
    if not _master(view):
        return None
    found = [calendar.view(view.item, original, own) for original, own in sorted(_changed(view).items())]
    return {"c": [["Occurrence", _info(view, own)] for own in found]} if found else None


def _deleted(view: View) -> Node | None:
    if not _master(view) or not calendar.deleted(view.item):
        return None
    return {
        "c": [["DeletedOccurrence", parent(("Start", times.stamp(one)))] for one in calendar.deleted(view.item)]
    }


def _original(view: View) -> Node | None:
    return times.stamp(view.item.original) if view.item.master else None


def _beside(view: View) -> tuple[int, int]:
    start, end = calendar.span(view.item.doc)
    near = calendar.within(view.call.world, view.item.folder, start - 1, end + 1)
    others = [
        own
        for own in near
        if (own.row or own.master) not in (view.item.row or view.item.master, view.item.master)
    ]
    overlapping = [own for own in others if own.start_ms < end and own.end_ms > start]
    return len(overlapping), len(others) - len(overlapping)


_WORKERS: dict[str, Callable[[View], Node | None]] = {
    "CalendarItemType": _type,
    "IsRecurring": _recurring,
    "IsMeeting": lambda view: flag(is_meeting(view)),
    "Organizer": _organizer,
    "MyResponseType": _response,
    "AppointmentState": _state,
    "IsOrganizer": lambda view: flag(not received(view)),
    "Duration": _duration,
    "TimeZone": _zone_name,
    "StartTimeZoneId": _zone_id("StartTimeZone"),
    "EndTimeZoneId": _zone_id("EndTimeZone"),
    "StartWallClock": _wall("Start", "StartTimeZone"),
    "EndWallClock": _wall("End", "EndTimeZone"),
    "MeetingTimeZone": _meeting_zone,
    "FirstOccurrence": _first,
    "LastOccurrence": _last,
    "ModifiedOccurrences": _modified,
    "DeletedOccurrences": _deleted,
    "OriginalStart": _original,
    "RecurrenceId": _original,
    "DateTimeStamp": lambda view: times.stamp(view.item.modified_ms),
    "ConflictingMeetingCount": lambda view: str(_beside(view)[0]),
    "AdjacentMeetingCount": lambda view: str(_beside(view)[1]),
    "UID": lambda view: view.item.uid or None,
}
