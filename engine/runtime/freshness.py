"""The alarm for who is not synced any more although nothing reports a fault: begun, told, recorded, and ended."""

from __future__ import annotations

from functools import partial

from engine.jobs.schedule import next_due
from engine.model.activity import Activity, ActivityKind
from engine.model.incident import IncidentKind, Strike
from engine.model.policy import Scheduling
from engine.model.states import PolicyState
from engine.monitor.freshness import look, stale_at
from engine.monitor.rows import UserRow
from engine.monitor.store import Table
from engine.monitor.why import why_user
from engine.runtime import words
from engine.runtime.office import Office


class Watch:
    """Looks at every user now and then. It keeps when each would become stale, since that is costly to work out."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._limits: dict[str, tuple[int, Scheduling, int | None]] = {}

    def look(self) -> list[tuple[str, str]]:
        """Mark who is stale and who is fresh again, with a monitor line for each.

        Returns:
            who has become stale: address, and what is to be recorded of it.
        """
        office, now = self._office, self._office.clock.now_ms()
        began: list[tuple[str, str]] = []
        changed = False
        for row in office.store.users.values():
            policy = office.store.policies[row.policy]
            limit = self._limit(row)
            expected = policy.state is PolicyState.ENABLED and self._had_its_chance(row, now)
            before = row.state
            if look(row, limit, now, expected=expected):
                changed = True
                if row.stale_since_ms is None:
                    self._line(row, "✓", "fresh again: a cycle has ended well", now)
                    office.fold.faults.heal(IncidentKind.STALE, row.id, now)
                else:
                    began.append((row.id, self._alarm(row, now)))
            elif row.state is not before:
                changed = True
        if changed or began:
            self._count()
        if began:
            self._tell(began, now)
        return began

    def _limit(self, row: UserRow) -> int | None:
        if row.last_success_ms is None:
            return None
        scheduling = self._office.policies[row.policy].scheduling
        known = self._limits.get(row.id)
        if known is None or known[:2] != (row.last_success_ms, scheduling):
            limit = stale_at(row.last_success_ms, partial(_due, scheduling))
            known = self._limits[row.id] = (row.last_success_ms, scheduling, limit)
        return known[2]

    def _had_its_chance(self, row: UserRow, now: int) -> bool:
        """An engine that has just been started, or a user that was just let run, gets one interval to catch up."""
        engine = self._office.store.engine
        awake = max(engine.started_ms if engine.running else 0, row.awake_ms)
        if not awake:
            return True
        chance = _due(self._office.policies[row.policy].scheduling, awake)
        return chance is not None and now > chance

    def _alarm(self, row: UserRow, now: int) -> str:
        reason = why_user(self._office.store, row.id, now)[-1]
        last = words.clock_utc(row.last_success_ms or 0)
        text = f"stale: no cycle has ended well since {last}, more than three intervals ago. {reason}"
        self._line(row, "!", text, now)
        if self._office.incidents.live(row.id) is None:  # else it is told already why
            advice = "W in the Queue tells why, and what to do."
            self._office.fold.faults.strike(
                Strike(IncidentKind.STALE, row.policy, row.id, None, text, advice, "", now, person=True)
            )
        return text

    def _line(self, row: UserRow, sign: str, text: str, now: int) -> None:
        kept = row.text
        self._office.fold(
            Activity(ActivityKind.NOTE, row.id, now, policy=row.policy, sign=sign, text=text, ok=sign != "!")
        )
        row.text = kept

    def _count(self) -> None:
        store = self._office.store
        for policy in store.policies.values():
            policy.stale = 0
        for row in store.users.values():
            if row.stale_since_ms is not None:
                store.policies[row.policy].stale += 1
            store.touch(Table.USERS, row)
        for policy in store.policies.values():
            store.touch(Table.POLICIES, policy)
        store.engine.stale = sum(policy.stale for policy in store.policies.values())
        self._office.fold.recount()

    def _tell(self, began: list[tuple[str, str]], now: int) -> None:
        engine = self._office.store.engine
        more = f" and {len(began) - 1:,} more" if len(began) > 1 else ""
        engine.message = f"{began[0][0]}{more}: no cycle has ended well for three intervals; W tells why."
        engine.message_ms, engine.message_ok = now, False
        self._office.store.touch(Table.ENGINE, engine)


def _due(scheduling: Scheduling, ended_ms: int) -> int | None:
    return next_due(scheduling, ended_ms).at_ms
