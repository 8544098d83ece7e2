"""How late the event loop is: one task that sleeps, and looks how long it slept."""

from __future__ import annotations

import asyncio
from collections import deque

from engine.model.clock import Clock
from engine.monitor.rows import EngineRow

#: Seconds between two beats, and beats that are looked back at: one minute.
BEAT_SECONDS = 0.1
_BEATS = 600

#: The share of the last minute is worked out every so many beats: sorting them costs some 50 microseconds.
_EVERY = 10


async def heartbeat(engine: EngineRow, clock: Clock) -> None:
    """Measure for ever how late the loop is; a late loop makes keys and cycles slow, and is shown.

    Writes ``lag_ms`` (the last beat), ``lag_p99_ms`` and ``lag_max_ms`` (of the last minute).
    """
    late: deque[float] = deque(maxlen=_BEATS)
    count = 0
    while True:
        before = clock.monotonic()
        await asyncio.sleep(BEAT_SECONDS)
        lag = max(clock.monotonic() - before - BEAT_SECONDS, 0) * 1000
        late.append(lag)
        engine.lag_ms = lag
        engine.lag_max_ms = max(engine.lag_max_ms, lag)
        count += 1
        if count % _EVERY == 0:
            ranked = sorted(late)
            engine.lag_p99_ms = ranked[int(len(ranked) * 0.99)]
            engine.lag_max_ms = ranked[-1]
