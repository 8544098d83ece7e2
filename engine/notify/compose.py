"""What a failure mail says, and its form on the wire. Pure: the same mail gives the same bytes, whenever it is sent."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime

from engine.model.incident import IncidentKind
from engine.monitor.rows import IncidentRow

#: A subject longer than this is cut; RFC 5322 allows lines of 998 characters, people read some 70.
LONGEST_SUBJECT = 160

#: Texts of providers longer than this are cut.
LONGEST_TEXT = 2000

#: Mailboxes that a mail for many incidents lists.
MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as the outbox keeps it: with the very text and Message-ID that go out.

    Attributes:
        id: of its row.
        address: its one recipient.
        about: Message-ID of the failure mail that a recovery mail answers.
    """

    id: int
    incident: int
    kind: str
    address: str
    message_id: str
    subject: str
    body: str
    written_ms: int
    about: str = ""


def failure(rows: Sequence[IncidentRow], host: str) -> tuple[str, str]:
    """Subject and text of the mail that tells of incidents of one policy.

    Args:
        rows: one incident, or several of the same kind that became due together.
        host: the machine that the engine runs on.
    """
    first = rows[0]
    if len(rows) == 1:
        subject = f"Syncline: {first.subject} {_verb(first)}: {first.text}"
        return _line(subject), "\n".join([*_facts(first), "", *_foot(host)]) + "\n"
    fail = "have items in quarantine" if first.kind == IncidentKind.QUARANTINE else "fail"
    subject = f"Syncline: {len(rows):,} mailboxes of {first.policy} {fail}: {first.text}"
    out = [
        f"{len(rows):,} mailboxes of the policy {_plain(first.policy)} {fail}.",
        "",
        "The first of them:",
        "",
        *_facts(first),
        "",
        "All of them:",
        "",
        *(f"  {_plain(row.subject)}  {_plain(row.text)[:200]}" for row in rows[:MOST_LISTED]),
    ]
    if len(rows) > MOST_LISTED:
        out.append(f"  and {len(rows) - MOST_LISTED:,} more: syncline incidents lists them")
    return _line(subject), "\n".join([*out, "", *_foot(host)]) + "\n"


def recovery(rows: Sequence[IncidentRow], host: str) -> tuple[str, str]:
    """Subject and text of the mail that tells that incidents are over."""
    first = rows[0]
    what = _plain(first.subject) if len(rows) == 1 else f"{len(rows):,} mailboxes of {_plain(first.policy)}"
    ended = max(row.closed_ms or row.last_ms for row in rows)
    began = min(row.first_ms for row in rows)
    out = [
        f"{what} {'is' if len(rows) == 1 else 'are'} well again.",
        "",
        f"  Policy        {_plain(first.policy) or '-'}",
        f"  Failed since  {_moment(began)}",
        f"  Well since    {_moment(ended)}",
        f"  Attempts      {sum(row.count for row in rows):,} failed",
        f"  It was        {_plain(first.text)}",
        "",
        *_foot(host),
    ]
    return _line(f"Syncline: {what} well again"), "\n".join(out) + "\n"


def _verb(row: IncidentRow) -> str:
    if row.kind == IncidentKind.QUARANTINE:
        return "has items in quarantine"
    if row.kind == IncidentKind.ROLLOUT:
        return "rolls out no further"
    return "given up" if row.state == "cancelled" else "fails"


def _facts(row: IncidentRow) -> list[str]:
    what = "Mailbox" if "@" in row.subject else "Policy" if row.subject == row.policy else row.kind.capitalize()
    return [
        f"  {what:<12}  {_plain(row.subject)}",
        *([f"  Policy        {_plain(row.policy)}"] if row.subject != row.policy else []),
        f"  Phase         {_plain(row.phase) or '-'}",
        f"  Error class   {row.fault_class or '-'}",
        f"  Error         {_plain(row.text)}",
        f"  First time    {_moment(row.first_ms)}",
        f"  Last time     {_moment(row.last_ms)}",
        f"  Attempts      {row.count:,}" + (", then given up" if row.state == "cancelled" else ""),
        f"  Next step     {_plain(row.advice) or '-'}",
    ]


def _foot(host: str) -> list[str]:
    return [
        "One mail is sent for each incident, and one when it is over. Incidents in the console, or",
        f"'syncline incidents', shows how they stand. Sent by syncline on {_plain(host)}.",
    ]


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _plain(text: str) -> str:
    """One line without control and format characters: what others wrote must not become a header or hide a text."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"} else c for c in text)
    return " ".join(kept.split())[:LONGEST_TEXT]


def _line(text: str) -> str:
    line = _plain(text)
    return line if len(line) <= LONGEST_SUBJECT else line[: LONGEST_SUBJECT - 1] + "…"


def is_ascii(letter: Letter, sender: str) -> bool:
    """Whether both addresses can go to a server that does not speak SMTPUTF8 (RFC 6531)."""
    return (letter.address + sender).isascii()


def wire(letter: Letter, sender: str) -> bytes:
    """The mail as it goes out: CRLF lines, UTF-8 text in a 7-bit encoding."""
    message = EmailMessage(policy=SMTP if is_ascii(letter, sender) else SMTPUTF8)
    message["From"] = _address(sender, "Syncline")
    message["To"] = _address(letter.address)
    message["Subject"] = _line(letter.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(letter.written_ms / 1000, UTC))
    message["Message-ID"] = letter.message_id
    if letter.about:
        message["In-Reply-To"] = letter.about
        message["References"] = letter.about
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation message answers it
    message["X-Syncline-Incident"] = str(letter.incident)
    message.set_content(letter.body, charset="utf-8", cte="quoted-printable")
    return message.as_bytes()


def _address(address: str, name: str = "") -> Address:
    user, _, domain = address.rpartition("@")
    return Address(name, user, domain)
