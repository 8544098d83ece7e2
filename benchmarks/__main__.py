"""``python -m benchmarks``: measure, print a table, write ``benchmarks/latest.json``.

Each scenario runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from benchmarks import attached, console, demo_company, exchange, ledger, many_users, planner
from benchmarks.floor import FORMULA
from benchmarks.rows import Row, store, table

LATEST = Path(__file__).parent / "latest.json"

Scenario = Callable[[Path, int], Coroutine[None, None, list[Row]]]
SCENARIOS: dict[str, Scenario] = {
    "demo": demo_company.measure,
    "many": many_users.measure,
    "planner": planner.measure,
    "ledger": ledger.measure,
    "console": console.measure,
    "exchange": exchange.measure,
    "attached": attached.measure,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--users", type=int, default=500, metavar="N", help="mailboxes of the large first sync")
    parser.add_argument("--quick", action="store_true", help="20 mailboxes instead; latest.json is left alone")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help=argparse.SUPPRESS)
    return parser


def _in_own_process(scenario: str, users: int) -> list[Row]:
    """Run one scenario in a child.

    Raises:
        RuntimeError: it failed; its words are on standard error already.
    """
    command = [sys.executable, "-m", "benchmarks", "--scenario", scenario, "--users", str(users)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if ended.returncode:
        raise RuntimeError(f"the scenario {scenario!r} failed with exit code {ended.returncode}")
    return [Row(**fields) for fields in json.loads(ended.stdout)]


def _child(scenario: str, users: int) -> int:
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        rows = asyncio.run(SCENARIOS[scenario](Path(folder), users))
    fields = [{key: value for key, value in row.as_json().items() if key != "ratio"} for row in rows]
    print(json.dumps(fields))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit code: 0 measured, 1 a scenario failed."""
    given = _parser().parse_args(arguments)
    if given.scenario:
        return _child(given.scenario, given.users)
    rows: list[Row] = []
    plan = (
        ("demo", 5),
        ("planner", 10),
        ("ledger", 1),
        ("console", 1),
        ("exchange", 5),
        ("attached", 1),
        ("many", 20 if given.quick else given.users),
    )
    for scenario, users in plan:
        print(f"measuring {scenario} …", file=sys.stderr, flush=True)
        try:
            rows += _in_own_process(scenario, users)
        except RuntimeError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 1
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    )
    print(FORMULA)
    print()
    print(table(rows))
    if not given.quick:
        store(rows, LATEST)
    return 0


if __name__ == "__main__":
    sys.exit(main())
