"""Incidents on one engine: stored in the ledger, shown in the store, with the time at which their mail is due."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from engine.ledger import incidents as units
from engine.ledger.incidents import Incident
from engine.ledger.store import Ledger
from engine.model.clock import Clock
from engine.model.incident import LIVE, Heal, IncidentKind, IncidentState, Strike, key_of, legs
from engine.model.policy import Connection, Policy
from engine.model.states import FaultClass
from engine.monitor.rows import IncidentRow
from engine.monitor.store import Store, Table

#: Kinds of which no failure mail is sent: about mails themselves, and about what polling makes good.
UNMAILED = frozenset({IncidentKind.MAIL, IncidentKind.PUSH})

#: A policy whose connection gives its retries up (its notification frequency) is told by the cancel; this much later it is
#: told all the same, milliseconds.
AFTER_CANCEL_MS = 60_000

#: Incidents that are over and still shown.
MOST_CLOSED = 500


class Incidents:
    """The incidents of one engine. All methods but ``live`` write the ledger and then the store."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        store: Store,
        policies: Mapping[str, Policy],
        connections: Mapping[str, Connection],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._store = store
        self.policies = policies
        self.connections = connections

    def live(self, subject: str, kind: IncidentKind = IncidentKind.CYCLE) -> IncidentRow | None:
        """The live incident of a mailbox (or another subject) of which this fails, as far as it is stored."""
        row = self._store.live_incidents.get(key_of(kind, subject))
        return row if row is not None and kind in legs(row.kind) else None

    async def load(self) -> None:
        """Show what the ledger has: at the start, and after the configuration changed.

        What is about a mailbox or policy that is not there any more is dismissed, and so is a job's trouble with somebody who
        is its operator no more.
        """
        now, gone = self._clock.now_ms(), []
        found = await self._ledger.read(units.shown, MOST_CLOSED)
        old = [one for one in found if one.state in LIVE and one.key != key_of(legs(one.kind)[0], one.subject)]
        if old:
            await self._ledger.write(units.adopt, old, now)
            found = await self._ledger.read(units.shown, MOST_CLOSED)
        for one in found:
            policy = self.policies.get(one.policy)
            user = self._store.users.get(one.subject)
            left = one.mailbox_id and (user is None or user.policy != one.policy)
            if (one.state in {"open", "cancelled"}) and one.policy and (policy is None or left):
                gone += [
                    Heal(IncidentKind(leg), one.subject, now, IncidentState.DISMISSED) for leg in legs(one.kind)
                ]
            elif user is not None and not user.calendar_sync and IncidentKind.JOB in legs(one.kind):
                gone.append(Heal(IncidentKind.JOB, one.subject, now, IncidentState.DISMISSED))
        if gone:
            await self._ledger.write(units.record, [], gone)
            found = await self._ledger.read(units.shown, MOST_CLOSED)
        self._store.incidents = {}
        self._store.live_incidents = {}
        self.show(found)
        self._store.reshape(Table.INCIDENTS)

    def timed(self, strikes: Iterable[Strike]) -> list[Strike]:
        """Faults with the time for which each is retried before its mail is due."""
        return [replace(one, wait_ms=self.wait_ms(one)) for one in strikes]

    def wait_ms(self, strike: Strike) -> int | None:
        """How long a fault is retried before its failure mail is due, milliseconds; None: no mail is sent for it."""
        policy = self.policies.get(strike.policy)
        if strike.kind in UNMAILED or policy is None:
            return None
        connection = self.connections.get(policy.mailbox)
        given_up = connection.settings.get("notification_frequency") if connection is not None else None
        if strike.kind in {IncidentKind.CYCLE, IncidentKind.JOB} and isinstance(given_up, int):
            return given_up * 60_000 + AFTER_CANCEL_MS
        return policy.notify_after_minutes * 60_000

    async def strike(self, *strikes: Strike) -> None:
        """Record faults that no activity of a cycle tells."""
        self.show(await self._ledger.write(units.record, self.timed(strikes), []))

    async def heal(self, kind: IncidentKind, *subjects: str) -> None:
        """What these are about is well again. Nothing is written when no incident says otherwise."""
        await self._end(kind, subjects, IncidentState.HEALED)

    async def dismiss(self, kind: IncidentKind, *subjects: str) -> None:
        """What these are about is gone or was switched off: over, but not healed."""
        await self._end(kind, subjects, IncidentState.DISMISSED)

    async def dismiss_all(self, kind: IncidentKind) -> None:
        """All of a kind are over, but not healed."""
        rows = list(self._store.live_incidents.values())
        await self.dismiss(kind, *(row.subject for row in rows if kind in legs(row.kind)))

    async def _end(self, kind: IncidentKind, subjects: Iterable[str], state: IncidentState) -> None:
        now = self._clock.now_ms()
        heals = [Heal(kind, one, now, state) for one in subjects if self.live(one, kind) is not None]
        if heals:
            self.show(await self._ledger.write(units.record, [], heals))

    async def cancel(
        self, subject: str, text: str, advice: str = "", kind: IncidentKind = IncidentKind.CYCLE
    ) -> bool:
        """Give up what is retried; the failure mail is due at once.

        Returns:
            whether it became cancelled now: False when nothing of it is open, or it was given up already.
        """
        done = await self._ledger.write(units.cancel, key_of(kind, subject), text, advice, self._clock.now_ms())
        if done is not None:
            self.show([done])
        return done is not None

    async def acknowledge(self, ids: Collection[int], by: str) -> int:
        """Somebody has seen live incidents. Returns how many nobody had seen before."""
        changed = await self._ledger.write(units.acknowledge, ids, by, self._clock.now_ms())
        self.show(changed)
        return len(changed)

    def show(self, records: Iterable[Incident]) -> None:
        """Bring records that changed to the screens."""
        store, came = self._store, False
        for one in records:
            row = store.incidents.get(str(one.id))
            if row is None:
                row = store.incidents[str(one.id)] = _row(one)
                came = True
            else:
                _update(row, one)
            if row.live:
                store.live_incidents[one.key] = row
            elif store.live_incidents.get(one.key) is row:
                del store.live_incidents[one.key]
            store.touch(Table.INCIDENTS, row)
        over = [key for key, row in store.incidents.items() if not row.live]
        for key in over[: max(len(over) - MOST_CLOSED, 0)]:
            del store.incidents[key]
            came = True
        if came:
            store.reshape(Table.INCIDENTS)
        live = store.live_incidents.values()
        store.engine.incidents = len(live)
        store.engine.unseen = sum(not row.seen_by for row in live)
        store.touch(Table.ENGINE, store.engine)


def _row(one: Incident) -> IncidentRow:
    row = IncidentRow(
        str(one.id),
        one.kind,
        one.policy,
        one.subject,
        None,
        "",
        "",
        "",
        one.state,
        one.first_at,
        one.last_at,
        0,
    )
    _update(row, one)
    return row


def _update(row: IncidentRow, one: Incident) -> None:
    row.kind, row.policy = one.kind, one.policy
    row.fault_class = FaultClass(one.fault_class) if one.fault_class else None
    row.phase, row.text, row.advice, row.state = one.phase, one.text, one.advice, one.state
    row.last_ms, row.count, row.closed_ms, row.due_ms = one.last_at, one.count, one.closed_at, one.due_at
    row.told, row.seen_by, row.seen_ms = one.told, one.seen_by, one.seen_at
