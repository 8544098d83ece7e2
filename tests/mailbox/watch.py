"""How long the event loop is held up at once."""

from __future__ import annotations

import asyncio
import time

import pytest

#: Longest piece of work that the loop may do at once, seconds of processor time (neighbours cannot lengthen it).
LONGEST = 0.2


class Watch:
    """Measures the processor time of the loop's thread from one callback to the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.longest = 0.0
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            run(handle)
            self.longest = max(self.longest, time.thread_time() - began)

        monkeypatch.setattr(asyncio.Handle, "_run", measured)
