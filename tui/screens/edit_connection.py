"""The editor of a connection: where its secret is kept is edited, the secret itself is never seen."""

from __future__ import annotations

from collections.abc import Callable

from engine.service import (
    KINDS,
    ConnectionDraft,
    SaveConnection,
    TestConnection,
    check_connection,
    connection_pages,
)
from tui.forms.state import Form
from tui.screens.ask import Ask
from tui.screens.choose import Choose
from tui.screens.form import FormScreen
from tui.screens.frame import Frame


class ConnectionForm(FormScreen):
    """Over one draft."""

    def __init__(self, draft: ConnectionDraft, then: Callable[[str], None] | None = None) -> None:
        super().__init__(_form(draft))
        self.draft = draft
        self._then = then

    def path(self) -> str:
        """Where we are."""
        name = self.draft.name or self.form.name or f"new {self.draft.kind}"
        return f"Connections / {name} / {'edit' if self.draft.was is not None else 'new'}"

    def saving(self) -> SaveConnection:
        """Store the connection."""
        return SaveConnection(self.form.name, self.draft.kind, dict(self.form.document), self.draft.was)

    def saved(self) -> None:
        """Begin anew from what is stored."""
        if self.draft.was is None:
            self.app.pop_screen()
        else:
            self.draft = self.engine.connection_draft(self.draft.name)
            page, cursor = self.form.number, self.form.cursor
            self.form = _form(self.draft)
            self.form.number, self.form.cursor = page, cursor
            self.show()
        if self._then is not None:
            self._then(self.form.name)

    def testing(self) -> TestConnection | None:
        """Test what is typed; a mail connection that has no users yet is tested with an address that is asked for."""
        command = TestConnection(self.form.name, self.draft.kind, dict(self.form.document))
        if self.draft.policies or self.draft.crm:
            return command

        def answered(mailbox: str | None) -> None:
            if mailbox:
                self.say(f"Testing with {mailbox}; nothing is stored …")
                asked = TestConnection(command.connection, command.kind, command.settings, mailbox.lower())
                self.console.fetch(self.engine.do(asked, by=self.console.by), self._tested)

        text = "With which mailbox? No policy uses this connection yet, so that it has no user to test with."
        self.app.push_screen(Ask(self.view, "Test the connection", text, "ann@example.com", "test"), answered)
        return None


def _form(draft: ConnectionDraft) -> Form:
    return Form(
        draft.name,
        draft.settings,
        lambda document: connection_pages(draft.kind),
        lambda name, document: check_connection(name, draft.kind, document, draft.others),
        kind=draft.kind,
        new=draft.was is None,
    )


def edit(screen: Frame, name: str, then: Callable[[str], None] | None = None) -> None:
    """Open the editor of a connection."""
    try:
        screen.app.push_screen(ConnectionForm(screen.engine.connection_draft(name), then))
    except KeyError:
        screen.say(f"The connection {name} was deleted meanwhile.", "alert")


def make(screen: Frame, then: Callable[[str], None] | None = None) -> None:
    """Ask for the kind, and open the editor of a new connection."""

    def chosen(kind: str | None) -> None:
        if kind is not None:
            screen.app.push_screen(ConnectionForm(screen.engine.connection_draft("", kind), then))

    text = "What is connected? Secrets are kept in files or environment variables on the engine's host."
    screen.app.push_screen(Choose(screen.view, "New connection", text, [(kind, "") for kind in KINDS]), chosen)
