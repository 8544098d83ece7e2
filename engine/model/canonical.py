"""Canonical form: the provider-neutral values of the synchronised fields, and when two of them are the same.

A canonical item is a flat mapping ``Fields`` from field name to a JSON value, so that it can be stored,
diffed and merged field by field without knowing its kind. Absent and ``None`` mean the same: no value.
Multi-valued things (phones, addresses, mail addresses) are *slots* with stable names (``phone_mobile``,
``address_work``), because slots merge field by field and what fits no slot stays untouched on its side.

Values by kind:

* text      ``str``: Unicode NFC, LF line ends, trimmed; empty becomes ``None``
* email     ``str``: trimmed; compared without case
* phone     ``{"raw": str, "e164": str | None}``: compared by E.164 where both have it, else by raw
* address   ``{"street", "city", "region", "postcode", "country"}`` of text; all empty becomes ``None``
* date      ``"2026-11-21"``, or ``"--11-21"`` for a birthday without a year
* moment    ``{"date": "2026-11-21"}`` for all-day, else ``{"utc": "2026-11-21T08:00:00Z", "zone": "Europe/Berlin" | None}``
* flag      ``bool``
* attendees list of ``{"email", "name", "status", "optional"}`` sorted by e-mail;
  status is ``accepted | declined | tentative | none``
* rule      ``{"lines": ["RRULE:...", "EXDATE:..."]}`` of a series master (RFC 5545 lines without DTSTART)
* number    ``int | float``
* people    list of text, sorted
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import phonenumbers

from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Module

Fields = Mapping[str, Any]
"""Canonical fields of one item: field name to canonical JSON value."""


class Kind(StrEnum):
    """How a field's values are normalised and compared."""

    TEXT = "text"
    EMAIL = "email"
    PHONE = "phone"
    ADDRESS = "address"
    DATE = "date"
    MOMENT = "moment"
    FLAG = "flag"
    ATTENDEES = "attendees"
    RULE = "rule"
    NUMBER = "number"
    PEOPLE = "people"


#: Kinds that hold several values, so that two of them can be merged value by value.
SEVERAL = frozenset({Kind.ATTENDEES, Kind.PEOPLE})


@dataclass(frozen=True, slots=True)
class Field:
    """One synchronised field: its name, kind, the words an admin reads, and whether it may hold private text."""

    name: str
    kind: Kind
    label: str
    body: bool = False


def _fields(*rows: tuple[str, Kind, str]) -> dict[str, Field]:
    return {name: Field(name, kind, label, body=name in {"notes", "body"}) for name, kind, label in rows}


CONTACT_FIELDS = _fields(
    ("prefix", Kind.TEXT, "title before the name"),
    ("given", Kind.TEXT, "given name"),
    ("middle", Kind.TEXT, "middle name"),
    ("family", Kind.TEXT, "family name"),
    ("suffix", Kind.TEXT, "suffix"),
    ("company", Kind.TEXT, "company"),
    ("title", Kind.TEXT, "job title"),
    ("department", Kind.TEXT, "department"),
    ("email", Kind.EMAIL, "e-mail"),
    ("email_2", Kind.EMAIL, "second e-mail"),
    ("email_3", Kind.EMAIL, "third e-mail"),
    ("phone_work", Kind.PHONE, "phone at work"),
    ("phone_mobile", Kind.PHONE, "mobile phone"),
    ("phone_home", Kind.PHONE, "phone at home"),
    ("phone_other", Kind.PHONE, "other phone"),
    ("fax", Kind.PHONE, "fax"),
    ("address_work", Kind.ADDRESS, "address at work"),
    ("address_other", Kind.ADDRESS, "other address"),
    ("birthday", Kind.DATE, "birthday"),
    ("website", Kind.TEXT, "website"),
    ("notes", Kind.TEXT, "notes"),
)

EVENT_FIELDS = _fields(
    ("subject", Kind.TEXT, "subject"),
    ("body", Kind.TEXT, "description"),
    ("location", Kind.TEXT, "location"),
    ("start", Kind.MOMENT, "start"),
    ("end", Kind.MOMENT, "end"),
    ("busy", Kind.FLAG, "shown as busy"),
    ("private", Kind.FLAG, "private"),
    ("attendees", Kind.ATTENDEES, "attendees"),
    ("rule", Kind.RULE, "recurrence"),
    ("cancelled", Kind.FLAG, "cancelled"),
)

