"""GetUserAvailability: when people are free and busy."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from lxml import etree

from engine.sandbox.exchange import calendar, soap, store, times, zones
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.errors import SoapFault
from engine.sandbox.exchange.nodes import elements, flag, render, text
from engine.sandbox.exchange.store import Item

_RANKS = {"Free": 0, "WorkingElsewhere": 0, "Tentative": 1, "Busy": 2, "OOF": 3, "NoData": 4}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LONGEST_DAYS = 62


def get_user_availability(call: Call) -> str:
    """``GetUserAvailability``: events and merged slots per mailbox, in the wall clock of the request's zone.

    Raises:
        SoapFault: a window that is empty or too long.
    """
    options = soap.find(call.request, "FreeBusyViewOptions")
    zone_element = soap.find(call.request, "TimeZone")
    zone = _zone(zone_element) if zone_element is not None else call.zone
    if options is None:
        raise SoapFault("ErrorInvalidFreeBusyViewType", "FreeBusyViewOptions are missing.")
    low = times.parse(soap.text_at(options, "TimeWindow", "StartTime") or "", zone)
    high = times.parse(soap.text_at(options, "TimeWindow", "EndTime") or "", zone)
    if high <= low:
        raise SoapFault("ErrorInvalidTimeInterval", "The end of the time window must be after its start.")
    if high - low > timedelta(days=_LONGEST_DAYS):
        raise SoapFault("ErrorTimeIntervalTooBig", f"The time window must not exceed {_LONGEST_DAYS} days.")
    step = int(soap.text_at(options, "MergedFreeBusyIntervalInMinutes") or 30)
    if not 5 <= step <= 1440:
        raise SoapFault("ErrorInvalidMergedFreeBusyInterval", "The interval must be from 5 to 1440 minutes.")
    view = soap.text_at(options, "RequestedView") or "FreeBusyMerged"
    people = soap.find(call.request, "MailboxDataArray")
    answers = []
    for one in () if people is None else elements(people):
        address = soap.text_at(one, "Email", "Address") or ""
        mailbox = store.mailbox_by_email(call.world, address)
        if mailbox is None:
            answers.append(
                '<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Error"><m:MessageText>Unable to resolve the e-mail'
                " address to an Active Directory object.</m:MessageText><m:ResponseCode>ErrorMailRecipientNotFound"
                "</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey></m:ResponseMessage><m:FreeBusyView>"
                "<t:FreeBusyViewType>None</t:FreeBusyViewType></m:FreeBusyView></m:FreeBusyResponse>"
            )
            continue
        answers.append(_answer(call, mailbox, low, high, zone, step, view))
    inner = "".join(answers)
    return (
        "<m:GetUserAvailabilityResponse><m:FreeBusyResponseArray>"
        f"{inner}</m:FreeBusyResponseArray></m:GetUserAvailabilityResponse>"
    )


def _answer(
    call: Call, mailbox: store.Mailbox, low: datetime, high: datetime, zone: tzinfo, step: int, view: str
) -> str:
    folder = store.special_folder(call.world, mailbox.row, "calendar")
    assert folder is not None
    found = calendar.within(call.world, folder.row, times.to_ms(low), times.to_ms(high))
    inner = f"<t:FreeBusyViewType>{view}</t:FreeBusyViewType>"
    if "Merged" in view:
        inner += (
            f"<t:MergedFreeBusy>{_merged(found, times.to_ms(low), times.to_ms(high), step)}</t:MergedFreeBusy>"
        )
    if view != "MergedOnly" and found:
        inner += (
            f"<t:CalendarEventArray>{''.join(_event(one, zone, view) for one in found)}</t:CalendarEventArray>"
        )
    inner += _working_hours(mailbox, low.year)
    return (
        '<m:FreeBusyResponse><m:ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"</m:ResponseMessage><m:FreeBusyView>{inner}</m:FreeBusyView></m:FreeBusyResponse>"
    )


def _status(item: Item) -> str:
    return text(item.doc.get("LegacyFreeBusyStatus")) or "Busy"


def _merged(found: list[Item], low: int, high: int, step: int) -> str:
    digits = []
    at = low
    while at < high:
        end = at + step * 60_000
        ranks = [_RANKS.get(_status(one), 2) for one in found if one.start_ms < end and one.end_ms > at]
        digits.append(str(max(ranks, default=0)))
        at = end
    return "".join(digits)


def _event(item: Item, zone: tzinfo, view: str) -> str:
    start, end = (
        times.from_ms(ms).astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")
        for ms in (item.start_ms, item.end_ms)
    )
    status = _status(item)
    inner = f"<t:StartTime>{start}</t:StartTime><t:EndTime>{end}</t:EndTime><t:BusyType>{status}</t:BusyType>"
    if "Detailed" in view:
        private = text(item.doc.get("Sensitivity")) in ("Private", "Confidential")
        details = ""
        if not private:
            details = render("Subject", text(item.doc.get("Subject"))) + render(
                "Location", text(item.doc.get("Location"))
            )
        details += (
            f"<t:IsMeeting>{flag('RequiredAttendees' in item.doc)}</t:IsMeeting>"
            f"<t:IsRecurring>{flag(bool(item.master))}</t:IsRecurring>"
            f"<t:IsException>{flag(bool(item.master and item.row))}</t:IsException>"
            f"<t:IsReminderSet>{text(item.doc.get('ReminderIsSet')) or 'true'}</t:IsReminderSet>"
            f"<t:IsPrivate>{flag(private)}</t:IsPrivate>"
        )
        inner += f"<t:CalendarEventDetails>{details}</t:CalendarEventDetails>"
    return f"<t:CalendarEvent>{inner}</t:CalendarEvent>"


def _working_hours(mailbox: store.Mailbox, year: int) -> str:
    rules = zones.rules_of(calendar.home_zone(mailbox.zone), year)
    bias = round(-rules.standard.total_seconds() / 60)
    shown = f"<t:Bias>{bias}</t:Bias>"
    for name, change, offset in (
        ("StandardTime", rules.to_standard, timedelta()),
        ("DaylightTime", rules.to_daylight, (rules.daylight or rules.standard) - rules.standard),
    ):
        month, nth, day, at = (
            (change.month, change.nth, change.weekday, change.at) if change else (0, 0, 6, timedelta())
        )
        order = 5 if nth == -1 else nth
        clock = (datetime(2000, 1, 1) + at).time().isoformat()
        shown += (
            f"<t:{name}><t:Bias>{round(-offset.total_seconds() / 60)}</t:Bias><t:Time>{clock}</t:Time>"
            f"<t:DayOrder>{order}</t:DayOrder><t:Month>{month}</t:Month><t:DayOfWeek>{_WEEKDAYS[day]}</t:DayOfWeek></t:{name}>"
        )
    period = (
        "<t:WorkingPeriod><t:DayOfWeek>Monday Tuesday Wednesday Thursday Friday</t:DayOfWeek>"
        "<t:StartTimeInMinutes>480</t:StartTimeInMinutes><t:EndTimeInMinutes>1020</t:EndTimeInMinutes></t:WorkingPeriod>"
    )
    return f"<t:WorkingHours><t:TimeZone>{shown}</t:TimeZone><t:WorkingPeriodArray>{period}</t:WorkingPeriodArray></t:WorkingHours>"


def _zone(element: etree._Element) -> tzinfo:
    bias = int(soap.text_at(element, "Bias") or 0)
    changes = {}
    offsets = {}
    for name in ("StandardTime", "DaylightTime"):
        part = soap.find(element, name)
        if part is None:
            continue
        month = int(soap.text_at(part, "Month") or 0)
        offsets[name] = timedelta(minutes=-(bias + int(soap.text_at(part, "Bias") or 0)))
        if month:
            nth = int(soap.text_at(part, "DayOrder") or 1)
            hours, minutes, seconds = (int(word) for word in (soap.text_at(part, "Time") or "0:0:0").split(":"))
            changes[name] = zones.Change(
                month,
                -1 if nth == 5 else nth,
                _WEEKDAYS.index(soap.text_at(part, "DayOfWeek") or "Sunday"),
                timedelta(hours=hours, minutes=minutes, seconds=seconds),
            )
    standard = offsets.get("StandardTime", timedelta(minutes=-bias))
    if len(changes) < 2:
        return zones.ruled(zones.Rules(standard))
    return zones.ruled(
        zones.Rules(standard, offsets["DaylightTime"], changes["DaylightTime"], changes["StandardTime"])
    )


HANDLERS = {"GetUserAvailabilityRequest": get_user_availability}
