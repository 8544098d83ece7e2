"""Users from a CSV file: columns are recognised, every row is checked by the rules of the configuration file, nothing is stored here.

Encodings: UTF-8 with or without a mark, UTF-16 with a mark, else Windows-1252 (what spreadsheets save). Delimiters: comma,
semicolon, tab or bar, found in the line of headings. An empty cell leaves the value as it is (for a new user: the default); a
lone ``-`` clears it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from engine.model.config import USER, check_users
from engine.model.config_problems import Collector, shown
from engine.model.policy import TargetUser

#: Rows that a file may have.
MOST_ROWS = 100_000

#: Fields that a column can be, in the order of export.
FIELDS: tuple[str, ...] = tuple(setting.name for setting in USER)

#: Headings by field, without case, blanks and signs. Pega's names among them (domain.md 6.2).
_HEADINGS: Mapping[str, tuple[str, ...]] = {
    "email": (
        "email",
        "emailaddress",
        "mail",
        "address",
        "operator",
        "operatorid",
        "user",
        "username",
        "upn",
        "login",
    ),
    "policy": ("policy", "syncpolicy", "policyname"),
    "crm_user": ("crmuser", "crmuserid", "userid", "salesforceid", "crmid"),
    "zone": ("zone", "timezone", "tz"),
    "calendar_sync": (
        "calendarsync",
        "calendar",
        "synccalendar",
        "calendarsynchronization",
        "calendarintegration",
    ),
    "exchange_email": (
        "exchangeemail",
        "exchangemail",
        "exchangeaddress",
        "exchange",
        "mailbox",
        "mailboxaddress",
    ),
}

_TRUE = frozenset({"true", "yes", "y", "1", "on", "x", "wahr", "ja", "oui", "vrai", "si", "sí"})
_FALSE = frozenset({"false", "no", "n", "0", "off", "falsch", "nein", "non", "faux"})

_CLEAR = "-"


class NotReadable(Exception):
    """The file is no table of users at all; the text says why."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A cell that cannot be used. ``line`` counts from 1, the line of headings included; ``field`` is a field of a user."""

    line: int
    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """A user whose values change: field to (before, after)."""

    line: int
    user: TargetUser
    fields: Mapping[str, tuple[object, object]]


@dataclass(frozen=True, slots=True)
class UserImport:
    """What a file would do.

    Attributes:
        adds: users that are not there yet, with their lines.
        changes: users of whom something changes.
        same: how many rows change nothing.
        rejects: cells that cannot be used; while there is one, nothing may be stored.
        columns: heading by field, as recognised or mapped.
        ignored: headings that mean nothing to us.
        encoding, delimiter: as found.
    """

    adds: tuple[tuple[int, TargetUser], ...]
    changes: tuple[Change, ...]
    same: int
    rejects: tuple[Reject, ...]
    columns: Mapping[str, str]
    ignored: tuple[str, ...]
    encoding: str
    delimiter: str

    @property
    def users(self) -> tuple[TargetUser, ...]:
        """Who has to be stored."""
        return (*(user for _, user in self.adds), *(change.user for change in self.changes))


def read_users(
    content: bytes,
    present: Iterable[TargetUser],
    policies: Sequence[str],
    *,
    mapping: Mapping[str, str] | None = None,
    policy: str = "",
) -> UserImport:
    """What a file would do to the users that are there.

    Args:
        content: of the file.
        present: all users as they are.
        policies: names of all policies.
        mapping: heading by field where it is not to be guessed; an empty heading: no column.
        policy: of rows that name none; empty: the only one, or that which the user has.

    Raises:
        NotReadable: there is no table in it, or a field is mapped to a column that it has not.
    """
    text, encoding = _decoded(content)
    table, delimiter = _table(text)
    columns, ignored = _columns(table[0][1], mapping or {})
    there = {user.email: user for user in present}
    if not policy and len(policies) == 1:
        policy = policies[0]
    rejects: list[Reject] = []
    rows: dict[str, tuple[int, dict[str, object]]] = {}
    for line, cells in table[1:]:
        _row(line, cells, table[0][1], columns, there, policy, rows, rejects)
    return _checked(rows, there, policies, rejects, columns, ignored, encoding, delimiter)


def _decoded(content: bytes) -> tuple[str, str]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif content.startswith(codecs.BOM_UTF8):
        encoding = "utf-8-sig"
    else:
        encoding = "utf-8"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise NotReadable(f"is not {encoding} text, although it says so") from None
        encoding = "cp1252"
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            raise NotReadable("is neither UTF-8 nor Windows-1252 text; save it as CSV UTF-8") from None
    if "\0" in text:
        raise NotReadable("is no text; a spreadsheet must be saved as CSV first")
    return text, {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252"}[
        encoding
    ]


