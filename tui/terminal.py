"""A terminal that may go away: what is written after a hang-up is dropped, and nobody waits for it."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any, cast

from textual.drivers.linux_driver import LinuxDriver


class _Lasting:
    """A text file whose writes never fail.

    Textual's writer is a thread with a short queue. When a write raises, the thread ends, the queue fills, and the next
    write blocks the event loop for good, and with it the engine.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, or drop."""
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        """The file's number."""
        return self._file.fileno()


class LastingDriver(LinuxDriver):
    """Textual's driver, surviving the loss of its terminal. That the app then ends is the business of SIGHUP."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file = cast("Any", _Lasting(cast("IO[str]", self._file)))

    def run_input_thread(self) -> None:
        """Wait for input; a terminal that is gone has none any more."""
        with suppress(OSError):
            super().run_input_thread()
