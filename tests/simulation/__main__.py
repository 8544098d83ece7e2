"""``python -m tests.simulation --seeds A:B``: run seeds A to B-1, print what fails with its trace, and a summary."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulation.faults import KINDS
from tests.simulation.invariants import INVARIANTS
from tests.simulation.run import DAY_MS, Verdict, run_seed

#: Seeds that one process is given at a time.
PIECE = 50


@dataclass(slots=True)
class Summary:
    """What many seeds came to. ``cpu`` is processor seconds of all processes together."""

    seeds: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(KINDS, 0)))
    crashes: int = 0
    cycles: int = 0
    ms: int = 0
    cpu: float = 0.0

    def add(self, verdict: Verdict) -> None:
        """Count a seed."""
        self.seeds += 1
        self.faults.update(verdict.struck)
        self.crashes += verdict.crashes
        self.cycles += verdict.cycles
        self.ms += verdict.ms
        if verdict.broken:
            self.failures[verdict.broken] += 1

    def document(self) -> dict[str, Any]:
        """For machines, and for docs/reliability.md."""
        return {
            "seeds": self.seeds,
            "failed": self.failures.total(),
            "failures": dict(self.failures),
            "seeds_per_second_per_core": round(self.seeds / self.cpu, 1) if self.cpu else None,
            "faults": dict(self.faults),
            "crashes": self.crashes,
            "cycles": self.cycles,
            "simulated_days": round(self.ms / DAY_MS, 1),
            "invariants": list(INVARIANTS),
        }

    def line(self) -> str:
        """For people."""
        faults = ", ".join(f"{kind} {count:,}" for kind, count in self.faults.items())
        return (
            f"{self.seeds:,} seeds, {self.failures.total():,} failed; {self.seeds / max(self.cpu, 1e-9):.1f} seeds/s per core; "
            f"{self.crashes:,} crashes, {self.cycles:,} cycles, {self.ms / DAY_MS:,.0f} simulated days\nfaults: {faults}"
        )


def _piece(numbers: range, tracing: bool) -> tuple[list[Verdict], float]:
    begun = time.process_time()
    found = [run_seed(number, tracing=tracing) for number in numbers]
    return found, time.process_time() - begun


def verdicts(
    numbers: range, jobs: int, tracing: bool, summary: Summary, until: float | None
) -> Iterator[Verdict]:
    """Run seeds in some processes, in the order of their numbers; ``until`` is a monotonic time to stop at."""
    pieces = [numbers[n : n + PIECE] for n in range(0, len(numbers), PIECE)]
    if jobs == 1:
        results = (_piece(piece, tracing) for piece in pieces)
        for found, cpu in results:
            summary.cpu += cpu
            yield from found
            if until is not None and time.monotonic() > until:
                return
        return
    with ProcessPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_piece, piece, tracing) for piece in pieces[: jobs * 2]]
        rest = iter(pieces[jobs * 2 :])
        while waiting:
            found, cpu = waiting.pop(0).result()
            summary.cpu += cpu
            yield from found
            more = None if until is not None and time.monotonic() > until else next(rest, None)
            if more is not None:
                waiting.append(pool.submit(_piece, more, tracing))


def _seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    if not colon or not (first or "0").isdecimal() or not last.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no range of seeds; write A:B, for example 0:5000 or 17:18"
        )
    numbers = range(int(first or 0), int(last))
    if not numbers:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed: A must be less than B")
    return numbers


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when every seed holds, 1 when one fails, 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--seeds", type=_seeds, default=range(200), help="A:B runs seeds A to B-1 (default 0:200)"
    )
    parser.add_argument(
        "--trace", action="store_true", help="print what happened in every seed, not only in failing ones"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per failing seed, then the summary"
    )
    parser.add_argument("--jobs", type=_positive, default=1, help="processes (default 1)")
    parser.add_argument("--minutes", type=_positive, help="begin no further seeds after so many minutes")
    parser.add_argument("--figures", type=Path, help="write the summary as JSON to this file")
    asked = parser.parse_args(arguments)
    summary = Summary()
    until = time.monotonic() + 60 * asked.minutes if asked.minutes else None
    for verdict in verdicts(asked.seeds, asked.jobs, asked.trace, summary, until):
        summary.add(verdict)
        if asked.json:
            if verdict.broken or asked.trace:
                print(json.dumps(verdict.document()), flush=True)
        elif verdict.broken or asked.trace:
            print(f"--- seed {verdict.seed} ---", *verdict.trace, sep="\n")
            if verdict.broken:
                print(f"seed {verdict.seed} FAILED  {verdict.broken}: {verdict.text}", flush=True)
    figures = summary.document() | {"first": asked.seeds.start}
    if asked.figures:
        asked.figures.parent.mkdir(parents=True, exist_ok=True)
        asked.figures.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps({"summary": figures}) if asked.json else summary.line())
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
