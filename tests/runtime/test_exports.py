"""Tables as files on the engine's host: for its user alone, never over another one."""

from __future__ import annotations

import stat
from pathlib import Path

from engine.runtime.exports import write

AT = 1_795_266_012_000


def test_a_file_is_new_and_for_the_user_of_the_engine_alone(tmp_path: Path) -> None:
    first = write(tmp_path, "Queue-held items", "csv", "a\r\n", AT)
    second = write(tmp_path, "Queue-held items", "csv", "b\r\n", AT)
    assert first.name == "Queue-held-items-20261121T130012Z.csv"
    assert first.read_bytes() == b"a\r\n"
    assert second != first
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700


def test_a_name_does_not_leave_the_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "../../etc/passwd", "json", "[]", AT)
    assert path.parent == tmp_path / "exports"
