"""Many mails dropped at once over many mailboxes, while the engine is killed: each is filed once, with few calls.

``python -m tests.acceptance.filing_kills --system exchange --mailboxes 50 --mails 1000 --kills 2`` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from tests.acceptance.engine_process import start, start_check
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.mails import deliver, letter, messages, record_labels
from tests.acceptance.town import Town, assert_idle, town

#: Enough opportunities that every mailbox has one.
SIZES = {
    "contacts": 60, "leads": 0, "appointments": 0, "calls": 0, "service_calls": 0, "tasks": 0, "cases": 0,
}  # fmt: skip

MOMENTS = ("lost", "done", "answered")

#: Seconds after which an engine that neither ends nor is killed is taken for stuck.
PATIENCE = 240.0

#: Heads and whole mails are fetched fifty at a time, files stored 25 at a time.
BATCH, FILES = 50, 25


@dataclass
class Figures:
    """What a run did.

    Attributes:
        calls: to both providers, without those for tokens.
        floor: the fewest calls that could do it; each life of the engine has to ask every mailbox once.
        twice, missing: mails that stand in the CRM twice, or not at all.
    """

    mailboxes: int
    mails: int
    kills: int
    calls: int
    floor: int
    ratio: float
    seconds: float
    twice: int
    missing: int
    files: int


def rampage(
    folder: Path, *, mailboxes: int, mails: int, kills: int, seed: int = 1, system: str = "google"
) -> Figures:
    """Drop, kill, look."""
    dice = Random(seed)
    exchange = system == "exchange"
    with town(
        folder / "town",
        users=mailboxes,
        sizes=SIZES | {"opportunities": mailboxes * 3},
        options=SERVICES if exchange else (),
    ) as place:
        room = Mailroom(place)
        config = room.config("enabled = true") if exchange else place.config(policy="enabled = true")
        (folder / "demo.toml").write_text(config, encoding="utf-8")
        process = start(folder)
        process.join(PATIENCE)
        assert process.exitcode == 0
        assert_idle(json.loads((folder / "report.json").read_text(encoding="utf-8")))
        _finish(folder)  # the first check takes the cursors
        if exchange:
            _finish(folder)  # and the second knows what lies in the folders
        dropped = _drop(place, mails, room if exchange else None)
        place.reset()
        began = time.monotonic()
        for number in range(kills):
            process = start_check(folder)
            # Spread over the work; each mailbox makes some six calls that may change something.
            at = dice.randint(1, max(mailboxes * 6 // (kills + 1), 1)) + number
            place.sentence(process.pid or 0, at, dice.choice(MOMENTS), dice.random() / 50)
            process.join(PATIENCE)
            assert process.exitcode in (0, -9), process.exitcode
        place.pardon()
        _finish(folder)
        seconds = time.monotonic() - began
        stats = place.stats()
        _finish(folder)  # nothing is left to do
        found = Counter(row["MessageIdentifier"] for row in messages(place))
        stored = place.soql("SELECT Id, Syncline_Key__c FROM ContentVersion")
        assert len({row["Syncline_Key__c"] for row in stored}) == len(stored)
        calls = (
            sum(
                count
                for name, count in stats.items()
                if name in ("google.http", "exchange.http")
                or (name.startswith("salesforce.") and name != "salesforce.logins")
            )
            - stats["google.token"]
        )
        # Gmail's history tells which mails lie where; at Exchange the folders that have changed are listed.
        floor = _floor(dropped, kills + 1, listing=int(exchange))
        return Figures(
            mailboxes,
            mails,
            kills,
            calls,
            floor,
            round(calls / floor, 3),
            round(seconds, 1),
            sum(1 for count in found.values() if count > 1),
            len(set().union(*dropped.values()) - found.keys()),
            len(stored),
        )


def _finish(folder: Path) -> None:
    process = start_check(folder)
    process.join(PATIENCE)
    assert process.exitcode == 0, process.exitcode
    runs = json.loads((folder / "checked.json").read_text(encoding="utf-8"))
    assert [run for run in runs if run[0] != "ok"] == []


def _drop(place: Town, mails: int, room: Mailroom | None) -> dict[str, set[str]]:
    """Mails with a file each, put under drop labels or into drop folders in turn; Message-IDs by mailbox."""
    labels = {
        user: sorted((record_labels(place, user) if room is None else room.record_folders(user)).values())
        for user in place.users
    }
    users = [user for user in place.users if labels[user]]
    assert users, "nobody has a drop label"
    dropped: dict[str, set[str]] = {user: set() for user in place.users}
    for number in range(mails):
        user = users[number % len(users)]
        raw = letter(f"Mail {number}", to=user, files=[(f"{number}.txt", str(number).encode())])
        drop = labels[user][number // len(users) % len(labels[user])]
        if room is None:
            deliver(place, user, raw, "INBOX", drop)
        else:
            room.deliver(user, raw, drop)
        dropped[user].add(f"Mail.{number}@customer.example")
    return dropped


def _floor(dropped: dict[str, set[str]], lives: int, listing: int) -> int:
    """Per life and mailbox one look at the history or the folders; where there are mails, what lists them, heads, mails,
    people, e-mails and files in batches. The names of the labels come along."""
    work = 0
    for those in dropped.values():
        if those:
            batches = math.ceil(len(those) / BATCH)
            work += listing + 4 * batches + math.ceil(len(those) / FILES)
    return lives * len(dropped) + work


def main(arguments: Sequence[str] | None = None) -> int:
    """Run once and print the figures as JSON; exit code 1 when a mail is missing or stands there twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.filing_kills", description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=50)
    parser.add_argument("--mails", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--system", choices=("google", "exchange"), default="google")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        figures = rampage(
            Path(folder),
            mailboxes=given.mailboxes,
            mails=given.mails,
            kills=given.kills,
            seed=given.seed,
            system=given.system,
        )
    print(json.dumps(asdict(figures)))
    return 1 if figures.twice or figures.missing else 0


if __name__ == "__main__":
    sys.exit(main())
