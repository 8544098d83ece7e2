"""Undo, re-initialise and leave over real servers: by the command line, and through the service while it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.ledger import orders
from engine.service import DropOrder, LeavePolicy, Module, Reinit, Reinitialize, UndoCycle
from tests.acceptance.town import Town, assert_idle, assert_no_doubles, engine, town
from tests.runtime.test_held import at_rest, people
from tui import cli, exits, order_options

SIZES = {
    "contacts": 8,
    "leads": 2,
    "appointments": 3,
    "calls": 0,
    "service_calls": 0,
    "tasks": 2,
    "opportunities": 2,
    "cases": 1,
}

ON = "enabled = true\n[policies.Demo.calendar]\nmode = 'separate'"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=SIZES) as running:
        yield running


class Line:
    """``syncline`` on a data directory."""

    def __init__(self, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data, self._capsys = data, capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        self._capsys.readouterr()
        code = cli.main([*words, "--data-dir", str(self._data)])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return code

    def json(self, *words: str) -> Any:
        assert self(*words, "--json") == exits.OK, self.err
        return json.loads(self.out)


def test_options_name_what_the_engine_names() -> None:
    assert tuple(module.value for module in Module) == order_options.MODULES
    assert tuple(mode.value for mode in Reinit) == order_options.MODES


def titled(place: Town, title: str) -> list[str]:
    """Three contacts of the CRM get a job title; returns their ids."""
    records = {str(row["Id"]) for row in place.soql("SELECT Id FROM Contact")}
    ids = sorted(people(place).keys() & records)[:3]
    for one in ids:
        place.change("Contact", one, Title=title)
    return ids


def titles(place: Town) -> dict[str, str]:
    return {
        key: (person.get("organizations") or [{}])[0].get("title", "") for key, person in people(place).items()
    }


def test_a_cycle_is_listed_previewed_and_undone_by_the_command_line(
    place: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, user = Line(tmp_path / "data", capsys), place.users[0]
    file = tmp_path / "town.toml"
    file.write_text(place.config(policy=ON))
    assert line("apply", str(file)) == exits.OK
    assert line("sync", "--once") == exits.OK
    before = titles(place)
    changed = titled(place, "Undone")
    assert line("sync", "--once") == exits.OK
    assert {key for key, title in titles(place).items() if title == "Undone"} == set(changed)
    edited, *others = sorted(changed)
    person = people(place)[edited]
    place.google(
        user,
        "PATCH",
        f"v1/{person['resourceName']}:updateContact?updatePersonFields=organizations",
        json={"etag": person["etag"], "organizations": [{"title": "Mine", "name": "Acme"}]},
    )

    cycle = next(row for row in line.json("cycles", "--user", user)["cycles"] if row["wrote"])
    assert cycle["counts"]["updated"] == 3
    place.reset()
    preview = line.json("undo", str(cycle["id"]))
    assert preview["counts"] == {"restore": 3}
    assert preview["lines"][0]["fields"][0][0] == "job title"
    assert line("undo", str(cycle["id"]), "--preview") == exits.OK
    assert "Nothing was changed" in line.out
    assert place.writes() == {}, "a preview wrote"

    assert line("undo", str(cycle["id"]), "--yes") == exits.OK, line.err
    assert "of cycle" in line.out
    after = titles(place)
    assert after[edited] == "Mine", "an edit of the person was overwritten"
    assert {key: after[key] for key in others} == {key: before[key] for key in others}
    done = next(row for row in line.json("cycles")["cycles"] if row["kind"] == "undo")
    assert (done["about"], done["counts"], done["left"]) == (cycle["id"], {"updated": 2}, 1)
    assert line("undo", str(cycle["id"]), "--yes") == exits.USAGE
    assert "was undone by cycle" in line.err
    assert line("undo", "99999") == exits.USAGE
    assert "there is no cycle 99999" in line.err
    assert line("sync", "--once") == exits.OK
    assert {key: titles(place)[key] for key in others} == {key: before[key] for key in others}


def calendars(place: Town) -> set[str]:
    """Ids of the person's calendars."""
    found = place.google(place.users[0], "GET", "calendar/v3/users/me/calendarList")
    return {str(row["id"]) for row in found["items"]}


async def test_clear_and_leave_through_the_service(place: Town, tmp_path: Path) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=ON)) as service:
        await service.sync("Demo", "admin")
        contacts = people(place)
        number = await service.clearable([user], ["contact", "lead"])
        assert number == len(contacts)
        answer = await service.do(Reinitialize((user,), Reinit.CLEAR, ("contact", "lead")), "alice")
        assert answer.ok, answer
        await at_rest(service)
        again = people(place)
        assert again.keys() == contacts.keys()
        made = {person["resourceName"] for person in contacts.values()}
        assert not made & {person["resourceName"] for person in again.values()}
        assert_no_doubles(place)
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))

        refused = await service.do(LeavePolicy("Demo"), "alice")
        assert not refused.ok
        assert "turns it off first" in refused.text
        wrong = await service.do(Reinitialize((user,), Reinit.FULL, ("nothing",)), "alice")
        assert not wrong.ok
        assert "appointment" in wrong.text
        assert not (await service.do(UndoCycle(4711), "alice")).ok

        # An order that cannot be carried out blocks nobody for ever: it can be given up.
        first = next(row for row in await service.cycles(user) if row.wrote)
        box = service._office.mailbox_ids[user]
        order = await service._ledger.write(
            orders.ask, box, "Demo", "undo", service.clock.now_ms(), about=first.id
        )
        assert (await service.do(DropOrder(order), "alice")).ok
        assert not (await service.do(DropOrder(order), "alice")).ok
        assert (await service.cycles(user))[0].state == "stopped"


def test_a_mailbox_is_left_cleanly_by_the_command_line(
    place: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line, user = Line(tmp_path / "data", capsys), place.users[0]
    own = place.google(
        user, "POST", "v1/people:createContact", json={"names": [{"givenName": "Mum", "familyName": "Own"}]}
    )
    listed, groups = set(place.labels(user)), set(place.groups(user))
    listed_calendars = calendars(place)
    file = tmp_path / "town.toml"
    file.write_text(place.config(policy=ON))
    assert line("apply", str(file)) == exits.OK
    assert line("sync", "--once") == exits.OK
    assert len(calendars(place)) == len(listed_calendars) + 1
    preview = line("leave", "Demo")
    assert preview == exits.OK, line.err
    number = line.json("leave", "Demo")["remove"]
    assert number == 18
    assert line("leave", "Demo", "--yes", str(number)) == exits.USAGE
    assert "turns it off first" in line.err
    file.write_text(place.config(policy=ON.replace("true", "false")))
    assert line("apply", str(file)) == exits.OK
    assert line("leave", "Demo", "--yes", "3") == exits.USAGE
    assert f"{number} items, not 3" in line.err
    records = place.soql("SELECT Id FROM Contact")
    assert line("leave", "Demo", "--yes", str(number)) == exits.OK, line.err

    assert people(place) == {}
    assert own["resourceName"] in {one["resourceName"] for one in place.contacts(user)}
    assert set(place.labels(user)) == listed
    assert calendars(place) == listed_calendars, line.out
    assert set(place.groups(user)) == groups
    assert records == place.soql("SELECT Id FROM Contact")
    # Enabled again it begins afresh.
    file.write_text(place.config(policy=ON))
    assert line("apply", str(file)) == exits.OK
    assert line("sync", "--once") == exits.OK
    assert len(people(place)) == SIZES["contacts"] + SIZES["leads"]
