"""What those who come to an engine and leave it are told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manner:
    """What those who come and go are told.

    Attributes:
        greeting: the first message of a console.
        leaving: what ``q`` does, told when a console was left.
        last: the same for the last console, if the engine ends with it (a demo's does); else empty.
    """

    greeting: str = ""
    leaving: str = "detached; the sync goes on. syncline attaches again"
    last: str = ""
