"""An idle cycle costs the same, whether a ledger holds a thousand links or a hundred thousand."""

from __future__ import annotations

import math
from pathlib import Path

from benchmarks.ledger import LARGE, SMALL, WANTED_RATIO, bench, fill, idle

ROUNDS = 15


async def test_an_idle_cycle_does_not_depend_on_the_number_of_links(tmp_path: Path) -> None:
    async with bench(tmp_path / "small") as small, bench(tmp_path / "large") as large:
        await fill(small, SMALL)
        await fill(large, LARGE)
        least = [math.inf, math.inf]
        for _ in range(ROUNDS):
            little, much = await idle(small, 5), await idle(large, 5)
            assert little.calls == much.calls == 2, (
                "one call for the feed of the CRM, one for that of the mailbox"
            )
            assert little.commits == much.commits == 0
            assert little.statements == much.statements
            # In turns, and the best of many: what else the machine does meanwhile only ever makes them dearer.
            least = [min(best, *one.cpu_ms) for best, one in zip(least, (little, much), strict=True)]
    assert least[1] <= WANTED_RATIO * least[0], f"{least[1]:.2f} ms of CPU, {least[0]:.2f} ms with few links"
