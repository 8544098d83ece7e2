"""Verification: read back from the provider what the ledger says is there, and tick it (Riva's confirmation step)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from engine.ledger import links
from engine.ledger.mailboxes import MailboxRecord
from engine.model.modules import RECORD_MODULES, Module, Side
from engine.model.port import Account, Finding, Scope
from engine.net.errors import CursorExpired
from engine.sync.context import PolicyContext
from engine.sync.markers import is_for
from engine.sync.structure import whole_structure

CHECKS = {
    Module.CONTACT: "contacts",
    Module.LEAD: "leads",
    Module.APPOINTMENT: "appointments",
    Module.CALL: "calls",
    Module.SERVICE_CALL: "service calls",
    Module.TASK: "tasks",
    Module.OPPORTUNITY: "opportunities",
    Module.CASE: "cases",
}

#: First word of a connector's finding to the line of the checklist that it belongs to.
CONTAINERS = {
    "group": "groups",
    "calendar": "calendar",
    "colour": "calendar",
    "tasks": "task list",
    "label": "label tree",
}

#: So many names of missing items are told.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of a verification: see ``engine.monitor.report.VerifyRow``."""

    check: str
    ok: bool
    have: int
    want: int
    detail: str = ""


async def verify_mailbox(context: PolicyContext, record: MailboxRecord, account: Account) -> list[Tick]:
    """Read one mailbox back: containers, every linked item, labels with their quick connect mails, doubles.

    Raises:
        ProviderError: a read failed.
    """
    structure = whole_structure(context.policy)
    ticks = _containers(await context.mailbox.verify(account, structure, record.containers))
    doubles: Counter[str] = Counter()
    for key, remote_id, names in record.scopes:
        modules = [Module(name) for name in names if context.policy.on(Module(name))]
        scope = Scope(key, remote_id, tuple(modules), account)
        if not modules:
            continue
        if set(modules) <= RECORD_MODULES:
            ticks += await _records(context, record, scope, modules)
        else:
            ticks += await _items(context, record, scope, modules, doubles)
    extra = sum(count - 1 for count in doubles.values() if count > 1)
    ticks.append(Tick("duplicates", extra == 0, extra, 0, f"{extra} items carry a mark twice" if extra else ""))
    return ticks


def _containers(findings: list[Finding]) -> list[Tick]:
    """Findings about containers, gathered under the words of Riva's checklist."""
    gathered: dict[str, list[Finding]] = {}
    for finding in findings:
        word = finding.check.partition(" ")[0]
        if word in CONTAINERS:
            gathered.setdefault(CONTAINERS[word], []).append(finding)
    return [
        Tick(
            check,
            all(one.ok for one in rows),
            sum(one.ok for one in rows),
            len(rows),
            "; ".join(f"{one.check}: {one.detail}. {one.advice}" for one in rows if not one.ok),
        )
        for check, rows in gathered.items()
    ]


async def _items(
    context: PolicyContext, record: MailboxRecord, scope: Scope, modules: list[Module], doubles: Counter[str]
) -> list[Tick]:
    """Count what a feed lists of the items that the ledger links."""
    listed: set[str] = set()
    try:
        async for page in context.mailbox.changes(scope, None):
            for one in page.observations:
                if one.deleted:
                    continue
                listed.add(one.remote_id)
                if one.marker and one.parent is None and is_for(one.marker, account_email(scope)):
                    doubles[one.marker] += 1
    except CursorExpired:  # a complete listing has no cursor; a provider that says so is told as a difference
        return [
            Tick(CHECKS[module], False, 0, 0, "the provider would not list its items") for module in modules
        ]
    ticks = []
    for module in modules:
        want = await context.ledger.read(links.live_remote_ids, record.id, Side.MAILBOX.value, module.value)
        ticks.append(_compared(CHECKS[module], want, want & listed))
    return ticks


def account_email(scope: Scope) -> str:
    """The mailbox that a scope belongs to."""
    assert scope.account is not None
    return scope.account.email


async def _records(
    context: PolicyContext, record: MailboxRecord, scope: Scope, modules: list[Module]
) -> list[Tick]:
    """Drop labels and their quick connect mails."""
    want: set[str] = set()
    for module in modules:
        want |= await context.ledger.read(links.live_remote_ids, record.id, Side.MAILBOX.value, module.value)
    found = await context.mailbox.fetch(scope, sorted(want)) if want else []
    labels = {one.remote_id for one in found if not one.deleted}
    mails = {one.remote_id for one in found if not one.deleted and (one.native or {}).get("message")}
    return [_compared("drop labels", want, labels), _compared("quick connect mails", want, mails)]


def _compared(check: str, want: set[str], have: set[str]) -> Tick:
    missing = sorted(want - have)
    detail = ""
    if missing:
        names = ", ".join(missing[:NAMED]) + (" ..." if len(missing) > NAMED else "")
        detail = (
            f"not found in the mailbox: {names}; a full sync sends them again if they were deleted by mistake"
        )
    return Tick(check, not missing, len(have), len(want), detail)
