"""A Google contact as canonical fields: which entry of which repeated field stands in which slot.

A person resource holds lists (``phoneNumbers``, ``emailAddresses``, ...); the canonical form has named slots. The
functions here find the entry of each slot and read it. ``people_patch`` writes through the same functions, so that an
entry that stands in no slot is neither read nor touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import phonenumbers

from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Observation

Entry = Mapping[str, Any]
"""One element of a repeated field of a person."""

#: Fields of a person that canonical fields or our marker live in. They are read, kept in ``native`` and patched.
NATIVE_FIELDS = (
    "names",
    "emailAddresses",
    "phoneNumbers",
    "addresses",
    "organizations",
    "birthdays",
    "urls",
    "biographies",
    "memberships",
    "clientData",
)

#: The mask of every read and of every answer to a write. It must be the same in each call that carries a sync token
#: (people.connections.list: "all other parameters must match the first call").
PERSON_FIELDS = ",".join((*NATIVE_FIELDS, "metadata"))

#: Only contact data: profile and directory data of the same person cannot be written and would look like ours.
SOURCES = ["READ_SOURCE_TYPE_CONTACT"]

#: Keys of the invisible ``clientData`` under which a contact that we created carries its marker and its module.
MARKER_KEY = "syncline_key"
KIND_KEY = "syncline_kind"

EMAIL_SLOTS = ("email", "email_2", "email_3")

#: Phone slots by the types they accept, first of the list first; an entry without a type counts as "other".
PHONE_TYPES: dict[str, tuple[str, ...]] = {
    "phone_work": ("work",),
    "phone_mobile": ("mobile",),
    "phone_home": ("home",),
    "phone_other": ("other", ""),
    "fax": ("workFax", "homeFax", "otherFax"),
}

#: Structured parts of an address: canonical name to Google's.
ADDRESS_PARTS = {
    "street": "streetAddress",
    "city": "city",
    "region": "region",
    "postcode": "postalCode",
    "country": "country",
}

NAME_PARTS = {
    "prefix": "honorificPrefix",
    "given": "givenName",
    "middle": "middleName",
    "family": "familyName",
    "suffix": "honorificSuffix",
}

ORGANIZATION_PARTS = {"company": "name", "title": "title", "department": "department"}

_COMPUTED = frozenset({"formattedType", "displayNameLastFirst"})


# -- which entry stands in which slot ----------------------------------------------------------------------


def _is_first(entry: Entry) -> bool:
    metadata = entry.get("metadata") or {}
    return bool(metadata.get("sourcePrimary") or metadata.get("primary"))


def _primary_first(entries: Sequence[Entry]) -> list[int]:
    """Indexes of the entries, the primary one first, the others in their order.

    Google promises no order within a repeated field, but exactly one primary entry in a field that is not empty.
    """
    return sorted(range(len(entries)), key=lambda index: not _is_first(entries[index]))


def email_index(entries: Sequence[Entry], slot: str) -> int | None:
    """Index of the address in ``email``, ``email_2`` or ``email_3``: they count from the primary address."""
    order = [index for index in _primary_first(entries) if canonical.text(entries[index].get("value"))]
    position = EMAIL_SLOTS.index(slot)
    return order[position] if position < len(order) else None


def phone_index(entries: Sequence[Entry], slot: str) -> int | None:
    """Index of the first number whose type belongs to the slot. Pagers and custom types belong to none."""
    for kind in PHONE_TYPES[slot]:
        for index, entry in enumerate(entries):
            if (entry.get("type") or "") == kind and canonical.text(entry.get("value")):
                return index
    return None


def address_index(entries: Sequence[Entry], slot: str) -> int | None:
    """Index of the address in a slot: the first of type ``work``, or the first of any other type."""
    for index, entry in enumerate(entries):
        if ((entry.get("type") or "") == "work") == (slot == "address_work"):
            return index
    return None


def organization_index(entries: Sequence[Entry]) -> int | None:
    """Index of the employer: the primary organization, else a current one, else the first. Schools never count."""
    best: tuple[tuple[bool, bool], int] | None = None
    for index, entry in enumerate(entries):
        if entry.get("type") == "school":
            continue
        rank = (not _is_first(entry), not entry.get("current"))
        if best is None or rank < best[0]:
            best = (rank, index)
    return best[1] if best else None


def url_index(entries: Sequence[Entry]) -> int | None:
    """Index of the website: the primary link, else the first."""
    for index in _primary_first(entries):
        if canonical.text(entries[index].get("value")):
            return index
    return None


# -- reading an entry --------------------------------------------------------------------------------------


@lru_cache(maxsize=10_000)
def _region_of(canonical_form: str) -> str | None:
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(canonical_form, None))
    except phonenumbers.NumberParseException:
        return None


def read_phone(entry: Entry, region: str) -> dict[str, str | None] | None:
    """A canonical phone number.

    Google's ``canonicalForm`` only tells the country in which to read the raw text: the form itself drops an
    extension, and two extensions of one company must not count as the same number.
    """
    known = entry.get("canonicalForm")
    return canonical.phone(entry.get("value"), (_region_of(known) if known else None) or region or None)


def read_address(entry: Entry) -> dict[str, str] | None:
    """A canonical address; one that has only a free text keeps it as the street, so that it is never overwritten unseen."""
    structured = canonical.address(
        **{name: entry.get(theirs) for name, theirs in ADDRESS_PARTS.items() if name != "country"},
        country=entry.get("country") or entry.get("countryCode"),
    )
    if structured is None and not entry.get("poBox") and not entry.get("extendedAddress"):
        return canonical.address(street=entry.get("formattedValue"))
    return structured


def read_birthday(entry: Entry) -> str | None:
    """``2026-11-21``, or ``--11-21`` without a year; a date without a day, or a free text, is no birthday to us."""
    value = entry.get("date") or {}
    year, month, day = value.get("year") or 0, value.get("month") or 0, value.get("day") or 0
    try:
        # 2000 is a leap year, so that 29 February passes without a year.
        checked = date(year or 2000, month, day)
    except ValueError:
        return None
    return checked.isoformat() if year else f"--{month:02d}-{day:02d}"


def read_fields(person: Mapping[str, Any], region: str = "") -> dict[str, Any]:
    """The canonical fields (compact) of a person resource.

    Args:
        person: a person, or the ``native`` part of one.
        region: ISO country in which numbers without ``+`` are read.
    """
    fields: dict[str, Any] = {}
    for entry in (person.get("names") or ())[:1]:
        parts = {name: canonical.text(entry.get(theirs)) for name, theirs in NAME_PARTS.items()}
        if not any(parts.values()):
            parts["given"] = canonical.text(entry.get("unstructuredName") or entry.get("displayName"))
        fields.update(parts)
    emails = person.get("emailAddresses") or ()
    for slot in EMAIL_SLOTS:
        if (index := email_index(emails, slot)) is not None:
            fields[slot] = canonical.email(emails[index]["value"])
    phones = person.get("phoneNumbers") or ()
    for slot in PHONE_TYPES:
        if (index := phone_index(phones, slot)) is not None:
            fields[slot] = read_phone(phones[index], region)
    addresses = person.get("addresses") or ()
    for slot in ("address_work", "address_other"):
        if (index := address_index(addresses, slot)) is not None:
            fields[slot] = read_address(addresses[index])
    organizations = person.get("organizations") or ()
    if (index := organization_index(organizations)) is not None:
        for name, theirs in ORGANIZATION_PARTS.items():
            fields[name] = canonical.text(organizations[index].get(theirs))
    urls = person.get("urls") or ()
    if (index := url_index(urls)) is not None:
        fields["website"] = canonical.text(urls[index]["value"])
    for entry in (person.get("biographies") or ())[:1]:
        fields["notes"] = canonical.text(entry.get("value"))
    for entry in (person.get("birthdays") or ())[:1]:
        fields["birthday"] = read_birthday(entry)
    return canonical.compact(fields)


# -- reading a person --------------------------------------------------------------------------------------


def _contact_source(person: Mapping[str, Any]) -> Mapping[str, Any]:
    for source in (person.get("metadata") or {}).get("sources") or ():
        if source.get("type") == "CONTACT":
            found: Mapping[str, Any] = source
            return found
    return {}


def etag_of(person: Mapping[str, Any]) -> str | None:
    """The version that an update must name.

    It is that of the contact *source*: "failedPrecondition if person.metadata.sources.etag is different than the
    contact's etag" (people.updateContact). The etag of the person as a whole differs with the mask of the read.
    """
    etag = _contact_source(person).get("etag") or person.get("etag")
    return str(etag) if etag else None


def modified_of(person: Mapping[str, Any]) -> int | None:
    """Google's time of the last change of the contact, epoch milliseconds."""
    stamp = _contact_source(person).get("updateTime")
    if not stamp:
        return None
    try:
        at = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def client_data(person: Mapping[str, Any], key: str) -> str | None:
    """The value of one of our entries in ``clientData``."""
    for entry in person.get("clientData") or ():
        if entry.get("key") == key:
            value = entry.get("value")
            return str(value) if value else None
    return None


