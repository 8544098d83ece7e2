"""Leaving takes away the containers that were made, as far as nothing of the person's own is in them."""

from __future__ import annotations

import dataclasses

from engine.mailbox.google import colours
from engine.model.modules import Module
from engine.model.port import Scope
from tests.mailbox.google.conftest import ANNA, Google
from tests.mailbox.google.test_connector import COLOUR, WHOLE


async def test_groups_and_labels_go_and_a_second_time_finds_nothing(google: Google) -> None:
    connector = google.connector()
    made = await connector.ensure(ANNA, WHOLE, {})
    for _ in range(2):
        told = await connector.remove(ANNA, made.ids)
        assert set(told) == set(made.ids)
        assert not any(told.values()), told
    again = await connector.survey(ANNA, WHOLE, {})
    assert set(again.missing) == {
        *(f"group {name}" for name in WHOLE.groups.values()),
        *(f"label {path}" for path in WHOLE.labels),
    }


async def test_labels_with_something_below_them_stay(google: Google) -> None:
    connector = google.connector()
    made = await connector.ensure(ANNA, WHOLE, {})
    client = connector.client
    branch = next(path for path in WHOLE.labels if "/" in path)
    below = {"name": f"{branch}/My own", "labelListVisibility": "labelShow", "messageListVisibility": "show"}
    await client.execute(client.gmail.users.labels.create(userId="me", body=below), ANNA, idempotent=True)
    told = await connector.remove(ANNA, made.ids)
    stay = {name for name, why in told.items() if why}
    assert stay == {f"label:{branch}", f"label:{branch.partition('/')[0]}"}
    scope = Scope("mail", "me", (Module.OPPORTUNITY,), ANNA)
    assert await connector.occupied(scope, [made.ids[f"label:{branch}"]]) == set()


async def test_event_labels_go_and_others_stay(google: Google) -> None:
    connector = google.connector(event_labels=True)
    client = connector.client
    mine = {"id": "5c1f1f52-6b0e-4d2a-9a3e-7f1f0c6f2d99", "name": "Mine", "backgroundColor": "#123456"}
    await client.execute(
        client.calendar.calendars.patch(
            calendarId="primary", body={"labelProperties": {"eventLabels": [mine]}}
        ),
        ANNA,
        idempotent=True,
    )
    structure = dataclasses.replace(COLOUR)
    made = await connector.ensure(ANNA, structure, {})
    marks = {name: value for name, value in made.ids.items() if name.startswith("colour:")}
    assert len(marks) == len(COLOUR.colours)
    told = await connector.remove(ANNA, marks)
    assert told == dict.fromkeys(marks, "")
    document = await client.execute(client.calendar.calendars.get(calendarId="primary"), ANNA, idempotent=True)
    left = [label["name"] for label in document["labelProperties"]["eventLabels"]]
    assert left == ["Mine"]
    assert colours.label_id(Module.APPOINTMENT) not in {
        label["id"] for label in document["labelProperties"]["eventLabels"]
    }
