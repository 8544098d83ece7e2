"""``syncline cycles``, ``undo``, ``reinit`` and ``leave``: told first, carried out when it is confirmed."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Any

from engine.service import (
    CycleRow,
    DropOrder,
    LeavePolicy,
    LeavePreview,
    Module,
    Reinit,
    Reinitialize,
    Service,
    UndoCycle,
    UndoPreview,
)
from tui import exits
from tui.exits import Trouble
from tui.format import MODULE_WORD, cycle_result
from tui.listing import show_csv
from tui.out import Out
from tui.printing import table
from tui.run import running

WHAT = {"restore": "restore", "remove": "remove", "recreate": "make again", "left": "left alone"}
PLACE = {"crm": "CRM", "mailbox": "mailbox", "": "-"}


def word(module: str) -> str:
    """A module as people say it; empty when it is no longer known."""
    return MODULE_WORD[Module(module)] if module else "-"


async def cycles(service: Service, given: Namespace, out: Out) -> int:
    """List the cycles that did something."""
    if given.drop is not None:
        answer = await service.do(DropOrder(given.drop), out.by)
        if not answer.ok:
            raise Trouble(exits.USAGE, answer.text)
        _print(given, out, {"done": answer.text}, answer.text)
        return exits.OK
    rows = await service.cycles(given.user, given.policy, given.limit)
    if given.json:
        out.show({"cycles": [dataclasses.asdict(row) for row in rows]})
    elif given.csv:
        await show_csv(
            out, map(dataclasses.asdict, rows), [field.name for field in dataclasses.fields(CycleRow)]
        )
    elif rows:
        out.print(cycles_text(rows, out.zone))
    else:
        out.print("no cycle has done anything yet")
    return exits.OK


async def undo(service: Service, given: Namespace, out: Out) -> int:
    """Tell what an undo would do, or do it."""
    preview = await service.undo_preview(given.cycle, given.user, whole_run=given.run)
    if not given.yes:
        _print(given, out, _undo_json(preview), undo_text(preview))
        return exits.OK
    answer = await service.do(UndoCycle(given.cycle, given.user, given.run), out.by)
    if not answer.ok:
        raise Trouble(exits.USAGE, answer.text, answer.details)
    left = await _carried_out(service)
    done = await _orders(service, [row.id for row in preview.cycles], "undo")
    if given.json:
        out.show({"cycles": [dataclasses.asdict(row) for row in done], "unfinished": left})
    else:
        out.print(cycles_text(done, out.zone))
        for line in (*answer.details, *left):
            out.print(line)
    return exits.FAULTS if left else exits.OK


async def _carried_out(service: Service) -> list[str]:
    async with running(service):
        return await service.carried_out()


async def _orders(service: Service, about: Sequence[int], kind: str) -> list[CycleRow]:
    rows = await service.cycles(limit=10_000)
    return [row for row in rows if row.kind == kind and row.about in about]


async def reinit(service: Service, given: Namespace, out: Out) -> int:
    """Let modules begin afresh; clear only with the number of items."""
    *users, word_ = given.words
    mode = Reinit(word_)
    modules = () if not given.module or "all" in given.module else tuple(dict.fromkeys(given.module))
    if given.policy is not None and given.policy not in service.store.policies:
        raise Trouble(exits.USAGE, f"there is no policy {given.policy!r}; nothing was changed")
    chosen = tuple(users) or tuple(row.id for row in service.store.users.values() if row.policy == given.policy)
    command = Reinitialize(chosen, mode, modules)
    if mode is Reinit.CLEAR:
        number = await service.clearable(chosen, modules)
        if given.yes != number:
            told = "\n".join(service.what_happens(command))
            raise Trouble(
                exits.USAGE,
                f"clear would remove {number:,} items; confirm with --yes {number}. Nothing was changed",
                told.splitlines(),
            )
    answer = await service.do(command, out.by)
    if not answer.ok:
        raise Trouble(exits.USAGE, answer.text, answer.details)
    _print(given, out, {"done": answer.text}, answer.text)
    return exits.OK


async def leave(service: Service, given: Namespace, out: Out) -> int:
    """Tell what leaving would remove, or do it."""
    preview = await service.leave_preview(given.policy, given.user, edited_too=given.edited)
    if given.yes is None:
        _print(given, out, _leave_json(preview), leave_text(preview, given.policy))
        return exits.OK
    if given.yes != preview.remove:
        raise Trouble(
            exits.USAGE,
            f"leaving would remove {preview.remove:,} items, not {given.yes:,}; nothing was changed",
            preview.said(given.policy),
        )
    answer = await service.do(LeavePolicy(given.policy, given.user or "", given.edited), out.by)
    if not answer.ok:
        raise Trouble(exits.USAGE, answer.text, answer.details)
    last = max((row.id for row in await service.cycles(limit=10_000) if row.kind == "leave"), default=0)
    left = await _carried_out(service)
    rows = [row for row in await service.cycles(limit=10_000) if row.kind == "leave" and row.id <= last]
    done = rows[: len(preview.containers)]
    if given.json:
        out.show({"cycles": [dataclasses.asdict(row) for row in done], "unfinished": left})
    else:
        out.print("\n".join([cycles_text(done, out.zone), *left]))
    return exits.FAULTS if left else exits.OK


# -- text --------------------------------------------------------------------------------------------------


def _print(given: Namespace, out: Out, value: dict[str, Any], text: str) -> None:
    if given.json:
        out.show(value)
    else:
        out.print(text)


def cycles_text(rows: Iterable[CycleRow], zone: tzinfo) -> str:
    """Cycles as a table."""

    def at(ms: int) -> str:
        return f"{datetime.fromtimestamp(ms / 1000, zone):%Y-%m-%d %H:%M}"

    return table(
        ("Cycle", "Began", "Mailbox", "Kind", "Created", "Updated", "Deleted", "Left", "Result"),
        [
            (
                str(row.id),
                at(row.started_ms),
                row.mailbox or "(removed)",
                row.kind,
                row.counts.get("created", 0),
                row.counts.get("updated", 0),
                row.counts.get("deleted", 0),
                row.left,
                cycle_result(row),
            )
            for row in rows
        ],
    )


def undo_text(preview: UndoPreview) -> str:
    """An undo's preview."""
    rows: list[tuple[object, ...]] = []
    for one in preview.lines:
        told = one.why or "; ".join(
            f"{label}: {now or '-'} -> {then or '-'}" for label, now, then in one.fields
        )
        rows.append((WHAT[one.what], one.mailbox, word(one.module), one.name, PLACE[one.side], told))
    parts = [*preview.said()]
    if rows:
        parts += ["", table(("What", "Mailbox", "Module", "Name", "In", "Fields, or why"), rows)]
    hidden = sum(preview.counts.values()) - len(rows)
    if hidden:
        parts.append(f"... and {hidden:,} more")
    if preview.writes:
        parts += ["", "Nothing was changed. --yes does it."]
    return "\n".join(parts)


def _undo_json(preview: UndoPreview) -> dict[str, Any]:
    return {**dataclasses.asdict(preview), "writes": preview.writes}


def leave_text(preview: LeavePreview, policy: str) -> str:
    """A leave's preview."""
    parts = list(preview.said(policy))
    if preview.rows:
        rows = [(row.mailbox, word(row.module), row.remove, row.edited, row.own) for row in preview.rows]
        parts += ["", table(("Mailbox", "Module", "Remove", "Edited", "Own"), rows)]
    stay = [f"{row.mailbox}: {one}" for row in preview.rows for one in row.examples]
    if stay:
        parts += ["", "These stay, among others (--edited removes them too):", *stay]
    made = sorted({name for names in preview.containers.values() for name in names})
    if made:
        parts += ["", f"Containers that go when they are empty: {', '.join(made)}"]
    if preview.remove:
        parts += ["", f"Nothing was changed. --yes {preview.remove} does it."]
    return "\n".join(parts)


def _leave_json(preview: LeavePreview) -> dict[str, Any]:
    return {**dataclasses.asdict(preview), "remove": preview.remove, "stay": preview.stay}
