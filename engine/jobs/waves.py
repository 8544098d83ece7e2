"""The waves of a roll-out in the ledger: who is admitted to a run, what its cycles did, and the judgement at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.jobs import rollout
from engine.jobs.rollout import Member, Progress, Stage, Tally
from engine.ledger import history, links, mailboxes
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.store import Ledger
from engine.model.config_policy import policy_to_doc
from engine.model.policy import Policy
from engine.model.states import Move
from engine.net.errors import ProviderError
from engine.sync.context import PolicyContext
from engine.sync.cycle import account_of
from engine.sync.verify import Tick, verify_mailbox


class Waves:
    """Owns the roll-outs of all policies. Nothing is kept here that the ledger does not have."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        #: Of policies whose runs are under way.
        self._progress: dict[str, Progress] = {}

    async def begin(self, policy: Policy, records: Sequence[MailboxRecord]) -> dict[int, str]:
        """Bring a roll-out to the beginning of a run.

        Returns:
            mailboxes that it holds back: id to why.
        """
        self._progress.pop(policy.name, None)
        if not policy.rollout.waves and all(record.wave is None for record in records):
            return {}
        before = await self._stored(policy.name)
        members = [Member(record.id, record.phase, record.wave) for record in records]
        rules = rollout.rules_of(policy_to_doc(policy))
        progress, placed = rollout.begin(policy.rollout, before, rules, members)
        if placed or progress != before:
            await self._ledger.write(_place, policy.name, progress, placed)
        if progress is None:
            return {}
        self._progress[policy.name] = progress
        waves = {record.id: placed.get(record.id, record.wave) for record in records}
        return {key: why for key, wave in waves.items() if (why := rollout.held_back(progress, wave))}

    def watching(self, policy: str) -> bool:
        """Whether the cycles of a policy are being judged."""
        progress = self._progress.get(policy)
        return progress is not None and progress.stage is Stage.RUNNING

    async def tally(self, policy: str, record: MailboxRecord, tally: Tally) -> None:
        """A cycle of a mailbox has ended."""
        progress = self._progress.get(policy)
        if progress is None or progress.stage is not Stage.RUNNING or record.wave != progress.wave:
            return
        self._progress[policy] = progress = rollout.tallied(progress, record.id, tally)
        await self._ledger.write(mailboxes.set_policy, policy, rollout=progress.doc())

    async def move(self, policy: str, move: Move, by: str) -> tuple[Progress | None, str]:
        """Carry out an admin's command, also while a run is under way; or say why it cannot be done."""
        stored = await self._stored(policy)
        progress = self._progress.get(policy, stored) if self.watching(policy) else stored
        after, refusal = rollout.moved(progress, move, by)
        if not refusal and after is not None:
            if policy in self._progress:
                self._progress[policy] = after
            await self._ledger.write(mailboxes.set_policy, policy, rollout=after.doc())
        return after, refusal

    async def judge(self, context: PolicyContext) -> Progress | None:
        """Judge the present wave, if all its mailboxes have shown how they fare.

        Returns:
            the roll-out when it has changed by it.
        """
        policy = context.policy
        progress = self._progress.get(policy.name)
        if progress is None or progress.stage is not Stage.RUNNING:
            return None
        records = [
            record
            for record in await self._ledger.read(mailboxes.mailboxes, policy.name)
            if record.wave == progress.wave and not record.paused
        ]
        if not rollout.finished(progress, [record.id for record in records]):
            return None
        items, differ, checks = 0, 0, 0
        for record in records:
            totals = await self._ledger.read(links.module_totals, record.id)
            items += sum(count for (_, state), count in totals.items() if state == "live")
            # Nobody follows the last wave: the job Verify reads it back like any policy.
            if progress.wave < progress.waves and not progress.tallies[record.id].fault:
                ticks = await self._verified(context, record)
                checks, differ = checks + len(ticks), differ + sum(not tick.ok for tick in ticks)
        progress = self._progress[policy.name]
        if progress.stage is not Stage.RUNNING:
            return progress  # an admin was faster
        after = rollout.judged(
            progress,
            policy.rollout,
            {record.id: record.email for record in records},
            items=items,
            differ=differ,
            checks=checks,
        )
        self._progress[policy.name] = after
        await self._ledger.write(mailboxes.set_policy, policy.name, rollout=after.doc())
        return after

    async def _verified(self, context: PolicyContext, record: MailboxRecord) -> list[Tick]:
        """Read a mailbox back; what was found is kept for the screens, as that of *Verify* is."""
        try:
            ticks = await verify_mailbox(context, record, account_of(record))
        except ProviderError as error:
            ticks = [Tick("access", False, 0, 1, str(error))]
        rows = [(record.email, one.check, one.ok, one.have, one.want, one.detail) for one in ticks]
        name, now = context.policy.name, context.clock.now_ms()
        await self._ledger.write(history.store_verification, name, rows, now, record.email)
        return ticks

    async def _stored(self, policy: str) -> Progress | None:
        found = {record.name: record for record in await self._ledger.read(mailboxes.policies)}
        return rollout.read(found[policy].rollout) if policy in found else None


def _place(
    connection: object, policy: str, progress: Progress | None, placed: Mapping[int, int | None]
) -> None:
    """Store a roll-out, and the waves of its mailboxes, in one transaction."""
    mailboxes.set_policy(connection, policy, rollout=progress.doc() if progress else None)  # type: ignore[arg-type]
    for mailbox_id, wave in placed.items():
        mailboxes.set_mailbox(connection, mailbox_id, wave=wave)  # type: ignore[arg-type]
