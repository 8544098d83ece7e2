"""docs/reliability.md, made from docs/reliability.json: what is proved, how, and how far the last soak was run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = DOCS / "reliability.json"
PAGE = DOCS / "reliability.md"

_HEAD = """# Reliability

What tools of this kind are hated for are duplicates, lost edits and mass deletions. This page says what is proved about
Syncline, by which means, and how far the last long run went. It is made from `docs/reliability.json` (`python -m
tests.soak`); a test keeps both in step.

## What must always hold

| | |
| --- | --- |
| I1 no lost edit | a value that a person wrote is current on both sides, or was overwritten by someone who could see it, or is in the journal |
| I2 no duplicate | at most one live item for each link and side |
| I3 convergence | once faults stop, both sides and the base agree within some cycles, and nothing is left to do |
| I4 idle | one call per feed, no write, no commit |
| I5 cost | calls grow with feeds, pages and changes, with nothing else |
| I6 cursors | never ahead of what is committed |
| I7 deletes | none without tombstone, complete snapshot or 404; Delete Safety is never bypassed |
| I8 versions | no update without an etag, where the provider has one |
| I9 planner | pure, idempotent after it was applied, symmetric but for the policy |
| I10 foreign fields | what a provider keeps that we do not know stays as it is |
| I11 leases | an engine that was overtaken writes nothing |
| I12 guests | nobody is mailed unless the intent says so; nobody in a first sync |
| I13 preview | changes nothing |
| I14 undo | restores where nobody edited since, and lists the rest |
| I15 secrets | no secret and no text of a private item in ledger or log |

## How it is proved

| layer | what it does | in `make test` |
| --- | --- | --- |
| planner properties | Hypothesis draws the three trees of a link and the rules | 5,000 examples |
| simulation | the whole engine on virtual time, people at work, every kind of fault; each seed can be repeated by its number: `python -m tests.simulation --seeds 17:18 --trace` | 5,000 seeds |
| real kills | a process on a ledger in a file, servers on real sockets, people who edit and delete on both sides meanwhile; SIGKILL at a random time, or at the very moment at which a write arrives, is done, or has been answered: `python -m tests.acceptance.kills` | 50 kills |
| kills of the calendar job | the same in runs of CalendarSynchronization over Exchange, at calls of a named kind (a calendar listed, items made, read back, changed, deleted, the CRM written); batches of 1, 7 and 512 must end alike: `python -m tests.acceptance.calendar_kills` | 5 kills |
| disk faults | full, input/output error, locked, committed but told as failed, at the n-th operation of the ledger: `python -m tests.sync.disk_faults`; files that the system lets no longer grow; an old ledger restored, a lost one, a damaged one | some n of each kind |
| two engines | the second one is told who is there; one that was halted and overtaken writes nothing when it goes on | all |
| twenty-five cases | ways in which other tools failed their users, by number: `tests/failure_cases` | all |
"""

_KINDS = "| kind of fault | times |\n| --- | ---: |"


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(head: str, rows: Mapping[str, Any]) -> Iterator[str]:
    yield head
    for name, count in rows.items():
        yield f"| {name} | {_whole(count)} |"


def _simulation(found: Mapping[str, Any]) -> Iterator[str]:
    yield "### Simulation"
    yield ""
    first = found.get("first", 0)
    yield (
        f"{found['seeds']:,} seeds (from {first:,} on), of which {found['failed']:,} failed; "
        f"{found['simulated_days']:,.0f} simulated days, {found['cycles']:,} cycles, {found['crashes']:,} crashes; "
        f"{found['seeds_per_second_per_core']} seeds/s per core."
    )
    yield ""
    yield from _table(_KINDS, found["faults"])
    if found.get("failures"):
        yield ""
        yield "What failed, by the invariant that told: " + ", ".join(
            f"{name} {count:,}" for name, count in found["failures"].items()
        )


def _kills(found: Mapping[str, Any]) -> Iterator[str]:
    yield "### Real kills"
    yield ""
    failed = found["failed_seeds"]
    yield (
        f"{found['kills']:,} kills by SIGKILL in {found['rampages']:,} towns, while people made "
        f"{sum(found['edits'].values()):,} edits; "
        + (
            f"towns that lost or doubled something: {', '.join(map(str, failed))}."
            if failed
            else "nothing was lost, doubled or left over."
        )
    )
    yield ""
    yield from _table("| phase: moment of the kill | kills |\n| --- | ---: |", found["by_phase_and_moment"])
    yield ""
    yield (
        "`any`: after a random time. `lost`: a write of the engine arrived, and was dropped. `done`: it arrived, and was "
        "carried out in full. `answered`: some milliseconds after the answer, while the engine notes it."
    )


def _disk(found: Mapping[str, Any]) -> Iterator[str]:
    yield "### Disk faults"
    yield ""
    failed = found["failed"]
    yield (
        f"{found['runs']:,} runs of a story of up to {found['operations']:,} operations of the ledger, struck at as many "
        f"of them and for all kinds of idempotency key; "
        + (f"failed: {'; '.join(failed)}." if failed else "nothing was lost, doubled or sent without a note.")
    )
    yield ""
    yield from _table("| fault | runs |\n| --- | ---: |", found["by_fault"])


def _points(found: Mapping[str, Any]) -> Iterator[str]:
    yield "### Exhaustive kill"
    yield ""
    yield (
        f"{found['points']:,} failpoints (before and after each write of the ledger and each call of a provider), each "
        f"killed once; {found['second']:,} of them a second time during recovery; {found['failed']:,} failed."
    )


def _mutants(found: Mapping[str, Any]) -> Iterator[str]:
    yield "### Planted bugs"
    yield ""
    yield (
        f"{found['planted']} bugs were planted into the engine on purpose, and {found['found']} of them found by the layer "
        "that owns them."
    )
    if found.get("by_name"):
        yield ""
        yield from _table("| planted bug | found by |\n| --- | --- |", found["by_name"])


_PARTS = {"simulation": _simulation, "kills": _kills, "disk": _disk, "points": _points, "mutants": _mutants}


def page(figures: Mapping[str, Any]) -> str:
    """The page for figures as ``FIGURES`` holds them; a part that was not run is named as such."""
    lines = [_HEAD, "## The last soak", "", f"Run on {figures['when']}: {figures['where']}"]
    missing = [name for name in _PARTS if name not in figures]
    for name, tell in _PARTS.items():
        if name in figures:
            lines += ["", *tell(figures[name])]
    if missing:
        lines += ["", f"Not run in this soak: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def stored() -> dict[str, Any]:
    """The figures in the repository."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found
