"""``syncline demo``: a generated company behind loopback servers, and the app (or one headless run) over it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from engine.service import EnablePolicy, PolicyState, Service, VerifyRow
from tui import ask, attach, background, exits, printing
from tui.commands import Stopper, signals
from tui.exits import Trouble
from tui.out import LocalOut, Out
from tui.run import local_zone, opened, owner, running, synced
from tui.sandbox import Sandbox, in_use, started
from tui.serve.manner import Manner

POLICY = "Acme Sales"

#: The policy of the people whose mailboxes are at Exchange; off until somebody switches it on.
EXCHANGE_POLICY = "Acme Service"

#: For so many people at Google one more is at Exchange.
EACH = 5

#: Says that a directory is a demo's, and with which options its company was made.
MARKER = "syncline-demo.json"

_OPTIONS = (
    "users",
    "seed",
    "contacts",
    "leads",
    "appointments",
    "calls",
    "service_calls",
    "tasks",
    "opportunities",
    "cases",
)


#: What those are told who come to a demo and leave it.
MANNER = Manner(
    greeting="Demo: q ends it. After a lost connection, syncline demo finds it for 10 minutes.",
    leaving="detached; the demo goes on, others are attached",
    last="the demo has ended; syncline demo goes on with its company, --fresh makes another",
)

#: Seconds that a demo is given to end.
_ENDING = 20.0


def demo(given: Namespace) -> int:
    """Make a company and sync it: one headless sync here, or a console of an engine in the background.

    Raises:
        Trouble: the folder, the sandbox or the engine cannot be used.
    """
    if given.headless:
        return asyncio.run(_headless(given))
    if not attach.is_terminal():
        raise Trouble(exits.USAGE, "the console needs a terminal; use demo --headless here")
    folder: Path = given.data_dir
    if given.fresh:
        _end_old(folder)
    prepare(folder, given)
    engine = ask.connect(str(folder))
    if engine is None:
        print("syncline: starting the demo's servers and an engine in the background ...", flush=True)
        try:
            background.start(str(folder), ["--demo"])
        except background.NotStarted as fault:
            text, *more = str(fault).splitlines()
            raise Trouble(exits.UNUSABLE, text, more) from None
        engine = ask.connect(str(folder))
    if engine is None:
        raise Trouble(exits.UNUSABLE, f"the demo's engine has ended again; {folder}/serve.log tells why")
    code, ends = attach.attach(engine, theme=given.theme, ascii=given.ascii)
    if ends:
        _until_free(folder)
    return code


def _end_old(folder: Path) -> None:
    """End a demo that nobody is attached to; one with somebody goes on, and ``prepare`` tells."""
    engine = ask.connect(str(folder))
    if engine is not None and ask.stop(engine, unless_attached=True) == exits.OK:
        _until_free(folder)


def _until_free(folder: Path) -> None:
    """Wait until nobody holds the folder."""
    until = time.monotonic() + _ENDING
    while in_use(folder) and time.monotonic() < until:
        time.sleep(0.05)


async def _headless(given: Namespace) -> int:
    prepare(given.data_dir, given)
    out = LocalOut(owner(given.data_dir), local_zone())
    stop = Stopper(out)
    with signals(stop):
        async with company(given.data_dir, out.stopped) as (service, sandbox):
            if service is None or sandbox is None:
                return exits.INTERRUPTED
            stop.service = service
            return await headless(service, sandbox, given, out)


@contextlib.asynccontextmanager
async def company(
    folder: Path, stopped: asyncio.Event
) -> AsyncIterator[tuple[Service, Sandbox] | tuple[None, None]]:
    """The sandbox of a prepared folder, and the engine on it with the company declared.

    Yields nothing of both when it is asked to stop before they are there.

    Raises:
        Trouble: one of them does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        options = _made(folder / MARKER)
        sandbox = await stack.enter_async_context(started(folder, peopled(options), stopped))
        if sandbox is None:
            yield None, None
            return
        service = await stack.enter_async_context(opened(folder))
        text = declaration(sandbox.addresses, options.get("users", 5), folder)
        file = folder / "demo.toml"
        file.write_text(text, encoding="utf-8")
        answer = await service.apply(text, str(file), owner(folder))
        if not answer.ok:
            raise Trouble(exits.USAGE, answer.text, answer.details)
        yield service, sandbox


