"""From activities to incidents: which fault opens or repeats one, and what ends it. Pure: the office stores what is collected.

A mailbox that failed strikes once per failed cycle. What failed for a whole policy is told to each of its mailboxes
(``Activity.whole``); it is one incident of the policy, struck once by the run itself (``policy_failed``).
"""

from __future__ import annotations

from collections.abc import Callable

from engine.model.activity import Activity, ActivityKind
from engine.model.incident import Heal, IncidentKind, IncidentState, Strike, key_of
from engine.model.modules import Step
from engine.model.states import CycleKind, FaultClass, StepState, UserState
from engine.monitor.rows import UserRow

#: States that make an incident. Throttling and other waits (``BACKOFF``) are none: the engine comes back by itself, and a
#: mailbox that is never reached again becomes stale.
STRIKING = frozenset({UserState.FAILED, UserState.QUARANTINED})

RETRIED = "It is tried again by itself."
WAITS = "No repeat mends it: it waits for a person. Mend the cause, then r in the Queue tries it again."


class Faults:
    """Collects strikes and heals until the office stores them."""

    def __init__(self, is_live: Callable[[str], bool]) -> None:
        """``is_live`` tells whether an incident of a key is live, so that what is well does nothing at all."""
        self._is_live = is_live
        self.strikes: list[Strike] = []
        self.heals: list[Heal] = []
        self._struck: set[str] = set()
        #: Where the cycle of a mailbox failed, until its state says so.
        self._where: dict[str, str] = {}

    def take(self) -> tuple[list[Strike], list[Heal]]:
        """What was collected since the last call."""
        taken = self.strikes, self.heals
        self.strikes, self.heals, self._struck = [], [], set()
        return taken

    def put_back(self, strikes: list[Strike], heals: list[Heal]) -> None:
        """They could not be stored: they come again with the next ``take``."""
        self.strikes, self.heals = strikes + self.strikes, heals + self.heals
        self._struck |= {one.key for one in strikes}

    def __call__(self, row: UserRow, activity: Activity) -> None:
        """Take one activity of a user, before it is folded into the user's row."""
        if activity.cycle is CycleKind.CALENDAR:
            return  # the job strikes and heals for itself: a calendar that is well says nothing of the other steps
        if activity.kind is ActivityKind.STATE and activity.state in STRIKING and not activity.whole:
            person = activity.until_ms is None
            self.strike(
                Strike(
                    IncidentKind.CYCLE,
                    row.policy,
                    row.id,
                    activity.fault,
                    activity.text,
                    WAITS if person else RETRIED,
                    self._where.pop(row.id, "before its cycle began"),
                    activity.at_ms,
                    person,
                )
            )
        elif activity.kind is ActivityKind.STEP and activity.step_state is StepState.FAILED:
            self._where.setdefault(row.id, _phase(row, activity.step))
        elif activity.kind is ActivityKind.CYCLE:
            if not activity.ended:
                self._where.pop(row.id, None)
            elif not activity.ok:
                self._where.setdefault(row.id, _phase(row, row.step))
            elif activity.proved:
                self.heal(IncidentKind.CYCLE, row.id, activity.at_ms)

    def strike(self, strike: Strike) -> None:
        """Something failed."""
        self.strikes.append(strike)
        self._struck.add(strike.key)

    def heal(
        self, kind: IncidentKind, subject: str, at_ms: int, state: IncidentState = IncidentState.HEALED
    ) -> None:
        """Something is well, or no longer expected to be; nothing is collected when no incident says otherwise."""
        key = key_of(kind, subject)
        if key in self._struck or self._is_live(key):
            self.heals.append(Heal(kind, subject, at_ms, state))

    def policy_failed(
        self, policy: str, fault: str, kind: FaultClass | None, at_ms: int, *, person: bool
    ) -> None:
        """A run of a policy failed as a whole."""
        advice = WAITS.replace("r in the Queue", "r in Policies") if person else RETRIED
        phase = "before any mailbox had its turn"
        self.strike(Strike(IncidentKind.POLICY, policy, policy, kind, fault, advice, phase, at_ms, person))


def _phase(row: UserRow, step: Step | None) -> str:
    """Where in its cycle a mailbox is: ``first sync, phase B, calendar``."""
    parts = [(row.cycle or CycleKind.FULL).value]
    if row.phase:
        parts.append(f"phase {row.phase}")
    if step is not None:
        parts.append(step.value)
    return ", ".join(parts)
