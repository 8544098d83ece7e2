"""How many guests a provider would mail for a write, when the policy lets it (``Attendees.INVITED``). Pure.

Guests are the attendees other than the mailbox's own person. A meeting's create and delete tell them all; a change does
when it concerns when or where they meet, or who comes: what Google calls a significant change (``sendUpdates``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.model.canonical import Fields
from engine.model.modules import EVENT_MODULES, Module
from engine.model.port import WriteKind

#: Changes of these fields are told to the guests.
TOLD = frozenset({"start", "end", "location", "rule", "attendees", "cancelled"})


def guests_of(fields: Fields, email: str) -> set[str]:
    """Addresses of the attendees other than ``email``, without case."""
    return {row["email"].casefold() for row in fields.get("attendees") or ()} - {email.casefold()}


def guests_mailed(
    module: Module,
    kind: WriteKind,
    patch: Collection[str],
    target: Fields,
    shown: Fields,
    series: Fields,
    email: str,
) -> int:
    """How many people the provider would mail for a write in a mailbox; never too few.

    Args:
        module: of the item.
        kind: of the write.
        patch: names of the fields that an update changes.
        target: the item as it shall be, empty for a delete.
        shown: the item as it is, empty for a create.
        series: for an occurrence, the series in this mailbox: an occurrence that names no attendees has those.
        email: the mailbox.
    """
    if module not in EVENT_MODULES:
        return 0
    if kind is WriteKind.UPDATE and not TOLD & set(patch):
        return 0
    people = guests_of(target, email) | guests_of(shown, email)
    return len(people or guests_of(series, email))


def series_of(series: Mapping[str, Mapping[str, Any]], side: str) -> Fields:
    """What an occurrence's series shows on a side, or on the other when it is new here."""
    return series.get(side) or next(iter(series.values()), {})
