"""How long a mailbox that fails is retried, and when that is given up.

The time is the *notification frequency* of the policy's mailbox connection (Pega's word, minutes; domain.md 5.5). Within it
a mailbox comes back with back-off 30, 60, 120, 240, 480, 960 s, or as late as the provider asks if that is longer. When it is
over, its synchronisation is cancelled, exactly once: the failure mail of its incident (``engine.ledger.incidents``) goes out,
and only the schedule tries it again. The first success ends it all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.model.clock import Clock
from engine.sync.faults import BACKOFF_MOST_MS, backoff_ms

#: Minutes that a mailbox is retried where its connection does not say it (EWS's own; domain.md 5.5).
RETRY_MINUTES = 30

#: The synchronisation of a mailbox that is not a job's own: the cycles of its policy.
CYCLES = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a mailbox that failed.

    Attributes:
        retry_at: when it comes back by itself, epoch milliseconds; None: the schedule brings it back.
        cancelled: it was given up just now.
        rests_until: no scheduled run need try it sooner, epoch milliseconds.
        minutes: for how long it is retried.
    """

    retry_at: int | None
    cancelled: bool
    rests_until: int
    minutes: int

    @property
    def said(self) -> str:
        """What happened when it was given up, for people."""
        unit = "minute" if self.minutes == 1 else "minutes"
        return f"retried for {self.minutes} {unit} and cancelled; the schedule tries it again, r tries it now"


@dataclass(slots=True)
class _Failing:
    first_ms: int
    times: int = 0
    cancelled: bool = False


async def _tell_nobody(_job: str, _mailbox: str, _error: str, _said: str) -> None:
    """A runner without an engine around it has no incidents."""


class Trouble:
    """Knows which mailboxes fail, since when, and whether they were given up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[tuple[str, str], _Failing] = {}
        self._seen: set[tuple[str, str]] = set()
        #: Minutes that mailboxes of a connection are retried, by the connection's name.
        self.minutes: Callable[[str], int] = lambda _connection: RETRY_MINUTES
        #: Since when a mailbox fails, and whether it was given up, as an earlier engine stored it; by job and address.
        self.known: Callable[[str, str], tuple[int, bool] | None] = lambda _job, _mailbox: None
        #: Cancels the incident of (job, address, error, what happens next); called once, after the failure was told.
        self.give_up: Callable[[str, str, str, str], Awaitable[None]] = _tell_nobody

    def failed(
        self, connection: str, mailbox: str, retry_after: float | None = None, *, job: str = CYCLES
    ) -> Verdict:
        """A run failed for a passing reason.

        Args:
            connection: the policy's mailbox connection.
            mailbox: whose.
            retry_after: seconds that the provider asked for.
            job: a job that runs by itself; else the policy's cycles.
        """
        now = self._clock.now_ms()
        minutes = self.minutes(connection)
        found = self._failing.get((job, mailbox))
        if found is None:
            # What an earlier engine stored counts once; after that we know better.
            earlier = None if (job, mailbox) in self._seen else self.known(job, mailbox)
            first, cancelled = earlier or (now, False)
            found = self._failing[job, mailbox] = _Failing(first, 0, cancelled)
            self._seen.add((job, mailbox))
        found.times += 1
        over = found.first_ms + minutes * 60_000
        asked = now + int((retry_after or 0) * 1000)
        if found.cancelled or now >= over:
            gave_up, found.cancelled = not found.cancelled, True
            return Verdict(None, gave_up, max(asked, now + BACKOFF_MOST_MS), minutes)
        # The last try is made when the time is over, unless the provider wants a longer pause.
        at = max(min(now + backoff_ms(found.times, retry_after), over), asked)
        return Verdict(at, False, at, minutes)

    def healed(self, mailbox: str, *, job: str = CYCLES) -> None:
        """A run succeeded, or there is nothing to retry any more."""
        self._failing.pop((job, mailbox), None)
        self._seen.add((job, mailbox))
