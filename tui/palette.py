"""The command palette: all actions of the pane, policies, users, jobs and themes by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui import keys
from tui.screens.frame import Frame
from tui.theme import THEMES

if TYPE_CHECKING:
    from tui.app import SynclineApp

#: Hits shown at once; there may be thousands of users.
MOST = 40


class Everything(Provider):
    """One list of all that can be done or opened."""

    @property
    def console(self) -> SynclineApp:
        """The app."""
        return cast("SynclineApp", self.app)

    def _choices(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        app = self.console
        if isinstance(self.screen, Frame):
            pane = self.screen.PANE
            for key in keys.of(pane):
                names = [name for name in key.binds if name not in ("up", "down")]
                if len(key.binds) == 1 or key.binds[names[0]].startswith("app."):
                    label = key.label.get(pane, key.meaning)
                    action = key.binds[names[0]]
                    yield f"{label}  ({key.show})", key.where[pane], partial(self._act, action)
        for digit, pane in keys.TABS.items():
            yield f"tab {keys.PANES[pane]}", f"Key {digit}.", partial(app.show_tab, pane)
        for theme in THEMES:
            yield (
                f"theme {theme.name.removeprefix('syncline-')}",
                "Change the colours.",
                partial(self._theme, theme.name),
            )
        store = app.engine.store
        for policy in store.policies:
            yield f"policy {policy}", "Open the policy.", partial(app.open_policy, policy)
        for job, row in store.jobs.items():
            yield f"job {row.title or job}", "Show the job.", partial(self._job, job)
        for user in store.users:
            yield f"user {user}", "Open the user.", partial(app.open_user, user)

    async def _act(self, action: str) -> None:
        await self.app.run_action(action, default_namespace=self.screen)

    def _theme(self, name: str) -> None:
        self.app.theme = name

    def _job(self, job: str) -> None:
        self.console.show_tab(keys.SCHEDULER)
        self.app.call_after_refresh(lambda: self._select(job))

    def _select(self, job: str) -> None:
        from tui.screens.scheduler import SchedulerScreen

        if isinstance(self.app.screen, SchedulerScreen):
            self.app.screen.table.select(job)

    async def discover(self) -> Hits:
        """What is shown before anything is typed."""
        for number, (name, sentence, do) in enumerate(self._choices()):
            if number >= MOST:
                return
            yield DiscoveryHit(name, do, help=sentence)

    async def search(self, query: str) -> Hits:
        """What fits the text."""
        matcher = self.matcher(query)
        shown = 0
        for name, sentence, do in self._choices():
            score = matcher.match(name)
            if score > 0:
                shown += 1
                if shown > MOST:
                    return
                yield Hit(score, matcher.highlight(name), do, help=sentence)
