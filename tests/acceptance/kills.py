"""An engine that is killed by SIGKILL again and again while people work on both sides, and what must be true at the end.

The engine is a process of its own with its ledger in a file, the providers are real sockets. A third of the kills comes
after a random time, wherever the engine is then; the others come from the server at the moment at which a write of the
engine arrives, is done, or has been answered. ``python -m tests.acceptance.kills --help`` runs as many as one likes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx

from engine.service import Settle, SettleHeld, Waits
from tests.acceptance.engine_process import start
from tests.acceptance.exchange_people import ExchangePeople
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.people import MANY, People
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    engine,
    town,
)
from tests.clocks import AheadClock

#: Deletes of people in the mailbox reach the CRM; more than four contacts at once wait for an admin.
POLICY = """enabled = true
mailbox_deletes = "mirror"
[policies.Demo.delete_safety]
contacts = { count = 4, percent = 100 }
appointments = { count = 500, percent = 100 }
tasks = { count = 500, percent = 100 }
other = { count = 500, percent = 100 }
"""
SIZES = {
    "contacts": 44,
    "leads": 4,
    "appointments": 16,
    "calls": 2,
    "service_calls": 2,
    "tasks": 6,
    "opportunities": 3,
    "cases": 2,
}

#: A little way to the provider, so that there are moments in which a write is under way.
OPTIONS = ("--latency-ms", "4")

MOMENTS = ("any", "lost", "done", "answered", "done", "answered")

#: Seconds until the contact feed shows a change, in every second rampage. The engine's clock runs ahead of the machine's
#: by this for each wait, and a provider refuses a clock that is minutes wrong.
LAG = 10

#: Seconds after which an engine that neither ends nor is killed is taken for stuck.
PATIENCE = 120.0


@dataclass
class Figures:
    """What a rampage did.

    Attributes:
        kills: by phase and moment.
        edits: what people did meanwhile.
        seconds: how long it took.
    """

    kills: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def rampage(folder: Path, seed: int, kills: int, lag: int = 0, *, exchange: bool = False) -> Figures:
    """Kill an engine so often in a new town; everything people wrote is there at the end, once, on both sides.

    Args:
        folder: where town and engine keep their files.
        seed: of all choices.
        kills: how many; a third of them in the first sync.
        lag: seconds until the contact feed shows a change.
        exchange: the mail system is Exchange.

    Raises:
        AssertionError: something is there twice, is missing, or was lost.
    """
    began = time.monotonic()
    more = SERVICES if exchange else ("--people-lag", str(lag))
    with town(folder, sizes=SIZES, options=(*OPTIONS, *more)) as place:
        story = _Story(folder, place, Random(seed), lag, exchange)
        story.first_sync(kills // 3)
        while story.figures.kills.total() < kills:
            story.turn()
        asyncio.run(story.end())
    story.figures.edits = story.people.edits
    story.figures.seconds = time.monotonic() - began
    return story.figures


class _Story:
    def __init__(self, folder: Path, place: Town, dice: Random, lag: int, exchange: bool) -> None:
        self.folder = folder
        self.place = place
        self.dice = dice
        self.lag = lag
        self.ahead_ms = 0
        self.figures = Figures()
        self.turns = 0
        if exchange:
            self.people: People = ExchangePeople(place, dice)
            config = Mailroom(place).config(POLICY, {"batch_size": dice.choice((1, 7, 512))})
        else:
            self.people = People(place, dice)
            config = place.config(policy=POLICY, connection=f"people_lag_seconds = {lag}")
        (folder / "demo.toml").write_text(config, encoding="utf-8")

    # -- kills -----------------------------------------------------------------------------------------

    def run(self, phase: str, *, busy: bool = True, settle: bool = False) -> bool:
        """Start an engine and have it killed; False when it had ended its cycle before."""
        moment = self.dice.choice(MOMENTS)
        process = start(self.folder, self.ahead_ms, settle=settle)
        assert process.pid is not None
        try:
            if moment == "any":
                process.join(self.dice.uniform(0.05, 0.9))
                process.kill()
            else:
                calls = self.dice.randint(1, 6 if busy else 3)
                self.place.sentence(process.pid, calls, moment, self.dice.uniform(0.0, 0.015))
                if phase != "first sync":
                    self.people.work()
            process.join(PATIENCE)
            assert process.exitcode is not None, "the engine neither ends nor answers"
        finally:
            process.kill()
            process.join()
            self.place.pardon()
        assert process.exitcode in {0, -9}, f"the engine ended with {process.exitcode}"
        if process.exitcode == 0:
            return False
        self.figures.kills[f"{phase}: {moment}"] += 1
        return True

    def first_sync(self, kills: int) -> None:
        """The first sync, killed so often, then run to its end."""
        while self.figures.kills.total() < kills and self.run("first sync", busy=False):
            pass
        self.settled()
        if self.lag:  # what was under way at a kill is looked for when the lag is over
            self.later()
            self.settled()
            self.later()
        self.people.cast()

    def turn(self) -> None:
        """One more kill while people work."""
        self.turns += 1
        if self.turns % 8 == 4 and len(self.people.pools["many"]) >= MANY:
            self.people.remove_many()
        if self.lag and self.dice.random() < 0.3:
            self.later()
        self.people.work()
        self.run("deletes approved" if self.turns % 8 > 5 else "edits", settle=self.turns % 8 > 5)

    def later(self) -> None:
        """Time passes until the contact feed shows everything."""
        self.place.advance(self.lag + 1)
        self.ahead_ms += (self.lag + 1) * 1000

    def settled(self) -> None:
        """Let the engine end its work."""
        process = start(self.folder, self.ahead_ms)
        process.join(PATIENCE)
        assert process.exitcode == 0, f"the engine ended with {process.exitcode}"

    # -- the end ---------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Let the engine end its work, then look at everything."""
        clock = AheadClock(self.ahead_ms)
        async with engine(self.folder, None, clock=clock) as service:
            for _ in range(8):
                report = await service.sync("Demo", "test")
                for mailbox in {row.mailbox for row in await service.waiting() if row.kind is Waits.DELETE}:
                    await service.do(SettleHeld(mailbox, None, Settle.APPROVE), "test")
                if self.lag:
                    self.later()
                    clock.ahead_ms = self.ahead_ms
                self.place.reset()
                report = await service.sync("Demo", "test")
                waiting = [row for row in await service.waiting() if row.kind is not Waits.TWIN]
                if report["totals"]["writes"] == 0 and not waiting:
                    break
            assert not waiting, waiting
            unwell = [
                f"{user['email']}: {user['state']}, {user['text']}" for user in report["users"] if user["text"]
            ]
            assert not unwell, unwell
            assert_idle(report)
            assert not self.people.writes(), self.people.writes()
            await assert_all_green(service)
        self.people.assert_no_harm()
        self.people.assert_nothing_is_lost()
        the_ledger_is_well(self.folder / "data" / "ledger.sqlite")


