"""What an object and a field are, and the small vocabulary in which the objects are written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

#: Field types that are stored as text.
TEXTUAL = frozenset({"string", "textarea", "email", "phone", "url", "picklist", "id", "reference", "combobox"})


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field as ``describe`` tells it.

    Attributes:
        name: API name.
        type: API type (``string``, ``reference``, ``datetime`` ...).
        label: what people read.
        length: most characters of a text, 0 for others.
        nillable: whether it may be empty.
        createable: whether a create may name it.
        updateable: whether an update may name it.
        default: value of a new record that does not name it.
        refers: objects that a reference may point to.
        relation: name of the parent path (``Account`` for ``AccountId``).
        children: name of the child list on the parent (``Contacts``).
        values: picklist values.
        restricted: whether other picklist values are refused.
        external: external id, which ``upsert`` may match by.
        unique: no two records may have the same value.
        sensitive: ``unique`` and comparisons see case.
        stored: false for compound fields, which are put together when read.
        custom: brought by a package.
        scale: digits behind the point.
    """

    name: str
    type: str
    label: str
    length: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    default: str | int | bool | None = None
    refers: tuple[str, ...] = ()
    relation: str | None = None
    children: str | None = None
    values: tuple[str, ...] = ()
    restricted: bool = False
    external: bool = False
    unique: bool = False
    sensitive: bool = False
    stored: bool = True
    custom: bool = False
    scale: int = 0

    @property
    def required(self) -> bool:
        """Whether a create must name it."""
        return not self.nillable and self.createable and self.default is None and self.type != "boolean"

    @property
    def text(self) -> bool:
        """Whether it is stored as text that people or programs wrote."""
        return self.type in TEXTUAL


@dataclass(frozen=True)
class ObjectDef:
    """One object: its name, the first three characters of its ids, its fields, and the field people call its name."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: tuple[FieldDef, ...]
    name_field: str = "Name"
    writable: bool = True
    by_name: dict[str, FieldDef] = field(init=False)
    by_lower: dict[str, FieldDef] = field(init=False)
    relations: dict[str, FieldDef] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {each.name: each for each in self.fields})
        object.__setattr__(self, "by_lower", {each.name.lower(): each for each in self.fields})
        object.__setattr__(
            self,
            "relations",
            {each.relation.lower(): each for each in self.fields if each.relation is not None},
        )

    @cached_property
    def stored(self) -> tuple[FieldDef, ...]:
        """Fields that are columns of the table."""
        return tuple(each for each in self.fields if each.stored)

    @cached_property
    def uniques(self) -> tuple[FieldDef, ...]:
        """Fields that no two records may share."""
        return tuple(each for each in self.fields if each.unique)

    @cached_property
    def required(self) -> tuple[FieldDef, ...]:
        """Fields that no record may lack."""
        return tuple(each for each in self.stored if each.required)

    @cached_property
    def defaults(self) -> dict[str, str | int | None]:
        """The stored values of a record of which nothing was said; do not change it."""
        return {each.name: _stored_default(each) for each in self.stored}

    @cached_property
    def insert_sql(self) -> str:
        """The statement that stores a whole record, its arguments in the order of ``stored``."""
        names = ", ".join(each.name for each in self.stored)
        marks = ", ".join("?" * len(self.stored))
        return f"INSERT INTO {self.table} ({names}) VALUES ({marks})"  # noqa: S608

    @property
    def table(self) -> str:
        """The SQLite table of its records."""
        return f"sf_{self.name}"


def string(name: str, length: int = 255, label: str = "", **more: object) -> FieldDef:
    """A text of one line."""
    return _field(name, "string", label, length=length, **more)


def area(name: str, length: int = 32000, label: str = "", **more: object) -> FieldDef:
    """A text of several lines."""
    return _field(name, "textarea", label, length=length, **more)


def phone(name: str, label: str = "") -> FieldDef:
    """A phone number."""
    return _field(name, "phone", label, length=40)


def email(name: str, label: str = "", **more: object) -> FieldDef:
    """An e-mail address."""
    return _field(name, "email", label, length=80, **more)


def boolean(name: str, label: str = "", **more: object) -> FieldDef:
    """A check box; false unless told."""
    return _field(name, "boolean", label, nillable=False, **{"default": False, **more})


def pick(name: str, values: Sequence[str], label: str = "", **more: object) -> FieldDef:
    """A picklist."""
    return _field(name, "picklist", label, length=255, values=tuple(values), **more)


def ref(name: str, *targets: str, label: str = "", children: str | None = None, **more: object) -> FieldDef:
    """A lookup; the parent path is the field's name without ``Id``."""
    relation = name.removesuffix("Id")
    return _field(
        name, "reference", label, length=18, refers=targets, relation=relation, children=children, **more
    )


