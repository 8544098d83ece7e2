"""The search language of ``q``: the operators that programs use, turned into SQL conditions.

Known: rfc822msgid, label, in, is, subject, from, to, has:attachment, after, before, quoted phrases, a leading minus.
Everything else is searched as words in subject, sender, recipients and snippet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.sandbox.google.gmail_labels import search_key

_TERM = re.compile(r'(-?)(?:([A-Za-z0-9_]+):)?(?:"([^"]*)"|\(([^)]*)\)|(\S+))')
_PLACES = {
    "drafts": "DRAFT",
    "draft": "DRAFT",
    "chats": "CHAT",
    "bin": "TRASH",
}
_STATES = {"unread": "UNREAD", "starred": "STARRED", "important": "IMPORTANT", "sent": "SENT"}
_TAGGED = "EXISTS (SELECT 1 FROM google_gmail_tags t WHERE t.seq = m.seq AND t.user = m.user AND t.label = ?)"
_WORDS = "(m.subject || ' ' || m.sender || ' ' || m.recipients || ' ' || m.snippet)"


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed query.

    Attributes:
        conditions: SQL conditions on ``google_gmail_messages m``, to be joined by AND.
        values: their bound values in order.
        everywhere: spam and trash are to be searched too.
        exact: a ``Message-ID`` is asked for, so there are few hits.
    """

    conditions: tuple[str, ...]
    values: tuple[str | int, ...]
    everywhere: bool
    exact: bool


def parse_query(text: str, labels: Mapping[str, str]) -> Search:
    """Parse ``q``.

    Args:
        text: the query.
        labels: label ids by search name (``gmail_labels.ids_by_name``).
    """
    conditions: list[str] = []
    values: list[str | int] = []
    everywhere = exact = False
    for minus, operator, phrase, group, word in _TERM.findall(text):
        value = phrase or group or word
        condition, bound, wide = _term(operator.casefold(), value.strip(), labels)
        everywhere |= wide and not minus
        exact |= operator.casefold() == "rfc822msgid" and not minus
        if condition:
            conditions.append(f"NOT {condition}" if minus else condition)
            values.extend(bound)
    return Search(tuple(conditions), tuple(values), everywhere, exact)


def _term(operator: str, value: str, labels: Mapping[str, str]) -> tuple[str, list[str | int], bool]:
    """One term as (condition, bound values, whether it opens spam and trash)."""
    if operator == "rfc822msgid":
        return "(m.rfc822_id = ?)", [value.strip("<>").casefold()], False
    if operator in ("label", "in"):
        place = value.casefold()
        if operator == "in" and place == "anywhere":
            return "", [], True
        label = labels.get(search_key(value), _PLACES.get(place, value))
        return _TAGGED, [label], label in ("TRASH", "SPAM")
    if operator == "is":
        if value.casefold() == "read":
            return f"(NOT {_TAGGED})", ["UNREAD"], False
        return _TAGGED, [_STATES.get(value.casefold(), value.upper())], False
    if operator in ("subject", "from", "to"):
        column = {"subject": "m.subject", "from": "m.sender", "to": "m.recipients"}[operator]
        return f"(instr(lower({column}), ?) > 0)", [value.lower()], False
    if operator == "has" and value.casefold() == "attachment":
        return "(m.attached = 1)", [], False
    if operator in ("after", "before", "newer", "older"):
        moment = _moment_ms(value)
        if moment is not None:
            sign = ">=" if operator in ("after", "newer") else "<"
            return f"(m.internal_ms {sign} ?)", [moment], False
    text = f"{operator}:{value}" if operator else value
    return f"(instr(lower({_WORDS}), ?) > 0)", [text.lower()], False


def _moment_ms(value: str) -> int | None:
    """Epoch seconds, or a date as year/month/day or year-month-day in UTC."""
    if value.isdigit() and len(value) > 8:
        return int(value) * 1000
    try:
        year, month, day = (int(part) for part in value.replace("-", "/").split("/"))
        return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return None
