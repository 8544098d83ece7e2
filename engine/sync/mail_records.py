"""Records made from mails: the rules of a policy for "Create New" labels, carried out on one mail. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.model.canonical import FIELDS, Kind
from engine.model.mail import ParsedMail
from engine.model.modules import Module

#: Domains of mail providers for everybody: they say nothing of whose company it is.
_FOR_EVERYBODY = frozenset(
    {
        "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "me.com",
        "gmx.de", "gmx.net", "web.de", "t-online.de", "proton.me", "protonmail.com", "aol.com",
    }
)  # fmt: skip

_WORD = re.compile(r"\{([^{}]*)\}")
_REPLY = re.compile(r"^\s*(?:(?:re|fwd?|aw|wg|sv|tr)\s*(?:\[\d+\])?:\s*)+", re.IGNORECASE)

#: A rule's text is cut to this, so that the CRM takes it.
LONGEST = {
    "name": 120,
    "description": 30_000,
    "given": 40,
    "family": 80,
    "company": 255,
    "email": 80,
    "notes": 30_000,
}


def fields_of(rules: Mapping[str, str], module: Module, mail: ParsedMail, sent_ms: int) -> dict[str, Any]:
    """The canonical fields that the rules make of a mail; a rule that comes out empty gives none."""
    words = words_of(mail)
    day = datetime.fromtimestamp(sent_ms / 1000, UTC).date()

    def word(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith("date"):
            days = int(name.partition("+")[2] or 0)
            return (day + timedelta(days=days)).isoformat()
        return words.get(name, "")

    out: dict[str, Any] = {}
    for field, rule in rules.items():
        text = _WORD.sub(word, rule).strip()
        if field not in {"description", "notes"}:
            text = " ".join(text.split())
        text = text[: LONGEST.get(field, 255)].strip()
        if not text:
            continue
        value = _value(module, field, text)
        if value is not None:
            out[field] = value
    return out


def missing(required: Sequence[str], fields: Mapping[str, Any]) -> list[str]:
    """Required fields that the mail does not give."""
    return [name for name in required if not fields.get(name)]


def words_of(mail: ParsedMail) -> dict[str, str]:
    """The words in braces, as this mail gives them."""
    sender = mail.sender
    first, last = split_name(sender.name, sender.address)
    domain = sender.address.rpartition("@")[2].casefold()
    return {
        "subject": _REPLY.sub("", mail.subject).strip(),
        "text": mail.text,
        "name": sender.name or " ".join(part for part in (first, last) if part),
        "first": first,
        "last": last,
        "address": sender.address,
        "domain": domain,
        "company": company_of(domain),
    }


def split_name(name: str, address: str) -> tuple[str, str]:
    """First and family name of a sender: "Family, First", "First Family", else the words of his address."""
    plain = name.strip().strip("'\"")
    if "@" in plain or not plain:
        local = address.partition("@")[0]
        parts = [part.capitalize() for part in re.split(r"[._-]+", local) if part and not part.isdigit()]
        return (" ".join(parts[:-1]), parts[-1]) if len(parts) > 1 else ("", "")
    if "," in plain:
        family, _, first = plain.partition(",")
        return first.strip(), family.strip()
    first, _, family = plain.rpartition(" ")
    return first.strip(), family.strip()


def company_of(domain: str) -> str:
    """A company's name by its domain; empty for providers that serve everybody."""
    if not domain or domain in _FOR_EVERYBODY:
        return ""
    parts = domain.split(".")
    name = parts[-2] if len(parts) > 1 else parts[0]
    if name in {"co", "com", "org", "net", "ac"} and len(parts) > 2:
        name = parts[-3]
    return name.replace("-", " ").title()


def _value(module: Module, field: str, text: str) -> Any:
    """A rule's text as the field wants it; None when it is no such value."""
    if FIELDS[module][field].kind is Kind.NUMBER:
        try:
            return float(text.replace(",", ""))
        except ValueError:
            return None
    return text
