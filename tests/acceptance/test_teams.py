"""A manager's drop labels show the team's records: who joins and leaves, what it costs, and mails filed from two mailboxes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.sync.teams import settle_teams
from tests.acceptance.mails import deliver, label, labels_of, letter, messages, record_labels
from tests.acceptance.test_filing import SIZES, check
from tests.acceptance.town import Town, assert_idle, engine, town
from tests.clocks import AheadClock

DAY_MS = 86_400_000

#: Records alone; what else a mailbox has is no business of these tests.
MINE = "enabled = true\n" + "".join(
    f"modules.{module}.enabled = false\n"
    for module in ("contact", "lead", "appointment", "call", "service_call", "task")
)
TEAM = MINE + 'labels.records.opportunity.whose = "team"\n'


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Three people with two opportunities each, all of them open; the first manages the second."""
    with town(tmp_path / "town", users=3, sizes=SIZES | {"opportunities": 6}) as running:
        rows = running.soql("SELECT Id FROM Opportunity ORDER BY Id")
        for number, row in enumerate(rows):
            owner = running.crm_user(running.users[number % 3])
            running.change("Opportunity", row["Id"], OwnerId=owner, StageName="Prospecting")
        manages(running, 0, 1)
        yield running


def manages(place: Town, manager: int | None, member: int) -> None:
    """Somebody gets another manager, or none."""
    boss = None if manager is None else place.crm_user(place.users[manager])
    place.change("User", place.crm_user(place.users[member]), ManagerId=boss)


def owned(place: Town, *people: int) -> list[str]:
    """Names of the opportunities of some people."""
    ids = [place.crm_user(place.users[one]) for one in people]
    rows = place.soql("SELECT Name, OwnerId FROM Opportunity")
    return sorted(row["Name"] for row in rows if row["OwnerId"] in ids)


def shown(place: Town) -> list[list[str]]:
    """Names of the drop labels in each mailbox."""
    return [sorted(record_labels(place, user)) for user in place.users]


def queries(place: Town) -> int:
    """Queries of the CRM since the last reset."""
    return sum(count for name, count in place.stats().items() if "salesforce" in name and "query" in name)


async def test_a_manager_has_labels_for_the_team_and_who_comes_and_goes_is_seen_within_a_day(
    place: Town, tmp_path: Path
) -> None:
    clock = AheadClock()
    async with engine(tmp_path, place.config(policy=MINE), clock=clock) as service:
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, one) for one in range(3)]
        assert_idle(await service.sync("Demo", "admin"))
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        usual = queries(place)

    async with engine(tmp_path, place.config(policy=TEAM), clock=clock) as service:
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, 0, 1), owned(place, 1), owned(place, 2)]

        # While nothing happens it costs no call, and one a day.
        assert_idle(await service.sync("Demo", "admin"))
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        assert (queries(place), place.writes()) == (usual, {})
        clock.ahead_ms += DAY_MS
        for calls in (usual + 1, usual):
            place.reset()
            assert_idle(await service.sync("Demo", "admin"))
            assert (queries(place), place.writes()) == (calls, {})

        # A mail that both drop on one record is filed once, and stays in both mailboxes.
        name = owned(place, 1)[0]
        mails = {}
        for user in place.users[:2]:
            mails[user] = deliver(place, user, letter("For both"))["id"]
            label(place, user, mails[user], add=[record_labels(place, user)[name]])
        await check(service)
        (filed,) = messages(place)
        assert filed["RelatedToId"] == place.soql(f"SELECT Id FROM Opportunity WHERE Name = '{name}'")[0]["Id"]

        # A record of the team that gets an owner outside goes at once, and one that comes in comes.
        (given, *_), (taken, *_) = owned(place, 1)[1:], owned(place, 2)
        for one, to in ((given, 2), (taken, 1)):
            found = place.soql(f"SELECT Id FROM Opportunity WHERE Name = '{one}'")[0]["Id"]
            place.change("Opportunity", found, OwnerId=place.crm_user(place.users[to]))
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, 0, 1), owned(place, 1), owned(place, 2)]
        assert taken in shown(place)[0]
        assert given not in shown(place)[0]

        # One leaves the team and another joins: the manager's labels follow with the day's reading, and no mail goes with them.
        manages(place, None, 1)
        manages(place, 0, 2)
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place)[0] == owned(place, 0, 1)
        clock.ahead_ms += DAY_MS
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, 0, 2), owned(place, 1), owned(place, 2)]
        said = "\n".join(line.text for line in service.store.lines[place.users[0]])
        assert "the team in the CRM is another (1 in it; 1 came, 1 left)" in said
        assert "INBOX" in labels_of(place, place.users[0], mails[place.users[0]])
        assert f"CRM/Opportunities/{name}" in labels_of(place, place.users[1], mails[place.users[1]])
        await check(service)
        assert len(messages(place)) == 1

        # A user who is switched off in the CRM is in nobody's team.
        place.change("User", place.crm_user(place.users[2]), IsActive=False)
        clock.ahead_ms += DAY_MS
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, 0), owned(place, 1), owned(place, 2)]
        manages(place, 0, 1)

    # Off again: the policy's change alone takes the team's records away, whatever was known.
    async with engine(tmp_path, place.config(policy=TEAM)) as service:
        # Twice: the first reading after a complete one tells all of it once more.
        for _ in range(2):
            assert_idle(await service.sync("Demo", "admin"))
            assert shown(place)[0] == owned(place, 0, 1)
    async with engine(tmp_path, place.config(policy=MINE)) as service:
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, one) for one in range(3)]
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        assert (queries(place), place.writes()) == (usual, {})


async def test_delete_safety_holds_the_labels_of_a_team_that_is_gone_at_once(
    place: Town, tmp_path: Path
) -> None:
    clock = AheadClock()
    policy = TEAM + "delete_safety.other = { count = 1, percent = 100 }\n"
    async with engine(tmp_path, place.config(policy=policy), clock=clock) as service:
        assert_idle(await service.sync("Demo", "admin"))
        before = shown(place)
        manages(place, None, 1)
        clock.ahead_ms += DAY_MS
        report = await service.sync("Demo", "admin")
        said = next(row["text"] for row in report["users"] if row["email"] == place.users[0])
        assert "Delete Safety holds opportunity deletes in the mailbox: 2 deletes" in said
        assert shown(place) == before


async def test_a_team_whose_reading_failed_is_read_with_the_next_sync(
    place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = "No such column 'ManagerId' on entity 'User'."
    refusal = [{"errorCode": "INVALID_FIELD", "message": hidden}]
    fault = {"service": "salesforce", "route": "query", "status": 400, "body": refusal, "times": None}
    clock = AheadClock()
    async with engine(tmp_path, place.config(policy=TEAM), clock=clock) as service:
        assert_idle(await service.sync("Demo", "admin"))
        before = shown(place)

        # Who cannot read the users takes nobody's team for empty.
        clock.ahead_ms += DAY_MS
        place.fault(fault)
        await service.sync("Demo", "admin")
        place.mend()
        assert shown(place) == before
        assert "field Manager of User" in service.store.policies["Demo"].fault

        # And what fails after the users were read is not taken for read.
        async def interrupted(*given: Any) -> Any:
            found = await settle_teams(*given)
            place.fault(fault)
            return found

        manages(place, 0, 2)
        with monkeypatch.context() as patch:
            patch.setattr("engine.jobs.runner.settle_teams", interrupted)
            await service.sync("Demo", "admin")
        place.mend()
        assert shown(place) == before
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        assert shown(place) == [owned(place, 0, 1, 2), owned(place, 1), owned(place, 2)]
