"""The sandbox in a process of its own, which can kill an engine at the very moment at which a call of it arrives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.sandbox import __main__ as command
from engine.sandbox.kit import launch
from engine.sandbox.kit.faults import drop, read_all
from engine.sandbox.kit.world import World

#: Of all sandboxes that one process forks: a sandbox makes two in its first start, each a tenth of a second of a core.
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

#: Where a sentence is handed in; only these processes have it, a sandbox has not.
SENTENCE = "/_sentence"

#: What the stories' own clients call themselves: their calls are those of people, not of an engine.
PEOPLE = "people"

#: An engine whose loop sleeps so long has nothing left to send. Less than its heart's beat, which wakes it ten times a second.
_ASLEEP_SECONDS = 0.03


@dataclass(slots=True)
class Sentence:
    """An engine is to be killed by SIGKILL when it makes a certain call.

    Attributes:
        pid: whom.
        calls: at which call that may change something; 1 is the next one.
        when: ``lost`` (before the call is looked at, which then is dropped), ``done`` (before it is carried out in full)
            or ``answered`` (``delay`` seconds after the answer was sent).
        sign: the signal's number. SIGSTOP comes when the engine waits for answers and does nothing else: halted in the
            midst of sending, it would send the rest when it goes on, which no lease can prevent.
        mark: only calls with this text in path or body count, such as ``m:CreateItem``; empty: all.
    """

    pid: int
    calls: int
    when: str
    delay: float = 0.0
    sign: int = signal.SIGKILL
    mark: str = ""

    def strike(self) -> None:
        """Send the signal; the process may have ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, self.sign)

    async def until_it_waits(self) -> None:
        """Wait until the engine's loop has slept for a while: all that it had to send has been sent.

        Only while nobody answers it; otherwise it goes on at any moment.
        """
        before = ""
        with suppress(FileNotFoundError):
            while (now := _switches(self.pid)) != before or not _sleeps(self.pid):
                before = now
                await asyncio.sleep(_ASLEEP_SECONDS)


def _sleeps(pid: int) -> bool:
    """Whether it waits for something, and not for a processor."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "S"


def _switches(pid: int) -> str:
    """How often a process went to sleep and was woken, as the kernel counts it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return status.partition("voluntary_ctxt_switches")[2]


class Court:
    """Middleware of both services: counts an engine's writes and carries the sentence out."""

    def __init__(self) -> None:
        self.sentence: Sentence | None = None
        self._silence = asyncio.Lock()

    def around(self, make: Callable[[World], Any]) -> Callable[[World], Any]:
        """A maker of apps whose apps stand behind this court."""

        def made(world: World) -> ASGIApp:
            app = make(world)

            async def judged(scope: Scope, receive: Receive, send: Send) -> None:
                await self._judge(app, scope, receive, send)

            return judged

        return made

    async def _judge(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        if scope["path"] == SENTENCE:
            body = (await receive()).get("body", b"")
            self.sentence = Sentence(**json.loads(body)) if body else None
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        async with self._silence:
            pass  # nobody is answered meanwhile
        body = b""
        if self.sentence is not None and self.sentence.mark:
            receive, body = await _kept(receive)
        sentence = self._due(scope, body)
        if sentence is None:
            await app(scope, receive, send)
        elif sentence.when == "lost":
            await self._strike(sentence)
            await read_all(receive)
            await drop(scope, receive)
        elif sentence.when == "done":
            whole, _ = await _kept(receive)
            await self._strike(sentence)
            await app(scope, whole, send)
        else:
            await app(scope, receive, send)
            asyncio.get_running_loop().call_later(sentence.delay, sentence.strike)

    async def _strike(self, sentence: Sentence) -> None:
        """Carry the sentence out; nobody is answered while the engine is waited for."""
        async with self._silence:
            if sentence.sign == signal.SIGSTOP:
                await sentence.until_it_waits()
            sentence.strike()

    def _due(self, scope: Scope, body: bytes) -> Sentence | None:
        """The sentence, when this call is the one."""
        sentence = self.sentence
        if sentence is None or scope["method"] == "GET" or scope["path"].endswith("token"):
            return None
        if scope["path"].startswith("/_") or (b"user-agent", PEOPLE.encode()) in scope["headers"]:
            return None
        if sentence.mark not in scope["path"] and sentence.mark.encode() not in body:
            return None
        sentence.calls -= 1
        if sentence.calls > 0:
            return None
        self.sentence = None
        return sentence


async def _kept(receive: Receive) -> tuple[Receive, bytes]:
    """The request's body as it came, to be read although its sender is dead; and its text."""
    messages = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Any:
        return messages.pop(0) if messages else await receive()

    return again, body


def serve(words: Sequence[str], out: Connection, errors: Path) -> None:
    """Run the sandbox's command line; what it prints goes to ``out`` and ``errors``."""
    os.dup2(out.fileno(), 1)
    with errors.open("wb") as file:
        os.dup2(file.fileno(), 2)
    court = Court()
    rsa.generate_private_key = lambda **_: KEY
    launch.google_app = court.around(launch.google_app)
    launch.salesforce_app = court.around(launch.salesforce_app)
    launch._exchange_app = court.around(launch._exchange_app)
    sys.exit(command.main(words))
