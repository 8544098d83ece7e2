"""The request grammar of EWS: what may stand where, and in which order properties come.

``grammar.txt`` holds one type per line, in the notation of ``_complex`` and ``_simple`` below; its facts are those of the
published schema (``messages.xsd``, ``types.xsd``), which is not needed at run time. A test compares the two where it is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib import resources

from lxml import etree

from engine.sandbox.exchange.names import M, T

_SPACES = {"m": M, "t": T}
_OCCURS = re.compile(r"(.*?)([?*+]|\{[\d,a-z]+\})?")
_INT = re.compile(r"[+-]?\d+")
_STAMP = r"-?\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?"
_ZONE = r"(Z|[+-]\d\d:\d\d)?"
_BUILT_IN: dict[str, str] = {
    "x:dateTime": rf"{_STAMP}T{_CLOCK}{_ZONE}",
    "x:date": rf"{_STAMP}{_ZONE}",
    "x:time": rf"{_CLOCK}{_ZONE}",
    "x:boolean": "true|false|0|1",
    "x:duration": r"-?P(?!$)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?",
    "x:float": r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|-?INF",
    "x:double": r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|-?INF",
    "x:language": r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*",
    "x:hexBinary": r"([0-9a-fA-F]{2})*",
}
_RANGES = {
    "x:int": (-(2**31), 2**31 - 1),
    "x:short": (-(2**15), 2**15 - 1),
    "x:long": (-(2**63), 2**63 - 1),
    "x:unsignedShort": (0, 2**16 - 1),
    "x:unsignedInt": (0, 2**32 - 1),
    "x:unsignedByte": (0, 255),
    "x:integer": (-(2**63), 2**63 - 1),
    "x:nonNegativeInteger": (0, 2**63 - 1),
}


class Invalid(Exception):
    """A request that breaks the schema; the text says where, in the words of .NET's validator."""


@dataclass(frozen=True, slots=True)
class Type:
    """One compiled type.

    Attributes:
        children: type by child tag (Clark notation), in the order of the schema.
        model: matches the concatenated child tags, each followed by a blank; None where text stands instead.
        text: checks the text of a simple type; raises ``ValueError``.
        attributes: type by attribute name.
        required: attributes that must be there.
        open: any content is allowed.
    """

    children: Mapping[str, str] = field(default_factory=dict)
    model: re.Pattern[str] | None = None
    text: Callable[[str], None] | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    open: bool = False


@cache
def _lines() -> Mapping[str, str]:
    text = resources.files(__package__).joinpath("grammar.txt").read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if rest.startswith("= "):
            found[f"<{name}>"] = rest[2:]
        else:
            found[name] = rest
    return found


def names() -> frozenset[str]:
    """The names of all types of the grammar."""
    return frozenset(_lines())


def root_type(tag: str) -> str | None:
    """The type of a request or header element (Clark notation), or None when the grammar does not know it."""
    name = etree.QName(tag)
    prefix = {M: "m", T: "t"}.get(name.namespace or "", "?")
    return _lines().get(f"<{prefix}:{name.localname}>")


@cache
def type_of(name: str) -> Type:
    """The compiled type of that name (``t:ItemType``, ``x:int``)."""
    if name.startswith("x:"):
        return Type(text=_built_in(name))
    line = _lines()[name]
    prefix = name[:2]
    return _simple(line, prefix) if line.startswith("~") else _complex(line, prefix)


@cache
def order(name: str) -> tuple[str, ...]:
    """Local names of a type's child elements in the order of the schema."""
    return tuple(etree.QName(tag).localname for tag in type_of(name).children)


def values(name: str) -> tuple[str, ...]:
    """The allowed values of an enumeration."""
    return tuple(_lines()[name].split(" ", 2)[1].replace("_SP_", " ").split("|"))


