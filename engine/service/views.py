"""What the service answers with where no room below has a type for it."""

from __future__ import annotations

from dataclasses import dataclass


class ServiceError(Exception):
    """The engine cannot be opened, or was asked for something that does not exist; the text is for people."""


class EngineBusy(ServiceError):
    """Another engine holds the data directory; the text names it. It may be about to listen, or to end."""


@dataclass(frozen=True, slots=True)
class DoctorRow:
    """One line of ``doctor``: what was tested, whether it works, and what to do when it does not."""

    connection: str
    check: str
    ok: bool
    detail: str
    advice: str = ""
