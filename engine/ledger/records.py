"""Units of work on CRM records as a mailbox has them: which there are, and which of them have a drop label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import item, link
from engine.ledger.statement import Statement
from engine.ledger.worklist import mark_dirty


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record that lives in the CRM.

    Attributes:
        link_id: its link.
        state, reason: of the link.
        fields: canonical, as the CRM shows them.
        modified: when it was last changed there, epoch milliseconds.
        place, shown, native: id, fields and details of its drop label; empty when it has none.
    """

    link_id: int
    state: str
    reason: str
    fields: dict[str, Any]
    modified: int | None
    place: str
    shown: dict[str, Any]
    native: dict[str, Any]

    @property
    def labelled(self) -> bool:
        """Whether it has a drop label."""
        return bool(self.place)


_CRM, _LABEL = item.alias("crm_item"), item.alias("label_item")
_RECORDS = Statement(
    sa.select(
        link.c.id,
        link.c.state,
        link.c.reason,
        _CRM.c.fields,
        _CRM.c.modified,
        _LABEL.c.remote_id,
        _LABEL.c.fields.label("shown"),
        _LABEL.c.native,
    )
    .join(_CRM, sa.and_(_CRM.c.link_id == link.c.id, _CRM.c.side == "crm", _CRM.c.deleted == 0))
    .outerjoin(
        _LABEL, sa.and_(_LABEL.c.link_id == link.c.id, _LABEL.c.side == "mailbox", _LABEL.c.deleted == 0)
    )
    .where(link.c.mailbox_id == sa.bindparam("mailbox"), link.c.module == sa.bindparam("of_module"))
    .order_by(link.c.id)
)


def records(connection: sa.Connection, mailbox_id: int, module: str) -> list[RecordRow]:
    """The records of a module that a mailbox receives, in the order in which they came."""
    return [
        RecordRow(
            row.id,
            row.state,
            row.reason,
            row.fields or {},
            row.modified,
            row.remote_id or "",
            row.shown or {},
            row.native or {},
        )
        for row in _RECORDS.rows(connection, mailbox=mailbox_id, of_module=module)
    ]


def wake(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> None:
    """Have links looked at although nothing about them changed.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    mark_dirty(connection, link_ids)