def check(element: etree._Element, name: str) -> None:
    """Check an element against a type, with all below it.

    Raises:
        Invalid: it does not match.
    """
    kind = type_of(name)
    if kind.open:
        return
    _check_attributes(element, kind)
    if kind.text is not None:
        if len(element):
            raise Invalid(
                f"The element '{_shown(element.tag)}' cannot contain child elements because its content model is text."
            )
        try:
            kind.text(element.text or "")
        except ValueError as error:
            raise Invalid(
                f"The '{_shown(element.tag)}' element is invalid - The value '{(element.text or '')[:200]}' is invalid"
                f" according to its datatype '{_uri(name)}' - {error}"
            ) from None
        return
    tags = []
    for child in element:
        tag = child.tag
        if not isinstance(tag, str):
            continue
        below = kind.children.get(tag)
        if below is None:
            raise Invalid(
                f"The element '{_shown(element.tag)}' has invalid child element '{_shown(tag)}'."
                f" List of possible elements expected: '{', '.join(_shown(one) for one in list(kind.children)[:40])}'."
            )
        check(child, below)
        tags.append(tag)
    if kind.model is not None and not kind.model.fullmatch("".join(f"{tag} " for tag in tags)):
        if not tags:
            raise Invalid(f"The element '{_shown(element.tag)}' has incomplete content.")
        raise Invalid(
            f"The element '{_shown(element.tag)}' has incomplete content or child elements in a wrong order or number:"
            f" '{', '.join(_shown(tag) for tag in tags[:40])}'; the schema's order is"
            f" '{', '.join(_shown(one) for one in list(kind.children)[:60])}'."
        )


def _check_attributes(element: etree._Element, kind: Type) -> None:
    for key, value in element.attrib.items():
        if "}" in str(key):
            continue  # xsi:type, xml:lang
        below = kind.attributes.get(str(key))
        if below is None:
            raise Invalid(f"The '{key}' attribute is not declared on '{_shown(element.tag)}'.")
        checker = type_of(below).text
        try:
            if checker is not None:
                checker(str(value))
        except ValueError as error:
            raise Invalid(
                f"The '{key}' attribute is invalid - The value '{str(value)[:200]}' is invalid according to its"
                f" datatype '{_uri(below)}' - {error}"
            ) from None
    for key in kind.required:
        if key not in element.attrib:
            raise Invalid(f"The required attribute '{key}' is missing on '{_shown(element.tag)}'.")


def _shown(tag: str) -> str:
    name = etree.QName(tag)
    return f"{name.namespace}:{name.localname}" if name.namespace else name.localname


def _uri(name: str) -> str:
    return _shown(f"{{{_SPACES[name[0]]}}}{name[2:]}") if name[0] in _SPACES else name


def _qualified(name: str, prefix: str) -> str:
    return name if name[1:2] == ":" else prefix + name


# -- complex types ---------------------------------------------------------------------------------------


def _complex(line: str, prefix: str) -> Type:
    """``<Base`` extends, ``<<Base`` replaces the content; ``name=type?`` is a child, ``( a | b )+`` a group,
    ``@name=type!`` a required attribute, ``&`` any order, ``*any*`` anything."""
    children: dict[str, str] = {}
    attributes: dict[str, str] = {}
    required: set[str] = set()
    pattern = []
    words = line.split()
    if words and words[0].startswith("<"):
        replaced = words[0].startswith("<<")
        base = type_of(_qualified(words.pop(0).lstrip("<"), prefix))
        attributes |= base.attributes
        required |= base.required
        if not replaced:
            children |= base.children
            if base.model is not None:
                pattern.append(base.model.pattern)
    loose = False
    for word in words:
        if word.startswith("*any*"):
            return Type(open=True)
        if word == "&":
            loose = True
        elif word == "(":
            pattern.append("(?:")
        elif word == "|":
            pattern.append("|")
        elif word.startswith(")"):
            pattern.append(word)
        elif word.startswith("@"):
            key, _, kind = word[1:].partition("=")
            if key.startswith("*"):
                continue
            if kind.endswith("!"):
                kind = kind[:-1]
                required.add(key)
            attributes[key] = _qualified(kind, prefix)
        else:
            key, _, rest = word.partition("=")
            found = _OCCURS.fullmatch(rest)
            assert found is not None
            full = _qualified(key, prefix)
            tag = f"{{{_SPACES[full[0]]}}}{full[2:]}"
            children[tag] = _qualified(found[1], prefix)
            times = (found[2] or "").replace(",unbounded", ",")
            pattern.append(f"(?:{re.escape(tag)}\\ ){times}")
    text = (
        f"(?:(?:{'|'.join(f'{re.escape(tag)}{chr(92)} ' for tag in children)})*)" if loose else "".join(pattern)
    )
    return Type(children, re.compile(f"(?:{text})" if text else ""), None, attributes, frozenset(required))


