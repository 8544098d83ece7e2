"""The sandbox process: all services in one event loop, their state in one folder, their addresses in one JSON file.

State survives: a second start on the same folder serves what was there, on the same ports where they are still free.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.sandbox.company import KINDS, Company, generate, load_google, load_salesforce
from engine.sandbox.google.app import create_app as google_app
from engine.sandbox.kit.serve import loopback_socket, uvicorn_config
from engine.sandbox.kit.world import World, open_world
from engine.sandbox.salesforce.app import create_app as salesforce_app

SERVICES = ("google", "salesforce", "exchange")
USUAL = ("google", "salesforce")
"""What runs unless told otherwise; Exchange is there for those who ask for it."""
API_VERSION = "62.0"

#: How often the process looks whether its parent still lives, seconds.
PARENT_POLL_SECONDS = 0.5

#: How old a new company's data are, milliseconds.
AGE_MS = 86_400_000


class LaunchError(Exception):
    """The sandbox cannot start; the text names what and the remedy."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for.

    Attributes:
        data_dir: folder of the state, created with mode 0700.
        ready_file: where the addresses are written once connections are accepted; not written when ``None``.
        services: of ``SERVICES``.
        users: mailboxes of a new company; an existing one keeps its own.
        seed: of a new company.
        counts: items of a new company by kind, where they differ from the defaults.
        today: day around which a new company's appointments lie.
        ports: wanted port by service; 0 or absent is the last one, else a free one.
        quota: whether quotas are enforced.
        latency_ms: wait before each answer.
        people_lag: seconds until a contact's change is seen in the sync feed.
        empty: a new company has users, but no items.
        exit_with_parent: stop when the process that started this one has ended.
    """

    data_dir: Path
    ready_file: Path | None = None
    services: tuple[str, ...] = USUAL
    users: int = 5
    seed: int = 1
    counts: Mapping[str, int] = field(default_factory=dict)
    today: date = field(default_factory=date.today)
    ports: Mapping[str, int] = field(default_factory=dict)
    quota: bool = True
    latency_ms: int = 0
    people_lag: float = 0.0
    empty: bool = False
    exit_with_parent: bool = False


class _Latency:
    """ASGI middleware that makes every answer wait, as a distant server would."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/_sandbox"):
            await asyncio.sleep(self._seconds)
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """A uvicorn server that tells when it listens and leaves the process's signals to the launcher."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets=sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing: several servers share this process."""
        yield


# -- state of the folder ---------------------------------------------------------------------------------


def _create_state(world: World) -> None:
    world.db.execute("CREATE TABLE IF NOT EXISTS launcher_state(key TEXT PRIMARY KEY, value TEXT NOT NULL)")


def _read_state(world: World, key: str, default: Any = None) -> Any:
    row = world.db.execute("SELECT value FROM launcher_state WHERE key = ?", (key,)).fetchone()
    return default if row is None else json.loads(row[0])


def _write_state(world: World, key: str, value: Any) -> None:
    world.db.execute("INSERT OR REPLACE INTO launcher_state VALUES (?, ?)", (key, json.dumps(value)))


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """One sandbox per folder, by a lock that the kernel frees when the process ends.

    Raises:
        LaunchError: the folder cannot be made or another sandbox uses it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = (data_dir / "sandbox.lock").open("a+")
    except OSError as error:
        raise LaunchError(
            f"data directory {data_dir}: {error.strerror}; name a folder that can be written"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise LaunchError(
                f"data directory {data_dir} is in use by the sandbox with process id {holder}; "
                "stop that one or name another folder"
            ) from None
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _open(data_dir: Path, settings: dict[str, Any]) -> World:
    """The folder's world; one whose first loading was cut short is thrown away and begun again."""
    world = open_world(data_dir, settings)
    _create_state(world)
    if not _read_state(world, "loaded", False) and _read_state(world, "loading", False):
        world.db.close()
        for name in ("sandbox.sqlite", "sandbox.sqlite-wal", "sandbox.sqlite-shm"):
            (data_dir / name).unlink(missing_ok=True)
        world = open_world(data_dir, settings)
        _create_state(world)
    world.clock.offset_ms = int(_read_state(world, "clock_offset_ms", 0))
    return world


def _company(options: Options) -> Company:
    counts = dict.fromkeys(KINDS, 0) if options.empty else dict(options.counts)
    return generate(options.seed, options.users, today=options.today, **counts)


