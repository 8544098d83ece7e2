"""Runs of CalendarSynchronization whose engine is killed by SIGKILL again and again, and what must be true at the end.

Exchange and Salesforce over real sockets. Some kills come after a random time, the others at a named point: when a write of a kind
arrives at the server, is done, or has been answered. People edit, create and cancel appointments on both sides meanwhile, each
item once, so that the end does not depend on when the engine died: it must be the same for every size of batches.

``python -m tests.acceptance.calendar_kills --operators 200 --appointments 300 --kills 30`` is the size of issue 4.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from random import Random

from tests.acceptance.calendars import NOBODY_MEETS, OFF, Calendars
from tests.acceptance.engine_process import start, start_job
from tests.acceptance.kills import the_ledger_is_well
from tests.acceptance.mailroom import SERVICES, Item
from tests.acceptance.town import TODAY, assert_idle, town

SIZES = (1, 7, 512)

#: The full sync takes nearly nothing, so that the job has all of it to do.
POLICY = (
    """enabled = true
mailbox_deletes = "mirror"
[policies.Demo.calendar]
past_days = 0
future_days = 1
[policies.Demo.delete_safety]
appointments = { count = 50000, percent = 100 }
"""
    + OFF
)

#: Named points: what the call asks for. Nobody has changed anything yet in a first run.
FIRST_POINTS = ("m:SyncFolderItems", "m:CreateItem", "m:GetItem")
POINTS = (*FIRST_POINTS, "/composite", "m:UpdateItem", "m:DeleteItem")

#: When the engine dies of it: the call is lost, is carried out although nobody waits for it, or was answered.
MOMENTS = ("lost", "done", "answered")

#: What people do.
KINDS = (
    "subject",
    "place",
    "made in the CRM",
    "cancelled in the CRM",
    "made in Outlook",
    "cancelled in Outlook",
)

#: A killed engine's lease lasts so long, seconds; another one skips its run until then.
LEASE = 61

#: Seconds after which an engine that neither ends nor is killed is taken for stuck.
PATIENCE = 120.0

#: From here people count days, so that all stories have the same ones.
NOON = datetime.fromisoformat(f"{TODAY}T12:00:00+00:00")

#: An item whose end is nearer than this to an edge of the window may be in or out: time passes in a story, and how much does
#: not decide what people do in it.
NEAR = timedelta(days=2)


@dataclass
class Figures:
    """What a rampage did.

    Attributes:
        kills: by phase and point.
        edits: what people did meanwhile.
        items: items that the runs wrote which ended.
        seconds: how long the runs took, kills included.
        seen: both sides at the end as people see them, a line each.
    """

    kills: Counter[str] = field(default_factory=Counter)
    edits: Counter[str] = field(default_factory=Counter)
    items: int = 0
    seconds: float = 0.0
    seen: list[str] = field(default_factory=list)

    @property
    def end(self) -> str:
        """A digest of both sides at the end."""
        return hashlib.sha256("\n".join(self.seen).encode()).hexdigest()


def rampage(
    folder: Path, seed: int, kills: int, size: int, operators: int = 2, appointments: int = 14
) -> Figures:
    """Kill an engine so often in its runs of the job; everything is there at the end, once, on both sides.

    Raises:
        AssertionError: something is there twice, is missing, or was lost; or somebody was mailed.
    """
    sizes = {**NOBODY_MEETS, "contacts": operators, "appointments": operators * appointments}
    with town(folder, users=operators, sizes=sizes, options=(*SERVICES, "--latency-ms", "2")) as place:
        story = _Story(folder, Calendars(place, now=NOON), Random(seed), size, appointments)
        story.full_sync()
        began = time.monotonic()
        story.first_run(kills // 2)
        story.cast(max(24, kills * 5))
        while story.figures.kills.total() < kills:
            story.killed("later run", busy=True)
        story.last_run()
        story.figures.seconds = time.monotonic() - began
        story.end()
    return story.figures


class _Story:
    def __init__(self, folder: Path, room: Calendars, dice: Random, size: int, appointments: int) -> None:
        self.folder = folder
        self.room = room
        self.place = room.place
        self.dice = dice
        self.size = size
        self.appointments = appointments
        self.ahead_ms = 0
        self.figures = Figures()
        #: What people will do, in order: each item has its own part in it.
        self.work_left: list[tuple[str, str, str, str]] = []
        #: Texts that must stand on both sides by record, records that must be gone, subjects that must be there once.
        self.texts: dict[str, tuple[str, str]] = {}
        self.gone: set[str] = set()
        self.new: dict[str, str] = {}
        config = room.config(POLICY, {"batch_size": size})
        (folder / "demo.toml").write_text(config, encoding="utf-8")

    def full_sync(self) -> None:
        """The first sync makes the mailboxes ready for the job."""
        process = start(self.folder)
        process.join(PATIENCE * 10)
        assert process.exitcode == 0, process.exitcode
        assert_idle(json.loads((self.folder / "report.json").read_text(encoding="utf-8")))
        self.place.reset()

    # -- kills -----------------------------------------------------------------------------------------

    def first_run(self, kills: int) -> None:
        """The first run, killed so often unless it ends before, and then run to its end."""
        while self.figures.kills.total() < kills:
            if not self.killed("first run", busy=False):
                return
        self._ends()

    def last_run(self) -> None:
        """People end their work, and the job does, too."""
        self._work(len(self.work_left))
        self._ends()

    def killed(self, phase: str, *, busy: bool) -> bool:
        """Start a run and have it killed; False when it had ended before."""
        first = not busy
        if busy:
            self._work(2)
        process = start_job(self.folder, self.ahead_ms)
        assert process.pid is not None
        # A part of the writes of a first run, so that a kill seldom comes too late.
        deep = len(self.place.users) * max(self.appointments // self.size, 3) // 3 if first else 1
        mark, when = self.dice.choice(FIRST_POINTS if first else POINTS), self.dice.choice(MOMENTS)
        point = "any"
        try:
            if self.dice.random() < 0.3:
                process.join(self.dice.uniform(0.05, 0.8 + deep * 0.02))
                process.kill()
            else:
                calls = self.dice.randint(1, deep if mark in {"m:CreateItem", "m:GetItem"} else 1)
                self.place.sentence(process.pid, calls, when, self.dice.uniform(0.0, 0.015), mark=mark)
                point = f"{mark.removeprefix('m:')} {when}"
            if busy:
                self._work(1)
            process.join(PATIENCE + len(self.place.users) * self.appointments * 0.05)
            assert process.exitcode is not None, "the engine neither ends nor answers"
        finally:
            process.kill()
            process.join()
            self.place.pardon()
        assert process.exitcode in {0, -9}, f"the engine ended with {process.exitcode}"
        if process.exitcode == 0:
            self._ended_well()
            return False
        self.figures.kills[f"{phase}: {point}"] += 1
        self.place.advance(LEASE)
        self.ahead_ms += LEASE * 1000
        return True

    def _ends(self) -> None:
        """A run that nobody kills."""
        process = start_job(self.folder, self.ahead_ms)
        process.join(PATIENCE + len(self.place.users) * self.appointments * 0.1)
        assert process.exitcode == 0, f"the engine ended with {process.exitcode}"
        self._ended_well()

    def _ended_well(self) -> None:
        run = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        assert (run["result"], run["errors"]) == ("ok", 0), run
        self.figures.items += run["items"]

    # -- people ----------------------------------------------------------------------------------------

    def cast(self, much: int) -> None:
        """Who does what with which appointment ahead, once the first run is over: so many things in all."""
        ours: list[tuple[str, str, str]] = []
        for user in self.place.users:
            for item in self.room.calendar(user):
                if item.record and "Recurrence" not in item.shown and self._ahead(item.shown["End"]):
                    ours.append((item.record, user, item.id))
        ours.sort()
        Random(len(self.place.users)).shuffle(ours)
        # Texts may be changed again and again, each always on the same side; half of the rest is cancelled, half left alone.
        texts, rest = ours[: len(ours) // 3], ours[len(ours) // 3 :]
        leaving = iter(rest[::2])
        places = cycle(texts[::2]), cycle(texts[1::2])
        for number in range(much):
            kind = KINDS[number % len(KINDS)]
            user = self.place.users[number % len(self.place.users)]
            record = identity = ""
            if kind.startswith("cancelled"):
                record, user, identity = next(leaving, ("", "", ""))
                if not record:
                    continue
            elif not kind.startswith("made"):
                record, user, identity = next(places[kind == "place"])
            self.work_left.append((kind, record, user, identity))
        assert {kind for kind, _, _, _ in self.work_left} == set(KINDS), len(ours)

    def _work(self, parts: int) -> None:
        """The next few things that people do."""
        few = parts * 2
        now, self.work_left = self.work_left[:few], self.work_left[few:]
        for kind, record, user, identity in now:
            text = f"{kind} {self.figures.edits.total():05d}"
            self.figures.edits[kind] += 1
            match kind:
                case "subject":
                    self.place.change("Event", record, Subject=text)
                    self.texts[record] = ("Subject", text)
                case "place":
                    self.room.change(user, identity, "CalendarItem", Location=text)
                    self.texts[record] = ("Location", text)
                case "cancelled in the CRM":
                    self.place.remove("Event", record)
                    self.gone.add(record)
                case "cancelled in Outlook":
                    self.room.remove(user, identity)
                    self.gone.add(record)
                case "made in the CRM":
                    self.room.meet(user, text, 5)
                    self.new[text] = user
                case "made in Outlook":
                    self.room.meet_in_outlook(user, text, 6)
                    self.new[text] = user

    # -- the end ---------------------------------------------------------------------------------------

    def end(self) -> None:
        """One more run has nothing to write, and everything is where it should be, once."""
        self.place.reset()
        items = self.figures.items
        self._ends()
        assert self.figures.items == items, "the job is not at rest"
        # What Exchange refuses (an occurrence that would pass its neighbour) is tried again now and then.
        writes = self.room.writes()
        assert writes == {} or self._refused(), (
            f"{writes} of an idle job: {json.loads((self.folder / 'run.json').read_text())}"
        )
        assert self.place.stats()["exchange.mails"] == 0
        shown = {user: self.room.calendar(user) for user in self.place.users}
        rows = {
            row["Id"]: row
            for row in self.place.soql(
                "SELECT Id, OwnerId, Subject, Location, StartDateTime, EndDateTime, IsRecurrence2, IsAllDayEvent, "
                "RecurrenceActivityId, Syncline_Key__c FROM Event"
            )
        }
        by_record: dict[str, Item] = {}
        for user, items_of in shown.items():
            marks = Counter(item.key for item in items_of if item.key)
            assert [mark for mark, count in marks.items() if count > 1] == [], user
            by_record |= {item.record: item for item in items_of if item.key}
            names = Counter(item.shown["Subject"] for item in items_of)
            twice = [text for text, owner in self.new.items() if owner == user and names[text] != 1]
            assert twice == [], (user, twice)
        subjects = Counter(row["Subject"] for row in rows.values())
        assert [text for text in self.new if subjects[text] != 1] == []
        keys = Counter(row["Syncline_Key__c"] for row in rows.values() if row["Syncline_Key__c"])
        assert [key for key, count in keys.items() if count > 1] == []
        assert [record for record in self.gone if record in rows or record in by_record] == []
        for record, (name, text) in self.texts.items():
            assert rows[record][name] == text
            assert by_record[record].shown[name] == text
        lost = [
            row
            for record, row in rows.items()
            if record not in by_record and self._belongs(row) and row["Subject"] not in self.new
        ]
        assert lost == [], f"{len(lost)} not in Outlook, such as {lost[:3]}"
        the_ledger_is_well(self.folder / "data" / "ledger.sqlite", deferred=True)
        self.figures.seen = self._seen(shown, list(rows.values()))

    def _refused(self) -> int:
        """How many changes the providers have refused for good reasons."""
        ledger = sqlite3.connect(self.folder / "data" / "ledger.sqlite")
        try:
            found: int = ledger.execute("SELECT count(*) FROM intent WHERE state = 'failed'").fetchone()[0]
            return found
        finally:
            ledger.close()

    def _ahead(self, end: str) -> bool:
        return _moment(end) > NOON + NEAR

    def _belongs(self, row: dict[str, str]) -> bool:
        """Whether a record of the CRM is surely inside of what the first run takes."""
        if row["RecurrenceActivityId"]:
            return False  # an occurrence lives in its series
        return _moment(row["EndDateTime"]) > NOON - timedelta(days=180) + NEAR

    def _seen(self, shown: dict[str, list[Item]], rows: list[dict[str, str]]) -> list[str]:
        """Both sides as people see them, without ids; without what is in or out by the hour at which a run came to it."""
        edge = NOON - timedelta(days=180)
        names = (
            "Subject",
            "Start",
            "End",
            "Location",
            "IsAllDayEvent",
            "Recurrence",
            "Sensitivity",
            "Categories",
        )
        seen = [
            json.dumps([user, *(item.shown.get(name, "") for name in names)])
            for user, items in shown.items()
            for item in items
            if abs(_moment(item.shown["End"]) - edge) > NEAR
        ]
        columns = ("OwnerId", "Subject", "Location", "StartDateTime", "EndDateTime", "IsAllDayEvent")
        return sorted(seen + [json.dumps([row[name] for name in columns]) for row in rows])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rampages with each size of batches; the exit code is 1 when one lost or doubled something, or the ends differ."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.acceptance.calendar_kills",
        description="Kill an engine in runs of CalendarSynchronization, and look for harm.",
    )
    parser.add_argument("--operators", type=int, default=4, metavar="N")
    parser.add_argument("--appointments", type=int, default=20, metavar="N", help="of each operator")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="with each size of batches")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="of batches")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="each with another seed")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    given = parser.parse_args(arguments)
    status = 0
    for seed in range(given.seed, given.seed + given.rounds):
        ends: dict[str, list[str]] = {}
        for size in given.sizes:
            with tempfile.TemporaryDirectory(prefix="syncline-kills-") as folder:
                found = rampage(Path(folder), seed, given.kills, size, given.operators, given.appointments)
            ends[found.end] = found.seen
            told = {
                "seed": seed,
                "batch_size": size,
                "kills": found.kills.total(),
                "by_phase_and_point": dict(sorted(found.kills.items())),
                "edits": found.edits.total(),
                "seconds": round(found.seconds),
                "end": found.end[:12],
            }
            print(json.dumps(told), flush=True)
        if len(ends) > 1:
            first, *others = (Counter(seen) for seen in ends.values())
            print(f"seed {seed}: the ends differ", flush=True)
            for other in others:
                print(*[f"- {line}" for line in list(first - other)[:10]], sep="\n")
                print(*[f"+ {line}" for line in list(other - first)[:10]], sep="\n", flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
