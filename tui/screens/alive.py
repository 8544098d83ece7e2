"""Whether an answer that comes late still has somewhere to go."""

from __future__ import annotations

from textual.widget import Widget


def alive(widget: Widget) -> bool:
    """Whether a screen's widgets are there: not before it is built, and not any more once it is being closed.

    ``is_mounted`` alone stays true after a screen is closed, when its widgets are gone (Textual 8.2.8); and when an app
    ends, its screens are closed one after the other, some without being pruned, while the timers of the others go on.
    """
    return widget.is_mounted and not (widget._pruning or widget._closing) and widget.app._running
