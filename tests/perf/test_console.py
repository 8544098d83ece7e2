"""What a frame of the console may cost. ``make bench`` prints the same figures beside their limits.

Bytes and painted lines do not depend on the machine and are held exactly. CPU is the best of several frames and may be
several times its limit: a neighbour on the core slows a thread's own time as well, and what these tests are for costs ten
times as much (a table that paints all its rows for one, or that measures 50,000 rows when it opens).
"""

from __future__ import annotations

import pytest

from benchmarks import console

#: So many times the limit of a quiet machine.
SLACK = 6.0

#: The same for a Queue that was not made ahead, the dearest of all: what painted it twice, as Textual does, took this long.
SLACK_AT_ONCE = 2.5


async def test_frames_of_fifty_thousand_rows_stay_within_their_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    found = [await console.open_queue(2), at_once := await console.open_queue(4, ahead=False)]
    async with console.running(console.MANY) as bench:
        await bench.tab("queue")
        for step in (
            console.changed_row,
            console.hidden_row,
            console.changed_rows,
            console.header,
            console.return_to_queue,
            console.page_down,
            console.panels,
        ):
            found.append(await step(bench))
            await bench.settled()

    over = [
        f"{cost.gate.name}: {cost.size:,} B, {cost.lines} lines, best {cost.best_ms:.1f} ms"
        for cost in found
        if (cost.gate.size is not None and cost.size > cost.gate.size)
        or (cost.gate.lines is not None and cost.lines > cost.gate.lines)
        or cost.best_ms > (SLACK_AT_ONCE if cost is at_once else SLACK) * cost.gate.cpu_ms
    ]
    assert not over
    assert 0 < console.busy(found) <= console.BUSY_SIZE
