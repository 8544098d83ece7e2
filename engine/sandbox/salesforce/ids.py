"""Salesforce record ids: 15 case-sensitive characters, or 18 with a checksum that survives lower-casing."""

from __future__ import annotations

import re

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?\Z")

#: Characters 4 to 6 of every id: the instance and a reserved digit.
_INSTANCE = "Hs0"


def checksum(id15: str) -> str:
    """The three characters that tell, per five characters of the id, which are capitals."""
    out = []
    for start in (0, 5, 10):
        bits = 0
        for position in range(5):
            if "A" <= id15[start + position] <= "Z":
                bits |= 1 << position
        out.append(_CHECK[bits])
    return "".join(out)


def make(prefix: str, number: int) -> str:
    """The 18-character id of the ``number``-th record of an object with that three-character key prefix."""
    digits = []
    for _ in range(9):
        number, rest = divmod(number, 62)
        digits.append(_ALPHABET[rest])
    id15 = prefix + _INSTANCE + "".join(reversed(digits))
    return id15 + checksum(id15)


def normal(value: object) -> str | None:
    """The 18-character form of an id given with 15 or 18 characters; ``None`` when it is no id at all."""
    if not isinstance(value, str) or not _SHAPE.match(value):
        return None
    check = checksum(value[:15])
    if len(value) == 18 and value[15:].upper() != check:
        return None
    return value[:15] + check
