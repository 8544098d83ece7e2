"""The demo company in a sandbox of its own, as a child process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

#: A company of some hundred users takes a while to generate.
START_SECONDS = 300.0


@contextlib.contextmanager
def sandbox(folder: Path, *options: str) -> Iterator[Mapping[str, Any]]:
    """Run a sandbox; yields what its ready file says, and ends it.

    Raises:
        RuntimeError: it ended early or did not become ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "engine.sandbox", "--ready-file", str(ready)]
    command += ["--data-dir", str(folder / "sandbox"), "--exit-with-parent", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the sandbox did not start (exit code {process.poll()})")
            time.sleep(0.05)
        yield json.loads(ready.read_text(encoding="utf-8"))
    finally:
        process.terminate()
        process.wait()