def groups_of(person: Mapping[str, Any]) -> tuple[str, ...]:
    """Resource names of the contact groups that a person is in, sorted."""
    names = {
        str(membership["contactGroupMembership"]["contactGroupResourceName"])
        for membership in person.get("memberships") or ()
        if (membership.get("contactGroupMembership") or {}).get("contactGroupResourceName")
    }
    return tuple(sorted(names))


def _kept(name: str, entry: Entry) -> dict[str, Any]:
    """An entry without what Google computes for each reader; what remains is written back unchanged."""
    kept = {key: value for key, value in entry.items() if key not in _COMPUTED and key != "metadata"}
    if name == "names" and any(entry.get(theirs) for theirs in NAME_PARTS.values()):
        kept.pop("displayName", None)
    if name == "memberships":
        membership = entry["contactGroupMembership"]
        kept = {"contactGroupMembership": {"contactGroupResourceName": membership["contactGroupResourceName"]}}
    if (entry.get("metadata") or {}).get("sourcePrimary"):
        kept["metadata"] = {"sourcePrimary": True}
    elif (entry.get("metadata") or {}).get("primary"):
        kept["metadata"] = {"primary": True}
    return kept


def _ours(name: str, entry: Entry) -> bool:
    """Whether an entry belongs to the contact: not to a profile, not to a domain."""
    source = ((entry.get("metadata") or {}).get("source") or {}).get("type", "CONTACT")
    if source != "CONTACT":
        return False
    return name != "memberships" or "contactGroupMembership" in entry


