"""Canonical fields written onto a Google contact: only the entry of a slot changes, everything else stays as it was.

An update of a person replaces whole repeated fields ("all fields specified in the update mask will be replaced").
The new list is therefore built from the entries that the contact has: their order, types, labels and unknown
attributes survive, so that a pager number or a custom label is never lost (failure case 22).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from engine.mailbox.google import people_read as read
from engine.model.canonical import FIELDS, Kind, same
from engine.model.modules import Module
from engine.model.port import Write

Entries = list[dict[str, Any]]

MY_CONTACTS = "contactGroups/myContacts"

_PHONE_TYPE_OF_NEW = {
    "phone_work": "work",
    "phone_mobile": "mobile",
    "phone_home": "home",
    "phone_other": "other",
    "fax": "workFax",
}
_EMAIL_TYPE_OF_NEW = {"email": "work", "email_2": "other", "email_3": "other"}
_ADDRESS_TYPE_OF_NEW = {"address_work": "work", "address_other": "other"}

# What Google derives from the parts. It must go when a part changes, or it would contradict it.
_DERIVED_NAME = ("displayName", "displayNameLastFirst", "unstructuredName")
_DERIVED_ADDRESS = ("formattedValue", "countryCode")

#: Attributes of an organization that say nothing by themselves: an entry that has only these is dropped.
_EMPTY_ORGANIZATION = frozenset({"type", "current", "metadata"})


def _replaced(entries: Entries, index: int | None, entry: dict[str, Any] | None) -> Entries:
    """The list with one entry replaced, added (``index`` None) or dropped (``entry`` None)."""
    if index is None:
        return [*entries, entry] if entry else entries
    return [*entries[:index], *([entry] if entry else []), *entries[index + 1 :]]


def _without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


def _set_parts(entry: dict[str, Any], parts: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    """``entry`` with the named parts set; an empty part is left out."""
    changed = dict(entry)
    for name, theirs in parts.items():
        if name not in values:
            continue
        if values[name]:
            changed[theirs] = values[name]
        else:
            changed.pop(theirs, None)
    return changed


def _names(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    old = entries[0] if entries else {}
    if not any(old.get(theirs) for theirs in read.NAME_PARTS.values()) and "given" not in patch:
        # A name that is one free text was read as the given name; it must survive a patch of another part.
        patch = {**patch, "given": old.get("unstructuredName") or old.get("displayName")}
    new = _set_parts(_without(old, *_DERIVED_NAME), read.NAME_PARTS, patch)
    return [new] if any(key != "metadata" for key in new) else []


def _valued(
    entries: Entries,
    patch: Mapping[str, Any],
    slots: Iterable[str],
    find: Callable[[Sequence[read.Entry], str], int | None],
    new_types: Mapping[str, str],
    text_of: Callable[[Any], str],
) -> Entries:
    """Patch a repeated field whose entries are ``{"value", "type"}``.

    All slots are located before the first change: dropping one address would otherwise move the others up.
    """
    places = {slot: find(entries, slot) for slot in slots if slot in patch}
    result: list[dict[str, Any] | None] = list(entries)
    for slot, index in places.items():
        value = patch[slot]
        if index is None:
            if value:
                result.append({"value": text_of(value), "type": new_types[slot]})
        elif value:
            result[index] = {**_without(entries[index], "canonicalForm"), "value": text_of(value)}
        else:
            result[index] = None
    return [entry for entry in result if entry is not None]


def _emails(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    return _valued(entries, patch, read.EMAIL_SLOTS, read.email_index, _EMAIL_TYPE_OF_NEW, str)


def _phones(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    return _valued(
        entries, patch, read.PHONE_TYPES, read.phone_index, _PHONE_TYPE_OF_NEW, lambda value: str(value["raw"])
    )


def _addresses(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    places = {
        slot: read.address_index(entries, slot) for slot in ("address_work", "address_other") if slot in patch
    }
    result: list[dict[str, Any] | None] = list(entries)
    for slot, index in places.items():
        value = patch[slot]
        if index is None:
            if value:
                result.append(_set_parts({"type": _ADDRESS_TYPE_OF_NEW[slot]}, read.ADDRESS_PARTS, value))
        elif value:
            whole = dict.fromkeys(read.ADDRESS_PARTS) | value
            result[index] = _set_parts(_without(entries[index], *_DERIVED_ADDRESS), read.ADDRESS_PARTS, whole)
        else:
            result[index] = None
    return [entry for entry in result if entry is not None]


def _organizations(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    index = read.organization_index(entries)
    old = {"type": "work"} if index is None else entries[index]
    new = _set_parts(old, read.ORGANIZATION_PARTS, patch)
    return _replaced(entries, index, new if set(new) - _EMPTY_ORGANIZATION else None)


def _urls(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    index = read.url_index(entries)
    value = patch["website"]
    if not value:
        return entries if index is None else _replaced(entries, index, None)
    old = {"type": "work"} if index is None else entries[index]
    return _replaced(entries, index, {**old, "value": value})


def _biographies(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    value = patch["notes"]
    if not value:
        return []
    return [{**(entries[0] if entries else {}), "value": value, "contentType": "TEXT_PLAIN"}]


def _birthdays(entries: Entries, patch: Mapping[str, Any]) -> Entries:
    value = patch["birthday"]
    if not value:
        return []
    yearless = value.startswith("--")
    year, month, day = ("0", *value[2:].split("-")) if yearless else value.split("-")
    parts = {"month": int(month), "day": int(day)} | ({} if yearless else {"year": int(year)})
    return [{**_without(entries[0] if entries else {}, "text", "date"), "date": parts}]


#: Field of a person, the canonical fields that live in it, and how they are patched.
_WRITERS: tuple[tuple[str, frozenset[str], Callable[[Entries, Mapping[str, Any]], Entries]], ...] = (
    ("names", frozenset(read.NAME_PARTS), _names),
    ("emailAddresses", frozenset(read.EMAIL_SLOTS), _emails),
    ("phoneNumbers", frozenset(read.PHONE_TYPES), _phones),
    ("addresses", frozenset({"address_work", "address_other"}), _addresses),
    ("organizations", frozenset(read.ORGANIZATION_PARTS), _organizations),
    ("birthdays", frozenset({"birthday"}), _birthdays),
    ("urls", frozenset({"website"}), _urls),
    ("biographies", frozenset({"notes"}), _biographies),
)


def _membership(group: str) -> dict[str, Any]:
    return {"contactGroupMembership": {"contactGroupResourceName": group}}


def _missing_groups(native: Mapping[str, Any], containers: Iterable[str]) -> list[str]:
    present = set(read.groups_of(native))
    return [name for name in containers if name.startswith("contactGroups/") and name not in present]


def changed_fields(write: Write, native: Mapping[str, Any], region: str) -> dict[str, Entries]:
    """The fields of a person that an update must replace, with their new entries; empty when nothing is to be done.

    Canonical fields that the contact already shows in the same meaning are left as the person wrote them. Groups in
    ``write.containers`` that the contact is not in are added; none is taken away.

    Args:
        write: an update; ``write.patch`` is applied.
        native: ``Observation.native`` of the version that ``write.etag`` names.
        region: ISO country in which numbers without ``+`` are read.
    """
    shown = read.read_fields(native, region)
    kinds = FIELDS[Module.CONTACT]
    patch = {
        name: value
        for name, value in write.patch.items()
        if name in kinds and not _nothing_to_do(kinds[name].kind, shown.get(name), value)
    }
    changed: dict[str, Entries] = {}
    for field, names, writer in _WRITERS:
        part = {name: patch[name] for name in names if name in patch}
        if part:
            changed[field] = writer([dict(entry) for entry in native.get(field) or ()], part)
    if missing := _missing_groups(native, write.containers):
        changed["memberships"] = [*(native.get("memberships") or ()), *map(_membership, missing)]
    return changed


def _nothing_to_do(kind: Kind, shown: Any, wanted: Any) -> bool:
    """Whether the contact shows what is wanted. An e-mail's case and a phone's spelling are worth a write: a person
    sees them; the engine does not patch them by itself."""
    if kind in (Kind.EMAIL, Kind.PHONE):
        return bool(
            shown == wanted or (kind is Kind.PHONE and shown and wanted and shown["raw"] == wanted["raw"])
        )
    return same(kind, shown, wanted)


def new_person(write: Write) -> dict[str, Any]:
    """The body of a create: the whole item, its groups, and our marker in the invisible ``clientData``.

    Every contact that we make is also in "My contacts", or people would find it only in the group
    (a contact without any membership goes there by itself, one with a group does not).
    """
    fields = {name: value for name, value in write.fields.items() if value is not None}
    person: dict[str, Any] = {}
    for field, names, writer in _WRITERS:
        part = {name: fields[name] for name in names if name in fields}
        if part and (entries := writer([], part)):
            person[field] = entries
    groups = dict.fromkeys(name for name in write.containers if name.startswith("contactGroups/"))
    person["memberships"] = [_membership(group) for group in (*groups, MY_CONTACTS)]
    person["clientData"] = [
        {"key": read.MARKER_KEY, "value": write.key},
        {"key": read.KIND_KEY, "value": write.module.value},
    ]
    return person


def update_body(write: Write, native: Mapping[str, Any], changed: Mapping[str, Entries]) -> dict[str, Any]:
    """The person of an update: the replaced fields, and the version they are based on.

    A field that is in the mask and has no entries left is not sent, which clears it.
    """
    source: dict[str, Any] = {"type": "CONTACT", "etag": write.etag}
    if native.get("source"):
        source["id"] = native["source"]
    body: dict[str, Any] = {"resourceName": write.remote_id, "metadata": {"sources": [source]}}
    for field, entries in changed.items():
        if entries:
            body[field] = entries
    return body
