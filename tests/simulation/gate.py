"""Figures of the exhaustive kill and of the mutation gate for docs/reliability.md.

``python -m tests.simulation.gate --points FILE --mutants FILE``: exit status 1 when a kill or a planted bug comes through.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.killing import KEYS, Kill, again, failpoints, run
from tests.simulation.mutants import MUTANTS


def points() -> dict[str, Any]:
    """Kill every failpoint once, and every tenth twice."""

    def failures(key: Any, kills: Iterable[Kill]) -> int:
        count = 0
        for kill in kills:
            try:
                run(key, kill)
            except AssertionError as error:
                count += 1
                print(f"{key}: {error}", file=sys.stderr)
        return count

    total = {key: failpoints(key) for key in KEYS}
    failed = sum(failures(key, map(Kill, range(1, total[key] + 1))) for key in KEYS)
    failed += sum(failures(key, again(key)) for key in KEYS)
    return {"points": sum(total.values()), "second": sum(len(again(key)) for key in KEYS), "failed": failed}


def mutants() -> dict[str, Any]:
    """Plant every bug, and let its owner look for it."""
    by_name = {}
    for mutant in MUTANTS:
        with pytest.MonkeyPatch.context() as patch:
            mutant.plant(patch)
            by_name[mutant.name] = mutant.hunt().partition("\n")[0] or "nobody"
    found = sum(text != "nobody" for text in by_name.values())
    return {"planted": len(MUTANTS), "found": found, "by_name": by_name}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.gate", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--points", type=Path, help="kill every failpoint; the figures go to this file")
    parser.add_argument("--mutants", type=Path, help="plant every bug; the figures go to this file")
    asked = parser.parse_args(arguments)
    status = 0
    for path, measure in ((asked.points, points), (asked.mutants, mutants)):
        if path is None:
            continue
        found = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")
        status |= bool(found.get("failed")) or found.get("found", 0) != found.get("planted", 0)
    return status


if __name__ == "__main__":
    sys.exit(main())
