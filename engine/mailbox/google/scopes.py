"""What every part of the Google connector asks of a scope."""

from __future__ import annotations

from engine.model.port import Account, Scope


def account_of(scope: Scope) -> Account:
    """The mailbox of a scope.

    Raises:
        ValueError: the scope names none; every scope of a mailbox connector must.
    """
    if scope.account is None:
        raise ValueError(f"the scope {scope.key!r} names no mailbox")
    return scope.account
