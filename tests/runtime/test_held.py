"""What waits for an admin, settled over real servers: through the service while it runs, and by the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger.schema import audit
from engine.ledger.waiting import Waiting
from engine.runtime.held import held_row
from engine.service import JobState, Service, ServiceError, Settle, SettleHeld, UserState, Waits
from tests.acceptance.town import Town, assert_idle, assert_no_doubles, engine, memberships, town
from tui import cli, exits, printing

SIZES = {
    "contacts": 12,
    "leads": 0,
    "appointments": 3,
    "calls": 0,
    "service_calls": 0,
    "tasks": 0,
    "opportunities": 0,
    "cases": 0,
}

POLICY = "enabled = true\n[policies.Demo.delete_safety]\ncontacts = { count = 2, percent = 100 }"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=SIZES) as running:
        yield running


def people(place: Town) -> dict[str, dict[str, Any]]:
    """Our contacts of the mailbox by the CRM's id."""
    found = {}
    for person in place.contacts(place.users[0]):
        for entry in person.get("clientData", []):
            if entry["key"] == "syncline_key":
                found[entry["value"].split(".")[1]] = person
    return found


def own_contact(place: Town, **fields: Any) -> str:
    """A contact that the person made, outside our groups."""
    made = place.google(place.users[0], "POST", "v1/people:createContact", json=fields)
    return str(made["resourceName"])


def new_contact(place: Town, **fields: Any) -> str:
    """A contact that the person's colleague made in the CRM."""
    fields |= {"OwnerId": place.crm_user(place.users[0])}
    return str(place.crm("POST", "sobjects/Contact", json=fields)["id"])


async def at_rest(service: Service) -> None:
    """Wait until no job runs."""
    async with asyncio.timeout(20):
        while any(row.state is JobState.RUNNING for row in service.store.jobs.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_held_deletes_are_settled_while_the_engine_runs(place: Town, tmp_path: Path) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=POLICY)) as service:
        await service.sync("Demo", "admin")
        before = people(place)
        gone = sorted(before)[:4]
        for one in gone:
            place.remove("Contact", one)
        report = await service.sync("Demo", "admin")
        counts = report["users"][0]["modules"]["contact"]
        assert counts["held"] == 4
        assert counts["unchanged"] == len(before) - 4
        rows = await service.waiting(user)
        assert [(row.kind, row.module, row.side) for row in rows] == [(Waits.DELETE, "contact", "mailbox")] * 4
        assert all(row.name and row.reason and row.since_ms and row.before for row in rows)
        assert rows == await service.waiting(policy="Demo") == await service.waiting()
        assert len(service.what_happens(SettleHeld(user, (rows[0].id,), Settle.APPROVE))) == 2

        wrong = await service.do(SettleHeld(user, (rows[0].id, 99_999), Settle.BOTH), "alice")
        assert not wrong.ok
        assert "approve or discard" in wrong.text
        assert "99999 does not wait" in wrong.details[0]

        kept = await service.do(SettleHeld(user, (rows[0].id,), Settle.DISCARD), "alice")
        assert kept.ok, kept
        assert "1 delete given up" in kept.text
        assert service.store.users[user].held == 3
        approved = await service.do(SettleHeld(user, None, Settle.APPROVE), "alice")
        assert approved.ok, approved
        assert "3 deletes let through; full sync" in approved.text
        await at_rest(service)
        assert service.store.users[user].held == service.store.policies["Demo"].held == 0
        assert service.store.users[user].state is UserState.IDLE
        left = set(people(place))
        assert len(left) == len(before) - 3
        assert left & set(gone)
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        assert place.writes() == {}
        again = await service.do(SettleHeld(user, None, Settle.APPROVE), "alice")
        assert not again.ok
        assert "no delete waits" in again.text

        def audited(connection: sa.Connection) -> list[tuple[str, str, str]]:
            query = sa.select(audit).where(audit.c.command == "SettleHeld").order_by(audit.c.id)
            return [(row.actor, row.object, row.result) for row in connection.execute(query)]

        told = await service._ledger.read(audited)
        assert [(actor, target) for actor, target, _ in told] == [("alice", user)] * 4
        assert told[1][2] == kept.text


async def test_nothing_is_settled_while_a_cycle_runs(place: Town, tmp_path: Path) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=POLICY)) as service:
        await service.sync("Demo", "admin")
        for one in sorted(people(place))[:4]:
            place.remove("Contact", one)
        await service.sync("Demo", "admin")
        place.fault({"service": "google", "kind": "latency", "seconds": 0.5, "times": 4})
        cycle = asyncio.create_task(service.sync("Demo", "admin"))
        async with asyncio.timeout(20):
            while user not in service._office.queue.running():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        answer = await service.do(SettleHeld(user, None, Settle.APPROVE), "alice")
        assert not answer.ok
        assert "is running; try again when it has ended" in answer.text
        place.mend()
        await cycle
        assert len(await service.waiting(user)) == 4
        assert (await service.do(SettleHeld(user, None, Settle.APPROVE), "alice")).ok
        await at_rest(service)
        assert await service.waiting(user) == []


