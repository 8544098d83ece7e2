"""What a hint of a provider makes an engine read: the calendar alone where nothing else has changed, or all of a mailbox.

A calendar is read by a cycle of that one step, which writes as any other does. It is nobody's proof that a mailbox is well, and
tells of no failure: whatever hinders it, the ordinary cycle of the mailbox follows at once, which tells, retries and waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from engine.jobs.errands import Errand
from engine.jobs.queue import Priority
from engine.jobs.runner import PolicyRun
from engine.ledger import mailboxes
from engine.ledger.fence import Fence
from engine.ledger.health import LedgerFault
from engine.ledger.mailboxes import MailboxRecord
from engine.model.activity import Activity, ActivityKind
from engine.model.modules import EVENT_MODULES, Step
from engine.model.policy import Policy
from engine.model.states import CycleKind, PolicyState, UserState
from engine.runtime import rollouts
from engine.runtime.office import Office
from engine.runtime.timekeeper import FULL, Timekeeper
from engine.sync import cycle
from engine.sync.context import PolicyContext, Run, Stopped

log = logging.getLogger(__name__)


def suits(office: Office, record: MailboxRecord) -> bool:
    """Whether a mailbox is at rest, so that its calendar can be read alone: nothing waits, fails, or begins anew."""
    user = office.store.users.get(record.email)
    return (
        user is not None
        and user.state is UserState.IDLE
        and record.phase == "ready"
        and record.calendar_sync
        and not (record.fault or record.reinit or record.paused)
        and record.email not in office.runner.ordered
        and not rollouts.refusal(office, record.email)
    )


def _is_on(office: Office, policy: str) -> bool:
    row = office.store.policies.get(policy)
    return row is not None and row.state is PolicyState.ENABLED


async def read_calendars(office: Office, keeper: Timekeeper, policy: str, emails: Collection[str]) -> None:
    """Read the calendars of some mailboxes of a policy; all of a mailbox that is not at rest, or whose calendar fails."""
    try:
        records = await office.ledger.read(mailboxes.mailboxes, policy)
    except LedgerFault:
        return  # told by the service on every screen; the schedule comes by
    chosen = {one.email for one in records if one.email in emails and suits(office, one)}
    rest = set(emails) - chosen
    if rest:
        keeper.start(FULL.prefix + policy, rest, Priority.SCHEDULE)
    if not chosen or policy not in office.policies:
        return
    done: set[str] = set()

    async def work(context: PolicyContext, record: MailboxRecord, fence: Fence, stop: asyncio.Event) -> Run:
        if not keeper.serving or not _is_on(office, policy):
            raise Stopped("the policy was switched off, or the engine ends, before its turn came")
        return await cycle.run_cycle(context, record, fence, CycleKind.CALENDAR, stop, steps=(Step.CALENDAR,))

    async def heard(_: Policy, record: MailboxRecord, run: Run | None, failure: BaseException | None) -> None:
        if isinstance(failure, Stopped) or (failure is None and run is not None and not run.faults):
            done.add(record.email)
        paused = (await office.ledger.read(mailboxes.mailbox_by_id, record.id)).paused
        rest = UserState.PAUSED if paused else UserState.IDLE
        office.fold(
            Activity(
                ActivityKind.STATE,
                record.email,
                office.clock.now_ms(),
                policy=policy,
                state=rest if _is_on(office, policy) else UserState.DISABLED,
                cycle=CycleKind.CALENDAR,
            )
        )

    errand = Errand(
        work,
        chosen,
        writes=True,
        kind=CycleKind.CALENDAR,
        priority=Priority.SCHEDULE,
        modules=frozenset(EVENT_MODULES),
        initialised=True,
        heard=heard,
    )
    try:
        result = await office.runner.run_errand(office.policies[policy], errand)
    except LedgerFault:
        return
    except Exception:  # a fault of ours must not end the engine's other loops; the ordinary cycle shows it
        log.exception("reading calendars of %s failed", policy)
        result = PolicyRun()
    if not result.stopped and chosen - done:
        keeper.start(FULL.prefix + policy, chosen - done, Priority.SCHEDULE)
