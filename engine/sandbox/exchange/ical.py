"""Appointments as iCalendar text, with the zone's rules: the MIME content of calendar items."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.sandbox.exchange import calendar, recurrence, store, times, zones
from engine.sandbox.exchange.nodes import Node, attribute, child, children, text, truth
from engine.sandbox.exchange.store import Item
from engine.sandbox.exchange.views import View

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_PARTSTAT = {"Accept": "ACCEPTED", "Tentative": "TENTATIVE", "Decline": "DECLINED", "Organizer": "ACCEPTED"}
_CLASS = {"Private": "PRIVATE", "Confidential": "CONFIDENTIAL", "Personal": "PRIVATE"}
_BUSY = {"Free": "FREE", "Tentative": "TENTATIVE", "OOF": "OOF", "WorkingElsewhere": "WORKINGELSEWHERE"}


def calendar_text(view: View) -> str:
    """The iCalendar object of an appointment: a series comes with its changed occurrences."""
    item = view.item
    lines = ["BEGIN:VCALENDAR", "METHOD:PUBLISH", "PRODID:Microsoft Exchange Server 2010", "VERSION:2.0"]
    zone_id = attribute(item.doc.get("StartTimeZone"), "Id") or "UTC"
    year = times.from_ms(calendar.span(item.doc)[0]).year
    lines += _zone(zone_id, zones.rules_of(calendar.zone_of(item.doc), year))
    lines += _event(view, zone_id)
    if calendar.recurs(item.doc) and not item.master:
        for changed in store.changed_occurrences(view.call.world, item.row):
            own = calendar.view(item, changed.original, changed)
            lines += _event(View(view.call, own), zone_id)
    lines.append("END:VCALENDAR")
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _zone(zone_id: str, rules: zones.Rules) -> list[str]:
    lines = ["BEGIN:VTIMEZONE", f"TZID:{zone_id}"]
    daylight = rules.daylight if rules.daylight is not None else rules.standard
    for name, change, before, after in (
        ("STANDARD", rules.to_standard, daylight, rules.standard),
        ("DAYLIGHT", rules.to_daylight, rules.standard, daylight),
    ):
        start = "16010101T000000"
        rule = []
        if change is not None:
            start = f"16010101T{(datetime(1601, 1, 1) + change.at):%H%M%S}"
            rule = [
                f"RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY={change.nth}{_DAYS[change.weekday]};BYMONTH={change.month}"
            ]
        offsets = [f"TZOFFSETFROM:{_offset(before)}", f"TZOFFSETTO:{_offset(after)}"]
        lines += [f"BEGIN:{name}", f"DTSTART:{start}", *offsets, *rule, f"END:{name}"]
    return [*lines, "END:VTIMEZONE"]


def _offset(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def _event(view: View, zone_id: str) -> list[str]:
    item = view.item
    doc = item.doc
    lines = ["BEGIN:VEVENT"]
    organizer = child(view.get("Organizer"), "Mailbox")
    if "RequiredAttendees" in doc or "OptionalAttendees" in doc or "_received" in doc:
        name, address = text(child(organizer, "Name")), text(child(organizer, "EmailAddress"))
        lines.append(f"ORGANIZER;CN={_quoted(name)}:mailto:{address}")
        for kind, role in (("RequiredAttendees", "REQ"), ("OptionalAttendees", "OPT"), ("Resources", "NON")):
            lines += [_attendee(one, f"{role}-PARTICIPANT") for _, one in children(doc.get(kind))]
    body = text(view.get("TextBody"))
    if body:
        lines.append(f"DESCRIPTION;LANGUAGE=en-US:{_escaped(body)}")
    if calendar.recurs(doc):
        lines.append(f"RRULE:{_rule(doc['Recurrence'], item)}")
        lines += [f"EXDATE{_moment(ms, item, zone_id)}" for ms in calendar.deleted(item)]
    lines.append(f"UID:{item.uid}")
    if item.master:
        lines.append(f"RECURRENCE-ID{_moment(item.original, item, zone_id)}")
    start, end = calendar.span(doc)
    lines.append(f"SUMMARY;LANGUAGE=en-US:{_escaped(text(doc.get('Subject')))}")
    lines.append(f"DTSTART{_moment(start, item, zone_id)}")
    lines.append(f"DTEND{_moment(end, item, zone_id)}")
    lines.append(f"CLASS:{_CLASS.get(text(doc.get('Sensitivity')), 'PUBLIC')}")
    lines.append(f"PRIORITY:{ {'High': 1, 'Low': 9}.get(text(doc.get('Importance')), 5) }")
    lines.append(f"DTSTAMP:{_utc(item.modified_ms)}")
    busy = text(view.get("LegacyFreeBusyStatus"))
    lines.append(f"TRANSP:{'TRANSPARENT' if busy == 'Free' else 'OPAQUE'}")
    lines.append("STATUS:CANCELLED" if truth(doc.get("IsCancelled")) else "STATUS:CONFIRMED")
    lines.append(f"SEQUENCE:{text(doc.get('AppointmentSequenceNumber')) or '0'}")
    lines.append(f"LOCATION;LANGUAGE=en-US:{_escaped(text(doc.get('Location')))}")
    categories = [text(one) for _, one in children(doc.get("Categories"))]
    if categories:
        lines.append("CATEGORIES:" + ",".join(_escaped(one) for one in categories))
    lines.append(f"X-MICROSOFT-CDO-APPT-SEQUENCE:{text(doc.get('AppointmentSequenceNumber')) or '0'}")
    lines.append(f"X-MICROSOFT-CDO-BUSYSTATUS:{_BUSY.get(busy, 'BUSY')}")
    lines.append("X-MICROSOFT-CDO-INTENDEDSTATUS:BUSY")
    lines.append(f"X-MICROSOFT-CDO-ALLDAYEVENT:{'TRUE' if truth(doc.get('IsAllDayEvent')) else 'FALSE'}")
    lines.append(f"X-MICROSOFT-CDO-IMPORTANCE:{ {'High': 2, 'Low': 0}.get(text(doc.get('Importance')), 1) }")
    instance = 0 if not item.master and not calendar.recurs(doc) else 1 if not item.master else 3
    lines.append(f"X-MICROSOFT-CDO-INSTTYPE:{instance}")
    if truth(view.get("ReminderIsSet")):
        minutes = text(view.get("ReminderMinutesBeforeStart"))
        lines += [
            "BEGIN:VALARM",
            "DESCRIPTION:REMINDER",
            f"TRIGGER;RELATED=START:-PT{minutes}M",
            "ACTION:DISPLAY",
            "END:VALARM",
        ]
    return [*lines, "END:VEVENT"]


def _attendee(node: Node, role: str) -> str:
    box = child(node, "Mailbox")
    state = _PARTSTAT.get(text(child(node, "ResponseType")), "NEEDS-ACTION")
    name = _quoted(text(child(box, "Name")))
    return (
        f"ATTENDEE;ROLE={role};PARTSTAT={state};RSVP=TRUE;CN={name}:mailto:{text(child(box, 'EmailAddress'))}"
    )


def _moment(ms: int, item: Item, zone_id: str) -> str:
    wall = times.from_ms(ms).astimezone(calendar.zone_of(item.doc))
    if truth(item.doc.get("IsAllDayEvent")):
        return f";VALUE=DATE:{wall:%Y%m%d}"
    return f";TZID={zone_id}:{wall:%Y%m%dT%H%M%S}"


def _utc(ms: int) -> str:
    return f"{times.from_ms(ms):%Y%m%dT%H%M%SZ}"


def _rule(node: Node, item: Item) -> str:
    (kind, pattern), (_, span) = children(node)[:2]
    parts = [
        f"FREQ={kind.removesuffix('Recurrence').removeprefix('Absolute').removeprefix('Relative').upper()}"
    ]
    count, end = child(span, "NumberOfOccurrences"), child(span, "EndDate")
    if count is not None:
        parts.append(f"COUNT={text(count)}")
    elif end is not None:
        clock = times.from_ms(calendar.span(item.doc)[0]).astimezone(calendar.zone_of(item.doc)).timetz()
        parts.append(
            f"UNTIL={datetime.combine(times.parse_date(text(end)), clock).astimezone(UTC):%Y%m%dT%H%M%SZ}"
        )
    parts.append(f"INTERVAL={text(child(pattern, 'Interval')) or '1'}")
    names = text(child(pattern, "DaysOfWeek")).split()
    numbers = recurrence.weekdays(" ".join(names)) if names else []
    index = child(pattern, "DayOfWeekIndex")
    if index is not None:
        parts.append(
            f"BYDAY={','.join(_DAYS[one] for one in numbers)};BYSETPOS={recurrence.INDEXES[text(index)]}"
        )
    elif numbers:
        parts.append(f"BYDAY={','.join(_DAYS[one] for one in numbers)}")
        parts.append(f"WKST={_DAYS[recurrence.DAYS.index(text(child(pattern, 'FirstDayOfWeek')) or 'Sunday')]}")
    monthday = child(pattern, "DayOfMonth")
    if monthday is not None:
        parts.append(f"BYMONTHDAY={text(monthday)}")
    month = child(pattern, "Month")
    if month is not None:
        parts.append(f"BYMONTH={recurrence.MONTHS.index(text(month)) + 1}")
    return ";".join(parts)


def _escaped(content: str) -> str:
    for char, shown in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r\n", "\\n"), ("\n", "\\n"), ("\r", "")):
        content = content.replace(char, shown)
    return content


def _quoted(content: str) -> str:
    plain = content.replace('"', "'")
    return f'"{plain}"' if any(char in plain for char in ",;:") else plain


def _folded(line: str) -> str:
    raw = line.encode()
    if len(raw) <= 75:
        return line
    parts, limit = [], 75
    while raw:
        cut = min(limit, len(raw))
        while cut < len(raw) and raw[cut] & 0xC0 == 0x80:
            cut -= 1
        parts.append(raw[:cut].decode())
        raw, limit = raw[cut:], 74
    return "\r\n ".join(parts)
