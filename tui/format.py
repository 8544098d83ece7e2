"""Numbers, times, bars and sparklines as text: pure functions, time passed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

from engine.service import CycleRow, Module

_BARS = "▁▂▃▄▅▆▇█"

_LETTERS: tuple[tuple[tuple[Module, str], ...], ...] = (
    ((Module.CONTACT, "C"), (Module.LEAD, "L")),
    ((Module.APPOINTMENT, "A"), (Module.CALL, "P"), (Module.SERVICE_CALL, "S")),
    ((Module.TASK, "T"),),
    ((Module.OPPORTUNITY, "O"), (Module.CASE, "C")),
)

MODULE_WORD: dict[Module, str] = {
    Module.CONTACT: "contacts",
    Module.LEAD: "leads",
    Module.APPOINTMENT: "appointments",
    Module.CALL: "phone calls",
    Module.SERVICE_CALL: "service calls",
    Module.TASK: "tasks",
    Module.OPPORTUNITY: "opportunities",
    Module.CASE: "cases",
}


def module_word(module: str) -> str:
    """A module as people read it; a filed mail, which is none, is a mail."""
    return MODULE_WORD[Module(module)] if module in set(Module) else module


def number(value: int | None) -> str:
    """``1204`` as ``1,204``; nothing as ``-``."""
    return "-" if value is None else f"{value:,}"


def count(value: int, one: str, many: str = "") -> str:
    """``3 users``, ``1 user``."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def letters(modules: Iterable[Module]) -> str:
    """Modules as letters, grouped by step, ``-`` for one that is off: ``CL APS T OC``."""
    on = frozenset(modules)
    return " ".join("".join(letter if module in on else "-" for module, letter in group) for group in _LETTERS)


def progress(done: int, total: int | None) -> str:
    """``1,204 / 5,310``, or what is known of it."""
    return f"{done:,}" if total is None else f"{done:,} / {total:,}"


def share(done: float, total: float | None) -> float | None:
    """Done of total between 0 and 1; None when the total is unknown."""
    if total is None or total <= 0:
        return None
    return max(0.0, min(1.0, done / total))


def schedule(text: str) -> str:
    """A crontab line that means a time of the day in words; anything else as it is."""
    fields = text.split()
    if len(fields) == 5 and fields[2:] == ["*"] * 3 and all(each.isdecimal() for each in fields[:2]):
        return f"daily {int(fields[1]):02d}:{int(fields[0]):02d}"
    return text


def bar(part: float | None, width: int) -> str:
    """A bar of ``width`` cells with its brackets; an unknown part is an empty bar."""
    inside = max(1, width - 2)
    full = 0 if part is None else int(part * inside + 1e-9)
    return "[" + "#" * full + "-" * (inside - full) + "]"


def percent(part: float | None) -> str:
    """``38%``; an unknown part is ``-``. Never 100% before the end."""
    return "-" if part is None else f"{int(part * 100 + 1e-9)}%"


def rate(per_second: float) -> str:
    """``29/s``; slow rates keep one decimal."""
    if per_second <= 0:
        return "-"
    return f"{per_second:.1f}/s" if per_second < 9.95 else f"{per_second:,.0f}/s"


