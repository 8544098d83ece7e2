"""Meetings: who is told what, and how often; answers; mail."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from exchangelib import (
    Attendee,
    CalendarItem,
    EWSDateTime,
    FileAttachment,
    HTMLBody,
    ItemAttachment,
    Mailbox,
    Message,
)
from exchangelib.items import (
    SEND_ONLY_TO_ALL,
    SEND_ONLY_TO_CHANGED,
    SEND_TO_ALL_AND_SAVE_COPY,
    SEND_TO_NONE,
    AcceptItem,
    MeetingRequest,
    MeetingResponse,
)
from exchangelib.recurrence import DailyPattern, Recurrence

from tests.sandbox.exchange.library import account
from tests.sandbox.exchange.office import ANNA, BEN, CARL, Office

GUEST = "guest@elsewhere.example"


def meeting(anna: Any, *people: str, send: str = SEND_TO_NONE, **more: Any) -> Any:
    start = EWSDateTime(2026, 11, 23, 9, tzinfo=anna.default_timezone)
    item = CalendarItem(
        folder=anna.calendar,
        subject="Review",
        start=start,
        end=start + timedelta(hours=1),
        required_attendees=[Attendee(mailbox=Mailbox(email_address=one)) for one in people],
        **more,
    )
    item.save(send_meeting_invitations=send)
    return item


def mails(running: Office) -> list[tuple[str, str]]:
    rows = running.world.db.execute("SELECT recipient, kind FROM exchange_mails ORDER BY rowid").fetchall()
    return [(row[0], row[1]) for row in rows]


def test_nobody_is_told_unless_asked_for(exchange: Office) -> None:
    with account(exchange) as anna:
        item = meeting(anna, BEN, GUEST)
        item.subject = "Other"
        item.save(update_fields=["subject"], send_meeting_invitations=SEND_TO_NONE)
        item.delete(send_meeting_cancellations=SEND_TO_NONE)
    assert mails(exchange) == []
    with account(exchange, BEN) as ben:
        assert (ben.inbox.total_count, ben.calendar.total_count) == (0, 0)


def test_an_invitation_is_counted_and_comes_to_those_who_live_here(exchange: Office) -> None:
    with account(exchange) as anna:
        meeting(anna, BEN, GUEST, send=SEND_TO_ALL_AND_SAVE_COPY)
        assert mails(exchange) == [(BEN, "invitation"), (GUEST, "invitation")]
        assert anna.sent.total_count == 1
        own = anna.calendar.get(subject="Review")
        assert (own.is_meeting, own.my_response_type, own.meeting_request_was_sent) == (True, "Organizer", True)
    with account(exchange, BEN) as ben:
        request = ben.inbox.get(subject="Review")
        assert isinstance(request, MeetingRequest)
        assert not request.is_read
        copy = ben.calendar.get(subject="Review")
        assert (copy.legacy_free_busy_status, copy.my_response_type) == ("Tentative", "NoResponseReceived")
        assert copy.organizer.email_address == ANNA
        assert copy.uid == own.uid


def test_an_answer_comes_back(exchange: Office) -> None:
    with account(exchange) as anna, account(exchange, BEN) as ben:
        meeting(anna, BEN, send=SEND_ONLY_TO_ALL)
        request = ben.inbox.get(subject="Review")
        request.accept(message_disposition="SendAndSaveCopy", body="I come")
        assert ben.calendar.get(subject="Review").my_response_type == "Accept"
        assert AcceptItem.ELEMENT_NAME == "AcceptItem"
        own = anna.calendar.get(subject="Review")
        assert [one.response_type for one in own.required_attendees] == ["Accept"]
        answer = next(one for one in anna.inbox.all() if isinstance(one, MeetingResponse))
        assert answer.subject == "Accepted: Review"
        assert mails(exchange)[-1] == (ANNA, "answer")


def test_a_declined_meeting_leaves_the_calendar(exchange: Office) -> None:
    with account(exchange) as anna, account(exchange, BEN) as ben:
        meeting(anna, BEN, send=SEND_ONLY_TO_ALL)
        ben.calendar.get(subject="Review").decline(message_disposition="SendAndSaveCopy")
        assert ben.calendar.total_count == 0 or list(ben.calendar.all()) == []
        assert [one.response_type for one in anna.calendar.get(subject="Review").required_attendees] == [
            "Decline"
        ]


def test_updates_go_to_all_or_to_those_who_are_new(exchange: Office) -> None:
    with account(exchange) as anna, account(exchange, BEN) as ben:
        item = meeting(anna, BEN, send=SEND_ONLY_TO_ALL)
        item = anna.calendar.get(subject="Review")
        item.location = "Room 7"
        item.save(update_fields=["location"], send_meeting_invitations=SEND_ONLY_TO_ALL)
        assert ben.calendar.get(subject="Review").location == "Room 7"
        item = anna.calendar.get(subject="Review")
        item.required_attendees = [
            Attendee(mailbox=Mailbox(email_address=one), response_type="Unknown") for one in (BEN, CARL)
        ]
        item.save(update_fields=["required_attendees"], send_meeting_invitations=SEND_ONLY_TO_CHANGED)
        assert mails(exchange) == [(BEN, "invitation"), (BEN, "invitation"), (CARL, "invitation")]
        item = anna.calendar.get(subject="Review")
        item.required_attendees = [Attendee(mailbox=Mailbox(email_address=CARL), response_type="Unknown")]
        item.save(update_fields=["required_attendees"], send_meeting_invitations=SEND_ONLY_TO_CHANGED)
        assert mails(exchange)[-1] == (BEN, "cancellation")
        assert [one.subject for one in ben.calendar.all()] == ["Canceled: Review"]


def test_a_cancelled_occurrence_leaves_the_attendees_series(exchange: Office) -> None:
    with account(exchange) as anna, account(exchange, BEN) as ben:
        start = EWSDateTime(2026, 11, 23, 9, tzinfo=anna.default_timezone)
        rule = Recurrence(pattern=DailyPattern(interval=1), start=start.date(), number=3)
        item = meeting(anna, BEN, send=SEND_ONLY_TO_ALL, recurrence=rule)
        low, high = start - timedelta(days=1), start + timedelta(days=9)
        assert len(list(ben.calendar.view(low, high))) == 3
        second = item.occurrence(index=2)
        second.refresh()
        second.delete(send_meeting_cancellations=SEND_ONLY_TO_ALL)
        assert [one.start.day for one in ben.calendar.view(low, high)] == [23, 25]
        anna.calendar.get(subject="Review").delete(send_meeting_cancellations=SEND_ONLY_TO_ALL)
        assert mails(exchange)[-1] == (BEN, "cancellation")
        assert anna.calendar.total_count >= 0


# -- mail ------------------------------------------------------------------------------------------------


def test_a_message_is_sent_and_answered(exchange: Office) -> None:
    with account(exchange) as anna, account(exchange, BEN) as ben:
        Message(account=anna, subject="Offer", body=HTMLBody("<p>Hello</p>"), to_recipients=[BEN, GUEST]).send()
        assert mails(exchange) == [(BEN, "message"), (GUEST, "message")]
        Message(account=anna, folder=anna.sent, subject="Kept", body="x", to_recipients=[BEN]).send_and_save()
        assert anna.sent.get(subject="Kept").is_draft is False
        came = ben.inbox.get(subject="Offer")
        assert (came.sender.email_address, came.is_read, came.text_body) == (ANNA, False, "Hello")
        came.reply(subject="Re: Offer", body="Thanks", to_recipients=[ANNA])
        assert anna.inbox.get(subject="Re: Offer").in_reply_to == came.message_id


def test_mime_goes_in_and_comes_out(exchange: Office) -> None:
    raw = (
        b"From: Guest <guest@elsewhere.example>\r\nTo: Anna <anna@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
        b"Message-ID: <m1@elsewhere.example>\r\nDate: Mon, 23 Nov 2026 09:00:00 +0100\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHallo\r\n'
        b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n"
    )
    with account(exchange) as anna:
        Message(folder=anna.inbox, mime_content=raw).save()
        found = anna.inbox.get(subject="Grüße")
        assert (found.message_id, found.author.email_address) == ("<m1@elsewhere.example>", GUEST)
        assert found.datetime_sent == EWSDateTime(2026, 11, 23, 9, tzinfo=anna.default_timezone)
        assert found.mime_content == raw
        assert [(one.name, one.content) for one in found.attachments] == [("a.pdf", b"%PDF")]
        assert found.text_body == "Hallo"


def test_attachments_come_and_go(exchange: Office) -> None:
    with account(exchange) as anna:
        item = meeting(anna)
        key = item.changekey
        item.attach(FileAttachment(name="a.txt", content=b"\x00text"))
        item.attach(ItemAttachment(name="note", item=Message(subject="inner", body="x")))
        assert item.changekey != key or anna.calendar.get(subject="Review").changekey != key
        found = anna.calendar.get(subject="Review")
        assert found.has_attachments
        by_name = {one.name: one for one in found.attachments}
        assert by_name["a.txt"].content == b"\x00text"
        assert by_name["note"].item.subject == "inner"
        by_name["a.txt"].detach()
        assert [one.name for one in anna.calendar.get(subject="Review").attachments] == ["note"]


def test_an_attachment_that_is_no_base64_is_refused_alone(exchange: Office) -> None:
    with account(exchange) as anna:
        item = meeting(anna)
        body = (
            f'<m:CreateAttachment><m:ParentItemId Id="{item.id}"/><m:Attachments><t:FileAttachment><t:Name>x</t:Name>'
            f"<t:Content>{base64.b64encode(b'good').decode()}</t:Content></t:FileAttachment></m:Attachments></m:CreateAttachment>"
        )
        exchange.call(body)
        exchange.watch.faulty = True
        assert (
            exchange.fault(body.replace(base64.b64encode(b"good").decode(), "%%%")) == "ErrorSchemaValidation"
        )