def _load(world: World, options: Options) -> None:
    """Fill a new world with the company; an existing one stays as it is."""
    if _read_state(world, "loaded", False):
        return
    _write_state(world, "loading", True)
    company = _company(options)
    # The company is a day old when people first see it: neither a lagging feed nor a reader's overlap finds it fresh.
    world.clock.offset_ms -= AGE_MS
    # Syncing each statement to disk is of no use while a half-loaded world is thrown away anyway.
    world.db.execute("PRAGMA synchronous=OFF")
    people = load_salesforce.load(world, company)
    load_google.load(world, company, seed=options.seed, today=options.today)
    if "exchange" in options.services:
        from engine.sandbox.company import load_exchange

        load_exchange.load(world, company, seed=options.seed, today=options.today)
    world.db.execute("PRAGMA synchronous=NORMAL")
    world.clock.offset_ms += AGE_MS
    world.counters.clear()
    users = [
        {"email": user.email, "name": user.name, "crm_user": crm_user, "zone": user.zone}
        for user, crm_user in zip(company.users, people, strict=True)
    ]
    _write_state(world, "users", users)
    made = {
        "seed": options.seed,
        "users": options.users,
        "counts": dict(options.counts),
        "empty": options.empty,
    }
    _write_state(world, "company", {**made, "today": options.today.isoformat()})
    _write_state(world, "exchange", "exchange" in options.services)
    _write_state(world, "loaded", True)


def _load_exchange(world: World, options: Options) -> None:
    """Give the company of an older start its Exchange mailboxes, the first time that Exchange is asked for."""
    from engine.sandbox.company import load_exchange

    if _read_state(world, "exchange", False):
        return
    made = _read_state(world, "company")
    if made is not None:
        options = replace(
            options,
            seed=made["seed"],
            users=made["users"],
            counts=made["counts"],
            empty=made["empty"],
            today=date.fromisoformat(made["today"]),
        )
    load_exchange.load(world, _company(options), seed=options.seed, today=options.today)
    _write_state(world, "exchange", True)


# -- addresses -------------------------------------------------------------------------------------------


def _bind(world: World, service: str, wanted: int) -> socket.socket:
    """A socket for ``service``: at the wanted port, else at the last one, else at a free one.

    Raises:
        LaunchError: the wanted port is taken.
    """
    if wanted:
        try:
            return loopback_socket(wanted)
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise LaunchError(
                f"--port-{service}: port {wanted} {why}; name another one, or 0 for a free one"
            ) from None
    last = int(_read_state(world, f"port_{service}", 0))
    if last:
        try:
            return loopback_socket(last)
        except OSError:
            pass
    return loopback_socket()


def _google_addresses(base: str, data_dir: Path, project: str) -> dict[str, Any]:
    return {
        "base_url": base,
        "calendar_url": f"{base}/calendar/v3/",
        "people_url": f"{base}/",
        "tasks_url": f"{base}/",
        "gmail_url": f"{base}/",
        "batch_urls": {
            "calendar": f"{base}/batch/calendar/v3",
            "people": f"{base}/batch",
            "tasks": f"{base}/batch",
            "gmail": f"{base}/batch",
        },
        "token_uri": f"{base}/token",
        "credentials_file": str(data_dir / load_google.CREDENTIALS),
        "project_id": project,
    }


def _salesforce_addresses(base: str, data_dir: Path) -> dict[str, Any]:
    return {
        "base_url": base,
        "token_url": f"{base}/services/oauth2/token",
        "api_version": API_VERSION,
        "client_id": load_salesforce.CLIENT_ID,
        "client_secret_file": str(data_dir / load_salesforce.SECRET_FILE),
        "jwt_client_id": load_salesforce.JWT_CLIENT_ID,
        "jwt_key_file": str(data_dir / load_salesforce.KEY_FILE),
        "username": load_salesforce.USERNAME,
    }


def _exchange_app(world: World) -> Any:
    # Imported when asked for: a start without Exchange need not wait for its XML.
    from engine.sandbox.exchange.app import create_app

    return create_app(world)


def _exchange_addresses(base: str, data_dir: Path) -> dict[str, Any]:
    from engine.sandbox.company import load_exchange

    return {
        "base_url": base,
        "ews_url": f"{base}{load_exchange.PATH}",
        "version": load_exchange.VERSION,
        "domain": load_exchange.DOMAIN,
        "service_account": load_exchange.SERVICE_ACCOUNT,
        "passwords_file": str(data_dir / load_exchange.PASSWORDS),
    }


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees all of it or nothing.

    Raises:
        LaunchError: the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LaunchError(
            f"--ready-file {path}: {error.strerror}; name a file in a folder that can be written"
        ) from None