def native_of(person: Mapping[str, Any]) -> dict[str, Any]:
    """What a lossless patch needs: the entries of every field that we may rewrite, and the id of the contact source."""
    native: dict[str, Any] = {}
    for name in NATIVE_FIELDS:
        entries = [_kept(name, entry) for entry in person.get(name) or () if _ours(name, entry)]
        if entries:
            native[name] = entries
    if source := _contact_source(person).get("id"):
        native["source"] = source
    return native


def observe(person: Mapping[str, Any], region: str = "", *, remote_id: str = "") -> Observation:
    """A person resource as an observation.

    The module is what our own entry says, else contact: that a group makes it a lead is for the engine to decide, which
    knows what the groups in ``containers`` mean.

    Args:
        person: as the provider shows it under ``PERSON_FIELDS``.
        region: ISO country in which numbers without ``+`` are read.
        remote_id: the name under which it was asked for, when that may differ from its present one.
    """
    identity = remote_id or str(person["resourceName"])
    if (person.get("metadata") or {}).get("deleted"):
        return Observation(remote_id=identity, module=Module.CONTACT, deleted=True)
    native = native_of(person)
    kind = client_data(native, KIND_KEY)
    return Observation(
        remote_id=identity,
        module=Module.LEAD if kind == Module.LEAD.value else Module.CONTACT,
        fields=read_fields(native, region),
        etag=etag_of(person),
        marker=client_data(native, MARKER_KEY),
        modified=modified_of(person),
        containers=groups_of(native),
        native=native,
    )
