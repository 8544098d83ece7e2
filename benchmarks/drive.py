"""The engine without a screen: one policy with all modules, its ledger in a file, its connectors over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.crm.salesforce.connector import SalesforceConnector
from engine.crm.salesforce.settings import SalesforceSettings
from engine.jobs.queue import EmbeddedQueue
from engine.jobs.runner import PolicyRun, Runner
from engine.ledger import mailboxes
from engine.ledger.store import SqliteLedger
from engine.mailbox.connector import MailboxConnector
from engine.mailbox.google.connector import GoogleConnector
from engine.mailbox.google.settings import Api, GoogleSettings
from engine.model.activity import Activity
from engine.model.clock import SystemClock
from engine.model.policy import Policy
from engine.net.net import Net

POLICY = "Acme Sales"

#: Mailboxes that are worked on at once.
SLOTS = 16


@dataclass(slots=True)
class Meter:
    """Hears of calls and waits.

    Attributes:
        calls: HTTP requests by provider; a batch counts as one.
        waited: seconds that a quota or a provider made a call wait.
        told: activities that report a failure.
    """

    calls: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0
    told: list[str] = field(default_factory=list)

    def called(self, provider: str, account: str) -> None:
        """One request was sent."""
        self.calls[provider] += 1

    def waiting(self, provider: str, account: str, seconds: float, reason: str) -> None:
        """A call waits."""
        self.waited += seconds

    def heard(self, activity: Activity) -> None:
        """An activity of a cycle."""
        if not activity.ok:
            self.told.append(f"{activity.mailbox}: {activity.text}")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of the policy cost.

    Attributes:
        run: what it did.
        seconds: wall time.
        cpu_ms: CPU time of this process (the sandbox is another one), milliseconds.
        calls: HTTP requests by provider.
        waited: seconds waited for quotas, of all calls together.
        commits: write transactions of the ledger.
        errors: failures told, by line.
    """

    run: PolicyRun
    seconds: float
    cpu_ms: float
    calls: Mapping[str, int]
    waited: float
    commits: int
    errors: tuple[str, ...]


@dataclass(slots=True)
class Engine:
    """A running engine over one ledger."""

    ledger: SqliteLedger
    runner: Runner
    meter: Meter
    policy: Policy

    async def cycle(self) -> Cost:
        """Run the policy once for all mailboxes and measure it."""
        self.meter.calls.clear()
        self.meter.told.clear()
        self.meter.waited = 0.0
        commits, cpu, begun = self.ledger.commits, time.process_time(), time.perf_counter()
        run = await self.runner.run_policy(self.policy)
        return Cost(
            run=run,
            seconds=time.perf_counter() - begun,
            cpu_ms=(time.process_time() - cpu) * 1000,
            calls=dict(self.meter.calls),
            waited=self.meter.waited,
            commits=self.ledger.commits - commits,
            errors=(*self.meter.told, *run.faults.values()),
        )


@contextlib.asynccontextmanager
async def engine(
    folder: Path, ready: Mapping[str, Any], mail: Callable[[Net], MailboxConnector] | None = None
) -> AsyncIterator[Engine]:
    """An engine for all users of a sandbox, with a new ledger in ``folder``.

    Args:
        folder: of the ledger.
        ready: the sandbox's addresses.
        mail: makes the mail system's connector; Google's when there is none.
    """
    meter = Meter()
    net = Net(observer=meter)
    mailbox: MailboxConnector = mail(net) if mail is not None else _google(ready, net)
    crm = _salesforce(ready, net)
    ledger = await SqliteLedger.open(folder / "ledger.sqlite")
    users = [(user["email"], POLICY, "", "") for user in ready["users"]]
    await ledger.write(mailboxes.replace_configuration, [], [(POLICY, {}, True)], users)
    queue = EmbeddedQueue()
    runner = Runner(ledger, SystemClock(), meter.heard, queue, lambda _: crm, lambda _: mailbox)
    stop = asyncio.Event()
    serving = asyncio.create_task(queue.serve(runner.handle, SLOTS, stop))
    try:
        yield Engine(ledger, runner, meter, Policy(POLICY, "crm", "google"))
    finally:
        stop.set()
        await serving
        await ledger.close()
        await mailbox.close()
        await crm.close()


def _google(ready: Mapping[str, Any], net: Net) -> GoogleConnector:
    google = ready["google"]
    settings = GoogleSettings(
        credentials_file=google["credentials_file"],
        endpoints={api: google[f"{api.value}_url"] for api in Api},
        batch_urls={Api(name): url for name, url in google["batch_urls"].items()},
        token_uri=google["token_uri"],
    )
    return GoogleConnector(settings, net)


def _salesforce(ready: Mapping[str, Any], net: Net) -> SalesforceConnector:
    crm = ready["salesforce"]
    org = SalesforceSettings(
        login_url=crm["base_url"],
        client_id=crm["client_id"],
        client_secret_file=crm["client_secret_file"],
        link_url="https://crm.example",
    )
    return SalesforceConnector(org, net)


def peak_mb() -> float:
    """Peak resident memory of this process in megabytes (2**20 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
