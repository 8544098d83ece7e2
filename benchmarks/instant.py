"""A CRM and a mail system in this process that answer at once: what is left is the engine's own work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.model.canonical import FIELDS, Fields, compact
from engine.model.modules import Module
from engine.model.port import (
    Account,
    Capability,
    Containers,
    CreateKey,
    CrmUser,
    Finding,
    Guard,
    Observation,
    Outcome,
    Page,
    Result,
    Scope,
    Structure,
    Write,
    WriteKind,
)

EMAIL = "ada@example.com"
OWNER = "005000000000001"

#: What Google People and Salesforce list in one page, and what People takes in one batch of writes.
PAGE = 1000
BATCH = 200


def contact(number: int) -> dict[str, object]:
    """A contact with as many fields as people fill in."""
    return {
        "given": f"Ada {number}",
        "family": "Lovelace",
        "company": "Analytical Engines Ltd",
        "title": "Head of Programming",
        "department": "Research",
        "email": f"ada.{number}@example.com",
        "phone_work": {"raw": f"+4420{number:08d}", "e164": f"+4420{number:08d}"},
        "phone_mobile": {"raw": f"+4477{number:08d}", "e164": f"+4477{number:08d}"},
        "address_work": {"street": "12 St James's Square", "city": "London", "country": "United Kingdom"},
        "birthday": "1815-12-10",
        "notes": "Met at the fair.",
    }


@dataclass(slots=True)
class Instant:
    """One feed of contacts; its cursor is the number of versions told so far."""

    log: list[Observation] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def capability(self, module: Module) -> Capability | None:
        """Contacts only, with People's batch of 200."""
        if module is not Module.CONTACT:
            return None
        names = frozenset(FIELDS[module])
        return Capability(names, names, CreateKey.NATURAL, Guard.ETAG, batch=BATCH)

    async def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of ``PAGE`` items."""
        start, end = int(cursor or 0), len(self.log)
        for first in range(start, max(end, start + 1), PAGE):
            self.calls.append("changes")
            piece = tuple(self.log[first : min(first + PAGE, end)])
            yield Page(piece, str(end) if first + PAGE >= end else None, snapshot=cursor is None)

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        """The youngest version of each."""
        self.calls.append("fetch")
        now = {one.remote_id: one for one in self.log}
        return [now.get(one, Observation(one, Module.CONTACT, deleted=True)) for one in ids]

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        """Contacts have none."""
        return []

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        """Every write succeeds; an update shows the patched item."""
        self.calls.append("apply")
        outcomes = []
        for write in writes:
            if write.kind is WriteKind.DELETE:
                self.log.append(Observation(write.remote_id, write.module, deleted=True))
                outcomes.append(Outcome(Result.DONE))
                continue
            made = Observation(
                write.remote_id or write.key,
                write.module,
                fields=compact(write.fields),
                etag=str(len(self.log)),
                marker=write.key if write.kind is WriteKind.CREATE else None,
                modified=1_795_000_000_000,
                containers=write.containers,
                native={"kind": "contact"},
            )
            self.log.append(made)
            outcomes.append(Outcome(Result.DONE, made))
        return outcomes

    def usage(self) -> list[tuple[str, float, float]]:
        """No quotas."""
        return []

    async def check(self, account: Account | None) -> list[Finding]:
        """Always well."""
        return []

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class InstantCrm(Instant):
    """The CRM."""

    def add(self, fields: Fields) -> None:
        """Somebody makes a contact."""
        number = len(self.log)
        self.log.append(
            Observation(
                f"003{number:012d}",
                Module.CONTACT,
                fields=fields,
                etag=str(number),
                modified=1_794_000_000_000,
                owner=OWNER,
            )
        )

    def scopes(self, modules: Sequence[Module]) -> tuple[Scope, ...]:
        """One feed."""
        return (Scope("Contact", "Contact", (Module.CONTACT,)),)

    async def users(self, *, managers: bool = False) -> list[CrmUser]:
        """One person."""
        return [CrmUser(OWNER, EMAIL, "Ada")]


@dataclass(slots=True)
class InstantMail(Instant):
    """The mail system."""

    async def ensure(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        """A contact list with its group."""
        self.calls.append("ensure")
        return self._containers(account)

    async def survey(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        """The same; everything is there."""
        return self._containers(account)

    @staticmethod
    def _containers(account: Account) -> Containers:
        scope = Scope("contacts", "contacts", (Module.CONTACT,), account)
        return Containers({"group:contact": "contactGroups/crm"}, (scope,))

    async def verify(self, account: Account, structure: Structure, known: Mapping[str, str]) -> list[Finding]:
        """Always well."""
        return []

    async def occupied(self, scope: Scope, ids: Sequence[str]) -> set[str]:
        """Nobody keeps anything of their own."""
        return set()

    async def remove(self, account: Account, made: Mapping[str, str]) -> dict[str, str]:
        """All of it goes."""
        return dict.fromkeys(made, "")