def length(seconds: float | None) -> str:
    """A duration: ``00:42``, ``1:02:03``, ``3d 04h``."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    if whole >= 86_400:
        return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"


def uptime(seconds: float) -> str:
    """How long the engine runs: ``4d 02:11`` or ``02:11``."""
    minutes = max(0, int(seconds)) // 60
    days, rest = divmod(minutes, 1440)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{days}d {clock}" if days else clock


#: Times below so many seconds are told in steps of so many.
_STEPS = ((60, 5), (600, 15), (3600, 60))


def eta(seconds: tuple[float, float] | None) -> str:
    """The middle of an estimate in one figure."""
    return "-" if seconds is None else length(sum(seconds) / 2)


def eta_span(seconds: tuple[float, float] | None) -> str:
    """``01:00-01:30``, in steps that grow with the time, so that it stands still while it is read."""
    if seconds is None:
        return "-"
    low, high = seconds
    step = next((step for most, step in _STEPS if high < most), 300)
    low, high = low // step * step, -(-high // step) * step
    return length(high) if low == high else f"{length(low)}-{length(high)}"


def eta_range(seconds: tuple[float, float] | None) -> str:
    """``00:42 (00:35-01:10)``."""
    if seconds is None:
        return "-"
    low, high = seconds
    return f"{eta(seconds)} ({length(low)}-{length(high)})"


def at(ms: int | None, zone: tzinfo, seconds: bool = True) -> str:
    """Time of day in a zone."""
    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def moment(ms: int | None, now_ms: int, zone: tzinfo) -> str:
    """Time of day when it is today, else with the date: ``14:12``, ``22 Nov 02:00``."""
    if ms is None:
        return "-"
    then = datetime.fromtimestamp(ms / 1000, zone)
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    if then.date() == today:
        return then.strftime("%H:%M")
    return then.strftime("%d %b %H:%M" if then.year == today.year else "%d %b %Y").lstrip("0")


def exact(ms: int, zone: tzinfo) -> str:
    """A moment with date, second and offset, as ISO 8601: ``2026-11-21T14:00:12+01:00``."""
    return datetime.fromtimestamp(ms / 1000, zone).isoformat(timespec="seconds")


def _span(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400} d"


def ago(ms: int | None, now_ms: int, never: str = "never") -> str:
    """``12 min ago``."""
    if ms is None:
        return never
    seconds = (now_ms - ms) // 1000
    return "now" if seconds < 1 else f"{_span(seconds)} ago"


def ahead(ms: int | None, now_ms: int, none: str = "-") -> str:
    """``in 3 min``; what is due is ``now``."""
    if ms is None:
        return none
    seconds = (ms - now_ms) // 1000
    return "now" if seconds < 1 else f"in {_span(seconds)}"


def pulse(seconds: Sequence[float], width: int, now_ms: int, span: int = 300) -> str:
    """A sparkline of the last ``span`` seconds, oldest first.

    Cells begin at whole multiples of their length, so that the past stands still and only moves on.
    """
    per = max(1, span // max(1, width))
    newest = now_ms // 1000 % per + 1
    known = list(seconds)[-span:]
    ends = range(len(known), 0, -per)
    cells = [sum(known[-newest:]) / newest] if known else []
    for end in (each - newest for each in ends):
        if end > 0:
            part = known[max(0, end - per) : end]
            cells.append(sum(part) / len(part))
    return spark(cells[:width][::-1], width)


def spark(values: Sequence[float], width: int) -> str:
    """A sparkline of the newest values in ``width`` cells; each cell is the mean of its share of them."""
    if not values or width < 1:
        return "▁" * max(0, width)
    per = max(1, -(-len(values) // width))
    cells: list[float] = []
    for end in range(len(values), 0, -per):
        part = values[max(0, end - per) : end]
        cells.append(sum(part) / len(part))
        if len(cells) == width:
            break
    cells.reverse()
    top = max(cells)
    drawn = "".join(_BARS[0 if top <= 0 else min(7, round(value / top * 7))] for value in cells)
    return drawn.rjust(width, "▁")


def conflicts(number: int) -> str:
    """Fields that wait for an admin and the key that lists them; nothing where there are none."""
    return f"   conflicts {number:,} (C)" if number else ""


def cycle_result(row: CycleRow) -> str:
    """How a cycle ended, and what an undo has to do with it."""
    state = {"asked": "to be done"}.get(row.state, row.state)
    parts = [state if row.state != "failed" else f"failed: {row.error}"]
    if row.about is not None:
        parts.append(f"of cycle {row.about}")
    if row.undone_by is not None:
        parts.append(f"undone by cycle {row.undone_by}")
    return ", ".join(parts)
