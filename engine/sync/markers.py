"""Idempotency keys: what we leave on an item that we create, so that it is recognised for ever.

A key is derived from the item it mirrors, not from the ledger: a lost ledger still finds its items. In the mailbox the
key names the CRM record; in the CRM it names the mailbox item by a digest, since mailbox ids can be long.
"""

from __future__ import annotations

import hashlib

from engine.model.modules import Side


def _digest(*parts: str, size: int) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:size]


def create_key(target: Side, email: str, remote_id: str, generation: int) -> str:
    """The key of a create on ``target`` that mirrors ``remote_id`` of the other side. At most 80 characters.

    A generation above 0 says that the item was created before and deleted since.
    """
    if target is Side.MAILBOX:
        return f"c.{remote_id}.{_digest(email.casefold(), size=8)}.{generation}"
    return f"m.{_digest(email.casefold(), remote_id, size=40)}.{generation}"


def reference(side: Side, email: str, remote_id: str) -> str:
    """The match key under which an item of ``side`` is found by a marker on its twin."""
    if side is Side.CRM:
        return f"ref:c.{remote_id}.{_digest(email.casefold(), size=8)}"
    return f"ref:m.{_digest(email.casefold(), remote_id, size=40)}"


def referenced(marker: str) -> str | None:
    """The match key that a marker points to; ``None`` when it is not one of ours."""
    stem, _, generation = marker.rpartition(".")
    if not generation.isdigit() or stem[:2] not in {"c.", "m."}:
        return None
    return f"ref:{stem}"


def is_for(marker: str, email: str) -> bool:
    """Whether a marker found in a mailbox was left there by us for that very mailbox.

    An item copied from another mailbox carries the other's marker and must not be taken for ours.
    """
    reference_ = referenced(marker)
    return reference_ is not None and reference_.endswith(f".{_digest(email.casefold(), size=8)}")