def _table(text: str) -> tuple[list[tuple[int, list[str]]], str]:
    """Lines with their cells; empty lines are left out. The first is that of headings."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t|", key=lambda sign: first.count(sign) if first.count(sign) else -1)
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((begins, cells))
            begins = reader.line_num + 1
            if len(found) > MOST_ROWS + 1:
                raise NotReadable(f"has more than {MOST_ROWS:,} rows")
    except csv.Error as error:
        raise NotReadable(f"line {begins}: {error}") from None
    if len(found) < 2:
        raise NotReadable("has no rows below its headings" if found else "is empty")
    return found, delimiter


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", heading.lower())


def _columns(headings: list[str], mapping: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Heading by field."""
    given = [heading.strip() for heading in headings]
    for name in mapping:
        if name not in FIELDS:
            raise NotReadable(f"there is no field {name!r} of a user; fields are: {', '.join(FIELDS)}")
    columns: dict[str, str] = {}
    for name, heading in mapping.items():
        if not heading:
            continue
        match = next((one for one in given if one.casefold() == heading.strip().casefold()), None)
        if match is None:
            raise NotReadable(f"has no column {heading!r} for {name}; columns are: {', '.join(given)}")
        columns[name] = match
    free = [heading for heading in given if heading and heading not in columns.values()]
    for name in FIELDS:
        if name in mapping:
            continue
        for known in _HEADINGS[name]:
            fitting = [heading for heading in free if _plain(heading) == known]
            if fitting:
                columns[name] = fitting[0]
                free.remove(fitting[0])
                break
    twice = {heading for heading in columns.values() if given.count(heading) > 1}
    if twice:
        raise NotReadable(f"has the column {sorted(twice)[0]!r} twice")
    if "email" not in columns:
        raise NotReadable(
            f"has no column that looks like an e-mail address; name it: --map email=COLUMN. Columns are: {', '.join(given)}"
        )
    return {name: columns[name] for name in FIELDS if name in columns}, tuple(free)


def _row(
    line: int,
    cells: list[str],
    headings: list[str],
    columns: Mapping[str, str],
    there: Mapping[str, TargetUser],
    policy: str,
    rows: dict[str, tuple[int, dict[str, object]]],
    rejects: list[Reject],
) -> None:
    """One row as the document of a user, or its rejects."""
    if len(cells) > len(headings) and any(cell.strip() for cell in cells[len(headings) :]):
        count = f"{len(cells)} cells under {len(headings)} headings"
        rejects.append(Reject(line, "", "", f"has {count}; a cell with the delimiter in it needs quotes"))
        return
    named = {heading.strip(): cell.strip() for heading, cell in zip(headings, cells, strict=False)}
    values = {name: named.get(heading, "") for name, heading in columns.items()}
    address = values["email"].lower()
    if not address or address == _CLEAR:
        rejects.append(Reject(line, "email", values["email"], "must be given"))
        return
    if address in rows:
        rejects.append(Reject(line, "email", address, f"the same address as in line {rows[address][0]}"))
        return
    known = there.get(address)
    document: dict[str, object] = _document(known) if known is not None else {}
    document["email"] = values["email"]
    for name, cell in values.items():
        if name == "email" or not cell:
            continue
        if name == "calendar_sync":
            word = cell.casefold()
            if word not in _TRUE | _FALSE:
                rejects.append(Reject(line, name, cell, "is neither true nor false (yes, no, 1, 0, x)"))
                continue
            document[name] = word in _TRUE
        elif cell == _CLEAR:
            document.pop(name, None)
        else:
            document[name] = cell
    if policy:
        document.setdefault("policy", policy)
    rows[address] = (line, document)


def _document(user: TargetUser) -> dict[str, object]:
    usual = {field.name: field.default for field in fields(TargetUser)}
    return {name: value for name in FIELDS if (value := getattr(user, name)) != usual[name]}


_PLACE = re.compile(r"users\[(\d+)\](?:\.(\w+))?")


def _checked(
    rows: Mapping[str, tuple[int, dict[str, object]]],
    there: Mapping[str, TargetUser],
    policies: Sequence[str],
    rejects: list[Reject],
    columns: Mapping[str, str],
    ignored: tuple[str, ...],
    encoding: str,
    delimiter: str,
) -> UserImport:
    """All users as they would be, through the one validation; what is wrong goes back to its line."""
    others = [user for user in there.values() if user.email not in rows]
    lines = [line for line, _ in rows.values()]
    documents: list[Mapping[str, Any]] = [_document(user) for user in others]
    documents += [document for _, document in rows.values()]
    problems = Collector()
    users = check_users(documents, policies, problems)
    for problem in problems.problems:
        match = _PLACE.match(problem.where)
        index = int(match.group(1)) - len(others) if match else -1
        if index < 0:
            continue  # a user that is stored already and is not in the file
        field = (match.group(2) or "") if match else ""
        reason = problem.message + (f"; allowed: {problem.allowed}" if problem.allowed else "")
        reason = _PLACE.sub(lambda found: _where(int(found.group(1)), others, lines), reason)
        rejects.append(Reject(lines[index], field, problem.value, reason))
    adds: list[tuple[int, TargetUser]] = []
    changes: list[Change] = []
    same = 0
    for user in users:
        if user.email not in rows:
            continue
        line, before = rows[user.email][0], there.get(user.email)
        if before is None:
            adds.append((line, user))
            continue
        changed = {
            name: (getattr(before, name), getattr(user, name))
            for name in FIELDS
            if getattr(before, name) != getattr(user, name)
        }
        if changed:
            changes.append(Change(line, user, changed))
        else:
            same += 1
    rejects.sort(key=lambda reject: reject.line)
    return UserImport(
        tuple(adds), tuple(changes), same, tuple(rejects), dict(columns), ignored, encoding, delimiter
    )


def _where(index: int, others: Sequence[TargetUser], lines: Sequence[int]) -> str:
    if index < len(others):
        return f"the user {others[index].email}"
    return f"line {lines[index - len(others)]}"


def write_users(users: Iterable[TargetUser]) -> str:
    """A CSV file of all fields, which ``read_users`` takes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(FIELDS)
    for user in users:
        writer.writerow([_cell(getattr(user, name)) for name in FIELDS])
    return out.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def shown_value(value: object) -> str:
    """A value in a preview."""
    if value == "":
        return "(empty)"
    return _cell(value) if isinstance(value, bool) else shown(value).strip("'")
