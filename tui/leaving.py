"""How an admin leaves: ``q`` leaves the console and the sync goes on; ``Q`` stops the engine, and is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.service import refusal
from tui import format as form
from tui.screens.confirm import Confirm, Report
from tui.screens.frame import Frame
from tui.screens.unsaved import DROP, SAVE, Unsaved

if TYPE_CHECKING:
    from tui.app import SynclineApp

#: What is typed to stop the engine.
WORD = "stop"


def leave(app: SynclineApp) -> None:
    """Leave the console; what is not saved is asked about, wherever it is open."""
    if isinstance(app.screen, Unsaved):
        return
    unsaved = open_edits(app)
    if not unsaved:
        app.exit()
        return

    def answered(word: str | None) -> None:
        if word == DROP:
            app.exit()
        elif word == SAVE:
            _save(app, unsaved)
        else:
            app.say("Still here. Nothing was dropped.")

    app.push_screen(Unsaved(app.view, [screen.unsaved() for screen in unsaved]), answered)


def open_edits(app: SynclineApp) -> list[Frame]:
    """The screens of all tabs in which something is not saved."""
    stacks = app._screen_stacks.values()
    return [each for stack in stacks for each in stack if isinstance(each, Frame) and each.unsaved()]


def _save(app: SynclineApp, screens: list[Frame]) -> None:
    """Save one after the other, then leave; the first that cannot be saved is shown with its reason."""
    if not screens:
        app.exit()
        return
    screen, *others = screens

    def saved(done: bool) -> None:
        if done:
            _save(app, others)

    tab = next(tab for tab, stack in app._screen_stacks.items() if screen in stack)
    if app.current_mode != tab:
        app.switch_mode(tab)
    while app.screen is not screen and len(app.screen_stack) > 1:
        app.pop_screen()
    screen.save(saved)


def stop_engine(app: SynclineApp) -> None:
    """Ask, and stop the engine."""
    refused = refusal(app.by, "stop")
    if refused:
        app.say(refused, "alert")
        return
    busy = app.engine.initialising()
    lines = ["The sync stops with it, at the next page; it goes on from there at the next start."]
    if busy:
        number = f"{len(busy):,} mailbox is" if len(busy) == 1 else f"{len(busy):,} mailboxes are"
        lines.append(f"{number} in the first sync, which is better not interrupted.")
    others = [row for row in app.engine.store.sessions.values() if row.id != app.session_id]
    if others:
        names = ", ".join(row.who for row in others)
        lines.append(f"Attached beside you: {names}. They are told, and their consoles end.")
    lines += [f"Not saved, and dropped: {screen.unsaved()}" for screen in open_edits(app)]
    app.push_screen(Confirm(app.view, "Stop the engine", lines, WORD), lambda yes: _answered(app, yes))


def _answered(app: SynclineApp, yes: bool | None) -> None:
    if yes:
        app.stop_engine()
    else:
        app.say("The engine goes on.")


def show_attached(app: SynclineApp) -> None:
    """List who is attached."""
    rows = app.engine.store.sessions.values()
    lines = []
    for row in rows:
        since = form.ago(row.since_ms, app.view.now_ms)
        you = "  (you)" if row.id == app.session_id else ""
        width, height = row.size
        lines.append(f"{row.who}{you}: {row.role}, {width}x{height}")
        lines.append(f"    from {row.origin}, since {since}")
    app.push_screen(Report(app.view, "Who is attached", lines or ["Nobody but you."]))
