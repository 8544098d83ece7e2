"""What the writes of contacts and of records share: outcomes gathered by place, and failures of a call told apart."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import outcome_of
from engine.model.port import Account, Outcome, Result, Write
from engine.net.errors import ErrorKind, ProviderError

Item = tuple[int, Write]
"""A write with its place in the order of the outcomes."""

T = TypeVar("T")

#: Failures of the call, not of an item: the engine must hear of them as such.
_OF_THE_CALL = frozenset(
    {
        ErrorKind.CREDENTIAL,
        ErrorKind.DELEGATION,
        ErrorKind.PERMISSION,
        ErrorKind.CONFIGURATION,
        ErrorKind.NOT_FOUND,
    }
)


@dataclass(slots=True)
class Run:
    """One call of ``apply``: where it goes, what has been settled, and how often a batch was halved in search of a fault."""

    client: GoogleClient
    account: Account
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    splits: int = 0

    @property
    def region(self) -> str:
        """ISO country in which phone numbers without ``+`` are read; may be empty."""
        return self.client.settings.default_region

    def settle(self, index: int, result: Result, reason: str = "") -> None:
        """Note how a write ended that has nothing to show."""
        self.outcomes[index] = Outcome(result, reason=reason)

    def fail(self, index: int, error: ProviderError) -> None:
        """Note how a write failed that was one part of a batch.

        Raises:
            ProviderError: the failure concerns the whole connection (token, permission), not this item.
        """
        if error.kind in _OF_THE_CALL - {ErrorKind.NOT_FOUND}:
            raise error
        self.outcomes[index] = outcome_of(error)


async def guarded(run: Run, items: Sequence[Item], work: Awaitable[None]) -> None:
    """Await ``work``; when a call fails, settle those of ``items`` that it left open. Never hides earlier outcomes.

    Raises:
        ProviderError: nothing has been settled yet and the failure concerns the whole connection.
    """
    try:
        await work
    except ProviderError as error:
        if error.kind in _OF_THE_CALL:
            if not run.outcomes:
                raise
            outcome = Outcome(Result.REFUSED, reason=error.detail)
        else:
            outcome = outcome_of(error)
        for index, _ in items:
            run.outcomes.setdefault(index, outcome)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
