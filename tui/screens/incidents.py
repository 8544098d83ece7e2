"""What is wrong, from its first time to its last: the incidents of the whole engine, what to do about each, and its mails."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import AcknowledgeIncidents, DropMails, IncidentRow, MailRow, RetryMails, Table
from tui import format as form
from tui import keys
from tui.incidents import KIND
from tui.paint import Span, TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_STATE: Mapping[str, Span] = {
    "open": ("✗ open", "fault"),
    "cancelled": ("⊗ cancelled", "fault"),
    "healed": ("✓ healed", "quiet"),
    "dismissed": ("⊘ dismissed", "off"),
}

_ORDER = ("open", "cancelled", "healed", "dismissed")


def _state(row: IncidentRow) -> Span:
    text, role = _STATE[row.state]
    return text, "alert" if row.live and row.seen_by else role


_STATE_COLUMN = Column[IncidentRow](
    "s", "State", 13, lambda row, view: _state(row), lambda row: _ORDER.index(row.state)
)
_WHAT = Column[IncidentRow](
    "w", "What", 9, lambda row, view: (KIND.get(row.kind, row.kind), "text"), lambda row: row.kind
)
_WHO = Column[IncidentRow](
    "o", "Who", 22, lambda row, view: (row.subject, "text"), lambda row: row.subject, flex=1, name=True
)
_POLICY = Column[IncidentRow](
    "p", "Policy", 16, lambda row, view: (row.policy, "text"), lambda row: row.policy, name=True
)
_CLASS = Column[IncidentRow](
    "c", "Class", 11, lambda row, view: (str(row.fault_class or "-"), "text"), lambda row: str(row.fault_class)
)
_SINCE = Column[IncidentRow](
    "f", "First", 12, lambda row, view: (view.past(row.first_ms), "text"), lambda row: -row.first_ms
)
_LAST = Column[IncidentRow](
    "l", "Last", 12, lambda row, view: (view.past(row.last_ms), "text"), lambda row: -row.last_ms
)
_TIMES = Column[IncidentRow](
    "t", "Times", 6, lambda row, view: (form.number(row.count), "text"), lambda row: -row.count, right=True
)
_ERROR = Column[IncidentRow](
    "e", "Error", 20, lambda row, view: (row.text, "quiet"), lambda row: row.text, flex=2
)

_NARROW = (_STATE_COLUMN, _WHO, _LAST, _TIMES, _ERROR)
_WIDE = (_STATE_COLUMN, _WHAT, _WHO, _POLICY, _CLASS, _SINCE, _LAST, _TIMES, _ERROR)


def _fields(row: IncidentRow) -> Mapping[str, str]:
    return {
        "is": row.state,
        "what": KIND.get(row.kind, row.kind),
        "policy": row.policy.lower(),
        "class": str(row.fault_class or ""),
        "": f"{row.subject.lower()} {row.text.lower()} {row.state}",
    }


class IncidentsScreen(TableFrame):
    """Opened from everywhere that something can be wrong."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.INCIDENTS)
    PANE, TAB = keys.INCIDENTS, keys.QUEUE
    LISTENS = (Table.INCIDENTS,)
    SOURCE = Table.INCIDENTS
    FILTER_KEYS = ("is", "what", "policy", "class")

    def __init__(self) -> None:
        super().__init__()
        self._mails: dict[str, tuple[int, list[MailRow]]] = {}

    def path(self) -> str:
        """Where we are."""
        return "Incidents"

    def body(self) -> ComposeResult:
        """Filter, table, the incident under the cursor."""
        yield FilterBar(self.view, hint="is:open policy:sales class:connection text")
        yield StoreTable[IncidentRow](
            self.view,
            lambda: self.store.incidents,
            (_NARROW, _WIDE),
            _fields,
            lambda row: (_ORDER.index(row.state), bool(row.seen_by), -row.last_ms),
            lambda row: row.live,
            lambda: "No incident: nothing is wrong that Syncline knows of.",
            "incident",
            "urgency",
        )
        yield LineView(self.view, id="incident", classes="panel")

    def total(self) -> str:
        """How many, and how many of them nobody has seen."""
        engine = self.store.engine
        unseen = f", {engine.unseen:,} not acknowledged" if engine.unseen else ""
        return f"{form.count(engine.incidents, 'live incident')}{unseen}"

    def _current(self) -> IncidentRow | None:
        return self.store.incidents.get(self.table.current or "")

    def paint_details(self) -> None:
        """The incident under the cursor, whole, with its mails."""
        panel = self.query_one("#incident", LineView)
        row = self._current()
        if row is None:
            panel.title("Incident")
            panel.show([])
            return
        known = self._mails.get(row.id)
        if known is None or known[0] != row.rev:
            self._mails[row.id] = (row.rev, [] if known is None else known[1])
            self.console.fetch(self.engine.mails_of(row), partial(self._came, row.id, row.rev))
        panel.title(f"{KIND.get(row.kind, row.kind)}: {row.subject}", _state(row)[0])
        panel.show(details(row, self._mails[row.id][1], self.view, panel.size.width, panel.size.height))

    def _came(self, key: str, rev: int, found: list[MailRow]) -> None:
        self._mails[key] = (rev, found)
        if alive(self) and self.table.current == key:
            self.paint_details()

    # Keys

    def action_open(self) -> None:
        """Open whom the incident is about."""
        row = self._current()
        if row is None:
            return
        if row.subject in self.store.users:
            self.console.open_user(row.subject)
        elif row.policy in self.store.policies:
            self.console.open_policy(row.policy)
        else:
            self.say(f"There is no page of {row.subject}.")

    def action_seen(self) -> None:
        """Acknowledge what is marked, or the row."""
        rows = (self.store.incidents.get(key) for key in self.table.chosen())
        ids = tuple(int(row.id) for row in rows if row is not None and row.live and not row.seen_by)
        if ids:
            self.send(AcknowledgeIncidents(ids))
        else:
            self.say("Nothing is chosen that is live and not acknowledged yet.")

    def action_run(self) -> None:
        """Try the mails that wait once more."""
        self.send(RetryMails())

    def action_cancel(self) -> None:
        """Give up mails that cannot be delivered, after a confirmation."""
        row = self._current()
        if row is None or row.kind != "mail" or not row.live:
            self.say("x is for a live incident about mails: it gives those up that cannot be delivered.")
            return
        command = DropMails(row.subject)
        self.send(command, confirm=self.engine.what_happens(command), title=f"Drop the mails to {row.subject}")


