"""A client in another language: npm's ews-javascript-api works against the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs
import pytest

from tests.sandbox.exchange.office import ANNA, PASSWORD, Office

PACKAGE = "ews-javascript-api@0.15.3"
SCRIPT = Path(__file__).with_name("client.js")
INSTALL_SECONDS = 120


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder of installed Node packages, kept in the user's cache between runs."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not here")
    home = Path(platformdirs.user_cache_dir("syncline-tests")) / PACKAGE.replace("@", "-")
    if not (home / "node_modules").is_dir():
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home.parent) as part:
                words = [
                    "install",
                    "--silent",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                    "--prefix",
                    part,
                    PACKAGE,
                ]
                subprocess.run([npm, *words], check=True, capture_output=True, timeout=INSTALL_SECONDS)
                # Whole or not at all: another run may be at it, too.
                (Path(part) / "node_modules").rename(_made(home) / "node_modules")
        except (OSError, subprocess.SubprocessError) as error:
            if not (home / "node_modules").is_dir():
                pytest.skip(f"{PACKAGE} cannot be had: {error}")
    return home / "node_modules"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_ews_javascript_api_reads_and_writes(exchange: Office, modules: Path) -> None:
    done = subprocess.run(
        ["node", str(SCRIPT), exchange.endpoint, ANNA, PASSWORD],
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert {"Calendar", "Contacts", "Tasks", "Inbox"} <= set(seen["folders"])
    assert seen["bound"] == ["From JavaScript", "Room 4", "2026-11-23T09:00:00.000Z", "Hello"]
    assert seen["view"] == ["Changed 11-23", "Weekly 11-24", "Weekly 11-26", "Weekly 11-28"]
    assert seen["contacts"] == ["Ada Berg"]
    assert seen["changes"] == 2
    assert seen["events"] == ["Created", "Created", "Deleted"]
    assert "does not have permission to impersonate" in seen["impersonation"]
    assert exchange.world.counters["exchange.mails"] == 1
