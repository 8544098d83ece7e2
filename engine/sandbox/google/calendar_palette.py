"""The colour palettes that ``colors.get`` answers: id to background and foreground."""

from __future__ import annotations

_CALENDAR = (
    "ac725e d06b64 f83a22 fa573c ff7537 ffad46 42d692 16a765 7bd148 b3dc6c fbe983 fad165 "
    "92e1c0 9fe1e7 9fc6e7 4986e7 9a9cff b99aff c2c2c2 cabdbf cca6ac f691b2 cd74e6 a47ae2"
)
_EVENT = "a4bdfc 7ae7bf dbadff ff887c fbd75b ffb878 46d6db e1e1e1 5484ed 51b749 dc2127"


def _palette(text: str) -> dict[str, tuple[str, str]]:
    return {str(number): (f"#{value}", "#1d1d1d") for number, value in enumerate(text.split(), 1)}


CALENDAR_COLOURS = _palette(_CALENDAR)
EVENT_COLOURS = _palette(_EVENT)


def best_match(colour: str) -> str:
    """The id of the calendar colour nearest to ``#rrggbb``."""

    def parts(value: str) -> tuple[int, int, int]:
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)

    wanted = parts(colour)
    return min(
        CALENDAR_COLOURS,
        key=lambda key: sum((a - b) ** 2 for a, b in zip(parts(CALENDAR_COLOURS[key][0]), wanted, strict=True)),
    )
