"""Feeds: one call when nothing has changed, nothing missed, and series with all that was done to their occurrences."""

from __future__ import annotations

import pytest

from engine.model.modules import Module
from engine.model.port import Write, WriteKind
from engine.net.errors import CursorExpired
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import create, delete, done, read, update


def moment(text: str) -> dict[str, str]:
    return {"utc": text, "zone": "Europe/Berlin"}


WEEKLY = {
    "subject": "Jour fixe",
    "start": moment("2026-10-19T07:00:00Z"),
    "end": moment("2026-10-19T07:30:00Z"),
    "busy": True,
    "rule": {"lines": ["RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=10"]},
}
SECOND, THIRD = "2026-10-26T08:00:00Z", "2026-11-02T08:00:00Z"


def tasks(count: int) -> list[Write]:
    return [create(Module.TASK, f"c.{n}.aa.0", {"subject": f"Task {n}", "done": False}) for n in range(count)]


async def test_an_idle_feed_costs_one_call_and_so_does_the_echo_of_our_own_writes(box: Mailbox) -> None:
    made = await done(box.connector, box.tasks, *tasks(5))
    assert box.lab.asked() == {"http": 2, "CreateItem": 1, "items": 5, "GetItem": 1}
    seen, cursor = await read(box.connector, box.tasks)
    assert {one.remote_id: one.etag for one in seen} == {one.remote_id: one.etag for one in made}
    assert box.lab.asked() == {"http": 1, "SyncFolderItems": 1}
    for _ in range(3):
        assert await read(box.connector, box.tasks, cursor) == ([], cursor)
    assert box.lab.asked() == {"http": 3, "SyncFolderItems": 3}


async def test_a_long_feed_comes_in_pages_of_512_and_leaves_nothing_out(box: Mailbox) -> None:
    await done(box.connector, box.tasks, *tasks(520))
    async with box.lab.connector() as other:
        pages = [page async for page in other.changes(box.tasks, None)]
    assert [len(page.observations) for page in pages] == [512, 8]
    assert all(page.snapshot for page in pages)
    assert len({one.marker for page in pages for one in page.observations}) == 520


async def test_changes_and_deletes_of_a_person_are_told_once(box: Mailbox) -> None:
    one, two, three = await done(box.connector, box.tasks, *tasks(3))
    _, cursor = await read(box.connector, box.tasks)
    async with box.lab.connector() as person:
        await done(person, box.tasks, update(one, {"subject": "changed"}))
        await person.apply(box.tasks, [delete(two)])
    seen, cursor = await read(box.connector, box.tasks, cursor)
    assert {each.remote_id: each.fields.get("subject") for each in seen} == {
        one.remote_id: "changed",
        two.remote_id: None,
    }
    assert [each.remote_id for each in seen if each.deleted] == [two.remote_id]
    assert (await read(box.connector, box.tasks, cursor))[0] == []
    assert [
        each.deleted for each in await box.connector.fetch(box.tasks, [two.remote_id, three.remote_id])
    ] == [
        True,
        False,
    ]


@pytest.mark.parametrize("cursor", ["s:AAAA", "s:not base64 at all", "x:[]", "something else", ""])
async def test_a_cursor_that_exchange_does_not_know_asks_for_a_complete_read(box: Mailbox, cursor: str) -> None:
    """Case 7: never a silent success."""
    with pytest.raises(CursorExpired):
        await read(box.connector, box.tasks, cursor)


