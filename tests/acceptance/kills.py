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
from typing import Any

import httpx

from engine.service import Settle, SettleHeld, Waits
from tests.acceptance.engine_process import AheadClock, start
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    assert_no_doubles,
    day,
    engine,
    town,
)

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

#: Contacts that go at once, more than the policy lets go without an admin.
MANY = 6

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


@dataclass
class Wanted:
    """What people have written, and so must be there at the end.

    Attributes:
        crm: value by (object, id, field) as the CRM must show it.
        mailbox: text that the mailbox's item of a CRM record must show, by (record, field).
        gone: CRM ids that must be gone on both sides.
        names: family names and subjects that must be on both sides exactly once.
    """

    crm: dict[tuple[str, str, str], str] = field(default_factory=dict)
    mailbox: dict[tuple[str, str], str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def rampage(folder: Path, seed: int, kills: int, lag: int = 0) -> Figures:
    """Kill an engine so often in a new town; everything people wrote is there at the end, once, on both sides.

    Args:
        folder: where town and engine keep their files.
        seed: of all choices.
        kills: how many; a third of them in the first sync.
        lag: seconds until the contact feed shows a change.

    Raises:
        AssertionError: something is there twice, is missing, or was lost.
    """
    began = time.monotonic()
    with town(folder, sizes=SIZES, options=(*OPTIONS, "--people-lag", str(lag))) as place:
        story = _Story(folder, place, Random(seed), lag)
        story.first_sync(kills // 3)
        while story.figures.kills.total() < kills:
            story.turn()
        asyncio.run(story.end())
    story.figures.seconds = time.monotonic() - began
    return story.figures


class _Story:
    def __init__(self, folder: Path, place: Town, dice: Random, lag: int) -> None:
        self.folder = folder
        self.place = place
        self.dice = dice
        self.lag = lag
        self.ahead_ms = 0
        self.figures = Figures()
        self.wanted = Wanted()
        self.turns = 0
        #: CRM ids by what people do with them; ids in ``mailbox`` name the item there.
        self.pools: dict[str, list[str]] = {}
        self.resources: dict[str, tuple[str, str]] = {}
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
                    self.people_work()
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
        self._cast()

    def turn(self) -> None:
        """One more kill while people work."""
        self.turns += 1
        if self.turns % 8 == 4 and len(self.pools["many"]) >= MANY:
            for record in self.pools["many"][:MANY]:
                self._crm_removes("Contact", record)
            del self.pools["many"][:MANY]
            self.figures.edits["held deletes"] += MANY
        if self.lag and self.dice.random() < 0.3:
            self.later()
        self.people_work()
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

    # -- people ----------------------------------------------------------------------------------------

    def _cast(self) -> None:
        """Who does what with which item: what one side edits, the other leaves alone, so that each edit must stay."""
        contacts: list[str] = []
        events: list[str] = []
        for user in self.place.users:
            for person in self.place.contacts(user):
                for entry in person.get("clientData", []):
                    if entry["key"] == "syncline_key" and entry["value"].startswith("c.003"):
                        record = entry["value"].split(".")[1]
                        self.resources[record] = (user, person["resourceName"])
                        contacts.append(record)
            for event in self.place.events(user):
                key = event.get("extendedProperties", {}).get("private", {}).get("syncline_key", "")
                if key.startswith("c.00U") and not {"recurrence", "recurringEventId"} & event.keys():
                    record = key.split(".")[1]
                    self.resources[record] = (user, event["id"])
                    events.append(record)
        contacts.sort()
        events.sort()
        self.dice.shuffle(contacts)
        self.dice.shuffle(events)
        self.pools["edit"] = contacts[:10]
        self.pools["delete in the CRM"] = contacts[10:15]
        self.pools["delete in the mailbox"] = contacts[15:20]
        self.pools["many"] = contacts[20:]
        self.pools["events"] = events[:5]
        self.pools["delete events"] = events[5:]

    def people_work(self) -> None:
        """A few edits, creates and deletes on both sides."""
        works = (
            self._edit_in_crm,
            self._edit_in_mailbox,
            self._edit_event,
            self._create_in_crm,
            self._create_in_mailbox,
            self._delete,
        )
        for work in self.dice.sample(works, 3):
            work()

    def _number(self) -> str:
        number = self.figures.edits.total()
        return f"{number:05d}"

    def _edit_in_crm(self) -> None:
        record = self.dice.choice(self.pools["edit"])
        title = f"Head of {self._number()}"
        self.place.change("Contact", record, Title=title)
        self.wanted.crm["Contact", record, "Title"] = self.wanted.mailbox[record, "title"] = title
        self.figures.edits["contact edited in the CRM"] += 1

    def _edit_in_mailbox(self) -> None:
        record = self.dice.choice(self.pools["edit"])
        user, resource = self.resources[record]
        phone = f"+49 30 901{self._number()}"

        def write() -> None:
            person = self.place.contact(user, resource)
            phones = [{"type": "work", "value": phone}]
            self.place.google(
                user,
                "PATCH",
                f"v1/{resource}:updateContact",
                params={"updatePersonFields": "phoneNumbers"},
                json={"etag": person["etag"], "phoneNumbers": phones},
            )

        _again(write)
        self.wanted.crm["Contact", record, "Phone"] = self.wanted.mailbox[record, "phone"] = phone
        self.figures.edits["contact edited in the mailbox"] += 1

    def _edit_event(self) -> None:
        record = self.dice.choice(self.pools["events"])
        user, event = self.resources[record]
        number = self._number()
        if self.dice.random() < 0.5:
            self.place.change("Event", record, Subject=f"Visit {number}")
            self.wanted.crm["Event", record, "Subject"] = self.wanted.mailbox[record, "summary"] = (
                f"Visit {number}"
            )
        else:
            path = f"calendar/v3/calendars/primary/events/{event}"
            self.place.google(user, "PATCH", path, json={"location": f"Room {number}"})
            self.wanted.crm["Event", record, "Location"] = self.wanted.mailbox[record, "location"] = (
                f"Room {number}"
            )
        self.figures.edits["appointment edited"] += 1

    def _create_in_crm(self) -> None:
        owner = self.place.crm_user(self.dice.choice(self.place.users))
        name = f"Alt{self._number()}"
        if self.dice.random() < 0.5:
            self.place.crm("POST", "sobjects/Contact", json={"LastName": name, "OwnerId": owner})
        else:
            start_at = f"{day(self.dice.randint(2, 20))}T09:00:00Z"
            body = {"Subject": name, "StartDateTime": start_at, "DurationInMinutes": 30, "OwnerId": owner}
            self.place.crm("POST", "sobjects/Event", json=body)
        self.wanted.names.add(name)
        self.figures.edits["created in the CRM"] += 1

    def _create_in_mailbox(self) -> None:
        user = self.dice.choice(self.place.users)
        name = f"Neu{self._number()}"
        group = self.place.groups(user)["CRM Contacts"]
        member = {"contactGroupMembership": {"contactGroupResourceName": group}}
        body = {"names": [{"familyName": name}], "memberships": [member]}
        self.place.google(user, "POST", "v1/people:createContact", json=body)
        self.wanted.names.add(name)
        self.figures.edits["created in the mailbox"] += 1

    def _delete(self) -> None:
        what = self.dice.choice(("delete in the CRM", "delete in the mailbox", "delete events"))
        if not self.pools[what]:
            return
        record = self.pools[what].pop()
        user, resource = self.resources[record]
        if what == "delete in the CRM":
            self._crm_removes("Contact", record)
        elif what == "delete in the mailbox":
            self.place.google(user, "DELETE", f"v1/{resource}:deleteContact")
        elif self.dice.random() < 0.5:
            self._crm_removes("Event", record)
        else:
            self.place.google(user, "DELETE", f"calendar/v3/calendars/primary/events/{resource}")
        self.wanted.gone.add(record)
        self.figures.edits["deleted"] += 1

    def _crm_removes(self, name: str, record: str) -> None:
        self.place.remove(name, record)
        self.wanted.gone.add(record)

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
            assert not self.place.writes(), self.place.writes()
            await assert_all_green(service)
        assert self.place.stats()["google.mails"] == 0
        assert_no_doubles(self.place)
        self._nothing_is_lost()
        _the_ledger_is_well(self.folder / "data" / "ledger.sqlite")

    def _nothing_is_lost(self) -> None:
        rows: dict[str, dict[str, Any]] = {}
        for question in (
            "SELECT Id, LastName, Title, Phone FROM Contact",
            "SELECT Id, Subject, Location FROM Event",
        ):
            rows |= {row["Id"]: row for row in self.place.soql(question)}
        shown: dict[str, str] = {}
        names: Counter[str] = Counter()
        for user in self.place.users:
            for item in [*self.place.contacts(user), *self.place.events(user)]:
                text = json.dumps(item)
                name = item.get("summary") or next(
                    (one.get("familyName", "") for one in item.get("names", [])), ""
                )
                names[name] += 1
                for record in self.resources:
                    if f"c.{record}." in text:
                        shown[record] = text
        lost = [
            f"{what}: {rows.get(what[1], {}).get(what[2])!r}, not {value!r}"
            for what, value in self.wanted.crm.items()
            if rows.get(what[1], {}).get(what[2]) != value
        ]
        lost += [
            f"{what} in the mailbox: not {value!r}"
            for what, value in self.wanted.mailbox.items()
            if value not in shown.get(what[0], "")
        ]
        lost += [
            f"{record} was deleted and is there" for record in self.wanted.gone if {record} & {*rows, *shown}
        ]
        there = Counter(row.get("LastName") or row.get("Subject") for row in rows.values())
        lost += [
            f"{name}: {there[name]} in the CRM, {names[name]} in the mailboxes"
            for name in self.wanted.names
            if there[name] != 1 or names[name] != 1
        ]
        assert not lost, lost


def _again(write: Any) -> None:
    """A person who meets an edit of somebody else looks again and repeats."""
    for _ in range(8):
        try:
            return write()
        except AssertionError as error:
            if ": 400 " not in str(error) and ": 412 " not in str(error):
                raise
    raise AssertionError("a person could not write for conflicts")


def _the_ledger_is_well(path: Path) -> None:
    ledger = sqlite3.connect(path)
    try:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ledger.execute("PRAGMA foreign_key_check").fetchall() == []
        states = ledger.execute(
            "SELECT count(*) FROM intent WHERE state IN ('in_flight', 'unknown', 'planned')"
        )
        assert states.fetchone() == (0,)
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
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    total, failed, seed = Figures(), [], given.seed
    while total.kills.total() < given.kills and not (
        given.minutes is not None and time.monotonic() - began > given.minutes * 60
    ):
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = rampage(Path(folder), seed, given.each, lag=LAG * (seed % 2))
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
