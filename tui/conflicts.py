"""``syncline conflicts``: fields that both sides changed, listed and decided."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from datetime import tzinfo

from engine.service import ConflictRow, DecideConflict, Keep, Service
from tui import exits
from tui.exits import Trouble
from tui.listing import show_csv
from tui.out import Out
from tui.printing import plain, table, when

#: Longest value in the table, in characters; --json has them whole.
LONGEST = 36


async def conflicts(service: Service, given: Namespace, out: Out) -> int:
    """List what waits, or decide about it."""
    if given.ids:
        return await _decide(service, given, out)
    rows = await service.conflicts(given.mailbox, given.policy)
    if given.json:
        out.show({"rows": [dataclasses.asdict(row) for row in rows]})
    elif given.csv:
        await show_csv(
            out, map(dataclasses.asdict, rows), [field.name for field in dataclasses.fields(ConflictRow)]
        )
    else:
        out.print(conflicts_text(rows, out.zone))
    return exits.OK


async def _decide(service: Service, given: Namespace, out: Out) -> int:
    """Decide mailbox by mailbox, and tell what was done.

    Raises:
        Trouble: nothing was decided.
    """
    choice = Keep.EDIT if given.value is not None else Keep(given.keep)
    asked = list(dict.fromkeys(given.ids))
    mailboxes = {row.id: row.mailbox for row in await service.conflicts(None, given.policy)}
    left = [
        f"{one} does not wait (any more); conflicts lists what does" for one in asked if one not in mailboxes
    ]
    done = []
    for mailbox in dict.fromkeys(mailboxes[one] for one in asked if one in mailboxes):
        ids = tuple(one for one in asked if mailboxes.get(one) == mailbox)
        answer = await service.do(DecideConflict(mailbox, ids, choice, given.value or ""), out.by)
        if answer.ok:
            done.append(answer.text)
        else:
            left.append(answer.text)
        left += answer.details
    if not done:
        raise Trouble(exits.USAGE, left[0], left[1:])
    if given.json:
        out.show({"done": done, "left": left})
    else:
        out.print("\n".join([*done, *left]))
    return exits.FAULTS if left else exits.OK


def conflicts_text(rows: Sequence[ConflictRow], zone: tzinfo | None = None) -> str:
    """What waits, with the three values of each field."""
    if not rows:
        return "no conflict waits for you"
    lines = [
        [
            str(row.id),
            row.mailbox,
            f"{row.module.replace('_', ' ')} {plain(row.name, 30)}",
            row.label,
            *(plain(value, LONGEST) or "(empty)" for value in (row.crm, row.agreed, row.theirs)),
            when(row.since_ms, zone),
            plain(f"decided: {row.decided}" if row.decided else row.why, 200),
        ]
        for row in rows
    ]
    head = ["id", "mailbox", "item", "field", "CRM", "last agreed", "mailbox's", "since", "why"]
    return "\n\n".join(
        [
            table(head, lines),
            "conflicts decide ID... --keep crm, --keep mailbox or --value TEXT settles it in the next cycle",
        ]
    )
