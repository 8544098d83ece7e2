"""Failure mails of one engine: written ahead when an incident is due, sent, tried again, and shown when they cannot be delivered.

Once a second, and at no cost while nothing is wrong: what is due is found in the store of the screens. A mail leaves the
outbox only when the server has it, or an admin drops it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from engine.ledger import mails
from engine.ledger.health import LedgerFault
from engine.ledger.mails import MailRecord
from engine.model.config_problems import Collector
from engine.model.config_values import BAD, email
from engine.model.incident import IncidentKind, Strike
from engine.model.setup import Smtp
from engine.model.states import FaultClass
from engine.monitor.rows import IncidentRow
from engine.notify import compose, smtp
from engine.notify.compose import Letter
from engine.runtime.office import Office
from engine.sync.faults import backoff_ms

log = logging.getLogger(__name__)

#: So many incidents of one kind, class and policy that are due together make one mail; fewer are told one by one.
TOGETHER = 5

#: What becomes due within so many milliseconds is told along with what is due.
SOON_MS = 5 * 60_000

#: A mail that its server refuses for good is still tried, but not more often than this, milliseconds.
REFUSED_MS = 3_600_000

#: The name under which an incident of the mail server itself stands.
SERVER = "mail server"

PAUSE = 1.0


class Mailman:
    """Writes and sends the failure mails of one engine."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._host = os.uname().nodename
        self._answered: set[int] = set()
        self._open: set[int] | None = None
        #: When mails are looked for again, and how often in a row the server took none.
        self._next_ms = 0
        self._down = 0
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()

    def again(self) -> None:
        """Something changed for which mails may have waited: a configuration, an admin's request."""
        self._next_ms = self._down = 0
        self._open = None
        self._answered = set()
        self._wake.set()

    async def serve(self) -> None:
        """Write and send what is due, until cancelled. A fault of ours is shown, and the next look tries again."""
        while True:
            try:
                await self.tick()
            except LedgerFault:
                pass  # told by the service on every screen; nothing is sent that cannot be written ahead
            except Exception as error:
                log.exception("the failure mails failed")
                self._office.store.engine.fault = f"failure mails: internal error: {error.__class__.__name__}"
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), PAUSE)
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """One look: failures that are due, recoveries, then the outbox."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        settings = self._office.setup.smtp
        if settings is None:
            return
        wrote = await self._failures(settings)
        wrote |= await self._recoveries(settings)
        now = self._office.clock.now_ms()
        if wrote:
            self._next_ms = min(self._next_ms, now) if self._down == 0 else self._next_ms
        if now >= self._next_ms:
            await self._send(settings)

    # -- writing ---------------------------------------------------------------------------------------

    async def _failures(self, settings: Smtp) -> bool:
        now = self._office.clock.now_ms()
        untold = [
            row
            for row in self._office.store.live_incidents.values()
            if row.due_ms is not None and not row.told and row.due_ms <= now + SOON_MS
        ]
        wrote = False
        done: set[str] = set()
        for row in untold:
            if row.due_ms is None or row.due_ms > now or row.id in done:
                continue
            alike = [other for other in untold if _alike(row, other) and other.id not in done]
            told = alike if len(alike) >= TOGETHER else [row]
            told = sorted(told, key=lambda one: int(one.id))
            done |= {one.id for one in told}
            addresses = self.addresses(row.policy)
            if not addresses:
                continue  # nobody is named yet; it is told once somebody is
            subject, body = compose.failure(told, self._host)
            lead = int(told[0].id)
            letters = self._letters(settings, addresses, "failure", lead, subject, body)
            ids = [int(one.id) for one in told]
            changed = await self._office.ledger.write(mails.write_failure, lead, ids, letters, now)
            self._office.incidents.show(changed)
            wrote = wrote or bool(changed)
        return wrote

    async def _recoveries(self, settings: Smtp) -> bool:
        store = self._office.store
        ended = {row.told for row in store.incidents.values() if row.told and not row.live} - self._answered
        if not ended:
            return False
        if self._open is None:
            self._open = await self._office.ledger.read(mails.unanswered)
        wrote = False
        for lead in sorted(ended):
            if lead not in self._open:
                self._answered.add(lead)
                continue
            told = await self._office.ledger.read(mails.told_with, lead)
            if any(one.closed_at is None for one in told):
                continue  # some of those that were told together are not well yet
            self._answered.add(lead)
            rows = [store.incidents[str(one.id)] for one in told if str(one.id) in store.incidents]
            healed = [row for row in rows if row.state == "healed"]
            if not healed:
                continue  # dismissed: nothing became well
            subject, body = compose.recovery(healed, self._host)
            addresses = [one.address for one in await self._office.ledger.read(mails.of_incident, lead)]
            letters = self._letters(settings, dict.fromkeys(addresses), "recovery", lead, subject, body)
            await self._office.ledger.write(mails.write_recovery, lead, letters, self._office.clock.now_ms())
            wrote = True
        return wrote

    @staticmethod
    def _letters(
        settings: Smtp, addresses: Iterable[str], kind: str, lead: int, subject: str, body: str
    ) -> list[dict[str, Any]]:
        domain = settings.sender.rpartition("@")[2]
        return [
            {
                "address": address,
                "message_id": f"<syncline.{lead}.{kind}.{uuid.uuid4().hex}@{domain}>",
                "subject": subject,
                "body": body,
            }
            for address in addresses
        ]

    def addresses(self, policy: str) -> list[str]:
        """Who is told of failures of a policy: its own addresses, then those of its mail connection; each once."""
        rules = self._office.policies.get(policy)
        if rules is None:
            return []
        connection = self._office.connections.get(rules.mailbox)
        more = connection.settings.get("notify_sync_failure_to", "") if connection is not None else ""
        found = [*rules.error_addresses]
        for one in str(more).split(";"):
            address = email().read(one, "", Collector()) if one.strip() else BAD
            if address is not BAD:
                found.append(address)
        return list(dict.fromkeys(found))

    # -- sending ---------------------------------------------------------------------------------------

    async def _send(self, settings: Smtp) -> None:
        now = self._office.clock.now_ms()
        due = await self._office.ledger.read(mails.due, now)
        if not due:
            waits = [one.not_before for one in await self._office.ledger.read(mails.unsent)]
            self._next_ms = min(waits, default=now + 60_000)
            return
        try:
            async with smtp.session(settings) as session:
                for one in due:
                    await self._hand_over(session.send, one)
        except smtp.ServerFault as fault:
            await self._server_down(str(fault), len(due))
            return
        self._down, self._next_ms = 0, 0
        await self._office.incidents.heal(IncidentKind.MAIL, SERVER)

    async def _hand_over(self, send: Callable[[Letter], Any], one: MailRecord) -> None:
        office = self._office
        attempts = one.attempts + 1
        if not await office.ledger.write(mails.sending, one.id, attempts):
            return
        letter = Letter(
            one.id,
            one.incident_id,
            one.kind,
            one.address,
            one.message_id,
            one.subject,
            one.body,
            one.written_at,
            one.about,
        )
        try:
            await send(letter)
        except smtp.MailFault as fault:
            wait = backoff_ms(attempts) if not fault.permanent else REFUSED_MS
            again = office.clock.now_ms() + wait
            await office.ledger.write(mails.failed, [one.id], str(fault), again)
            log.warning("mail %s to %s: %s", one.message_id, one.address, fault)
            await office.incidents.strike(self._undelivered(one, fault, wait))
            return
        await office.ledger.write(mails.sent, one.id, office.clock.now_ms())
        await office.incidents.heal(IncidentKind.MAIL, one.address)

    def _undelivered(self, one: MailRecord, fault: smtp.MailFault, wait: int) -> Strike:
        advice = f"It is tried again in {_minutes(wait)}. Correct the address in the configuration, or x drops the mails to it."
        return Strike(
            IncidentKind.MAIL,
            "",
            one.address,
            FaultClass.ITEM,
            f"{fault} (mail {one.subject!r})",
            advice,
            "failure mails",
            self._office.clock.now_ms(),
            person=fault.permanent,
        )

    async def _server_down(self, text: str, waiting: int) -> None:
        office = self._office
        self._down += 1
        wait = backoff_ms(self._down)
        now = office.clock.now_ms()
        self._next_ms = now + wait
        log.warning("failure mails: %s", text)
        words = f"{text} ({waiting:,} {'mail waits' if waiting == 1 else 'mails wait'})"
        await office.incidents.strike(
            Strike(
                IncidentKind.MAIL,
                "",
                SERVER,
                FaultClass.CONNECTION,
                words,
                f"It is tried again in {_minutes(wait)}; the mails are kept. syncline doctor tests it.",
                "failure mails",
                now,
            )
        )

    # -- an admin's requests ---------------------------------------------------------------------------

    async def drop(self, address: str) -> int:
        """Give up the unfinished mails to an address (the mail server's name: all of them). Returns how many."""
        dropped = await self._office.ledger.write(mails.drop, "" if address == SERVER else address)
        if address == SERVER:
            subjects = [
                row.subject
                for row in self._office.store.live_incidents.values()
                if row.kind == IncidentKind.MAIL
            ]
        else:
            subjects = [address]
        await self._office.incidents.dismiss(IncidentKind.MAIL, *subjects)
        return dropped


def _alike(one: IncidentRow, other: IncidentRow) -> bool:
    return (one.kind, one.policy, one.fault_class, one.state) == (
        other.kind,
        other.policy,
        other.fault_class,
        other.state,
    )


def _minutes(wait_ms: int) -> str:
    seconds = wait_ms // 1000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


async def check(office: Office) -> Sequence[tuple[str, str, bool, str, str]]:
    """What ``doctor`` says of failure mails: connection, check, whether it passed, detail, advice."""
    settings = office.setup.smtp
    mailman = Mailman(office)
    asked = [name for name in office.policies if mailman.addresses(name)]
    if settings is None:
        if not asked:
            return []
        names = ", ".join(asked)
        return [
            (
                "smtp",
                "failure mails",
                False,
                f"{names}: addresses are named, and there is no mail server to send through",
                "Add the section [smtp] to the configuration",
            )
        ]
    found = await smtp.check(settings)
    return [("smtp", one.check, one.ok, one.detail, one.advice) for one in found]