def plain(name: str, type_: str, label: str = "", **more: object) -> FieldDef:
    """A field of any other type (date, datetime, int, double, currency, percent, url)."""
    return _field(name, type_, label, **more)


def address(prefix: str) -> Iterator[FieldDef]:
    """The parts of an address and the compound field over them. ``prefix`` may be empty (Lead)."""
    label = f"{prefix} " if prefix else ""
    yield area(f"{prefix}Street", 255, f"{label}Street")
    yield string(f"{prefix}City", 40, f"{label}City")
    yield string(f"{prefix}State", 80, f"{label}State/Province")
    yield string(f"{prefix}PostalCode", 20, f"{label}Zip/Postal Code")
    yield string(f"{prefix}Country", 80, f"{label}Country")
    yield _field(
        f"{prefix}Address", "address", f"{label}Address", stored=False, createable=False, updateable=False
    )


def system() -> Iterator[FieldDef]:
    """The fields of every record that only the server writes."""
    read_only: dict[str, Any] = {"nillable": False, "createable": False, "updateable": False}
    yield plain("CreatedDate", "datetime", "Created Date", **read_only)
    yield ref("CreatedById", "User", label="Created By ID", **read_only)
    yield plain("LastModifiedDate", "datetime", "Last Modified Date", **read_only)
    yield ref("LastModifiedById", "User", label="Last Modified By ID", **read_only)
    yield plain("SystemModstamp", "datetime", "System Modstamp", **read_only)


def identity() -> Iterator[FieldDef]:
    """Id and the recycle bin's flag."""
    yield plain("Id", "id", "Record ID", length=18, nillable=False, createable=False, updateable=False)
    yield boolean("IsDeleted", "Deleted", createable=False, updateable=False)


def person(first: int = 40, last: int = 80) -> Iterator[FieldDef]:
    """The parts of a person's name and the compound field over them."""
    yield string("LastName", last, "Last Name", nillable=False)
    yield string("FirstName", first, "First Name")
    yield pick("Salutation", ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx."), "Salutation")
    yield string("MiddleName", 40, "Middle Name")
    yield string("Suffix", 40, "Suffix")
    yield string("Name", 121, "Full Name", nillable=False, createable=False, updateable=False)


def synced_key() -> FieldDef:
    """The external id that the connector's metadata package brings on every object that is synchronised."""
    return string(
        "Syncline_Key__c", 80, "Syncline Key", external=True, unique=True, sensitive=True, custom=True
    )


def build(
    name: str, label: str, plural: str, prefix: str, fields: Iterable[FieldDef], **more: str | bool
) -> ObjectDef:
    """An object with the system fields around its own."""
    return ObjectDef(name, label, plural, prefix, (*identity(), *fields, *system()), **more)  # type: ignore[arg-type]


def read_only(definition: FieldDef) -> FieldDef:
    """The same field, which only the server writes."""
    return replace(definition, createable=False, updateable=False)


def _stored_default(definition: FieldDef) -> str | int | None:
    if isinstance(definition.default, bool):
        return int(definition.default)
    return definition.default or None


def _field(name: str, type_: str, label: str, **more: object) -> FieldDef:
    return FieldDef(name, type_, label or _spaced(name), **more)  # type: ignore[arg-type]


def _spaced(name: str) -> str:
    out = ""
    for position, letter in enumerate(name.removesuffix("__c")):
        if position and letter.isupper() and not name[position - 1].isupper():
            out += " "
        out += letter
    return out.replace("_", " ").removesuffix(" Id") + (" ID" if name.endswith("Id") else "")
