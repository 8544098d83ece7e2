"""A drop label that is taken off a mail and put back: the mail is due, or is left alone, as it was before."""

from __future__ import annotations

from typing import Any

import pytest

from engine.ledger import fence as fences
from engine.ledger import filing as units
from engine.ledger import mailboxes
from engine.ledger.fence import Fence
from engine.ledger.filing import Seen
from engine.ledger.store import MemoryLedger

DROPPED = Seen("m1", "t1", "label", "dropped", "opportunity", "006A", "006A", "Big deal")


@pytest.mark.parametrize(
    ("before", "off", "again"),
    [
        ({"state": "sent"}, "sent", "sent"),
        ({"state": "filed", "activity": "02sA"}, "unfiling", "waiting"),
        ({"state": "waiting"}, "left", "waiting"),
    ],
    ids=["on its way", "filed", "not yet filed"],
)
async def test_a_label_taken_off_and_put_back(before: dict[str, Any], off: str, again: str) -> None:
    ledger = MemoryLedger()
    await ledger.write(
        mailboxes.replace_configuration, [], [("Demo", {}, True)], [("ann@x.example", "Demo", "", "")]
    )
    fence = Fence("Demo", 1, await ledger.read(fences.epoch, "Demo", 1))
    await ledger.write(units.record_page, fence, "1", [DROPPED], {}, [], True, 1)
    row = await ledger.read(units.one, 1)
    assert row is not None
    await ledger.write(units.change, fence, [(row.id, before)])

    await ledger.write(units.record_page, fence, "2", [], {"m1": ["label"]}, [], True, 2)
    row = await ledger.read(units.one, 1)
    assert row is not None
    assert (row.state, row.left_at) == (off, 2)

    await ledger.write(units.record_page, fence, "3", [DROPPED], {}, [], True, 3)
    row = await ledger.read(units.one, 1)
    assert row is not None
    assert (row.state, row.left_at, row.released) == (again, None, 0)
