"""The three topmost rows: how the engine is, how fast it goes, and the tabs."""

from __future__ import annotations

from dataclasses import replace

from engine.service import EngineRow, UserState
from tui import format as form
from tui import signs
from tui.keys import PANES, TABS
from tui.paint import Span, TextLine, between
from tui.widgets.lines import LineView

_COUNTS: tuple[tuple[UserState, str], ...] = (
    (UserState.SYNCING, "syncing"),
    (UserState.INITIALIZING, "first sync"),
    (UserState.QUEUED, "queued"),
    (UserState.BACKOFF, "backoff"),
    (UserState.FAILED, "failed"),
)

_RATE_SECONDS = 5
_WIDE = 120


class Header(LineView):
    """Text only, one style a sign, so that a second costs a few hundred bytes."""

    DEFAULT_CSS = "Header { height: 3; }"

    others = 0

    def pull(self, row: EngineRow, tab: str, path: str, badge: str = "", others: int = 0) -> None:
        """Paint from the engine's row.

        Args:
            row: of the engine.
            tab: the one that is shown.
            path: where a drill-down stands ("" on a tab).
            badge: what must not be overlooked, such as that the view is frozen.
            others: sessions that are attached, too.
        """
        self.others = others
        width = self.size.width
        self.put(0, self._status(row, width))
        self.put(1, self._throughput(row, width))
        self.put(2, self._tabs(tab, path, badge, width))

    def _status(self, row: EngineRow, width: int) -> TextLine:
        others = f" +{self.others}" if self.others else ""
        right: list[Span] = [(f"{self.view.who}{others} ", "quiet")]
        # First the words give way, then what is not there, then a blank between two: what is wrong is always counted.
        for wide, zeros in ((True, True), (False, True), (False, False)):
            left = self._states(row, wide, zeros)
            if sum(len(text) for text, _ in left + right) < width:
                break
        else:
            left = [(text.replace("  ", " ", 1), role) for text, role in left]
        return between(left, right, width)

    def _states(self, row: EngineRow, wide: bool, zeros: bool) -> list[Span]:
        left: list[Span] = [(" syncline ", "bold")]
        if row.fault:
            left.append(("✗ fault", "fault"))
        elif row.running:
            left.append(("▸ running", "text"))
            if wide:
                left.append((" " + form.uptime((self.view.now_ms - row.started_ms) / 1000), "text"))
        else:
            left.append(("⊘ stopped", "off"))
        for state, word in _COUNTS:
            number = row.states.get(state, 0)
            if state is UserState.FAILED:
                number += row.states.get(UserState.QUARANTINED, 0)
            if number or zeros:
                left.append(self._count(signs.USER[state], word, number, wide))
        if row.incidents:  # what somebody has acknowledged still counts, and stands out no more
            sign = signs.INCIDENT if row.unseen else replace(signs.INCIDENT, role="alert")
            left.append(self._count(sign, sign.word, row.incidents, wide))
        if row.stale:  # with its word: its sign alone would not tell it from the conflicts
            left.append(self._count(signs.STALE, "stale", row.stale, True))
        if row.held or zeros:
            left.append(self._count(signs.HELD, "held", row.held, wide))
        if row.conflicts:
            left.append(self._count(signs.CONFLICT, "conflicts", row.conflicts, wide))
        left.append(self._count(signs.IDLE, "idle", row.states.get(UserState.IDLE, 0), wide))
        return left

    @staticmethod
    def _count(sign: signs.Sign, word: str, number: int, wide: bool) -> Span:
        text = f"  {sign.sign} {word} {number:,}" if wide else f"  {sign.sign} {number:,}"
        return (text, sign.role if number else "quiet")

    def _throughput(self, row: EngineRow, width: int) -> TextLine:
        wide = width >= _WIDE
        recent = list(row.buckets)[-_RATE_SECONDS:]
        speed = sum(recent) / len(recent) if recent else 0.0
        left: list[Span] = [(f" {speed:,.0f} items/s " if wide else f" {speed:,.0f}/s ", "text")]
        left.append((form.pulse(row.buckets, 30 if wide else 20, self.view.now_ms), "quiet"))
        if wide:
            left.append((" 5 min", "quiet"))
        right: list[Span] = []
        for name, text in row.providers.items():
            left_ms = row.provider_until_ms.get(name, 0) - self.view.now_ms
            right.append(self._provider(name, text, left_ms, wide))
        right.append((" ", "text"))
        if row.first_total:
            room = width - sum(len(text) for text, _ in left + right) - 1
            left.append((self._first(row, wide, room), "first"))
        return between(left, right, width)

    @staticmethod
    def _first(row: EngineRow, wide: bool, room: int) -> str:
        """How far first syncs are; the bar gives way before the time that is left does, and its range before that."""
        part = form.share(row.first_done, row.first_total)
        label = f"   first sync {form.percent(part)} " if wide else f"  first {form.percent(part)} "
        span, middle = f"ETA {form.eta_span(row.eta_seconds)}", f"ETA {form.eta(row.eta_seconds)}"
        for cells in (28, 14) if wide else ():
            if len(label) + cells + 1 + len(span) <= room:
                return f"{label}{form.bar(part, cells)} {span}"
        return label + (span if len(label) + len(span) <= room else middle)

    @staticmethod
    def _provider(name: str, text: str, left_ms: int, wide: bool) -> Span:
        gap = "  " if wide else " "
        if text == "ok" or (text == "wait" and left_ms <= 0):
            return (f"{gap}{name} ✓", "text")
        if text == "wait":
            return (f"{gap}{name} ↻ {-(-left_ms // 1000)} s", "warn")
        return (f"{gap}{name} ✗", "fault")

    def _tabs(self, tab: str, path: str, badge: str, width: int) -> TextLine:
        told: list[Span] = [(f" {badge} ", "find"), (" ", "text")] if badge else []
        if path and width < _WIDE:
            return between([(f" {path}", "bold")], told or [("1-4 tabs, esc back ", "quiet")], width)
        left: list[Span] = [(" ", "text")]
        for digit, pane in TABS.items():
            left.append(
                (f"[{digit} {PANES[pane]}]", "tab") if pane == tab else (f" {digit} {PANES[pane]} ", "text")
            )
            left.append((" ", "text"))
        return between(left, [*told, *([(path + " ", "bold")] if path else [])], width)
