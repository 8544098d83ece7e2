"""What a cycle of CalendarSynchronization does beside an ordinary one: its window, and what that leaves to the full sync.

It is a cycle of the calendar step alone, under the same fence, with the same journal, Delete Safety and recovery; only the
choice of what is planned differs (``engine.sync.window``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.ledger import calendar_window, links, mailboxes
from engine.ledger.links import LinkRow
from engine.ledger.mailboxes import MailboxRecord
from engine.model.modules import EVENT_MODULES, ItemOutcome, Module
from engine.sync.context import Run
from engine.sync.window import Window, is_in, shows


def window_of(record: MailboxRecord, now_ms: int, past_days: int) -> Window:
    """The window of a run for a mailbox: its first run looks back, later ones do not."""
    return Window(now_ms, past_days if record.calendar_first_at is None else None, record.zone or "UTC")


async def widen(run: Run) -> None:
    """Look again at what the full sync filtered because of its own window, as far as it may be inside this one.

    A first run does so for all of it, later ones for what lies far ahead; what is outside here, too, goes back to the full sync.
    """
    assert run.window is not None
    names = [module.value for module in Module if module in EVENT_MODULES]
    ids = await run.ledger.read(
        calendar_window.out_of_window, run.record.id, names, past=run.window.past_days is not None
    )
    if ids:
        await run.ledger.write(calendar_window.reopen, run.fence, ids)


async def narrow(run: Run, rows: Sequence[LinkRow]) -> list[LinkRow]:
    """The links that are inside the window; the others are counted as filtered and left to the full sync."""
    window = run.window
    assert window is not None
    outside = [row for row in rows if not shows(row, window)]
    series = [row.id for row in outside if _is_series(row)]
    if series:
        moved = await run.ledger.read(links.occurrences_of, series)
        back = {key for key, some in moved.items() if any(is_in(fields, window) for fields in some)}
        outside = [row for row in outside if row.id not in back]
    if not outside:
        return list(rows)
    left = {row.id for row in outside}
    await run.ledger.write(calendar_window.defer, run.fence, sorted(left))
    run.filtered[window.reason] += len(outside)
    counts = Counter(Module(row.module) for row in outside)
    run.count({(module, ItemOutcome.FILTERED): number for module, number in counts.items()})
    return [row for row in rows if row.id not in left]


def _is_series(row: LinkRow) -> bool:
    return any(side is not None and side.fields.get("rule") for side in (row.crm, row.mailbox))


async def first_run_ended(run: Run) -> None:
    """The first run of the job for this mailbox has ended well: from now on it looks at the future alone.

    Not while anything of its window is still to be written: what is past and tried again later would be filtered then.
    """
    if run.record.calendar_first_at is not None:
        return
    names = [module.value for module in Module if module in EVENT_MODULES]
    pending = await run.ledger.read(links.pending, run.record.id, names, deferred=False)
    if not pending.dirty and not pending.open:
        await run.ledger.write(mailboxes.set_mailbox_fenced, run.fence, calendar_first_at=run.clock.now_ms())