# -- running ---------------------------------------------------------------------------------------------


async def _watch_parent(stop: asyncio.Event) -> None:
    parent = os.getppid()
    # Nothing tells a process that its parent has ended, except that it then belongs to another one.
    while os.getppid() == parent:  # noqa: ASYNC110
        await asyncio.sleep(PARENT_POLL_SECONDS)
    stop.set()


async def _serve(
    servers: list[tuple[_Server, socket.socket]],
    announce: Callable[[], None],
    watch: bool,
    closing: list[Callable[[], None]],
) -> None:
    """Run the servers until a signal, the parent's end or the failure of one of them."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in servers]
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    helpers: list[asyncio.Task[Any]] = [
        asyncio.create_task(stop.wait()),
        asyncio.create_task(_all_listening([server for server, _ in servers])),
    ]
    if watch:
        helpers.append(asyncio.create_task(_watch_parent(stop)))
    try:
        await asyncio.wait(helpers[:2], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            announce()
            await stop.wait()
    finally:
        for helper in helpers:
            helper.cancel()
        for close in closing:
            close()
        for server, _ in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


async def _all_listening(servers: list[_Server]) -> None:
    for server in servers:
        await server.listening.wait()


def run(options: Options) -> None:
    """Serve until SIGTERM, SIGINT or (when asked) the end of the parent process.

    Writes the ready file and prints the same JSON as one line once all services accept connections; removes the
    ready file at the end, so that nobody takes a dead sandbox for a living one.

    Raises:
        LaunchError: folder, port or ready file cannot be used.
    """
    data_dir = options.data_dir.resolve()
    with _locked(data_dir):
        settings: dict[str, Any] = {"people_lag_seconds": options.people_lag}
        if not options.quota:
            settings["google_quota"] = {"enabled": False}
            settings["exchange_quota"] = {"enabled": False}
            settings["sf_daily_limit"] = 10**9
        world = _open(data_dir, settings)
        try:
            _run_world(world, options, data_dir)
        finally:
            _write_state(world, "clock_offset_ms", world.clock.offset_ms)
            world.db.close()


def _run_world(world: World, options: Options, data_dir: Path) -> None:
    sockets = {service: _bind(world, service, options.ports.get(service, 0)) for service in options.services}
    bases = {service: f"http://127.0.0.1:{sock.getsockname()[1]}" for service, sock in sockets.items()}
    makers: dict[str, Callable[[World], Any]] = {
        "google": google_app,
        "salesforce": salesforce_app,
        "exchange": _exchange_app,
    }
    # The apps come first: making them makes the tables that loading fills.
    apps = {service: makers[service](world) for service in dict.fromkeys((*USUAL, *options.services))}
    _load(world, options)
    ready: dict[str, Any] = {"pid": os.getpid(), "data_dir": str(data_dir)}
    if "google" in bases:
        project = load_google.write_credentials(world, data_dir, f"{bases['google']}/token")
        ready["google"] = _google_addresses(bases["google"], data_dir, project)
    if "salesforce" in bases:
        load_salesforce.write_credentials(world, data_dir)
        ready["salesforce"] = _salesforce_addresses(bases["salesforce"], data_dir)
    if "exchange" in bases:
        from engine.sandbox.company import load_exchange

        _load_exchange(world, options)
        load_exchange.write_credentials(world, data_dir)
        ready["exchange"] = _exchange_addresses(bases["exchange"], data_dir)
    ready["users"] = _read_state(world, "users", [])
    ready["control_url"] = f"{bases[options.services[0]]}/_sandbox"
    servers = []
    for service, sock in sockets.items():
        _write_state(world, f"port_{service}", sock.getsockname()[1])
        app = _Latency(apps[service], options.latency_ms / 1000) if options.latency_ms else apps[service]
        servers.append((_Server(uvicorn_config(app)), sock))
    line = json.dumps(ready, ensure_ascii=False)

    def announce() -> None:
        if options.ready_file:
            write_atomically(options.ready_file, line + "\n")
        print(line, flush=True)

    try:
        asyncio.run(_serve(servers, announce, options.exit_with_parent, world.closing))
    finally:
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)
