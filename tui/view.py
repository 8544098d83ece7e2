"""How one admin looks at the engine: name, zone, theme, ticks. It belongs to one app and is never shared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import tzinfo

from tui import format as form
from tui.theme import DARK, PALETTES, Palette


@dataclass(slots=True)
class View:
    """Session options and what all screens of one admin share.

    Attributes:
        who: the admin's name.
        zone: for all times on the screens.
        ascii: no signs beyond ASCII.
        now_ms: the time of this pull, epoch milliseconds UTC.
        relative: "12 min ago" rather than "13:57".
        exact: times with date and zone, for a file that is read another day.
        palette: styles by role.
        ticked: mailboxes whose monitor is open, in order.
        automatic: monitors open by themselves, until the admin ticks one.
        view_all: a monitor for everyone that runs.
    """

    who: str
    zone: tzinfo
    ascii: bool = False
    now_ms: int = 0
    relative: bool = True
    exact: bool = False
    palette: Palette = field(default_factory=lambda: PALETTES[DARK])
    ticked: list[str] = field(default_factory=list)
    automatic: bool = True
    view_all: bool = False

    def moment(self, ms: int) -> str:
        """A time inside a sentence: of the day, with the date when it is another day."""
        return form.exact(ms, self.zone) if self.exact else form.moment(ms, self.now_ms, self.zone)

    def past(self, ms: int | None, never: str = "never") -> str:
        """A past time as the admin wants to see it."""
        if ms is None:
            return never
        return form.ago(ms, self.now_ms) if self.relative else self.moment(ms)

    def future(self, ms: int | None, none: str = "-") -> str:
        """A time to come as the admin wants to see it."""
        if ms is None:
            return none
        return form.ahead(ms, self.now_ms) if self.relative else self.moment(ms)
