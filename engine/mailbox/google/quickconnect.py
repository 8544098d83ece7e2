"""The quick connect mail: one mail inside the label of a CRM record that says what the record is. Pure and deterministic.

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
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

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
    return str(fields.get("name") or fields.get("number") or f"({_TITLES[module].lower()} without a name)")


def render(
    module: Module, fields: Fields, *, to: str, at_ms: int, identity: str, in_reply_to: str | None = None
) -> bytes:
    """The mail as it goes over the wire (RFC 5322, CRLF).

    Args:
        module: opportunity or case.
        fields: the record's canonical fields.
        to: address of the mailbox.
        at_ms: the Date header, epoch milliseconds.
        identity: the Message-ID with angle brackets.
        in_reply_to: Message-ID of the first generation, so that later ones join its conversation.

    Returns:
        Text and HTML; the same arguments give the same bytes.
    """
    mail = EmailMessage(policy=SMTP)
    name = " ".join(title_of(module, fields).split())
    mail["Subject"] = f"{_TITLES[module]}: {name}"
    mail["From"] = f"Syncline <{SENDER}>"
    mail["To"] = to
    mail["Date"] = datetime.fromtimestamp(at_ms / 1000, UTC).replace(microsecond=0)
    mail["Message-ID"] = identity
    if in_reply_to and in_reply_to != identity:
        mail["In-Reply-To"] = in_reply_to
        mail["References"] = in_reply_to
    mail["Auto-Submitted"] = "auto-generated"
    mail[RECORD_HEADER] = pack(fields)
    mail.set_content(_text(module, fields, name), cte="quoted-printable")
    mail.add_alternative(_html(module, fields, name), subtype="html", cte="quoted-printable")
    # The boundary is random by default; one mail must always be the same bytes.
    mail.set_boundary("=_" + hashlib.sha256(identity.encode()).hexdigest()[:24])
    return mail.as_bytes()


def pack(fields: Fields) -> str:
    """Canonical fields as the value of ``RECORD_HEADER``: compressed JSON in words short enough to be folded."""
    data = json.dumps(compact(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    code = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode()
    return " ".join(code[start : start + 64] for start in range(0, len(code), 64))


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


def _text(module: Module, fields: Fields, name: str) -> str:
    lines = [f"{_TITLES[module]}: {name}", ""]
    rows = list(_rows(module, fields))
    width = max((len(words) for words, _ in rows), default=0) + 1
    lines += [f"{words + ':':<{width}} {value}" for words, value in rows]
    if fields.get("link"):
        lines += ["", f"Open in the CRM: {fields['link']}"]
    if fields.get("description"):
        lines += ["", "Description", "", str(fields["description"])]
    return "\n".join([*lines, "", "--", _FOOTER, ""])


_FOOTER = "Written by Syncline; it is replaced when the record changes in the CRM."

_CELL = "padding:2px 12px 2px 0;vertical-align:top"


def _html(module: Module, fields: Fields, name: str) -> str:
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
    description = (
        f'<p style="white-space:pre-wrap">{html.escape(str(fields["description"]))}</p>\n'
        if fields.get("description")
        else ""
    )
    return (
        '<html><body style="font-family:sans-serif;font-size:14px">\n'
        f"<h3>{html.escape(_TITLES[module])}: {html.escape(name)}</h3>\n"
        f"<table>\n{rows}</table>\n{anchor}{description}"
        f'<p style="color:#5f6368;font-size:12px">{html.escape(_FOOTER)}</p>\n</body></html>\n'
    )
