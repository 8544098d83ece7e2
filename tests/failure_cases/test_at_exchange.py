"""What can happen at Exchange alone, or happens there in its own way. One small mailbox serves all stories.

The others are told closer to the server: lost answers, versions, refused items, zones and days in ``tests/mailbox/exchange``,
kills in ``tests/acceptance/test_kills.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.ledger.schema import scope
from engine.service import Service
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.test_exchange import BOTH, cycle, settled
from tests.acceptance.town import day, engine, town
from tests.failure_cases.scene import TINY, crm_event


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailroom]:
    with town(tmp_path_factory.mktemp("town"), users=1, sizes=TINY, options=SERVICES) as place:
        yield Mailroom(place)


@pytest.fixture
async def service(room: Mailroom, tmp_path: Path) -> AsyncIterator[Service]:
    """An engine that has lost its ledger since the last story, which must not matter either."""
    async with engine(tmp_path, room.config(BOTH)) as running:
        await cycle(running)
        await cycle(running)
        yield running


def events(room: Mailroom, subject: str) -> list[str]:
    """Records of the CRM by that subject, series as one."""
    rows = room.place.soql(f"SELECT Id FROM Event WHERE Subject = '{subject}' AND RecurrenceActivityId = null")
    return [str(row["Id"]) for row in rows]


async def test_07_a_sync_state_that_exchange_does_not_know_with_deletes_in_the_gap(
    room: Mailroom, service: Service
) -> None:
    [user] = room.place.users
    record = crm_event(room.place, user, "In the gap", f"{day(4)}T10:00:00Z")
    await cycle(service)
    room.remove(user, room.shown(user, record))

    def spoil(connection: sa.Connection) -> None:
        connection.execute(sa.update(scope).where(scope.c.key == "calendar").values(cursor="s:AAAA"))

    await service._ledger.write(spoil)
    await cycle(service)
    await settled(room, service)
    assert events(room, "In the gap") == []


async def test_12_moved_to_another_folder_and_back_before_anybody_looks(
    room: Mailroom, service: Service
) -> None:
    """Exchange gives the item a new id at each move: the old one is told as deleted, and nothing may follow from it."""
    [user] = room.place.users
    record = crm_event(room.place, user, "Moved about", f"{day(5)}T10:00:00Z")
    await cycle(service)
    await cycle(service)
    for folder in ("deleteditems", "calendar"):
        [item] = [
            one
            for name in ("calendar", "deleteditems")
            for one in room.folder_items(user, name)
            if one.record == record
        ]
        room.call(
            user,
            f'<m:MoveItem><m:ToFolderId><t:DistinguishedFolderId Id="{folder}"/></m:ToFolderId>'
            f'<m:ItemIds><t:ItemId Id="{item.id}"/></m:ItemIds></m:MoveItem>',
        )
    await cycle(service)
    await settled(room, service)
    assert events(room, "Moved about") == [record]
    room.change(user, room.shown(user, record), "CalendarItem", Location="Still linked")
    await cycle(service)
    [row] = room.place.soql(f"SELECT Location FROM Event WHERE Id = '{record}'")
    assert row["Location"] == "Still linked"


async def test_16_a_series_with_a_moved_and_a_deleted_occurrence_stays_so_on_both_sides(
    room: Mailroom, service: Service
) -> None:
    [user] = room.place.users
    days = [day(9 + 7 * number) for number in range(6)]
    made = room.create(
        user,
        "calendar",
        "<t:CalendarItem><t:Subject>Jour fixe</t:Subject><t:Categories><t:String>CRM Appointment</t:String></t:Categories>"
        f"<t:Start>{days[0]}T09:00:00Z</t:Start><t:End>{days[0]}T09:30:00Z</t:End><t:Recurrence><t:DailyRecurrence>"
        f"<t:Interval>7</t:Interval></t:DailyRecurrence><t:NumberedRecurrence><t:StartDate>{days[0]}</t:StartDate>"
        "<t:NumberOfOccurrences>6</t:NumberOfOccurrences></t:NumberedRecurrence></t:Recurrence>"
        '<t:StartTimeZone Id="UTC"/><t:EndTimeZone Id="UTC"/></t:CalendarItem>',
    )
    room.change(user, room.occurrence(user, made, 2), "CalendarItem", Subject="Special")
    room.remove(user, room.occurrence(user, made, 4))
    await cycle(service)
    await cycle(service)

    def dates() -> dict[str, str]:
        rows = room.place.soql(
            "SELECT Subject, StartDateTime FROM Event WHERE RecurrenceActivityId != null AND GroupEventType != '3'"
        )
        ours = [row for row in rows if row["Subject"] in {"Jour fixe", "Special"}]
        return {row["StartDateTime"][:10]: row["Subject"] for row in ours}

    wanted = dict.fromkeys(days, "Jour fixe") | {days[1]: "Special"}
    del wanted[days[3]]
    assert dates() == wanted
    # An edit of the series in the CRM takes nothing away (case 17); four cycles later it still stands.
    [record] = events(room, "Jour fixe")
    room.place.change("Event", record, Location="Room 7")
    for _ in range(2):
        await cycle(service)
    await settled(room, service)
    assert dates() == wanted
    [series] = room.get(user, [made])
    assert series.shown["Location"] == "Room 7"
    assert room.occurrence(user, made, 2).shown["Subject"] == "Special"


async def test_what_a_person_deletes_before_we_have_read_it_back_is_heard_of(
    room: Mailroom, service: Service
) -> None:
    """Exchange's sync tells of an item that came and went since the last state nothing at all (kills, seed 11)."""
    [user] = room.place.users
    body = {"LastName": "Shortlived", "OwnerId": room.place.crm_user(user)}
    record = room.place.crm("POST", "sobjects/Contact", json=body)["id"]
    await cycle(service)
    room.remove(user, room.shown(user, record))
    await cycle(service)
    await settled(room, service)
    assert room.place.soql("SELECT Id FROM Contact WHERE LastName = 'Shortlived'") == []
