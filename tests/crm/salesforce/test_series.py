from dataclasses import replace
from typing import Any

import pytest

from engine.crm.salesforce.client import SalesforceClient
from engine.model.modules import Module
from engine.model.port import Observation, Result, Write, WriteKind
from tests.crm.salesforce.org import Org, create, delete, update

APPOINTMENT = Module.APPOINTMENT
#: Mondays at 09:00 in Berlin; in UTC the hour does not change within these weeks.
STARTS = [f"2026-{day}T08:00:00Z" for day in ("11-23", "11-30", "12-07", "12-14")]


def series(key: str = "series", **fields: object) -> Write:
    return create(
        APPOINTMENT,
        key,
        **{
            "subject": "Weekly",
            "start": {"utc": STARTS[0], "zone": "Europe/Berlin"},
            "end": {"utc": "2026-11-23T08:30:00Z", "zone": "Europe/Berlin"},
            "rule": {"lines": ["RRULE:FREQ=WEEKLY;COUNT=4"]},
            **fields,
        },
    )


async def make(org: Org, **fields: object) -> Observation:
    (outcome,) = await org.apply(series(**fields))
    assert outcome.result is Result.DONE, outcome.reason
    assert outcome.observation is not None
    return outcome.observation


def child(org: Org, master: Observation, start: str) -> str:
    found = org.world.db.execute(
        "SELECT Id FROM sf_Event WHERE RecurrenceActivityId = ? AND Syncline_Occurrence__c = ? ORDER BY IsDeleted",
        (master.remote_id, start.replace("Z", ".000+0000")),
    ).fetchone()
    return str(found[0])


async def test_a_series_is_one_item_with_its_rule_and_zone(org: Org) -> None:
    master = await make(org)
    assert master.fields["rule"] == {"lines": ["RRULE:FREQ=WEEKLY;COUNT=4"]}
    assert master.fields["start"] == {"utc": STARTS[0], "zone": "Europe/Berlin"}
    seen, _ = await org.read(APPOINTMENT)
    assert seen == [master]
    assert org.world.db.execute("SELECT COUNT(*) FROM sf_Event").fetchone()[0] == 5


async def test_a_moved_occurrence_is_an_exception_with_its_original_start(org: Org) -> None:
    master = await make(org)
    _, cursor = await org.read(APPOINTMENT)
    moved = child(org, master, STARTS[1])
    org.edit("Event", moved, StartDateTime="2026-11-30T14:00:00Z", EndDateTime="2026-11-30T15:00:00Z")
    seen = {each.remote_id: each for each in (await org.read(APPOINTMENT, cursor))[0]}
    assert seen[moved].parent == master.remote_id
    assert seen[moved].occurrence == STARTS[1]
    assert seen[moved].fields["start"]["utc"] == "2026-11-30T14:00:00Z"
    assert "rule" not in seen[moved].fields


async def test_a_series_tells_its_changed_and_cancelled_occurrences_when_it_is_asked(org: Org) -> None:
    master, other = await make(org), await make(org, key="other")
    moved, off = child(org, master, STARTS[1]), child(org, master, STARTS[2])
    org.edit("Event", moved, Location="the garden")
    org.edit("Event", child(org, other, STARTS[1]), Location="the cellar")
    org.delete("Event", off)
    scope = org.scope(APPOINTMENT)
    told = {one.remote_id: one for one in await org.connector.occurrences(scope, [master.remote_id])}
    assert told.keys() == {moved, off}
    assert (told[moved].fields["location"], told[moved].occurrence) == ("the garden", STARTS[1])
    assert told[off].fields == {"cancelled": True}
    org.delete("Event", master.remote_id)
    assert await org.connector.occurrences(scope, [master.remote_id]) == []
    assert await org.connector.occurrences(scope, []) == []


async def test_a_deleted_occurrence_is_a_cancelled_one_in_the_feed_and_in_a_first_read(org: Org) -> None:
    master = await make(org)
    _, cursor = await org.read(APPOINTMENT)
    gone = child(org, master, STARTS[2])
    org.delete("Event", gone)
    for since in (cursor, None):
        seen = {each.remote_id: each for each in (await org.read(APPOINTMENT, since))[0]}
        assert seen[gone].fields == {"cancelled": True}
        assert not seen[gone].deleted
        assert (seen[gone].parent, seen[gone].occurrence) == (master.remote_id, STARTS[2])


async def test_the_occurrences_of_a_deleted_series_are_not_cancelled(org: Org) -> None:
    master = await make(org)
    _, cursor = await org.read(APPOINTMENT)
    org.delete("Event", master.remote_id)
    seen, _ = await org.read(APPOINTMENT, cursor)
    assert {each.remote_id for each in seen if each.deleted} >= {master.remote_id}
    assert all(each.deleted for each in seen)


