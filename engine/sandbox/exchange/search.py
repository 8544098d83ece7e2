"""Restrictions, sort orders and pages of FindItem and FindFolder."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from typing import Protocol, TypeVar

from lxml import etree

from engine.sandbox.exchange import paths, times
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Node, children, elements, flag, local, text
from engine.sandbox.exchange.paths import Extended, Path

Thing = TypeVar("Thing")
MOST = 1000
"""``EWSFindCountLimit``: results of one search at most, whatever the client asks for."""
_DATE_FIELDS = {
    "Start", "End", "OriginalStart", "DateTimeReceived", "DateTimeSent", "DateTimeCreated", "LastModifiedTime", "DueDate",
    "StartDate", "CompleteDate", "Birthday", "WeddingAnniversary", "ReminderDueBy", "AppointmentReplyTime",
}  # fmt: skip
_NUMBER_FIELDS = {
    "Size",
    "TotalCount",
    "ChildFolderCount",
    "UnreadCount",
    "PercentComplete",
    "ActualWork",
    "TotalWork",
}
_RANKS = {"Low": 0, "Normal": 1, "High": 2, "Personal": 1, "Private": 2, "Confidential": 3}


class Seen(Protocol):
    """What a restriction looks at: an item or a folder."""

    def value(self, path: Path) -> Node | list[str] | None:
        """The value at a path; None where there is none."""
        ...


Matcher = Callable[[Seen], bool]


def compile_restriction(element: etree._Element, zone: tzinfo = UTC) -> Matcher:
    """A test of items or folders from a ``Restriction`` element.

    Args:
        element: the restriction.
        zone: whose wall clock is meant where a constant has no offset.

    Raises:
        EwsError: a path or constant that cannot be compared.
    """
    return _expression(next(elements(element)), zone)


def _expression(element: etree._Element, zone: tzinfo) -> Matcher:
    name = local(element)
    parts = list(elements(element))
    if name in ("And", "Or"):
        tests = [_expression(one, zone) for one in parts]
        if name == "And":
            return lambda seen: all(test(seen) for test in tests)
        return lambda seen: any(test(seen) for test in tests)
    if name == "Not":
        test = _expression(parts[0], zone)
        return lambda seen: not test(seen)
    path = paths.read(parts[0])
    if name == "Exists":
        return lambda seen: seen.value(path) is not None
    if name == "Excludes":
        mask = paths.number_of(parts[1].get("Value", "0"))
        return lambda seen: not any(_whole(one) & mask for one in _texts(seen.value(path)))
    if name == "Contains":
        return _contains(element, path, parts[1].get("Value", ""))
    if name == "Near":
        raise EwsError("ErrorInvalidRestriction", "Near is not served.")
    return _comparison(name, path, parts[1], zone)


def _whole(value: str) -> int:
    try:
        return int(float(value or 0))
    except (ValueError, OverflowError):
        raise EwsError("ErrorInvalidExcludesRestriction", f"{value[:40]!r} has no bits to compare.") from None


def _contains(element: etree._Element, path: Path, wanted: str) -> Matcher:
    mode = element.get("ContainmentMode", "FullString")
    folded = element.get("ContainmentComparison", "Exact")

    def plain(value: str) -> str:
        if "NonSpacing" in folded or folded == "Loose":
            value = "".join(
                char for char in unicodedata.normalize("NFD", value) if not unicodedata.combining(char)
            )
        return value.casefold() if "IgnoreCase" in folded or folded == "Loose" else value

    needle = plain(wanted)

    def test(value: str) -> bool:
        value = plain(value)
        if mode == "FullString":
            return value == needle
        if mode == "Prefixed":
            return value.startswith(needle)
        if mode in ("PrefixOnWords", "ExactPhrase"):
            words = f" {value}"
            return f" {needle}" in words if mode == "PrefixOnWords" else f" {needle} " in f"{words} "
        return needle in value

    return lambda seen: any(test(one) for one in _texts(seen.value(path)))


def _comparison(name: str, path: Path, operand: etree._Element, zone: tzinfo) -> Matcher:
    other = next(elements(operand))
    test = _TESTS[name]
    if local(other) == "Constant":
        constant = key(path, other.get("Value", ""), zone)

        def against(seen: Seen) -> bool:
            found = _texts(seen.value(path))
            if not found:
                # What is not there is unlike everything, and neither less nor more than anything.
                return name == "IsNotEqualTo"
            keys = [key(path, one) for one in found]
            if name == "IsNotEqualTo":
                return all(one != constant for one in keys)
            return any(type(one) is type(constant) and test(one, constant) for one in keys)

        return against
    second = paths.read(other)

    def both(seen: Seen) -> bool:
        left, right = _texts(seen.value(path)), _texts(seen.value(second))
        if not left or not right:
            return name == "IsNotEqualTo"
        return bool(test(key(path, left[0]), key(second, right[0])))

    return both


_TESTS: dict[str, Callable[..., bool]] = {
    "IsEqualTo": lambda a, b: a == b,
    "IsNotEqualTo": lambda a, b: a != b,
    "IsGreaterThan": lambda a, b: a > b,
    "IsGreaterThanOrEqualTo": lambda a, b: a >= b,
    "IsLessThan": lambda a, b: a < b,
    "IsLessThanOrEqualTo": lambda a, b: a <= b,
}


def key(path: Path, value: str, zone: tzinfo = UTC) -> str | float | int:
    """A value as it is compared: instants and numbers as such, text without case.

    Raises:
        EwsError: ``ErrorInvalidValueForFilter``: no value of the property's type.
    """
    kind = path.kind if isinstance(path, Extended) else ""
    try:
        if kind.startswith("SystemTime") or path_name(path) in _DATE_FIELDS:
            return times.parse_ms(value, zone)
        if (
            kind.startswith(("Integer", "Long", "Short", "Double", "Float", "Currency"))
            or path_name(path) in _NUMBER_FIELDS
        ):
            return float(value)
    except ValueError:
        raise EwsError("ErrorInvalidValueForFilter", f"The value {value[:80]!r} cannot be compared.") from None
    if kind.startswith("Boolean") or value in ("true", "false"):
        return flag(value in ("true", "1"))
    if path_name(path) in ("Importance", "Sensitivity"):
        return _RANKS.get(value, 1)
    return value.casefold()


def path_name(path: Path) -> str:
    """The element name of a path; empty for an extended one."""
    return "" if isinstance(path, Extended) else path.name


def _texts(value: Node | list[str] | None) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and "c" in value:
        found = []
        for _, one in children(value):
            found.extend(_texts(one))
        return found
    return [text(value)]


def sorted_by(found: list[Thing], order: etree._Element | None, seen: Callable[[Thing], Seen]) -> list[Thing]:
    """``found`` in the order that a ``SortOrder`` element asks for; what lacks the property comes first."""
    if order is None:
        return found
    for field in reversed(list(elements(order))):
        path = paths.read(next(elements(field)))

        def rank(one: Thing, path: Path = path) -> tuple[int, str, float]:
            values = _texts(seen(one).value(path))
            if not values:
                return (0, "", 0.0)
            found_key = key(path, values[0])
            return (1, found_key, 0.0) if isinstance(found_key, str) else (1, "", float(found_key))

        found = sorted(found, key=rank, reverse=field.get("Order") == "Descending")
    return found


def page(
    found: Sequence[Thing], indexed: etree._Element | None, fractional: etree._Element | None, limit: int = MOST
) -> tuple[Sequence[Thing], str]:
    """The part of a result that a page view asks for, and the attributes of ``RootFolder`` that tell of it.

    Raises:
        EwsError: an offset below zero, or no room for a row.
    """
    total, start, size = len(found), 0, total_size(indexed, fractional, limit)
    if indexed is not None:
        offset = int(indexed.get("Offset", "0"))
        if offset < 0:
            raise EwsError("ErrorInvalidIndexedPagingParameters", "Offset must be at least 0.")
        start = offset
        if indexed.get("BasePoint") == "End":
            start = max(0, total - offset - size)
            size = min(size, max(0, total - offset))
    elif fractional is not None:
        low, high = int(fractional.get("Numerator", "0")), int(fractional.get("Denominator", "1"))
        if high <= 0 or not 0 <= low <= high:
            raise EwsError("ErrorInvalidFractionalPagingParameters", "The fraction must be from 0 to 1.")
        start = total * low // high
    part = found[start : start + size]
    after = min(total, start + len(part))
    last = after >= total
    attributes = f'TotalItemsInView="{total}" IncludesLastItemInRange="{flag(last)}"'
    if indexed is not None:
        attributes = f'IndexedPagingOffset="{after}" {attributes}'
    elif fractional is not None:
        attributes = f'NumeratorOffset="{after}" AbsoluteDenominator="{max(1, total)}" {attributes}'
    return part, attributes


def total_size(indexed: etree._Element | None, fractional: etree._Element | None, limit: int) -> int:
    """How many rows a page may have.

    Raises:
        EwsError: ``ErrorInvalidPagingMaxRows``.
    """
    view = indexed if indexed is not None else fractional
    asked = None if view is None else view.get("MaxEntriesReturned")
    if asked is None:
        return limit
    if int(asked) < 1:
        raise EwsError("ErrorInvalidPagingMaxRows", "MaxEntriesReturned must be at least 1.")
    return min(limit, int(asked))