def details(row: IncidentRow, mails: list[MailRow], view: View, width: int, height: int) -> list[TextLine]:
    """What failed, where and how often, what to do, and who was told."""
    lines = [line((f" {part}", "fault" if row.live else "text")) for part in wrapped(row.text, width - 4)]
    if row.advice and row.live:
        lines += [line((f" {part}", "bold")) for part in wrapped(row.advice, width - 4)]
    times = f"{row.count:,} {'time' if row.count == 1 else 'times'}"
    last = f", last {view.past(row.last_ms)}" if row.count > 1 else ""
    over = f", over {view.past(row.closed_ms)}" if row.closed_ms is not None else ""
    lines.append(line((" Since   ", "quiet"), f"{view.past(row.first_ms)}, {times}{last}{over}"))
    facts = [
        str(row.fault_class) if row.fault_class else "",
        row.phase,
        f"policy {row.policy}" if row.policy else "",
    ]
    lines.append(line((" Where   ", "quiet"), ", ".join(fact for fact in facts if fact) or "-"))
    if row.seen_by:
        lines.append(line((" Seen    ", "quiet"), f"by {row.seen_by} {view.past(row.seen_ms)}"))
    lines += _told(row, mails, view)
    return lines[:height] if height else lines


def _told(row: IncidentRow, mails: list[MailRow], view: View) -> list[TextLine]:
    if mails:
        return [
            line(
                (" Mail    ", "quiet"),
                f"{one.kind} to {one.address}: ",
                (
                    f"sent {view.past(one.sent_ms)}" if one.sent_ms is not None else f"{one.state} {one.error}",
                    "text" if one.sent_ms is not None else "fault",
                ),
            )
            for one in mails
        ]
    if row.live and row.due_ms is not None and not row.told:
        return [
            line(
                (" Mail    ", "quiet"), f"due {view.future(row.due_ms)}, if addresses and a mail server are set"
            )
        ]
    return [line((" Mail    ", "quiet"), "none")]
