"""Teams: the active CRM users whose manager a person is, directly; read once a day while a policy's drop labels want them.

What a mailbox receives depends on them, and the CRM tells of no record that somebody has another manager. So when a team is
another than it was, the feeds of records are read completely with the next page: in one transaction the new team is stored and
their cursors are dropped, and whoever is killed in between reads them after it. A record that a mailbox receives no more is
then gone for it, as one that has got another owner is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.ledger import teams as units
from engine.ledger.mailboxes import MailboxRecord
from engine.model.activity import Activity, ActivityKind
from engine.model.modules import RECORD_MODULES
from engine.model.policy import Policy
from engine.model.port import CrmUser
from engine.sync.audience import members
from engine.sync.context import PolicyContext
from engine.sync.filters import DAY_MS


def wants_teams(policy: Policy) -> bool:
    """Whether the drop labels of a policy show a team's records."""
    return any(policy.on(module) and policy.labels.of_team(module) for module in RECORD_MODULES)


async def settle_teams(
    context: PolicyContext, records: list[MailboxRecord], people: Sequence[CrmUser] | None
) -> list[MailboxRecord]:
    """The mailboxes with their teams; asks the CRM for its users when what is known is older than a day.

    Args:
        context: the policy.
        records: its mailboxes, whose CRM users are known.
        people: the CRM's users with their managers, when they have just been read.

    Raises:
        ProviderError: the users could not be read. Nobody's team is taken to be empty for it.
    """
    if not wants_teams(context.policy) or not records:
        return records
    now = context.clock.now_ms()
    due = any(_due(record, now) for record in records)
    if people is None:
        if not due:
            return records
        people = await context.crm.users(managers=True)
    teams: dict[str, list[str]] = {}
    for person in sorted(people, key=lambda one: one.id):
        if person.active and person.manager and person.manager != person.id:
            teams.setdefault(person.manager, []).append(person.id)
    found = {record.id: teams.get(record.crm_user, []) for record in records}
    changed = [record for record in records if members(record) != found[record.id]]
    if not (due or changed):
        return records
    stored = {record.id: {"of": record.crm_user, "at": now, "members": found[record.id]} for record in records}
    feeds = [
        scope.key
        for scope in context.crm.scopes(sorted(RECORD_MODULES))
        if any(context.policy.labels.of_team(module) for module in scope.modules)
    ]
    await context.ledger.write(
        units.store, context.fence, context.policy.name, stored, feeds if changed else ()
    )
    for record in changed:
        context.emit(
            Activity(
                ActivityKind.NOTE,
                record.email,
                now,
                policy=context.policy.name,
                text=_said(set(members(record)), set(found[record.id])),
            )
        )
    return [replace(record, team=stored[record.id]) for record in records]


def _said(were: set[str], are: set[str]) -> str:
    came, left = len(are - were), len(were - are)
    return f"the team in the CRM is another ({len(are)} in it; {came} came, {left} left): all records are read again for it"


def _due(record: MailboxRecord, now: int) -> bool:
    at = record.team.get("at")
    return at is None or record.team["of"] != record.crm_user or not 0 <= now - at < DAY_MS
