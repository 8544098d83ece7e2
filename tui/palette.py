"""The command palette: every action of the pane, and every policy, user, job, connection and theme by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from engine.service import RunJob, SyncNow
from tui import keys
from tui.screens import edit_connection, edit_policy, users
from tui.screens.connections import ConnectionsScreen
from tui.screens.frame import Frame
from tui.screens.members import MembersScreen
from tui.screens.policies import unborn
from tui.theme import THEMES

if TYPE_CHECKING:
    from tui.app import SynclineApp

#: Hits shown at once; there may be thousands of users.
MOST = 40

#: Objects looked at before the loop gets its turn.
SLICE = 2000

Choice = tuple[str, str, Callable[[], object]]
"""Name, sentence, what to do."""


class Everything(Provider):
    """One list of all that can be done or opened."""

    @property
    def console(self) -> SynclineApp:
        """The app."""
        return cast("SynclineApp", self.app)

    def actions(self) -> Iterator[Choice]:
        """Every action of the pane; one that does nothing now says why. Those that move come last."""
        if not isinstance(self.screen, Frame):
            return
        pane, moves = self.screen.PANE, []
        for key in keys.of(pane):
            for action, name in key.actions(pane):
                reason = self.screen.why_not(action.partition("(")[0])
                sentence = f"Not now: {reason}" if reason else key.where[pane]
                choice = (f"{name}  ({key.show})", sentence, partial(self._act, action))
                if action.startswith(("move(", "tab(")):
                    moves.append(choice)
                else:
                    yield choice
        yield from moves

    def common(self) -> Iterator[Choice]:
        """What can be done from everywhere."""
        app = self.console
        screen = self.screen
        for digit, pane in keys.TABS.items():
            yield f"tab {keys.PANES[pane]}", f"Key {digit}.", partial(app.show_tab, pane)
        yield "connections", "List the connections to CRMs and mail systems.", self._connections
        yield (
            "quarantine",
            "List what is in quarantine, of all mailboxes.",
            partial(app.open_all_held, "is:quarantine"),
        )
        yield "held items", "List what waits for you, of all mailboxes.", partial(app.open_all_held, "")
        if isinstance(screen, Frame):
            yield "new policy", "Make a policy; it begins off.", partial(edit_policy.make, screen)
            yield "new connection", "Connect a CRM or a mail system.", partial(edit_connection.make, screen)
        for theme in THEMES:
            name = theme.name.removeprefix("syncline-")
            yield f"theme {name}", "Change the colours.", partial(self._theme, theme.name)

    def objects(self) -> Iterator[Choice]:
        """Policies, jobs, connections and users, each with what is done with it most."""
        app = self.console
        store = app.engine.store
        frame = self.screen if isinstance(self.screen, Frame) else None
        for policy in store.policies:
            yield (
                f"policy {policy}  open",
                "Its settings, and what Verify found.",
                partial(app.open_policy, policy),
            )
            if frame is not None:
                yield (
                    f"policy {policy}  sync now",
                    "Run a full sync of all its mailboxes.",
                    partial(frame.send, SyncNow(policy=policy)),
                )
                yield (
                    f"policy {policy}  edit",
                    "Its settings, page by page.",
                    partial(edit_policy.edit, frame, policy),
                )
            if frame is not None:
                before = unborn(store.policies[policy])
                yield (
                    f"policy {policy}  first sync",
                    "What must be right before it, and the start."
                    if before
                    else "What was read back after it.",
                    partial(app.open_checklist, policy),
                )
            yield f"policy {policy}  users", "Who is in it.", partial(self._members, policy)
            yield (
                f"policy {policy}  preview",
                "What the next cycle would do.",
                partial(app.open_preview, policy),
            )
        for job, row in store.jobs.items():
            yield f"job {row.title or job}  show", "Show the job.", partial(self._job, job)
            if frame is not None:
                yield f"job {row.title or job}  run now", "Run the job now.", partial(frame.send, RunJob(job))
        for one in app.engine.connections() if frame is not None else ():
            assert frame is not None
            yield f"connection {one.id}  edit", f"{one.kind}.", partial(edit_connection.edit, frame, one.id)
        for user in store.users:
            yield f"user {user}  open", "Counts by module, steps and events.", partial(app.open_user, user)
            if frame is not None:
                yield (
                    f"user {user}  sync now",
                    "Run a full sync of this user.",
                    partial(users.sync_now, frame, [user]),
                )
                yield (
                    f"user {user}  monitor",
                    "Show its activity monitor.",
                    partial(users.monitor, frame, [user]),
                )

    async def _act(self, action: str) -> None:
        await self.app.run_action(action, default_namespace=self.screen)

    def _theme(self, name: str) -> None:
        self.app.theme = name

    def _connections(self) -> None:
        self.app.push_screen(ConnectionsScreen())

    def _members(self, policy: str) -> None:
        self.app.push_screen(MembersScreen(policy))

    def _job(self, job: str) -> None:
        self.console.show_tab(keys.SCHEDULER)
        self.app.call_after_refresh(lambda: self._select(job))

    def _select(self, job: str) -> None:
        from tui.screens.scheduler import SchedulerScreen

        if isinstance(self.app.screen, SchedulerScreen):
            self.app.screen.table.select(job)

    async def discover(self) -> Hits:
        """What is shown before anything is typed."""
        shown = 0
        for choices in (self.actions(), self.common(), self.objects()):
            for name, sentence, do in choices:
                if shown >= MOST:
                    return
                shown += 1
                yield DiscoveryHit(name, do, help=sentence)

    async def search(self, query: str) -> Hits:
        """What fits the text: actions by likeness, objects by the words of their name."""
        matcher = self.matcher(query)
        for choices in (self.actions(), self.common()):
            for name, sentence, do in choices:
                score = matcher.match(name)
                if score > 0:
                    yield Hit(score, matcher.highlight(name), do, help=sentence)
        wanted = query.lower().split()
        shown = 0
        for number, (name, sentence, do) in enumerate(self.objects(), 1):
            if number % SLICE == 0:
                await asyncio.sleep(0)
            low = name.lower()
            if all(word in low for word in wanted):
                shown += 1
                if shown > MOST:
                    return
                yield Hit(matcher.match(name) or 0.5, matcher.highlight(name), do, help=sentence)
