"""What is looked at before a policy's first sync begins. Nothing is asked of a provider here: tests and previews did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.jobs import rollout
from engine.jobs.schedule import in_blackout
from engine.model.modules import Module
from engine.model.policy import Attendees, Policy
from engine.model.states import PolicyState
from engine.monitor.checklist import CheckLine, Checklist, CheckState
from engine.monitor.preview import PreviewReport
from engine.monitor.rows import PolicyRow
from engine.runtime import ordering, words
from engine.runtime.checks import DoctorLine
from engine.runtime.office import Office

#: A test of a connection is good for so long, in milliseconds.
GOOD_MS = 3_600_000

#: From so many mailboxes on a first sync of all at once is worth a second look.
MANY = 20

#: A quota of which more is used than this part leaves little for a first sync.
BUSY = 0.8

#: Items a second that one mailbox takes, at worst and at best. The first is what half of Google's quota of 600 calendar
#: calls a minute refills (providers.md 1.3); the second is what batches of contacts reach.
PACE = (5.0, 40.0)

#: Mailboxes that are named in a line.
NAMED = 3


@dataclass(slots=True)
class Tests:
    """The last test of each connection, as long as its settings are the same."""

    _found: dict[str, tuple[int, object, list[DoctorLine]]] = field(default_factory=dict)

    def keep(self, office: Office, lines: Sequence[DoctorLine]) -> None:
        """Remember what a test found."""
        now = office.clock.now_ms()
        by_name: dict[str, list[DoctorLine]] = {}
        for line in lines:
            by_name.setdefault(line[0], []).append(line)
        for name, found in by_name.items():
            if name in office.connections:
                self._found[name] = (now, office.connections[name], found)

    def of(self, office: Office, name: str) -> tuple[int, list[DoctorLine]] | None:
        """When a connection was tested and what was found; None when that says nothing any more."""
        found = self._found.get(name)
        if found is None or found[1] != office.connections.get(name):
            return None
        return (found[0], found[2]) if office.clock.now_ms() - found[0] <= GOOD_MS else None


async def checklist(
    office: Office, tests: Tests, report: PreviewReport, reading: float | None, policy: str
) -> Checklist:
    """The checklist of a policy.

    Args:
        office: the engine's.
        tests: of its connections.
        report: of the previews of all its mailboxes.
        reading: how many seconds the previews took to read both sides.
        policy: its name.

    Raises:
        KeyError: there is no such policy.
    """
    row, rules = office.store.policies[policy], office.policies[policy]
    leaving = policy in await ordering.leaving(office)
    lines = [
        *([_fault(row, leaving)] if row.fault or leaving else []),
        _link(office, tests, "crm", "CRM link and permissions", rules.crm),
        _link(office, tests, "mail", "Mail link and permissions", rules.mailbox),
        _mailboxes(row, report),
        _preview(report),
        _guests(rules, report),
        CheckLine(
            "deletes",
            "Delete guards are on",
            CheckState.OK,
            row.guard,
            (f"A cycle that would delete more than this waits for you: {row.guard}.",),
        ),
        _waves(rules, row.users),
        _limits(office),
        *([_blackout()] if in_blackout(rules.scheduling, office.clock.now_ms()) else []),
        _notify(rules),
    ]
    return Checklist(
        policy,
        row.state is PolicyState.DISABLED and not row.initialised,
        f"{row.crm_kind or row.crm} to {row.mailbox_kind or row.mailbox}, {row.windows}",
        row.users,
        tuple(lines),
        _items(report),
        report.previewed,
        _seconds(report, reading, office.store.engine.slots or 1),
    )


def _fault(row: PolicyRow, leaving: bool) -> CheckLine:
    text = row.fault or f"the mailboxes of {row.id} are being left; that must end first"
    return CheckLine("fault", "The policy is in order", CheckState.WRONG, text, (text,))


def _link(office: Office, tests: Tests, id: str, title: str, name: str) -> CheckLine:
    tested = tests.of(office, name)
    if tested is None:
        told = f"{name} was not tested within the last hour, or was changed since."
        return CheckLine(id, title, CheckState.UNKNOWN, "not tested yet", (told,))
    at, found = tested
    bad = [line for line in found if not line[2]]
    told_all = tuple(
        f"{'✓' if ok else '✗'} {check}: {detail}" + (f". {advice}" if advice and not ok else "")
        for _, check, ok, detail, advice in sorted(found, key=lambda line: line[2])
    )
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return CheckLine(id, title, CheckState.WRONG, f"{bad[0][1]}: {bad[0][3]}{more}", told_all)
    minutes = (office.clock.now_ms() - at) // 60_000
    when = "just now" if minutes < 1 else f"{minutes} min ago"
    return CheckLine(
        id, title, CheckState.OK, f"{words.count(len(found), 'check', 'checks')} passed {when}", told_all
    )


def _mailboxes(row: PolicyRow, report: PreviewReport) -> CheckLine:
    title = "Users and their mailboxes"
    if not row.users:
        return CheckLine(
            "users", title, CheckState.WRONG, "no users yet", (f"{row.id} has no users: add them first.",)
        )
    if not report.previewed:
        told = "A preview reads every mailbox, and so finds those that are missing or refused."
        found = f"{words.count(row.users, 'user', 'users')}, not read yet"
        return CheckLine("mailboxes", title, CheckState.UNKNOWN, found, (told,))
    faults = [(mailbox, text) for mailbox, text in report.faults if mailbox]
    failed = {mailbox for mailbox, _ in faults}
    read = report.previewed - len(failed)
    told_faults = tuple(f"✗ {mailbox}: {text}" for mailbox, text in faults)
    if not read:
        return CheckLine("mailboxes", title, CheckState.WRONG, f"none of {row.users:,} was read", told_faults)
    if failed or report.previewed < row.users:
        named = ", ".join(sorted(failed)[:NAMED]) + (" ..." if len(failed) > NAMED else "")
        missing = told_faults or (f"{row.users - report.previewed:,} mailboxes were not previewed.",)
        found = f"{read:,} of {row.users:,} read" + (f"; not {named}" if failed else "")
        return CheckLine("mailboxes", title, CheckState.LOOK, found, missing)
    told = "Each was found, and both of its sides were read without a fault."
    return CheckLine("mailboxes", title, CheckState.OK, f"{read:,} of {row.users:,} read", (told,))


def _preview(report: PreviewReport) -> CheckLine:
    title = "Preview of what is written"
    if report.running:
        return CheckLine("preview", title, CheckState.UNKNOWN, "being made now", ("Wait for its end.",))
    if not report.previewed:
        told = "It reads both sides and writes nothing; you see every item with its fields."
        more = (report.last,) if report.last and not report.ok else ()
        return CheckLine("preview", title, CheckState.UNKNOWN, "not made yet", (told, *more))
    sums = Counter[str]()
    for one in report.sums:
        sums.update(create=one.create, update=one.update, delete=one.delete, merge=one.merge, held=one.held)
    said = ", ".join(f"{sums[name]:,} {name}" for name in ("create", "update", "delete", "merge") if sums[name])
    said = said or "nothing to write"
    if sums["held"]:
        told = f"{sums['held']:,} items would wait for you: likely doubles, and what a guard holds."
        return CheckLine("preview", title, CheckState.LOOK, f"{said}; {sums['held']:,} would wait", (told,))
    return CheckLine("preview", title, CheckState.OK, said, ("Nothing would wait for you.",))


def _guests(rules: Policy, report: PreviewReport) -> CheckLine:
    title = "No guest is mailed (0)"
    mailed = sum(one.guests for one in report.sums)
    if mailed:
        told = "A first sync mails no guest. This preview would: it was made of something else, or mailboxes were synced before."
        return CheckLine("guests", title, CheckState.WRONG, f"{mailed:,} guests would be mailed", (told,))
    later = (
        f"Later cycles may mail {rules.guest_mail_budget:,} guests each; above that writes wait for you."
        if rules.calendar.attendees is Attendees.INVITED
        else "Later cycles mail nobody either: the policy does not invite guests."
    )
    return CheckLine("guests", title, CheckState.OK, "nobody, by rule of a first sync", (later,))


def _waves(rules: Policy, users: int) -> CheckLine:
    title = "Some mailboxes go first"
    placed = rollout.waves(rules.rollout, range(users)) if rules.rollout.waves else {}
    sizes = list(Counter(placed.values()).values())
    if len(sizes) > 1:
        asks = "you say when the next begins" if rules.rollout.ask else "the next begins by itself"
        told = f"Each wave is read back and judged; {asks}."
        return CheckLine(
            "waves", title, CheckState.OK, f"waves of {', '.join(f'{size:,}' for size in sizes)}", (told,)
        )
    told = "Roll-out waves in the policy let some mailboxes go first, and are judged before the others follow."
    state = CheckState.LOOK if users > MANY else CheckState.OK
    return CheckLine("waves", title, state, f"all {users:,} at once", (told,))


def _limits(office: Office) -> CheckLine:
    title = "Providers have room for it"
    now = office.clock.now_ms()
    waiting = [name for name, state in office.store.engine.providers.items() if state == "wait"]
    waiting += [row.id for row in office.store.limits.values() if (row.wait_until_ms or 0) > now]
    if waiting:
        told = "A provider has asked for a pause; a first sync would wait as well."
        return CheckLine("limits", title, CheckState.LOOK, f"{', '.join(waiting)}: asked us to wait", (told,))
    rows = [row for row in office.store.limits.values() if row.limit]
    told = (
        "Calls wait by themselves where a quota is used up; nothing fails by it. % in Queue shows all limits."
    )
    fullest = max(rows, key=lambda row: row.used / (row.limit or 1), default=None)
    if fullest is None:
        return CheckLine("limits", title, CheckState.OK, "no quota is in use", (told,))
    part = fullest.used / (fullest.limit or 1)
    state = CheckState.LOOK if part >= BUSY else CheckState.OK
    return CheckLine("limits", title, state, f"{fullest.id} {part:.0%} used, the most of all", (told,))


def _blackout() -> CheckLine:
    told = "The first sync would begin within a blackout period of the policy's schedule."
    return CheckLine("blackout", "Schedule lets it run now", CheckState.LOOK, "in a blackout period", (told,))


def _notify(rules: Policy) -> CheckLine:
    title = "Somebody is told of faults"
    if rules.error_addresses:
        who = ", ".join(rules.error_addresses)
        told = f"After {rules.notify_after_minutes:,} minutes of retries, or at once when a person is needed."
        return CheckLine("notify", title, CheckState.OK, who, (told,))
    told = "Without an address a fault is only shown here, and in syncline status."
    return CheckLine("notify", title, CheckState.LOOK, "nobody", (told,))


def _items(report: PreviewReport) -> tuple[tuple[str, int], ...]:
    found = Counter[str]()
    for one in report.sums:
        found[one.module] += one.create + one.update + one.merge
    return tuple((module.value, found[module.value]) for module in Module if found[module.value])


def _seconds(report: PreviewReport, reading: float | None, slots: int) -> tuple[float, float] | None:
    """How long a first sync lasts: what reading took, and the writes at the slowest and the fastest pace."""
    read = report.previewed - len({mailbox for mailbox, _ in report.faults if mailbox})
    if reading is None or read < 1:
        return None
    largest = Counter[str]()
    for one in report.sums:
        largest[one.mailbox] += one.create + one.update + one.merge
    whole = sum(largest.values()) * report.mailboxes / read
    most = max(largest.values(), default=0)
    slow, fast = PACE
    scale = report.mailboxes / read
    at_once = max(1, min(report.mailboxes, slots))
    return (
        reading * scale + max(whole / at_once / fast, most / fast),
        reading * scale * 1.5 + max(whole / at_once / slow, most / slow),
    )
