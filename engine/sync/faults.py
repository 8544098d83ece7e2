"""Which class a fault is of, and whether time can mend it: one answer for the ledger, the screens and the retries.

The classes are those that admins know from Riva (domain.md 5.5): critical, connection, cycle, module, item.
"""

from __future__ import annotations

from engine.ledger.store import StaleLease, is_ledger_fault
from engine.model.states import FaultClass
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.context import SuspiciousSource

#: Failures that no repeat mends: credential, delegation, permission and configuration wait for a person.
FOR_PEOPLE = frozenset(
    {ErrorKind.CREDENTIAL, ErrorKind.DELEGATION, ErrorKind.PERMISSION, ErrorKind.CONFIGURATION}
)

#: Kinds of a whole connection: whoever it is, no other call of his would fare better.
_OF_CONNECTION = frozenset(
    {
        ErrorKind.CREDENTIAL,
        ErrorKind.DELEGATION,
        ErrorKind.CONFIGURATION,
        ErrorKind.UNAVAILABLE,
        ErrorKind.THROTTLED,
    }
)

#: First wait after a failed cycle, doubled each time up to the cap (domain.md 5.5: 30, 60, 120, 240, 480, 960 s).
BACKOFF_MS = 30_000
BACKOFF_MOST_MS = 960_000


def fault_class(error: BaseException, *, in_step: bool) -> FaultClass:
    """How far a fault reaches.

    Args:
        error: what was raised.
        in_step: it was raised within one of the five steps, so that the others can go on.
    """
    narrow = FaultClass.MODULE if in_step else FaultClass.CYCLE
    match error:
        case ProviderError(kind=ErrorKind.PERMISSION):
            # Within a step it is one API or one object that is closed to us; outside, it is all of them.
            return FaultClass.MODULE if in_step else FaultClass.CONNECTION
        case ProviderError(kind=kind):
            return FaultClass.CONNECTION if kind in _OF_CONNECTION else narrow
        case SuspiciousSource():
            return narrow
        case StaleLease():
            return FaultClass.CYCLE
        case _ if is_ledger_fault(error):
            return FaultClass.CRITICAL
        case _:
            return FaultClass.CYCLE


def waits_for_person(error: BaseException) -> bool:
    """Whether no repeat mends it, so that the clock must not try it again."""
    return isinstance(error, ProviderError) and error.kind in FOR_PEOPLE


def backoff_ms(failures: int, retry_after: float | None = None) -> int:
    """How long to wait after so many failures in a row, milliseconds; what the provider asks for wins when it is longer."""
    doubled = min(BACKOFF_MS << min(max(failures - 1, 0), 16), BACKOFF_MOST_MS)
    return max(doubled, int((retry_after or 0) * 1000))


def worst(one: FaultClass | None, other: FaultClass | None) -> FaultClass | None:
    """The class that reaches further."""
    order = list(FaultClass)
    known = [each for each in (one, other) if each is not None]
    return min(known, key=order.index, default=None)
