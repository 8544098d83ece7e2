"""Meetings: invitations, updates, cancellations and answers, counted and delivered to the mailboxes of this server."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lxml import etree

from engine.sandbox.exchange import calendar, item_values, items, post, soap, store, times
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Doc, child, children, local, node_of, parent, text
from engine.sandbox.exchange.shapes import Shape
from engine.sandbox.exchange.store import Item, Mailbox
from engine.sandbox.exchange.views import View

RECEIVED = "_received"
"""Private entry of an attendee's copy: the organizer's address."""
ATTENDEES = ("RequiredAttendees", "OptionalAttendees", "Resources")
_COPIED = (
    "Subject", "Body", "Location", "Start", "End", "IsAllDayEvent", "StartTimeZone", "EndTimeZone", "Recurrence",
    "Importance", "Sensitivity", "RequiredAttendees", "OptionalAttendees", "Resources", calendar.CUSTOM_ZONE,
    calendar.DELETED, "AppointmentSequenceNumber", "AllowNewTimeProposal", "IsResponseRequested", "Attachments",
)  # fmt: skip
_ANSWERS = {
    "AcceptItem": ("Accept", "Busy", "IPM.Schedule.Meeting.Resp.Pos"),
    "TentativelyAcceptItem": ("Tentative", "Tentative", "IPM.Schedule.Meeting.Resp.Tent"),
    "DeclineItem": ("Decline", "Free", "IPM.Schedule.Meeting.Resp.Neg"),
}


def attendees(doc: Doc) -> dict[str, str]:
    """Name by address of all who are invited."""
    return dict(calendar.recipients(doc, *ATTENDEES))


def is_organizer(item: Item) -> bool:
    """Whether the mailbox's owner has called the meeting (or made the appointment)."""
    return RECEIVED not in item.doc


# -- what an organizer sends -----------------------------------------------------------------------------


def invite(call: Call, item: Item, mode: str) -> None:
    """Send the invitations to a new meeting, as ``SendMeetingInvitations`` says."""
    people = attendees(item.doc)
    if mode == "SendToNone" or not people:
        return
    item.doc["MeetingRequestWasSent"] = "true"
    store.update_item(call.world, item)
    _send(call, item, people, "MeetingRequest", keep=mode == "SendToAllAndSaveCopy")


def update(call: Call, item: Item, before: Doc, mode: str) -> None:
    """Send updates of a changed meeting, as ``SendMeetingInvitationsOrCancellations`` says."""
    if mode == "SendToNone" or not is_organizer(item):
        return
    now, then = attendees(item.doc), attendees(before)
    removed = {address: name for address, name in then.items() if address not in now}
    added = {address: name for address, name in now.items() if address not in then}
    people = now if "Changed" not in mode else added
    keep = mode.endswith("AndSaveCopy")
    stored = _stored(call, item)
    if stored is not None and people:
        stored.doc["MeetingRequestWasSent"] = "true"
        if any(before.get(name) != item.doc.get(name) for name in ("Start", "End", "Recurrence", "Location")):
            number = int(text(stored.doc.get("AppointmentSequenceNumber")) or 0) + 1
            stored.doc["AppointmentSequenceNumber"] = str(number)
        store.update_item(call.world, stored)
        item.seq, item.read_seq = stored.seq, stored.read_seq
    if people:
        _send(call, item, people, "MeetingRequest", keep=keep)
    if removed:
        _send(call, item, removed, "MeetingCancellation", keep=keep)


def _stored(call: Call, item: Item) -> Item | None:
    return store.item(call.world, item.master or item.row)


def cancel(call: Call, item: Item, mode: str) -> None:
    """Tell the others that a meeting is being deleted, as ``SendMeetingCancellations`` says."""
    if mode == "SendToNone":
        return
    if is_organizer(item):
        people = attendees(item.doc)
        if people:
            _send(call, item, people, "MeetingCancellation", keep=mode == "SendToAllAndSaveCopy")
        return
    _answer(call, item, "DeclineItem", None)


def _send(call: Call, item: Item, people: dict[str, str], tag: str, *, keep: bool) -> None:
    organizer = call.box(item.mailbox)
    subject = text(item.doc.get("Subject"))
    if tag == "MeetingCancellation":
        subject = f"Canceled: {subject}"
    for address in people:
        if address == organizer.email:
            continue
        kind = "invitation" if tag == "MeetingRequest" else "cancellation"
        post.count(call, organizer.email, address, kind, item.uid, subject)
        mailbox = store.mailbox_by_email(call.world, address)
        if mailbox is None:
            continue
        call.guids[mailbox.row] = mailbox
        if tag == "MeetingRequest":
            own = _mirror(call, item, organizer, mailbox)
        else:
            own = _mark_cancelled(call, item, mailbox)
        _deliver(call, organizer, mailbox, tag, _message(item, tag, subject), own)
    if keep:
        post.file(call, organizer, "sentitems", tag, _message(item, tag, subject), organizer, item.uid, item)


