"""Why a mail was filed or not: "explain this item" for mails."""

from __future__ import annotations

from datetime import UTC, tzinfo

from engine.ledger import filing as units
from engine.ledger.filing import FilingRow
from engine.monitor.explain import Explanation, Fact, Hit, Item, Section
from engine.runtime import words
from engine.runtime.office import Office

PREFIX = "mail#"

_VIA = {
    "dropped": "a person dropped it on the record's label or folder",
    "created": 'a person dropped it on a "Create New" label or folder',
    "followed": "its conversation was filed before (setting mail.follow)",
    "inbox": "it arrived from somebody the CRM knows (setting mail.inbox)",
    "sent": "it was sent to somebody the CRM knows (setting mail.sent)",
}

_TONE = {
    "refused": "fault",
    "waiting": "alert",
    "sent": "alert",
    "unfiling": "alert",
    "gone": "quiet",
    "left": "quiet",
}

_RELEASED = {
    0: "the mail stays there",
    1: "the mail is about to be taken away from there",
    2: "the mail is no longer there",
}


async def explain_mail(office: Office, query: str, zone: tzinfo = UTC) -> Explanation:
    """Explain one filed mail, asked for as ``mail#12``."""
    number = query.strip().removeprefix(PREFIX)
    row = None
    if number.isdecimal() and number.isascii() and len(number) <= 18:
        row = await office.ledger.read(units.one, int(number))
    if row is None:
        return Explanation(query, note=f"no filed mail is {query!r}: its number stands in the Filed mail view")
    say = words.clock(zone)
    subject = row.subject or "(not read yet)"
    hit = Hit(None, row.email, "mail", subject, row.state, row.reason, "mailbox", row.mail)
    facts = [
        Fact("Why", _VIA.get(row.via, row.via)),
        Fact("Record", f"{row.module} {row.name or row.record or '(to be made)'}".strip()),
        Fact("Seen", say(row.at)),
    ]
    if row.sent_at is not None:
        facts.append(
            Fact("Sent", f"{say(row.sent_at)}, {'received' if row.incoming else 'sent'} by {row.email}")
        )
    if row.attempt:
        facts.append(Fact("Attempts", str(row.attempt)))
    if row.done_at is not None:
        facts.append(Fact("Settled", say(row.done_at)))
    if row.place:
        facts.append(Fact("Dropped on", _RELEASED.get(row.released, "")))
    crm = [
        Fact("E-mail", row.activity or "none", "" if row.activity else "quiet"),
        Fact("Key", row.key or "none yet", "" if row.key else "quiet"),
        Fact("Message-ID", row.message or "not read", "" if row.message else "quiet"),
        Fact("Attachments", str(row.files)),
    ]
    sections = (Section("How it came", tuple(facts)), Section("In the CRM", tuple(crm)))
    item = Item(hit, row.policy, _answer(row, say(row.not_before)), _TONE.get(row.state, ""), (), sections)
    return Explanation(query, item=item)


def _answer(row: FilingRow, again: str) -> str:
    tail = f": {row.reason}" if row.reason else ""
    match row.state:
        case "filed":
            return (
                f"It stands in the CRM as an e-mail of the {row.module} {row.name}{tail and '; ' + row.reason}."
            )
        case "refused":
            return f"It was not filed{tail}. r in Filed mail has it tried again."
        case "waiting" | "sent" if row.not_before:
            return f"It is tried again at {again}{tail}."
        case "waiting":
            return "The next drop-label check files it."
        case "sent":
            return "It was sent to the CRM, whose answer is not known: the next check finds out by its key."
        case "unfiling":
            return "Its label was taken off: the next check takes it out of the CRM."
        case "unfiled":
            return f"It was taken out of the CRM again{tail}."
        case _:
            return f"It was not filed{tail}."
