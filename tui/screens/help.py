"""The keys of a pane, one sentence each, from the key table."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui import keys, signs
from tui.paint import TextLine, fit, line, wrapped
from tui.view import View
from tui.widgets.lines import titled
from tui.widgets.pager import MOVES, Pager

_ABOUT: dict[str, str] = {
    keys.POLICIES: "One row per policy: one CRM connection, one mail connection, its users.",
    keys.QUEUE: "One row per mailbox that waits, runs or rests.",
    keys.MONITORS: "One panel per ticked mailbox, streaming what is done with its items.",
    keys.SCHEDULER: "One row per scheduled job, with its past runs.",
    keys.POLICY: "The settings of a policy, and what Verify read back from the provider.",
    keys.HELD: "One row per item that waits for you: why, and what can be done about it.",
    keys.PREVIEW: "What the next cycle or the first sync would do, by user and module. Nothing is written by looking.",
    keys.ROWS: "What would become of each item, field by field, before anything is written.",
    keys.HISTORY: "One row per cycle that did something; one of them can be undone.",
    keys.WHY: "Why a mailbox does not run now, and what of it does not cross over.",
    keys.EXPLAIN: "One item: both sides, the rule that decides, the last writes, the journal.",
    keys.CONFLICTS: "One row per field that both sides changed, and that waits for you.",
    keys.EDITOR: "Fields by page. Nothing is stored before ctrl+s, and then all of it or nothing.",
    keys.MEMBERS: "One row per user of the policy. A mailbox is in one policy only.",
    keys.CONNECTIONS: "One row per connection: a CRM or a mail system. Secrets are never shown, only where they are kept.",
    keys.ITEMS: "One row per write of the cycle, in the order in which they were made.",
    keys.USER: "One mailbox: counts by module, the five steps, and its events.",
}


class Help(ModalScreen[None]):
    """Opens over any pane."""

    AUTO_FOCUS = ""

    def __init__(self, view: View, pane: str, why_not: Callable[[str], str] = lambda action: "") -> None:
        super().__init__()
        self._view, self._pane, self._why_not = view, pane, why_not

    def compose(self) -> ComposeResult:
        """Keys, then the signs."""
        lines: list[TextLine] = [*map(line, wrapped(_ABOUT.get(self._pane, ""), 70)), line()]
        for key in keys.of(self._pane):
            lines += self._key(key)
        shown = [*signs.USER.values(), signs.HELD]
        lines += [line(), line(("Signs", "bold"))]
        for start in range(0, len(shown), 4):
            lines.append(
                line(*((fit(f"{sign.sign} {sign.word}", 17), sign.role) for sign in shown[start : start + 4]))
            )
        with Vertical(classes="box"):
            pager = Pager(self._view, lines)
            pager.styles.height = min(len(lines), max(6, self.app.size.height - 6))
            yield pager

    def on_mount(self) -> None:
        """Tell whether there is more, once it is known how much fits."""
        self.call_after_refresh(self._titles)

    def _titles(self) -> None:
        more = "▾ more below   " if self.query_one(Pager).more else ""
        box = self.query_one(".box")
        titled(box, self._view, f"Help: {keys.PANES[self._pane]}", f"{more}↑↓ PgUp PgDn move   esc closes")

    def _key(self, key: keys.Key) -> list[TextLine]:
        """The key with its sentence; one that does nothing now stays, with the reason."""
        parts = wrapped(key.where[self._pane], 58)
        action = next(iter(key.binds.values())).partition("(")[0]
        reason = self._why_not(action)
        role = "quiet" if reason else "text"
        lines = [
            line((fit("" if number else key.show, 12), "quiet" if reason else "key"), (part, role))
            for number, part in enumerate(parts)
        ]
        told = wrapped(f"Not now: {reason.partition('. ')[0].rstrip('.')}.", 58) if reason else []
        return lines + [line((" " * 12, "text"), (part, "warn")) for part in told]

    def on_key(self, event: events.Key) -> None:
        """Move or close."""
        event.stop()
        if event.key in MOVES:
            self.query_one(Pager).move(MOVES[event.key])
            self._titles()
        elif event.key in ("escape", "enter", "q") or event.character == "?":
            self.dismiss(None)
