"""Whether it works: connections, the checklist before a first sync, reading back, how far a roll-out is."""

from __future__ import annotations

from engine.ledger import history
from engine.monitor.actor import By
from engine.monitor.checklist import Checklist
from engine.monitor.report import RolloutReport, VerifyRow
from engine.runtime import rollouts
from engine.runtime.checks import doctor as check_connections
from engine.runtime.checks import verify_policy
from engine.service.parts import Parts
from engine.service.views import DoctorRow, ServiceError


async def doctor(parts: Parts) -> list[DoctorRow]:
    """Test every connection: token, delegation, scopes, one read per API."""
    found = await check_connections(parts._office)
    parts._desk.tests.keep(parts._office, found)
    return [DoctorRow(*row) for row in found]


async def checklist(parts: Parts, policy: str) -> Checklist:
    """What must be right before the first sync of a policy begins, and how it is.

    Raises:
        ServiceError: there is no such policy.
    """
    parts._known(None, policy)
    return await parts._desk.checklist(policy)


async def rollout(parts: Parts, policy: str) -> RolloutReport:
    """How far the roll-out of a policy is, wave by wave.

    Raises:
        ServiceError: there is no such policy.
    """
    if policy not in parts.store.policies:
        known = ", ".join(parts.store.policies) or "none"
        raise ServiceError(f"there is no policy {policy!r}; there are: {known}")
    return await rollouts.report(parts._office, policy)


async def verify(parts: Parts, policy: str | None = None, by: By = "") -> list[VerifyRow]:
    """Read back from the providers what the ledger says is there, for one policy or all that were initialised.

    Raises:
        ServiceError: there is no such policy.
        ProviderError: a read failed.
    """
    await parts._allow(by, "verify", policy or "all")
    if policy is not None and policy not in parts.store.policies:
        raise ServiceError(f"there is no policy {policy!r}")
    found = []
    for name in [policy] if policy is not None else list(parts.store.policies):
        found += await verify_policy(parts._office, name)
    return found


async def verify_report(parts: Parts, policy: str) -> list[VerifyRow]:
    """The last verification of a policy; empty when there was none."""
    found = await parts._ledger.read(history.verification, policy)
    return [VerifyRow(row.mailbox, row.check, bool(row.ok), row.have, row.want, row.detail) for row in found]
