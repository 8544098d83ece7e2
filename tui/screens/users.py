"""Commands for users: the same from the Queue, a user's page and a policy's checklist."""

from __future__ import annotations

from collections.abc import Sequence

from engine.service import CancelUser, PauseUser, ResumeUser, SetUser, SyncNow, UserState
from tui import keys, signs
from tui.screens.ask import Ask
from tui.screens.frame import Frame


def sync_now(screen: Frame, mailboxes: Sequence[str]) -> None:
    """Run a full sync as soon as slots are free."""
    screen.send(*(SyncNow(mailbox=mailbox) for mailbox in mailboxes))


def pause(screen: Frame, mailboxes: Sequence[str]) -> None:
    """Pause; when all are paused already, resume."""
    rows = [screen.store.users[mailbox] for mailbox in mailboxes if mailbox in screen.store.users]
    live = [row for row in rows if row.state is not UserState.PAUSED]
    if live:
        screen.send(*(PauseUser(row.id) for row in live))
    else:
        screen.send(*(ResumeUser(row.id) for row in rows))


def cancel(screen: Frame, mailboxes: Sequence[str]) -> None:
    """Stop running cycles after a confirmation; phase A must be typed, because it must not be interrupted."""
    rows = [screen.store.users[mailbox] for mailbox in mailboxes if mailbox in screen.store.users]
    running = [
        row for row in rows if row.state in signs.ACTIVE or row.state in (UserState.QUEUED, UserState.BACKOFF)
    ]
    if not running:
        screen.say("Nothing runs or waits there, so there is nothing to cancel.")
        return
    commands = [CancelUser(row.id) for row in running]
    lines = [text for command in commands[:5] for text in screen.engine.what_happens(command)]
    if len(commands) > 5:
        lines.append(f"and {len(commands) - 5:,} more")
    first = [row.id for row in running if row.state is UserState.INITIALIZING]
    if len(rows) == len(first) == 1:
        lines.append("It is in phase A, which should run to its end.")
    elif first:
        lines.append(f"In phase A, which should run to its end: {len(first):,}.")
    name = running[0].id if len(running) == 1 else f"{len(running):,} users"
    screen.send(
        *commands, confirm=lines or [f"Cancel {name}."], typed="cancel" if first else "", title=f"Cancel {name}"
    )


def monitor(screen: Frame, mailboxes: Sequence[str]) -> None:
    """Tick and show their activity monitors."""
    view = screen.view
    if view.automatic:
        view.automatic = False
        view.ticked.clear()
    for mailbox in mailboxes:
        if mailbox not in view.ticked:
            view.ticked.append(mailbox)
    screen.console.show_tab(keys.MONITORS)


def edit(screen: Frame, mailbox: str) -> None:
    """Ask who a user is in the CRM, and in which zone."""
    row = screen.store.users.get(mailbox)
    if row is None:
        screen.say(f"{mailbox} is no user any more.", "alert")
        return
    now = f"{row.crm_user or 'found by the address'}, zone {row.zone or 'as in the CRM'}"
    text = (
        f"Who is {mailbox} in the CRM? Type the id of the person there, and after a blank the time zone if it is another; "
        f"- finds the person by the address. Now: {now}."
    )

    def named(typed: str | None) -> None:
        if typed:
            person, _, zone = typed.partition(" ")
            screen.send(SetUser(mailbox, "" if person == "-" else person, zone.strip()))

    screen.app.push_screen(Ask(screen.view, "Edit the user", text, "005XXXXXXXXXXXXAAA Europe/Berlin"), named)