def _message(item: Item, tag: str, subject: str) -> Doc:
    doc: Doc = {name: copy.deepcopy(item.doc[name]) for name in _COPIED if name in item.doc and name[0] != "_"}
    doc.pop("Attachments", None)
    doc["Subject"] = subject
    doc["ItemClass"] = item_values.CLASSES[tag]
    if tag == "MeetingRequest":
        doc["MeetingRequestType"] = "NewMeetingRequest"
        doc["IntendedFreeBusyStatus"] = text(item.doc.get("LegacyFreeBusyStatus")) or "Busy"
    return doc


def _deliver(call: Call, sender: Mailbox, to: Mailbox, tag: str, doc: Doc, own: Item | None) -> None:
    made = post.file(call, to, "inbox", tag, doc, sender, own.uid if own else "", own)
    if own is not None:
        made.doc["AssociatedCalendarItemId"] = item_values.identity(call, own)
        store.update_item(call.world, made)


def _mirror(call: Call, item: Item, organizer: Mailbox, to: Mailbox) -> Item | None:
    """Write the whole meeting (a series with its changed occurrences) into an attendee's calendar, tentatively."""
    source = _stored(call, item)
    folder = store.special_folder(call.world, to.row, "calendar")
    if source is None or folder is None:
        return None
    doc: Doc = {name: copy.deepcopy(source.doc[name]) for name in _COPIED if name in source.doc}
    doc.pop("Attachments", None)
    box = parent(("Name", organizer.name), ("EmailAddress", organizer.email), ("RoutingType", "SMTP"))
    doc["Organizer"] = parent(("Mailbox", box))
    doc[RECEIVED] = organizer.email
    known = store.items_where(
        call.world, "mailbox = ? AND uid = ? AND master = 0 AND tag = 'CalendarItem'", (to.row, source.uid)
    )
    if known:
        own = known[0]
        for name in ("LegacyFreeBusyStatus", "Categories", "ReminderIsSet", "ReminderMinutesBeforeStart"):
            if name in own.doc:
                doc[name] = own.doc[name]
        own.doc, own.start_ms, own.end_ms = doc, source.start_ms, source.end_ms
        store.update_item(call.world, own)
        call.happened("Modified", to.row, own.folder, own.row)
    else:
        doc["LegacyFreeBusyStatus"] = "Tentative"
        own = Item(
            0,
            to.row,
            folder.row,
            "CalendarItem",
            doc,
            start_ms=source.start_ms,
            end_ms=source.end_ms,
            uid=source.uid,
        )
        store.insert_item(call.world, own)
        call.happened("Created", to.row, folder.row, own.row)
    for old in store.changed_occurrences(call.world, own.row):
        store.delete_item(call.world, old)
    for changed in store.changed_occurrences(call.world, source.row):
        twin = copy.copy(changed)
        twin.row, twin.mailbox, twin.folder, twin.master = 0, to.row, own.folder, own.row
        twin.doc = {name: value for name, value in changed.doc.items() if name in _COPIED}
        store.insert_item(call.world, twin)
    return own


def _mark_cancelled(call: Call, item: Item, to: Mailbox) -> Item | None:
    known = store.items_where(
        call.world, "mailbox = ? AND uid = ? AND master = 0 AND tag = 'CalendarItem'", (to.row, item.uid)
    )
    if not known:
        return None
    own = known[0]
    if item.master:
        if item.original not in calendar.deleted(own):
            calendar.delete_occurrence(call.world, own, item.original)
            if store.item(call.world, own.row) is None:
                return None
    else:
        subject = text(own.doc.get("Subject"))
        own.doc["Subject"] = f"Canceled: {subject}"
        own.doc["IsCancelled"] = "true"
        own.doc["LegacyFreeBusyStatus"] = "Free"
        store.update_item(call.world, own)
    call.happened("Modified", to.row, own.folder, own.row)
    return own


# -- what an attendee answers ----------------------------------------------------------------------------


