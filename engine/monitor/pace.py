"""How long what is left will take, as a range: from how evenly things went lately."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

#: Seconds that are looked at, and seconds of a piece of them: a page of a provider comes in less.
WINDOW = 60
PIECE = 10

#: With fewer pieces nothing is known of the spread, and the range is this wide: parts of the time at the usual pace.
_FEW = 3
_UNKNOWN = (0.7, 1.6)

#: A pace below this part of the usual one is a pause, not a pace: the range has an end.
_LEAST = 0.25


def time_left(left: float, settled: Sequence[int]) -> tuple[float, float] | None:
    """Seconds that ``left`` items take, at least and at most; None when nothing moves or nothing is left.

    The middle is the median pace of the last minute; the ends are the paces of its better and its worse quarter.

    Args:
        left: items that are to be settled.
        settled: items that were settled in each of the last seconds, the newest last.
    """
    recent = list(settled)[-WINDOW:]
    usual = sum(recent) / len(recent) if recent else 0.0
    if left <= 0 or usual <= 0:
        return None
    pieces = [sum(recent[end - PIECE : end]) / PIECE for end in range(len(recent), PIECE - 1, -PIECE)]
    if len(pieces) < _FEW:
        return left / usual * _UNKNOWN[0], left / usual * _UNKNOWN[1]
    slow, _, fast = quantiles(pieces, n=4, method="inclusive")
    middle = median(pieces) or usual
    return left / max(fast, middle), left / max(min(slow, middle), middle * _LEAST)
