"""``python -m tests.soak``: gather the figures of a soak and write docs/reliability.json and docs/reliability.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.soak.page import FIGURES, PAGE, page, stored

PARTS = ("simulation", "kills", "disk", "points", "mutants")


def _machine() -> str:
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"Python {platform.python_version()} on {system}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Without arguments only the page is made again; exit code 2 for a file that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__, allow_abbrev=False)
    for part in PARTS:
        parser.add_argument(f"--{part}", type=Path, metavar="FILE", help=f"figures of the part: {part}")
    parser.add_argument("--note", default="", help="what a reader must know about this run")
    given = parser.parse_args(arguments)
    figures: dict[str, Any] = stored() if FIGURES.exists() else {}
    fresh = {}
    for part in PARTS:
        path: Path | None = getattr(given, part)
        if path is None:
            continue
        try:
            fresh[part] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"--{part} {path}: {error}")
    if fresh:
        when = datetime.now(UTC).strftime("%Y-%m-%d")
        figures |= fresh | {"when": when, "where": f"{_machine()} {given.note}".strip()}
        FIGURES.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
