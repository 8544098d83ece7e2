"""The support bundle: what somebody who helps needs to know, and no content of anybody's mailbox.

Monitor lines, journal, links and items stay at home: they hold names and texts of items. What is in the bundle passes
``engine.runtime.redact``.
"""

from __future__ import annotations

import asyncio
import json
import platform
import sqlite3
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.ledger import history
from engine.ledger.checkup import checkup
from engine.runtime import incident_reports, report
from engine.runtime.office import Office
from engine.runtime.redact import Redactor, named_secrets

#: Newest lines of a log, and bytes that are read for them.
LOG_LINES, _LOG_BYTES = 2_000, 2_000_000

#: Newest runs of each job.
RUNS = 200

#: Logs of the data directory.
LOGS = ("syncline.log", "fault.log")

_PARTS = (
    "syncline", "textual", "rich", "sqlalchemy", "alembic", "httpx", "cryptography", "apscheduler", "exchangelib",
    "aiosmtplib", "asyncssh",
)  # fmt: skip


async def bundle(office: Office, folder: Path, configuration: str, *, anonymise: bool) -> dict[str, str]:
    """The files of a support bundle by name: texts, redacted.

    Args:
        office: the engine.
        folder: its data directory, for the logs.
        configuration: as it is exported.
        anonymise: replace addresses, and drop quoted names in sentences.
    """
    secrets = await asyncio.to_thread(named_secrets, configuration)
    redactor = Redactor(secrets, anonymise=anonymise, addresses=office.store.users)
    documents: dict[str, Any] = {
        "about.json": {
            "made_ms": office.clock.now_ms(),
            "anonymised": anonymise,
            "versions": {part: found for part in _PARTS if (found := _version(part))},
            "python": sys.version,
            "sqlite": sqlite3.sqlite_version,
            "platform": platform.platform(),
        },
        "status.json": {**report.status(office), **await incident_reports.status(office)},
        "engine.json": _engine(office),
        "queue.json": [_user(row) for row in office.store.users.values()],
        "runs.json": [
            dict(row._mapping)
            for job in office.store.jobs
            for row in await office.ledger.read(history.runs, job, RUNS)
        ],
        "incidents.json": [incident_reports.as_json(row) for row in office.store.incidents.values()],
        "limits.json": [asdict(row) for row in office.store.limits.values()],
        "ledger.json": await office.ledger.read(checkup),
    }
    texts = {"configuration.toml": configuration}
    for name in LOGS:
        text = await asyncio.to_thread(_tail, folder / name)
        if text:
            texts[name] = text
    return await asyncio.to_thread(_redacted, redactor, documents, texts)


def _redacted(redactor: Redactor, documents: dict[str, Any], texts: dict[str, str]) -> dict[str, str]:
    """Outside of the loop: it is much text."""
    found = {
        name: json.dumps(redactor.value(value), ensure_ascii=False, indent=1, default=str) + "\n"
        for name, value in documents.items()
    }
    for name, text in texts.items():
        found[name] = redactor.text(text, sentence=name in LOGS)
    return found


def _version(part: str) -> str:
    try:
        return version(part)
    except PackageNotFoundError:
        return ""


def _engine(office: Office) -> dict[str, Any]:
    row = office.store.engine
    return {
        "running": row.running,
        "started_ms": row.started_ms,
        "lag_ms": round(row.lag_ms, 1),
        "lag_max_ms": round(row.lag_max_ms, 1),
        "busy": row.busy,
        "slots": row.slots,
        "message": row.message,
        "fault": row.fault,
        "states": {state.value: number for state, number in row.states.items()},
        "providers": dict(row.providers),
        "calls": dict(office.calls),
        "users": len(office.store.users),
    }


def _user(row: Any) -> dict[str, Any]:
    return {
        "mailbox": row.id,
        "policy": row.policy,
        "state": row.state.value,
        "phase": row.phase,
        "step": None if row.step is None else row.step.value,
        "done": row.done,
        "total": row.total,
        "place": row.place,
        "calls": row.calls,
        "items": row.items,
        "held": row.held,
        "conflicts": row.conflicts,
        "failed": row.failed,
        "started_ms": row.started_ms,
        "last_success_ms": row.last_success_ms,
        "next_full_ms": row.next_full_ms,
        "until_ms": row.until_ms,
        "stale_since_ms": row.stale_since_ms,
        "fault_class": row.fault_class,
        "why": row.why,
        "text": row.text,
    }


def _tail(path: Path) -> str:
    """The newest lines of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            lines = file.read(_LOG_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-LOG_LINES:]) + "\n" if lines else ""
