"""What an admin orders once, the same from all screens: re-initialise, undo, leave. Told first, with numbers to type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.service import (
    LeavePolicy,
    LeavePreview,
    Module,
    PolicyState,
    Reinitialize,
    UndoCycle,
    UndoLine,
    UndoPreview,
)
from tui import format as form
from tui.format import MODULE_WORD
from tui.screens.frame import Frame
from tui.screens.reinit import ReinitDialog

#: Rows of a terminal that a dialog needs beside the lines of its preview.
_FRAME = 16

_WHAT = {"restore": "~ restore", "remove": "- remove", "recreate": "+ make again", "left": "= left alone"}
_PLACE = {"crm": "CRM", "mailbox": "mailbox"}


def reinitialize(screen: Frame, mailboxes: Sequence[str]) -> None:
    """Ask how, then let the mailboxes begin afresh."""
    if not mailboxes:
        screen.say("There is no row to act on.")
        return

    def count(modules: Sequence[str], then: Callable[[int], None]) -> None:
        screen.console.fetch(screen.engine.clearable(mailboxes, modules), then)

    def answered(command: Reinitialize | None) -> None:
        if command is None:
            screen.say("Nothing was changed.")
        else:
            screen.send(command)

    screen.app.push_screen(ReinitDialog(screen.view, mailboxes, count), answered)


def undo(screen: Frame, cycle: int) -> None:
    """Show what an undo would do; the number of items is typed."""

    def came(preview: UndoPreview) -> None:
        if not preview.writes:
            screen.say(f"Nothing of cycle {cycle} can be put back: {_why(preview)}.", "alert")
            return
        shown = preview.lines[: _room(screen)]
        lines = [*preview.said(), "", *(_undo_line(one) for one in shown)]
        hidden = sum(preview.counts.values()) - len(shown)
        if hidden:
            lines.append(f"and {hidden:,} more; syncline undo {cycle} lists them all")
        screen.send(UndoCycle(cycle), confirm=lines, typed=str(preview.writes), title=f"Undo cycle {cycle}")

    screen.say(f"Looking what an undo of cycle {cycle} would do …")
    screen.console.fetch(screen.engine.undo_preview(cycle), came)


def _room(screen: Frame) -> int:
    """How many lines of a preview fit into a dialog, each taking two rows; the command line shows all."""
    return max(2, (screen.app.size.height - _FRAME) // 2)


def _why(preview: UndoPreview) -> str:
    if preview.counts.get("left"):
        return f"all of it was changed since ({preview.counts['left']:,} items)"
    return "it wrote nothing, or it is as it was already"


def _undo_line(one: UndoLine) -> str:
    module = one.module.replace("_", " ") or "item"
    told = one.why or "; ".join(f"{label}: {now or '-'} → {then or '-'}" for label, now, then in one.fields)
    return f"{_WHAT[one.what]} {module} {one.name} in the {_PLACE[one.side]}" + (f": {told}" if told else "")


def leave(screen: Frame, policy: str) -> None:
    """Show what leaving the mailboxes of a policy would remove; the number of items is typed."""
    row = screen.store.policies.get(policy)
    if row is None:
        screen.say("There is no row to act on.")
        return
    if row.state is not PolicyState.DISABLED:
        screen.say(f"{policy} is on. o turns it off; then L can remove what Syncline made.", "alert")
        return

    def came(preview: LeavePreview) -> None:
        made = sum(len(names) for names in preview.containers.values())
        if not preview.remove and not made:
            screen.say(f"There is nothing of Syncline in the mailboxes of {policy}.")
            return
        stay = [f"stays: {row.mailbox}: {one}" for row in preview.rows for one in row.examples]
        lines = [*preview.said(policy), "", *_sums(preview), *stay[: _room(screen) // 2]]
        screen.send(
            LeavePolicy(policy),
            confirm=lines,
            typed=str(preview.remove),
            title=f"Leave the mailboxes of {policy}",
        )

    screen.say(f"Counting what Syncline made in the mailboxes of {policy} …")
    screen.console.fetch(screen.engine.leave_preview(policy), came)


def _sums(preview: LeavePreview) -> list[str]:
    """One line per module over all mailboxes."""
    sums: dict[str, list[int]] = {}
    for row in preview.rows:
        numbers = sums.setdefault(row.module, [0, 0, 0])
        for place, number in enumerate((row.remove, row.edited, row.own)):
            numbers[place] += number
    return [
        f"{MODULE_WORD[Module(module)].lower()}: {form.count(remove, 'item')} go, {edited + own:,} stay"
        + (f" ({own:,} were there before)" if own else "")
        for module, (remove, edited, own) in sums.items()
    ]
