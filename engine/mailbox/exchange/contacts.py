"""Exchange's contact and canonical fields: read into named slots, written slot by slot, so that all others survive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from engine.mailbox.exchange import props, zones
from engine.mailbox.exchange.calendar_write import categories
from engine.mailbox.exchange.xml import T, children, element, field, indexed, leaf, text_of, time_of
from engine.model import canonical
from engine.model.canonical import ADDRESS_PARTS, Fields
from engine.model.modules import Module
from engine.model.port import Account, Observation, Write

ITEM = "t:Contact"

#: Canonical field to the property of that meaning.
_TEXTS = {
    "given": "GivenName",
    "middle": "MiddleName",
    "company": "CompanyName",
    "website": "BusinessHomePage",
    "department": "Department",
    "suffix": "Generation",
    "title": "JobTitle",
    "family": "Surname",
}
_EMAILS = {"email": "EmailAddress1", "email_2": "EmailAddress2", "email_3": "EmailAddress3"}
_PHONES = {
    "phone_work": "BusinessPhone",
    "phone_mobile": "MobilePhone",
    "phone_home": "HomePhone",
    "phone_other": "OtherTelephone",
    "fax": "BusinessFax",
}
_ADDRESSES = {"address_work": "Business", "address_other": "Other"}
_PARTS = {
    "street": "Street",
    "city": "City",
    "region": "State",
    "country": "CountryOrRegion",
    "postcode": "PostalCode",
}

URIS = (
    "item:Subject",
    "item:Body",
    "item:Categories",
    "item:LastModifiedTime",
    *(f"contacts:{name}" for name in _TEXTS.values()),
    "contacts:Birthday",
)

#: Apple's and ActiveSync's year for a birthday whose year nobody knows.
NO_YEAR = 1604

#: Exchange keeps birthdays as moments; noon-ish in UTC is the same day from UTC-11 to UTC+12.
_BIRTHDAY = "{:%Y-%m-%d}T11:59:00Z"

#: Elements of a new contact in the order that types.xsd demands.
_ORDER = (
    "Body",
    "Categories",
    "ExtendedProperty",
    "FileAsMapping",
    "DisplayName",
    "GivenName",
    "MiddleName",
    "CompanyName",
    "EmailAddresses",
    "PhysicalAddresses",
    "PhoneNumbers",
    "Birthday",
    "BusinessHomePage",
    "Department",
    "Generation",
    "JobTitle",
    "Surname",
)


def shape() -> str:
    """What of a contact is asked for."""
    paths = [
        *(indexed("contacts:EmailAddress", key) for key in _EMAILS.values()),
        *(indexed("contacts:PhoneNumber", key) for key in _PHONES.values()),
        *(
            indexed(f"contacts:PhysicalAddress:{part}", key)
            for key in _ADDRESSES.values()
            for part in _PARTS.values()
        ),
        props.tagged(props.PREFIX_TAG),
    ]
    return props.shape(URIS, paths)


# -- reading -----------------------------------------------------------------------------------------------


def observe(node: Any, account: Account, region: str) -> Observation | None:
    """One contact; ``None`` for what is none (a distribution list).

    The module is what our own property says, else contact: that a category makes it a lead is for the engine to say.
    """
    identity, version = props.id_of(node)
    if not identity or node.tag != f"{T}Contact":
        return None
    extended = props.extended_of(node)
    kind = extended.get(props.KIND, "")
    names = props.categories_of(node)
    native: dict[str, Any] = {"kind": kind}
    if names:
        native["categories"] = list(names)
    return Observation(
        remote_id=identity,
        module=Module.LEAD if kind == Module.LEAD.value else Module.CONTACT,
        fields=canonical.compact(fields_of(node, extended, account, region)),
        etag=version or None,
        marker=extended.get(props.KEY) or None,
        modified=props.modified_of(node),
        containers=tuple(props.container(name) for name in names),
        native=native,
    )


def fields_of(node: Any, extended: Mapping[str, str], account: Account, region: str) -> dict[str, Any]:
    """Canonical fields of a contact."""
    fields: dict[str, Any] = {name: canonical.text(text_of(node, theirs)) for name, theirs in _TEXTS.items()}
    fields["prefix"] = canonical.text(extended.get(props.PREFIX_TAG))
    fields["notes"] = canonical.text(text_of(node, "Body"))
    emails = _entries(node, "EmailAddresses")
    for slot, key in _EMAILS.items():
        entry = emails.get(key)
        # An address of the organisation's own directory ("EX", /o=...) is nobody's e-mail outside of it.
        if entry is not None and entry.get("RoutingType") in {None, "", "SMTP"}:
            fields[slot] = canonical.email(entry.text)
    phones = _entries(node, "PhoneNumbers")
    for slot, key in _PHONES.items():
        if key in phones:
            fields[slot] = canonical.phone(phones[key].text, region or None)
    addresses = _entries(node, "PhysicalAddresses")
    for slot, key in _ADDRESSES.items():
        if key in addresses:
            entry = addresses[key]
            fields[slot] = canonical.address(
                **{name: text_of(entry, theirs) for name, theirs in _PARTS.items()}
            )
    if not any(fields.get(name) for name in ("given", "family", "company")):
        fields["given"] = canonical.text(text_of(node, "Subject"))
    fields["birthday"] = birthday_of(text_of(node, "Birthday"), account)
    return fields


def _entries(node: Any, name: str) -> dict[str, Any]:
    return {str(one.get("Key")): one for one in children(node, name)}


def birthday_of(value: str, account: Account) -> str | None:
    """The day in Exchange's moment; ``--MM-DD`` where its year means none."""
    at = time_of(value) if value else None
    if at is None:
        return None
    day = at.date()
    if (at.hour, at.minute) != (11, 59):
        # Outlook writes midnight where the person is.
        day = (at.astimezone(zones.info(account.zone)) + timedelta(hours=1)).date()
    return f"--{day:%m-%d}" if day.year == NO_YEAR else day.isoformat()


