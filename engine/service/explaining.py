"""Why something is as it is: an item, a mailbox, a job, and what does not cross over."""

from __future__ import annotations

from datetime import UTC, tzinfo

from engine.monitor.explain import Explanation, Filtered, Standing
from engine.monitor.why import why_job, why_user
from engine.runtime import explain as explained
from engine.runtime import words
from engine.service.parts import Parts
from engine.service.views import ServiceError


async def explain(parts: Parts, query: str, mailbox: str | None = None, zone: tzinfo = UTC) -> Explanation:
    """Explain an item: how it stands on both sides, why, and what happens next; several that fit are listed.

    Args:
        query: ``#12`` (a link), an id at a provider, an e-mail address, or words of a name.
        mailbox: of this mailbox alone.
        zone: for the times in the text.

    Raises:
        ServiceError: there is no such mailbox.
    """
    if mailbox is not None and mailbox not in parts.store.users:
        raise ServiceError(f"{mailbox!r} is no user of any policy")
    return await explained.explain(parts._office, query, mailbox, zone)


def why(parts: Parts, target: str, zone: tzinfo = UTC) -> Standing | None:
    """Why a mailbox or a job does not run now; None when there is none of that address, name or title."""
    if not parts._running:
        parts._watch.look()
    store, now, at = parts.store, parts.clock.now_ms(), words.clock(zone)
    if target in store.users:
        return Standing("user", target, store.users[target].state, why_user(store, target, now, at))
    wanted = target.casefold()
    for job in store.jobs.values():
        if wanted in {job.id.casefold(), job.title.casefold()}:
            return Standing("job", job.id, job.state, why_job(store, job.id, now, at))
    return None


async def filtered(
    parts: Parts, mailbox: str, module: str | None = None, reason: str | None = None, after: int = 0
) -> Filtered:
    """What of a mailbox does not cross over: counted by reason, and one page of the items.

    Raises:
        ServiceError: there is no such mailbox.
    """
    if mailbox not in parts.store.users:
        raise ServiceError(f"{mailbox!r} is no user of any policy")
    return await explained.filtered(parts._office, mailbox, module, reason, after)
