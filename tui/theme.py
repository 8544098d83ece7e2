"""Themes and the styles of roles. Hues follow Okabe-Ito (blue against orange, never red against green), and
"good" has no colour, so that only trouble stands out. Contrast of every text is at least 4.5 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

Palette = Mapping[str, Style]

DARK = "syncline-dark"
LIGHT = "syncline-light"
PLAIN = "syncline-plain"


def _palette(
    quiet: str, first: str, busy: str, warn: str, fault: str, key: str, cursor: str, bar: str
) -> dict[str, Style]:
    return {
        "text": Style(),
        "bold": Style(bold=True),
        "quiet": Style(color=quiet),
        "off": Style(color=quiet),
        "head": Style(color=quiet, bold=True),
        "first": Style(color=first),
        "busy": Style(color=busy, bold=True),
        "warn": Style(color=warn),
        "alert": Style(color=warn, bold=True),
        "fault": Style(color=fault, bold=True),
        "key": Style(color=key, bold=True),
        "tab": Style(color=key, bold=True, reverse=True),
        "mark": Style(color=key, bold=True),
        "find": Style(reverse=True),
        "cursor": Style(bgcolor=cursor),
        "bar": Style(bgcolor=bar),
    }


PALETTES: dict[str, Palette] = {
    DARK: _palette("#9A9A9A", "#CC79A7", "#56B4E9", "#E69F00", "#FF8A4C", "#56B4E9", "#2B3640", "#1C1C1C"),
    LIGHT: _palette("#5A5A5A", "#8F3F6B", "#0065A0", "#7A5100", "#A64800", "#0065A0", "#D6E4EE", "#E9E9E9"),
    PLAIN: {
        "text": Style(),
        "bold": Style(bold=True),
        "quiet": Style(),
        "off": Style(dim=True),
        "head": Style(bold=True),
        "first": Style(),
        "busy": Style(bold=True),
        "warn": Style(),
        "alert": Style(bold=True),
        "fault": Style(bold=True),
        "key": Style(bold=True),
        "tab": Style(bold=True, reverse=True),
        "mark": Style(bold=True),
        "find": Style(reverse=True),
        "cursor": Style(reverse=True),
        "bar": Style(),
    },
}

THEMES: tuple[Theme, ...] = (
    Theme(
        name=DARK,
        primary="#56B4E9",
        secondary="#9A9A9A",
        warning="#E69F00",
        error="#FF8A4C",
        success="#E4E4E4",
        accent="#56B4E9",
        foreground="#E4E4E4",
        background="#121212",
        surface="#1C1C1C",
        panel="#262626",
        dark=True,
        variables={"edge": "#4A4A4A", "edge-focus": "#56B4E9"},
    ),
    Theme(
        name=LIGHT,
        primary="#0065A0",
        secondary="#5A5A5A",
        warning="#7A5100",
        error="#A64800",
        success="#1A1A1A",
        accent="#0065A0",
        foreground="#1A1A1A",
        background="#F5F5F5",
        surface="#ECECEC",
        panel="#E2E2E2",
        dark=False,
        variables={"edge": "#9A9A9A", "edge-focus": "#0065A0"},
    ),
    Theme(
        name=PLAIN,
        primary="ansi_default",
        secondary="ansi_default",
        warning="ansi_default",
        error="ansi_default",
        success="ansi_default",
        accent="ansi_default",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        ansi=True,
        variables={
            **BUILTIN_THEMES["ansi-dark"].variables,
            "edge": "ansi_default",
            "edge-focus": "ansi_default",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
        },
    ),
)
