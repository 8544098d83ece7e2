"""Files that an admin asks for: written on the engine's host, for its user alone."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

#: Folder of exports below the data directory.
FOLDER = "exports"

#: Longest name, without its time and its ending.
_LONGEST = 60


def write(data_dir: Path, name: str, ending: str, text: str, now_ms: int) -> Path:
    """Write a new file (0600) below the data directory and return its path. It blocks: call it in a thread.

    Raises:
        OSError: the disk refuses.
    """
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_LONGEST] or "table"
    at = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(1000):
        path = folder / f"{stem}-{at}{f'-{number}' if number else ''}.{ending}"
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            continue
        with open(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return path
    raise FileExistsError(f"{folder} has a thousand exports of this second")
