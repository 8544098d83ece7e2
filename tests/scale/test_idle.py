"""An idle cycle costs the same, whether a ledger holds a thousand links or a hundred thousand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.instant import contact
from benchmarks.ledger import LARGE, SMALL, WANTED_RATIO, bench, fill, idle


async def test_an_idle_cycle_does_not_depend_on_the_number_of_links(tmp_path: Path) -> None:
    async with bench(tmp_path / "small") as small, bench(tmp_path / "large") as large:
        await fill(small, SMALL)
        await fill(large, LARGE)
        rounds = [(await idle(small, 5), await idle(large, 5)) for _ in range(6)]
    for little, much in rounds:
        assert little.calls == much.calls == 2, "one call for the feed of the CRM, one for that of the mailbox"
        assert little.commits == much.commits == 0
        assert little.statements == much.statements
    # In turns, and the best of many: what else the machine does meanwhile disturbs both alike.
    least = [min(one for each in rounds for one in each[which].cpu_ms) for which in (0, 1)]
    assert least[1] <= WANTED_RATIO * least[0], f"{least[1]:.2f} ms of CPU, {least[0]:.2f} ms with few links"


async def test_an_edit_among_many_links_reads_only_what_it_needs(tmp_path: Path) -> None:
    counts = []
    for number in (SMALL, 10 * SMALL):
        async with bench(tmp_path / str(number)) as on:
            await fill(on, number)
            on.crm.add({**contact(1), "given": "Grace"})
            run = await on.cycle()
            assert run.written == 1
            counts.append(on.ledger.commits)
    assert counts[0] == counts[1]
