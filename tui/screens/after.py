"""After a first sync: what was read back from each mailbox, in few columns; before it, who goes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.service import CheckLine, CheckState, RolloutReport, VerifyRow
from tui import format as form
from tui.paint import Span, TextLine, fit, fit_name, line

#: Checks of ``verify`` that have a column, and its head.
_CHECKS = (
    ("groups", "Groups"),
    ("contacts", "Contacts"),
    ("appointments", "Appointments"),
    ("tasks", "Tasks"),
    ("label tree", "Label tree"),
    ("quick connect mails", "Quick connect"),
)
_CELL = 17

#: Pilot mailboxes that are named.
NAMED = 5

#: Why it does not happen by itself. What it costs: engine/sync/verify.py.
_ASKED_FOR = "V lists every mailbox once, whole, and compares; it writes nothing. So many calls are made only when you ask."


def read_back(
    report: Sequence[VerifyRow], mailboxes: Sequence[str], *, synced: bool, running: bool
) -> CheckLine:
    """The line of the checklist about what was read back after the first sync.

    Args:
        report: of the last verification.
        mailboxes: of the policy.
        synced: whether the first sync has ended.
        running: whether a verification runs now.
    """
    differ = [row for row in report if not row.ok]
    if running:
        state, found, told = CheckState.UNKNOWN, "being read now", [_ASKED_FOR]
    elif not synced:
        state, found, told = CheckState.UNKNOWN, "when the first sync ends", [_ASKED_FOR]
    elif not report:
        state, found, told = CheckState.UNKNOWN, "not yet: V reads it back", [_ASKED_FOR]
    else:
        whole = len({row.mailbox for row in report}) >= len(mailboxes)  # a wave is read back by itself
        state = CheckState.LOOK if differ else CheckState.OK if whole else CheckState.UNKNOWN
        found = confirmed(report, mailboxes)
        told = [f"{row.mailbox}: {_difference(row)}" for row in differ]
        told += ["1, then ↵ on the policy, shows every check. V reads it back again."] if differ else []
    return CheckLine("after", "Read back from mailboxes", state, found, tuple(told))


def confirmed(report: Sequence[VerifyRow], mailboxes: Sequence[str]) -> str:
    """How many of the mailboxes are confirmed."""
    differ = {row.mailbox for row in report if not row.ok}
    good = {row.mailbox for row in report} - differ
    told = f"{len(good):,} of {len(mailboxes):,} confirmed"
    return f"{told}, {len(differ):,} {'differs' if len(differ) == 1 else 'differ'}" if differ else told


def _difference(row: VerifyRow) -> str:
    return f"{row.check}: {row.have:,} of {row.want:,}" + (f", {row.detail}" if row.detail else "")


def who_first(plan: RolloutReport, mailboxes: Sequence[str]) -> str:
    """Which mailboxes are the pilot; that there is none, where all begin at once."""
    count = form.count(len(mailboxes), "mailbox", "mailboxes")
    if len(plan.waves) < 2:
        return f"All at once: {count}."
    pilot = plan.waves[0].mailboxes
    named = ", ".join(pilot[:NAMED]) + (" ..." if len(pilot) > NAMED else "")
    return f"Pilot: {len(pilot):,} of {count} first: {named}"


def lines(
    plan: RolloutReport,
    report: Sequence[VerifyRow],
    mailboxes: Sequence[str],
    width: int,
    height: int,
    *,
    synced: bool,
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
        unread = "waits" if name in waits else "not yet: V reads it back" if synced else "not synced yet"
        cells = _cells(checks.get(name, {}), unread)
        cell = _CELL * len(_CHECKS) // len(cells)
        told.append(
            line((f" {fit_name(name, room)} ", "text"), *((fit(text, cell), role) for text, role in cells))
        )
    return told


def _cells(rows: Mapping[str, VerifyRow], unread: str) -> list[Span]:
    """A mailbox's cells, or one that says why there are none, or what differs beside the columns."""
    if not rows:
        return [(f"◌ {unread}", "quiet")]
    shown = [rows.get(name) for name, _ in _CHECKS]
    beside = [row for row in rows.values() if not row.ok and row not in shown]
    if beside and all(row is None or row.ok for row in shown):
        return [(f"! {_difference(beside[0])}", "alert")]
    return [_cell(row) for row in shown]


def _cell(row: VerifyRow | None) -> Span:
    if row is None:
        return ("-", "off")
    text = f"{row.have:,} of {row.want:,}"
    return (f"✓ {text}", "text") if row.ok else (f"! {text}", "alert")
