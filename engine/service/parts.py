"""The parts of one open engine, and what every subject asks first: who is it, may he, is it known; and puts on record.

Names with an underscore are for this package alone: who holds the service has no business with the parts.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from engine.ledger import audit as audits
from engine.ledger.store import SqliteLedger
from engine.model.clock import Clock
from engine.model.states import PolicyState
from engine.monitor.actor import Actor, By, Role, actor_of, refusal
from engine.monitor.commands import Command
from engine.monitor.store import Store
from engine.runtime import lingering, rows
from engine.runtime.checks import verify_policy
from engine.runtime.desk import Desk
from engine.runtime.freshness import Watch
from engine.runtime.jobdesk import JobDesk
from engine.runtime.mailman import Mailman
from engine.runtime.office import Office
from engine.runtime.pushing import Pusher
from engine.runtime.timekeeper import Timekeeper
from engine.service.views import ServiceError


class Parts:
    """What one open engine is made of; the functions of this package are given it."""

    def __init__(self, office: Office, ledger: SqliteLedger) -> None:
        self._office = office
        self._ledger = ledger
        self._data_dir = Path()
        self._timekeeper = Timekeeper(office, self._verified, f"{os.uname().nodename}")
        self._mailman = Mailman(office)
        self._desk = Desk(office, self._timekeeper, self._mailman)
        self._watch = Watch(office)
        self._pusher = Pusher(office, self._timekeeper, ledger.path.parent)
        self._stale: list[tuple[str, str]] = []
        self._stop = asyncio.Event()
        self._stopped_by = ""
        self._running = False
        self._ledger_told = ""
        self._unnamed = Role.ADMIN

    def serves_others(self) -> None:
        """People connect to this engine from now on: whoever comes without a role may look, and nothing else."""
        self._unnamed = Role.VIEWER

    async def _load(self) -> None:
        """Take policies, rows and incidents from the ledger: when it is opened, and when a configuration was applied."""
        await self._office.load()
        await rows.build(self._office)
        await self._office.incidents.load()
        for name in self._office.policies:
            await lingering.look(self._office, name)
        await self._timekeeper.build()

    @property
    def store(self) -> Store:
        """All rows by id; read only for everybody but the engine."""
        return self._office.store

    @property
    def clock(self) -> Clock:
        """The engine's clock."""
        return self._office.clock

    @property
    def jobs(self) -> JobDesk:
        """Jobs that ship: their forms, next runs, and what their runs did."""
        return self._desk.jobs

    def _who(self, by: By) -> Actor:
        """Who asks, with his role."""
        return actor_of(by, self._unnamed)

    def _known(self, mailbox: str | None, policy: str | None) -> None:
        """Raises ``ServiceError`` when there is no such mailbox or policy; None stands for all."""
        if mailbox is not None and mailbox not in self.store.users:
            raise ServiceError(f"{mailbox!r} is no user of any policy")
        if policy is not None and policy not in self.store.policies:
            raise ServiceError(f"there is no policy {policy!r}")

    def _enabled(self, policy: str | None) -> list[str]:
        """The enabled ones among one policy or all; raises ``ServiceError`` when there is none."""
        if policy is not None and policy not in self.store.policies:
            known = ", ".join(self.store.policies) or "none"
            raise ServiceError(f"there is no policy {policy!r}; there are: {known}")
        names = [
            row.id
            for row in self.store.policies.values()
            if row.state is PolicyState.ENABLED and policy in {None, row.id}
        ]
        if not names:
            which = f"the policy {policy!r} is off" if policy else "no policy is on"
            raise ServiceError(f"{which}; enable it first (key o in the app, or enabled = true in the file)")
        return names

    async def _verified(self, policy: str) -> tuple[int, int]:
        """Read a policy back: how many checks there were, and how many of them failed."""
        found = await verify_policy(self._office, policy)
        return len(found), sum(not row.ok for row in found)

    async def _audit(
        self, by: By, command: str, target: str, result: str, before: str = "", after: str = ""
    ) -> None:
        """One entry of the audit log."""
        actor = self._who(by)

        def add(connection: Any, now: int) -> None:
            audits.add_audit(
                connection,
                now,
                actor.name,
                command,
                target,
                result,
                origin=actor.origin,
                before=before,
                after=after,
            )

        add.__name__ = audits.add_audit.__name__  # the unit of work is known by it
        await self._ledger.write(add, self.clock.now_ms())

    async def _refused(self, by: By, command: type[Command] | str, target: str) -> str:
        """Why somebody may not do something, which goes on record; empty when he may."""
        why = refusal(self._who(by), command)
        if why:
            name = command if isinstance(command, str) else command.__name__
            await self._audit(by, name, target, f"refused: {why}")
        return why

    async def _allow(self, by: By, call: str, target: str) -> None:
        """Raises ``ServiceError`` when somebody may not do something, which goes on record."""
        why = await self._refused(by, call, target)
        if why:
            raise ServiceError(why)
