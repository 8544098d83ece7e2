"""Filed mail for the jobs and the screens: the drop-label check as a job, what was filed and what was not, trying again."""

from __future__ import annotations

from collections.abc import Collection

from engine.jobs.queue import Priority
from engine.model.modules import RECORD_MODULES
from engine.model.policy import Policy
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
