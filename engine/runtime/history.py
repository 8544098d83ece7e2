"""The history of cycles, and the previews of undo, leave and re-initialise: read from the ledger, nothing is written."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from engine.ledger import history as journals
from engine.ledger import mailboxes
from engine.ledger import undo as units
from engine.ledger.fence import Fence
from engine.ledger.leave import MADE
from engine.ledger.undo import CycleRecord
from engine.model.canonical import FIELDS, display_name
from engine.model.modules import ItemOutcome, Module
from engine.monitor.calls import HOURS
from engine.monitor.fold import WRITTEN
from engine.monitor.history import CycleRow, DayRow, LeavePreview, LeaveRow, UndoLine, UndoPreview
from engine.runtime.held import LONGEST, said
from engine.runtime.office import Office
from engine.sync.context import PolicyContext
from engine.sync.leave import OWN, judge_page, removal_of
from engine.sync.undo import UndoRow, What
from engine.sync.undoing import plan_page, undoing_of

#: Lines of an undo's preview that are handed out; the counts are of all.
MOST_LINES = 2_000

_HOUR_MS = 3_600_000

#: Items that stay are named up to so many per mailbox and module.
EXAMPLES = 3


def context_of(office: Office, policy: str) -> PolicyContext:
    """What planning needs of a policy; no provider is called.

    Raises:
        ProviderError: the settings of a connection cannot work.
    """
    rules = office.policies[policy]
    return PolicyContext(
        office.ledger,
        office.clock,
        office.fold,
        rules,
        office.crm(rules.crm),
        office.mailbox(rules.mailbox),
        Fence(policy, 0, 0),
        [],
        asyncio.Event(),
    )


async def cycles(office: Office, emails: Collection[str] | None, limit: int = 200) -> list[CycleRow]:
    """Cycles of some mailboxes, or of all, youngest first."""
    ids = None if emails is None else [office.mailbox_ids[email] for email in emails]
    found = await office.ledger.read(units.cycles, ids, limit=limit)
    return _rows(office, found)


async def day(office: Office, mailbox: str) -> DayRow:
    """What the cycles of a mailbox did in the last 24 hours."""
    now = office.clock.now_ms()
    since = now - HOURS * _HOUR_MS
    found = await office.ledger.read(journals.cycles_since, office.mailbox_ids[mailbox], since)
    hours, errors = [0] * HOURS, 0
    for began, _, counts in found:
        by = _by_outcome(counts)
        hours[min((began - since) // _HOUR_MS, HOURS - 1)] += sum(by.get(outcome, 0) for outcome in WRITTEN)
        errors += by.get(ItemOutcome.FAILED, 0)
    failed = sum(state == "failed" for _, state, _ in found)
    return DayRow(len(found), failed, sum(hours), errors, office.hourly.total(mailbox, now), tuple(hours))


def _rows(office: Office, found: Iterable[CycleRecord]) -> list[CycleRow]:
    names = {mailbox_id: email for email, mailbox_id in office.mailbox_ids.items()}
    return [
        CycleRow(
            one.id,
            names.get(one.mailbox_id, ""),
            one.policy,
            one.kind,
            one.state,
            one.started_at,
            one.ended_at,
            _by_outcome(one.counts),
            one.wrote,
            one.left,
            one.about,
            one.undone_by,
            one.error,
        )
        for one in found
    ]


def _by_outcome(counts: Mapping[str, Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for name, number in counts.items():
        _module, _, outcome = name.partition(".")
        if outcome:
            found[outcome] += int(number)
    return dict(found)


async def chosen(office: Office, cycle: int, mailbox: str, *, whole_run: bool) -> list[CycleRow]:
    """The cycles that an undo concerns: one, or those of the same run (all, or a mailbox's); empty when there is none."""
    ids = await office.ledger.read(units.cycles_of_run, cycle) if whole_run or mailbox else [cycle]
    found = _rows(office, await office.ledger.read(units.cycles, ids=ids, limit=len(ids) or 1))
    return [one for one in found if mailbox in {"", one.mailbox}]


async def undo_preview(office: Office, rows: Sequence[CycleRow]) -> UndoPreview:
    """What undoing these cycles would do, from what both sides last showed."""
    counts: Counter[str] = Counter()
    lines: list[UndoLine] = []
    for row in rows:
        if row.policy not in office.policies or not row.mailbox:
            continue
        context = context_of(office, row.policy)
        undoing = await undoing_of(context, row.mailbox, row.id, [])
        after = 0
        while (page := await plan_page(office.ledger, undoing, None, after)) is not None:
            after = page.last
            counts.update(one.what.value for one in page.rows)
            room = MOST_LINES - len(lines)
            lines += [_line(row.mailbox, one) for one in page.rows[: max(room, 0)]]
            await asyncio.sleep(0)
    return UndoPreview(tuple(rows), dict(counts), tuple(lines))


def _line(mailbox: str, row: UndoRow) -> UndoLine:
    if not row.module:
        return UndoLine(mailbox, "", "an item", row.side, row.what.value, (), row.why)
    module = Module(row.module)
    private = bool(row.fields.get("private"))
    fields: tuple[tuple[str, str, str], ...] = ()
    if row.what is What.RESTORE and not private:
        table = FIELDS[module]
        fields = tuple(
            (table[name].label, _value(module, name, row.now.get(name)), _value(module, name, value))
            for name, value in row.then.items()
        )
    name = "(private)" if private else display_name(module, row.fields)
    return UndoLine(mailbox, module.value, name, row.side, row.what.value, fields, row.why)


def _value(module: Module, name: str, value: Any) -> str:
    return "" if value is None else said(FIELDS[module][name].kind, value)[:LONGEST]


async def leave_preview(office: Office, emails: Sequence[str], *, edited_too: bool) -> LeavePreview:
    """What leaving some mailboxes would do, from what they last showed."""
    rows: list[LeaveRow] = []
    containers: dict[str, tuple[str, ...]] = {}
    for email in emails:
        record = await office.ledger.read(mailboxes.mailbox_by_id, office.mailbox_ids[email])
        containers[email] = tuple(
            sorted(name.removeprefix(MADE) for name in record.containers if name.startswith(MADE))
        )
        rows += await _leaving(office, email, tuple(Module), edited_too=edited_too)
    return LeavePreview(tuple(rows), containers)


async def _leaving(
    office: Office, email: str, modules: Sequence[Module], *, edited_too: bool
) -> list[LeaveRow]:
    policy = office.store.users[email].policy
    removal = removal_of(context_of(office, policy), email, "leave", edited_too=edited_too)
    found: list[LeaveRow] = []
    for module in modules:
        numbers: Counter[str] = Counter()
        examples: list[str] = []
        after = 0
        while (
            page := await judge_page(office.ledger, office.mailbox_ids[email], removal, [module], after)
        ) is not None:
            after = page.last
            for one in page.judged:
                kind = "remove" if not one.why else "own" if one.why == OWN else "edited"
                numbers[kind] += 1
                item = one.row.mailbox
                if kind == "edited" and item is not None and len(examples) < EXAMPLES:
                    private = bool(item.fields.get("private"))
                    name = "(private)" if private else display_name(module, item.fields)
                    examples.append(f"{name}: {one.why}")
            await asyncio.sleep(0)
        if numbers:
            found.append(
                LeaveRow(
                    email, module.value, numbers["remove"], numbers["edited"], numbers["own"], tuple(examples)
                )
            )
    return found


async def clearable(office: Office, emails: Iterable[str], modules: Sequence[Module]) -> int:
    """How many items Clear would remove before it sends them anew."""
    total = 0
    for email in emails:
        total += sum(row.remove for row in await _leaving(office, email, modules, edited_too=False))
    return total
