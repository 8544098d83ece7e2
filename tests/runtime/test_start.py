"""A start of the app imports what it needs: each library costs every command of an admin's shell its time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

from engine.service import Service

#: Imported with the first connection of their kind, the section [push], a migration that is due, a session, an SSH front.
LATER = {
    "alembic",
    "asyncssh",
    "exchangelib",
    "google",
    "googleapiclient",
    "httpx",
    "jwt",
    "requests",
    "rich",
    "starlette",
    "textual",
    "uvicorn",
}

OPENED = """
import asyncio, pathlib, sys
import tui.commands
from engine.service import Service

async def start():
    service = await Service.open(pathlib.Path(sys.argv[1]))
    async with service.running():
        pass
    await service.close()

asyncio.run(start())
print({name.partition(".")[0] for name in sys.modules})
"""


async def made(folder: Path) -> None:
    await (await Service.open(folder)).close()


def test_an_engine_without_connections_imports_no_library_of_a_provider(tmp_path: Path) -> None:
    asyncio.run(made(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", OPENED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(literal_eval(ended.stdout))
    assert "sqlalchemy" in loaded
    assert set() == LATER & loaded
