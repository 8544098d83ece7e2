"""Verification: read back from the provider what the ledger says is there, and tick it (Riva's confirmation step)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

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
    Module.CALL: "phone calls",
    Module.SERVICE_CALL: "service calls",
    Module.TASK: "tasks",
    Module.OPPORTUNITY: "opportunities",
    Module.CASE: "cases",
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
    ticks = [
        _of_finding(finding) for finding in await context.mailbox.verify(account, structure, record.containers)
    ]
    structural = len(ticks)
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
    counted = {tick.check for tick in ticks[structural:]}
    # Where items are counted one by one, the container's own sum says nothing more, unless it failed.
    ticks = [
        *(
            replace(tick, check=f"{tick.check} (container)")
            for tick in ticks[:structural]
            if tick.check in counted and not tick.ok
        ),
        *(tick for tick in ticks[:structural] if tick.check not in counted),
        *ticks[structural:],
    ]
    extra = sum(count - 1 for count in doubles.values() if count > 1)
    ticks.append(Tick("duplicates", extra == 0, extra, 0, f"{extra} items carry a mark twice" if extra else ""))
    return ticks


def _of_finding(finding: Finding) -> Tick:
    detail = "" if finding.ok else f"{finding.detail}. {finding.advice}".strip()
    return Tick(finding.check, finding.ok, int(finding.ok), 1, detail)


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
