"""What a console knows of the place in which it is shown. A front's session is one; a test needs none."""

from __future__ import annotations

from typing import Protocol

#: Seconds between two pulls of a screen, while few are attached and the loop is well.
PULL_SECONDS = 0.25


class Host(Protocol):
    """The place in which a console is shown."""

    def pull_seconds(self) -> float:
        """Seconds until the next pull: longer with many sessions, or when the engine's loop is late."""
        ...

    def greeting(self) -> str:
        """What the message line says first; "" for nothing."""
        ...

    def what_leaving_does(self) -> str:
        """What ``q`` does here, in one sentence, for the help page."""
        ...

    async def save(self, name: str, data: bytes) -> str:
        """Let the admin's own client write a file into its current directory.

        Args:
            name: a plain file name.

        Returns:
            what to tell the admin: where it is, or why it is not there.
        """
        ...