async def test_an_own_contact_of_a_real_mailbox_becomes_the_twin(place: Town, tmp_path: Path) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=POLICY)) as service:
        await service.sync("Demo", "admin")
        own = own_contact(
            place,
            names=[{"givenName": "Zoe", "familyName": "Zimmer"}],
            emailAddresses=[{"value": "zoe@twin.example"}],
            phoneNumbers=[{"value": "+49 30 1234567", "type": "mobile"}],
            nicknames=[{"value": "Zozo"}],
        )
        record = new_contact(place, FirstName="Zoe", LastName="Zimmer", Email="zoe@twin.example", Title="Boss")
        await service.sync("Demo", "admin")
        [row] = await service.waiting(user)
        assert (row.kind, row.name, row.side) == (Waits.TWIN, "Zoe Zimmer", "crm")
        assert dict(row.before)["job title"] == "Boss"
        answer = await service.do(SettleHeld(user, (row.id,), Settle.ADOPT), "alice")
        assert answer.ok, answer
        await at_rest(service)
        person = place.google(
            user,
            "GET",
            f"v1/{own}",
            params={"personFields": "names,organizations,phoneNumbers,nicknames,memberships"},
        )
        assert person["organizations"][0]["title"] == "Boss"
        assert person["nicknames"][0]["value"] == "Zozo"
        [found] = place.soql(f"SELECT MobilePhone FROM Contact WHERE Id = '{record}'")
        assert found["MobilePhone"]
        assert memberships(person)
        assert await service.waiting(user) == []
        zoes = [one for one in place.contacts(user) if "zoe@twin.example" in str(one)]
        assert len(zoes) == 1
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        assert place.writes() == {}
        assert_no_doubles(place)
        with pytest.raises(ServiceError, match="no user"):
            await service.waiting("nobody@x.example")


def test_a_private_item_is_named_by_its_kind_only() -> None:
    fields = {"subject": "Surgery", "location": "Ward 3", "start": {"date": "2026-12-01"}, "private": True}
    row = held_row(Waiting(1, 1, "twin", "appointment", "crm", fields, "why", 5), "ann@x.example", "Demo")
    assert (row.name, row.before) == ("(private)", ())
    assert "Surgery" not in repr(row)
    assert "Ward" not in printing.held_text([row])
    told = held_row(
        Waiting(1, 1, "twin", "appointment", "crm", {**fields, "private": False}, "why", 5),
        "ann@x.example",
        "Demo",
    )
    assert told.before == (("subject", "Surgery"), ("location", "Ward 3"), ("start", "2026-12-01"))


def test_what_others_wrote_does_not_reach_the_terminal_as_commands() -> None:
    fields = {"given": "Eve\x1b[2J", "family": "x" * 100}
    row = held_row(
        Waiting(1, 1, "twin", "contact", "crm", fields, "bad\r\nnews", None), "ann@x.example", "Demo"
    )
    text = printing.held_text([row])
    assert text.replace("\n", "").isprintable()
    assert "bad  news" in text
    assert "xxx..." in text


def test_the_command_line_lists_and_settles(
    place: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an admin does it over SSH, each command a process of its own as far as the ledger can tell."""
    user = place.users[0]
    file = tmp_path / "demo.toml"
    file.write_text(place.config(policy=POLICY))

    def line(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([*words, "--data-dir", str(tmp_path / "data")])
        return code, *capsys.readouterr()

    def listed(*words: str) -> list[dict[str, Any]]:
        code, out, _ = line("held", "--json", *words)
        assert code == exits.OK
        rows: list[dict[str, Any]] = json.loads(out)["rows"]
        return rows

    assert line("apply", str(file))[0] == exits.OK
    assert line("sync", "--once")[0] == exits.OK
    assert listed() == []
    assert "nothing waits for you" in line("held")[1]
    own_contact(
        place,
        names=[{"givenName": "Zoe", "familyName": "Zimmer"}],
        emailAddresses=[{"value": "zoe@twin.example"}],
    )
    new_contact(place, FirstName="Zoe", LastName="Zimmer", Email="zoe@twin.example")
    gone = sorted(people(place))[:4]
    for one in gone:
        place.remove("Contact", one)
    assert line("sync", "--once")[0] != exits.OK  # Delete Safety is told as a fault
    code, out, _ = line("held", "--mailbox", user)
    assert code == exits.OK
    assert "Zoe Zimmer" in out
    assert "delete: --approve, --discard" in out
    rows = listed("--policy", "Demo")
    twin = next(row for row in rows if row["kind"] == "twin")
    assert twin["ways"] == ["retry", "both", "adopt", "keep"]
    deletes = [row for row in rows if row["kind"] == "delete"]
    assert len(deletes) == 4

    code, out, _ = line("held", "--both", str(twin["id"]), "999999")
    assert code == exits.FAULTS
    assert "1 item is created beside its twin; the next cycle does it" in out
    assert "999999 does not wait" in out
    code, _, err = line("held", "--both", str(twin["id"]))
    assert code == exits.USAGE
    assert "does not wait" in err
    code, out, _ = line("held", "--discard", str(deletes[0]["id"]))
    assert code == exits.OK
    code, out, _ = line("held", "--approve", "--all-deletes", "--mailbox", user, "--json")
    assert code == exits.OK
    assert "3 deletes let through" in json.loads(out)["done"][0]
    assert listed() == []
    assert len(set(people(place)) & set(gone)) == 4  # decided, and done by the next cycle
    assert line("sync", "--once")[0] == exits.OK
    assert len(set(people(place)) & set(gone)) == 1
    assert len([one for one in place.contacts(user) if "zoe@twin.example" in str(one)]) == 2
    assert line("sync", "--once")[0] == exits.OK
    assert listed() == []
    assert line("held", "--mailbox", "nobody@x.example")[0] == exits.USAGE
    assert_no_doubles(place)
