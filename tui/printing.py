"""What the command line prints for people: plain text, no colour, so that it can be piped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, tzinfo
from typing import Any
from unicodedata import east_asian_width

from engine.service import SETTLES, DoctorRow, HeldRow, Module, Settle, VerifyRow, Waits
from tui.format import MODULE_WORD

#: Counters of a report, in the order of their columns.
COUNTERS = ("created", "updated", "deleted", "unchanged", "held", "failed", "filtered")


def _cells(text: str) -> int:
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns under their heads; numbers to the right, everything else to the left."""
    body = [list(row) for row in rows]
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in body]
    widths = [max(_cells(line[column]) for line in [list(head), *texts]) for column in range(len(head))]
    right = [
        all(isinstance(row[column], int | float) for row in body) and bool(body) for column in range(len(head))
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            " " * (width - _cells(cell)) + cell if to_right else cell + " " * (width - _cells(cell))
            for cell, width, to_right in zip(cells, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(head), *map(line, texts)])


def tick(ok: bool, ascii: bool) -> str:
    """A sign for passed or failed."""
    return ("ok" if ok else "!!") if ascii else ("✓" if ok else "✗")


def report_text(report: Mapping[str, Any]) -> str:
    """The report of a sync: a line per mailbox and module that has anything, and the sums."""
    lines = []
    for user in report["users"]:
        for name, counts in user["modules"].items():
            if any(counts[key] for key in COUNTERS):
                lines.append([user["email"], MODULE_WORD[Module(name)], *(counts[key] for key in COUNTERS)])
    out = [table(["mailbox", "module", *COUNTERS], lines)] if lines else []
    out.append(
        table(
            ["mailbox", "state", "calls", "seconds", ""],
            [
                [user["email"], user["state"], user["calls"], f"{user['seconds']:.1f}", user.get("text", "")]
                for user in report["users"]
            ],
        )
    )
    totals = report["totals"]
    sums = f"{totals['items']:,} items, {totals['writes']:,} writes, {totals['calls']:,} calls"
    if "seconds" in totals:
        sums += f", {totals['seconds']:.1f} s"
    if "duplicates" in totals:
        sums += f", {totals['duplicates']:,} duplicates"
    out.append(sums)
    out += [f"{each['name']}: {each['result']}: {each['note']}" for each in report.get("policies", ())]
    return "\n\n".join(out)


def verify_text(rows: Sequence[VerifyRow], ascii: bool, *, all_rows: bool = True) -> str:
    """The ticks of a verification, all or only those that differ, and their number."""
    lines = [
        [tick(row.ok, ascii), row.mailbox, row.check, row.have, row.want, row.detail]
        for row in rows
        if all_rows or not row.ok
    ]
    bad = sum(not row.ok for row in rows)
    sums = f"{len(rows):,} checks, " + (f"{bad:,} differ" if bad else "all as expected")
    return "\n\n".join(
        [*([table(["", "mailbox", "check", "have", "want", "detail"], lines)] if lines else []), sums]
    )


def doctor_text(rows: Sequence[DoctorRow], ascii: bool) -> str:
    """What ``doctor`` found, with the advice below each failure."""
    out = []
    for row in rows:
        out.append(f"{tick(row.ok, ascii)} {row.connection}  {row.check}: {row.detail}")
        if not row.ok and row.advice:
            out.append(f"    {row.advice}")
    return "\n".join(out)


def plain(text: str, most: int) -> str:
    """What others wrote, in one line: no control characters, which a terminal would obey, and not too long."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def held_text(rows: Sequence[HeldRow], zone: tzinfo | None = None) -> str:
    """What waits for an admin, with what can be done about it."""
    if not rows:
        return "nothing waits for you: no delete and no twin is held, nothing is in quarantine"
    lines = [
        [
            str(row.id),
            row.mailbox,
            row.kind,
            row.module.replace("_", " "),
            plain(row.name, 40),
            row.side,
            when(row.since_ms, zone),
            plain(row.reason, 200),
        ]
        for row in rows
    ]
    ways = [
        f"{kind}: " + ", ".join(f"--{how}" for how in Settle if how in SETTLES[kind])
        for kind in Waits
        if any(row.kind is kind for row in rows)
    ]
    head = ["id", "mailbox", "waits", "module", "name", "in", "since", "reason"]
    return "\n\n".join([table(head, lines), "\n".join(ways)])


#: Keys of an item that waits.
HELD = (*(field.name for field in fields(HeldRow)), "ways")


def held_json(row: HeldRow) -> dict[str, Any]:
    """One item that waits, with its fields by label and what can be done about it."""
    ways = [how.value for how in Settle if how in SETTLES[row.kind]]
    return {**asdict(row), "before": dict(row.before), "ways": ways}


def when(epoch_ms: int | None, zone: tzinfo | None = None) -> str:
    """A time in a zone, without one in that of this machine; ``-`` for none."""
    return "-" if epoch_ms is None else f"{datetime.fromtimestamp(epoch_ms / 1000):%Y-%m-%d %H:%M:%S}"


def _stale(row: Mapping[str, Any], zone: tzinfo | None) -> str:
    """A state that tells its own trouble, or claims to be fine, is told to be stale besides."""
    return f"stale since {when(row['stale_since'], zone)};" if row["stale_since"] else ""


def status_text(status: Mapping[str, Any], zone: tzinfo | None = None) -> str:
    """Policies, users and jobs."""
    if not status["policies"]:
        return "no policy yet: apply a file (docs/configuration.md), or try the demo"
    policies = table(
        ["policy", "state", "users", "held", "conflicts", "failed", "last full sync", "next full sync", ""],
        [
            [
                row["name"],
                row["state"],
                row["users"],
                row["held"],
                row["conflicts"],
                row["failed"],
                when(row["last_full"], zone),
                when(row["next_full"], zone),
                row["fault"] or row["next_why"],
            ]
            for row in status["policies"]
        ],
    )
    users = table(
        ["mailbox", "policy", "state", "last success", ""],
        [
            [
                row["email"],
                row["policy"],
                row["state"],
                when(row["last_success"], zone),
                " ".join(part for part in (_stale(row, zone), row["text"]) if part),
            ]
            for row in status["users"]
        ],
    )
    return "\n\n".join(part for part in (policies, users, _troubles(status)) if part)


def _troubles(status: Mapping[str, Any]) -> str:
    """How many incidents are live, and mails that cannot be delivered."""
    live, mails = status.get("incidents", ()), status.get("mails", {})
    parts = []
    if live:
        parts.append(f"{len(live):,} incident{'s' * (len(live) > 1)}: syncline incidents lists them")
    for one in mails.get("undelivered", ()):
        parts.append(f"a {one['kind']} mail to {one['address']} waits: {plain(one['error'], 200)}")
    return "\n".join(parts)
