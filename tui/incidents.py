"""``syncline incidents``: what is wrong, since when, what is done about it, and what became of its mails."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from engine.service import AcknowledgeIncidents, Command, DropMails, RetryMails, Service
from tui import exits
from tui.exits import Trouble
from tui.listing import show_csv
from tui.out import Out
from tui.printing import plain, table, when

#: Keys of an incident that are times, and the head of an empty list.
_TIMES = frozenset({"first", "last", "closed", "seen"})
_HEAD = (
    "id",
    "kind",
    "policy",
    "subject",
    "class",
    "phase",
    "text",
    "advice",
    "state",
    "first_ms",
    "last_ms",
    "count",
    "closed_ms",
    "mailed",
    "seen_by",
    "seen_ms",
)

#: Kinds as people read them.
KIND = {
    "cycle": "mailbox",
    "policy": "policy",
    "stale": "stale",
    "rollout": "roll-out",
    "job": "job",
    "mail": "mail",
    "push": "push",
    "login": "login",
    "quarantine": "set aside",
    "cycle+job": "mailbox",
    "policy+job": "policy",
}


async def incidents(service: Service, given: Namespace, out: Out) -> int:
    """List incidents, or do something about them.

    Raises:
        Trouble: nothing of it could be done.
    """
    command: Command | None = None
    if given.ack is not None:
        command = AcknowledgeIncidents(tuple(given.ack))
    elif given.drop_mails is not None:
        command = DropMails(given.drop_mails)
    elif given.retry_mails:
        command = RetryMails()
    if command is not None:
        answer = await service.do(command, out.by)
        if not answer.ok:
            raise Trouble(exits.USAGE, answer.text, answer.details)
        out.print(answer.text)
        return exits.OK
    rows = service.incidents(closed=given.all)
    mails = (await service.status())["mails"]
    if given.json:
        out.show({"incidents": rows, "mails": mails})
    elif given.csv:
        await show_csv(
            out, ({f"{key}_ms" if key in _TIMES else key: row[key] for key in row} for row in rows), _HEAD
        )
    else:
        out.print(incidents_text(rows, mails, out.zone))
    return exits.FAULTS if any(row["state"] in {"open", "cancelled"} for row in rows) else exits.OK


def incidents_text(rows: Sequence[Mapping[str, Any]], mails: Mapping[str, Any], zone: tzinfo | None) -> str:
    """Incidents as a table, each with what to do; and the mails that wait."""
    parts = []
    if rows:
        head = [
            "id",
            "state",
            "what",
            "who",
            "class",
            "since",
            "last",
            "times",
            "seen by",
            "error",
            "next step",
        ]
        lines = [
            [
                str(row["id"]),
                row["state"],
                KIND.get(row["kind"], row["kind"]),
                row["subject"],
                row["class"] or "-",
                when(row["first"], zone),
                when(row["last"], zone),
                f"{row['count']:,}",
                row["seen_by"] or "-",
                plain(row["text"], 200),
                plain(row["advice"], 200),
            ]
            for row in rows
        ]
        parts.append(table(head, lines))
    else:
        parts.append("no incident: nothing is wrong that Syncline knows of")
    if mails["waiting"]:
        told = [f"{mails['waiting']:,} failure mails wait to be sent"]
        told += [
            f"  {one['kind']} to {one['address']}: {plain(one['error'], 200)} ({one['attempts']} times)"
            for one in mails["undelivered"]
        ]
        parts.append("\n".join(told))
    return "\n\n".join(parts)
