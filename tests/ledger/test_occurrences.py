"""Changed occurrences of a series find their series, in whatever order a feed lists them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import fence as fences
from engine.ledger import mailboxes
from engine.ledger.feeds import ensure_scope
from engine.ledger.fence import Fence
from engine.ledger.observe import Seen, record_page
from engine.ledger.schema import item, link
from engine.ledger.store import MemoryLedger

MASTER = Seen(1, "master", "appointment", {"subject": "Weekly", "rule": {"lines": ["RRULE:FREQ=WEEKLY"]}}, "1")
MOVED = Seen(
    1,
    "master_2",
    "appointment",
    {"subject": "Weekly", "location": "elsewhere"},
    "1",
    parent="master",
    occurrence="2026-11-28T09:00:00Z",
    keys=("ref:c.master_2.12345678",),
)
FOREIGN = Seen(1, "other_2", "appointment", {"subject": "Piano"}, "1", parent="other", occurrence="2026-11-28")


async def feed(*pages: list[Seen], snapshot: bool = True) -> list[Any]:
    """What the ledger knows of all occurrences after a reading: (remote id, parent's link, fields, own)."""
    ledger = MemoryLedger()
    await ledger.write(
        mailboxes.replace_configuration, [], [("Demo", {}, True)], [("a@x.example", "Demo", "", "")]
    )
    scope = await ledger.write(ensure_scope, "Demo", 0, "crm", "Event", "Event")
    fence = Fence("Demo", 0, await ledger.read(fences.epoch, "Demo", 0))
    for number, page in enumerate(pages, 1):
        cursor = "end" if number == len(pages) else None
        await ledger.write(
            record_page,
            fence,
            scope.id,
            "crm",
            page,
            [],
            {1},
            cursor=cursor,
            generation=1,
            snapshot=snapshot,
            now=1,
            page=number,
        )

    def read(connection: sa.Connection) -> list[Any]:
        rows = connection.execute(
            sa.select(item.c.remote_id, link.c.parent_link, item.c.fields, item.c.own)
            .outerjoin(link, link.c.id == item.c.link_id)
            .where(item.c.parent.is_not(None))
            .order_by(item.c.id)
        )
        return [tuple(row) for row in rows]

    found = await ledger.read(read)
    await ledger.close()
    return found


@pytest.mark.parametrize("snapshot", [True, False], ids=["listing", "changes"])
@pytest.mark.parametrize(
    "pages",
    [
        ([MASTER, MOVED],),
        ([MOVED, MASTER],),
        ([MASTER], [MOVED]),
        ([MOVED], [MASTER]),
        ([MOVED], [MASTER, MOVED]),  # seed 116895
    ],
    ids=["series first", "occurrence first", "two pages", "two pages, occurrence first", "told twice"],
)
async def test_an_occurrence_belongs_to_its_series(pages: tuple[list[Seen], ...], snapshot: bool) -> None:
    [(name, parent, fields, own)] = await feed(*pages, snapshot=snapshot)
    assert (name, own) == ("master_2", 0)
    assert parent is not None
    assert fields == MOVED.fields


@pytest.mark.parametrize("snapshot", [True, False], ids=["listing", "changes"])
async def test_an_occurrence_of_an_unknown_series_is_the_users_own(snapshot: bool) -> None:
    assert await feed([FOREIGN], [MASTER], snapshot=snapshot) == [("other_2", None, None, 1)]
