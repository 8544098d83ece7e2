"""The service itself: its life, and the list of what may be asked of it.

What may be asked is a plain function in the module of its subject and is given the parts; there it is told what it
does and what it raises. A new one is written there, and named here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from engine.jobs.queue import EmbeddedQueue
from engine.ledger import fence, history
from engine.ledger.health import LedgerFault
from engine.ledger.lock import LedgerBusy
from engine.ledger.store import LedgerDamaged, SqliteLedger
from engine.model.clock import Clock, SystemClock
from engine.model.config import ConfigErrors
from engine.monitor.actor import By
from engine.monitor.commands import Answer
from engine.monitor.fold import Fold
from engine.monitor.store import Store
from engine.runtime.heartbeat import heartbeat
from engine.runtime.office import Office
from engine.service import (
    checks,
    commands,
    configuration,
    explaining,
    held,
    orders,
    past,
    previews,
    reports,
    upkeep,
    work,
)
from engine.service.parts import Parts
from engine.service.views import EngineBusy, ServiceError

#: Cycles that run at once. Providers' quotas are the limit, not this.
SLOTS = 16

#: A stop waits so long for cycles to reach a page boundary, in seconds.
STOP_SECONDS = 8.0


class Service(Parts):
    """One open engine on one data directory: its life, and all that may be asked of it, by subject."""

    # configuration
    apply = configuration.apply
    reload = configuration.reload
    export = configuration.export
    policy_draft = configuration.policy_draft
    connection_draft = configuration.connection_draft
    connections = configuration.connections
    preview_import = configuration.preview_import
    export_users = configuration.export_users

    # what happened
    lines = past.lines
    newest_lines = past.newest_lines
    runs = past.runs
    cycles = past.cycles
    day = past.day
    cycle_items = past.cycle_items
    audit = past.audit
    note = past.note
    logins = past.logins

    # what waits
    waiting = held.waiting
    conflicts = held.conflicts
    refusal = held.refusal
    filed = held.filed

    # why
    explain = explaining.explain
    why = explaining.why
    filtered = explaining.filtered

    # previews
    preview = previews.preview
    preview_running = previews.preview_running
    preview_finished = previews.preview_finished
    preview_report = previews.preview_report
    preview_rows = previews.preview_rows

    # orders
    undo_preview = orders.undo_preview
    leave_preview = orders.leave_preview
    clearable = orders.clearable
    carried_out = orders.carried_out

    # checks
    doctor = checks.doctor
    checklist = checks.checklist
    rollout = checks.rollout
    verify = checks.verify
    verify_report = checks.verify_report

    # reports
    status = reports.status
    report = reports.report
    incidents = reports.incidents
    mails_of = reports.mails_of
    initialising = reports.initialising
    export_table = reports.export_table
    support = reports.support

    # doing
    what_happens = commands.what_happens
    do = commands.do

    # work that is waited for
    check_labels = work.check_labels
    sync = work.sync
    run_job = work.run_job

    _flush = upkeep.flush

    @classmethod
    async def open(cls, data_dir: Path, *, clock: Clock | None = None) -> Service:
        """Open or create the engine's data directory (0700) and take it for this process.

        Raises:
            EngineBusy: another engine holds it.
            ServiceError: its ledger cannot be used.
        """
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            ledger = await SqliteLedger.open(data_dir / "ledger.sqlite", clock=clock)
        except LedgerBusy as error:
            raise EngineBusy(str(error)) from error
        except (LedgerDamaged, LedgerFault) as error:
            raise ServiceError(str(error)) from error
        except OSError as error:
            raise ServiceError(
                f"cannot use the directory {data_dir}: {error.strerror}; name another with --data-dir"
            ) from error
        clock = clock or SystemClock()
        store = Store()
        service = cls(Office(ledger, clock, store, Fold(store), EmbeddedQueue()), ledger)
        service._data_dir = data_dir
        try:
            service._office.runner.lease = await ledger.write(_begin, clock.now_ms())
            await service._load()
        except LedgerFault as fault:
            await service.close()
            raise ServiceError(str(fault)) from fault
        except ConfigErrors as errors:
            await service.close()
            raise ServiceError(
                "the stored configuration is not valid for this version: "
                f"{'; '.join(str(problem) for problem in errors.problems)}. Apply a corrected file to another "
                "--data-dir, or install the version that wrote it"
            ) from errors
        except BaseException:
            await service.close()
            raise
        return service

    @contextlib.asynccontextmanager
    async def running(self, *, schedule: bool = True) -> AsyncIterator[None]:
        """Start the loops; on the way out cycles stop at their next page boundary and everything is stored.

        Without ``schedule`` nothing runs but what is asked for.
        """
        office = self._office
        self._stop.clear()
        office.store.engine.running = True
        office.store.engine.started_ms = self.clock.now_ms()
        office.store.engine.slots = SLOTS
        queue_stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                queue = group.create_task(office.queue.serve(office.runner.handle, SLOTS, queue_stop))
                keeper = group.create_task(self._timekeeper.serve(self._stop, schedule=schedule))
                loops = [
                    group.create_task(loop)
                    for loop in (
                        upkeep.seconds(self),
                        heartbeat(office.store.engine, self.clock),
                        self._mailman.serve(),
                        self._pusher.serve(),
                    )
                ]
                await asyncio.sleep(0)  # the loops take their places before anybody asks for anything
                self._running = True
                try:
                    yield
                finally:
                    self._running = False
                    self._stop.set()
                    # A provider may let us wait longer than a person who quits does: what is cut short then is
                    # written ahead in the ledger, and the next start settles it.
                    await asyncio.wait({keeper}, timeout=STOP_SECONDS)
                    queue_stop.set()
                    await asyncio.wait({keeper, queue}, timeout=STOP_SECONDS)
                    for task in (keeper, queue, *loops):
                        task.cancel()
        finally:
            office.store.engine.running = False
            await self._flush()

    async def stop(self, by: By = "") -> Answer:
        """Ask everything to stop at the next page boundary; ``running`` then ends.

        Args:
            by: the admin who asks; nobody for a signal.
        """
        if by:
            refused = await self._refused(by, "stop", "engine")
            if refused:
                return Answer(False, refused)
            await self._audit(by, "stop", "engine", "the engine stops")
            self._stopped_by = self._who(by).name
        self._stop.set()
        return Answer(True, "the engine stops at its next page")

    async def stop_asked(self) -> str:
        """Wait until somebody has asked the engine to stop; returns who, empty for a signal."""
        await self._stop.wait()
        return self._stopped_by

    async def close(self) -> None:
        """Close connections and the ledger."""
        await self._office.close_connectors()
        await self._ledger.close()


def _begin(connection: Any, now: int) -> int:
    """A new engine on this ledger: older epochs end, open records of a dead process are closed. Returns its lease."""
    token = fence.take_all(connection)
    history.abandon_runs(connection, now)
    return token
