"""Previews of policies: made, shown, applied in whole or in part, and dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from engine.jobs.errands import Selection, apply_errand, preview_errand
from engine.jobs.runner import PolicyRun
from engine.jobs.schedule import in_blackout
from engine.ledger import proposals
from engine.ledger.health import LedgerFault
from engine.ledger.proposals import Preview
from engine.model.states import PolicyState, UserState
from engine.monitor.commands import Answer, ApplyPreview, DropPreview, PreviewPolicy
from engine.monitor.preview import PreviewReport, PreviewRow
from engine.monitor.store import Table
from engine.runtime import rows, words
from engine.runtime.office import Office
from engine.runtime.preview_rows import rows_of, sums_of
from engine.runtime.timekeeper import Timekeeper

log = logging.getLogger(__name__)

#: A preview is good for so long, in milliseconds.
GOOD_MS = 86_400_000

#: Rows of a page.
PAGE = 500


class Previews:
    """Owns the previews that are being made or carried out; one of a policy at a time."""

    def __init__(self, office: Office, timekeeper: Timekeeper) -> None:
        self._office = office
        self._timekeeper = timekeeper
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, Answer] = {}

    def running(self, policy: str) -> bool:
        """Whether a preview of this policy is being made or carried out."""
        return policy in self._tasks

    async def finished(self, policy: str) -> Answer:
        """Wait until nothing of the kind runs for this policy; what the last one came to."""
        while policy in self._tasks:
            await asyncio.wait({self._tasks[policy]})
        return self._last.get(policy, Answer(True, f"{policy} has no preview"))

    # -- commands --------------------------------------------------------------------------------------

    def make(self, command: PreviewPolicy) -> Answer:
        """Start to preview a policy or one of its mailboxes. Nothing is written to any provider."""
        policy, mailbox = self._named(command.policy, command.mailbox)
        if mailbox and self._office.store.users[mailbox].state is UserState.PAUSED:
            return Answer(False, f"{mailbox} is paused; p resumes it")
        errand = preview_errand({mailbox} if mailbox else None)
        return self._start(
            policy, self._made(policy, self._office.runner.run_errand(self._rules(policy), errand))
        )

    def _named(self, policy: str, mailbox: str) -> tuple[str, str]:
        if not policy:
            policy = self._office.store.users[mailbox].policy
        row = self._office.store.policies[policy]
        if mailbox and self._office.store.users[mailbox].policy != row.id:
            raise KeyError(mailbox)
        return policy, mailbox

    def _rules(self, policy: str) -> Any:
        return self._office.policies[policy]

    def _start(self, policy: str, work: Coroutine[Any, Any, None]) -> Answer:
        if policy in self._tasks:
            work.close()
            return Answer(False, f"a preview of {policy} is being made or carried out; wait for its end")
        task = self._timekeeper.spawn(work)
        if task is None:
            return Answer(False, "the engine is stopping")
        self._tasks[policy] = task
        waits = self._office.runner.running(policy)
        return Answer(
            True, f"preview of {policy}: {'begins when the running cycle ends' if waits else 'started'}"
        )

    async def _made(self, policy: str, work: Coroutine[Any, Any, PolicyRun]) -> None:
        def said(result: PolicyRun) -> str:
            return f"preview of {words.mailboxes(result.mailboxes)} made; nothing was written"

        await self._carry(policy, work, said)

    async def _applied(self, policy: str, work: Coroutine[Any, Any, PolicyRun]) -> None:
        def said(result: PolicyRun) -> str:
            items = words.count(result.written, "item", "items")
            return f"preview applied: {items} written in {words.mailboxes(result.mailboxes)}"

        await self._carry(policy, work, said)

    async def _carry(self, policy: str, work: Coroutine[Any, Any, PolicyRun], said: Any) -> None:
        try:
            result = await work
        except LedgerFault as fault:
            answer = Answer(False, f"{policy}: {fault}")
        except Exception as error:  # a fault of ours is shown, and the other loops go on
            log.exception("preview of %s failed", policy)
            answer = Answer(False, f"{policy}: internal error: {error.__class__.__name__}: {error}")
        else:
            faults = tuple(f"{key or policy}: {text}" for key, text in result.faults.items())
            if result.stopped:
                answer = Answer(False, f"{policy}: stopped; what was not done stays as it was", faults)
            elif "" in result.faults:
                answer = Answer(False, f"{policy}: {result.faults['']}")
            elif faults:
                answer = Answer(False, f"{policy}: {said(result)}; {len(faults)} failed: {faults[0]}", faults)
            else:
                answer = Answer(True, f"{policy}: {said(result)}")
        finally:
            del self._tasks[policy]
        self._last[policy] = answer
        engine = self._office.store.engine
        engine.message, engine.message_ms, engine.message_ok = (
            answer.text,
            self._office.clock.now_ms(),
            answer.ok,
        )
        self._office.store.touch(Table.ENGINE, engine)
        # States that a mailbox showed while it was worked on, and what waits for an admin since.
        await rows.build(self._office)
        await rows.refresh_policy(self._office, policy)

    async def apply(self, command: ApplyPreview) -> Answer | None:
        """Carry out a preview or a part of it; None when that means to enable the policy.

        Everything of a policy that was never initialised is its first sync. A part of it is written alone, and the
        policy stays as it is.
        """
        policy, mailbox = self._named(command.policy, command.mailbox)
        row = self._office.store.policies[policy]
        whole = not (mailbox or command.ids is not None or command.modules or command.kinds or command.parts)
        found = await self._good(policy, mailbox or None)
        if not found:
            return Answer(
                False, f"there is no preview of {mailbox or policy} of the last 24 hours; make one first"
            )
        if self.running(policy):
            return Answer(False, f"a preview of {policy} is being made or carried out; wait for its end")
        if self._blackout(policy):
            return Answer(False, f"{policy} is in a blackout period; nothing may be written now")
        missing = row.users - len(found)
        if whole and not row.initialised and row.state is PolicyState.DISABLED:
            if missing:
                return Answer(
                    False,
                    f"{words.mailboxes(missing)} of {policy} have no preview, and its first sync is for all: preview "
                    "the policy as a whole, or apply the preview of one mailbox",
                )
            await self._office.ledger.write(proposals.drop, [one.mailbox_id for one in found])
            return None
        selection, wrong = self._selected(command, found)
        if wrong:
            return Answer(False, wrong)
        paused = [one.email for one in found if self._office.store.users[one.email].state is UserState.PAUSED]
        chosen = {one.email for one in found} - set(paused)
        if selection.parts is not None:
            chosen &= selection.parts.keys()
        if not chosen:
            return Answer(False, f"{', '.join(paused)}: paused; nothing is written")
        errand = apply_errand(selection, chosen)
        answer = self._start(
            policy, self._applied(policy, self._office.runner.run_errand(self._rules(policy), errand))
        )
        return Answer(answer.ok, answer.text.replace("preview of", "applying the preview of", 1))

    def _blackout(self, policy: str) -> bool:
        return in_blackout(self._rules(policy).scheduling, self._office.clock.now_ms())

    @staticmethod
    def _selected(command: ApplyPreview, found: list[Preview]) -> tuple[Selection, str]:
        """What is chosen, or why it cannot be."""
        ids: set[int] | None = None
        if command.ids is not None:
            ids = set()
            known = {one.id for one in found}
            for text in command.ids:
                preview, dot, line = text.partition(".")
                if not (dot and preview.isdigit() and line.isdigit()):
                    return Selection(), f"{text!r} is no row of a preview; ids look like 12.345"
                if int(preview) not in known:
                    return Selection(), f"row {text} is of an older preview; nothing was written"
                ids.add(int(line))
        parts: dict[str, set[str]] = {}
        for email, module in command.parts:
            parts.setdefault(email, set()).add(module)
        return Selection(ids, command.modules or None, command.kinds or None, parts or None), ""

    async def drop(self, command: DropPreview) -> Answer:
        """Forget a preview; nothing else changes."""
        policy, mailbox = self._named(command.policy, command.mailbox)
        if self.running(policy):
            return Answer(False, f"a preview of {policy} is being made or carried out; wait for its end")
        found = await self._office.ledger.read(proposals.previews, policy, mailbox or None)
        if not found:
            return Answer(False, f"{mailbox or policy} has no preview")
        await self._office.ledger.write(proposals.drop, [one.mailbox_id for one in found])
        self._last.pop(policy, None)
        return Answer(True, f"preview of {words.mailboxes(len(found))} dropped; nothing was written")

    # -- reading ---------------------------------------------------------------------------------------

    async def _good(self, policy: str, mailbox: str | None) -> list[Preview]:
        since = self._office.clock.now_ms() - GOOD_MS
        found = await self._office.ledger.read(proposals.previews, policy, mailbox)
        return [one for one in found if one.started_at >= since and one.ended_at is not None]

    async def seconds(self, policy: str) -> float | None:
        """How long reading both sides of all previewed mailboxes took; None when there is no preview."""
        found = await self._good(policy, None)
        if not found:
            return None
        ended = max(one.ended_at or one.started_at for one in found)
        return (ended - min(one.started_at for one in found)) / 1000

    async def report(self, policy: str, mailbox: str | None) -> PreviewReport:
        """The sums of a policy's previews, or of one mailbox's."""
        found = await self._good(policy, mailbox)
        sums = await self._office.ledger.read(proposals.sums, [one.mailbox_id for one in found])
        last = self._last.get(policy, Answer(True, ""))
        return PreviewReport(
            policy,
            self.running(policy),
            min((one.started_at for one in found), default=None),
            1 if mailbox else self._office.store.policies[policy].users,
            len(found),
            sums_of(found, sums),
            tuple((one.email, one.fault) for one in found if one.fault)
            + tuple(("", text) for text in last.details),
            last.text,
            last.ok,
        )

    async def rows(
        self, policy: str, mailbox: str, module: str | None, after: int, limit: int
    ) -> list[PreviewRow]:
        """A page of the rows of a mailbox's preview."""
        if not await self._good(policy, mailbox):
            return []
        lines = await self._office.ledger.read(
            proposals.lines,
            self._office.mailbox_ids[mailbox],
            modules=None if module is None else [module],
            after=after,
            limit=limit,
        )
        return rows_of(lines, mailbox)
