"""``syncline why`` over a real ledger: items, mailboxes and jobs, as text and as JSON, with clear refusals."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.ledger.schema import item, journal, link
from engine.service import Service
from tests.cli.test_commands import Line, _umask  # noqa: F401 - the fixture is used by name
from tui import exits

ANN = {"given": "Ann", "family": "Lee", "email": "lee@acme.example", "notes": "secret of Ann"}


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    made = Line(tmp_path, capsys)
    assert made("apply", str(made.file)) == exits.OK
    asyncio.run(_fill(made.data))
    return made


async def _fill(data: Path) -> None:
    """One contact in step, one kept out, and one that is the person's own."""

    def write(connection: sa.Connection) -> None:
        for number, (fields, state, reason) in enumerate(
            (
                (ANN, "live", ""),
                (
                    {**ANN, "family": "Old\x1b[31m", "email": "old@acme.example"},
                    "filtered",
                    "last changed before the policy's start date",
                ),
            ),
            1,
        ):
            connection.execute(
                sa.insert(link).values(
                    id=number, mailbox_id=1, module="contact", base=fields, state=state, reason=reason
                )
            )
            for side in ("crm", "mailbox"):
                connection.execute(
                    sa.insert(item).values(
                        mailbox_id=1,
                        side=side,
                        scope_id=1,
                        remote_id=f"{side}-{number}",
                        link_id=number,
                        module="contact",
                        etag="7",
                        fields=fields,
                    )
                )
        connection.execute(
            sa.insert(journal).values(
                mailbox_id=1,
                link_id=1,
                side="mailbox",
                kind="conflict",
                before={"title": "Chief"},
                after={"title": "Boss"},
                why="both sides differed; the CRM was changed last",
                at=1,
            )
        )
        connection.execute(
            sa.insert(item).values(
                mailbox_id=1, side="mailbox", scope_id=1, remote_id="own", module="contact", own=1
            )
        )

    service = await Service.open(data)
    try:
        await service._ledger.write(write)
    finally:
        await service.close()


@pytest.mark.parametrize(
    "words", [("#1",), ("crm-1",), ("mailbox-1",), ("ann", "LEE"), ("Lee", "--user", "ann@acme.example")]
)
def test_an_item_is_explained(line: Line, words: tuple[str, ...]) -> None:
    assert line("why", *words) == exits.OK
    assert "#1 contacts: Ann Lee   ann@acme.example, policy Sales" in line.out
    assert "both sides differed; the CRM was changed last" in line.out
    assert "job title: Chief → Boss" in line.out
    assert "secret" not in line.out
    assert "13 characters" in line.out
    assert line("why", *words, "--json") == exits.OK
    found = json.loads(line.out)
    assert found["kind"] == "item"
    assert found["item"]["hit"]["link"] == 1
    assert {one["name"] for one in found["item"]["fields"]} >= {"given", "family", "email"}


def test_several_are_listed_and_no_control_character_of_a_name_reaches_the_terminal(line: Line) -> None:
    assert line("why", "ann") == exits.OK
    assert "2 items fit 'ann'; ask for one by its number" in line.out
    assert "#2" in line.out
    assert "\x1b" not in line.out


def test_a_mailbox_says_why_it_does_not_run_and_what_does_not_cross_over(line: Line) -> None:
    assert line("why", "ann@acme.example") == exits.OK
    assert "ann@acme.example: disabled" in line.out
    assert "The engine is not running, so nothing starts" in line.out
    assert "The policy Sales is off: o in Policies turns it on." in line.out
    assert "last changed before the policy's start date" in line.out
    assert "the person's own, outside the policy's groups and colours" in line.out
    assert "Ann Old" not in line.out
    assert line("why", "ann@acme.example", "--filtered") == exits.OK
    assert "Ann Old" in line.out
    assert line("why", "ann@acme.example", "--filtered", "--json") == exits.OK
    found = json.loads(line.out)
    assert found["kind"] == "user"
    assert found["why"][1].startswith("The policy Sales is off")
    assert [(one["kind"], one["count"]) for one in found["filtered"]] == [("filtered", 1), ("own", 1)]
    assert [row["link"] for row in found["rows"]] == [2]


@pytest.mark.parametrize("name", ["full:Sales", "Full sync Sales", "verify:Sales", "upkeep"])
def test_a_job_says_why_it_does_not_run(line: Line, name: str) -> None:
    assert line("why", name) == exits.OK
    assert "The engine is not running" in line.out
    assert line("why", name, "--json") == exits.OK
    assert json.loads(line.out)["kind"] == "job"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nothing of the kind",), "no item fits 'nothing of the kind': ask by the number of a link (#12)"),
        (("#99",), "no item fits '#99'"),
        (("lee", "--user", "bob@acme.example"), "'bob@acme.example' is no user of any policy"),
        (("lee", "--filtered"), "--filtered needs a mailbox of a policy; 'lee' is none"),
        ((" ",), "nothing was asked"),
    ],
)
def test_what_cannot_be_answered_says_how_to_ask(line: Line, words: tuple[str, ...], told: str) -> None:
    assert line("why", *words) == exits.USAGE
    assert told in line.err
    assert line.out == ""
