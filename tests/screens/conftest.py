"""Screens without a terminal: fixed rows, a fixed clock, no animation, and snapshots in the top-level folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

for _name in ("NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)
os.environ["TEXTUAL_ANIMATIONS"] = "none"
os.environ["TEXTUAL_COLOR_SYSTEM"] = "256"

import pytest  # noqa: E402 - after the environment
import pytest_textual_snapshot  # noqa: E402
from textual import _wait, screen  # noqa: E402

from engine.service import Actor, Role  # noqa: E402
from tests.screens import fake  # noqa: E402
from tui.app import SynclineApp  # noqa: E402

ROOT = Path(__file__).parents[2]


class RootSVG(pytest_textual_snapshot.SVGImageExtension):  # type: ignore[misc]
    """Snapshots in ``snapshots/``, with the path of the test below it."""

    _file_extension = "svg"

    @classmethod
    def dirname(cls, *, test_location: object) -> str:
        path = Path(test_location.filepath)  # type: ignore[attr-defined]
        return str(ROOT / "snapshots" / path.relative_to(ROOT / "tests").with_suffix(""))


pytest_textual_snapshot.SVGImageExtension = RootSVG  # looked up when snap_compare is called

Build = Callable[..., SynclineApp]


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the frames a second, and so half the wait after each key, into which a frame must fit."""
    monkeypatch.setattr(screen, "UPDATE_PERIOD", screen.UPDATE_PERIOD / 2)
    monkeypatch.setattr(_wait, "SLEEP_GRANULARITY", _wait.SLEEP_GRANULARITY / 2)
    monkeypatch.setattr(_wait, "SLEEP_IDLE", _wait.SLEEP_IDLE / 2)


@pytest.fixture
def build() -> Build:
    """An app over fixed rows: ``build("running")``; its service is ``app.engine``."""

    def make(kind: str = "running", **options: object) -> SynclineApp:
        service = fake.FakeService({"empty": fake.empty, "running": fake.running, "error": fake.error}[kind]())
        service.history = [run for job in service.store.jobs for run in fake.history(job)]
        return SynclineApp(
            service, Actor("alice@ops-01", Role.ADMIN), zone=fake.ZONE, pull_seconds=None, **options
        )  # type: ignore[arg-type]

    return make
