"""After a first sync: what was read back from each mailbox, in few columns; before it, who goes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.service import RolloutReport, VerifyRow
from tui import format as form
from tui.paint import Span, TextLine, fit, line

#: Checks of ``verify`` that have a column, and its head.
_CHECKS = (
    ("groups", "Groups"),
    ("contacts", "Contacts"),
    ("calendar", "Calendar"),
    ("tasks", "Tasks"),
    ("label tree", "Label tree"),
    ("quick connect mails", "Quick connect"),
)
_CELL = 17

#: Pilot mailboxes that are named.
NAMED = 5


def confirmed(report: Sequence[VerifyRow], mailboxes: Sequence[str]) -> str:
    """How many of the mailboxes are confirmed; empty while none was read back."""
    if not report:
        return ""
    differ = {row.mailbox for row in report if not row.ok}
    good = {row.mailbox for row in report} - differ
    told = f"Confirmed {len(good):,} of {form.count(len(mailboxes), 'mailbox', 'mailboxes')}"
    return f"{told}; ↵ on the policy opens a difference" if differ else told


def who_first(plan: RolloutReport, mailboxes: Sequence[str]) -> str:
    """Which mailboxes are the pilot; that there is none, where all begin at once."""
    count = form.count(len(mailboxes), "mailbox", "mailboxes")
    if len(plan.waves) < 2:
        return f"All at once: {count}."
    pilot = plan.waves[0].mailboxes
    named = ", ".join(pilot[:NAMED]) + (" ..." if len(pilot) > NAMED else "")
    return f"Pilot: {len(pilot):,} of {count} first: {named}"


def lines(
    plan: RolloutReport, report: Sequence[VerifyRow], mailboxes: Sequence[str], width: int, height: int
) -> list[TextLine]:
    """The panel: the pilot, then one row for each mailbox, those with a difference first."""
    checks: dict[str, dict[str, VerifyRow]] = {}
    for row in report:
        checks.setdefault(row.mailbox, {})[row.check] = row
    waits = {name for wave in plan.waves if wave.state == "waits" for name in wave.mailboxes}
    place = {name: wave.wave for wave in plan.waves for name in wave.mailboxes}

    def order(name: str) -> tuple[bool, bool, int, str]:
        rows = checks.get(name, {})
        return (all(row.ok for row in rows.values()), not rows, place.get(name, 0), name)

    room = max(20, width - 4 - _CELL * len(_CHECKS))
    head = f" {fit('Mailbox', room)} " + "".join(fit(title, _CELL) for _, title in _CHECKS)
    rest = ""
    if len(plan.waves) > 1:
        rest = "   O in Policies lets the others follow."
    told = [line((f" {who_first(plan, mailboxes)}{rest}", "quiet")), line((head, "head"))]
    shown = sorted(mailboxes, key=order)[: max(0, height - len(told))]
    for name in shown:
        cells = _cells(checks.get(name, {}), name in waits)
        told.append(line((f" {fit(name, room)} ", "text"), *((fit(text, _CELL), role) for text, role in cells)))
    return told


def _cells(rows: Mapping[str, VerifyRow], waits: bool) -> list[Span]:
    if not rows:
        return [(f"◌ {'waits' if waits else 'not read yet'}", "quiet")] + [("◌", "quiet")] * (len(_CHECKS) - 1)
    return [_cell(rows.get(name)) for name, _ in _CHECKS]


def _cell(row: VerifyRow | None) -> Span:
    if row is None:
        return ("-", "off")
    text = f"{row.have:,} of {row.want:,}"
    return (f"✓ {text}", "text") if row.ok else (f"! {text}", "alert")