# -- writing -----------------------------------------------------------------------------------------------


def create(write: Write, account: Account) -> str:
    """The ``t:Contact`` of a create."""
    fields = write.fields
    parts: dict[str, str] = {
        theirs: leaf(f"t:{theirs}", fields[name]) for name, theirs in _TEXTS.items() if fields.get(name)
    }
    if fields.get("notes"):
        parts["Body"] = leaf("t:Body", fields["notes"], BodyType="Text")
    parts["Categories"] = categories(props.named(write.containers)) or ""
    parts["ExtendedProperty"] = props.marks(write.key, write.module.value)
    if fields.get("prefix"):
        parts["ExtendedProperty"] += props.extended(props.tagged(props.PREFIX_TAG), fields["prefix"])
    parts["FileAsMapping"] = leaf("t:FileAsMapping", "LastCommaFirst")
    parts["DisplayName"] = leaf("t:DisplayName", canonical.display_name(Module.CONTACT, fields))
    for name, tag, slots, text in (
        ("EmailAddresses", "t:EmailAddresses", _EMAILS, _email),
        ("PhoneNumbers", "t:PhoneNumbers", _PHONES, _phone),
    ):
        entries = [
            leaf("t:Entry", text(fields[slot]), Key=key) for slot, key in slots.items() if fields.get(slot)
        ]
        if entries:
            parts[name] = element(tag, "".join(entries))
    homes = [
        element("t:Entry", _address(fields[slot]), Key=key)
        for slot, key in _ADDRESSES.items()
        if fields.get(slot)
    ]
    if homes:
        parts["PhysicalAddresses"] = element("t:PhysicalAddresses", "".join(homes))
    if fields.get("birthday"):
        parts["Birthday"] = leaf("t:Birthday", _birthday(fields["birthday"]))
    return element(ITEM, "".join(parts.get(name, "") for name in _ORDER))


def changes(write: Write, account: Account) -> str:
    """The field changes of an update: the slots that the patch names, each by its own path."""
    out: list[str] = []
    source: Fields = {**write.fields, **write.patch}
    for name in sorted(write.patch):
        value = write.patch[name]
        if name in _TEXTS:
            theirs = _TEXTS[name]
            out.append(_plain(f"contacts:{theirs}", f"t:{theirs}", value))
        elif name == "prefix":
            path = props.tagged(props.PREFIX_TAG)
            out.append(_change(path, element(ITEM, props.extended(path, value)) if value else None))
        elif name == "notes":
            body = element(ITEM, leaf("t:Body", value, BodyType="Text")) if value else None
            out.append(_change(field("item:Body"), body))
        elif name == "birthday":
            out.append(_plain("contacts:Birthday", "t:Birthday", _birthday(value) if value else None))
        elif name in _EMAILS:
            out.append(
                _entry("contacts:EmailAddress", "EmailAddresses", _EMAILS[name], value and _email(value))
            )
        elif name in _PHONES:
            out.append(_entry("contacts:PhoneNumber", "PhoneNumbers", _PHONES[name], value and _phone(value)))
        elif name in _ADDRESSES:
            out += [
                _address_part(_ADDRESSES[name], _PARTS[part], (value or {}).get(part)) for part in ADDRESS_PARTS
            ]
    if set(write.patch) & {"given", "family", "company", "email"}:
        shown = canonical.display_name(Module.CONTACT, canonical.compact(source))
        out.append(_plain("contacts:DisplayName", "t:DisplayName", shown))
    native = write.native or {}
    if native.get("kind", "") != write.module.value and write.containers:
        held = [str(name) for name in native.get("categories") or ()]
        wanted = [name for name in props.named(write.containers) if name not in held]
        if wanted:
            both = categories([*held, *wanted])
            out.append(_change(field("item:Categories"), element(ITEM, both or "")))
        mark = props.own(props.KIND)
        out.append(_change(mark, element(ITEM, props.extended(mark, write.module.value))))
    return "".join(out)


def _change(path: str, item: str | None) -> str:
    return element("t:DeleteItemField", path) if item is None else element("t:SetItemField", path + item)


def _plain(uri: str, tag: str, value: Any) -> str:
    return _change(field(uri), element(ITEM, leaf(tag, value)) if value else None)


def _entry(uri: str, group: str, key: str, value: Any) -> str:
    inner = element(f"t:{group}", leaf("t:Entry", value, Key=key)) if value else ""
    return _change(indexed(uri, key), element(ITEM, inner) if value else None)


def _address_part(key: str, part: str, value: Any) -> str:
    path = indexed(f"contacts:PhysicalAddress:{part}", key)
    if not value:
        return _change(path, None)
    entry = element("t:Entry", leaf(f"t:{part}", value), Key=key)
    return _change(path, element(ITEM, element("t:PhysicalAddresses", entry)))


def _address(value: Mapping[str, Any]) -> str:
    return "".join(leaf(f"t:{theirs}", value[name]) for name, theirs in _PARTS.items() if value.get(name))


def _email(value: Any) -> str:
    return str(value)


def _phone(value: Mapping[str, Any]) -> str:
    return str(value["raw"])


def _birthday(value: str) -> str:
    text = f"{NO_YEAR}-{value[2:]}" if value.startswith("--") else value
    # 1604 is a leap year, so that 29 February passes without a year.
    return _BIRTHDAY.format(date.fromisoformat(text))
