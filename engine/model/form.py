"""Forms over the tables that read the configuration file: pages of fields, their texts, and what is wrong with them.

A form is a document (the JSON-able table that ``policy_to_doc`` writes, or the settings of a connection) seen as typed
texts by path. It knows no setting by name: a new setting, or a new kind of connection, needs no code here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.model.config import CRM_KINDS, ENABLED, MAILBOX_KINDS, check_ends, check_name
from engine.model.config_connections import KINDS, read_connection
from engine.model.config_jobs import JOB
from engine.model.config_policy import POLICY, policy_to_doc, read_policy
from engine.model.config_problems import Collector, Problem, join
from engine.model.config_sections import REQUIRED, ByModule, ByName, ListOf, Section, Setting
from engine.model.config_values import Kind, Refused
from engine.model.policy import Connection, Policy

Document = Mapping[str, Any]

#: Title of the page with the settings that stand in no section.
GENERAL = "General"

#: Words that are not written as in the file.
_NAMES = {"crm": "CRM", "url": "URL", "uri": "URI", "api": "API", "id": "id"}

#: What a form is of, by the word that ``texts`` and ``changed`` take for it.
_TABLES: Mapping[str, tuple[Setting, ...]] = {"": POLICY, "job": JOB, **KINDS}

_CHOOSES = {"crm": CRM_KINDS, "mailbox": MAILBOX_KINDS}


@dataclass(frozen=True, slots=True)
class FormField:
    """One field.

    Attributes:
        path: place in the document, with dots.
        label: for people.
        meaning: one sentence.
        allowed: what may be typed.
        default: what holds when nothing is typed, as it would be typed.
        choices: the words to choose from; empty where a text is typed.
        required: whether something must be typed.
        secret: names where a secret is kept; the secret itself is refused.
        offers: kinds of connection of which one is to be named; empty for other fields.
    """

    path: str
    label: str
    meaning: str
    allowed: str
    default: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    secret: bool = False
    offers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FormPage:
    """Some fields under a title."""

    title: str
    fields: tuple[FormField, ...]


@dataclass(frozen=True, slots=True)
class FormProblem:
    """What is wrong with a field; ``path`` is empty when it concerns the whole form."""

    path: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.message}; allowed: {self.allowed}" if self.allowed else self.message


# -- pages -----------------------------------------------------------------------------------------------


def policy_pages(document: Document) -> tuple[FormPage, ...]:
    """The form of a policy: one page for what stands in no section, and one for each section."""
    plain = [each for each in POLICY if not isinstance(each.kind, Section | ByModule)]
    pages = [FormPage(GENERAL, tuple(field for each in plain for field in _fields(each, each.name, "")))]
    for each in POLICY:
        if isinstance(each.kind, Section):
            inner = tuple(
                field
                for one in each.kind.settings
                for field in _fields(
                    one,
                    f"{each.name}.{one.name}",
                    "",
                    _found(document, f"{each.name}.{one.name}"),
                    getattr(each.default, one.name),
                )
            )
            pages.append(FormPage(_title(each.name), inner))
        elif isinstance(each.kind, ByModule):
            inner = tuple(_fields(each, each.name, "", None, each.default))
            pages.append(FormPage(_title(each.name), inner))
    return tuple(pages)


def connection_pages(kind: str) -> tuple[FormPage, ...]:
    """The form of a connection of a kind: how it is reached, then addresses and quotas that have good defaults."""
    every = [field for each in KINDS[kind] for field in _fields(each, each.name, "")]
    addresses = [one for one in every if not one.required and one.path.endswith(("_url", "_uri"))]
    quotas = [one for one in every if one.path.startswith("quota_")]
    rest = [one for one in every if one not in addresses and one not in quotas]
    titled = ((GENERAL, rest), ("Addresses", addresses), ("Quotas", quotas))
    return tuple(FormPage(title, tuple(some)) for title, some in titled if some)


def fields_of(settings: Iterable[Setting]) -> tuple[FormField, ...]:
    """The fields of some settings."""
    return tuple(field for each in settings for field in _fields(each, each.name, ""))


def _fields(
    setting: Setting, path: str, above: str, now: Any = None, default: Any = None
) -> Iterator[FormField]:
    kind = setting.kind
    default = setting.default if default is None else default
    words = _words(setting.name)
    label = f"{above}{words if words[:2].isupper() else words.lower()}" if above else words
    if isinstance(kind, Section):
        if kind.off:
            yield FormField(
                path, label, setting.meaning, "on or off", "on" if default else "off", choices=("on", "off")
            )
        if not kind.off or isinstance(now, Mapping):
            for each in kind.settings:
                inner = None if default in (None, False) else getattr(default, each.name)
                yield from _fields(each, f"{path}.{each.name}", f"{label}: ", None, inner)
    elif isinstance(kind, ByModule):
        for module in kind.modules:
            one = Setting(module.value, kind.kind, setting.meaning, default[module])
            yield from _fields(one, f"{path}.{module}", above, None, default[module])
    else:
        choices = kind.choices if isinstance(kind, Kind) else ()
        yield FormField(
            path,
            label,
            setting.meaning,
            _allowed(kind),
            "" if default is REQUIRED else _typed(kind, kind.write(default) if default is not None else None),
            ("on", "off") if choices == ("true", "false") else choices,
            setting.default is REQUIRED,
            path.endswith(("_file", "_env")) or (isinstance(kind, Kind) and kind.quiet),
            _CHOOSES.get(path, ()),
        )


def _allowed(kind: Kind | ListOf | ByName) -> str:
    if isinstance(kind, ByName):
        return f"{kind.names} with what holds for each, such as phone = crm, email = ask; {kind.kind.allowed}"
    if isinstance(kind, ListOf):
        return f"separated by commas: {kind.kind.allowed}"
    if isinstance(kind, Kind) and kind.choices == ("true", "false"):
        return "on or off"
    return kind.allowed


def _words(name: str) -> str:
    words = " ".join(_NAMES.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


_title = _words


# -- texts -----------------------------------------------------------------------------------------------


def texts(pages: Iterable[FormPage], document: Document, kind: str = "") -> dict[str, str]:
    """What stands in each field; empty where the document does not have it.

    Args:
        pages: of the form.
        document: of a policy, or the settings of a connection.
        kind: of the connection; empty for a policy.
    """
    return {field.path: _text(document, field.path, kind) for page in pages for field in page.fields}


def _text(document: Document, path: str, table: str) -> str:
    kind, found = _kind_of(path, table), _found(document, path)
    if isinstance(kind, Section):
        return "off" if found is False else "on" if found is not None else ""
    return "" if found is None else _typed(kind, found)


def changed(document: Document, path: str, typed: str, kind: str = "") -> dict[str, Any]:
    """The document with another text in a field; an empty text takes the setting out, so that its default holds.

    A text that is no value is kept as it is: checking the document tells what is wrong with it. For ``kind`` see
    ``texts``.
    """
    of = _kind_of(path, kind)
    new = copy.deepcopy(dict(document))
    *above, last = path.split(".")
    inside = new
    for name in above:
        if not isinstance(inside.get(name), dict):
            inside[name] = {}
        inside = inside[name]
    typed = typed.strip()
    if not typed:
        inside.pop(last, None)
    elif isinstance(of, Section):
        inside[last] = False if typed == "off" else _written_default(path)
    else:
        inside[last] = _raw(of, typed)
    return new


def _found(document: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(document, Mapping):
            return None
        document = document.get(name)
    return document


def _typed(kind: Kind | ListOf | ByName | Section | ByModule, written: Any) -> str:
    """A written value as a person types it."""
    if isinstance(written, bool):
        return "on" if written else "off"
    if isinstance(written, Mapping):
        return ", ".join(f"{name} = {value}" for name, value in written.items())
    if isinstance(written, list | tuple):
        return ", ".join(str(each) for each in written)
    return "" if written is None else str(written)


def _raw(kind: Kind | ListOf | ByName | Section | ByModule, typed: str) -> Any:
    if isinstance(kind, ListOf):
        return [_scalar(kind.kind, part.strip()) for part in typed.split(",") if part.strip()]
    if isinstance(kind, ByName):
        pairs = (part.partition("=") for part in typed.split(",") if part.strip())
        return {name.strip(): _scalar(kind.kind, value.strip()) for name, _, value in pairs}
    assert isinstance(kind, Kind)
    return _scalar(kind, typed)


def _scalar(kind: Kind, typed: str) -> Any:
    """The value that a text stands for: the first reading of it that is allowed, else the most likely one."""
    readings = list(_readings(kind, typed))
    for each in readings:
        try:
            kind.check(each)
        except Refused:
            continue
        return each
    return readings[0]


def _readings(kind: Kind, typed: str) -> Iterator[Any]:
    if kind.choices == ("true", "false"):
        yield {"on": True, "off": False}.get(typed, typed)
        return
    if re.fullmatch(r"[+-]?\d{1,18}", typed):
        yield int(typed)
    elif re.fullmatch(r"[+-]?\d{1,18}\.\d{1,9}", typed):
        yield float(typed)
    yield typed
    if "," in typed:
        yield [_number_or_text(part.strip()) for part in typed.split(",")]
    else:
        yield [_number_or_text(typed)]


def _number_or_text(part: str) -> int | str:
    return int(part) if re.fullmatch(r"\d{1,18}", part) else part


def _kind_of(path: str, table: str = "") -> Kind | ListOf | ByName | Section | ByModule:
    """The kind of the setting at a path, of a policy (""), of a kind of connection, or of a job ("job")."""
    first, *inner = path.split(".")
    kind = next(each.kind for each in _TABLES[table] if each.name == first)
    for name in inner:
        if isinstance(kind, ByModule):
            kind = kind.kind
        elif isinstance(kind, Section):
            kind = next(one.kind for one in kind.settings if one.name == name)
    return kind


def _written_default(path: str) -> dict[str, Any]:
    """The table of a section that was off and is switched on: its defaults."""
    first, *inner = path.split(".")
    setting = next(each for each in POLICY if each.name == first)
    default: Any = setting.default
    for name in inner:
        default = getattr(default, name)
    written = _kind_of(path).write(default) if default is not None else {}
    return dict(written) if isinstance(written, Mapping) else {}


# -- checking --------------------------------------------------------------------------------------------


def new_policy(crm: str = "", mailbox: str = "") -> dict[str, Any]:
    """The document of a policy with all defaults."""
    document = policy_to_doc(Policy("", crm, mailbox))
    return {key: value for key, value in document.items() if value != ""}


def check_policy(
    name: str, document: Document, connections: Mapping[str, str], others: Sequence[str] = ()
) -> tuple[FormProblem, ...]:
    """What is wrong with a policy's form, by the rules of the file.

    Args:
        name: of the policy.
        document: as edited.
        connections: kind by name, of all connections.
        others: names of the other policies; a new one needs a name of its own.
    """
    problems = Collector()
    where = join("policies", name)
    check_name(name, where, others, problems)
    table = {key: value for key, value in document.items() if key != ENABLED.name}
    policy = read_policy(name, table, where, problems)
    if policy is not None:
        check_ends(policy, {key: Connection(key, kind) for key, kind in connections.items()}, where, problems)
    return of_form(problems.problems, where, policy_pages(document))


def check_connection(
    name: str, kind: str, settings: Document, others: Sequence[str] = ()
) -> tuple[FormProblem, ...]:
    """What is wrong with a connection's form, by the rules of the file."""
    problems = Collector()
    where = join("connections", name)
    check_name(name, where, others, problems)
    read_connection(name, {"kind": kind, **settings}, where, problems)
    for key, value in settings.items():
        if key.endswith("_file") and isinstance(value, str) and value and value[0] not in "/~":
            problems.add(
                f"{where}.{key}",
                "is a relative path",
                allowed="a whole path on the engine's host: /... or ~/...",
            )
    return of_form(problems.problems, where, connection_pages(kind) if kind in KINDS else ())


def of_form(problems: Iterable[Problem], where: str, pages: Sequence[FormPage]) -> tuple[FormProblem, ...]:
    """Problems by the path of their field."""
    paths = {field.path for page in pages for field in page.fields}
    found = []
    for each in problems:
        place = re.sub(r"\[\d+\]$", "", each.where.removeprefix(where).lstrip("."))
        while place and place not in paths:
            inside = sorted(path for path in paths if path.startswith(f"{place}."))
            place = inside[0] if inside else place.rpartition(".")[0]
        said = (
            f"{each.value}: {each.message}" if each.value and each.value not in each.message else each.message
        )
        found.append(FormProblem(place, said, each.allowed))
    return tuple(found)
