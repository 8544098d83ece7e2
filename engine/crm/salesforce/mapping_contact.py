"""Contacts and leads: sObject rows to canonical fields and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from engine.crm.salesforce.mapping import Context, Row, Unwritable
from engine.crm.salesforce.regions import region_of
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.modules import Module

#: What Salesforce's own tools put where a lead's company must be and is not known.
NO_COMPANY = "[not provided]"

_COMMON = {
    "prefix": "Salutation",
    "given": "FirstName",
    "middle": "MiddleName",
    "family": "LastName",
    "suffix": "Suffix",
    "title": "Title",
    "notes": "Description",
}
_CONTACT_TEXTS = {**_COMMON, "department": "Department"}
_LEAD_TEXTS = {**_COMMON, "company": "Company", "website": "Website"}
_CONTACT_PHONES = {
    "phone_work": "Phone",
    "phone_mobile": "MobilePhone",
    "phone_home": "HomePhone",
    "phone_other": "OtherPhone",
    "fax": "Fax",
}
_LEAD_PHONES = {"phone_work": "Phone", "phone_mobile": "MobilePhone", "fax": "Fax"}
_CONTACT_ADDRESSES = {"address_work": "Mailing", "address_other": "Other"}
_LEAD_ADDRESSES = {"address_work": ""}
_PARTS = {"street": "Street", "city": "City", "region": "State", "postcode": "PostalCode", "country": "Country"}


def _address_columns(prefixes: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(prefix + part for prefix in prefixes.values() for part in _PARTS.values())


CONTACT_SELECT = (
    *_CONTACT_TEXTS.values(), "Email", *_CONTACT_PHONES.values(), *_address_columns(_CONTACT_ADDRESSES), "Birthdate",
    "Account.Name",
)  # fmt: skip
LEAD_SELECT = (
    *_LEAD_TEXTS.values(), "Email", *_LEAD_PHONES.values(), *_address_columns(_LEAD_ADDRESSES), "IsConverted",
)  # fmt: skip

CONTACT_WRITABLE = frozenset({*_CONTACT_TEXTS, "email", *_CONTACT_PHONES, *_CONTACT_ADDRESSES, "birthday"})
#: The company of a contact is its account's name; accounts belong to the CRM alone.
CONTACT_FIELDS = CONTACT_WRITABLE | {"company"}
LEAD_FIELDS = LEAD_WRITABLE = frozenset({*_LEAD_TEXTS, "email", *_LEAD_PHONES, *_LEAD_ADDRESSES})

_FULL_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")


def read_contact(row: Row, context: Context) -> tuple[Module, dict[str, Any]]:
    """The canonical fields of a contact's row."""
    fields = _read(row, context, _CONTACT_TEXTS, _CONTACT_PHONES, _CONTACT_ADDRESSES)
    account = row.get("Account")
    fields["company"] = canonical.text(account.get("Name")) if account else None
    fields["birthday"] = row.get("Birthdate")
    return Module.CONTACT, canonical.compact(fields)


def read_lead(row: Row, context: Context) -> tuple[Module, dict[str, Any]]:
    """The canonical fields of a lead's row."""
    fields = _read(row, context, _LEAD_TEXTS, _LEAD_PHONES, _LEAD_ADDRESSES)
    if fields["company"] == NO_COMPANY:
        fields["company"] = None
    return Module.LEAD, canonical.compact(fields)


def write_contact(module: Module, fields: Fields, names: Collection[str], create: bool) -> Row:
    """The body that gives a contact the canonical ``fields``, as far as they are among ``names``.

    Raises:
        Unwritable: Salesforce requires a family name.
    """
    body = _write(fields, names, _CONTACT_TEXTS, _CONTACT_PHONES, _CONTACT_ADDRESSES)
    if "birthday" in names:
        birthday = fields.get("birthday")
        if birthday is None or _FULL_DATE.match(birthday):  # Birthdate cannot hold a day without its year
            body["Birthdate"] = birthday
    return body


def write_lead(module: Module, fields: Fields, names: Collection[str], create: bool) -> Row:
    """The body that gives a lead the canonical ``fields``, as far as they are among ``names``.

    Raises:
        Unwritable: Salesforce requires a family name.
    """
    body = _write(fields, names, _LEAD_TEXTS, _LEAD_PHONES, _LEAD_ADDRESSES)
    if (create or "Company" in body) and not body.get("Company"):
        body["Company"] = NO_COMPANY
    return body


def _read(
    row: Row,
    context: Context,
    texts: Mapping[str, str],
    phones: Mapping[str, str],
    addresses: Mapping[str, str],
) -> dict[str, Any]:
    fields: dict[str, Any] = {name: canonical.text(row.get(column)) for name, column in texts.items()}
    fields["email"] = canonical.email(row.get("Email"))
    country = None
    for name, prefix in addresses.items():
        value = canonical.address(**{part: row.get(prefix + column) for part, column in _PARTS.items()})
        fields[name] = value
        country = country or (value or {}).get("country")
    region = region_of(country) or context.region or None
    for name, column in phones.items():
        value = row.get(column)
        fields[name] = canonical.phone(value, region) if value else None
    return fields


def _write(
    fields: Fields,
    names: Collection[str],
    texts: Mapping[str, str],
    phones: Mapping[str, str],
    addresses: Mapping[str, str],
) -> Row:
    body: Row = {}
    for name in names:
        value = fields.get(name)
        if name == "family" and not value:
            raise Unwritable("Salesforce requires a last name, and this item has none")
        if name in texts:
            body[texts[name]] = value
        elif name == "email":
            body["Email"] = value
        elif name in phones:
            body[phones[name]] = value["raw"] if value else None
        elif name in addresses:
            for part, column in _PARTS.items():
                body[addresses[name] + column] = (value or {}).get(part)
    return body