# -- simple types ----------------------------------------------------------------------------------------


def _simple(line: str, prefix: str) -> Type:
    """``~base a|b`` is an enumeration, ``/…/`` a pattern, ``minLength=1`` a facet, ``~list``, ``~union``."""
    words = line[1:].split(" ")
    attributes: dict[str, str] = {}
    required: set[str] = set()
    for word in [word for word in words if word.startswith("@")]:
        words.remove(word)
        key, _, kind = word[1:].partition("=")
        if kind.endswith("!"):
            kind = kind[:-1]
            required.add(key)
        attributes[key] = _qualified(kind, prefix)
    if words[0] == "list":
        item = _text(_qualified(words[1], prefix))

        def each(text: str) -> None:
            for part in text.split():
                item(part)

        checker: Callable[[str], None] = each
    elif words[0] == "union":
        members = [_text(_qualified(word, prefix)) for word in words[1:]]

        def any_of(text: str) -> None:
            for member in members[:-1]:
                try:
                    return member(text)
                except ValueError:
                    continue
            members[-1](text)

        checker = any_of
    else:
        checker = _restricted(_text(_qualified(words[0], prefix)), [word for word in words[1:] if word])
    return Type(text=checker, attributes=attributes, required=frozenset(required))


def _text(name: str) -> Callable[[str], None]:
    found = type_of(name).text
    assert found is not None
    return found


def _restricted(base: Callable[[str], None], facets: list[str]) -> Callable[[str], None]:
    allowed: frozenset[str] | None = None
    pattern: re.Pattern[str] | None = None
    limits: dict[str, int] = {}
    for facet in facets:
        if facet.startswith("/"):
            pattern = re.compile(facet[1:-1])
        elif re.fullmatch(r"(min|max)(Length|Inclusive)=-?\d+|length=\d+", facet):
            key, _, value = facet.partition("=")
            limits[key] = int(value)
        else:
            allowed = frozenset(facet.replace("_SP_", " ").split("|"))

    def checked(text: str) -> None:
        base(text)
        if allowed is not None and text not in allowed:
            raise ValueError(f"The Enumeration constraint failed; allowed: {', '.join(sorted(allowed)[:60])}.")
        if pattern is not None and not pattern.fullmatch(text):
            raise ValueError("The Pattern constraint failed.")
        if len(text) < limits.get("minLength", 0) or len(text) > limits.get("maxLength", len(text)):
            raise ValueError("The length constraint failed.")
        for key, wrong in (("minInclusive", int.__lt__), ("maxInclusive", int.__gt__)):
            if key in limits and wrong(int(text), limits[key]):
                raise ValueError(f"The {key} constraint failed; the limit is {limits[key]}.")

    return checked


def _built_in(name: str) -> Callable[[str], None]:
    if name in _RANGES:
        low, high = _RANGES[name]

        def number(text: str) -> None:
            if not _INT.fullmatch(text.strip()) or not low <= int(text) <= high:
                raise ValueError(f"not a whole number from {low} to {high}")

        return number
    if name == "x:base64Binary":
        return _base64
    if name in _BUILT_IN:
        pattern = re.compile(_BUILT_IN[name])

        def matching(text: str) -> None:
            if not pattern.fullmatch(text.strip()):
                raise ValueError(f"not a valid {name[2:]} value")
            if name in ("x:dateTime", "x:date"):
                date.fromisoformat(text.strip()[:10])  # the 30th of February

        return matching
    return lambda text: None


def _base64(text: str) -> None:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("not a valid base64Binary value") from None
