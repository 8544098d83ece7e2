"""What a preview asks of a mailbox: what is there, what would be made, and nothing is made."""

from __future__ import annotations

import dataclasses

import pytest

from engine.model.port import Structure
from tests.mailbox.google.conftest import ANNA, Google
from tests.mailbox.google.test_connector import COLOUR, SEPARATE, WHOLE


def writes(google: Google) -> list[str]:
    return [one.path for one in google.calls() if one.body]


@pytest.mark.parametrize("structure", [WHOLE, SEPARATE], ids=["colours", "separate calendar"])
async def test_a_survey_makes_nothing_and_finds_what_ensure_made(google: Google, structure: Structure) -> None:
    connector = google.connector()
    before = await connector.survey(ANNA, structure, {})
    assert writes(google) == []
    groups = tuple(f"group {name}" for name in structure.groups.values())
    calendar = () if structure.calendar_mode is COLOUR.calendar_mode else ("calendar CRM",)
    assert before.missing == groups + calendar + tuple(f"label {path}" for path in structure.labels)
    assert not any(scope.key == "calendar:crm" for scope in before.scopes)
    made = await connector.ensure(ANNA, structure, {})
    google.forget()
    after = await connector.survey(ANNA, structure, {})
    assert writes(google) == []
    assert dataclasses.replace(after, created=made.created) == made


async def test_event_labels_that_are_to_be_made_are_named(google: Google) -> None:
    connector = google.connector(event_labels=True)
    found = await connector.survey(ANNA, COLOUR, {})
    assert found.missing == (
        "event label CRM Appointment",
        "event label CRM Phone Call",
        "event label CRM Service Call",
    )
    made = await connector.ensure(ANNA, COLOUR, {})
    assert made.ids == found.ids, "the marks are known before they are made"