def prepare(folder: Path, given: Namespace) -> None:
    """Make or check the demo's folder; its marker says with which options its company is (or was) made.

    Raises:
        Trouble: the folder is no demo's, is in use, or holds a company made with other options.
    """
    asked = {name: value for name in _OPTIONS if (value := getattr(given, name)) is not None}
    marker = folder / MARKER
    try:
        if folder.exists() and not marker.exists() and any(folder.iterdir()):
            raise Trouble(
                exits.USAGE, f"{folder} is not empty and was not made by the demo; name another with --data-dir"
            )
        if given.fresh and marker.exists():
            holder = in_use(folder)
            if holder:
                raise Trouble(
                    exits.UNUSABLE,
                    f"somebody is attached to the demo in {folder} ({holder}); leave it there first",
                )
            shutil.rmtree(folder)
        if marker.exists():
            made = _made(marker)
            other = [name for name, value in asked.items() if made.get(name) != value]
            if other:
                was = ", ".join(f"{name} {made.get(name, 'as by default')}" for name in other)
                raise Trouble(
                    exits.USAGE,
                    f"the demo in {folder} was made with other options ({was}); "
                    "--fresh makes a new company, or leave the options out",
                )
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        marker.write_text(json.dumps(asked) + "\n", encoding="utf-8")
    except OSError as error:
        raise Trouble(
            exits.UNUSABLE, f"cannot use the directory {folder}: {error.strerror}; name another with --data-dir"
        ) from None


def _made(marker: Path) -> dict[str, int]:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
        return {name: int(found[name]) for name in _OPTIONS if name in found}
    except (ValueError, TypeError):
        raise Trouble(
            exits.UNUSABLE, f"{marker} cannot be read; --fresh makes a new demo in its place"
        ) from None


def peopled(options: Mapping[str, int]) -> dict[str, int]:
    """The options of the sandbox's company: those at Exchange are people besides, with as many items each.

    Items are owned in turn, so that those at Google have what was asked for.
    """
    users = options.get("users", 5)
    everybody = users + max(1, users // EACH)
    counts = {
        name: -(-value * everybody // users) for name, value in options.items() if name not in {"users", "seed"}
    }
    return {**options, **counts, "users": everybody}


def declaration(addresses: Mapping[str, Any], users: int, folder: Path) -> str:
    """The demo's configuration as TOML: a policy with every module for each mail system, all users under one of them.

    Args:
        addresses: what the sandbox's ready file says.
        users: so many of its people are at Google, the others at Exchange.
        folder: the demo's, for the password of the impersonation account.
    """
    google, salesforce, exchange = addresses["google"], addresses["salesforce"], addresses["exchange"]
    account = exchange["service_account"]
    passwords = json.loads(Path(exchange["passwords_file"]).read_text(encoding="utf-8"))
    secret = folder / "exchange-password.txt"
    secret.write_text(passwords[account], encoding="utf-8")
    settings = {
        'connections."Acme CRM"': {
            "kind": "salesforce",
            "login_url": salesforce["base_url"],
            "client_id": salesforce["client_id"],
            "client_secret_file": salesforce["client_secret_file"],
            "api_version": salesforce["api_version"],
        },
        'connections."Acme Workspace"': {
            "kind": "google",
            "credentials_file": google["credentials_file"],
            "token_uri": google["token_uri"],
            **{f"{api}_url": google[f"{api}_url"] for api in google["batch_urls"]},
            **{f"{api}_batch_url": url for api, url in google["batch_urls"].items()},
            # Google's own contact feed lags by minutes; the sandbox's does not, unless told to.
            "people_lag_seconds": 0,
        },
        'connections."Acme Exchange Server"': {
            "kind": "exchange",
            "url": exchange["ews_url"],
            "version": exchange["version"],
            "username": account,
            "password_file": str(secret),
        },
        f'policies."{POLICY}"': {"crm": "Acme CRM", "mailbox": "Acme Workspace"},
        f'policies."{EXCHANGE_POLICY}"': {"crm": "Acme CRM", "mailbox": "Acme Exchange Server"},
    }
    lines = ["# The demo company. Written anew at each start of the demo."]
    for name, values in settings.items():
        # JSON's texts and numbers are TOML's too.
        lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for place, user in enumerate(addresses["users"]):
        policy = POLICY if place < users else EXCHANGE_POLICY
        lines += ["", "[[users]]", f"email = {json.dumps(user['email'])}", f"policy = {json.dumps(policy)}"]
    return "\n".join(lines) + "\n"


async def headless(service: Service, sandbox: Sandbox, given: Namespace, out: Out) -> int:
    """Enable the policy, run one sync (the first, or a full one), verify and report."""
    rows: list[VerifyRow] = []
    async with running(service):
        if service.store.policies[POLICY].state is not PolicyState.ENABLED:
            answer = await service.do(EnablePolicy(POLICY), out.by)
            if not answer.ok:
                raise Trouble(exits.UNUSABLE, answer.text, answer.details)
        report = await synced(service, POLICY, out)
        if not out.stopped.is_set():
            rows = await service.verify(POLICY)
    sandbox.check()
    verified = bool(rows) and exits.of_verify(rows) == exits.OK
    report["totals"]["duplicates"] = sum(row.have for row in rows if row.check == "duplicates")
    report["verify"] = {"ok": verified, "rows": [dataclasses.asdict(row) for row in rows]}
    if given.json:
        out.show(report)
    else:
        out.print(printing.report_text(report))
        out.print()
        out.print("Verify: " + printing.verify_text(rows, given.ascii, all_rows=False))
    if out.stopped.is_set():
        return exits.INTERRUPTED
    code = exits.of_report(report, [service.store.policies[POLICY].fault])
    return code or exits.of_verify(rows)
