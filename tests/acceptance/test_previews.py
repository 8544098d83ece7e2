"""Previews and guest mails over real servers: nothing is written by looking, and no budget is ever exceeded."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.service import (
    ASKED,
    ApplyPreview,
    DropPreview,
    EnablePolicy,
    JobState,
    PreviewPolicy,
    Service,
    TestPolicy,
)
from tests.acceptance.town import Town, assert_no_doubles, day, engine, everything, memberships, portrait, town
from tui import cli, exits

SIZES = {
    "contacts": 12,
    "leads": 2,
    "appointments": 4,
    "calls": 1,
    "service_calls": 1,
    "tasks": 2,
    "opportunities": 2,
    "cases": 1,
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=2, sizes=SIZES) as running:
        yield running


async def at_rest(service: Service) -> None:
    async with asyncio.timeout(30):
        while any(row.state is JobState.RUNNING for row in service.store.jobs.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def ours(place: Town, user: str) -> int:
    """Contacts with our mark in a mailbox."""
    return sum(bool(person.get("clientData")) for person in place.contacts(user))


async def test_looking_writes_nothing_and_the_first_sync_does_what_was_shown(
    place: Town, tmp_path: Path
) -> None:
    before = [portrait(place, user) for user in place.users], [everything(place, user) for user in place.users]
    place.reset()
    async with engine(tmp_path, place.config()) as service:
        first = EnablePolicy("Demo", tuple(ASKED))
        refused = await service.do(first, "alice")
        assert not refused.ok
        assert "checks are not made yet" in refused.text
        assert (await service.do(TestPolicy("Demo"), "alice")).ok
        place.reset()
        report = await service.preview("Demo", "alice")
        checked = await service.checklist("Demo")
        assert checked.missing(ASKED) == ""
        assert checked.missing(()).startswith("4 boxes are open")
        assert dict(checked.items)["contact"] >= 5
        assert checked.seconds is not None
        assert 0 < checked.seconds[0] < checked.seconds[1]
        assert place.writes() == {}
        assert (
            [portrait(place, user) for user in place.users],
            [everything(place, user) for user in place.users],
        ) == before
        assert (report.previewed, report.mailboxes, report.faults) == (2, 2, ())
        assert sum(one.guests for one in report.sums) == 0
        shown = Counter[str]()
        for user in place.users:
            rows = await service.preview_rows("Demo", user)
            shown.update(f"{row.module} {row.kind} {row.side}" for row in rows if row.module)
            paged, after = [], 0
            while page := await service.preview_rows("Demo", user, after=after, limit=5):
                paged += page
                after = page[-1].seq
            assert paged == rows
        assert shown["contact create mailbox"] + shown["contact merge mailbox"] >= 5
        # All of it is the first sync.
        answer = await service.do(ApplyPreview("Demo"), "alice")
        assert answer.ok, answer
        await at_rest(service)
        done = await service.report("Demo")
        for module in ("contact", "lead", "appointment", "task", "opportunity", "case"):
            created = sum(user["modules"].get(module, {}).get("created", 0) for user in done["users"])
            assert created == sum(n for key, n in shown.items() if key.startswith(f"{module} create")), module
        assert_no_doubles(place)
        assert place.stats()["google.mails"] == 0


def test_a_part_is_applied_by_the_command_line_and_the_rest_stays(
    place: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user, other = place.users
    data = ["--data-dir", str(tmp_path / "data")]
    file = tmp_path / "demo.toml"
    file.write_text(place.config(), encoding="utf-8")

    def syncline(*words: str) -> tuple[int, str]:
        code = cli.main([*words, *data])
        return code, capsys.readouterr().out

    assert (syncline("apply", str(file)))[0] == exits.OK
    code, out = syncline("preview", "Demo", "--json", "--details")
    assert code == exits.OK
    head, *rows = [json.loads(line) for line in out.splitlines()]
    assert head["totals"]["create"] == sum(row["kind"] == "create" for row in rows)
    contacts = [
        row["id"] for row in rows if (row["mailbox"], row["module"], row["kind"]) == (user, "contact", "create")
    ]
    code, out = syncline("checklist", "Demo", "--json")
    found = json.loads(out)
    assert (code, found["ready"], found["previewed"]) == (exits.OK, True, 2), out
    assert all(one["mend"].startswith("syncline ") for one in found["lines"] if one["state"] != "ok")
    place.reset()
    code, out = syncline("preview", "apply", "Demo", "--user", user, "--ids", *contacts[:2])
    assert code == exits.OK, out
    assert "2 items written in 1 mailbox" in out
    assert (ours(place, user), ours(place, other)) == (2, 0)
    assert place.labels(user) == {}, "no label tree for two contacts"
    code, out = syncline("status", "--json")
    assert {one["state"] for one in json.loads(out)["policies"]} == {"disabled"}
    # A person changes one that was previewed: it alone is left.
    code, out = syncline("preview", "Demo", "--last", "--json", "--details")
    left = [json.loads(line) for line in out.splitlines()][1:]
    target = next(row for row in left if row["id"] == contacts[2])
    [record] = [
        one
        for one in place.soql("SELECT Id, Email FROM Contact")
        if {"label": "e-mail", "value": one["Email"]}
        in [{"label": change["label"], "value": change["after"]} for change in target["changes"]]
    ]
    place.change("Contact", record["Id"], Title="Changed since")
    code, out = syncline("preview", "apply", "Demo", "--ids", contacts[2], contacts[3])
    assert code == exits.FAULTS
    assert "1 item written" in out
    assert "it changed since the preview" in out
    assert ours(place, user) == 3
    assert (syncline("preview", "drop", "Demo"))[0] == exits.OK
    assert (syncline("preview", "apply", "Demo", "--ids", contacts[4]))[0] == exits.USAGE
    # Enabled later, everything is there once.
    code, out = syncline("preview", "Demo")
    code, out = syncline("preview", "apply", "Demo")
    assert code == exits.OK, out
    assert_no_doubles(place)
    assert place.stats()["google.mails"] == 0


def guests(*names: str) -> str:
    return "\n".join(f"{name}@guests.example;{name};none;0" for name in names)


async def test_no_cycle_mails_more_guests_than_its_budget_and_a_first_sync_none(
    place: Town, tmp_path: Path
) -> None:
    user = place.users[0]
    policy = 'guest_mail_budget = 5\n[policies.Demo.calendar]\nattendees = "invited"'

    def meeting(number: int, *names: str) -> str:
        fields: dict[str, Any] = {
            "Subject": f"Meeting {number}",
            "OwnerId": place.crm_user(user),
            "StartDateTime": f"{day(3)}T{8 + number:02d}:00:00Z",
            "EndDateTime": f"{day(3)}T{9 + number:02d}:00:00Z",
            "Syncline_Attendees__c": guests(*names),
        }
        return str(place.crm("POST", "sobjects/Event", json=fields)["id"])

    first = meeting(0, "ann", "ben")
    async with engine(tmp_path, place.config(policy=policy)) as service:
        await service.do(EnablePolicy("Demo"), "alice")
        await at_rest(service)
        assert place.stats()["google.mails"] == 0, "a first sync mails nobody"
        assert any(event.get("attendees") for event in place.events(user))
        place.change("Event", first, Location="Room 2")
        for number in range(1, 5):
            meeting(number, "ann", "ben")
        # Shown beforehand: two changes fit into five guests, the others would wait.
        report = await service.preview("Demo", "alice")
        assert sum(one.guests for one in report.sums) == 4
        assert sum(one.held for one in report.sums) == 3
        assert place.stats()["google.mails"] == 0
        await service.sync("Demo", "alice")
        assert place.stats()["google.mails"] == 4
        waits = await service.waiting(user)
        assert [(row.kind.value, row.guests) for row in waits] == [("guests", 2)] * 3
        await service.sync("Demo", "alice")
        assert place.stats()["google.mails"] == 4


async def test_commands_about_previews_answer_with_a_reason(place: Town, tmp_path: Path) -> None:
    async with engine(tmp_path, place.config()) as service:
        for command, reason in (
            (ApplyPreview("Demo"), "no preview of Demo"),
            (DropPreview("Demo"), "has no preview"),
            (PreviewPolicy("Nobody"), "no 'Nobody'"),
        ):
            answer = await service.do(command, "alice")
            assert not answer.ok
            assert reason in answer.text
        await service.preview("Demo", "alice", place.users[0])
        answer = await service.do(ApplyPreview("Demo"), "alice")
        assert not answer.ok
        assert "1 mailbox of Demo have no preview" in answer.text or "no preview" in answer.text
        answer = await service.do(ApplyPreview("Demo", ids=("1",)), "alice")
        assert "ids look like 12.345" in answer.text
        answer = await service.do(ApplyPreview("Demo", ids=("0.1",)), "alice")
        assert "older preview" in answer.text
        assert memberships({}) == []
