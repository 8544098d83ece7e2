"""Exchange: the same operators with batch sizes 1, 7 and 512; calls against their floor, speed, and whether they end alike.

``python -m benchmarks.exchange --operators 200 --appointments 300`` is the size of issue 4.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.company import sandbox
from benchmarks.drive import Cost, Engine, engine
from benchmarks.rows import Row, table
from engine.ledger import mailboxes
from engine.mailbox.exchange.connector import ExchangeConnector
from engine.mailbox.exchange.settings import ExchangeSettings
from engine.model.port import Account, Scope
from engine.net.net import Net
from engine.sync.structure import label_paths

SIZES = (1, 7, 512)

#: Appointments of each operator in ``make bench``.
APPOINTMENTS = 60

#: What each mailbox holds of its owner's before, by the sandbox: six events.
_HELD = 6

_FOLDERS = 3

#: A rule of Exchange's: an occurrence may not pass its neighbour. The company has a few that do; they are told and set aside.
_PASSING = "ErrorOccurrenceCrossingBoundary"

_READ = 100


def _settings(ready: Mapping[str, Any], folder: Path, size: int) -> ExchangeSettings:
    exchange = ready["exchange"]
    passwords = json.loads(Path(exchange["passwords_file"]).read_text(encoding="utf-8"))
    file = folder / "password.txt"
    file.write_text(passwords[exchange["service_account"]], encoding="utf-8")
    return ExchangeSettings(
        url=exchange["ews_url"],
        username=exchange["service_account"],
        password_file=str(file),
        batch_size=size,
    )


async def measure(folder: Path, users: int, appointments: int = APPOINTMENTS) -> list[Row]:
    """Rows of ``users`` operators with so many appointments each, for every batch size."""
    rows: list[Row] = []
    ends: dict[int, str] = {}
    for size in SIZES:
        here = folder / str(size)
        counts = Counter({"appointments": users * appointments})
        options = ["--services", "salesforce,exchange", "--users", str(users), "--quota", "off"]
        for kind in (
            "contacts",
            "leads",
            "appointments",
            "calls",
            "service-calls",
            "tasks",
            "opportunities",
            "cases",
        ):
            options += [f"--{kind}", str(counts[kind])]
        with sandbox(here, *options) as ready:
            settings = _settings(ready, here, size)

            def mail(net: Net, settings: ExchangeSettings = settings) -> ExchangeConnector:
                return ExchangeConnector(settings, net)

            async with engine(here, ready, mail) as running:
                first = await running.cycle()
                _must_be_clean(first)
                settled = await running.cycle()
                _must_be_clean(settled)
                idle = await running.cycle()
                _must_be_clean(idle)
                ends[size] = await _end_state(running, settings)
                labels = len(label_paths(running.policy))
        rows += _rows(users, size, first, settled, idle, labels)
    rows.append(
        Row(
            "Exchange: end states that differ from that of batch size 512",
            sum(one != ends[512] for one in ends.values()),
            "sizes",
        )
    )
    return rows


def _rows(users: int, size: int, first: Cost, settled: Cost, idle: Cost, labels: int) -> list[Row]:
    written = first.run.written
    each = written / users
    # Own folders, the tree's names, each label; a sync of each folder and what was there; creates, and reading them back.
    floor = users * (2 + labels + _FOLDERS + 1 + ceil(each / size) + ceil(each / _READ))
    name = f"Exchange, {users} operators, batches of {size}"
    return [
        Row(f"{name}: calls of the first sync", first.calls.get("Exchange", 0), "calls", floor=floor),
        Row(f"{name}: items written", written, "items"),
        Row(f"{name}: refused, an occurrence would pass its neighbour", len(first.errors), "items"),
        Row(f"{name}: speed", round(written / first.seconds, 1), "items/s"),
        Row(f"{name}: CPU of the engine", round(first.cpu_ms * 1000 / max(written, 1), 1), "µs/item"),
        Row(f"{name}: second run: writes", settled.run.written, "items"),
        Row(f"{name}: idle cycle: calls", idle.calls.get("Exchange", 0), "calls", floor=users * _FOLDERS),
        Row(f"{name}: idle cycle: commits", idle.commits, "commits"),
    ]


def _must_be_clean(cost: Cost) -> None:
    """Figures of a run that failed are worth nothing.

    Raises:
        RuntimeError: with the first failures.
    """
    errors = [line for line in cost.errors if _PASSING not in line]
    if errors:
        raise RuntimeError(f"{len(errors)} errors: " + "; ".join(errors[:5]))


async def _end_state(running: Engine, settings: ExchangeSettings) -> str:
    """A digest of everything that the operators' folders show, without ids."""
    connector = ExchangeConnector(settings, Net())
    digest = hashlib.sha256()
    try:
        for record in sorted(
            await running.ledger.read(mailboxes.mailboxes, running.policy.name), key=lambda one: one.email
        ):
            account = Account(record.email, record.zone or "UTC")
            shown = Counter[str]()
            for key, remote_id, names in record.scopes:
                async for page in connector.changes(Scope(key, remote_id, tuple(names), account), None):
                    for one in page.observations:
                        text = json.dumps(
                            [one.module, one.fields, one.containers, one.occurrence], sort_keys=True
                        )
                        shown[text] += 1
            digest.update(json.dumps([record.email, sorted(shown.items())]).encode())
    finally:
        await connector.close()
    return digest.hexdigest()


def main() -> int:
    """Measure any size; returns the exit code: 1 when the end states differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exchange", description=__doc__)
    parser.add_argument("--operators", type=int, default=200, metavar="N")
    parser.add_argument("--appointments", type=int, default=300, metavar="N", help="of each operator")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="syncline-bench-") as folder:
        rows = asyncio.run(measure(Path(folder), given.operators, given.appointments))
    print(table(rows))
    return int(rows[-1].value != 0)


if __name__ == "__main__":
    sys.exit(main())
