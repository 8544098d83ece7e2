"""A user who gets another mailbox or another policy begins anew: nothing of the old place is taken for a delete there."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import fence as fences
from engine.ledger import mailboxes
from engine.ledger.feeds import ensure_scope
from engine.ledger.fence import Fence
from engine.ledger.observe import Seen, record_page
from engine.ledger.schema import item, link, scope
from engine.ledger.store import MemoryLedger

ANN = "ann@x.example"


async def synced() -> MemoryLedger:
    """A ledger with a mailbox that has a link, an item, a cursor and its containers."""
    ledger = MemoryLedger()
    await ledger.write(
        mailboxes.replace_configuration,
        [],
        [("Demo", {}, True), ("Other", {}, True)],
        [(ANN, "Demo", "", "")],
    )
    feed = await ledger.write(ensure_scope, "Demo", 1, "mailbox", "contacts", "id-of-the-folder")
    fence = Fence("Demo", 1, await ledger.read(fences.epoch, "Demo", 1))
    page = [Seen(1, "c1", "contact", {"name": "Bo"}, "1")]
    await ledger.write(
        record_page,
        fence,
        feed.id,
        "mailbox",
        page,
        [],
        {1},
        cursor="end",
        generation=1,
        snapshot=True,
        now=1,
    )
    await ledger.write(
        mailboxes.set_mailbox, 1, containers={"calendar": "old"}, structure="made", phase="ready"
    )
    return ledger


def _rows(connection: sa.Connection) -> list[int]:
    return [
        connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in (scope, item, link)
    ]


@pytest.mark.parametrize(
    ("user", "anew"),
    [
        ((ANN, "Demo", "", "", 1, ""), False),
        ((ANN, "Demo", "", "", 0, ANN), False),
        ((ANN, "Demo", "", "", 1, "ann.b@mail.x.example"), True),
        ((ANN, "Other", "", "", 1, ""), True),
    ],
    ids=["as before", "the same address", "another mailbox", "another policy"],
)
async def test_who_moves_begins_anew(user: tuple[Any, ...], anew: bool) -> None:
    ledger = await synced()
    assert await ledger.read(_rows) == [1, 1, 1]
    await ledger.write(mailboxes.put_users, [user])
    record = await ledger.read(mailboxes.mailbox_by_id, 1)
    assert await ledger.read(_rows) == ([0, 0, 0] if anew else [1, 1, 1])
    assert record.phase == ("new" if anew else "ready")
    assert record.structure == ("" if anew else "made")
    if record.exchange_email not in {"", ANN}:
        assert record.containers == {}, "folders of the old mailbox would be looked for in the new one"
    await ledger.close()
