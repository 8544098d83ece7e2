"""Which mailboxes a CRM item may be for: its owner's, those of the owner's manager, or all. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.ledger.mailboxes import MailboxRecord

Place = tuple[int, str]
"""A mailbox: its id and its address."""


@dataclass(frozen=True, slots=True)
class Audience:
    """The mailboxes that a CRM feed speaks for.

    Attributes:
        everybody: all of them, for modules that everybody sees.
        owners: by the person's id in the CRM.
        managers: by the id of each CRM user who is in the team of somebody with a mailbox.
    """

    everybody: tuple[Place, ...]
    owners: Mapping[str, Place]
    managers: Mapping[str, tuple[Place, ...]]

    def of(self, owner: str, *, team: bool) -> list[Place]:
        """The mailboxes that receive an item of an owner; ``team``: the manager's as well."""
        found = [self.owners[owner]] if owner in self.owners else []
        if team:
            found += [place for place in self.managers.get(owner, ()) if place not in found]
        return found


def audience(records: Iterable[MailboxRecord]) -> Audience:
    """The audience that some mailboxes are."""
    everybody: list[Place] = []
    owners: dict[str, Place] = {}
    managers: dict[str, tuple[Place, ...]] = {}
    for record in records:
        place = (record.id, record.email)
        everybody.append(place)
        if record.crm_user:
            owners[record.crm_user] = place
        for member in members(record):
            managers[member] = (*managers.get(member, ()), place)
    return Audience(tuple(everybody), owners, managers)


def members(record: MailboxRecord) -> list[str]:
    """Ids of the CRM users in a person's team, as they were last read; those of another CRM user do not count."""
    if not record.crm_user or record.team.get("of") != record.crm_user:
        return []
    return list(record.team["members"])
