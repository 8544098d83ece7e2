"""The quick connect mail: one mail inside the label of a CRM record that says what the record is. Pure and deterministic.

Written by hand: the standard library's EmailMessage takes 2.5 ms for it, twenty times as long, and a batch of fifty would
hold up the event loop for an eighth of a second.

People see the record where they work, and can answer or forward it. The mail also carries the record's synchronised
fields in a header that no mail program shows, so that it can be read back to the letter.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine.model.canonical import RECORD_FIELDS, Fields, compact
from engine.model.modules import Module

#: A reserved top-level domain (RFC 2606): nothing can be delivered there, and no real Message-ID ends so.
DOMAIN = "quickconnect.syncline.invalid"
SENDER = f"records@{DOMAIN}"

RECORD_HEADER = "X-Syncline-Record"

_TITLES = {Module.OPPORTUNITY: "Opportunity", Module.CASE: "Case"}

#: What a person reads, in this order: field and words. Name, link and the long texts stand elsewhere.
_ROWS: dict[Module, tuple[tuple[str, str], ...]] = {
    Module.OPPORTUNITY: (
        ("account", "Account"),
        ("stage", "Stage"),
        ("amount", "Amount"),
        ("close_date", "Close date"),
        ("owner", "Owner"),
        ("contacts", "Contacts"),
        ("next_step", "Next step"),
        ("priority", "Priority"),
        ("number", "Number"),
    ),
    Module.CASE: (
        ("number", "Number"),
        ("account", "Account"),
        ("stage", "Status"),
        ("priority", "Priority"),
        ("owner", "Owner"),
        ("contacts", "Contacts"),
        ("amount", "Amount"),
        ("close_date", "Close date"),
        ("next_step", "Next step"),
    ),
}


def root_of(key: str) -> str:
    """The part that the Message-IDs of all mails of one record share, from the idempotency key of its create.

    80 bits, so that the header fits on one line: parsers differ about a folded Message-ID.
    """
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def message_id(root: str, generation: int) -> str:
    """The Message-ID, with angle brackets, of a record's mail: 0 is the first, each replacement counts one up."""
    return f"<syncline-{root}-{generation}@{DOMAIN}>"


def title_of(module: Module, fields: Fields) -> str:
    """What the record is called in a subject line."""
    said = (str(fields[key]) for key in ("name", "number") if fields.get(key))
    return next((text for text in said if text.strip()), f"({_TITLES[module].lower()} without a name)")


def render(
    module: Module,
    fields: Fields,
    *,
    to: str,
    at_ms: int,
    identity: str,
    in_reply_to: str | None = None,
    zone: str = "UTC",
) -> bytes:
    """The mail as it goes over the wire (RFC 5322, CRLF).

    Args:
        module: opportunity or case.
        fields: the record's canonical fields.
        to: address of the mailbox.
        at_ms: the Date header, epoch milliseconds.
        identity: the Message-ID with angle brackets.
        in_reply_to: Message-ID of the first generation, so that later ones join its conversation.
        zone: of the mailbox, for the times of activities.

    Returns:
        Text and HTML; the same arguments give the same bytes.
    """
    name = " ".join(title_of(module, fields).split())
    headers = [
        ("Subject", _words(f"{_TITLES[module]}: {name}")),
        ("From", f"Syncline <{SENDER}>"),
        ("To", to if _plain(to) else "undisclosed-recipients:;"),
        ("Date", format_datetime(datetime.fromtimestamp(at_ms / 1000, UTC))),
        ("Message-ID", identity),
    ]
    if in_reply_to and in_reply_to != identity:
        headers += [("In-Reply-To", in_reply_to), ("References", in_reply_to)]
    # "=_" cannot occur in base64, so that no body can contain the boundary.
    boundary = "=_syncline"
    headers += [
        ("Auto-Submitted", "auto-generated"),
        (RECORD_HEADER, pack(fields).replace(" ", "\r\n ")),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative; boundary="{boundary}"'),
    ]
    lines = [f"{header}: {value}" for header, value in headers]
    for kind, body in (
        ("plain", _text(module, fields, name, zone)),
        ("html", _html(module, fields, name, zone)),
    ):
        code = base64.encodebytes(body.encode("utf-8", "replace")).decode().replace("\n", "\r\n")
        lines += [
            "",
            f"--{boundary}",
            f'Content-Type: text/{kind}; charset="utf-8"',
            "Content-Transfer-Encoding: base64",
            "",
            code.rstrip(),
        ]
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode("ascii")


def _plain(value: str) -> bool:
    """Whether a header may hold this text as it is, on one line and without being taken for an encoded word."""
    return value.isascii() and value.isprintable() and "=?" not in value