def respond(call: Call, element: etree._Element) -> str:
    """Accept, decline, cancel or remove a meeting; returns the items of the answer.

    Raises:
        EwsError: the item is no meeting, or the organizer answers themselves.
    """
    name = local(element)
    reference = soap.find(element, "ReferenceItemId")
    if reference is None:
        raise EwsError("ErrorMissingInformationReferenceItemId", "ReferenceItemId is missing.")
    item, _ = items.find(call, reference)
    request = item if item.tag in item_values.MAIL_TAGS else None
    if request is not None:
        known = store.items_where(
            call.world,
            "mailbox = ? AND uid = ? AND master = 0 AND tag = 'CalendarItem'",
            (request.mailbox, request.uid),
        )
        if not known:
            raise EwsError("ErrorItemNotFound", "The calendar item of the request was not found.")
        item = known[0]
    if item.tag != "CalendarItem":
        raise EwsError("ErrorInvalidItemForOperationAcceptItem", "The item is no meeting.")
    send = call.request.get("MessageDisposition") != "SaveOnly"
    if name == "CancelCalendarItem":
        if not is_organizer(item):
            raise EwsError("ErrorCalendarIsNotOrganizer", "Only the organizer can cancel a meeting.")
        from engine.sandbox.exchange.moves import remove

        people = attendees(item.doc)
        if people and send:
            _send(call, item, people, "MeetingCancellation", keep=True)
        remove(call, item, "MoveToDeletedItems")
        return ""
    if name == "RemoveItem":
        from engine.sandbox.exchange.moves import remove

        remove(call, item, "MoveToDeletedItems")
        return ""
    if is_organizer(item):
        code = {"AcceptItem": "Accept", "DeclineItem": "Decline"}.get(name, "Tentative")
        raise EwsError(f"ErrorCalendarIsOrganizerFor{code}", "The organizer cannot answer the own meeting.")
    body = soap.find(element, "Body")
    _note_answer(call, item, name)
    if send:
        _answer(call, item, name, None if body is None else body)
    if request is not None:
        from engine.sandbox.exchange.moves import move

        bin_ = store.special_folder(call.world, request.mailbox, "deleteditems")
        if bin_ is not None:
            move(call, request, bin_)
    if name == "DeclineItem":
        from engine.sandbox.exchange.moves import remove

        remove(call, item, "MoveToDeletedItems")
        return ""
    return View(call, item).show(Shape("IdOnly"))


def _note_answer(call: Call, item: Item, name: str) -> None:
    from engine.sandbox.exchange.updates import save

    answer, busy, _ = _ANSWERS[name]
    before = copy.deepcopy(item.doc)
    item.doc["MyResponseType"] = answer
    item.doc["LegacyFreeBusyStatus"] = busy
    item.doc["AppointmentReplyTime"] = times.stamp(call.world.clock.now_ms())
    save(call, item, before)


def _answer(call: Call, item: Item, name: str, body: etree._Element | None) -> None:
    """Send an attendee's answer to the organizer, whose copy notes it."""
    answer, _, kind = _ANSWERS[name]
    me = call.box(item.mailbox)
    organizer = text(item.doc.get(RECEIVED))
    subject = f"{ {'Accept': 'Accepted', 'Tentative': 'Tentative', 'Decline': 'Declined'}[answer] }: "
    subject += text(item.doc.get("Subject"))
    post.count(call, me.email, organizer, "answer", item.uid, subject)
    to = store.mailbox_by_email(call.world, organizer)
    if to is None:
        return
    call.guids[to.row] = to
    doc: Doc = {"Subject": subject, "ItemClass": kind, "ResponseType": answer}
    if body is not None:
        doc["Body"] = node_of(body)
    own = None
    for own in store.items_where(
        call.world, "mailbox = ? AND uid = ? AND master = 0 AND tag = 'CalendarItem'", (to.row, item.uid)
    )[:1]:
        _note_response(call, own, me.email, answer)
    post.file(call, to, "inbox", "MeetingResponse", doc, me, item.uid, own)


def _note_response(call: Call, own: Item, address: str, answer: str) -> None:
    for name in ATTENDEES:
        shown = []
        for tag, one in children(own.doc.get(name)):
            if text(child(one, "Mailbox", "EmailAddress")).lower() == address:
                when = times.stamp(call.world.clock.now_ms())
                answered = parent(
                    ("Mailbox", child(one, "Mailbox")), ("ResponseType", answer), ("LastResponseTime", when)
                )
                shown.append([tag, answered])
            else:
                shown.append([tag, one])
        if shown:
            own.doc[name] = {"c": shown}
    store.update_item(call.world, own)
    call.happened("Modified", own.mailbox, own.folder, own.row)


def mailed(call: Call) -> Iterable[tuple[str, str]]:
    """Recipient and kind of each mail that was sent so far."""
    return [
        (row["recipient"], row["kind"])
        for row in call.world.db.execute("SELECT recipient, kind FROM exchange_mails ORDER BY rowid").fetchall()
    ]