async def test_occurrences_that_a_new_rule_no_longer_lists_are_not_cancelled(org: Org) -> None:
    master = await make(org)
    _, cursor = await org.read(APPOINTMENT)
    (outcome,) = await org.apply(update(master, rule={"lines": ["RRULE:FREQ=WEEKLY;COUNT=2"]}))
    assert outcome.result is Result.DONE
    seen, _ = await org.read(APPOINTMENT, cursor)
    assert not any(each.fields.get("cancelled") for each in seen)
    live = "SELECT COUNT(*) FROM sf_Event WHERE RecurrenceActivityId = ? AND IsDeleted = 0"
    assert org.world.db.execute(live, (master.remote_id,)).fetchone()[0] == 2


async def test_an_occurrence_is_changed_without_touching_its_series(org: Org) -> None:
    master = await make(org)
    write = replace(
        create(
            APPOINTMENT,
            "exception",
            subject="Weekly, but later",
            start={"utc": "2026-12-07T10:00:00Z", "zone": "Europe/Berlin"},
            end={"utc": "2026-12-07T10:30:00Z", "zone": "Europe/Berlin"},
        ),
        parent=master.remote_id,
        occurrence=STARTS[2],
    )
    (outcome,) = await org.apply(write)
    seen = outcome.observation
    assert seen is not None
    assert seen.remote_id == child(org, master, STARTS[2])
    assert (seen.parent, seen.occurrence, seen.marker) == (master.remote_id, STARTS[2], "exception")
    assert seen.fields["subject"] == "Weekly, but later"
    (again,) = await org.apply(update(seen, location="Room 2"))
    assert again.observation is not None
    assert again.observation.fields == {**seen.fields, "location": "Room 2"}
    assert org.row("Event", master.remote_id)["Location"] is None


@pytest.mark.parametrize("cancels", [False, True])
async def test_an_occurrence_that_a_person_has_changed_is_not_overwritten(org: Org, cancels: bool) -> None:
    """Seed 97735."""
    master = await make(org)
    theirs = child(org, master, STARTS[2])
    org.edit("Event", theirs, Location="the garden")
    fields = {"cancelled": True} if cancels else {"subject": "ours", "location": "the cellar"}
    ours = replace(create(APPOINTMENT, "ours", **fields), parent=master.remote_id, occurrence=STARTS[2])
    for attempt in (0, 1):
        (outcome,) = await org.apply(replace(ours, attempt=attempt))
        assert outcome.result is Result.CONFLICT
        assert not org.row("Event", theirs)["IsDeleted"]
        assert org.row("Event", theirs)["Location"] == "the garden"


@pytest.mark.parametrize("kind", [WriteKind.CREATE, WriteKind.DELETE])
async def test_an_occurrence_is_cancelled_by_deleting_it(org: Org, kind: WriteKind) -> None:
    master = await make(org)
    write = Write(
        kind,
        APPOINTMENT,
        "cancel",
        fields={"cancelled": True} if kind is WriteKind.CREATE else {},
        parent=master.remote_id,
        occurrence=STARTS[1],
    )
    for _ in range(2):  # a repeat finds it cancelled already
        (outcome,) = await org.apply(write)
        assert outcome.result is Result.DONE
        assert outcome.observation is not None
        assert outcome.observation.fields == {"cancelled": True}
        assert outcome.observation.remote_id == child(org, master, STARTS[1])
    assert org.row("Event", child(org, master, STARTS[1]))["IsDeleted"]
    assert not org.row("Event", master.remote_id)["IsDeleted"]


async def test_an_occurrence_that_the_series_does_not_have_is_gone(org: Org) -> None:
    master = await make(org)
    write = replace(
        create(APPOINTMENT, "x", subject="?"), parent=master.remote_id, occurrence="2027-01-01T08:00:00Z"
    )
    (outcome,) = await org.apply(write)
    assert outcome.result is Result.GONE


async def test_excluded_dates_become_deleted_occurrences(org: Org) -> None:
    lines = ["RRULE:FREQ=WEEKLY;COUNT=4", "EXDATE;TZID=Europe/Berlin:20261130T090000,20261214T090000"]
    master = await make(org, rule={"lines": lines})
    deleted = [start for start in STARTS if org.row("Event", child(org, master, start))["IsDeleted"]]
    assert deleted == [STARTS[1], STARTS[3]]