def _words(value: str) -> str:
    """A header's text, as RFC 2047 encoded words where it must be: whole characters, no line over 76."""
    if _plain(value) and len(value) <= 66:
        return value
    words: list[str] = []
    piece = b""
    for letter in value:
        code = letter.encode("utf-8", "replace")
        if len(piece) + len(code) > 36:
            words.append(base64.b64encode(piece).decode())
            piece = b""
        piece += code
    words.append(base64.b64encode(piece).decode())
    return "\r\n ".join(f"=?utf-8?B?{word}?=" for word in words)


def pack(fields: Fields) -> str:
    """Canonical fields as the value of ``RECORD_HEADER``: compressed JSON in words short enough to be folded."""
    data = json.dumps(compact(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    code = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode()
    return " ".join(code[start : start + 56] for start in range(0, len(code), 56))


def unpack(value: str) -> dict[str, Any] | None:
    """The canonical fields in a ``RECORD_HEADER``; ``None`` when it is not ours or has been damaged."""
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(base64.urlsafe_b64decode("".join(value.split())), 1 << 20)
        fields = json.loads(data)
    except (ValueError, zlib.error):
        return None
    if not isinstance(fields, dict):
        return None
    return {name: fields[name] for name in RECORD_FIELDS if name in fields}


def _shown(name: str, fields: Mapping[str, Any]) -> str | None:
    """A field as a person reads it; ``None`` when it is empty."""
    value = fields.get(name)
    if value is None or value in ("", []):
        return None
    if name == "amount":
        number = float(value)
        amount = f"{number:,.0f}" if number == int(number) else f"{number:,.2f}"
        return f"{amount} {fields['currency']}" if fields.get("currency") else amount
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return str(value)


def _rows(module: Module, fields: Fields) -> Iterator[tuple[str, str]]:
    for name, words in _ROWS[module]:
        if (value := _shown(name, fields)) is not None:
            yield words, value
    if fields.get("closed"):
        yield "Closed", "yes"


def _activities(fields: Fields, zone: str) -> list[str]:
    """The next activities, with their times as the mailbox's owner reads them."""
    lines = [str(line) for line in fields.get("activities") or ()]
    try:
        there = ZoneInfo(zone)
    except (KeyError, ValueError):
        return lines
    shown = []
    for line in lines:
        when, _, rest = line.partition(" ")
        if when.endswith("Z") and "T" in when:
            local = datetime.fromisoformat(when[:-1]).replace(tzinfo=UTC).astimezone(there)
            shown.append(f"{local:%Y-%m-%d %H:%M} {rest}")
        else:
            shown.append(line)
    return shown


def _text(module: Module, fields: Fields, name: str, zone: str) -> str:
    lines = [f"{_TITLES[module]}: {name}", ""]
    rows = list(_rows(module, fields))
    width = max((len(words) for words, _ in rows), default=0) + 1
    lines += [f"{words + ':':<{width}} {value}" for words, value in rows]
    if activities := _activities(fields, zone):
        lines += ["", "Next activities", "", *(f"- {line}" for line in activities)]
    if fields.get("link"):
        lines += ["", f"Open in the CRM: {fields['link']}"]
    if fields.get("description"):
        lines += ["", "Description", "", str(fields["description"])]
    return "\n".join([*lines, "", "--", _FOOTER, ""])


_FOOTER = "Written by Syncline; it is replaced when the record changes in the CRM."

_CELL = "padding:2px 12px 2px 0;vertical-align:top"


def _html(module: Module, fields: Fields, name: str, zone: str) -> str:
    rows = "".join(
        f'<tr><td style="{_CELL};color:#5f6368">{html.escape(words)}</td>'
        f'<td style="{_CELL}">{html.escape(value)}</td></tr>\n'
        for words, value in _rows(module, fields)
    )
    link = str(fields.get("link") or "")
    # Only web addresses become links: a record's text must not smuggle in a script.
    anchor = (
        f'<p><a href="{html.escape(link)}">Open in the CRM</a></p>\n'
        if link.startswith(("https://", "http://"))
        else ""
    )
    items = "".join(f"<li>{html.escape(line)}</li>\n" for line in _activities(fields, zone))
    activities = f"<p>Next activities</p>\n<ul>\n{items}</ul>\n" if items else ""
    description = (
        f'<p style="white-space:pre-wrap">{html.escape(str(fields["description"]))}</p>\n'
        if fields.get("description")
        else ""
    )
    return (
        '<html><body style="font-family:sans-serif;font-size:14px">\n'
        f"<h3>{html.escape(_TITLES[module])}: {html.escape(name)}</h3>\n"
        f"<table>\n{rows}</table>\n{activities}{anchor}{description}"
        f'<p style="color:#5f6368;font-size:12px">{html.escape(_FOOTER)}</p>\n</body></html>\n'
    )
