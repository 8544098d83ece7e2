"""``syncline audit``: who asked for what, from where, and what came of it."""

from __future__ import annotations

import dataclasses
from argparse import Namespace

from engine.service import Service
from tui import exits
from tui.listing import Column, show
from tui.out import Out

#: The fields of an entry, in the order of their columns.
NAMES = ("id", "at_ms", "actor", "origin", "command", "object", "before", "after", "result")


async def audit(service: Service, given: Namespace, out: Out) -> int:
    """Print the audit log, the youngest entry first."""
    rows = await service.audit(limit=given.limit, words=given.words)
    columns = [
        Column("when", "at_ms"),
        Column("who", "actor"),
        Column("from", lambda record: record["origin"] or "-"),
        Column("command", "command"),
        Column("object", "object"),
        Column("before", lambda record: record["before"].replace("\n", "; ")),
        Column("after", lambda record: record["after"].replace("\n", "; ")),
        Column("result", "result"),
    ]
    empty = "no entry has all these words" if given.words else "nobody has asked for anything yet"
    await show(out, given, (dataclasses.asdict(row) for row in rows), columns, empty, names=NAMES)
    return exits.OK
