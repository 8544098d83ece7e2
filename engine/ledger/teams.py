"""Units of work on teams: whose CRM records a mailbox receives beside the person's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import mailbox, scope
from engine.ledger.sql import setting


def store(
    connection: sa.Connection,
    fence: Fence,
    policy: str,
    teams: Mapping[int, Mapping[str, Any]],
    feeds: Sequence[str],
) -> None:
    """Remember the teams of mailboxes, and have the CRM feeds that they decide about read completely.

    Args:
        connection: the write transaction.
        fence: of the policy.
        policy: its name.
        teams: by mailbox id; see the column.
        feeds: keys of CRM feeds that lose their cursor.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    setting(mailbox, "id", ("team",)).many(
        connection, [{"which": one, "new_team": dict(team)} for one, team in teams.items()]
    )
    if feeds:
        connection.execute(
            sa.update(scope)
            .where(
                scope.c.policy == policy,
                scope.c.mailbox_id == 0,
                scope.c.side == "crm",
                scope.c.key.in_(list(feeds)),
            )
            .values(cursor=None)
        )
