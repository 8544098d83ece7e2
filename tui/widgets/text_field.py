"""The field in which a text is typed."""

from __future__ import annotations

from textual import events
from textual.binding import NoBinding
from textual.widgets import Input


class TextField(Input):
    """An input that takes keys in the order in which they came.

    Textual's own (8.2.8) takes a character at once, and lets Backspace, Enter and the arrows go by way of the screen and
    the app: of "Backspace 7" in one packet, as a slow line brings it, it would delete the 7.
    """

    async def _on_key(self, event: events.Key) -> None:
        try:
            bindings = self._bindings.get_bindings_for_key(event.key)
        except NoBinding:
            bindings = []
        if bindings and not event.is_printable:
            event.stop()
            event.prevent_default()
            await self.app.run_action(bindings[0].action, self)
            return
        await super()._on_key(event)
