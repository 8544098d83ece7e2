"""``syncline preview``: what the next cycle or the first sync would do, applied in whole or in part, or dropped."""

from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from datetime import tzinfo

from engine.service import (
    ApplyPreview,
    DropPreview,
    FieldChange,
    PolicyState,
    PreviewReport,
    PreviewRow,
    PreviewSum,
    Service,
)
from tui import exits
from tui.exits import Trouble
from tui.out import Out
from tui.printing import plain, table, when
from tui.run import running

#: Longest value of a field.
LONGEST = 60

#: What a row of sums counts, in the order of its columns.
COUNTS = (
    "create",
    "update",
    "delete",
    "merge",
    "held",
    "container",
    "filtered",
    "unchanged",
    "guests",
    "outdated",
)

_PLACE = {"crm": "CRM", "mailbox": "mailbox", "": ""}


async def preview(service: Service, given: Namespace, out: Out) -> int:
    """Make and show a preview, apply one, or drop one."""
    policy = given.words[-1]
    action = given.words[0] if len(given.words) > 1 else "show"
    async with running(service, schedule=False):
        if action == "apply":
            code = await _apply(service, policy, given, out)
        elif action == "drop":
            answer = await service.do(DropPreview(policy, given.user or ""), out.by)
            code = _said(answer.ok, answer.text, (), given, out)
        else:
            if not given.last:
                await service.preview(policy, out.by, given.user)
            code = await _show(service, policy, given, out)
    return exits.INTERRUPTED if out.stopped.is_set() else code


async def _show(service: Service, policy: str, given: Namespace, out: Out) -> int:
    report = await service.preview_report(policy, given.user)
    if report.previewed == 0:
        raise Trouble(
            exits.REFUSED if report.last else exits.USAGE,
            report.last or f"there is no preview of {given.user or policy} of the last 24 hours",
            [text for _, text in report.faults],
        )
    if given.json and not given.details:
        out.show({**dataclasses.asdict(report), "totals": totals(report.sums)})
    elif given.json:
        # One line each: a large company's rows need not stand in memory.
        out.print(json.dumps({**dataclasses.asdict(report), "totals": totals(report.sums)}, ensure_ascii=False))
        async for row in _rows(service, report):
            out.print(json.dumps(dataclasses.asdict(row), ensure_ascii=False))
            await out.drain()
    else:
        out.print(report_text(report, out.zone))
        if given.details:
            async for row in _rows(service, report):
                out.print("\n".join(row_lines(row)))
                await out.drain()
    return exits.FAULTS if report.faults else exits.OK


async def _rows(service: Service, report: PreviewReport) -> AsyncIterator[PreviewRow]:
    for mailbox in dict.fromkeys(one.mailbox for one in report.sums):
        after = 0
        while page := await service.preview_rows(report.policy, mailbox, after=after):
            for row in page:
                yield row
            after = page[-1].seq


async def _apply(service: Service, policy: str, given: Namespace, out: Out) -> int:
    if policy not in service.store.policies:
        raise Trouble(exits.USAGE, f"there is no policy {policy!r}")
    before = service.store.policies[policy].state
    command = ApplyPreview(
        policy,
        given.user or "",
        tuple(given.ids) if given.ids is not None else None,
        tuple(given.module or ()),
        tuple(given.kind or ()),
    )
    answer = await service.do(command, out.by)
    if not answer.ok:
        return _said(False, answer.text, answer.details, given, out)
    if before is PolicyState.DISABLED and service.store.policies[policy].state is PolicyState.ENABLED:
        # The whole of a first sync: it runs to its end here.
        report = await service.sync(policy, out.by)
        failed = [user["email"] for user in report["users"] if user["state"] == "failed"]
        return _said(
            not failed, answer.text, [f"{one} failed; syncline status tells why" for one in failed], given, out
        )
    done = await service.preview_finished(policy)
    left = [
        f"{row.id} {row.name}: {row.outdated}"
        async for row in _rows(service, await service.preview_report(policy, given.user))
        if row.outdated
    ]
    return _said(done.ok, done.text, [*done.details, *left], given, out)


def _said(ok: bool, text: str, details: Sequence[str], given: Namespace, out: Out) -> int:
    """Print what was done and what was left alone.

    Raises:
        Trouble: nothing was done.
    """
    if not ok and not details:
        raise Trouble(exits.USAGE, text)
    if given.json:
        out.show({"ok": ok, "text": text, "left": list(details)})
    else:
        out.print("\n".join([text, *details]))
    return exits.OK if ok and not details else exits.FAULTS


def totals(sums: Sequence[PreviewSum]) -> dict[str, int]:
    """The sums of all rows."""
    return {name: sum(getattr(one, name) for one in sums) for name in COUNTS}


def report_text(report: PreviewReport, zone: tzinfo | None = None) -> str:
    """Sums by mailbox and module, and what they mean."""
    lines = [
        [one.mailbox, one.module.replace("_", " ") or "(containers)", *(getattr(one, name) for name in COUNTS)]
        for one in report.sums
    ]
    all_ = totals(report.sums)
    out = [f"Preview of {report.policy}, made {when(report.made_ms, zone)}; nothing was written."]
    out.append(
        table(["mailbox", "module", *COUNTS], [*lines, ["all", "", *all_.values()]])
        if lines
        else "Nothing would be written: both sides agree."
    )
    if report.previewed < report.mailboxes:
        out.append(f"{report.mailboxes - report.previewed} mailboxes have no preview.")
    out += [f"not previewed: {email} {text}".replace("  ", " ") for email, text in report.faults]
    mailed = f"{all_['guests']:,} guests would be mailed" if all_["guests"] else "no guest would be mailed"
    out.append(f"{mailed}; {all_['held']:,} items would wait for you. --details lists every item.")
    return "\n\n".join(out)


def row_lines(row: PreviewRow) -> list[str]:
    """One item with its fields before and after."""
    noun = row.module.replace("_", " ")
    head = f"{row.id}  {row.mailbox}  {row.kind}  {noun} {plain(row.name, LONGEST)}".replace("   ", "  ")
    notes = [row.why]
    if row.guests:
        notes.append(f"mails {row.guests} guests")
    if row.held:
        notes.append(f"would wait: {row.held}")
    if row.outdated:
        notes.append(f"no longer holds: {row.outdated}")
    return [
        head,
        "    " + "; ".join(note for note in notes if note),
        *(_change(row, one) for one in row.changes),
    ]


def _change(row: PreviewRow, one: FieldChange) -> str:
    where = f"{_PLACE[one.side]:<8}"
    if row.kind in {"hold", "delete"} or not one.side:
        return f"    {where} {one.label}: {plain(one.before, LONGEST)}"
    before = f"{plain(one.before, LONGEST)} -> " if one.before else ""
    return f"    {where} {one.label}: {before}{plain(one.after, LONGEST) or '(nothing)'}"
