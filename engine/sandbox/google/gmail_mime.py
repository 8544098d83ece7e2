"""RFC 2822 messages: what Gmail reads from one when it arrives, and the part tree of ``messages.get``."""

from __future__ import annotations

import base64
import binascii
import email
import email.message
import email.parser
import email.policy
import email.utils
import html
import re
from collections.abc import Collection
from datetime import UTC
from typing import Any

from engine.sandbox.google.gmail_store import invalid

_TAGS = re.compile(r"<(style|script).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_REPLY = re.compile(r"^\s*((re|fwd?|aw|wg|sv|tr)\s*(\[\d+\])?:\s*)+", re.IGNORECASE)
_ID = re.compile(r"<([^<>\s]+)>")
_HEAD_BYTES = 200_000
_SNIPPET = 200


def decode_raw(text: str) -> bytes:
    """The bytes of a base64url ``raw`` field, with or without padding.

    Raises:
        ApiError: 400 when it is not base64url.
    """
    try:
        return base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
        )
    except (ValueError, binascii.Error):
        raise invalid("Invalid value for ByteString: raw must be base64url") from None


def encode(data: bytes) -> str:
    """Base64url with padding, as the API writes bytes."""
    return base64.urlsafe_b64encode(data).decode()


def parse(data: bytes) -> email.message.EmailMessage:
    """Parse a message; defects are tolerated as Gmail tolerates them. Of one nested beyond what can be read, the headers."""
    try:
        return email.message_from_bytes(data, policy=email.policy.default)
    except RecursionError:
        return email.parser.BytesHeaderParser(policy=email.policy.default).parsebytes(data)


def header(message: email.message.Message[Any, Any], name: str) -> str:
    """A decoded header on one line, empty when absent or beyond repair."""
    try:
        value = message[name]
    except (
        ValueError,
        IndexError,
        AttributeError,
        TypeError,
    ):  # the header parser fails on some malformed headers
        return ""
    return _BLANKS.sub(" ", str(value)).strip() if value is not None else ""


def facts(data: bytes, received_ms: int, *, by_date_header: bool) -> dict[str, Any]:
    """The columns that the store keeps of a message.

    Args:
        data: the raw message.
        received_ms: now, the internal date unless the Date header is asked for and valid.
        by_date_header: ``internalDateSource=dateHeader``.
    """
    message = parse(data)
    recipients = " ".join(header(message, name) for name in ("to", "cc", "bcc"))
    return {
        "internal_ms": (_date_ms(message) if by_date_header else None) or received_ms,
        "size": len(data),
        "rfc822_id": header(message, "message-id").strip("<>").casefold(),
        "subject": header(message, "subject"),
        "sender": header(message, "from"),
        "recipients": recipients.strip(),
        "snippet": _snippet(message),
        "attached": int(any(part.get_filename() for part in message.walk())),
        "raw": data,
    }


def references(data: bytes) -> list[str]:
    """Message ids that a message answers, nearest first, lower case."""
    message = parse(data[:_HEAD_BYTES])
    named = [*_ID.findall(header(message, "references")), *_ID.findall(header(message, "in-reply-to"))]
    return [identifier.casefold() for identifier in dict.fromkeys(reversed(named))]


def same_subject(left: str, right: str) -> bool:
    """Whether two subjects are equal but for reply and forward marks."""
    return _REPLY.sub("", left).strip().casefold() == _REPLY.sub("", right).strip().casefold()


def headers_of(message: email.message.Message[Any, Any], only: Collection[str] = ()) -> list[dict[str, str]]:
    """Headers as name and value; only those named, when any are."""
    wanted = {name.casefold() for name in only}
    return [
        {"name": name, "value": header_text}
        for name, header_text in ((key, _BLANKS.sub(" ", str(value)).strip()) for key, value in message.items())
        if not wanted or name.casefold() in wanted
    ]


def payload(message: email.message.Message[Any, Any], part_id: str = "") -> dict[str, Any]:
    """The ``MessagePart`` tree; parts with a file name carry an attachment id instead of their data."""
    result: dict[str, Any] = {
        "partId": part_id,
        "mimeType": message.get_content_type(),
        "filename": message.get_filename() or "",
        "headers": headers_of(message),
    }
    if message.is_multipart():
        prefix = f"{part_id}." if part_id else ""
        children = message.get_payload()
        result["body"] = {"size": 0}
        result["parts"] = [
            payload(child, f"{prefix}{number}")
            for number, child in enumerate(children)
            if isinstance(child, email.message.Message)
        ]
        return result
    data = content(message)
    result["body"] = {"size": len(data)}
    if result["filename"]:
        result["body"]["attachmentId"] = attachment_id(part_id)
    elif data:
        result["body"]["data"] = encode(data)
    return result


def attachment_id(part_id: str) -> str:
    """The id under which ``messages.attachments.get`` finds a part."""
    return "ANGjdJ" + base64.urlsafe_b64encode(part_id.encode()).decode().rstrip("=")


def attachment(message: email.message.Message[Any, Any], identifier: str, part_id: str = "") -> bytes | None:
    """The content of the part with this attachment id, or ``None``."""
    if message.is_multipart():
        prefix = f"{part_id}." if part_id else ""
        for number, child in enumerate(message.get_payload()):
            if isinstance(child, email.message.Message):
                found = attachment(child, identifier, f"{prefix}{number}")
                if found is not None:
                    return found
        return None
    return content(message) if identifier == attachment_id(part_id) else None


def content(message: email.message.Message[Any, Any]) -> bytes:
    """The decoded bytes of a part that is no container."""
    data = message.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _date_ms(message: email.message.Message[Any, Any]) -> int | None:
    try:
        moment = email.utils.parsedate_to_datetime(header(message, "date"))
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _snippet(message: email.message.Message[Any, Any]) -> str:
    for kind in ("text/plain", "text/html"):
        for part in message.walk():
            if part.get_content_type() != kind or part.get_filename():
                continue
            charset = part.get_content_charset() or "utf-8"
            try:
                text = content(part).decode(charset, "replace")
            except LookupError:
                text = content(part).decode("utf-8", "replace")
            if kind == "text/html":
                text = html.unescape(_TAGS.sub(" ", text))
            return html.escape(_BLANKS.sub(" ", text).strip()[:_SNIPPET], quote=True)
    return ""