TASK_FIELDS = _fields(
    ("subject", Kind.TEXT, "subject"),
    ("body", Kind.TEXT, "notes"),
    ("due", Kind.DATE, "due date"),
    ("done", Kind.FLAG, "done"),
)

RECORD_FIELDS = _fields(
    ("name", Kind.TEXT, "name"),
    ("number", Kind.TEXT, "number"),
    ("stage", Kind.TEXT, "stage or status"),
    ("amount", Kind.NUMBER, "amount"),
    ("currency", Kind.TEXT, "currency"),
    ("close_date", Kind.DATE, "close date"),
    ("priority", Kind.TEXT, "priority"),
    ("account", Kind.TEXT, "account"),
    ("owner", Kind.TEXT, "owner"),
    ("contacts", Kind.PEOPLE, "contacts"),
    ("next_step", Kind.TEXT, "next step"),
    ("activities", Kind.PEOPLE, "next activities"),  # lines that begin with their date, see ``activity_line``
    ("description", Kind.TEXT, "description"),
    ("link", Kind.TEXT, "link to the record"),
    ("closed", Kind.FLAG, "closed"),
    ("label", Kind.TEXT, "name of the drop label"),  # of the mailbox's side: by the policy's pattern
)

FIELDS: dict[Module, dict[str, Field]] = {
    **dict.fromkeys(CONTACT_MODULES, CONTACT_FIELDS),
    **dict.fromkeys(EVENT_MODULES, EVENT_FIELDS),
    Module.TASK: TASK_FIELDS,
    **dict.fromkeys(RECORD_MODULES, RECORD_FIELDS),
}


def activity_line(when: str | None, kind: str, subject: str | None) -> str:
    """An open task or a coming appointment of a record in one line; sorted, the next one stands first.

    ``when``: a date, or UTC with Z to the minute.
    """
    return f"{when or 'no date'} {kind}: {' '.join((subject or '(no subject)').split())}"


# -- constructors: what a connector calls to turn a provider's value into a canonical one ------------------


def text(value: object) -> str | None:
    """Canonical text: NFC, LF line ends, trailing blanks of each line dropped, trimmed; ``None`` when empty."""
    if value is None:
        return None
    string = str(value)
    if string.isascii() and string.isprintable():
        return string.strip() or None  # nearly every value: nothing to replace
    string = string.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
    if not string.isascii():
        string = unicodedata.normalize("NFC", string)
    if "\n" in string:
        string = "\n".join(line.rstrip() for line in string.split("\n"))
    return string.strip() or None


def email(value: object) -> str | None:
    """Canonical e-mail address: trimmed, case kept (compared without case)."""
    return text(value)


