"""The editor of a policy: a new one, a copy, or one that is stored."""

from __future__ import annotations

from collections.abc import Callable

from engine.service import (
    DeletePolicy,
    PolicyDraft,
    PolicyState,
    SavePolicy,
    TestConnection,
    check_policy,
    next_runs,
    policy_pages,
)
from tui import format as form
from tui.forms.state import Form
from tui.paint import TextLine, line
from tui.screens.form import FormScreen
from tui.screens.frame import Frame
from tui.screens.members import MembersScreen

#: Next runs that are shown.
RUNS = 4


class PolicyForm(FormScreen):
    """Over one draft."""

    def __init__(self, draft: PolicyDraft, then: Callable[[str], None] | None = None) -> None:
        super().__init__(_form(draft))
        self.draft = draft
        self._then = then

    def path(self) -> str:
        """Where we are."""
        name = self.draft.name or self.form.name or "new policy"
        return f"Policies / {name} / {'edit' if self.draft.was is not None else 'new'}"

    def saving(self) -> SavePolicy:
        """Store the policy."""
        return SavePolicy(self.form.name, dict(self.form.document), self.draft.was)

    def saved(self) -> None:
        """Begin anew from what is stored; a new policy is shown in the list."""
        if self.draft.was is None:
            self.app.pop_screen()
            if self._then is not None:
                self._then(self.form.name)
            return
        self.draft = self.engine.policy_draft(self.draft.name)
        page, cursor = self.form.number, self.form.cursor
        self.form = _form(self.draft)
        self.form.number, self.form.cursor = page, cursor
        self.show()

    def also(self) -> list[TextLine]:
        """The next runs with these values, on the page of the schedule."""
        if not any(field.path.startswith("scheduling.") for field in self.form.page.fields):
            return []
        runs = next_runs(self.form.document, self.view.now_ms, RUNS)
        times = "  ".join(form.moment(at, self.view.now_ms, self.view.zone) for at in runs)
        return [
            line(
                (" Next full syncs  ", "quiet"), times or "none: the schedule never opens, or is not right yet"
            )
        ]

    def action_members(self) -> None:
        """List the users."""
        if self.draft.was is None:
            self.say("It has no users before it is saved: ctrl+s, then J.", "alert")
        else:
            self.app.push_screen(MembersScreen(self.draft.name))

    def testing(self) -> TestConnection | None:
        """Test the end under the cursor, else the CRM's: with the settings that are stored of the connection."""
        field = self.form.field.path
        end = field if field in ("crm", "mailbox") else "crm"
        name = self.form.texts.get(end, "")
        if name not in self.draft.connections:
            self.say(f"No {'CRM' if end == 'crm' else 'mailbox'} connection is chosen yet.", "alert")
            return None
        stored = self.engine.connection_draft(name)
        return TestConnection(name, stored.kind, dict(stored.settings))


def _form(draft: PolicyDraft) -> Form:
    def offers(kinds: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name, kind in draft.connections.items() if kind in kinds)

    return Form(
        draft.name,
        draft.settings,
        policy_pages,
        lambda name, document: check_policy(name, document, draft.connections, draft.others),
        offers,
        new=draft.was is None,
    )


def edit(screen: Frame, policy: str, at: str = "") -> None:
    """Open the editor of a policy, at the field whose path begins with ``at``."""
    try:
        opened = PolicyForm(screen.engine.policy_draft(policy))
    except KeyError:
        screen.say(f"The policy {policy} was deleted meanwhile.", "alert")
        return
    if at:
        opened.form.go_to(at)
    screen.app.push_screen(opened)


def make(screen: Frame, copy_of: str = "", then: Callable[[str], None] | None = None) -> None:
    """Open the editor of a new policy, or of a copy of one; it is off, and has no users."""
    screen.app.push_screen(PolicyForm(screen.engine.policy_draft("", copy_of), then))
    if copy_of:
        screen.console.say(f"A copy of {copy_of}, without its users, and off. Give it a name.")


def remove(screen: Frame, policy: str) -> None:
    """Delete a policy that is off, after telling what it means and having its name typed."""
    row = screen.store.policies[policy]
    if row.state is not PolicyState.DISABLED:
        screen.say(f"{policy} is on; o switches it off first.", "alert")
        return
    command = DeletePolicy(policy)
    screen.send(command, confirm=screen.engine.what_happens(command), typed=policy, title=f"Delete {policy}")
