"""The fields of a person: masks, what the service computes, what it refuses. Pure functions on JSON documents."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from typing import Any

import phonenumbers

from engine.sandbox.google.call import ApiError

PERSON_FIELDS = frozenset(
    [
        *("addresses", "ageRanges", "biographies", "birthdays", "calendarUrls", "clientData", "coverPhotos"),
        *(
            "emailAddresses",
            "events",
            "externalIds",
            "genders",
            "imClients",
            "interests",
            "locales",
            "locations",
        ),
        *("memberships", "metadata", "miscKeywords", "names", "nicknames", "occupations", "organizations"),
        *("phoneNumbers", "photos", "relations", "sipAddresses", "skills", "urls", "userDefined"),
    ]
)
"""Valid entries of ``personFields`` and ``readMask`` (people.v1 discovery document)."""
UPDATE_FIELDS = PERSON_FIELDS - {"ageRanges", "coverPhotos", "metadata", "photos", "skills"}
"""Valid entries of ``updatePersonFields`` and ``updateMask``."""
WRITABLE_FIELDS = UPDATE_FIELDS | {"skills"}
SINGLETONS = ("biographies", "birthdays", "genders", "names")
"""At most one per contact source, else 400 (people.createContact)."""

_CONTENT = {
    "clientData": ("key", "value"),
    "userDefined": ("key", "value"),
    "emailAddresses": ("value",),
    "phoneNumbers": ("value",),
    "urls": ("value",),
    "externalIds": ("value",),
    "nicknames": ("value",),
    "biographies": ("value",),
    "calendarUrls": ("url",),
    "relations": ("person",),
}
_TYPE_NAMES = {"homeFax": "Home Fax", "workFax": "Work Fax", "homePage": "Home Page", "freeBusy": "Free/Busy"}
_PLAIN_INTERNATIONAL = re.compile(r"\+[\d\s.\-/()]+")
_NON_DIGITS = re.compile(r"\D")


def invalid(message: str) -> ApiError:
    """A 400 INVALID_ARGUMENT."""
    return ApiError(400, "badRequest", message, grpc="INVALID_ARGUMENT")


def parse_mask(text: str | None, name: str, valid: frozenset[str], *, required: bool = True) -> tuple[str, ...]:
    """Split a field mask and check its entries.

    Args:
        text: comma-separated field names; ``person.`` in front is dropped (``requestMask.includeField``).
        name: the parameter's name, for the message.
        valid: allowed entries.
        required: refuse an empty mask; otherwise an empty one gives ``()``.

    Raises:
        ApiError: 400 INVALID_ARGUMENT for an unknown entry or a missing mask.
    """
    parts = [part.strip() for part in (text or "").split(",")]
    fields = tuple(dict.fromkeys(part.removeprefix("person.") for part in parts if part))
    paths = ", ".join(sorted(valid))
    if not fields and required:
        raise invalid(
            f"{name} mask is required. Please specify one or more valid paths. Valid paths are [{paths}]."
        )
    for field in fields:
        if field not in valid:
            raise invalid(f'Invalid {name} mask path: "{field}". Valid paths are [{paths}].')
    return fields


def normalise(body: Mapping[str, Any], region: str, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Turn a client's person into what the service stores: empty values dropped, computed values added.

    Args:
        body: the person sent; read-only parts in it are ignored.
        region: ISO country for telephone numbers written without ``+``; empty leaves them without canonical form.
        only: the fields to take (an update mask); all writable fields when ``None``.

    Returns:
        Fields with at least one value; ``memberships`` is left out, it is the store's matter, and so is the metadata
        of each value, which reading adds.

    Raises:
        ApiError: 400 INVALID_ARGUMENT for two values in a singleton, an impossible birthday, an incomplete pair.
    """
    result: dict[str, Any] = {}
    for field, values in body.items():
        if not values or field == "memberships" or field not in (WRITABLE_FIELDS if only is None else only):
            continue
        if field in SINGLETONS and len(values) > 1:
            raise invalid(f"Singleton field {field} has more than one value set on the contact source.")
        kept = [item for value in values if (item := _item(field, value, region)) is not None]
        if kept:
            result[field] = kept
    return result


