"""What waits for an admin: held deletes and quarantine, conflicts, mails that were not filed."""

from __future__ import annotations

from collections.abc import Sequence

from engine.monitor.filing import FiledRow
from engine.monitor.report import ConflictRow, HeldRow
from engine.runtime import conflicts as conflict_rows
from engine.runtime import filing as filings
from engine.runtime import held
from engine.service.parts import Parts


async def waiting(parts: Parts, mailbox: str | None = None, policy: str | None = None) -> list[HeldRow]:
    """What waits for an admin: held deletes and twins, and quarantine; of a mailbox, of a policy, or of all.

    Raises:
        ServiceError: there is no such mailbox or policy.
    """
    parts._known(mailbox, policy)
    return await held.waiting(parts._office, mailbox, policy)


async def conflicts(parts: Parts, mailbox: str | None = None, policy: str | None = None) -> list[ConflictRow]:
    """Fields that both sides changed and that wait for an admin; of a mailbox, of a policy, or of all.

    Raises:
        ServiceError: there is no such mailbox or policy.
    """
    parts._known(mailbox, policy)
    return await conflict_rows.conflicts(parts._office, mailbox, policy)


def refusal(parts: Parts, row: ConflictRow, text: str) -> str:
    """Why a text that was typed is no value of a conflict's field; "" when it is one. Asks nobody."""
    return conflict_rows.refusal(parts._office, row, text)


async def filed(
    parts: Parts,
    mailbox: str | None = None,
    *,
    words: str = "",
    states: Sequence[str] = (),
    most: int = 500,
    before: int | None = None,
) -> list[FiledRow]:
    """Mails that were filed to the CRM, are on their way, or were refused with a reason; the newest first.

    Args:
        mailbox: address; None for all mailboxes.
        words: each must occur in subject, sender, record or reason.
        states: some of ``FILED_STATES``; empty for all.
        most: rows at most.
        before: id of the last row of the page before.

    Raises:
        ServiceError: there is no such mailbox.
    """
    parts._known(mailbox, None)
    return await filings.filed(
        parts._office, mailbox or "", words_in=words, states=tuple(states), most=most, before=before
    )
