"""How an admin leaves: ``q`` leaves the console and the sync goes on; ``Q`` stops the engine, and is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.service import refusal
from tui import format as form
from tui.screens.confirm import Confirm, Report

if TYPE_CHECKING:
    from tui.app import SynclineApp

#: What is typed to stop the engine.
WORD = "stop"


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
        lines.append(f"{row.who}{you}: {row.role}, from {row.origin}, since {since}, {width}x{height}")
    app.push_screen(Report(app.view, "Who is attached", lines or ["Nobody but you."]))
