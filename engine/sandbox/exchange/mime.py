"""MIME content in and out: messages as RFC 5322, appointments as iCalendar."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC
from email import policy
from email.errors import MessageError
from email.message import EmailMessage, MIMEPart
from email.parser import BytesHeaderParser, BytesParser
from email.utils import format_datetime, formataddr, getaddresses, parsedate_to_datetime

from engine.sandbox.exchange import attachments, ical, times
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.item_values import MAIL_TAGS
from engine.sandbox.exchange.nodes import Doc, Node, attribute, child, children, parent, text
from engine.sandbox.exchange.store import Item
from engine.sandbox.exchange.views import View

_SENSITIVITIES = {"personal": "Personal", "private": "Private", "company-confidential": "Confidential"}
"""What the header ``Sensitivity`` becomes (RFC 2156 5.3.4)."""
_POLICY = policy.default.clone(max_line_length=200)


def take(tag: str, doc: Doc, raw: Node) -> bytes:
    """Fill the properties that a new item's document lacks from its MIME content; returns the content.

    Raises:
        EwsError: no base64, no MIME, or an item that is not made from MIME.
    """
    try:
        content = base64.b64decode("".join(text(raw).split()), validate=True)
    except binascii.Error:
        raise EwsError("ErrorMimeContentInvalid", "The MIME content is not base64.") from None
    if tag != "Message":
        raise EwsError("ErrorUnsupportedMimeConversion", f"{tag} items are not made from MIME content here.")
    message = parse(content)
    found: Doc = {"Subject": str(message.get("Subject", ""))}
    for header, name in (("To", "ToRecipients"), ("Cc", "CcRecipients"), ("Bcc", "BccRecipients")):
        people = _people(message, header)
        if people:
            found[name] = {"c": [["Mailbox", one] for one in people]}
    sender = _people(message, "From")
    if sender:
        found["From"] = found["Sender"] = parent(("Mailbox", sender[0]))
    for header, name in (
        ("Message-ID", "InternetMessageId"),
        ("In-Reply-To", "InReplyTo"),
        ("References", "References"),
    ):
        if message.get(header):
            found[name] = str(message[header]).strip()
    marked = _SENSITIVITIES.get(str(message.get("Sensitivity", "")).strip().casefold())
    if marked:
        found["Sensitivity"] = marked
    body = message.get_body(("html", "plain"))
    if body is not None:
        kind = "HTML" if body.get_content_subtype() == "html" else "Text"
        found["Body"] = {
            "a": {"BodyType": kind},
            "t": _words(body).rstrip("\n").replace("\n", "\r\n"),
        }
    if message.get("Date"):
        try:
            sent = parsedate_to_datetime(str(message["Date"]))
            found["DateTimeSent"] = times.stamp(times.to_ms(sent if sent.tzinfo else sent.replace(tzinfo=UTC)))
        except (ValueError, TypeError):
            pass  # a date that is none is left out, as Exchange does
    shown = [
        ["InternetMessageHeader", {"a": {"HeaderName": key}, "t": str(value)}] for key, value in message.items()
    ]
    found["InternetMessageHeaders"] = {"c": shown}
    for name, value in found.items():
        doc.setdefault(name, value)
    return content


def parse(content: bytes) -> EmailMessage:
    """A message of RFC 5322 text; of one nested beyond what can be read, the headers.

    Raises:
        EwsError: ``ErrorMimeContentInvalid``.
    """
    try:
        try:
            message = BytesParser(policy=_POLICY).parsebytes(content)
        except RecursionError:
            message = BytesHeaderParser(policy=_POLICY).parsebytes(content)
        _ = message.items()
    except (MessageError, ValueError, LookupError):
        raise EwsError("ErrorMimeContentInvalid", "The MIME content is invalid.") from None
    assert isinstance(message, EmailMessage)
    return message


def _words(body: MIMEPart) -> str:
    """The text of a part; one in a character set that nobody knows is shown in that of the mailbox's language."""
    try:
        return str(body.get_content())
    except LookupError:
        data = body.get_payload(decode=True)
        return data.decode("cp1252", "replace") if isinstance(data, bytes) else ""


def _people(message: EmailMessage, header: str) -> list[Node]:
    found = getaddresses([str(value) for value in message.get_all(header, [])])
    return [
        parent(("Name", name or address), ("EmailAddress", address), ("RoutingType", "SMTP"))
        for name, address in found
        if address
    ]


def take_files(call: Call, item: Item, content: bytes) -> None:
    """Hang the attachments of MIME content onto a new message."""
    for part in parse(content).iter_attachments():
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        inline = str(part.get("Content-ID", "")).strip("<> ")
        doc = attachments.file_of(part.get_filename() or "", part.get_content_type(), inline)
        attachments.insert(call, item, "FileAttachment", doc, data)


def content(view: View) -> Node | None:
    """The value of ``MimeContent``: that which came in, or one made from the properties; None for contacts and tasks."""
    item = view.item
    if item.tag == "CalendarItem":
        raw = ical.calendar_text(view).encode()
    elif item.tag in MAIL_TAGS:
        raw = item.mime or _message(view).as_bytes(policy=policy.SMTP)
    else:
        return None
    return {"a": {"CharacterSet": "UTF-8"}, "t": base64.b64encode(raw).decode()}


def _message(view: View) -> EmailMessage:
    doc = view.item.doc
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = text(doc.get("Subject")).replace("\r", " ").replace("\n", " ")
    for name, header in (("From", "From"), ("ToRecipients", "To"), ("CcRecipients", "Cc")):
        people = [
            formataddr((text(child(one, "Name")), text(child(one, "EmailAddress"))))
            for _, one in children(doc.get(name))
        ]
        if people:
            message[header] = ", ".join(people)
    message["Date"] = format_datetime(times.from_ms(times.parse_ms(text(view.get("DateTimeSent")))))
    message["Message-ID"] = text(doc.get("InternetMessageId")) or "<none@sandbox>"
    body = view.item.doc.get("Body")
    message.set_content(
        text(body), subtype="html" if attribute(body, "BodyType") == "HTML" else "plain", charset="utf-8"
    )
    for row in attachments.rows_of(view.call, view.item):
        if row["tag"] == "FileAttachment":
            main, _, sub = attachments.kind_of(row).partition("/")
            message.add_attachment(
                bytes(row["content"]),
                maintype=main,
                subtype=sub or "octet-stream",
                filename=attachments.name_of(row),
            )
    return message
