"""A create of an occurrence that a person has changed or deleted already: it is left as the person left it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.mailbox.exchange import calls, feed
from engine.model.modules import Module
from engine.model.port import Observation, Result, Write
from tests.mailbox.exchange.conftest import Mailbox
from tests.mailbox.exchange.lab import create, done, one, read
from tests.mailbox.exchange.test_feed import SECOND, THIRD, WEEKLY, moment


async def series(box: Mailbox, **fields: Any) -> Observation:
    [made] = await done(
        box.connector, box.calendar, create(Module.APPOINTMENT, "c.1.aa.0", {**WEEKLY, **fields})
    )
    return made


def ours(master: Observation, *, cancelled: bool = False, **fields: Any) -> Write:
    """What a person made of the second occurrence in the CRM."""
    wanted: dict[str, Any] = {"subject": "Ours", "busy": True, "start": moment(SECOND), **fields}
    wanted["end"] = moment("2026-10-26T08:30:00Z")
    wanted = {"cancelled": True} if cancelled else wanted
    return create(Module.APPOINTMENT, "x", wanted, parent=master.remote_id, occurrence=SECOND)


def changes(box: Mailbox, master: Observation, index: int = 2) -> None:
    """A person writes the place of an occurrence."""
    box.lab.office.call(
        '<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly"'
        ' SendMeetingInvitationsOrCancellations="SendToNone"><m:ItemChanges><t:ItemChange>'
        f'<t:OccurrenceItemId RecurringMasterId="{master.remote_id}" InstanceIndex="{index}"/><t:Updates>'
        '<t:SetItemField><t:FieldURI FieldURI="calendar:Location"/>'
        "<t:CalendarItem><t:Location>the cellar</t:Location></t:CalendarItem></t:SetItemField>"
        "</t:Updates></t:ItemChange></m:ItemChanges></m:UpdateItem>"
    )


def deletes(box: Mailbox, master: Observation) -> None:
    """A person deletes the second occurrence."""
    box.lab.office.call(
        '<m:DeleteItem DeleteType="MoveToDeletedItems" SendMeetingCancellations="SendToNone"><m:ItemIds>'
        f'<t:OccurrenceItemId RecurringMasterId="{master.remote_id}" InstanceIndex="2"/></m:ItemIds></m:DeleteItem>'
    )


async def shown(box: Mailbox, master: Observation) -> dict[str, Any]:
    """The second occurrence as its series tells it when it is asked."""
    [told] = await box.connector.occurrences(box.calendar, [master.remote_id])
    assert told.occurrence == SECOND
    return dict(told.fields)


Act = Callable[[Mailbox, Observation], None]


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("person", [changes, deletes])
async def test_nothing_is_written_over_what_a_person_did(box: Mailbox, cancels: bool, person: Act) -> None:
    master = await series(box)
    _, cursor = await read(box.connector, box.calendar)
    person(box, master)
    outcome = await one(box.connector, box.calendar, ours(master, cancelled=cancels))
    same = cancels and person is deletes
    assert outcome.result is (Result.DONE if same else Result.CONFLICT)
    left = await shown(box, master)
    assert left == {"cancelled": True} if person is deletes else left["location"] == "the cellar"
    assert left.get("subject", WEEKLY["subject"]) == WEEKLY["subject"]
    # The feed tells of it.
    told, _ = await read(box.connector, box.calendar, cursor)
    assert [each.fields for each in told if each.parent] == [left]


@pytest.mark.parametrize("person", [changes, deletes])
@pytest.mark.parametrize("after", ["the series", "the occurrence"])
async def test_nor_over_what_he_did_while_we_looked(
    box: Mailbox, person: Act, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of an occurrence is one of its series: the version of both is another one then."""
    master = await series(box)
    module, name = (feed, "get_items") if after == "the series" else (calls, "update_items")
    real, acted = getattr(module, name), []

    async def meanwhile(*args: Any, **options: Any) -> Any:
        if not acted and (name != "get_items" or "OccurrenceItemId" in str(args[-1])):
            acted.append(person(box, master))
        return await real(*args, **options)

    monkeypatch.setattr(module, name, meanwhile)
    outcome = await one(box.connector, box.calendar, ours(master))
    assert acted
    assert outcome.result is Result.CONFLICT
    left = await shown(box, master)
    assert left.get("subject", WEEKLY["subject"]) == WEEKLY["subject"]
    assert left.get("location") == (None if person is deletes else "the cellar")


async def test_a_neighbour_that_was_changed_while_we_looked_only_costs_another_look(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = await series(box)
    real, acted = calls.update_items, []

    async def meanwhile(*args: Any, **options: Any) -> Any:
        if not acted:
            acted.append(changes(box, master, index=3))
        return await real(*args, **options)

    monkeypatch.setattr(calls, "update_items", meanwhile)
    assert (await one(box.connector, box.calendar, ours(master))).result is Result.CONFLICT
    [made] = await done(box.connector, box.calendar, ours(master))
    assert made.fields["subject"] == "Ours"


async def test_what_is_as_wanted_is_done_without_a_write(box: Mailbox) -> None:
    master = await series(box)
    [made] = await done(box.connector, box.calendar, ours(master, location="Room 1"))
    box.lab.asked()
    [again] = await done(box.connector, box.calendar, ours(master, location="Room 1"))
    assert (again.etag, again.fields) == (made.etag, made.fields)
    assert "UpdateItem" not in box.lab.asked()


async def test_a_series_is_made_although_a_person_is_at_a_day_that_it_leaves_out(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [*WEEKLY["rule"]["lines"], f"EXDATE:{THIRD.replace('-', '').replace(':', '')}"]
    real, acted = feed.read_seen, []

    async def meanwhile(*args: Any, **options: Any) -> Any:
        found = await real(*args, **options)
        for each in list(found.values()):
            if not acted and each is not None and each.observation.fields.get("rule"):
                acted.append(changes(box, each.observation, index=3))
                return await real(*args, **options)
        return found

    monkeypatch.setattr(feed, "read_seen", meanwhile)
    await series(box, rule={"lines": lines})
    assert acted
