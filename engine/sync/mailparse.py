"""Reading mails: headers, bodies and files of whatever people and programs send. Pure; meant to run outside of the loop.

The standard library's parser (``email.policy``) finds the parts; what it leaves to its callers is done here: charsets that
do not exist, headers that are no headers, names with control characters, nesting without end. A mail is read, or
``Unreadable`` says why not; nothing else is raised.
"""

from __future__ import annotations

import binascii
import email
import email.header
import email.policy
import email.utils
import hashlib
import html
import mimetypes
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from typing import Any

import nh3

from engine.model.mail import Address, Attachment, MailHead, ParsedMail, Sensitivity
from engine.model.policy import Files

#: Parts beyond these are not looked at; mails of people have a handful.
MOST_PARTS = 500
DEEPEST = 60

#: Characters of a header, and of bodies, that are read.
MOST_HEADER = 200_000
MOST_BODY = 2_000_000

#: Pictures inside the text that are smaller (signatures, logos) are no attachments, bytes.
SMALL_PICTURE = 10_000

_ID = re.compile(r"<\s*([^<>\s]{1,400})\s*>")
_ADDRESS = re.compile(r"[^\s@<>,;:\"]+@[^\s@<>,;:\"]+\Z")
_ENCODED = re.compile(r"=\?[^?\s]{1,60}\?[bBqQ]\?[^?\s]*\?=")
_KEPT = re.compile(r"EW(\d{1,6})EW")
_BLANKS = re.compile(r"\s+")
_BREAKS = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^>]*>", re.IGNORECASE)
_LINES = re.compile(r"\n{3,}")

_TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "center", "code", "col", "colgroup", "dd", "del", "div", "dl", "dt",
    "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "li", "ol", "p", "pre", "q", "s", "small",
    "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul",
}  # fmt: skip
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan", "align", "valign", "width"},
    "th": {"colspan", "rowspan", "align", "valign", "width"},
    "table": {"border", "cellpadding", "cellspacing", "width"},
    "font": {"color", "size", "face"},
    "*": {"dir", "lang"},
}


class Unreadable(Exception):
    """A mail that cannot be read; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of the files is kept: whether their bytes are wanted, and the largest that is."""

    files: Files = Files.STORE
    file_bytes: int = 25_000_000


def read_mail(raw: bytes, limits: Limits, *, received_ms: int = 0) -> ParsedMail:
    """A mail's bytes, read.

    Args:
        raw: as sent over the wire (RFC 5322).
        limits: of the policy.
        received_ms: when it was received, for one without a valid date.

    Raises:
        Unreadable: it is empty, or nested beyond all measure.
    """
    if not raw.strip():
        raise Unreadable("the mail is empty")
    try:
        message = email.message_from_bytes(raw, policy=email.policy.default)
        return _read(message, raw, limits, received_ms)
    except RecursionError:
        raise Unreadable("the mail is nested too deeply: mails within mails, hundreds of times") from None
    except (Unreadable, MemoryError):
        raise
    except (
        Exception
    ) as error:  # the library's parser trusts its input in places; a mail must not stop a mailbox
        raise Unreadable(f"the mail is damaged: {error.__class__.__name__}") from error


def sensitivity(headers: Mapping[str, str]) -> Sensitivity:
    """What a mail's ``Sensitivity`` header says; an unknown word is taken for private."""
    word = headers.get("sensitivity", "").strip().casefold()
    known = {
        "": Sensitivity.NORMAL,
        "normal": Sensitivity.NORMAL,
        "personal": Sensitivity.PERSONAL,
        "private": Sensitivity.PRIVATE,
        "company-confidential": Sensitivity.CONFIDENTIAL,
        "confidential": Sensitivity.CONFIDENTIAL,
    }
    return known.get(word, Sensitivity.PRIVATE)


def participants(headers: Mapping[str, str]) -> tuple[Address, ...]:
    """Sender and recipients by the headers alone, the sender first."""
    return tuple(
        address for name in ("from", "to", "cc", "bcc") for address in addresses(headers.get(name, ""))
    )


def subject_of(head: MailHead) -> str:
    """The subject of a mail by its headers."""
    return decoded(head.headers.get("subject", ""))[:500]


def decoded(value: str) -> str:
    """A header's text on one line: encoded words decoded, whatever their charset; no control characters."""
    try:
        pieces = email.header.decode_header(_unescaped(value[:MOST_HEADER]))
        text = "".join(
            piece if isinstance(piece, str) else _text(piece, charset or "ascii") for piece, charset in pieces
        )
    except (binascii.Error, email.errors.HeaderParseError, ValueError, LookupError):
        text = _unescaped(value[:MOST_HEADER])
    return one_line(text)


