"""The engine is killed while it takes a mail out of the CRM: out comes that mail, once, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.desks import OPTIONS, Desk, desk
from tests.acceptance.engine_process import start, start_check
from tests.acceptance.mails import files, letter, messages, opportunity
from tests.acceptance.town import Town, assert_idle, town

SIZES = dict.fromkeys(("contacts", "leads", "appointments", "calls", "service_calls", "tasks", "cases"), 0)
SIZES |= {"opportunities": 3}

POLICY = "enabled = true\nmail = { unfile = true }"

#: In the path of the call that deletes e-mails of the CRM.
PATH = "composite/sobjects"

#: Named points of the engine's work on one and the same delete: what the server does with the call, or the ledger's unit that is
#: not committed; then how many e-mails of the mail stand in the CRM at that moment.
POINTS = {
    "before the write": ("lost", "", 1),
    "after the write, before its answer": ("done", "", 0),
    "after the answer, before the ledger's commit": ("", "change unfiled", 0),
}

#: Seconds after which an engine that neither ends nor is killed is taken for stuck.
PATIENCE = 60.0


@dataclass(frozen=True)
class Scene:
    """A town with one mailbox, and the engine's files beside it."""

    folder: Path
    place: Town
    people: Desk

    def check(self) -> None:
        """A life of the engine with one drop-label check, which ends well."""
        process = start_check(self.folder)
        process.join(PATIENCE)
        assert process.exitcode == 0, process.exitcode
        runs = json.loads((self.folder / "checked.json").read_text(encoding="utf-8"))
        assert [run for run in runs if run[0] != "ok"] == []

    def killed(self, point: str) -> None:
        """A life of the engine that ends at a named point."""
        moment, unit, _ = POINTS[point]
        process = start_check(self.folder, unit)
        if moment:
            self.place.sentence(process.pid or 0, 1, moment, mark=PATH)
        process.join(PATIENCE)
        assert process.exitcode == -9, process.exitcode

    def standing(self) -> Counter[tuple[str, str]]:
        """E-mails in the CRM by subject and record."""
        return Counter((row["Subject"], row["RelatedToId"]) for row in messages(self.place))

    def states(self, subject: str) -> list[str]:
        """States of the rows of a mail in the ledger's file, as the dead engine left them."""
        with closing(sqlite3.connect(self.folder / "data" / "ledger.sqlite")) as file:
            rows = file.execute("SELECT state FROM filing WHERE subject = ? ORDER BY id", (subject,))
            return [str(state) for (state,) in rows]


@pytest.mark.parametrize("system", ["google", "exchange"])
def test_mails_are_taken_out_once_wherever_the_engine_is_killed(tmp_path: Path, system: str) -> None:
    with town(tmp_path / "town", users=1, sizes=SIZES, options=OPTIONS[system]) as place:
        scene = Scene(tmp_path, place, desk(place, system))
        people, [user] = scene.people, place.users
        (tmp_path / "demo.toml").write_text(people.config(POLICY), encoding="utf-8")
        process = start(tmp_path)
        process.join(PATIENCE)
        assert_idle(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))
        for _ in range(2 if system == "exchange" else 1):
            scene.check()
        (name, first), (other, second) = sorted(people.records(user).items())[:2]
        one, two = opportunity(place, name), opportunity(place, other)
        mails = {
            subject: people.drop(user, letter(subject), first) for subject in ("Gone", "Soon back", "Back")
        }
        mails["Both"] = people.drop(user, letter("Both"), first, second)
        people.drop(user, letter("Stays", files=[("plan.txt", b"the plan")]), first)
        scene.check()
        left = Counter(dict.fromkeys([*((subject, one) for subject in (*mails, "Stays")), ("Both", two)], 1))
        assert scene.standing() == left

        away = {subject: people.take(user, mail, first) for subject, mail in mails.items()}
        for point, (_, _, stands) in POINTS.items():
            scene.killed(point)
            assert (scene.standing()["Gone", one], scene.states("Gone")) == (stands, ["unfiling"])
            if point == "before the write":
                people.put(user, away["Soon back"], first)
        # Who changes his mind while the engine is dead finds his mail in the CRM.
        people.put(user, away["Back"], first)
        place.reset()
        scene.check()
        del left["Gone", one], left["Both", one]
        assert scene.standing() == left
        assert scene.states("Gone") == ["unfiled"]
        assert sorted(scene.states("Both")) == ["filed", "unfiled"]
        assert [n for name, n in place.stats().items() if name.startswith("salesforce.DELETE")] == [1]
        (kept,) = messages(place, "Subject = 'Stays'")
        assert files(place, kept["Id"]) == {"plan.txt": b"the plan"}
