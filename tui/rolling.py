"""``syncline rollout``: how far a policy's roll-out is, and going on with it."""

from __future__ import annotations

import dataclasses
from argparse import Namespace

from engine.service import Move, RollOut, RolloutReport, Service
from tui import exits
from tui.exits import Trouble
from tui.out import Out

#: Mailboxes of a wave that are named.
NAMED = 4


async def rollout(service: Service, given: Namespace, out: Out) -> int:
    """Show the roll-out of a policy, or admit its next wave, all, or nobody else."""
    text = ""
    if given.move:
        answer = await service.do(RollOut(given.policy, Move(given.move)), out.by)
        if not answer.ok:
            raise Trouble(exits.USAGE, answer.text)
        text = answer.text
    found = await service.rollout(given.policy)
    if given.json:
        out.show({**dataclasses.asdict(found), "done": text})
    else:
        out.print("\n".join([*([f"{text}; the next cycle does it"] if text else []), *lines(found)]))
    return exits.FAULTS if found.stage == "stopped" and not given.move else exits.OK


def lines(found: RolloutReport) -> list[str]:
    """The report for people."""
    told = [f"{found.policy}: {found.text}"]
    for row in found.waves:
        named = ", ".join(row.mailboxes[:NAMED]) + (" ..." if len(row.mailboxes) > NAMED else "")
        count = f"{len(row.mailboxes):,} {'mailbox' if len(row.mailboxes) == 1 else 'mailboxes'}"
        told.append(f"  wave {row.wave}  {row.state:<9} {count}: {named}")
    return told
