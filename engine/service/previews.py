"""Previews: what the next cycle of a policy would write, made, waited for and read."""

from __future__ import annotations

from engine.monitor.actor import By
from engine.monitor.commands import Answer, PreviewPolicy
from engine.monitor.preview import PreviewReport, PreviewRow
from engine.service.commands import do
from engine.service.parts import Parts
from engine.service.views import ServiceError


async def preview(parts: Parts, policy: str, by: By, mailbox: str | None = None) -> PreviewReport:
    """Preview the next cycle (or the first sync) of a policy or one mailbox, to its end. Needs ``running``.

    Raises:
        ServiceError: there is no such policy or mailbox, or it cannot be previewed now.
    """
    parts._known(mailbox, policy)
    answer = await do(parts, PreviewPolicy(policy, mailbox or ""), by)
    if not answer.ok:
        raise ServiceError(answer.text)
    await preview_finished(parts, policy)
    return await preview_report(parts, policy, mailbox)


def preview_running(parts: Parts, policy: str) -> bool:
    """Whether a preview of a policy is being made or carried out."""
    return parts._desk.previews.running(policy)


async def preview_finished(parts: Parts, policy: str) -> Answer:
    """Wait until no preview of a policy is being made or carried out; what the last one came to."""
    return await parts._desk.previews.finished(policy)


async def preview_report(parts: Parts, policy: str, mailbox: str | None = None) -> PreviewReport:
    """Sums of the previews of a policy, or of one mailbox, by user and module.

    Raises:
        ServiceError: there is no such mailbox or policy.
    """
    parts._known(mailbox, policy)
    return await parts._desk.previews.report(policy, mailbox)


async def preview_rows(
    parts: Parts, policy: str, mailbox: str, *, module: str | None = None, after: int = 0, limit: int = 500
) -> list[PreviewRow]:
    """Rows of a mailbox's preview, in the order in which they would be carried out.

    Args:
        policy: of the mailbox.
        mailbox: whose.
        module: of this module alone.
        after: ``seq`` of the last row of the page before.
        limit: at most about so many rows.

    Raises:
        ServiceError: there is no such mailbox or policy.
    """
    parts._known(mailbox, policy)
    return await parts._desk.previews.rows(policy, mailbox, module, after, limit)