async def test_a_series_tells_its_changed_and_deleted_occurrences_by_their_original_start(box: Mailbox) -> None:
    """Case 16: what was deleted stays deleted."""
    [series] = await done(box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", WEEKLY))
    _, cursor = await read(box.connector, box.calendar)
    moved = {**WEEKLY, "start": moment("2026-10-27T10:00:00Z"), "end": moment("2026-10-27T10:30:00Z")}
    moved.pop("rule")
    await done(
        box.connector,
        box.calendar,
        create(Module.APPOINTMENT, "a", moved, parent=series.remote_id, occurrence=SECOND),
        create(Module.APPOINTMENT, "b", {"cancelled": True}, parent=series.remote_id, occurrence=THIRD),
    )
    seen, cursor = await read(box.connector, box.calendar, cursor)
    by_start = {each.occurrence: each for each in seen}
    assert by_start[None].fields["rule"] == WEEKLY["rule"]
    assert by_start[SECOND].fields["start"] == moved["start"]
    assert by_start[SECOND].parent == series.remote_id
    assert by_start[THIRD].fields == {"cancelled": True}
    assert (await read(box.connector, box.calendar, cursor))[0] == []
    assert {
        (each.parent, each.occurrence, each.etag)
        for each in await box.connector.occurrences(box.calendar, [series.remote_id, "gone"])
    } == {(each.parent, each.occurrence, each.etag) for each in seen if each.parent}
    # All of it again from the beginning, and by id.
    fresh, _ = await read(box.connector, box.calendar)
    ids = [each.remote_id for each in seen]
    assert {each.remote_id: each.fields for each in fresh} == {each.remote_id: each.fields for each in seen}
    assert [each.fields for each in await box.connector.fetch(box.calendar, ids)] == [
        each.fields for each in seen
    ]


async def test_an_occurrence_that_its_series_has_dropped_is_told(box: Mailbox) -> None:
    """Case 17: a new pattern takes away all that was changed; the other side must hear of it."""
    [series] = await done(box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", WEEKLY))
    for start in (SECOND, THIRD):
        changed = {
            "subject": "Special",
            "start": moment(start),
            "end": moment(start.replace(":00:00Z", ":30:00Z")),
        }
        write = create(Module.APPOINTMENT, "a", changed, parent=series.remote_id, occurrence=start)
        await done(box.connector, box.calendar, write)
    seen, cursor = await read(box.connector, box.calendar)
    assert len(seen) == 3
    master = next(each for each in seen if each.parent is None)
    every_other = {"lines": ["RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;COUNT=10"]}
    await done(box.connector, box.calendar, update(master, {"rule": every_other}))
    seen, cursor = await read(box.connector, box.calendar, cursor)
    by_start = {each.occurrence: each for each in seen}
    # The 26th is no longer in the series; the 2nd is, as plain as the others.
    assert by_start[SECOND].fields == {"cancelled": True}
    assert by_start[THIRD].fields["subject"] == "Jour fixe"
    assert by_start[THIRD].fields["start"]["utc"] == THIRD
    assert (await read(box.connector, box.calendar, cursor))[0] == []


async def test_an_all_day_series_names_its_occurrences_by_day(box: Mailbox) -> None:
    fields = {
        "subject": "Fair",
        "start": {"date": "2026-10-19"},
        "end": {"date": "2026-10-20"},
        "rule": {"lines": ["RRULE:FREQ=DAILY;COUNT=12"]},
    }
    [series] = await done(box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", fields))
    assert series.fields["rule"] == fields["rule"]
    away = create(
        Module.APPOINTMENT, "b", {"cancelled": True}, parent=series.remote_id, occurrence="2026-10-27"
    )
    await done(box.connector, box.calendar, away)
    seen, _ = await read(box.connector, box.calendar)
    assert {each.occurrence for each in seen} == {None, "2026-10-27"}


async def test_what_a_rule_leaves_out_is_left_out(box: Mailbox) -> None:
    fields = {**WEEKLY, "rule": {"lines": [*WEEKLY["rule"]["lines"], "EXDATE:20261026T080000Z"]}}  # type: ignore[index]
    await done(box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", fields))
    seen, _ = await read(box.connector, box.calendar)
    assert {each.occurrence: each.fields.get("cancelled") for each in seen} == {None: None, SECOND: True}


async def test_an_item_copied_or_moved_away_and_back_is_followed(box: Mailbox) -> None:
    """Case 12: Exchange gives it a new id each time; none is told as there that is not."""
    [one] = await done(box.connector, box.tasks, *tasks(1))
    _, cursor = await read(box.connector, box.tasks)
    write = Write(WriteKind.DELETE, Module.TASK, "d", remote_id=one.remote_id)
    await box.connector.apply(box.tasks, [write])
    seen, _ = await read(box.connector, box.tasks, cursor)
    assert [(each.remote_id, each.deleted) for each in seen] == [(one.remote_id, True)]