def _item(field: str, value: Mapping[str, Any], region: str) -> dict[str, Any] | None:
    """One value of a field as stored, or ``None`` when it says nothing."""
    item = {
        k: v
        for k, v in value.items()
        if k != "metadata" and v not in (None, "") and not k.startswith("formatted")
    }
    needed = _CONTENT.get(field)
    if needed and not all(part in item for part in needed):
        if len(needed) == 2 and any(part in item for part in needed):
            raise invalid(f"person.{field} must have both key and value.")
        return None
    if field == "names":
        return _name(item)
    if field == "phoneNumbers":
        item.pop("canonicalForm", None)
        canonical = canonical_phone(str(item["value"]), region)
        if canonical:
            item["canonicalForm"] = canonical
    elif field == "birthdays":
        _check_date(item.get("date"))
        if "date" in item:
            item["text"] = _date_text(item["date"])
    elif field == "biographies":
        item.setdefault("contentType", "TEXT_PLAIN")
    elif field == "addresses":
        formatted = value.get("formattedValue") or _address_text(item)
        if formatted:
            item["formattedValue"] = formatted
    elif field == "events":
        _check_date(item.get("date"))
    kind = item.get("type")
    if isinstance(kind, str):
        item["formattedType"] = _TYPE_NAMES.get(kind, kind[:1].upper() + kind[1:])
    return item or None


def _name(item: dict[str, Any]) -> dict[str, Any] | None:
    """Compute the display forms; take a lone ``unstructuredName`` apart, last word as family name."""
    for computed in ("displayName", "displayNameLastFirst"):
        item.pop(computed, None)
    parts = ("honorificPrefix", "givenName", "middleName", "familyName", "honorificSuffix")
    free = item.get("unstructuredName")
    if free and not any(part in item for part in parts):
        words = str(free).split()
        if len(words) > 1:
            item["givenName"], item["familyName"] = " ".join(words[:-1]), words[-1]
        else:
            item["givenName"] = free
    front = " ".join(str(item[part]) for part in parts[:4] if part in item)
    if not front and "honorificSuffix" not in item:
        return item or None
    suffix = f", {item['honorificSuffix']}" if "honorificSuffix" in item else ""
    item["displayName"] = (front + suffix).removeprefix(", ")
    given = " ".join(str(item[part]) for part in ("givenName", "middleName") if part in item)
    family = str(item.get("familyName", ""))
    item["displayNameLastFirst"] = ", ".join(part for part in (family, given) if part) + suffix
    item.setdefault("unstructuredName", item["displayName"])
    return item


def canonical_phone(value: str, region: str) -> str:
    """E.164 of a telephone number that says its country or for which ``region`` is known, else an empty string."""
    if _PLAIN_INTERNATIONAL.fullmatch(value) and "(0)" not in value:
        # The library costs 60 us a number; a number that already carries its country code needs only its digits.
        digits = _NON_DIGITS.sub("", value)
        if 8 <= len(digits) <= 15:
            return "+" + digits
    try:
        number = phonenumbers.parse(value, region or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _check_date(date: Mapping[str, Any] | None) -> None:
    """Refuse dates that no calendar has; zero means "not given" in each part."""
    if date is None:
        return
    year, month, day = (int(date.get(part) or 0) for part in ("year", "month", "day"))
    longest = calendar.monthrange(year or 2000, month)[1] if 1 <= month <= 12 and 0 <= year <= 9999 else 0
    if not 0 <= year <= 9999 or not 0 <= month <= 12 or not 0 <= day <= (longest if month else 0):
        raise invalid(f"Invalid date: year {year}, month {month}, day {day}.")


def _date_text(date: Mapping[str, Any]) -> str:
    parts = [str(date[part]) for part in ("month", "day", "year") if date.get(part)]
    return "/".join(parts)


def _address_text(item: Mapping[str, Any]) -> str:
    """The service builds the unstructured address when the user gave none."""
    town = " ".join(str(item[part]) for part in ("city", "region", "postalCode") if part in item)
    lines = [str(item[part]) for part in ("streetAddress", "extendedAddress", "poBox") if part in item]
    country = item.get("country") or item.get("countryCode") or ""
    return "\n".join(part for part in (*lines, town, str(country)) if part)
