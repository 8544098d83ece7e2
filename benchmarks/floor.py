"""The least number of calls that a first sync can need, from what is in the ledger afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import sqlalchemy as sa

from engine.ledger import mailboxes
from engine.ledger.schema import cycle, item, scope
from engine.ledger.store import Ledger
from engine.mailbox.google.settings import Api
from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Module, Side
from engine.model.policy import Policy
from engine.sync.structure import label_paths

FORMULA = """\
floor of a first sync, in HTTP requests:
  Salesforce  1 token, 1 list of users, and per feed (object) ceil(rows/2000), at least 1
  sign-in     1 token per mailbox
  per mailbox, where n are the items created there and C, E, T those that it held before:
  People      groups created + max(1, ceil(C/1000)) + ceil(n/200)
  Calendar    calendars created + max(1, ceil(E/2500)) + ceil(n/50)
  Tasks       max(1, ceil(T/100)) + n
  Gmail       1 profile + ceil(labels created/50) + 2 * ceil(n/50)
  Exchange    3 for the names of folders and what they hold, 1 for each folder made and each listed,
              ceil(n/batch size) + ceil(n/100), of all items together
not in the floor: the palette of colours (once per connection), changed occurrences of a series, which are
written after it and so in a batch of their own, series of the CRM listed again for their occurrences"""

_ROWS_PER_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Volume:
    """Items of one mailbox by module: ``created`` by the first sync, and ``held`` before it."""

    created: Mapping[Module, int]
    held: Mapping[Module, int]


def floor_of(volume: Volume, policy: Policy) -> Counter[str]:
    """Floor of one mailbox by provider, without its share of the CRM."""
    on = [module for module in Module if policy.on(module)]
    made, held = volume.created, volume.held

    def total(counts: Mapping[Module, int], modules: frozenset[Module]) -> int:
        return sum(counts.get(module, 0) for module in modules)

    floor: Counter[str] = Counter({"Google sign-in": 1})
    if groups := len(CONTACT_MODULES.intersection(on)):
        lists = max(1, ceil(total(held, CONTACT_MODULES) / 1000))
        floor[Api.PEOPLE.label] = groups + lists + ceil(total(made, CONTACT_MODULES) / 200)
    if EVENT_MODULES.intersection(on):
        lists = max(1, ceil(total(held, EVENT_MODULES) / 2500))
        # Colour mode makes no calendar.
        floor[Api.CALENDAR.label] = lists + ceil(total(made, EVENT_MODULES) / 50)
    if Module.TASK in on:
        floor[Api.TASKS.label] = max(1, ceil(held.get(Module.TASK, 0) / 100)) + made.get(Module.TASK, 0)
    if RECORD_MODULES.intersection(on):
        records = total(made, RECORD_MODULES)
        floor[Api.GMAIL.label] = 1 + ceil(len(label_paths(policy)) / 50) + 2 * ceil(records / 50)
    return floor


async def floor_of_first_sync(ledger: Ledger, policy: Policy) -> Counter[str]:
    """Floor by provider of the first sync that has just ended in ``ledger``."""
    floor: Counter[str] = Counter()
    for record in await ledger.read(mailboxes.mailboxes, policy.name):
        floor += floor_of(await ledger.read(_volume, record.id), policy)
    feeds = await ledger.read(_crm_rows, policy.name)
    floor["Salesforce"] = 2 + sum(max(1, ceil(rows / _ROWS_PER_PAGE)) for rows in feeds)
    return floor


def _volume(connection: sa.Connection, mailbox_id: int) -> Volume:
    created: Counter[Module] = Counter()
    for (counts,) in connection.execute(sa.select(cycle.c.counts).where(cycle.c.mailbox_id == mailbox_id)):
        for name, count in (counts or {}).items():
            module, _, outcome = name.partition(".")
            if outcome == "created":
                created[Module(module)] += count
    rows = connection.execute(
        sa.select(item.c.module, sa.func.count())
        .where(item.c.mailbox_id == mailbox_id, item.c.side == Side.MAILBOX.value)
        .group_by(item.c.module)
    )
    held = {Module(module): max(0, count - created[Module(module)]) for module, count in rows}
    return Volume(created, held)


def _crm_rows(connection: sa.Connection, policy: str) -> list[int]:
    """Rows that each feed of the CRM brought; a row that several mailboxes receive counts once."""
    rows = connection.execute(
        sa.select(scope.c.id, sa.func.count(sa.distinct(item.c.remote_id)))
        .select_from(scope.outerjoin(item, item.c.scope_id == scope.c.id))
        .where(scope.c.policy == policy, scope.c.side == Side.CRM.value)
        .group_by(scope.c.id)
    )
    return [int(count) for _, count in rows]