def the_ledger_is_well(path: Path, *, deferred: bool = False) -> None:
    """It is whole, and nothing is under way or left to do but what is ``deferred`` to a full sync."""
    ledger = sqlite3.connect(path)
    try:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ledger.execute("PRAGMA foreign_key_check").fetchall() == []
        states = ledger.execute(
            "SELECT count(*) FROM intent WHERE state IN ('in_flight', 'unknown', 'planned')"
        )
        assert states.fetchone() == (0,)
        if not deferred:
            assert ledger.execute("SELECT count(*) FROM dirty").fetchone() == (0,)
    finally:
        ledger.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rampages until so many engines have been killed; the exit code is 1 when one lost or doubled something."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.kills",
        description="Kill an engine again and again, and look for harm.",
    )
    parser.add_argument("--kills", type=_whole, default=1000, metavar="N", help="how many kills")
    parser.add_argument("--seed", type=_whole, default=1000, metavar="S", help="seed of the first rampage")
    parser.add_argument("--each", type=_whole, default=25, metavar="N", help="kills of one rampage")
    parser.add_argument("--minutes", type=_whole, metavar="M", help="begin no rampage after so many minutes")
    parser.add_argument("--exchange", action="store_true", help="the mail system is Exchange, not Google")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    total, failed, seed = Figures(), [], given.seed
    while total.kills.total() < given.kills and not (
        given.minutes is not None and time.monotonic() - began > given.minutes * 60
    ):
        with tempfile.TemporaryDirectory() as folder:
            try:
                lag = 0 if given.exchange else LAG * (seed % 2)
                found = rampage(Path(folder), seed, given.each, lag=lag, exchange=given.exchange)
            except (AssertionError, httpx.HTTPError, ExceptionGroup) as error:
                failed.append(seed)
                print(f"seed {seed}: " + "".join(traceback.format_exception(error)), flush=True)
            else:
                total.kills += found.kills
                total.edits += found.edits
                print(f"seed {seed}: {found.kills.total()} kills in {found.seconds:.0f} s", flush=True)
        seed += 1
        if len(failed) >= 10:
            break
    figures = {
        "kills": total.kills.total(),
        "by_phase_and_moment": dict(sorted(total.kills.items())),
        "edits": dict(sorted(total.edits.items())),
        "rampages": seed - given.seed,
        "failed_seeds": failed,
        "seconds": round(time.monotonic() - began),
    }
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    return 1 if failed else 0


def _whole(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed; a whole number from 1 to 10000000 is")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