def one_line(text: str) -> str:
    """A text without line ends and control characters: nothing can be smuggled into a header with it."""
    kept = "".join(
        " " if unicodedata.category(letter) in {"Cc", "Zl", "Zp"} else letter
        for letter in text
        if unicodedata.category(letter) not in {"Cf", "Cs"}
    )
    return _BLANKS.sub(" ", kept).strip()


def addresses(value: str) -> tuple[Address, ...]:
    """The addresses of a header, each once, lower-cased where they are compared; what is none is left out."""
    found: dict[str, Address] = {}
    words: list[str] = []

    def kept(word: re.Match[str]) -> str:
        words.append(word[0])
        return f"EW{len(words) - 1}EW"

    # Encoded words may hold colons and commas, which must not be taken for punctuation.
    line = _ENCODED.sub(kept, _unescaped(value[:MOST_HEADER]).replace("\r", " ").replace("\n", " "))
    for name, address in email.utils.getaddresses([line]):
        plain = one_line(address)
        if _ADDRESS.match(plain) and len(plain) <= 320:
            shown = _KEPT.sub(lambda word: words[int(word[1])] if int(word[1]) < len(words) else word[0], name)
            found.setdefault(plain.casefold(), Address(plain, decoded(shown)[:200]))
    return tuple(found.values())


# -- inside ------------------------------------------------------------------------------------------------


def _read(message: Message[Any, Any], raw: bytes, limits: Limits, received_ms: int) -> ParsedMail:
    headers = _headers(message)
    texts: list[str] = []
    pages: list[str] = []
    files: list[Attachment] = []
    notes: list[str] = []
    small = 0
    for number, part in enumerate(_leaves(message)):
        if number >= MOST_PARTS:
            notes.append(f"has more than {MOST_PARTS} parts; the others were left out")
            break
        kind = part.get_content_type()
        if _is_file(part, kind):
            if _small_picture(part, kind):
                small += 1
            elif limits.files is not Files.NONE:
                files.append(_file(part, kind, len(files) + 1, limits))
        elif kind == "text/html":
            pages.append(_decoded_body(part))
        else:
            texts.append(_decoded_body(part))
    if small:
        notes.append(f"{small} small picture{'s' if small > 1 else ''} inside the text left out")
    page = "\n".join(pages)
    if len(page) > MOST_BODY:
        notes.append("its HTML is too long and was left out")
        page = ""
    text = _clean_body("\n".join(one for one in texts if one.strip()))
    if not text.strip() and page:
        text = plain_text(page)
    sent = _date(headers.get("date", ""))
    if sent is None:
        notes.append("has no valid date; it counts as sent when it was received")
    sender = addresses(headers.get("from", "")) or addresses(headers.get("sender", ""))
    if not sender:
        notes.append("names no sender")
    own = _message_id(headers.get("message-id", ""))
    if not own:
        notes.append("has no Message-ID; it is known by its content")
    return ParsedMail(
        message_id=own or _content_id(headers, raw),
        own_id=bool(own),
        subject=decoded(headers.get("subject", "")),
        text=text[:MOST_BODY],
        html=sanitised(page) if page else "",
        sender=sender[0] if sender else Address(""),
        to=addresses(headers.get("to", "")),
        cc=addresses(headers.get("cc", "")),
        bcc=addresses(headers.get("bcc", "")),
        sent_ms=sent if sent is not None else (received_ms or None),
        references=_references(headers),
        attachments=tuple(files),
        notes=tuple(notes),
    )


def _headers(message: Message[Any, Any]) -> dict[str, str]:
    """Raw values by lower-case name, the first of each: the library's own parsing of values can fail."""
    found: dict[str, str] = {}
    for name, value in message.raw_items():
        found.setdefault(str(name).lower(), str(value))
    return found


def _leaves(message: Message[Any, Any], depth: int = 0) -> Iterator[Message[Any, Any]]:
    """The parts that hold something; a mail within the mail is one of them."""
    if depth > DEEPEST:
        raise Unreadable(f"the mail is nested too deeply: more than {DEEPEST} levels")
    payload = message.get_payload()
    if message.get_content_maintype() == "multipart" and isinstance(payload, list):
        for part in payload:
            if isinstance(part, Message):
                yield from _leaves(part, depth + 1)
    else:
        yield message


def _is_file(part: Message[Any, Any], kind: str) -> bool:
    if kind not in ("text/plain", "text/html"):
        return True
    return _disposition(part) == "attachment" or bool(_filename(part))


def _disposition(part: Message[Any, Any]) -> str:
    return str(dict(part.raw_items()).get("Content-Disposition") or "").partition(";")[0].strip().casefold()


def _filename(part: Message[Any, Any]) -> str:
    try:
        name = part.get_filename()
    except Exception:  # RFC 2231 pieces that do not fit together
        return ""
    if not name:
        return ""
    return clean_name(decoded(str(name)))


