"""Values that people type: canonical values as one line of text, and back, with a clear word about what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine.model import canonical
from engine.model.canonical import ADDRESS_PARTS, Field, Kind
from engine.model.recurrence import occurrences

_EMAIL = re.compile(r"[^\s@,;<>()\[\]\"\\]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{1,2}:\d{2}))?(?:\s+(\S+))?")
_OPTIONAL = re.compile(r"\s*\(optional\)\s*$")

#: Longest text that may be typed for a field, in characters.
LONGEST = 30_000

_ALLOWED: Mapping[Kind, str] = {
    Kind.TEXT: r"a text; \n stands for a new line",
    Kind.EMAIL: "an e-mail address such as ann@example.com",
    Kind.PHONE: "a phone number such as +49 30 1234567",
    Kind.ADDRESS: "five parts with a semicolon between: street; city; region; postcode; country",
    Kind.DATE: "a date such as 2026-11-21, or --11-21 for a birthday without a year",
    Kind.MOMENT: "2026-11-21 for a whole day, or 2026-11-21 09:00 Europe/Berlin (without a zone: the mailbox's)",
    Kind.FLAG: "yes or no",
    Kind.ATTENDEES: "e-mail addresses with commas between, each with (optional) behind it where it is",
    Kind.RULE: "lines such as RRULE:FREQ=WEEKLY;BYDAY=MO with blanks between",
    Kind.NUMBER: "a number such as 1500 or 12.50",
    Kind.PEOPLE: "names with commas between",
}

#: Kinds whose fields an item cannot be without.
_NEEDED = frozenset({Kind.MOMENT, Kind.FLAG})


class NotAllowed(ValueError):
    """What was typed is no value of the field; the text says why, and what is allowed."""


def allowed(field: Field) -> str:
    """What may be typed for a field, in words."""
    return _ALLOWED[field.kind] + ("" if field.kind in _NEEDED else "; nothing clears the field")


def typed(kind: Kind, value: Any) -> str:
    """A canonical value as the line that ``read`` makes it of again; "" for none."""
    if value is None:
        return ""
    match kind:
        case Kind.PHONE:
            return str(value["raw"])
        case Kind.ADDRESS:
            return "; ".join(_line(value.get(part, "")) for part in ADDRESS_PARTS)
        case Kind.MOMENT:
            if "date" in value:
                return str(value["date"])
            zone = value.get("zone") or "UTC"
            return f"{canonical.instant(value).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"
        case Kind.FLAG:
            return "yes" if value else "no"
        case Kind.ATTENDEES:
            return ", ".join(row["email"] + (" (optional)" if row["optional"] else "") for row in value)
        case Kind.RULE:
            return " ".join(value["lines"])
        case Kind.PEOPLE:
            return ", ".join(value)
        case Kind.NUMBER:
            return f"{value:g}" if float(value).is_integer() and abs(value) < 1e6 else str(value)
        case _:
            return _line(str(value))


def read(field: Field, line: str, *, region: str = "", zone: str = "UTC", known: Sequence[Any] = ()) -> Any:
    """The canonical value of a line that somebody typed; None for an empty one.

    Args:
        field: whose value it is.
        line: what was typed.
        region: country of phone numbers without ``+``, ISO 3166; "" for none.
        zone: of times without one, IANA.
        known: canonical values of both sides: attendees keep the names and replies that they have there.

    Raises:
        NotAllowed: it is no value of this field.
    """
    text = line.strip()
    if not text:
        if field.kind in _NEEDED:
            raise _refused(field, "must have a value")
        return None
    if len(text) > LONGEST:
        raise _refused(field, f"has {len(text):,} characters, more than {LONGEST:,}")
    match field.kind:
        case Kind.PHONE:
            if sum(char.isdigit() for char in text) < 3:
                raise _refused(field, f"{text!r} is no phone number")
            return canonical.phone(text, region or None)
        case Kind.MOMENT:
            return _moment(field, text, zone)
        case Kind.ATTENDEES:
            return _attendees(field, text, known)
        case _:
            return _READ[field.kind](field, text)


def _refused(field: Field, why: str) -> NotAllowed:
    return NotAllowed(f"{field.label}: {why}; allowed: {allowed(field)}")


def _line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _text(field: Field, text: str) -> str | None:
    whole = re.sub(r"\\(\\|n)", lambda found: "\n" if found[1] == "n" else "\\", text)
    if any(not char.isprintable() and char != "\n" for char in whole):
        raise _refused(field, "has characters that cannot be printed")
    return canonical.text(whole)


def _email(field: Field, text: str) -> str | None:
    if _EMAIL.fullmatch(text) is None:
        raise _refused(field, f"{text!r} is no e-mail address")
    return canonical.email(text)


def _address(field: Field, text: str) -> dict[str, str] | None:
    parts = [part.strip() for part in text.split(";")]
    if len(parts) != len(ADDRESS_PARTS):
        raise _refused(field, f"has {len(parts)} parts")
    return canonical.address(
        **{name: _text(field, part) for name, part in zip(ADDRESS_PARTS, parts, strict=True)}
    )


def _date(field: Field, text: str) -> str:
    try:
        # A leap year, so that 29 February is a birthday without a year.
        date.fromisoformat("2024" + text[1:] if text.startswith("--") and len(text) == 7 else text)
    except ValueError:
        raise _refused(field, f"{text!r} is no date") from None
    return text


def _moment(field: Field, text: str, zone: str) -> dict[str, Any]:
    found = _MOMENT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        day, clock, named = found.groups()
        if clock is None:
            if named is not None:
                raise ValueError
            return dict(canonical.all_day(date.fromisoformat(day)))
        name = named or zone
        hour, minute = clock.split(":")
        wall = datetime.fromisoformat(day).replace(hour=int(hour), minute=int(minute), tzinfo=ZoneInfo(name))
        return dict(canonical.moment(wall.astimezone(UTC), name))
    except (ValueError, KeyError, OSError):  # what ZoneInfo raises for a name that is no zone
        raise _refused(field, f"{text!r} is no time") from None


def _flag(field: Field, text: str) -> bool:
    words = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
    if text.casefold() not in words:
        raise _refused(field, f"{text!r} is neither")
    return words[text.casefold()]


def _attendees(field: Field, text: str, known: Sequence[Any]) -> list[dict[str, Any]] | None:
    before = {row["email"].casefold(): row for rows in known for row in rows or ()}
    rows = []
    for part in text.replace(";", ",").split(","):
        if not part.strip():
            continue
        address = _OPTIONAL.sub("", part).strip()
        if _EMAIL.fullmatch(address) is None:
            raise _refused(field, f"{address!r} is no e-mail address")
        optional = _OPTIONAL.search(part) is not None
        rows.append({**before.get(address.casefold(), {}), "email": address, "optional": optional})
    return canonical.attendees(rows)


def _rule(field: Field, text: str) -> dict[str, Any]:
    lines = text.split()
    try:
        if not all(line.startswith(("RRULE:", "EXDATE", "RDATE")) for line in lines):
            raise ValueError
        next(occurrences(lines, datetime(2026, 1, 5, 9, 0)), None)
    except (ValueError, TypeError):
        raise _refused(field, f"{text!r} is no recurrence") from None
    return {"lines": lines}


def _number(field: Field, text: str) -> float:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise _refused(field, f"{text!r} is no number") from None
    if not abs(value) < 1e15:  # refuses nan as well
        raise _refused(field, f"{text!r} is out of range")
    return int(value) if value.is_integer() else value


def _people(field: Field, text: str) -> list[str] | None:
    return sorted({part.strip() for part in text.split(",") if part.strip()}) or None


_READ: Mapping[Kind, Callable[[Field, str], Any]] = {
    Kind.TEXT: _text,
    Kind.EMAIL: _email,
    Kind.ADDRESS: _address,
    Kind.DATE: _date,
    Kind.FLAG: _flag,
    Kind.RULE: _rule,
    Kind.NUMBER: _number,
    Kind.PEOPLE: _people,
}
