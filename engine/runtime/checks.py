"""Reading back and testing: verification of a policy, and the tests of ``doctor``."""

from __future__ import annotations

import asyncio

from engine.ledger import fence, history, mailboxes
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.model.port import Account, Connector, Finding
from engine.monitor.report import VerifyRow
from engine.net.errors import ProviderError
from engine.runtime import mailman, pushing
from engine.runtime.office import Office
from engine.sync.context import PolicyContext
from engine.sync.cycle import account_of
from engine.sync.verify import Tick, verify_mailbox

#: Mailboxes that are verified at once.
AT_ONCE = 8

DoctorLine = tuple[str, str, bool, str, str]
"""Connection, check, whether it passed, detail, advice."""


async def verify_policy(office: Office, name: str) -> list[VerifyRow]:
    """Verify all initialised mailboxes of a policy and store the result.

    A mailbox that cannot be read is one failed check, not the end of the verification.
    """
    policy = office.policies[name]
    epoch = await office.ledger.read(fence.epoch, name, 0)
    context = PolicyContext(
        office.ledger,
        office.clock,
        office.fold,
        policy,
        office.crm(policy.crm),
        office.mailbox(policy.mailbox),
        Fence(name, 0, epoch),
        [],
        asyncio.Event(),
    )
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(record: MailboxRecord) -> list[Tick]:
        async with gate:
            if record.phase != "ready":
                return [Tick("first sync", False, 0, 1, "its first sync has not ended")]
            try:
                return await verify_mailbox(context, record, account_of(record))
            except ProviderError as error:
                return [Tick("access", False, 0, 1, str(error))]

    records = await office.ledger.read(mailboxes.mailboxes, name)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(record)) for record in records]
    found = [
        VerifyRow(record.email, tick.check, tick.ok, tick.have, tick.want, tick.detail)
        for record, task in zip(records, tasks, strict=True)
        for tick in task.result()
    ]
    stored = [(row.mailbox, row.check, row.ok, row.have, row.want, row.detail) for row in found]
    await office.ledger.write(history.store_verification, name, stored, office.clock.now_ms())
    return found


async def doctor(office: Office, policy: str | None = None) -> list[DoctorLine]:
    """Test the connections of a policy, or all; a mail connection is tested with one of its mailboxes."""
    names = [policy] if policy is not None else list(office.policies)
    found: list[DoctorLine] = []
    tested: set[str] = set()
    for name in names:
        rules = office.policies[name]
        if rules.crm not in tested:
            tested.add(rules.crm)
            found += await _check(office, rules.crm, None, crm=True)
        records = await office.ledger.read(mailboxes.mailboxes, name)
        if rules.mailbox not in tested:
            tested.add(rules.mailbox)
            if not records:
                found.append(
                    (
                        rules.mailbox,
                        "mailbox",
                        False,
                        f"the policy {name} has no users",
                        "Add users to the policy",
                    )
                )
                continue
            found += await _check(office, rules.mailbox, account_of(records[0]), crm=False)
    for name in sorted(set(office.connections) - tested) if policy is None else ():
        found.append((name, "use", True, "no policy uses this connection", ""))
    if policy is None:
        found += await mailman.check(office)
        found += await pushing.check(office)
    return found


async def _check(office: Office, name: str, account: Account | None, *, crm: bool) -> list[DoctorLine]:
    try:
        connector: Connector = office.crm(name) if crm else office.mailbox(name)
        findings = await connector.check(account)
    except ProviderError as error:
        findings = [Finding(False, error.kind.value, error.detail, error.advice)]
    return [(name, one.check, one.ok, one.detail, one.advice) for one in findings]