def clean_name(name: str) -> str:
    """A file name that is nothing but a name."""
    last = one_line(name).replace("\\", "/").rpartition("/")[2].strip(". ")
    return last[:120] + last[-80:] if len(last) > 200 else last


def _small_picture(part: Message[Any, Any], kind: str) -> bool:
    if not kind.startswith("image/") or _disposition(part) == "attachment":
        return False
    payload = part.get_payload()
    small = isinstance(payload, str) and len(payload) < SMALL_PICTURE * 1.4
    return small and any(name.lower() == "content-id" for name, _ in part.raw_items())


def _file(part: Message[Any, Any], kind: str, number: int, limits: Limits) -> Attachment:
    if kind == "message/rfc822" or (part.is_multipart() and not kind.startswith("multipart/")):
        data = _inner_mail(part)
        inner = part.get_payload()
        first = inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], Message) else None
        title = decoded(_headers(first).get("subject", "")) if first is not None else ""
        name = _filename(part) or clean_name(title) or f"mail-{number}"
        name = name if name.lower().endswith(".eml") else f"{name}.eml"
    else:
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        name = _filename(part) or f"attachment-{number}{mimetypes.guess_extension(kind) or ''}"
    found = Attachment(name, kind, len(data), data)
    if limits.files is Files.LIST:
        return replace(found, data=None)
    if len(data) > limits.file_bytes:
        return replace(found, data=None, why=f"larger than {limits.file_bytes // 1_000_000} MB")
    if not data:
        return replace(found, data=None, why="it is empty")
    return found


def _inner_mail(part: Message[Any, Any]) -> bytes:
    try:
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], Message):
            return bytes(inner[0].as_bytes(policy=email.policy.compat32))
        return bytes(part.as_bytes(policy=email.policy.compat32))
    except RecursionError:
        raise
    except Exception:  # it cannot be written as it was read: it is listed without its content
        return b""


def _decoded_body(part: Message[Any, Any]) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        charset = part.get_content_charset() or ""
    except Exception:
        charset = ""
    return _text(payload[: MOST_BODY * 4], charset)


def _text(data: bytes, charset: str) -> str:
    """Bytes as text: by their charset, else UTF-8, else the charset that Western mail programs meant."""
    for name in (charset.strip("\"' "), "utf-8"):
        try:
            text = data.decode(name) if name else data.decode("utf-8")
        except (LookupError, UnicodeError, ValueError):
            continue
        return text
    return data.decode("cp1252", "replace")


def _unescaped(value: str) -> str:
    """A header whose bytes are no ASCII: UTF-8 as people write it today, else Western."""
    if value.isascii():
        return value
    try:
        return _text(value.encode("ascii", "surrogateescape"), "utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace").decode("utf-8")


def _clean_body(text: str) -> str:
    """A body that any JSON and any database takes: no NUL, no control characters, no half characters."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = plain.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter for letter in plain if letter in "\n\t" or letter >= " ").replace("\x7f", "")


def sanitised(page: str) -> str:
    """HTML without scripts, forms, styles and remote pictures, which would tell their sender who reads the mail."""
    return nh3.clean(
        _clean_body(page),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        attribute_filter=_allowed,
    )


def _allowed(tag: str, name: str, value: str) -> str | None:
    if tag == "img" and name == "src" and not value.strip().casefold().startswith("cid:"):
        return None
    return value


def plain_text(page: str) -> str:
    """The text of an HTML page."""
    bare = nh3.clean(_BREAKS.sub("\n", _clean_body(page)), tags=set())
    lines = [" ".join(line.split()) for line in html.unescape(bare).split("\n")]
    return _LINES.sub("\n\n", "\n".join(lines)).strip()


def _date(value: str) -> int | None:
    try:
        moment = email.utils.parsedate_to_datetime(one_line(value))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    known = datetime(1980, 1, 1, tzinfo=UTC) <= moment <= datetime(2100, 1, 1, tzinfo=UTC)
    return int(moment.timestamp() * 1000) if known else None


def _message_id(value: str) -> str:
    text = one_line(_unescaped(value[:2000]))
    found = _ID.search(text)
    if found is not None:
        return found[1][:400]
    bare = text.strip("<> ")
    return bare if "@" in bare and " " not in bare and len(bare) <= 400 else ""


def _references(headers: Mapping[str, str]) -> tuple[str, ...]:
    named = [*_ID.findall(headers.get("references", "")), *_ID.findall(headers.get("in-reply-to", ""))]
    return tuple(dict.fromkeys(reversed(named[-100:])))


def _content_id(headers: Mapping[str, str], raw: bytes) -> str:
    """An id for a mail that brings none: the same for every copy of it, whatever the servers on its way added."""
    _, _, body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")
    parts = [headers.get(name, "") for name in ("date", "from", "to", "cc", "subject")]
    digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape") + body).hexdigest()
    return f"content-{digest[:40]}@syncline.invalid"
