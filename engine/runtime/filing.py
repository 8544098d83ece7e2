"""Filed mail for the jobs and the screens: the drop-label check as a job, what was filed and what was not, trying again."""

from __future__ import annotations

from collections.abc import Collection

from engine.jobs.queue import Priority
from engine.ledger import filing as units
from engine.ledger.filing import FilingRow
from engine.model.modules import RECORD_MODULES
from engine.model.policy import Policy
from engine.monitor.commands import Answer
from engine.monitor.filing import FiledRow
from engine.monitor.rows import RunRow
from engine.runtime import words
from engine.runtime.office import Office


def has_labels(policy: Policy) -> bool:
    """Whether a policy has drop labels to look at."""
    return policy.mail.enabled and any(policy.on(module) for module in RECORD_MODULES)


async def check_drop_labels(
    office: Office, name: str, only: Collection[str] | None, priority: Priority, run: RunRow
) -> None:
    """Look at the drop labels of a policy's mailboxes, and write down in ``run`` what came of it."""
    result = await office.runner.labels.run(office.policies[name], only, priority)
    run.items = result.filed + result.unfiled
    run.errors = len(result.faults) + result.refused
    run.result = "failed" if result.faults else "ok"
    if result.skipped:
        run.note = result.skipped
        return
    parts = [words.mailboxes(result.mailboxes)]
    parts += [
        f"{count} {word}" for count, word in ((result.filed, "filed"), (result.refused, "refused")) if count
    ]
    if result.unfiled:
        parts.append(f"{result.unfiled} taken out of the CRM")
    parts += [f"{email}: {text}" for email, text in list(result.faults.items())[:1]]
    run.note = ", ".join(parts)


async def filed(
    office: Office,
    email: str = "",
    *,
    words_in: str = "",
    states: tuple[str, ...] = (),
    most: int = 500,
    before: int | None = None,
) -> list[FiledRow]:
    """Mails that were filed or are to be, the newest first, of one mailbox or all.

    Args:
        office: of the engine.
        email: the mailbox; empty for all.
        words_in: words that subject, sender, record or reason must contain, each.
        states: as in ``FiledRow.state``; empty for all.
        most: how many at most.
        before: id of the last row of the page before.
    """
    wanted = units.Wanted(email, states, words_in)
    return [_shown(row) for row in await office.ledger.read(units.listed, wanted, most, before)]


async def try_again(office: Office, ids: tuple[int, ...]) -> Answer:
    """Have refused and waiting mails tried by the next drop-label check of their mailboxes."""
    emails = await office.ledger.write(units.retry, ids)
    if not emails:
        return Answer(False, "none of these mails waits or was refused; there is nothing to try again")
    number = words.count(len(ids), "mail", "mails")
    return Answer(True, f"{number} of {', '.join(emails[:3])}: tried with the next drop-label check")


def _shown(row: FilingRow) -> FiledRow:
    return FiledRow(
        id=row.id,
        email=row.email,
        policy=row.policy,
        state=row.state,
        reason=row.reason,
        subject=row.subject,
        sender=row.sender,
        module="people" if row.target == "people" else row.module,
        name=row.name,
        record=row.record,
        via=row.via,
        incoming=bool(row.incoming),
        files=row.files,
        sent_ms=row.sent_at,
        at_ms=row.at,
        done_ms=row.done_at,
        again_ms=row.not_before if row.state in units.OPEN else None,
        attempt=row.attempt,
        activity=row.activity,
        message=row.message,
    )
