"""What happened: activity lines, runs, cycles and what they wrote, and the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger import audit as audits
from engine.ledger import history
from engine.model.incident import IncidentKind, Strike
from engine.monitor.audited import AuditRow
from engine.monitor.history import CycleRow, DayRow, WrittenRow
from engine.monitor.rows import Line, RunRow
from engine.runtime import history as histories
from engine.runtime import written
from engine.runtime.timekeeper import run_row
from engine.service.parts import Parts
from engine.service.upkeep import flush


async def lines(parts: Parts, mailbox: str, before_seq: int | None = None, limit: int = 200) -> list[Line]:
    """Older monitor lines of a mailbox from disk, oldest first."""
    mailbox_id = parts._office.mailbox_ids.get(mailbox)
    if mailbox_id is None:
        return []
    found = await parts._ledger.read(history.lines, mailbox_id, before_seq, limit)
    return [Line(row.id, row.at, row.sign, row.text, row.level) for row in found]


async def newest_lines(parts: Parts, limit: int, mailbox: str | None = None) -> list[tuple[str, Line]]:
    """The newest monitor lines of a mailbox or of all, each with its mailbox, oldest first; of memory and disk.

    Raises:
        ServiceError: there is no such mailbox.
    """
    parts._known(mailbox, None)
    await flush(parts)
    chosen = None if mailbox is None else parts._office.mailbox_ids[mailbox]
    found = await parts._ledger.read(history.newest_lines, limit, chosen)
    return [(row.mailbox, Line(row.id, row.at, row.sign, row.text, row.level)) for row in found]


async def runs(parts: Parts, job: str, limit: int = 50) -> list[RunRow]:
    """Past runs of a job, youngest first."""
    return [run_row(row) for row in await parts._ledger.read(history.runs, job, limit)]


async def cycles(
    parts: Parts, mailbox: str | None = None, policy: str | None = None, limit: int = 200
) -> list[CycleRow]:
    """Cycles that did something, youngest first: of a mailbox, of a policy, or of all.

    Raises:
        ServiceError: there is no such mailbox or policy.
    """
    parts._known(mailbox, policy)
    emails = [
        row.id
        for row in parts.store.users.values()
        if mailbox in {None, row.id} and policy in {None, row.policy}
    ]
    whose = None if mailbox is None and policy is None else emails
    return await histories.cycles(parts._office, whose, limit)


async def day(parts: Parts, mailbox: str) -> DayRow:
    """What the cycles of a mailbox did in the last 24 hours.

    Raises:
        ServiceError: there is no such mailbox.
    """
    parts._known(mailbox, None)
    return await histories.day(parts._office, mailbox)


async def cycle_items(parts: Parts, cycle: int, after: int = 0, limit: int = 500) -> list[WrittenRow]:
    """What a cycle wrote, in the order of the journal: one page.

    Args:
        cycle: its number.
        after: ``id`` of the last row of the page before.
        limit: at most so many rows.
    """
    return await written.cycle_items(parts._office, cycle, after, limit)


async def note(parts: Parts, what: str, target: str, text: str) -> None:
    """Put into the audit log what the engine did without a command, such as whom it sent away."""
    await parts._audit("engine", what, target, text)


async def logins(parts: Parts, front: str, fault: str = "", advice: str = "") -> None:
    """Whether people can log in over a front: an incident while they cannot, which is over when they can again.

    Args:
        front: ``ssh``.
        fault: why nobody can; empty when all is well.
        advice: what to do.
    """
    office = parts._office
    if not fault:
        await office.incidents.heal(IncidentKind.LOGIN, front)
        return
    now = office.clock.now_ms()
    await office.incidents.strike(Strike(IncidentKind.LOGIN, "", front, None, fault, advice, "login", now))


async def audit(
    parts: Parts, before_id: int | None = None, limit: int = 200, words: Sequence[str] = ()
) -> list[AuditRow]:
    """The audit log, the youngest entry first; ``words`` must all occur in an entry, whatever their case."""
    found = await parts._ledger.read(audits.read, before_id, limit, tuple(words))
    return [
        AuditRow(
            row.id,
            row.at,
            row.actor,
            row.origin,
            row.command,
            row.object,
            row.before,
            row.after,
            row.result,
        )
        for row in found
    ]
