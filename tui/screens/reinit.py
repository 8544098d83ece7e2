"""The dialog that asks how modules of some mailboxes shall begin afresh; Clear is typed with the number of items."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from engine.service import Module, Reinit, Reinitialize
from tui import format as form
from tui.paint import TextLine, fit, line
from tui.screens.alive import alive
from tui.view import View
from tui.widgets.lines import LineView, titled

#: Modes from the harmless to the one that removes.
_MODES = (Reinit.NONE, Reinit.RESYNC, Reinit.FULL, Reinit.CLEAR)

#: Names shown of the mailboxes, in cells.
_NAMES = 40

#: Longest number that can be typed.
_DIGITS = 9

Count = Callable[[Sequence[str], Callable[[int], None]], None]
"""Asks how many items Clear would remove for these modules, and hears the number later."""


class ReinitDialog(ModalScreen[Reinitialize | None]):
    """Up and down choose how, left and right the module. ``y`` is yes; Clear wants its number and Enter instead."""

    AUTO_FOCUS = ""

    def __init__(self, view: View, mailboxes: Sequence[str], count: Count) -> None:
        super().__init__()
        self._view, self._mailboxes, self._count = view, tuple(mailboxes), count
        self._mode = Reinit.RESYNC
        self._module: Module | None = None
        self._items: dict[Module | None, int] = {}
        self._typed = ""

    def compose(self) -> ComposeResult:
        """The choices."""
        with Vertical(classes="box") as box:
            title = f"Re-initialize {form.count(len(self._mailboxes), 'mailbox', 'mailboxes')}"
            titled(box, self._view, title, "↑↓ how   ←→ module   esc = back")
            lines = LineView(self._view, id="choices")
            lines.styles.height = 9
            yield lines

    def on_mount(self) -> None:
        """Ask for the number at once: it is what Clear is about."""
        self._ask()
        self._show()

    def _ask(self) -> None:
        module = self._module
        if module not in self._items:
            self._count(self._names(), lambda number: self._counted(module, number))

    def _counted(self, module: Module | None, number: int) -> None:
        self._items[module] = number
        if alive(self):
            self._show()

    def _names(self) -> tuple[str, ...]:
        return () if self._module is None else (self._module.value,)

    def _show(self) -> None:
        self.query_one("#choices", LineView).show(self.lines())

    def lines(self) -> list[TextLine]:
        """What is shown."""
        module = "all" if self._module is None else form.MODULE_WORD[self._module]
        number = self._items.get(self._module)
        items = "..." if number is None else f"{number:,}"
        words = {
            Reinit.NONE: "drop the pending re-initialize",
            Reinit.RESYNC: "push again, do not read the CRM again",
            Reinit.FULL: "read the CRM again, then push",
            Reinit.CLEAR: f"remove {items} synced items, then Full",
        }
        names = ", ".join(self._mailboxes)
        shown = [line(f" {fit(names, _NAMES)}  module ", (f"[{fit(module, 14)}]", "key")), line()]
        for mode in _MODES:
            chosen = mode is self._mode
            mark = "(•)" if chosen else "( )"
            role = "alert" if mode is Reinit.CLEAR and chosen else "text" if chosen else "quiet"
            shown.append(line((f" {mark} {mode.value.capitalize():<7} {words[mode]}", role)))
        if self._mode is Reinit.CLEAR:
            asked = f" Type the number of items and enter: [{self._typed:<9}]"
            shown += [line(), line((asked, "alert"))]
        else:
            shown += [line(), line((" Nothing is deleted or doubled.  enter = No, y = yes", "quiet"))]
        return shown

    def on_key(self, event: events.Key) -> None:
        """Choose, type, answer."""
        event.stop()
        modules: tuple[Module | None, ...] = (None, *Module)
        match event.key:
            case "up" | "k" | "down" | "j":
                step = 1 if event.key in {"down", "j"} else -1
                place = _MODES.index(self._mode) + step
                self._mode = _MODES[max(0, min(place, len(_MODES) - 1))]
                self._typed = ""
            case "left" | "right":
                step = 1 if event.key == "right" else -1
                self._module = modules[(modules.index(self._module) + step) % len(modules)]
                self._typed = ""
                self._ask()
            case "backspace":
                self._typed = self._typed[:-1]
            case "escape":
                self.dismiss(None)
                return
            case "enter":
                right = self._typed == str(self._items.get(self._module))
                if self._mode is Reinit.CLEAR and self._typed and not right:
                    self._typed = ""
                else:
                    self.dismiss(self._command() if self._mode is Reinit.CLEAR and right else None)
                    return
            case _ if event.character in ("y", "Y") and self._mode is not Reinit.CLEAR:
                self.dismiss(self._command())
                return
            case _ if event.character in ("n", "N"):
                self.dismiss(None)
                return
            case _ if (event.character or "").isdigit() and len(self._typed) < _DIGITS:
                if self._mode is Reinit.CLEAR:
                    self._typed += event.character or ""
        self._show()

    def _command(self) -> Reinitialize:
        return Reinitialize(self._mailboxes, self._mode, self._names())