@lru_cache(maxsize=20_000)
def _e164(raw: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def phone(value: object, region: str | None = None) -> dict[str, str | None] | None:
    """Canonical phone number.

    ``region`` is the ISO 3166 two-letter country in which a number without ``+`` is read. A number that cannot
    be understood keeps ``e164`` empty and compares by its raw text.
    """
    raw = text(value)
    if raw is None:
        return None
    # An international number means the same in every country: one entry of the cache for both sides.
    return {"raw": raw, "e164": _e164(raw, region.upper() if region and raw[0] != "+" else None)}


ADDRESS_PARTS = ("street", "city", "region", "postcode", "country")


def address(**parts: object) -> dict[str, str] | None:
    """Canonical postal address from ``street, city, region, postcode, country``; ``None`` when all are empty."""
    unknown = set(parts) - set(ADDRESS_PARTS)
    if unknown:
        raise TypeError(f"unknown address part {', '.join(sorted(unknown))}")
    value = {name: cleaned for name in ADDRESS_PARTS if (cleaned := text(parts.get(name)))}
    return value or None


def all_day(day: date | str) -> dict[str, str]:
    """Canonical all-day moment. The ``end`` of an all-day event is exclusive, as in iCalendar and Google."""
    return {"date": day if isinstance(day, str) else day.isoformat()}


def moment(at: datetime, zone: str | None = None) -> dict[str, str | None]:
    """Canonical instant with the IANA zone it was written in.

    ``at`` must be aware; it is stored in UTC to the second.

    Raises:
        ValueError: ``at`` has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("a moment needs a time zone; got a naive date-time")
    utc = at.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    return {"utc": utc.isoformat() + "Z", "zone": zone}


def instant(value: Mapping[str, Any]) -> datetime:
    """The UTC instant of a canonical moment; an all-day moment is read at 00:00 UTC."""
    if "date" in value:
        return datetime.fromisoformat(value["date"]).replace(tzinfo=UTC)
    return datetime.fromisoformat(value["utc"].removesuffix("Z")).replace(tzinfo=UTC)


def attendees(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Canonical attendees from rows with ``email`` and optional ``name, status, optional``; sorted, without doubles."""
    seen: dict[str, dict[str, Any]] = {}
    for row in rows:
        address_ = email(row.get("email"))
        if address_ is None:
            continue
        seen.setdefault(
            address_.casefold(),
            {
                "email": address_,
                "name": text(row.get("name")),
                "status": row.get("status") or "none",
                "optional": bool(row.get("optional")),
            },
        )
    return [seen[key] for key in sorted(seen)] or None


def compact(fields: Fields) -> dict[str, Any]:
    """The same fields without empty values, which is how they are stored."""
    return {
        name: value
        for name, value in fields.items()
        if value or (value is not None and value not in ([], {}))  # nearly all are true: one look is enough
    }


# -- comparison ------------------------------------------------------------------------------------------


def same(kind: Kind, one: Any, other: Any) -> bool:
    """Whether two canonical values mean the same to a person, so that nothing needs to be written."""
    if one == other:
        return True
    if kind is Kind.FLAG:
        return bool(one) == bool(other)
    if one is None or other is None:
        return False
    if kind is Kind.EMAIL:
        return bool(one.casefold() == other.casefold())
    if kind is Kind.PHONE:
        if one["raw"] == other["raw"]:
            return True
        return one["e164"] is not None and one["e164"] == other["e164"]
    if kind is Kind.MOMENT:
        return ("date" in one) == ("date" in other) and instant(one) == instant(other)
    if kind is Kind.ATTENDEES:
        # Names and replies belong to the provider that runs the meeting; who is invited is what we agree on.
        return [(row["email"].casefold(), row["optional"]) for row in one] == [
            (row["email"].casefold(), row["optional"]) for row in other
        ]
    if kind is Kind.RULE:
        from engine.model.recurrence import same_rule

        return same_rule(one["lines"], other["lines"])
    if kind is Kind.NUMBER:
        return abs(float(one) - float(other)) < 0.005
    return False


def diff(module: Module, old: Fields, new: Fields, names: Iterable[str]) -> dict[str, Any]:
    """The fields among ``names`` whose value in ``new`` differs from ``old``, as name to new value (``None`` clears)."""
    table = FIELDS[module]
    return {name: new.get(name) for name in names if not same(table[name].kind, old.get(name), new.get(name))}


def display_name(module: Module, fields: Fields) -> str:
    """What a person calls this item: a contact's name, an event's or task's subject, a record's name."""
    if module in CONTACT_MODULES:
        name = " ".join(part for part in (fields.get("given"), fields.get("family")) if part)
        return name or fields.get("company") or fields.get("email") or "(no name)"
    return fields.get("subject") or fields.get("name") or "(no subject)"


def match_keys(module: Module, fields: Fields) -> tuple[str, ...]:
    """Natural keys by which an item without our marker finds its twin, strongest first (sync.md section 3.5).

    Contacts and leads: e-mail, then full name with company. Events: subject with start. Tasks: subject with due date.
    Records are never matched: only we create their labels.
    """
    if module in CONTACT_MODULES:
        keys = []
        if fields.get("email"):
            keys.append("email:" + fields["email"].casefold())
        if fields.get("family"):
            parts = (fields.get("given") or "", fields["family"], fields.get("company") or "")
            keys.append("name:" + "|".join(parts).casefold())
        return tuple(keys)
    if module in EVENT_MODULES and fields.get("subject") and fields.get("start"):
        start = fields["start"]
        return (f"event:{fields['subject'].casefold()}|{start.get('date') or start.get('utc')}",)
    if module is Module.TASK and fields.get("subject"):
        return (f"task:{fields['subject'].casefold()}|{fields.get('due') or ''}",)
    return ()
