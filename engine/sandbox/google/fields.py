"""Partial responses: the ``fields`` parameter, e.g. ``nextPageToken,items(id,start/dateTime)``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from engine.sandbox.google.call import ApiError

Selection = dict[str, "Selection"]
"""Names to what is wanted below them; an empty selection wants all."""

_TOKENS = re.compile(r"[\w@$*\-]+|[(),/]")


def select(text: str, value: Any) -> Any:
    """The part of ``value`` that the field mask ``text`` names.

    Raises:
        ApiError: 400 when the mask cannot be read.
    """
    return _pick(parse(text), value)


@lru_cache(maxsize=256)
def parse(text: str) -> Selection:
    """A field mask as nested names.

    Raises:
        ApiError: 400 ``invalidParameter``.
    """
    tokens = _TOKENS.findall(text)
    if "".join(tokens) != text.replace(" ", ""):
        raise _bad(text)
    selection, rest = _list(tokens, 0, text)
    if rest != len(tokens):
        raise _bad(text)
    return selection


def _list(tokens: list[str], at: int, text: str) -> tuple[Selection, int]:
    selection: Selection = {}
    while True:
        node = selection
        while True:
            if at >= len(tokens) or tokens[at] in "(),/":
                raise _bad(text)
            node = node.setdefault(tokens[at], {})
            at += 1
            if at < len(tokens) and tokens[at] == "/":
                at += 1
                continue
            break
        if at < len(tokens) and tokens[at] == "(":
            inner, at = _list(tokens, at + 1, text)
            if at >= len(tokens) or tokens[at] != ")":
                raise _bad(text)
            at += 1
            node.update(inner)
        if at < len(tokens) and tokens[at] == ",":
            at += 1
            continue
        return selection, at


def _pick(selection: Selection, value: Any) -> Any:
    if not selection or "*" in selection:
        return value
    if isinstance(value, list):
        return [_pick(selection, item) for item in value]
    if isinstance(value, dict):
        return {name: _pick(inner, value[name]) for name, inner in selection.items() if name in value}
    return value


def _bad(text: str) -> ApiError:
    return ApiError(400, "invalidParameter", f"Invalid field selection {text}", location="fields")