async def test_an_all_day_series_names_its_occurrences_by_date(org: Org) -> None:
    master = await make(
        org,
        start={"date": "2026-11-23"},
        end={"date": "2026-11-24"},
        rule={"lines": ["RRULE:FREQ=DAILY;COUNT=3"]},
    )
    assert master.fields["start"] == {"date": "2026-11-23"}
    assert master.fields["end"] == {"date": "2026-11-24"}
    write = replace(
        create(APPOINTMENT, "day", subject="Changed", start={"date": "2026-11-24"}, end={"date": "2026-11-25"}),
        parent=master.remote_id,
        occurrence="2026-11-24",
    )
    (outcome,) = await org.apply(write)
    assert outcome.observation is not None
    assert outcome.observation.occurrence == "2026-11-24"
    assert outcome.observation.fields["subject"] == "Changed"


async def test_a_rule_that_salesforce_cannot_hold_is_rejected_with_the_reason(org: Org) -> None:
    (outcome,) = await org.apply(series(rule={"lines": ["RRULE:FREQ=DAILY", "RDATE:20261201T080000Z"]}))
    assert outcome.result is Result.REJECTED
    assert "RDATE" in outcome.reason


async def test_deleting_a_series_deletes_it_whole(org: Org) -> None:
    master = await make(org)
    (outcome,) = await org.apply(delete(master))
    assert outcome.result is Result.DONE
    assert org.world.db.execute("SELECT COUNT(*) FROM sf_Event WHERE IsDeleted = 0").fetchone()[0] == 0


def ours(master: Observation, *, cancelled: bool = False) -> Write:
    """What a person made of the second occurrence in the mailbox."""
    wanted = {
        "subject": "Ours",
        "busy": True,
        "start": {"utc": STARTS[1], "zone": "Europe/Berlin"},
        "end": {"utc": "2026-11-30T08:30:00Z", "zone": "Europe/Berlin"},
    }
    made = create(APPOINTMENT, "x", **({"cancelled": True} if cancelled else wanted))
    return replace(made, parent=master.remote_id, occurrence=STARTS[1])


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("person", ["changes", "cancels"])
async def test_nothing_is_written_over_an_occurrence_that_a_person_changed_or_cancelled(
    org: Org, cancels: bool, person: str
) -> None:
    master = await make(org)
    _, cursor = await org.read(APPOINTMENT)
    item = child(org, master, STARTS[1])
    if person == "changes":
        org.edit("Event", item, Location="the cellar")
    else:
        org.delete("Event", item)
    before = org.row("Event", item)
    for attempt in (0, 1):
        (outcome,) = await org.apply(replace(ours(master, cancelled=cancels), attempt=attempt))
        same = cancels and person == "cancels"
        assert outcome.result is (Result.DONE if same else Result.CONFLICT)
        assert org.row("Event", item) == before
    # The feed tells of it, and so does the series when it is asked.
    told = [one for one in (await org.read(APPOINTMENT, cursor))[0] if one.parent]
    asked = await org.connector.occurrences(org.scope(APPOINTMENT), [master.remote_id])
    assert [one.remote_id for one in told] == [one.remote_id for one in asked] == [item]


async def test_occurrences_are_looked_at_last_before_they_are_written(
    org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Collections know no version: what a person does while other things are asked for must be seen."""
    master, other = await make(org), await make(org, key="other")
    item, rows = child(org, other, STARTS[1]), SalesforceClient.rows

    async def meanwhile(self: SalesforceClient, query: str, **options: Any) -> Any:
        found = await rows(self, query, **options)
        if "Syncline_Occurrence__c IN" not in query:
            org.edit("Event", item, Location="the cellar")
        return found

    monkeypatch.setattr(SalesforceClient, "rows", meanwhile)
    outcomes = await org.apply(update(master, location="Room 1"), ours(master), ours(other))
    assert [one.result for one in outcomes] == [Result.DONE, Result.DONE, Result.CONFLICT]


async def test_an_occurrence_that_an_earlier_attempt_made_is_adopted_with_what_a_person_made_of_it(
    org: Org,
) -> None:
    master = await make(org)
    (first,) = await org.apply(ours(master))
    assert first.observation is not None
    (same,) = await org.apply(ours(master))
    assert (same.result, same.observation) == (Result.DONE, first.observation)
    org.edit("Event", first.observation.remote_id, Location="the cellar")
    (again,) = await org.apply(replace(ours(master), attempt=1))
    assert again.result is Result.DONE
    assert again.observation is not None
    assert again.observation.fields["location"] == "the cellar"
    # Planned anew it counts as the person's.
    (anew,) = await org.apply(ours(master))
    assert anew.result is Result.CONFLICT


async def test_an_occurrence_that_went_with_its_series_is_no_conflict(org: Org) -> None:
    master = await make(org)
    org.delete("Event", master.remote_id)
    (outcome,) = await org.apply(ours(master))
    assert outcome.result is Result.REJECTED
