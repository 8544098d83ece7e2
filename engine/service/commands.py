"""An admin's commands: who may, what they are about to do, carried out, and on record with what they changed."""

from __future__ import annotations

from engine.ledger.health import LedgerFault
from engine.monitor.actor import By
from engine.monitor.audited import lines_changed, standing, subject
from engine.monitor.checklist import ASKED
from engine.monitor.commands import (
    AddUsers,
    Answer,
    Command,
    DecideConflict,
    DeleteConnection,
    DeletePolicy,
    DisableJob,
    DropOrder,
    Editing,
    EditJob,
    EnableJob,
    EnablePolicy,
    ImportUsers,
    Incidental,
    JobEditing,
    LeavePolicy,
    Reinitialize,
    RemoveOverride,
    RemoveUsers,
    RollOut,
    SaveConnection,
    SavePolicy,
    SetOperator,
    SettleHeld,
    UndoCycle,
)
from engine.monitor.filing import RetryFiling
from engine.service.configuration import export
from engine.service.parts import Parts

#: Commands that are stored for the next cycle, and need no running engine.
NEED_LEDGER_ONLY = (
    SettleHeld
    | DecideConflict
    | UndoCycle
    | LeavePolicy
    | DropOrder
    | Reinitialize
    | RetryFiling
    | RollOut
    | Editing
    | Incidental
    | JobEditing
    | EnableJob
    | DisableJob
)

#: Commands that change the configuration: the audit log has the lines of it that went and came.
CONFIGURES = (
    SavePolicy,
    DeletePolicy,
    AddUsers,
    RemoveUsers,
    SaveConnection,
    DeleteConnection,
    SetOperator,
    ImportUsers,
    EditJob,
    RemoveOverride,
)


def what_happens(parts: Parts, command: Command) -> tuple[str, ...]:
    """What a command is about to do, line by line, from the store alone."""
    return parts._desk.what_happens(command)


async def do(parts: Parts, command: Command, by: By) -> Answer:
    """Carry out an admin's command: checked here, recorded in the audit log, answered with a result or a reason."""
    target = subject(command)
    try:
        refused = await parts._refused(by, type(command), target)
        if refused:
            return Answer(False, refused)
        if not parts._running and not isinstance(command, NEED_LEDGER_ONLY):
            return Answer(False, "the engine is not running")
        configures = isinstance(command, CONFIGURES)
        before = await export(parts) if configures else standing(parts.store, target)
        try:
            answer = await parts._desk.do(command, parts._who(by).name)
        except KeyError as error:
            answer = Answer(False, f"there is no {error.args[0]!r} any more")
        after = await export(parts) if configures else standing(parts.store, target)
        texts = lines_changed(before, after) if configures else (before, after)
        if isinstance(command, EnablePolicy) and command.confirmed and answer.ok:
            said = "\n".join(f"confirmed: {ASKED[key]}" for key in command.confirmed if key in ASKED)
            texts = (texts[0], f"{texts[1]}\n{said}")
        await parts._audit(by, type(command).__name__, target, answer.text, *texts)
    except LedgerFault as fault:
        return Answer(False, str(fault))
    return answer
